// The Wiener and T explorer. Python sends, for each number of images, Σ CTF² and Σ CTF·noise of two halves; every map
// that the sliders can ask for is a quotient of their sums, computed here.

const [TRUTH, MAP, HALVES, NONE] = [0, 1, 2, 4];  // where τ² comes from; 3 is the same everywhere
const EXPONENTS = Array.from({ length: 41 }, (_, i) => -2 + i / 10);
const ROUNDS = 30, GUARD = 1e-6, WEAK = 1e-2, LEAST_FSC = 1e-3, MOST_FSC = 0.999;

// In place, unscaled, with exp(+i…): of one line of complex numbers, n a power of 2, `at` the first, `step` apart.
function transformLine(re, im, at, step, n) {
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      const [a, b] = [at + i * step, at + j * step];
      [re[a], re[b]] = [re[b], re[a]]; [im[a], im[b]] = [im[b], im[a]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const c = Math.cos(2 * Math.PI * k / size), s = Math.sin(2 * Math.PI * k / size);
      for (let start = k; start < n; start += size) {
        const a = at + start * step, b = a + half * step;
        const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
        re[b] = re[a] - x; im[b] = im[a] - y;
        re[a] += x; im[a] += y;
      }
    }
  }
}

// The image (n, n), centre at n/2, of a half plane (n, n/2 + 1) given as interleaved complex numbers.
function image(half, n) {
  const m = n / 2 + 1, re = new Float64Array(n * n), im = new Float64Array(n * n), out = new Float32Array(n * n);
  for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {
    const own = x < m, at = own ? y * m + x : ((n - y) % n) * m + n - x;
    re[y * n + x] = half[2 * at]; im[y * n + x] = own ? half[2 * at + 1] : -half[2 * at + 1];
  }
  for (let y = 0; y < n; y++) transformLine(re, im, y * n, 1, n);
  for (let x = 0; x < n; x++) transformLine(re, im, x, n, n);
  for (let y = 0; y < n; y++) for (let x = 0; x < n; x++)
    out[((y + n / 2) % n) * n + (x + n / 2) % n] = re[y * n + x] / (n * n);
  return out;
}

function explorer(model) {
  const n = model.get("box"), m = n / 2 + 1, J = n * m, bins = n / 2 + 1, counts = model.get("counts");
  const truth = floats(model.get("_map")), allWeights = floats(model.get("_weights"));
  const allNoises = floats(model.get("_noises"));
  const shell = new Int32Array(J), times = new Float64Array(J), inside = new Uint8Array(J);
  const size = new Float64Array(bins);
  for (let y = 0; y < n; y++) for (let x = 0; x < m; x++) {
    const j = y * m + x, radius = Math.floor(Math.hypot(y < n / 2 ? y : y - n, x) + 0.5);
    shell[j] = Math.min(radius, n / 2);
    inside[j] = radius < bins ? 1 : 0;
    times[j] = x === 0 || x === n / 2 ? 1 : 2;
    if (inside[j]) size[shell[j]] += times[j];
  }
  const noise = n * n / 2;

  function mean(value) {  // over each shell, of value(j)
    const out = new Float64Array(bins);
    for (let j = 0; j < J; j++) if (inside[j]) out[shell[j]] += times[j] * value(j);
    return out.map((v, k) => v / size[k]);
  }

  // What does not depend on T: the sums for this number of images and this SNR.
  function data(count, snr) {
    const contrast = Math.sqrt(snr), signal = truth.map((v) => contrast * v), weight = new Float64Array(J);
    const numerator = new Float64Array(2 * J), halves = [];
    for (let half = 0; half < 2; half++) {
      const at = (2 * count + half) * J, w = allWeights.subarray(at, at + J);
      const top = allNoises.slice(2 * at, 2 * (at + J));
      for (let j = 0; j < J; j++) {
        top[2 * j] += w[j] * signal[2 * j]; top[2 * j + 1] += w[j] * signal[2 * j + 1];
        weight[j] += w[j]; numerator[2 * j] += top[2 * j]; numerator[2 * j + 1] += top[2 * j + 1];
      }
      halves.push({ w, top, mean: mean((j) => w[j]) });
    }
    const [a, b] = halves.map(({ w, top, mean: middle }) => top.map((v, i) =>
      v / (w[i >> 1] + WEAK * middle[shell[i >> 1]])));
    const cross = mean((j) => a[2 * j] * b[2 * j] + a[2 * j + 1] * b[2 * j + 1]);
    const powers = [a, b].map((v) => mean((j) => v[2 * j] ** 2 + v[2 * j + 1] ** 2));
    const fsc = cross.map((v, k) => v / Math.sqrt(powers[0][k] * powers[1][k]));
    const square = new Float64Array(J);
    let heaviest = 0;
    for (let j = 0; j < J; j++) {
      square[j] = numerator[2 * j] ** 2 + numerator[2 * j + 1] ** 2;
      heaviest = Math.max(heaviest, weight[j]);
    }
    const power = mean((j) => 0.5 * (signal[2 * j] ** 2 + signal[2 * j + 1] ** 2));
    const own = { signal, weight, numerator, square, power, fsc, guard: GUARD * heaviest, contrast };
    own.noise = mean((j) => weight[j]).map((v) => noise / v);
    own.halfWeight = halves[0].mean.map((v, k) => (v + halves[1].mean[k]) / 2);
    own.ridgeOf = (tau2) => tau2.map((v) => noise / Math.max(v, 1e-30));
    own.ml = apply(own, new Float64Array(bins).fill(own.guard));
    own.errorMl = error(own, own.ml);
    own.bestRidge = own.ridgeOf(power);
    own.errorBest = error(own, apply(own, own.bestRidge));
    return own;
  }

  function apply(own, ridge) {
    return own.numerator.map((v, i) => v / (own.weight[i >> 1] + ridge[shell[i >> 1]]));
  }

  function error(own, found) {
    let off = 0, all = 0;
    for (let j = 0; j < J; j++) for (const i of [2 * j, 2 * j + 1]) {
      off += times[j] * (found[i] - own.signal[i]) ** 2; all += times[j] * own.signal[i] ** 2;
    }
    return Math.sqrt(off / all);
  }

  function prior(own, source, fudge) {  // T τ² of each shell
    if (source === MAP) {
      const least = 1e-12 * Math.max(...own.power);
      let tau2 = mean((j) => 0.5 * own.square[j] / (own.weight[j] + own.guard) ** 2);
      for (let round = 0; round < ROUNDS; round++) {
        const ridge = own.ridgeOf(tau2.map((v) => fudge * v));
        tau2 = mean((j) => 0.5 * own.square[j] / (own.weight[j] + ridge[shell[j]]) ** 2).map((v) => Math.max(v, least));
      }
      return tau2.map((v) => fudge * v);
    }
    if (source === HALVES) return own.fsc.map((v, k) => {
      const safe = Math.max(LEAST_FSC, Math.min(MOST_FSC, v));
      return fudge * safe / (1 - safe) * noise / own.halfWeight[k];
    });
    const flat = Math.exp(own.power.reduce((sum, v, k) => k ? sum + Math.log(v) : 0, 0) / (bins - 1));
    return own.power.map((v) => fudge * (source === TRUTH ? v : flat));
  }

  function filter(own, source, fudge) {
    const tau2 = prior(own, source, fudge);
    const ridge = source === NONE ? new Float64Array(bins).fill(own.guard) : own.ridgeOf(tau2);
    return { tau2, ridge };
  }

  let sums = null, sumsFor = "", curve = null, curveFor = "";
  function now(count, snr, source, fudge) {
    const key = `${count} ${snr}`;
    if (key !== sumsFor) { sums = data(count, snr); sumsFor = key; }
    if (`${key} ${source}` !== curveFor) {
      curve = EXPONENTS.map((e) => error(sums, apply(sums, filter(sums, source, 10 ** e).ridge)));
      curveFor = `${key} ${source}`;
    }
    const { tau2, ridge } = filter(sums, source, fudge), found = apply(sums, ridge);
    const shown = source === NONE ? sums.bestRidge : ridge;
    const kept = (by) => mean((j) => sums.weight[j] / (sums.weight[j] + by[shell[j]]));
    const ssnr = new Float32Array(n * n);
    for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {  // zero frequency in the centre, ky upwards
      let ky = n / 2 - y, kx = x - n / 2;
      if (kx < 0) { kx = -kx; ky = -ky; }
      const j = ((ky + n) % n) * m + kx;
      ssnr[y * n + x] = Math.log10(Math.max(sums.weight[j] / shown[shell[j]], 1e-9));
    }
    return { ...sums, tau2: source === NONE ? tau2.map(() => NaN) : tau2, found, error: error(sums, found), curve,
             kept: kept(ridge), best: kept(sums.bestRidge), ssnr };
  }
  return { n, bins, counts, now };
}

function render({ model, el }) {
  const data = explorer(model), { n, bins, counts } = data, length = n * model.get("pixel_size");
  const sources = model.get("sources"), root = board(el, "Wiener and T explorer");
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const power = (v) => number(10 ** v);

  const count = slider({ label: "images", min: 0, max: counts.length - 1, step: 1, value: model.get("count"),
    show: (v) => `${counts[v]}`, onInput: (v) => put("count", v) });
  const snr = slider({ label: "SNR of an image", min: -3, max: 0, step: 0.1, value: Math.log10(model.get("snr")),
    show: power, onInput: (v) => put("snr", 10 ** v) });
  const fudge = slider({ label: "T", min: -2, max: 2, step: 0.05, value: Math.log10(model.get("fudge")),
    show: power, onInput: (v) => put("fudge", 10 ** v) });
  const source = choice({ label: "τ²", options: sources, value: model.get("source"),
    onInput: (v) => put("source", v) });
  root.append(controls(count.box, snr.box, fudge.box, source.box, buttons(button("T = 1", () => put("fudge", 1)))));

  const panel = (title) => imagePanel({ title, width: n, shown: 146 });
  const [true_, ml, mine, wrong] = ["truth", "no prior (ML)", "with this filter", "filtered minus truth"].map(panel);
  const fourier = imagePanel({ title: "SSNR in Fourier space", width: n, shown: 146, unit: "log₁₀",
    table: bytes(model.get("_cividis")), note: "zero frequency in the centre" });
  const resolution = { x: [1, bins - 1], xLabel: "resolution (Å)", xTick: (k) => (length / k).toFixed(0), width: 310,
    xTicks: [1, 2, 3, 4, 5, 6, 7, 8].map((k) => k * (bins - 1) / 8), height: 180 };
  const powers = linePlot({ ...resolution, title: "Power in each shell", yLabel: "power", log: "y", name: "powers",
    series: [{ name: "signal (truth)" }, { name: "T τ²" }, { name: "noise left" }] });
  const gains = linePlot({ ...resolution, title: "The filter", yLabel: "share, or FSC", name: "gains",
    series: [{ name: "kept" }, { name: "best possible" }, { name: "FSC of halves" }] });
  const errors = linePlot({ title: "Error of the map", xLabel: "T", yLabel: "error", x: [0.01, 100], log: "x",
    width: 310, height: 194, name: "errors", series: [{ name: "error" }], onPick: (v) => put("fudge", v) });
  const says = statusLine();
  const pictures = row(true_.box, ml.box, mine.box, wrong.box, fourier.box);
  pictures.style.alignItems = "flex-start";
  root.append(pictures, row(powers.svg, gains.svg, errors.svg), says.box);
  for (const { svg } of [powers, gains, errors]) svg.style.cssText = "flex: 1 1 230px; min-width: 230px";  // in a row

  function draw() {
    const [at, level, T, from] = ["count", "snr", "fudge", "source"].map((name) => model.get(name));
    count.set(at); snr.set(Math.log10(level)); fudge.set(Math.log10(T)); source.set(from);
    const now = data.now(at, level, from, T), picture = image(now.signal, n), found = image(now.found, n);
    const high = extent(picture)[1], range = [-0.6 * high, 1.2 * high], rest = (v) => Array.from(v).slice(1);
    const prior = from === NONE ? "no prior" : `τ² ${sources[from]}, T = ${number(T)}`;
    true_.draw({ values: picture, range, words: "the true particle" });
    ml.draw({ values: image(now.ml, n), range,
      words: `the map without a prior from ${counts[at]} images, error ${now.errorMl.toFixed(2)}` });
    mine.draw({ values: found, range, words: `the map with ${prior}, error ${now.error.toFixed(2)}` });
    wrong.draw({ values: found.map((v, i) => v - picture[i]), range, words: "what is wrong with the filtered map" });
    const above = now.ssnr.reduce((sum, v) => sum + (v > 0), 0) / now.ssnr.length;
    fourier.draw({ values: now.ssnr, range: [-2, 2],
      words: `SSNR of each Fourier component, above 1 in ${(100 * above).toFixed(0)} percent` });
    const shown = [...rest(now.power), ...rest(now.noise)];
    const shells = Array.from({ length: bins - 1 }, (_, k) => k + 1), places = [shells, shells, shells];
    const words = (values) => {
      const last = values.findIndex((v) => !(v > 0.5));
      return last < 0 ? "to Nyquist" : last === 0 ? "nowhere" : `to ${(length / last).toFixed(0)} Å`;
    };
    powers.draw({ values: [rest(now.power), rest(now.tau2), rest(now.noise)], at: places,
      y: [Math.min(...shown) / 10, Math.max(...shown) * 10],
      words: `Power by resolution: signal above the noise that is left ` +
             words(rest(now.power).map((v, k) => v / (v + now.noise[k + 1]))) });
    gains.draw({ values: [rest(now.kept), rest(now.best), rest(now.fsc)], at: places, y: [-0.3, 1.05],
      words: `The filter keeps more than half ${words(rest(now.kept))}, the best possible one ` +
             `${words(rest(now.best))}; halves agree to more than 0.5 ${words(rest(now.fsc))}` });
    let lowest = 0;
    now.curve.forEach((v, i) => { if (v < now.curve[lowest]) lowest = i; });
    const where = from === NONE ? ""
      : ` Lowest ${now.curve[lowest].toFixed(2)} at T = ${number(10 ** EXPONENTS[lowest])}.`;
    errors.draw({ values: [now.curve], at: [EXPONENTS.map((e) => 10 ** e)], cursor: T,
      y: [0, 1.1 * Math.max(0.1, Math.min(Math.max(...now.curve), 3))],
      lines: [{ y: now.errorBest, name: "true τ², T = 1", left: true }],
      words: `Error of the map over T: now ${now.error.toFixed(2)}.${where}` });
    says.say(`${counts[at]} images at SNR ${number(level)}, ${prior}: error of the map ${now.error.toFixed(2)}, ` +
      `without a prior ${now.errorMl.toFixed(2)}, with the true τ² and T = 1: ${now.errorBest.toFixed(2)}.${where}`);
  }
  return ending(root, follow(model, ["count", "snr", "fudge", "source"], draw), says.stop);
}

export default { render };
