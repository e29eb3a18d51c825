// The class explorer. Python sends the maps of all iterations, the histograms and the tables once; the sections, their
// differences and the words are made here, so that nothing waits for the kernel.

const AXES = ["x", "y", "z"], HISTOGRAM_BINS = 20;

function sections(model) {
  const [T, K, n] = ["iterations", "classes", "box"].map((name) => model.get(name)), view = model.get("_maps");
  const stored = new Uint16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const [low, high] = model.get("_range"), step = (high - low) / 65535, strides = [1, n, n * n];
  const cuts = Array.from({ length: K }, () => new Float32Array(n * n)), apart = cuts.map((c) => c.slice());

  // the sections across an axis at this depth, rows and columns being the other two axes, z before y before x
  function cut(t, plane, depth) {
    const [column, row] = [0, 1, 2].filter((axis) => axis !== plane).map((axis) => strides[axis]);
    for (let k = 0; k < K; k++) {
      const start = (t * K + k) * n * n * n + depth * strides[plane];
      for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++) cuts[k][i * n + j] = low + step * stored[start + i * row + j * column];
    }
    for (let p = 0; p < n * n; p++) {
      let mean = 0;
      for (let k = 0; k < K; k++) mean += cuts[k][p] / K;
      for (let k = 0; k < K; k++) apart[k][p] = cuts[k][p] - mean;
    }
    return { cuts, apart };
  }
  return { T, K, n, range: [low, high], cut };
}

function countTable(K, names) {  // rows: the classes of the run; columns: the true ones
  const cells = Array.from({ length: K }, () => names.map(() => h("td", {})));
  const box = h("table", { class: "cryoedu-table" },
    h("caption", {}, "particles by their most probable class"),
    h("thead", {}, h("tr", {}, h("td", {}), ...names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...cells.map((row, k) => h("tr", {}, h("th", { scope: "row" }, `class ${k + 1}`), ...row))));
  const draw = (counts) => counts.forEach((row, k) => row.forEach((value, j) => {
    cells[k][j].textContent = String(value);
    cells[k][j].classList.toggle("most", value > 0 && value === Math.max(...row));
  }));
  return { box, draw };
}

function render({ model, el }) {
  const data = sections(model), names = model.get("names"), L = names.length, reach = model.get("_reach") || 1;
  const counts = floats(model.get("_counts")), tables = floats(model.get("_tables")), B = HISTOGRAM_BINS;
  const root = board(el, "class explorer");
  const put = (name, value) => { model.set(name, value); model.save_changes(); };

  const time = player({ label: "iteration", frames: data.T, value: model.get("iteration"),
    onInput: (t) => put("iteration", t) });
  const plane = choice({ label: "section across", options: AXES, value: model.get("plane"),
    onInput: (axis) => put("plane", axis) });
  const depth = slider({ label: "at depth", min: 0, max: data.n - 1, step: 1, value: model.get("depth"),
    show: (v) => `voxel ${v}`, onInput: (v) => put("depth", v) });
  const shown = choice({ label: "probabilities of", value: model.get("shown"),
    options: Array.from({ length: data.K }, (_, k) => `class ${k + 1}`), onInput: (k) => put("shown", k) });
  root.append(controls(time.box, plane.box, depth.box, shown.box));

  const width = Math.max(80, Math.min(148, Math.floor(934 / (2 * data.K)) - 12));  // all of them in one row, if they can
  const pictures = Array.from({ length: data.K }, (_, k) => ({
    map: imagePanel({ title: `class ${k + 1}`, width: data.n, shown: width, unit: "" }),
    apart: imagePanel({ title: `class ${k + 1} − mean of all`, width: data.n, shown: width, unit: "",
      table: bytes(model.get("_cividis")) }) }));
  const most = names.map((_, j) => {  // every particle of a kind
    let all = 0;
    for (let k = 0; k < data.K; k++) all += tables[k * L + j];
    return all;
  });
  const plots = names.map((name, j) => linePlot({ title: `${name}: ${most[j]} particles`, name: "histogram",
    xLabel: "probability of the class", yLabel: "particles", x: [0, 1], xTicks: 0.2,
    series: [{ kind: "bars", colour: COLOURS[j % 6] }], height: 160 }));
  const middles = Array.from({ length: B }, (_, b) => (b + 0.5) / B);
  const table = countTable(data.K, names), words = statusLine();
  root.append(row(...pictures.flatMap((p) => [p.map.box, p.apart.box])),
    group("row cryoedu-three")(...plots.map((p) => p.svg), table.box), words.box);

  function draw() {
    const [t, axis, at, k] = ["iteration", "plane", "depth", "shown"].map((name) => model.get(name));
    time.set(t); plane.set(axis); depth.set(at); shown.set(k);
    const { cuts, apart } = data.cut(t, axis, at), where = `section across ${AXES[axis]} at voxel ${at}`;
    pictures.forEach((p, i) => {
      const [low, high] = extent(apart[i]);
      p.map.draw({ values: cuts[i], range: data.range,
        words: `map of class ${i + 1}, iteration ${t + 1}, ${where}; density up to ${number(extent(cuts[i])[1])}` });
      p.apart.draw({ values: apart[i], range: [-reach, reach],
        words: `class ${i + 1} less the mean of all classes, ${where}: from ${number(low)} to ${number(high)}` });
    });
    plots.forEach((plot, j) => {
      const bars = counts.subarray(((t * data.K + k) * L + j) * B, ((t * data.K + k) * L + j + 1) * B);
      const over = bars.slice(B / 2).reduce((sum, v) => sum + v, 0);
      // a scale for each iteration: on that of the last, the broad histograms of the others would hardly be seen
      plot.draw({ values: [bars], at: [middles], y: [0, 1.1 * Math.max(...bars) || 1],
        words: `${names[j]}: ${over} of ${most[j]} particles give class ${k + 1} more than one half` });
    });
    const cells = Array.from({ length: data.K }, (_, i) =>
      names.map((_, j) => tables[(t * data.K + i) * L + j]));
    table.draw(cells);
    words.say(`Iteration ${t + 1} of ${data.T}. Most probable class: ` + cells.map((row, i) =>
      `class ${i + 1}: ${row.map((v, j) => `${v} ${names[j]}`).join(", ")}`).join("; ") + ".");
  }

  return ending(root, follow(model, ["iteration", "plane", "depth", "shown"], draw), time.stop, words.stop);
}

export default { render };
