// The Einstein-from-noise stepper. Python sends the noise once, as small whole numbers, and for each portrait where
// each image fits best; the averages are added up here, image by image, forwards and backwards.

function averages(model) {
  const [n, step, total, levels] = ["box", "step", "total", "levels"].map((name) => model.get(name));
  const view = model.get("_noise"), noise = new Int8Array(view.buffer, view.byteOffset, view.byteLength);
  const places = bytes(model.get("_places")), side = n / step;
  const sum = new Float32Array(n * n), out = new Float32Array(n * n);
  let have = 0, what = "";

  const place = (p, i) => [step * (places[p * total + i] % side), step * Math.floor(places[p * total + i] / side)];

  function each(p, aligned, i, put) {  // put(pixel, value) for every pixel of image i, moved back if it is aligned
    const [dx, dy] = aligned ? place(p, i) : [0, 0];
    for (let y = 0; y < n; y++) {
      const from = i * n * n + ((y + dy) % n) * n;
      for (let x = 0; x < n; x++) put(y * n + x, noise[from + (x + dx) % n]);
    }
  }

  function average(p, aligned, count) {
    if (what !== `${p} ${aligned}`) { sum.fill(0); have = 0; what = `${p} ${aligned}`; }
    for (; have < count; have++) each(p, aligned, have, (k, v) => { sum[k] += v; });
    for (; have > count; have--) each(p, aligned, have - 1, (k, v) => { sum[k] -= v; });
    for (let k = 0; k < n * n; k++) out[k] = sum[k] / (count * levels);
    return out;
  }

  function image(p, aligned, i) {
    const values = new Float32Array(n * n);
    each(p, aligned, i, (k, v) => { values[k] = v / levels; });
    return values;
  }
  return { n, total, average, image, place };
}

function render({ model, el }) {
  const data = averages(model), names = model.get("names"), { n, total } = data;
  const portraits = floats(model.get("_portraits")), measured = floats(model.get("_measured"));
  const predicted = floats(model.get("_predicted")), counts = Array.from({ length: total }, (_, i) => i + 1);
  const root = board(el, "A portrait out of noise");
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const add = (more) => () => {
    steps.stop();
    put("images", Math.max(1, Math.min(total, model.get("images") + more)));
  };

  const steps = player({ label: "noise images averaged, M", frames: total, value: model.get("images") - 1,
    seconds: 0.08, show: (i) => `${i + 1} of ${total}`, onInput: (i) => put("images", i + 1) });
  const which = choice({ label: "portrait", options: names, value: model.get("portrait"),
    onInput: (i) => put("portrait", i) });
  const align = tickBox({ label: "align the images to the portrait", value: model.get("aligned"),
    onInput: (on) => put("aligned", on) });
  root.append(controls(steps.box, which.box, buttons(...[-100, -10, 10, 100].map((v) =>
    button(v > 0 ? `${v} more` : `${-v} fewer`, add(v))), align.box)));

  const face = imagePanel({ title: "portrait", width: n }), before = imagePanel({ title: "noise image", width: n });
  const after = imagePanel({ title: "the same", width: n });
  const mean = imagePanel({ title: "average", width: n, shown: 220 });
  const curve = linePlot({ title: "How much the average looks like the portrait", name: "bias", x: [1, total], log: "x",
    xLabel: "noise images averaged, M", yLabel: "correlation", xTicks: [1, 10, 100, 1000], xTick: String,
    series: [{ name: "predicted", kind: "line", colour: "#8c8c8c", dash: "7 3" },
             { name: "measured", kind: "line", colour: COLOURS[0], dash: "" }],
    onPick: (at) => put("images", Math.max(1, Math.min(total, Math.round(at)))) });
  const words = statusLine();
  root.append(row(face.box, before.box, after.box), row(mean.box, curve.svg), words.box);

  function draw() {
    const [count, p, aligned] = ["images", "portrait", "aligned"].map((name) => model.get(name)), i = count - 1;
    steps.set(i); which.set(p); align.set(aligned);
    const first = (2 * p + (aligned ? 1 : 0)) * total, r = measured[first + i];
    const line = predicted.subarray(p * total, (p + 1) * total).map((v) => (aligned ? v : 0));
    const [dx, dy] = data.place(p, i).map((v) => (v >= n / 2 ? n - v : -v));  // the shorter way round
    face.draw({ values: portraits.subarray(p * n * n, (p + 1) * n * n), words: `portrait: ${names[p]}` });
    before.draw({ values: data.image(p, false, i), title: `noise image ${count}` });
    after.draw({ values: data.image(p, aligned, i),
      title: aligned ? `the same, moved by ${dx}, ${dy} px` : "the same, not moved" });
    mean.draw({ values: data.average(p, aligned, count), title: `average of ${count}`,
      words: `average of ${count} noise images, ${aligned ? "aligned" : "not aligned"}; correlation with the ` +
             `portrait ${r.toFixed(2)}` });
    const shown = measured.slice(first, first + total).fill(NaN, count);
    curve.draw({ values: [line, shown], at: [counts, counts], y: [-0.1, 1], cursor: count,
      words: `correlation with the portrait: ${r.toFixed(2)} measured, ${line[i].toFixed(2)} predicted, with ` +
             `${count} noise images` });
    words.say(`${count} noise ${count === 1 ? "image" : "images"}, ${aligned ? "aligned" : "not aligned"}, averaged: ` +
      `correlation with the portrait ${r.toFixed(2)}, predicted ${line[i].toFixed(2)}. There is no portrait in the ` +
      "noise.");
  }

  return ending(root, follow(model, ["images", "portrait", "aligned"], draw), steps.stop, words.stop);
}

export default { render };
