// The EM stepper. All was computed before; here frames are picked and drawn.

function render({ model, el }) {
  const [ndim, n, F, K, P, A, O, reach] = ["ndim", "box", "frames", "classes", "particle_count", "places",
    "orientations", "reach"].map((name) => model.get(name));
  const table = bytes(model.get("_cividis")), rows = model.get("_rows");
  const [maps, images, averages] = ["_maps", "_images", "_averages"].map((name) => bytes(model.get(name)));
  const [angles, posterior, shifts, own, curves, truths] = ["_angles", "_posterior", "_shifts", "_particle_curves",
    "_curves", "_truths"].map((name) => floats(model.get(name)));
  const side = 2 * reach + 1, three = ndim === 3, step = model.get("shift_step");
  const part = (array, size, index) => array.subarray(size * index, size * (index + 1));
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const column = (c) => Float32Array.from({ length: F }, (_, f) => curves[f * (2 + K) + c]);

  const root = board(el, "EM stepper");
  const film = player({ label: "turns done", frames: F, value: model.get("frame"), onInput: (v) => put("frame", v),
    show: (v) => (v ? `${v} of ${F - 1}` : "the start") });
  const who = slider({ label: "particle", min: 0, max: P - 1, step: 1, value: model.get("particle"),
    show: (v) => `number ${rows[v] + 1}`, onInput: (v) => put("particle", v) });
  let view = 0;
  const extras = [];
  if (three) extras.push(choice({ label: "maps shown as", options: ["projections", "central slices"],
    onInput: (v) => { view = v; draw(); } }).box);
  const whole = three && K > 1 ? choice({ label: "posterior of", value: model.get("shown_class"),
    options: ["all classes", ...Array.from({ length: K }, (_, k) => `class ${k + 1}`)],
    onInput: (v) => put("shown_class", v) }) : null;
  if (whole) extras.push(whole.box);
  root.append(controls(film.box, who.box, ...extras));

  const wide = three ? 3 * n : n, shown = Math.max(three ? 200 : 80, Math.min(three ? 300 : 130, 830 / K - 12));
  const references = Array.from({ length: K }, (_, k) => imagePanel({ title: `class ${k + 1}`, width: wide,
    height: n, shown, note: three ? "along x, y and z" : "" }));
  const particle = imagePanel({ title: "particle", width: n, shown: 120 });
  const average = imagePanel({ title: "adds to the average", width: n, shown: 120 });
  const shift = imagePanel({ title: "posterior of its shift", width: side, shown: 120, table, unit: "",
    note: `→ x, ↓ y, each ±${number(reach * step)} Å` });
  const lookup = three ? ints(model.get("_lookup")) : null;
  const where = three
    ? spherePlot({ title: "posterior of its viewing direction", lookup, width: Math.sqrt(2 * lookup.length), table,
      unit: "" })
    : K > 1 ? imagePanel({ title: "posterior: rotation × class", width: A, height: K, shown: 360,
      shownHeight: Math.min(24 * K, 150), table, unit: "", note: `→ rotation φ, 0° to 360°; ↓ class 1 to ${K}` })
    : linePlot({ title: "posterior of its rotation", name: "pdf", xLabel: "rotation φ", yLabel: "probability",
      x: [0, 360], xTicks: 90, xTick: (d) => `${d}°`, circle: true, series: [{ kind: "bars", colour: COLOURS[1] }] });

  const turns = { xLabel: "turns done", x: [0, Math.max(F - 1, 1)], width: 320, height: 140,
    xTicks: Math.max(1, Math.ceil((F - 1) / 8)) };
  const climb = linePlot({ ...turns, title: "log-likelihood", name: "likelihood", yLabel: "gained (nat/particle)",
    series: [{}] });
  const sharp = linePlot({ ...turns, title: "sharpness", name: "sharpness", yLabel: "weight of the best",
    series: [{ name: "all particles" }, { name: "this one" }] });
  const shares = K > 1 ? linePlot({ ...turns, title: "class occupancy", name: "occupancy", yLabel: "share of particles",
    series: Array.from({ length: K }, (_, k) => ({ name: `${k + 1}` })) }) : null;
  const gained = column(0), sharpness = column(1), occupancy = Array.from({ length: K }, (_, k) => column(2 + k));
  const words = statusLine();
  root.append(row(...(K > 1 ? references.map((r) => r.box) : [])),
    row(...(K > 1 ? [] : [references[0].box]), particle.box, where.box ?? where.svg, ...(reach ? [shift.box] : []),
      ...(three ? [] : [average.box])),
    group("row cryoedu-three")(climb.svg, sharp.svg, ...(shares ? [shares.svg] : [])), words.box);

  function name(place) {
    return three ? `rot ${angles[4 * place].toFixed(0)}°, tilt ${angles[4 * place + 1].toFixed(0)}°`
                 : `${angles[2 * place].toFixed(0)}°`;
  }

  function drawPosterior(weights, p) {
    const only = whole ? model.get("shown_class") - 1 : -1;
    const told = new Float32Array(A);
    for (let k = 0; k < K; k++) for (let a = 0; a < A; a++)
      if (only < 0 || only === k) told[a] += weights[k * A + a];
    const best = argmax(told), top = told[best], truth = part(truths, 3, p);
    const said = `posterior of particle ${rows[p] + 1}: ${(100 * top).toFixed(0)} percent at ${name(best)}`;
    if (three) {
      where.draw({ values: told, range: [0, top || 1], best: part(angles, 4, best).subarray(2),
        truth: Number.isFinite(truth[0]) ? truth : null, words: said });
    } else if (K > 1) {
      const x = truth[0] / 360 * A + 0.5;
      where.draw({ values: weights, range: [0, weights[argmax(weights)]], words: `${said}, over all classes`,
        marks: Number.isFinite(x) ? [["line", { x1: x, x2: x, y1: 0, y2: K, class: "truth" }]] : [] });
    } else {
      where.draw({ values: [told], y: [0, Math.max(1.1 * top, 4 / A)], lines: [{ y: 1 / A }], words: said,
        truth: Number.isFinite(truth[0]) ? truth[0] : null });
    }
    return best;
  }

  function draw() {
    const [f, p] = [model.get("frame"), model.get("particle")], at = f * P + p;
    film.set(f); who.set(p); whole?.set(model.get("shown_class"));
    const weights = part(posterior, K * A, at);
    const byClass = Array.from({ length: K }, (_, k) => part(weights, A, k).reduce((sum, w) => sum + w, 0));
    const likely = argmax(byClass), [left, top] = part(own, 2, at);
    references.forEach((panel, k) => {
      const share = `${(100 * occupancy[k][f]).toFixed(0)} %`;
      const frame = three ? (f * K + k) * 2 + view : f * K + k;
      panel.draw({ pixels: part(maps, wide * n, frame), title: K > 1 ? `class ${k + 1}: ${share}` : "reference",
        words: `reference ${k + 1} of ${K} after ${f} turns, share of particles ${share}` });
    });
    particle.draw({ pixels: part(images, n * n, p), title: `particle ${rows[p] + 1}` });
    const best = drawPosterior(weights, p);
    if (!three) average.draw({ pixels: part(averages, n * n, at),
      words: `particle ${rows[p] + 1} turned back in every way, each with its weight, for class ${likely + 1}` });
    if (reach) {
      const map = part(shifts, side * side, at), most = argmax(map);
      shift.draw({ values: map, range: [0, map[most]], words: `posterior of the shift: largest at x ` +
        `${number((most % side - reach) * step)} Å, y ${number((Math.floor(most / side) - reach) * step)} Å` });
    }
    const mine = Float32Array.from({ length: F }, (_, i) => own[2 * (i * P + p) + 1]);
    climb.draw({ values: [gained], cursor: f });
    sharp.draw({ values: [sharpness, mine], y: [0, 1], cursor: f });
    shares?.draw({ values: occupancy, y: [0, 1], cursor: f });
    words.say(`${f ? `After ${f} turn${f > 1 ? "s" : ""}` : "At the start"}, particle ${rows[p] + 1}: about ` +
      `${number(left, 3)} of ${O} orientations remain, most probable ${name(best)}; the best hypothesis has ` +
      `${(100 * top).toFixed(0)} %.` +
      (K > 1 ? ` Class ${likely + 1} has ${(100 * byClass[likely]).toFixed(0)} %.` : "") +
      (Number.isFinite(gained[f]) ? ` Log-likelihood gained: ${number(gained[f], 3)} nat per particle.` : ""));
  }

  return ending(root, follow(model, ["frame", "particle", "shown_class"], draw), film.stop, words.stop);
}

export default { render };
