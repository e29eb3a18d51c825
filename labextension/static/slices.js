// A map as three slices at right angles through one voxel, which a crosshair shows.

import { controls, h, imagePanel, number, row, slider, statusLine } from "./common.js";
import { coarser, latest } from "./parts.js";

// what is seen across each axis: the axes that run right and down
const CUTS = { z: ["x", "y"], y: ["x", "z"], x: ["y", "z"] };
const SENT = 320, SHOWN = 280;

function slices({ get, file, known, failed, ends }) {
  const [nz, ny, nx] = mapShape(file), sides = { x: nx, y: ny, z: nz }, longest = Math.max(nx, ny, nz);
  const at = Object.fromEntries(Object.entries(sides).map(([axis, n]) => [axis, Math.floor(n / 2)]));
  const panels = {}, stage = row(), says = statusLine();
  let sigmas = 6;
  const size = Object.fromEntries(["x", "y", "z"].map((axis, i) => [axis, file.voxel[i]]));

  const place = Object.fromEntries(Object.entries(sides).map(([axis, n]) => [axis, slider({ label: `slice across ${axis}`,
    min: 0, max: n - 1, step: 1, value: at[axis],
    show: (v) => size[axis] ? `${v}: ${((v - Math.floor(n / 2)) * size[axis]).toFixed(0)} Å` : String(v),
    onInput: (v) => { at[axis] = v; cross(); draws[axis](); } })]));

  function cross() {  // the crosshair, in pixels of what was sent
    for (const [axis, [right, down]] of Object.entries(CUTS)) {
      const panel = panels[axis];
      if (!panel) continue;
      const [x, y] = [(at[right] + 0.5) / panel.factors[1], (at[down] + 0.5) / panel.factors[0]];
      panel.draw({ pixels: panel.pixels, title: `${axis} = ${panel.at}`,
        words: `slice across ${axis} at voxel ${panel.at}`,
        marks: [["line", { x1: x, x2: x, y1: 0, y2: panel.canvas.height, class: "truth" }],
                ["line", { x1: 0, x2: panel.canvas.width, y1: y, y2: y, class: "truth" }]] });
    }
    const [coarsest] = Object.values(panels).sort((a, b) => b.factors[0] - a.factors[0]);
    says.say(`Slices through x ${at.x}, y ${at.y}, z ${at.z}; the middle is at ${Math.floor(nx / 2)}, ` +
      `${Math.floor(ny / 2)}, ${Math.floor(nz / 2)}${coarsest ? coarser(coarsest, "voxels") : ""}.`);
  }

  const drawing = (axis) => latest(async (signal) => {
    const values = await known, [right, down] = CUTS[axis];
    const reach = sigmas * values.sigma, scale = reach ? { low: Math.max(values.low, values.mean - reach),
      high: Math.min(values.high, values.mean + reach) } : { sigmas };
    const query = { as: "map", axis, at: at[axis], size: SENT, ...scale };
    const { about, data } = await get("mrc/plane", query, signal);
    if (signal.aborted) return;
    if (!panels[axis]) {
      panels[axis] = imagePanel({ title: axis, width: about.shape[1], height: about.shape[0],
        shown: Math.max(24, Math.round(SHOWN * sides[right] / longest)),
        shownHeight: Math.max(24, Math.round(SHOWN * sides[down] / longest)), note: `→ ${right}, ↓ ${down}`,
        onPick: (x, y) => {
          const { factors } = panels[axis];
          at[right] = Math.min(sides[right] - 1, Math.floor((x + 0.5) * factors[1]));
          at[down] = Math.min(sides[down] - 1, Math.floor((y + 0.5) * factors[0]));
          place[right].set(at[right]); place[down].set(at[down]);
          cross();
          draws[right](); draws[down]();
        } });
      stage.append(...Object.keys(CUTS).filter((name) => panels[name]).map((name) => panels[name].box));
    }
    Object.assign(panels[axis], { pixels: data, factors: about.factors, sampled: about.sampled, at: query.at });
    cross();
  }, failed);
  const draws = Object.fromEntries(Object.keys(CUTS).map((axis) => [axis, drawing(axis)]));

  const contrast = slider({ label: "contrast", min: 0.5, max: 12, step: 0.5, value: sigmas, show: (v) => `± ${number(v)} σ`,
    onInput: (v) => { sigmas = v; for (const draw of Object.values(draws)) draw(); } });
  for (const draw of Object.values(draws)) draw();
  ends.push(says.stop);
  return h("div", {}, controls(place.z.box, place.y.box, place.x.box, contrast.box), stage, says.box);
}

function mapShape(file) {  // z, y, x, whatever the order of the axes in the file
  const field = Object.fromEntries(file.fields), order = ["mapc", "mapr", "maps"].map((name) => Number(field[name]));
  const sides = [file.shape[2], file.shape[1], file.shape[0]];
  if ([...order].sort().join() !== "1,2,3") return file.shape;
  return [3, 2, 1].map((axis) => sides[order.indexOf(axis)]);
}

export { mapShape, slices };
