// The power spectrum of an image, of many, or of a map, and its mean over shells.

import { choice, controls, h, imagePanel, number, player, row, statusLine } from "./common.js";
import { latest } from "./parts.js";
import { linePlot } from "./plots.js";

function spectrum({ get, file, failed, ends }) {
  const map = file.kind === "map", [count] = file.shape, says = statusLine(), stage = row(h("p", {}, "Measuring …"));
  let at = 0, all = false, panel = null, plot = null, box = 0;

  function fill(about, data) {
    const n = about.box, pixel = about.pixel || 1, unit = about.pixel ? "1/Å" : "1/pixel";
    if (n !== box) {
      box = n;
      panel = imagePanel({ title: "power spectrum", width: n, shown: 256, note: `Edges are at the Nyquist frequency, ` +
        `${number(0.5 / pixel, 3)} ${unit}; greys are logarithmic.` });
      plot = linePlot({ title: "power in shells", xLabel: `spatial frequency (${unit})`, yLabel: "power", log: "y",
        x: [1 / (n * pixel), 0.5 / pixel], series: [{ name: about.of }], height: 230 });
      stage.replaceChildren(panel.box, plot.svg);
    }
    const power = about.profile.slice(1).map((v) => v ?? NaN);
    const shells = power.map((_, i) => (i + 1) / (n * pixel));
    panel.draw({ pixels: data, words: `power spectrum of ${about.of}` });
    plot.draw({ values: [power], at: [shells], words: `power in shells of ${about.of}: from ${number(power[0])} at the ` +
      `lowest to ${number(power.at(-1))} at the highest frequency` });
    says.say(`Power spectrum of ${about.of}.` + (about.pixel ? ` Nyquist is at ${number(2 * pixel, 3)} Å.` : ""));
  }

  const draw = latest(async (signal) => {
    const query = map ? { as: "map" } : { at: all ? "all" : at };
    const { about, data } = await get("mrc/spectrum", query, signal);
    if (!signal.aborted) fill(about, data);
  }, failed);

  const numbers = player({ label: "image", frames: count, seconds: 1, onInput: (i) => { at = i; draw(); } });
  const which = choice({ label: "of", options: ["one image", "many images, mean"], onInput: (i) => {
    all = i === 1;
    numbers.box.hidden = all;
    draw();
  } });
  ends.push(() => { numbers.stop(); says.stop(); });
  draw();
  return h("div", {}, ...(map || count === 1 ? [] : [controls(which.box, numbers.box)]), stage, says.box);
}

export { spectrum };
