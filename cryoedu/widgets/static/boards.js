// The CCF and PDF boards. Python sends the parts of every CCF once (signal with reference, noise with reference);
// here they are added up for the SNR that the sliders ask for, so that nothing waits for the kernel.

function boards(model) {
  const [R, S, P, n] = ["rotations", "shift_count", "particle_count", "box"].map((name) => model.get(name));
  const signalCcf = floats(model.get("_signal_ccf")), noiseCcf = floats(model.get("_noise_ccf"));
  const energy = floats(model.get("_energy")), norms = floats(model.get("_norms"));
  const signals = floats(model.get("_signals")), noises = floats(model.get("_noises"));
  const references = floats(model.get("_references")), truths = floats(model.get("_truths"));
  const ccf = new Float32Array(R), coefficient = new Float32Array(R), pdf = new Float32Array(R);
  const ccfMap = new Float32Array(S), pdfMap = new Float32Array(S);
  const scores = new Float64Array(R * S), image = new Float32Array(n * n);

  // CCF at its best shift, PDF summed over the shifts, for particle p at this SNR and σ
  function compute(p, snr, sigma, withShifts) {
    const c = Math.sqrt(snr), offset = p * R * S, home = truths[3 * p + 2];
    const size = Math.sqrt(snr * norms[3 * p] + 2 * c * norms[3 * p + 1] + norms[3 * p + 2]);
    ccfMap.fill(-Infinity);
    let top = -Infinity;
    for (let r = 0; r < R; r++) {
      ccf[r] = -Infinity;
      for (let s = 0; s < S; s++) {
        const used = withShifts || s === home;
        const value = snr * signalCcf[offset + r * S + s] + c * noiseCcf[offset + r * S + s];
        const score = used ? (value - 0.5 * snr * energy[r]) / (sigma * sigma) : -Infinity;
        scores[r * S + s] = score;
        if (score > top) top = score;
        if (used && value > ccf[r]) ccf[r] = value;
        if (used && value > ccfMap[s]) ccfMap[s] = value;
      }
      coefficient[r] = ccf[r] / (size * c * Math.sqrt(energy[r]) || 1);
    }
    let total = 0;
    pdf.fill(0); pdfMap.fill(0);
    for (let r = 0; r < R; r++) for (let s = 0; s < S; s++) {
      const weight = Math.exp(scores[r * S + s] - top);
      pdf[r] += weight; pdfMap[s] += weight; total += weight;
    }
    let entropy = 0;
    for (let r = 0; r < R; r++) { pdf[r] /= total; if (pdf[r] > 0) entropy -= pdf[r] * Math.log(pdf[r]); }
    for (let s = 0; s < S; s++) pdfMap[s] /= total;
    const signal = signals.subarray(p * n * n, (p + 1) * n * n), noise = noises.subarray(p * n * n, (p + 1) * n * n);
    for (let i = 0; i < n * n; i++) image[i] = c * signal[i] + noise[i];
    return { image, coefficient, pdf, ccfMap, pdfMap, left: Math.exp(entropy), truth: truths[3 * p] };
  }
  return { R, S, P, n, compute, reference: (r) => references.subarray(r * n * n, (r + 1) * n * n) };
}

function render({ model, el }) {
  const data = boards(model), table = bytes(model.get("_cividis")), side = Math.round(Math.sqrt(data.S));
  const step = 360 / data.R, reach = (side - 1) / 2;
  const root = board(el, "CCF and PDF boards");
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const power = (v) => number(10 ** v);

  const rotation = slider({ label: "rotation φ", min: 0, max: data.R - 1, step: 1, value: model.get("rotation"),
    show: (v) => `${(v * step).toFixed(0)}°`, onInput: (v) => put("rotation", v) });
  const snr = slider({ label: "SNR of the image", min: -3, max: 1, step: 0.05, value: Math.log10(model.get("snr")),
    show: power, onInput: (v) => put("snr", 10 ** v) });
  const sigma = slider({ label: "σ of the model", min: -1, max: 1, step: 0.05, value: Math.log10(model.get("sigma")),
    show: (v) => `${power(v)} × true σ`, onInput: (v) => put("sigma", 10 ** v) });
  rotation.box.classList.add("cryoedu-wide");
  const shifts = tickBox({ label: "the shift is unknown too", onInput: (on) => put("shifts", on) });
  root.append(controls(rotation.box, snr.box, sigma.box, buttons(
    button("another particle", () => put("particle", (model.get("particle") + 1) % data.P)),
    button("σ = true σ", () => put("sigma", 1)), shifts.box)));

  const particle = imagePanel({ title: "particle", width: data.n });
  const reference = imagePanel({ title: "reference, turned by φ", width: data.n });
  const titles = ["CCF: best at each shift", "PDF: sum at each shift"], note = `→ x, ↓ y, each ±${reach} pixels`;
  const maps = titles.map((title) => imagePanel({ title, width: side, table, note }));
  const onPick = (degrees) => put("rotation", Math.round(degrees / step) % data.R);
  const turns = { xLabel: "rotation φ of the reference", x: [0, 360], xTicks: 90, xTick: (d) => `${d}°`, circle: true,
    onPick };
  const ccf = linePlot({ ...turns, title: "CCF", name: "ccf", yLabel: "correlation", series: [{ kind: "line" }] });
  const pdf = linePlot({ ...turns, title: "PDF", name: "pdf", yLabel: "probability",
    series: [{ kind: "bars", colour: COLOURS[1] }] });
  const words = statusLine();
  root.append(row(particle.box, ccf.svg, maps[0].box), row(reference.box, pdf.svg, maps[1].box), words.box);

  function draw() {
    const [index, p, noiseRatio, width] = ["rotation", "particle", "snr", "sigma"].map((name) => model.get(name));
    const withShifts = model.get("shifts"), now = data.compute(p, noiseRatio, width, withShifts), at = index * step;
    rotation.set(index); snr.set(Math.log10(noiseRatio)); sigma.set(Math.log10(width)); shifts.set(withShifts);
    particle.draw({ values: now.image, words: `particle ${p + 1} of ${data.P} at SNR ${noiseRatio.toPrecision(2)}` });
    reference.draw({ values: data.reference(index), words: `reference turned by ${at.toFixed(0)} degrees` });
    const best = argmax(now.coefficient), likely = argmax(now.pdf);
    const [low, high] = extent(now.coefficient), margin = 0.08 * (high - low) || 1e-3;
    const percent = (100 * now.pdf[likely]).toFixed(0);
    ccf.draw({ values: [now.coefficient], y: [low - margin, high + margin], cursor: at, truth: now.truth,
      words: `CCF: highest at ${best * step} degrees with ${high.toFixed(2)}, lowest ${low.toFixed(2)}; ` +
             `true rotation ${now.truth.toFixed(0)} degrees` });
    pdf.draw({ values: [now.pdf], y: [0, Math.max(1.1 * now.pdf[likely], 4 / data.R)], cursor: at, truth: now.truth,
      lines: [{ y: 1 / data.R }],
      words: `PDF: ${percent} percent at ${likely * step} degrees; ` +
             `about ${now.left.toFixed(1)} of ${data.R} rotations remain` });
    [[now.ccfMap, null], [now.pdfMap, [0, Math.max(...now.pdfMap)]]].forEach(([values, range], i) => {
      maps[i].box.style.visibility = withShifts ? "visible" : "hidden";
      if (!withShifts) return;
      const top = argmax(values), [x, y] = [top % side - reach, Math.floor(top / side) - reach];
      maps[i].draw({ values, range, words: `${titles[i]}, shifts within ${reach} pixels; ` +
        `largest at x ${x}, y ${y}` });
    });
    words.say(`At φ = ${at}° the correlation is ${now.coefficient[index].toFixed(2)} and the probability ` +
      `${now.pdf[index].toFixed(3)}. Highest CCF: ${best * step}°. Most probable: ${likely * step}° ` +
      `(${percent} %). True (▼): ${now.truth.toFixed(0)}°. ` +
      `About ${now.left.toFixed(1)} of ${data.R} rotations remain.`);
  }

  return ending(root, follow(model, ["rotation", "snr", "sigma", "particle", "shifts"], draw), words.stop);
}

export default { render };
