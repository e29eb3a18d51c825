// The CCF on the board. Python sends signals, noise and the turned references once; products and sums are made here.

function ccfBoard(model) {
  const [R, P, n] = ["rotations", "particle_count", "box"].map((name) => model.get(name));
  const [signals, noises, references, truths] = ["_signals", "_noises", "_references", "_truths"].map((name) =>
    floats(model.get(name)));
  const image = new Float32Array(n * n), product = new Float32Array(n * n), curve = new Float32Array(R);
  let have = "";

  function compute(p, snr, r) {  // the image, the reference, their product and the whole CCF
    const c = Math.sqrt(snr), first = p * n * n;
    if (have !== `${p} ${snr}`) {
      for (let k = 0; k < n * n; k++) image[k] = c * signals[first + k] + noises[first + k];
      for (let q = 0; q < R; q++) {
        let sum = 0;
        for (let k = 0; k < n * n; k++) sum += image[k] * references[q * n * n + k];
        curve[q] = c * sum;
      }
      have = `${p} ${snr}`;
    }
    const reference = references.subarray(r * n * n, (r + 1) * n * n);
    for (let k = 0; k < n * n; k++) product[k] = c * image[k] * reference[k];
    return { image, reference, product, curve, truth: truths[p] };
  }
  return { R, P, n, compute };
}

function render({ model, el }) {
  const data = ccfBoard(model), { R, P, n } = data, step = 360 / R, passed = new Uint8Array(R);
  const root = board(el, "The CCF on the board");
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const power = (v) => number(10 ** v);
  let before = model.get("rotation"), particleBefore = model.get("particle");

  const turn = player({ label: "rotation φ", frames: R, value: before, seconds: 0.12,
    show: (v) => `${(v * step).toFixed(0)}°`, onInput: (v) => put("rotation", v) });
  const snr = slider({ label: "SNR of the image", min: -3, max: 1, step: 0.05, value: Math.log10(model.get("snr")),
    show: power, onInput: (v) => put("snr", 10 ** v) });
  const whole = tickBox({ label: "show the whole curve", value: model.get("whole"),
    onInput: (on) => put("whole", on) });
  root.append(controls(turn.box, snr.box, buttons(
    button("another particle", () => { turn.stop(); put("particle", (model.get("particle") + 1) % P); }),
    button("wipe the board", () => { passed.fill(0); draw(); }), whole.box)));

  const [image, reference, product] = ["image X", "reference A", "product X · A"].map((title) =>
    imagePanel({ title, width: n, shown: 138 }));
  const plot = linePlot({ title: "CCF: the sum over the product", name: "ccf", x: [0, 360], xTicks: 90,
    xTick: (d) => `${d}°`, xLabel: "rotation φ of the reference", yLabel: "CCF", circle: true, height: 170,
    series: [{ kind: "line" }], onPick: (degrees) => put("rotation", Math.round(degrees / step) % R) });
  const words = statusLine();
  root.append(row(image.box, reference.box, product.box, plot.svg), words.box);

  function pass(now) {  // all that lies between the last rotation and this one, unless the reference has jumped
    const far = Math.abs(now - before);
    for (let q = 0; q <= (far <= 3 ? far : 0); q++) passed[now + (now > before ? -q : q)] = 1;
    before = now;
  }

  function draw() {
    const [r, p, ratio, all] = ["rotation", "particle", "snr", "whole"].map((name) => model.get(name));
    if (p !== particleBefore) { passed.fill(0); particleBefore = p; before = r; }
    pass(r);
    turn.set(r); snr.set(Math.log10(ratio)); whole.set(all);
    const now = data.compute(p, ratio, r), at = r * step, value = now.curve[r].toFixed(0);
    image.draw({ values: now.image, words: `image of particle ${p + 1} of ${P} at SNR ${number(ratio)}` });
    reference.draw({ values: now.reference, words: `reference turned by ${at.toFixed(0)} degrees` });
    const reach = 3 * Math.sqrt(now.product.reduce((sum, v) => sum + v * v, 0) / (n * n)) || 1;
    product.draw({ values: now.product, range: [-reach, reach], title: `product, sum ${value}`,
      words: `product of image and reference, pixel by pixel; its sum is ${value}` });
    const drawn = now.curve.map((v, q) => (all || passed[q] ? v : NaN));
    let best = r, count = 0;
    drawn.forEach((v, q) => { if (Number.isFinite(v)) { count++; if (v > drawn[best]) best = q; } });
    const [low, high] = extent(now.curve), margin = 0.08 * (high - low) || 1;
    const said = `highest of the ${count} ${count === 1 ? "point" : "points"} drawn: ${drawn[best].toFixed(0)} ` +
      `at ${(best * step).toFixed(0)}`;
    plot.draw({ values: [drawn], y: [low - margin, high + margin], cursor: at, truth: now.truth,
      words: `CCF, ${count} of ${R} points drawn; ${said} degrees; true rotation ${now.truth.toFixed(0)} degrees` });
    words.say(`At φ = ${at.toFixed(0)}° the CCF is ${value}. The ${said}°. True (▼): ${now.truth.toFixed(0)}°.`);
  }

  return ending(root, follow(model, ["rotation", "particle", "snr", "whole"], draw), turn.stop, words.stop);
}

export default { render };
