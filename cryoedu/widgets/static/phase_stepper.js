// The phase stepper: frames, errors and correlations of every choice are sent once; here they are only shown.

function render({ model, el }) {
  const [n, objects, methods, starts, iterations] = ["box", "objects", "methods", "starts", "iterations"].map((name) =>
    model.get(name));
  const frames = bytes(model.get("_frames")), truths = bytes(model.get("_truths"));
  const supports = bytes(model.get("_supports")), errors = floats(model.get("_errors"));
  const alike = floats(model.get("_likeness")), F = iterations.length, last = iterations[F - 1], size = n * n;
  const root = board(el, "The phase problem, step by step");
  const put = (name, value) => { model.set(name, value); model.save_changes(); };

  const steps = player({ label: "iteration", frames: F, value: model.get("frame"), seconds: 0.15,
    show: (i) => `${iterations[i]} of ${last}`, onInput: (i) => put("frame", i) });
  const [what, how] = [["object", objects], ["method", methods]].map(([name, options]) =>
    choice({ label: name, options, value: model.get(name), onInput: (i) => put(name, i) }));
  const from = slider({ label: "random start", min: 1, max: starts, step: 1, value: model.get("start") + 1,
    onInput: (v) => put("start", v - 1) });
  root.append(controls(steps.box, what.box, how.box, from.box));

  const [truth, twin, support] = ["the object", "its twin", "support (bright)"].map((title) =>
    imagePanel({ title, width: n, shown: 128 }));
  const density = imagePanel({ title: "density with the measured amplitudes", width: n, shown: 230 });
  const plot = linePlot({ title: "What breaks the rules", name: "error", xLabel: "iteration", yLabel: "error",
    x: [1, last], log: "y", series: [{ kind: "line" }], height: 230,
    onPick: (at) => put("frame", iterations.reduce((best, v, i) =>
      (Math.abs(v - at) < Math.abs(iterations[best] - at) ? i : best), 0)) });
  const words = statusLine();
  root.append(row(density.box, plot.svg), row(truth.box, twin.box, support.box), words.box);

  function draw() {
    const [i, o, m, s] = ["frame", "object", "method", "start"].map((name) => model.get(name));
    steps.set(i); what.set(o); how.set(m); from.set(s + 1);
    const which = (o * methods.length + m) * starts + s, number_ = iterations[i], first = (which * F + i) * size;
    const error = errors[which * last + number_ - 1];
    const [upright, turned] = [0, 1].map((k) => alike[2 * (which * F + i) + k]);
    density.draw({ pixels: frames.subarray(first, first + size), title: `density, iteration ${number_}`,
      words: `density after iteration ${number_}; correlation with the object ${upright.toFixed(2)}, with its twin ` +
             `${turned.toFixed(2)}` });
    const object = truths.subarray(o * size, (o + 1) * size);
    truth.draw({ pixels: object, words: `the object: ${objects[o]}` });
    twin.draw({ pixels: object.slice().reverse(), words: "the object turned by 180 degrees" });
    support.draw({ pixels: supports.subarray(o * size, (o + 1) * size), words: "bright: the support, where the object may be; the object lies in it" });
    const track = errors.slice(which * last, (which + 1) * last).map((v) => Math.max(v, 1e-5));
    plot.draw({ values: [track], y: [1e-5, 1], cursor: number_,
      words: `error, logarithmic: ${number(track[0])} at first, ${number(track[last - 1])} at the end, ` +
             `${number(error)} now` });
    words.say(`Iteration ${number_}: error ${error < 1e-4 ? "below 0.0001" : error.toFixed(4)}. Correlation with the ` +
      `object ${upright.toFixed(2)}, with its twin ${turned.toFixed(2)}.`);
  }

  return ending(root, follow(model, ["frame", "object", "method", "start"], draw), steps.stop, words.stop);
}

export default { render };
