// The CCF and PDF boards. Python sends the parts of every CCF once (signal with reference, noise with reference);
// here they are added up for the SNR that the sliders ask for, so that nothing waits for the kernel.

function boards(model) {
  const [R, S, P, n] = [model.get("rotations"), model.get("shift_count"), model.get("particle_count"), model.get("box")];
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

function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function render({ model, el }) {
  const data = boards(model), table = bytes(model.get("_cividis")), side = Math.round(Math.sqrt(data.S));
  const step = 360 / data.R;
  const root = h("div", { class: "cryoedu", role: "group", "aria-label": "CCF and PDF boards" });
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const power = (v) => Number((10 ** v).toPrecision(2)).toString();

  const rotation = slider({ label: "rotation φ", min: 0, max: data.R - 1, step: 1, value: model.get("rotation"),
    show: (v) => `${(v * step).toFixed(0)}°`, onInput: (v) => put("rotation", v) });
  const snr = slider({ label: "SNR of the image", min: -3, max: 1, step: 0.05, value: Math.log10(model.get("snr")),
    show: power, onInput: (v) => put("snr", 10 ** v) });
  const sigma = slider({ label: "σ of the model", min: -1, max: 1, step: 0.05, value: Math.log10(model.get("sigma")),
    show: (v) => `${power(v)} × true σ`, onInput: (v) => put("sigma", 10 ** v) });
  rotation.box.classList.add("cryoedu-wide");
  const next = h("button", { type: "button" }, "another particle");
  const trueSigma = h("button", { type: "button" }, "σ = true σ");
  const shifts = h("input", { type: "checkbox" });
  const buttons = h("div", { class: "cryoedu-buttons cryoedu-wide" }, next, trueSigma,
    h("label", {}, shifts, " the shift is unknown too"));
  root.append(h("div", { class: "cryoedu-controls" }, rotation.box, snr.box, sigma.box, buttons));

  const particle = imageBox("particle", data.n), reference = imageBox("reference, turned by φ", data.n);
  const ccfMap = imageBox("CCF: best at each shift", side), pdfMap = imageBox("PDF: sum at each shift", side);
  const pick = (degrees) => put("rotation", Math.round(degrees / step) % data.R);
  const ccf = circlePlot({ title: "CCF", yLabel: "correlation", bars: false, onPick: pick });
  const pdf = circlePlot({ title: "PDF", yLabel: "probability", bars: true, onPick: pick });
  const words = h("p", { class: "cryoedu-words", role: "status", "aria-live": "polite" });
  root.append(h("div", { class: "cryoedu-row" }, particle.box, ccf.svg, ccfMap.box),
              h("div", { class: "cryoedu-row" }, reference.box, pdf.svg, pdfMap.box), words);
  el.append(root);

  let timer = 0;
  function draw() {
    const index = model.get("rotation"), noiseRatio = model.get("snr"), width = model.get("sigma");
    const withShifts = model.get("shifts");
    rotation.set(index); snr.set(Math.log10(noiseRatio)); sigma.set(Math.log10(width)); shifts.checked = withShifts;
    const now = data.compute(model.get("particle"), noiseRatio, width, withShifts);
    paint(particle.canvas, now.image, ...spread(now.image));
    const turned = data.reference(index);
    paint(reference.canvas, turned, ...spread(turned));
    const best = argmax(now.coefficient), likely = argmax(now.pdf);
    const low = Math.min(...now.coefficient), high = now.coefficient[best];
    const margin = 0.08 * (high - low) || 1e-3;
    ccf.draw({ values: now.coefficient, min: low - margin, max: high + margin, index, truthAt: now.truth,
      words: `CCF: highest at ${best * step} degrees with ${high.toFixed(2)}, lowest ${low.toFixed(2)}; ` +
             `true rotation ${now.truth.toFixed(0)} degrees` });
    pdf.draw({ values: now.pdf, min: 0, max: Math.max(1.1 * now.pdf[likely], 4 / data.R), index, truthAt: now.truth,
      flatAt: 1 / data.R,
      words: `PDF: ${(100 * now.pdf[likely]).toFixed(0)} percent at ${likely * step} degrees; ` +
             `about ${now.left.toFixed(1)} of ${data.R} rotations remain` });
    for (const [map, values] of [[ccfMap, now.ccfMap], [pdfMap, now.pdfMap]]) {
      map.box.style.visibility = withShifts ? "visible" : "hidden";
      if (withShifts) {
        const at = argmax(values), range = `shifts within ${(side - 1) / 2} pixels`;
        paint(map.canvas, values, values === now.pdfMap ? 0 : Math.min(...values), values[at], table);
        map.canvas.setAttribute("aria-label", `${map.box.textContent}, ${range}; largest at x ${at % side - (side - 1) / 2}, ` +
          `y ${Math.floor(at / side) - (side - 1) / 2}`);
      }
    }
    particle.canvas.setAttribute("aria-label", `particle ${model.get("particle") + 1} of ${data.P} at SNR ${noiseRatio.toPrecision(2)}`);
    reference.canvas.setAttribute("aria-label", `reference turned by ${(index * step).toFixed(0)} degrees`);
    clearTimeout(timer);
    timer = setTimeout(() => {
      words.textContent = `At φ = ${index * step}° the correlation is ${now.coefficient[index].toFixed(2)} and the probability ` +
        `${now.pdf[index].toFixed(3)}. Highest CCF: ${best * step}°. Most probable: ${likely * step}° ` +
        `(${(100 * now.pdf[likely]).toFixed(0)} %). True (▼): ${now.truth.toFixed(0)}°. ` +
        `About ${now.left.toFixed(1)} of ${data.R} rotations remain.`;
    }, 250);
  }

  next.addEventListener("click", () => put("particle", (model.get("particle") + 1) % data.P));
  trueSigma.addEventListener("click", () => put("sigma", 1));
  shifts.addEventListener("change", () => put("shifts", shifts.checked));
  const names = ["rotation", "snr", "sigma", "particle", "shifts"];
  for (const name of names) model.on(`change:${name}`, draw);
  draw();
  return () => {  // the view goes: let go of the model, the timer and the page
    for (const name of names) model.off(`change:${name}`, draw);
    clearTimeout(timer);
    root.remove();
  };
}

export default { render };
