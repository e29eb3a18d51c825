// The filter bench. Python sends every image, and every CCF, in one piece for each shell; a filter is a weight for each
// piece, so that all images are aligned again here while a slider moves.

function bench(model) {
  const [S, R, N, n] = ["shell_count", "rotations", "image_count", "box"].map((name) => model.get(name));
  const pieces = floats(model.get("_pieces")), ccf = floats(model.get("_ccf")), energy = floats(model.get("_energy"));
  const noise = floats(model.get("_noise")), signal = floats(model.get("_signal")), truth = floats(model.get("_truth"));
  const precise = 1 / Math.min(...noise), close = model.get("close_enough");

  function weights(kind, coarse, fine) {
    const all = new Float64Array(S);
    for (let s = 0; s < S; s++)
      all[s] = kind === 4 ? 1 / noise[s] / precise
        : Number(!((kind === 2 || kind === 3) && s + 1 < coarse) && !((kind === 1 || kind === 3) && s + 1 > fine));
    return all;
  }

  function scores(i, w) {
    const sums = new Float64Array(R);
    for (let s = 0; s < S; s++) if (w[s] > 0)
      for (let r = 0; r < R; r++) sums[r] += w[s] * (ccf[(i * S + s) * R + r] - 0.5 * energy[s * R + r]);
    return sums;
  }

  function off(i, w) {  // degrees between the best rotation of image i and its true one
    const d = (argmax(scores(i, w)) * 360 / R - truth[i] + 540) % 360 - 180;
    return Math.abs(d);
  }

  function aligned(w) {
    if (!w.some((v) => v > 0)) return 0;
    let right = 0;
    for (let i = 0; i < N; i++) if (off(i, w) <= close) right++;
    return right / N;
  }

  function filtered(p, w) {
    const image = new Float32Array(n * n);
    for (let s = 0; s < S; s++) if (w[s] > 0) {
      const from = (p * S + s) * n * n;
      for (let j = 0; j < n * n; j++) image[j] += w[s] * pieces[from + j];
    }
    return image;
  }
  const ratio = Array.from(signal, (v, s) => v / noise[s]), worth = ratio.map((v) => v / Math.max(...ratio));
  return { S, R, N, n, noise, signal, worth, truth, weights, scores, off, aligned, filtered };
}

function render({ model, el }) {
  const data = bench(model), kinds = model.get("kinds"), across = model.get("field_of_view");
  const root = board(el, "Filter bench");
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const angstrom = (shell) => `${(across / shell).toFixed(0)} Å`;
  const everything = data.weights(0, 1, data.S), step = 360 / data.R;
  const learned = data.aligned(data.weights(4, 1, data.S)), none = data.aligned(everything);

  const kind = choice({ label: "filter", options: kinds, value: model.get("kind"), onInput: (i) => put("kind", i) });
  const coarse = slider({ label: "coarsest kept", min: 1, max: data.S, step: 1, value: model.get("coarse"), show: angstrom,
    onInput: (v) => put("coarse", v) });
  const fine = slider({ label: "finest kept", min: 1, max: data.S, step: 1, value: model.get("fine"), show: angstrom,
    onInput: (v) => put("fine", v) });
  const next = button("another image", () => put("particle", (model.get("particle") + 1) % model.get("shown_count")));
  root.append(controls(kind.box, buttons(next), coarse.box, fine.box));

  const before = imagePanel({ title: "image", width: data.n }), after = imagePanel({ title: "after the filter", width: data.n });
  const shells = Array.from({ length: data.S }, (_, s) => s + 1), shown = shells.filter((s) => s % 4 === 0 || s === 1);
  const axis = { xLabel: "resolution (Å)", x: [0.5, data.S + 0.5], xTicks: shown, xTick: (s) => (across / s).toFixed(0) };
  const power = linePlot({ ...axis, title: "power by shell", name: "power", yLabel: "power", log: "y",
    series: [{ name: "noise σ²", colour: COLOURS[1], dash: DASHES[1] },
      { name: "signal τ²", colour: COLOURS[0], dash: DASHES[0] }] });
  const filter = linePlot({ ...axis, title: "the filter", name: "filter", yLabel: "weight",
    series: [{ name: "weight", kind: "bars" }, { name: "τ²/σ² (highest: 1)", colour: COLOURS[1], dash: DASHES[1] }] });
  const score = linePlot({ title: "score of this image", name: "score", xLabel: "rotation φ of the reference", yLabel: "score",
    x: [0, 360], xTicks: 90, xTick: (d) => `${d}°`, circle: true, series: [{ kind: "line" }], yTick: () => "" });
  const meter = h("meter", { min: 0, max: 1, "aria-label": "share of images aligned within 10 degrees" });
  const share = h("output", {});
  const words = statusLine();
  root.append(row(before.box, after.box, filter.svg), row(power.svg, score.svg),
    h("div", { class: "cryoedu-meter" }, h("span", {}, "images aligned within 10°"), meter, share), words.box);
  power.draw({ values: [data.noise, data.signal], at: [shells, shells],
    words: `noise power falls from ${number(data.noise[0], 3)} to ${number(data.noise[data.S - 1], 3)} over the shells` });

  function draw() {
    const [k, low, high, p] = ["kind", "coarse", "fine", "particle"].map((name) => model.get(name));
    kind.set(k); coarse.set(low); fine.set(high);
    coarse.input.disabled = !(k === 2 || k === 3);
    fine.input.disabled = !(k === 1 || k === 3);
    const w = data.weights(k, low, high), sums = data.scores(p, w), best = argmax(sums) * step, right = data.aligned(w);
    const empty = !w.some((v) => v > 0), here = `true ${data.truth[p].toFixed(0)}°`;
    before.draw({ values: data.filtered(p, everything), words: `image ${p + 1}, not filtered` });
    after.draw({ values: data.filtered(p, w), words: `image ${p + 1} after the filter: ${kinds[k]}` });
    filter.draw({ values: [w, data.worth], at: [shells, shells], y: [0, 1.05], words: `weights by shell: ${kinds[k]}` +
      (k === 2 || k === 3 ? `, from ${angstrom(low)}` : "") + (k === 1 || k === 3 ? `, to ${angstrom(high)}` : "")
      + `; τ²/σ² is highest at ${angstrom(argmax(data.worth) + 1)}` });
    score.draw({ values: [sums], truth: data.truth[p],
      words: `${empty ? "no score" : `score highest at ${best.toFixed(0)} degrees`}; true rotation ` +
        `${data.truth[p].toFixed(0)} degrees` });
    const percent = (v) => `${(100 * v).toFixed(0)} %`;
    meter.value = right;
    share.textContent = `${percent(right)} (no filter ${percent(none)}, learned ${percent(learned)})`;
    words.say(empty ? `${kinds[k]} from ${angstrom(low)} to ${angstrom(high)}: nothing is kept, so nothing can be aligned.`
      : `${kinds[k]}: ${percent(right)} of ${data.N} images are aligned within 10°. Image ${p + 1} of ${model.get("shown_count")}: best at ${best.toFixed(0)}°, ${here}.`);
  }

  return ending(root, follow(model, ["kind", "coarse", "fine", "particle"], draw), words.stop);
}

export default { render };
