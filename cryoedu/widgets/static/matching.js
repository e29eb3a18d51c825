// Match a projection by hand. Python sends the map, the images and the scores of the computer's grid once; the map is
// turned and added up here, so that nothing waits for the kernel.

function matcher(model) {
  const [n, P, perDirection] = [model.get("box"), model.get("image_count"), model.get("psi_count")];
  const map = floats(model.get("_map")), signals = floats(model.get("_signals")), noises = floats(model.get("_noises"));
  const truths = floats(model.get("_truths")), gridAngles = floats(model.get("_grid_angles"));
  const gridSignal = floats(model.get("_grid_signal")), gridNoise = floats(model.get("_grid_noise"));
  const nearest = bytes(model.get("_nearest")), inside = bytes(model.get("_inside"));
  const G = gridAngles.length / 3, D = G / perDirection, c = n / 2;
  const image = new Float32Array(n * n), projection = new Float32Array(n * n);
  const scores = new Float32Array(G), ofDirection = new Float32Array(D), landscape = new Float32Array(nearest.length);

  function project(rot, tilt, psi) {  // turn the map, add up along the beam: trilinear, RELION's angles
    const [a, b, g] = [rot, tilt, psi].map((v) => v * Math.PI / 180);
    const [ca, sa, cb, sb, cg, sg] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b), Math.cos(g), Math.sin(g)];
    const X = [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb];  // where the image's x, y and the beam point
    const Y = [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb];
    const Z = [sb * ca, sb * sa, cb];
    for (let iy = 0; iy < n; iy++) for (let ix = 0; ix < n; ix++) {
      let sum = 0;
      for (let iz = 0; iz < n; iz++) {
        const [x, y, z] = [ix - c, iy - c, iz - c];
        const mx = X[0] * x + Y[0] * y + Z[0] * z + c, my = X[1] * x + Y[1] * y + Z[1] * z + c;
        const mz = X[2] * x + Y[2] * y + Z[2] * z + c;
        if (mx < 0 || my < 0 || mz < 0 || mx >= n - 1 || my >= n - 1 || mz >= n - 1) continue;
        const [i, j, k] = [mx | 0, my | 0, mz | 0], [u, v, w] = [mx - i, my - j, mz - k];
        const at = (k * n + j) * n + i, up = at + n * n;
        sum += (1 - w) * ((1 - v) * ((1 - u) * map[at] + u * map[at + 1])
                          + v * ((1 - u) * map[at + n] + u * map[at + n + 1]))
             + w * ((1 - v) * ((1 - u) * map[up] + u * map[up + 1])
                    + v * ((1 - u) * map[up + n] + u * map[up + n + 1]));
      }
      projection[iy * n + ix] = sum;
    }
    return projection;
  }

  function correlation(a, b) {  // normalised, inside the circle
    let [count, sa, sb, aa, bb, ab] = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < n * n; i++) if (inside[i]) {
      count++; sa += a[i]; sb += b[i]; aa += a[i] * a[i]; bb += b[i] * b[i]; ab += a[i] * b[i];
    }
    return (ab - sa * sb / count) / (Math.sqrt((aa - sa * sa / count) * (bb - sb * sb / count)) || 1);
  }

  function look(p, snr) {  // image p at this SNR, and what the computer finds for it
    const contrast = Math.sqrt(snr), norm = floats(model.get("_norms")).subarray(3 * p, 3 * p + 3);
    for (let i = 0; i < n * n; i++) image[i] = contrast * signals[p * n * n + i] + noises[p * n * n + i];
    const size = Math.sqrt(snr * norm[0] + 2 * contrast * norm[1] + norm[2]);
    ofDirection.fill(-1);
    for (let g = 0; g < G; g++) {
      scores[g] = (contrast * gridSignal[p * G + g] + gridNoise[p * G + g]) / size;
      const d = Math.floor(g / perDirection);
      if (scores[g] > ofDirection[d]) ofDirection[d] = scores[g];
    }
    for (let i = 0; i < nearest.length; i++) landscape[i] = ofDirection[nearest[i]];
    const best = argmax(scores), three = (all, i) => [all[3 * i], all[3 * i + 1], all[3 * i + 2]];
    return { image, landscape, best: scores[best], bestAngles: three(gridAngles, best), truth: three(truths, p) };
  }
  return { n, P, G, project, correlation, look };
}

function seenOnAnyColour(kind, shape) {  // white on black
  return [[kind, { ...shape, stroke: "#000", "stroke-width": 4 }], [kind, { ...shape, stroke: "#fff" }]];
}

function render({ model, el }) {
  const data = matcher(model), table = bytes(model.get("_cividis")), TRIES = 60, STEP = 5, NEAR = [10, 10, -15];
  const root = board(el, "Match a projection by hand"), says = statusLine();
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const round = (v, turn) => (Math.round(v / STEP) * STEP + turn) % turn;
  let tries = [], mine = -1, last = "", quiet = false, seen = null;

  function jump([rot, tilt, psi], counts) {
    quiet = true;
    model.set("rot", round(rot, 360)); model.set("tilt", Math.max(0, Math.min(180, round(tilt, 360))));
    model.set("psi", round(psi, 360));
    model.save_changes();
    quiet = !counts;
    draw();
    quiet = false;
  }

  const names = { rot: "rot (longitude)", tilt: "tilt (from pole)", psi: "psi (in plane)" };
  const angle = Object.fromEntries(Object.keys(names).map((name) => [name, slider({ label: names[name], min: 0,
    max: name === "tilt" ? 180 : 355, step: STEP, value: model.get(name), show: (v) => `${v}°`,
    onInput: (v) => put(name, v) })]));
  const snr = slider({ label: "SNR of the image", min: -2, max: 1, step: 0.1, value: Math.log10(model.get("snr")),
    show: (v) => number(10 ** v), onInput: (v) => put("snr", Number((10 ** v).toPrecision(3))) });
  const reveal = tickBox({ label: "show the computer's scores", value: model.get("revealed"),
    onInput: (v) => put("revealed", v) });
  const image = imagePanel({ title: "image", width: data.n });
  const projection = imagePanel({ title: "your projection", width: data.n });
  const landscape = imagePanel({ title: "the computer's best correlation for each side", width: 72, height: 36, shown: 336,
    table, unit: "", note: "left to right: rot 0° to 360°; down: tilt 0° to 180°. + you, ○ its best, ◌ the truth",
    onPick: (x, y) => jump([5 * x, 5 * y, model.get("psi")], true) });
  const score = linePlot({ title: "your score, try by try", xLabel: `your last ${TRIES} tries`, yLabel: "correlation",
    x: [0, TRIES], series: [{ name: "you" }], xTicks: 10, name: "tries" });
  root.append(controls(angle.rot.box, angle.tilt.box, angle.psi.box, snr.box, buttons(
    button("another image", () => put("image", (model.get("image") + 1) % data.P)),
    button("bring me near", () => jump(seen.truth.map((v, i) => v + NEAR[i]), true)),
    button("go to the computer's best", () => jump(seen.bestAngles, false)), reveal.box)),
    row(image.box, projection.box, score.svg), row(landscape.box), says.box);

  function draw() {
    const [rot, tilt, psi] = ["rot", "tilt", "psi"].map((name) => model.get(name));
    const p = model.get("image"), ratio = model.get("snr"), revealed = model.get("revealed");
    angle.rot.set(rot); angle.tilt.set(tilt); angle.psi.set(psi); snr.set(Math.log10(ratio)); reveal.set(revealed);
    seen = data.look(p, ratio);
    const mineNow = data.project(rot, tilt, psi), now = data.correlation(seen.image, mineNow);
    const what = `${p} ${ratio}`;
    if (what !== last) { tries = []; mine = -1; last = what; }
    if (!quiet) {
      tries = [...tries, now].slice(-TRIES);
      mine = Math.max(mine, now);
    }
    image.draw({ values: seen.image, words: `image ${p + 1} of ${data.P} at SNR ${number(ratio)}` });
    projection.draw({ values: mineNow, words: `projection at rot ${rot}, tilt ${tilt}, psi ${psi} degrees` });
    score.draw({ values: [tries], at: [tries.map((_, i) => i + 1)], cursor: tries.length, y: [-0.3, 1],
      lines: [{ y: seen.best, name: `best of the computer's ${data.G}: ${seen.best.toFixed(2)}` }],
      words: `Your score now ${now.toFixed(2)}, your best ${mine.toFixed(2)}, the computer's best ${seen.best.toFixed(2)}` });
    landscape.box.style.display = revealed ? "" : "none";
    const [bx, by] = [seen.bestAngles[0] / 5, seen.bestAngles[1] / 5], [x, y] = [rot / 5, tilt / 5];
    const [tx, ty] = [(seen.truth[0] + 360) % 360 / 5, seen.truth[1] / 5];
    if (revealed) landscape.draw({ values: seen.landscape,
      marks: [...seenOnAnyColour("path", { d: `M${x - 2} ${y}h4M${x} ${y - 2}v4` }),
              ...seenOnAnyColour("circle", { cx: bx, cy: by, r: 1.7 }),
              ...seenOnAnyColour("circle", { cx: tx, cy: ty, r: 3, class: "truth" })],
      words: `Best correlation for each direction, highest at rot ${seen.bestAngles[0].toFixed(0)}, tilt ` +
             `${seen.bestAngles[1].toFixed(0)} degrees` });
    const degrees = (angles) => `rot ${((angles[0] + 360) % 360).toFixed(0)}°, tilt ${angles[1].toFixed(0)}°, psi ` +
                                `${((angles[2] + 360) % 360).toFixed(0)}°`;
    says.say(`At ${degrees([rot, tilt, psi])} the correlation is ${now.toFixed(2)}. Your best so far: ` +
      `${Math.max(mine, -1) > -1 ? mine.toFixed(2) : "–"}. Best of the computer's ${data.G} tries: ${seen.best.toFixed(2)}` +
      (revealed ? `, at ${degrees(seen.bestAngles)}. The truth: ${degrees(seen.truth)}.` : "."));
  }
  return ending(root, follow(model, ["rot", "tilt", "psi", "image", "snr", "revealed"], draw), says.stop);
}

export default { render };
