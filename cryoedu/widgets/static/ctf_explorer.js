// The CTF explorer. The formula is that of cryoedu/microscope/ctf.py; an image and its point spread function leave the
// transform together, one as the real and the other as the imaginary part of a single inverse FFT.

function fourier(n) {  // an inverse FFT of n × n complex numbers, n a power of two, in place and without the 1/n²
  const bits = Math.log2(n), reversed = new Uint16Array(n);
  const [cos, sin] = [new Float64Array(n / 2), new Float64Array(n / 2)];
  for (let i = 0; i < n; i++) for (let b = 0; b < bits; b++) if (i & (1 << b)) reversed[i] |= 1 << (bits - 1 - b);
  for (let i = 0; i < n / 2; i++) { cos[i] = Math.cos(2 * Math.PI * i / n); sin[i] = Math.sin(2 * Math.PI * i / n); }
  const [a, b] = [new Float64Array(n), new Float64Array(n)];

  function line(re, im, start, step) {
    for (let i = 0; i < n; i++) { a[reversed[i]] = re[start + i * step]; b[reversed[i]] = im[start + i * step]; }
    for (let size = 2; size <= n; size *= 2) {
      const half = size / 2, turn = n / size;
      for (let first = 0; first < n; first += size) for (let k = 0; k < half; k++) {
        const [i, j, c, s] = [first + k, first + k + half, cos[k * turn], sin[k * turn]];
        const x = a[j] * c - b[j] * s, y = a[j] * s + b[j] * c;
        a[j] = a[i] - x; b[j] = b[i] - y; a[i] += x; b[i] += y;
      }
    }
    for (let i = 0; i < n; i++) { re[start + i * step] = a[i]; im[start + i * step] = b[i]; }
  }
  return (re, im) => {
    for (let i = 0; i < n; i++) line(re, im, i * n, 1);
    for (let i = 0; i < n; i++) line(re, im, i, n);
  };
}

function transferFunction(q) {  // (u², cos 2α, sin 2α) → CTF
  const volts = q.voltage * 1e3, lambda = 12.2643247 / Math.sqrt(volts * (1 + 0.978466e-6 * volts));
  const first = Math.PI * lambda, second = Math.PI / 2 * q.cs * 1e7 * lambda ** 3, turn = q.angle * Math.PI / 90;
  const phase = q.phase_shift * Math.PI / 180 + Math.asin(q.amplitude_contrast);
  const [c, s] = [Math.cos(turn), Math.sin(turn)];
  const at = (u2, cos2, sin2) => {
    const defocus = q.defocus + q.astigmatism / 2 * (cos2 * c + sin2 * s);
    return Math.sin(first * defocus * u2 - second * u2 * u2 + phase) * Math.exp(-q.b_factor / 4 * u2);
  };
  const displaced = (u) => Math.max(...[1, -1].map((side) =>  // Å, of a wave: |γ′| / 2π, the larger of the two axes
    Math.abs(lambda * (q.defocus + side * q.astigmatism / 2) * u - q.cs * 1e7 * lambda ** 3 * u ** 3)));
  return { at, turn, displaced };
}

function imaging(model) {
  const n = model.get("box"), length = n * model.get("pixel_size"), F = floats(model.get("_transform"));
  const [u2, cos2, sin2] = [0, 0, 0].map(() => new Float64Array(n * n)), centred = new Int32Array(n * n);
  for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {
    const i = y * n + x, kx = x < n / 2 ? x : x - n, ky = y < n / 2 ? y : y - n, square = kx * kx + ky * ky || 1;
    u2[i] = (kx * kx + ky * ky) / (length * length);
    cos2[i] = (kx * kx - ky * ky) / square; sin2[i] = 2 * kx * ky / square;
    centred[i] = ((y + n / 2) % n) * n + (x + n / 2) % n;
  }
  const invert = fourier(n), re = new Float64Array(n * n), im = new Float64Array(n * n);
  const [power, image, point] = [0, 0, 0].map(() => new Float32Array(n * n));
  const points = 513, u = Float64Array.from({ length: points }, (_, i) => i / (points - 1) * n / 2 / length);

  function compute(q) {
    const { at, turn, displaced } = transferFunction(q);
    for (let i = 0; i < n * n; i++) {
      const c = at(u2[i], cos2[i], sin2[i]);
      power[centred[i]] = c * c;
      re[i] = F[2 * i] * c; im[i] = F[2 * i + 1] * c + c;  // image + i · point
    }
    invert(re, im);
    for (let i = 0; i < n * n; i++) { image[centred[i]] = re[i] / (n * n); point[centred[i]] = im[i] / (n * n); }
    const profile = [0, Math.PI].map((more) => u.map((v) => at(v * v, Math.cos(turn + more), Math.sin(turn + more))));
    let zero = null;
    for (let i = 1; i < points - 1 && zero === null; i++) {
      const [a, b] = [profile[0][i], profile[0][i + 1]];
      if (a * b <= 0) zero = u[i] + (u[1] - u[0]) * a / (a - b || 1);
    }
    const close = u.find((v) => displaced(v) > length / 2) ?? null;  // from here on the rings are closer than n can show
    return { power, image, point, profile, zero, displaced, close };
  }
  return { n, length, nyquist: n / 2 / length, compute };
}

function deviation(values) {
  let [sum, squares] = [0, 0];
  for (const v of values) { sum += v; squares += v * v; }
  return Math.sqrt(Math.max(squares / values.length - (sum / values.length) ** 2, 0));
}

function render({ model, el }) {
  const view = imaging(model), { n, length, nyquist } = view, root = board(el, "CTF explorer");
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const euro = (v) => `${v.toLocaleString("en-GB")} Å`;
  const sliders = {
    defocus: ["defocus Δf", -5000, 40000, 250, euro], phase_shift: ["phase plate", 0, 180, 5, (v) => `${v}°`],
    astigmatism: ["astigmatism", 0, 10000, 250, euro], angle: ["angle of U", 0, 180, 5, (v) => `${v}°`],
    cs: ["aberration Cₛ", 0, 8, 0.1, (v) => `${v} mm`], voltage: ["voltage", 80, 400, 20, (v) => `${v} kV`],
    amplitude_contrast: ["contrast Q₀", 0, 1, 0.01, (v) => v.toFixed(2)],
    b_factor: ["envelope B", 0, 400, 10, (v) => `${v} Å²`],
  };
  const start = Object.fromEntries(Object.keys(sliders).map((name) => [name, model.get(name)]));
  const made = Object.fromEntries(Object.entries(sliders).map(([name, [label, min, max, step, show]]) =>
    [name, slider({ label, min, max, step, value: start[name], show, onInput: (v) => put(name, v) })]));
  const setAll = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  root.append(controls(...Object.values(made).map((s) => s.box), buttons(
    button("as at the start", () => setAll(start)),
    button("in focus", () => setAll({ ...start, defocus: 0, astigmatism: 0 })),
    button("in focus, with phase plate", () => setAll({ ...start, defocus: 0, astigmatism: 0, phase_shift: 90 })),
    button("far from focus", () => setAll({ ...start, defocus: 30000 })))));

  const finest = number(1 / nyquist, 3);
  const size = { width: n, shown: 212, smooth: n > 212 };
  const before = imagePanel({ title: "before", ...size,
    note: `${Math.round(length)} Å across` });
  const rings = imagePanel({ title: "CTF²: Thon rings", ...size, table: bytes(model.get("_cividis")), unit: "",
    note: `edge: ${finest} Å; circles: 10 and 5 Å` });
  const point = imagePanel({ title: "a point becomes", ...size, note: "the point spread function, mean ± 3 σ" });
  const after = imagePanel({ title: "after", ...size });
  const ticks = [50, 20, 10, 7, 5, 4, 3, 2.5, 2, 1.5, 1].filter((d) => 1 / d <= nyquist * 1.001).map((d) => 1 / d);
  const plot = linePlot({ title: "CTF along the two axes of the astigmatism", xLabel: "resolution (Å)", yLabel: "CTF",
    x: [0, nyquist], xTicks: ticks, xTick: (v) => number(1 / v, 2), width: 900, height: 160, name: "ctf",
    series: [{ name: "along U" }, { name: "along V" }] });
  const says = statusLine();
  plot.svg.style.maxWidth = "900px";
  root.append(row(before.box, rings.box, point.box, after.box), row(plot.svg), says.box);
  const original = floats(model.get("_image"));
  before.draw({ values: original, range: extent(original), words: "the image before the microscope" });
  const circles = [10, 5].map((d) => ["circle", {
    cx: n / 2 + 0.5, cy: n / 2 + 0.5, r: length / d, class: "truth", style: "stroke: #fff",
  }]);

  const names = Object.keys(sliders);
  const end = follow(model, names, () => {
    const q = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    for (const name of names) made[name].set(q[name]);
    const now = view.compute(q);
    const where = now.zero === null ? `no zero before ${finest} Å` : `first zero at ${(1 / now.zero).toFixed(1)} Å`;
    rings.draw({ values: now.power, range: [0, 1], marks: circles, words: `CTF squared at ${q.defocus} Å: ${where}` });
    point.draw({ values: now.point, words: `what becomes of a point at a defocus of ${q.defocus} Å` });
    const contrast = `${(100 * deviation(now.image) / deviation(original)).toFixed(0)} % of the contrast`;
    after.draw({ values: now.image, range: extent(now.image), note: `greys stretched; ${contrast}`,
      words: `the image after the microscope at a defocus of ${q.defocus} Å` });
    plot.draw({ values: now.profile, y: [-1.05, 1.35], words: `CTF against resolution: ${where}`,
      lines: [{ y: 0 }, ...(now.zero === null ? [] : [{ x: now.zero, name: where }])] });
    says.say(`Δf = ${euro(q.defocus)}: ${where}. The image keeps ${contrast}. Waves of 5 Å land up to ` +
      `${now.displaced(1 / 5).toFixed(0)} Å from where they belong. ` +
      (now.close === null ? "" : `Finer than ${number(1 / now.close, 2)} Å the rings are closer than this box can show.`));
  });
  return ending(root, end, says.stop);
}

export default { render };
