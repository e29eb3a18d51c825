// The projection-slice explorer. A slice is read from the transform as the engine reads it, and transformed back; the
// projection beside it is made in real space, by adding up along the direction of view. Nothing waits for the kernel.

const DECADES = 4;  // of amplitude that the colours span
const VIEWER = { azimuth: -0.9, height: 0.35 };  // radians: from where the cube is seen

function turned(rot, tilt) {  // the rows of the rotation matrix for psi = 0
  const [a, b] = [rot * Math.PI / 180, tilt * Math.PI / 180];
  const [ca, sa, cb, sb] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
  return [[cb * ca, cb * sa, -sb], [-sa, ca, 0], [sb * ca, sb * sa, cb]];
}

function waves(n) {  // cos and sin of 2π k x / n, x counted from the centre: [k + n/2][x]
  const [cos, sin] = [new Float64Array(n * n), new Float64Array(n * n)];
  for (let k = 0; k < n; k++) for (let x = 0; x < n; x++) {
    const phase = 2 * Math.PI * (k - n / 2) * (x - n / 2) / n;
    cos[k * n + x] = Math.cos(phase); sin[k * n + x] = Math.sin(phase);
  }
  return (re, im, out) => {  // the real image (n, n) of a plane (n, n) whose frequency 0 is at n/2
    const [a, b] = [new Float64Array(n * n), new Float64Array(n * n)];
    for (let row = 0; row < n; row++) for (let k = 0; k < n; k++) {
      const [p, q] = [re[row * n + k], im[row * n + k]];
      if (p === 0 && q === 0) continue;
      for (let x = 0; x < n; x++) {
        const [c, s] = [cos[k * n + x], sin[k * n + x]];
        a[row * n + x] += p * c - q * s; b[row * n + x] += p * s + q * c;
      }
    }
    out.fill(0);
    for (let k = 0; k < n; k++) for (let y = 0; y < n; y++) {
      const [c, s] = [cos[k * n + y], sin[k * n + y]];
      for (let x = 0; x < n; x++) out[y * n + x] += a[k * n + x] * c - b[k * n + x] * s;
    }
    return out;
  };
}

function space(model) {
  const n = model.get("box"), half = n / 2, wide = 2 * n, columns = n + 1;
  const map = floats(model.get("_map")), padded = floats(model.get("_padded")), whole = floats(model.get("_whole"));
  const sent = model.get("_first"), [from, to] = [sent.byteOffset, sent.byteOffset + sent.byteLength];
  const first = new Uint16Array(sent.buffer.slice(from, to));
  const toImage = waves(n), [re, im] = [new Float64Array(n * n), new Float64Array(n * n)];
  const [amplitude, fromSlice, bySums, filled, section] = [0, 0, 0, 0, 0].map(() => new Float32Array(n * n));
  const top = Math.log10(Math.hypot(padded[0], padded[1]));
  const share = new Float32Array(half), inShell = new Float32Array(half), shell = new Uint8Array(n ** 3);
  for (let i = 0; i < n ** 3; i++) {
    const [z, y, x] = [Math.floor(i / n / n) - half, Math.floor(i / n) % n - half, i % n - half];
    shell[i] = Math.min(255, Math.round(Math.hypot(x, y, z)));
    if (shell[i] < half) inShell[shell[i]]++;
  }

  function read(x, y, z) {  // trilinear, from the half volume: [re, im]
    const mate = x < 0;
    if (mate) { x = -x; y = -y; z = -z; }
    const [ix, iy, iz] = [Math.floor(x), Math.floor(y), Math.floor(z)], [fx, fy, fz] = [x - ix, y - iy, z - iz];
    let [p, q] = [0, 0];
    for (let c = 0; c < 8; c++) {
      const w = (c & 1 ? fx : 1 - fx) * (c & 2 ? fy : 1 - fy) * (c & 4 ? fz : 1 - fz);
      if (w === 0) continue;
      const [row, layer] = [(iy + (c & 2 ? 1 : 0) + wide) % wide, (iz + (c & 4 ? 1 : 0) + wide) % wide];
      const at = 2 * ((layer * wide + row) * columns + ix + (c & 1));
      p += w * padded[at]; q += w * padded[at + 1];
    }
    return [p, mate ? -q : q];
  }

  function slice([X, Y]) {
    for (let row = 0; row < n; row++) for (let column = 0; column < n; column++) {
      const i = row * n + column, ky = row - half, kx = column - half;
      const [p, q] = kx * kx + ky * ky < half * half
        ? read(...[0, 1, 2].map((c) => 2 * (X[c] * kx + Y[c] * ky))) : [0, 0];
      re[i] = p / (n * n); im[i] = q / (n * n);
      amplitude[i] = Math.log10(Math.hypot(p, q) + 1e-30);
    }
    toImage(re, im, fromSlice);
  }

  function sum([X, Y, Z]) {  // along the direction of view, the map read between its voxels
    for (let row = 0; row < n; row++) for (let column = 0; column < n; column++) {
      let total = 0;
      const v = row - half, u = column - half;
      for (let w = -half; w < half; w++) {
        const x = X[0] * u + Y[0] * v + Z[0] * w + half, y = X[1] * u + Y[1] * v + Z[1] * w + half;
        const z = X[2] * u + Y[2] * v + Z[2] * w + half;
        if (x < 0 || y < 0 || z < 0 || x > n - 1 || y > n - 1 || z > n - 1) continue;
        const ix = Math.min(Math.floor(x), n - 2), iy = Math.min(Math.floor(y), n - 2);
        const iz = Math.min(Math.floor(z), n - 2);
        const fx = x - ix, fy = y - iy, fz = z - iz, at = (iz * n + iy) * n + ix;
        const near = (i) => (1 - fx) * map[i] + fx * map[i + 1];
        const layer = (i) => (1 - fy) * near(i) + fy * near(i + n);
        total += (1 - fz) * layer(at) + fz * layer(at + n * n);
      }
      bySums[row * n + column] = total;
    }
  }

  function fill(kind, count) {  // a cut through the map is the projection of its transform: the theorem, backwards
    const offset = kind * n ** 3;
    share.fill(0); re.fill(0); im.fill(0);
    for (let z = 0, i = offset; z < n; z++) for (let y = 0; y < n; y++) for (let x = 0; x < n; x++, i++) {
      if (first[i] >= count) continue;
      const s = shell[i - offset];
      if (s < half) share[s] += 100 / inShell[s];
      const [kx, ky, kz] = [x - half, y - half, z - half], sign = kx < 0 ? -1 : 1;
      const wrap = (k) => (sign * k + n) % n, at = 2 * ((wrap(kz) * n + wrap(ky)) * (half + 1) + Math.abs(kx));
      re[z * n + x] += whole[at] / n ** 3; im[z * n + x] += sign * whole[at + 1] / n ** 3;
    }
    toImage(re, im, section);
    for (let z = 0; z < n; z++) for (let x = 0; x < n; x++)
      filled[z * n + x] = first[offset + (z * n + half) * n + x] < count ? 1 : 0;
  }

  const inside = (kind, count) => {
    let [all, some] = [0, 0];
    for (let i = 0; i < n ** 3; i++) if (shell[i] < half) { all++; if (first[kind * n ** 3 + i] < count) some++; }
    return 100 * some / all;
  };
  return { n, half, top, slice, sum, fill, inside, amplitude, fromSlice, bySums, filled, section, share };
}

function correlation(a, b) {
  let [sa, sb, aa, bb, ab] = [0, 0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    sa += a[i]; sb += b[i]; aa += a[i] * a[i]; bb += b[i] * b[i]; ab += a[i] * b[i];
  }
  const m = a.length;
  return (ab - sa * sb / m) / Math.sqrt((aa - sa * sa / m) * (bb - sb * sb / m) || 1);
}

function cube() {  // Fourier space as a box, the planes in it as discs across their directions of view
  const W = 230, scale = 62, { azimuth, height } = VIEWER;
  const right = [-Math.sin(azimuth), Math.cos(azimuth), 0];
  const up = [-Math.sin(height) * Math.cos(azimuth), -Math.sin(height) * Math.sin(azimuth), Math.cos(height)];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const at = (p) => `${(W / 2 + scale * dot(p, right)).toFixed(1)} ${(W / 2 - scale * dot(p, up)).toFixed(1)}`;
  const line = (p, q, more) => h("path", { d: `M${at(p)}L${at(q)}`, fill: "none", stroke: "currentColor", ...more });
  const svg = h("svg", { viewBox: `0 0 ${W} ${W}`, role: "img",
    style: "max-width:230px;min-width:200px;flex:0 1 230px" });
  for (const [a, b] of [[-1, -1], [-1, 1], [1, -1], [1, 1]]) {
    svg.append(line([a, b, -1], [a, b, 1], { opacity: 0.35 }), line([a, -1, b], [a, 1, b], { opacity: 0.35 }),
               line([-1, a, b], [1, a, b], { opacity: 0.35 }));
  }
  [["kx", [1.25, 0, 0]], ["ky", [0, 1.25, 0]], ["kz", [0, 0, 1.25]]].forEach(([name, p]) => {
    const [x, y] = at(p).split(" ");
    svg.append(line([0, 0, 0], p.map((v) => v * 0.92), { opacity: 0.5 }),
               h("text", { x, y, "text-anchor": "middle", "font-size": 12, fill: "currentColor" }, name));
  });
  const disc = (d) => {
    const e1 = Math.abs(d[2]) < 0.9 ? [d[1], -d[0], 0] : [0, d[2], -d[1]], size = Math.hypot(...e1);
    const p = e1.map((v) => v / size);
    const q = [d[1] * p[2] - d[2] * p[1], d[2] * p[0] - d[0] * p[2], d[0] * p[1] - d[1] * p[0]];
    return Array.from({ length: 49 }, (_, i) => {
      const [c, s] = [Math.cos(i * Math.PI / 24), Math.sin(i * Math.PI / 24)];
      return `${i ? "L" : "M"}${at(p.map((v, k) => v * c + q[k] * s))}`;
    }).join("") + "Z";
  };
  const many = h("path", { fill: "none", stroke: COLOURS[0], "stroke-width": 0.7, opacity: 0.6 });
  const plane = h("path", { fill: COLOURS[1], "fill-opacity": 0.35, stroke: COLOURS[1], "stroke-width": 2 });
  const arrow = h("path", { fill: "none", stroke: COLOURS[1], "stroke-width": 2, "stroke-dasharray": "4 3" });
  svg.append(many, plane, arrow);
  return { svg, draw: (now, others, words) => {
    many.setAttribute("d", others.map(disc).join(""));
    plane.setAttribute("d", disc(now));
    arrow.setAttribute("d", `M${at(now.map((v) => -1.3 * v))}L${at(now.map((v) => 1.3 * v))}`);
    svg.setAttribute("aria-label", words);
  } };
}

function render({ model, el }) {
  const view = space(model), { n, half } = view, root = board(el, "projection-slice explorer");
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const kinds = model.get("_kinds"), directions = floats(model.get("_directions"));
  const most = directions.length / 3 / kinds.length, length = n * model.get("pixel_size");
  const rot = slider({ label: "rot", min: 0, max: 355, step: 5, value: model.get("rot"), show: (v) => `${v}°`,
    onInput: (v) => put("rot", v) });
  const tilt = slider({ label: "tilt", min: 0, max: 180, step: 5, value: model.get("tilt"), show: (v) => `${v}°`,
    onInput: (v) => put("tilt", v) });
  const kind = choice({ label: "many views", options: kinds, value: model.get("kind"),
    onInput: (i) => put("kind", i) });
  const slices = slider({ label: "how many", min: 0, max: most, step: 1, value: model.get("slices"),
    show: (v) => `${v} slices`, onInput: (v) => put("slices", v) });
  root.append(controls(rot.box, tilt.box, kind.box, slices.box));

  const table = bytes(model.get("_cividis")), size = { width: n, shown: 192 }, box = cube(), grey = "grey: density";
  const amplitude = imagePanel({ title: "the slice: log₁₀ amplitude", ...size, table, unit: "",
    note: "coarse waves in the centre" });
  const back = imagePanel({ title: "the slice, transformed back", ...size, unit: "", note: grey });
  const sums = imagePanel({ title: "projection by adding up", ...size, unit: "", note: grey });
  const filled = imagePanel({ title: "reached by the slices: yellow", ...size, table,
    note: "cut: kx across, kz down" });
  const section = imagePanel({ title: "the map from these slices", ...size, note: "cut: x across, z down" });
  const ticks = [100, 50, 30, 25, 20, 17, 15, 12, 10].map((d) => length / d).filter((s) => s < half);
  const plot = linePlot({ title: "how much of each shell is reached", xLabel: "resolution (Å)", yLabel: "reached (%)",
    x: [0, half - 1], xTicks: ticks, xTick: (s) => number(length / s, 2),
    series: [{ name: "share" }], height: 215, name: "share" });
  const says = statusLine();
  root.append(row(box.svg, amplitude.box, back.box, sums.box), row(filled.box, section.box, plot.svg), says.box);

  let words = ["", ""], drawn = {};
  const end = follow(model, ["rot", "tilt", "slices", "kind"], () => {
    const now = Object.fromEntries(["rot", "tilt", "slices", "kind"].map((name) => [name, model.get(name)]));
    const rotation = turned(now.rot, now.tilt);
    rot.set(now.rot); tilt.set(now.tilt); slices.set(now.slices); kind.set(now.kind);
    if (now.rot !== drawn.rot || now.tilt !== drawn.tilt) {
      view.slice(rotation); view.sum(rotation);
      const alike = correlation(view.fromSlice, view.bySums).toFixed(3);
      const pose = `rot ${now.rot}, tilt ${now.tilt} degrees`;
      amplitude.draw({ values: view.amplitude, range: [view.top - DECADES, view.top], words: `slice at ${pose}` });
      back.draw({ values: view.fromSlice,
        words: `the slice at ${pose}, transformed back; correlation ${alike} with the projection` });
      sums.draw({ values: view.bySums, words: `projection at ${pose}, by adding up the map` });
      words[0] = `At rot ${now.rot}°, tilt ${now.tilt}°: the correlation of the two projections is ${alike}.`;
    }
    if (now.slices !== drawn.slices || now.kind !== drawn.kind) {
      view.fill(now.kind, now.slices);
      const part = view.inside(now.kind, now.slices).toFixed(1), all = `${now.slices} slices, ${kinds[now.kind]}`;
      filled.draw({ values: view.filled, range: [0, 1], words: `cut through Fourier space: reached by ${all}` });
      section.draw({ values: view.section, words: `cut through the map made from ${all}` });
      plot.draw({ values: [view.share], y: [0, 105],
        words: `share of each shell reached: ${view.share[half - 1].toFixed(0)} percent of the last` });
      words[1] = `${all}: ${part} % of Fourier space within Nyquist is reached.`;
    }
    const others = Array.from({ length: Math.min(now.slices, 40) }, (_, i) =>
      Array.from(directions.subarray(3 * (now.kind * most + i), 3 * (now.kind * most + i) + 3)));
    box.draw(rotation[2], others, `cube of Fourier space with the plane at rot ${now.rot}, tilt ${now.tilt} degrees, ` +
      `across its direction of view, and ${others.length} of the ${now.slices} slices`);
    drawn = now;
    says.say(words.join(" "));
  });
  return ending(root, end, says.stop);
}

export default { render };
