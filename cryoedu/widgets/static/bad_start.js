// Bad start: two refinements of the same images, stepped through together. Everything was computed before.

const VIEWS = ["across z", "across y", "across x"];

function render({ model, el }) {
  const names = model.get("names"), lengths = model.get("lengths"), n = model.get("box");
  const bins = n / 2 + 1, width = n * model.get("pixel_size");
  const images = bytes(model.get("_sections")), truth = bytes(model.get("_truth"));
  const [numbers, climb, sharpness, reached, fsc] =
    ["_numbers", "_log_likelihood", "_sharpness", "_resolution", "_fsc"].map((name) => floats(model.get(name)));
  const first = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
  const frames = Math.max(...lengths), last = Math.max(...numbers);
  const part = (values, run) => values.subarray(first[run], first[run] + lengths[run]);
  const put = (name, value) => { model.set(name, value); model.save_changes(); };

  const root = board(el, "Bad start: two refinements side by side");
  const sides = ["left", "right"];
  const choices = sides.map((side, i) => choice({ label: i ? "compare with" : "initial model", options: names,
    value: model.get(side), onInput: (v) => put(side, v) }));
  const play = player({ label: "step", frames, value: model.get("frame"), seconds: 0.5,
    show: (i) => (i ? `${i} of ${frames - 1}` : "the start"), onInput: (v) => put("frame", v) });
  const section = (view) => imagePanel({ title: view, width: n, shown: 116 });
  const panels = sides.map(() => VIEWS.map(section)), fixed = VIEWS.map(section);
  const heads = [...sides, "truth"].map(() => h("p", { class: "cryoedu-note" }));
  heads[2].textContent = "the truth";
  fixed.forEach((panel, c) => panel.draw({ pixels: truth.subarray(c * n * n, (c + 1) * n * n),
    words: `the true map, central section ${VIEWS[c]}` }));
  const column = (head, of) => h("div", {}, head, row(...of.map((p) => p.box)));

  const series = [{ name: "first" }, { name: "second" }];
  const likelihood = linePlot({ title: "log L, thousands below the best", xLabel: "iteration", yLabel: "log L",
    x: [1, last], series, name: "climb", height: 140 });
  const sure = linePlot({ title: "How sure the particles are", xLabel: "iteration", yLabel: "mean of the largest Γ",
    x: [1, last], series, name: "sharpness", height: 140 });
  const curve = linePlot({ title: "FSC with the truth", xLabel: "resolution (Å)", yLabel: "FSC",
    x: [0, (bins - 1) / width], series, name: "fsc", xTicks: [2, 4, 6, 8, 10, 12].map((s) => s / width),
    xTick: (v) => (1 / v).toFixed(0), height: 130 });
  const says = statusLine();
  root.append(controls(...choices.map((c) => c.box), play.box),
    row(column(heads[0], panels[0]), column(heads[1], panels[1])), row(column(heads[2], fixed), curve.svg),
    row(likelihood.svg, sure.svg), says.box);

  function draw() {
    const runs = sides.map((side) => model.get(side)), frame = model.get("frame");
    const at = runs.map((run) => first[run] + Math.min(frame, lengths[run] - 1));
    play.set(frame);
    runs.forEach((run, i) => {
      choices[i].set(run);
      const when = at[i] === first[run] ? "the start" : `iteration ${numbers[at[i]]}`;
      heads[i].textContent = `${i ? "second" : "first"}: ${names[run]}, ${when}`;
      panels[i].forEach((panel, c) => {
        const from = (3 * at[i] + c) * n * n;
        panel.draw({ pixels: images.subarray(from, from + n * n),
          words: `${names[run]}, iteration ${numbers[at[i]]}, central section ${VIEWS[c]}` });
      });
    });
    const xs = runs.map((run) => part(numbers, run)), of = (values) => runs.map((run) => part(values, run));
    const deepest = Math.min(-1, extent([].concat(...runs.map((run) => Array.from(part(climb, run)))))[0]);
    const words = runs.map((run, i) => `${names[run]}, iteration ${numbers[at[i]]}: FSC above 0.5 to ` +
      `${reached[at[i]].toFixed(0)} Å, ${Number.isFinite(climb[at[i]]) ? `log L ${Math.abs(1000 * climb[at[i]]).toFixed(0)} below the best, ` : ""}` +
      (Number.isFinite(sharpness[at[i]]) ? `mean of the largest Γ ${sharpness[at[i]].toFixed(2)}`
        : "each particle has one pose"));
    // one cursor for both lines: the iteration of the longer run
    const now = Math.max(...at.map((k) => numbers[k]));
    likelihood.draw({ values: of(climb), at: xs, y: [deepest, 0], cursor: now,
      words: `log-likelihood. ${words.join("; ")}` });
    sure.draw({ values: of(sharpness), at: xs, y: [0, 1], cursor: now, words: `sharpness. ${words.join("; ")}` });
    curve.draw({ values: at.map((k) => fsc.subarray(k * bins, (k + 1) * bins)), y: [-0.3, 1], lines: [{ y: 0.5 }],
      words: `Fourier shell correlation with the truth. ${words.join("; ")}` });
    says.say(`${words.join(". ")}.`);
  }

  return ending(root, follow(model, ["left", "right", "frame"], draw), play.stop, says.stop);
}

export default { render };
