// The map viewer. Slices are cut here from volumes that were sent once; the surfaces are k3d's, put into this widget's
// own figures and turned by its sliders, because k3d's view has neither keys nor labels.

function render({ model, el }) {
  const [n, names, highest, size] = ["box", "names", "highest", "pixel_size"].map((name) => model.get(name));
  const volumes = bytes(model.get("_volumes")), projections = bytes(model.get("_projections"));
  const scales = floats(model.get("_scales")), enclosed = floats(model.get("_enclosed"));
  const steps = enclosed.length / names.length - 1, middle = Math.floor(n / 2);
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const root = board(el, "map viewer");

  const place = Object.fromEntries(["x", "y", "z"].map((axis) => [axis, slider({ label: `slice across ${axis}`, min: 0,
    max: n - 1, step: 1, value: model.get(axis), show: (v) => `${v} (${((v - middle) * size).toFixed(0)} Å)`,
    onInput: (v) => put(axis, v) })]));
  const view = choice({ label: "show", options: ["slices", "projections"], value: model.get("view"),
    onInput: (v) => put("view", v) });
  const level = slider({ label: "surface level", min: 0, max: steps, step: 1, value: 0,
    show: (v) => `${(v * highest / steps).toFixed(1)} σ`, onInput: (v) => put("level", v * highest / steps) });
  const turn = { rot: 360, tilt: 180 };
  for (const [name, max] of Object.entries(turn)) turn[name] = slider({ label: `seen from ${name}`, min: 0, max,
    step: 3, value: model.get(name), show: (v) => `${v.toFixed(0)}°`, onInput: (v) => put(name, v) });
  root.append(controls(place.z.box, place.y.box, place.x.box, view.box, level.box, turn.rot.box, turn.tilt.box));

  // what of the volume is seen across each axis: the axes that run right and down
  const cuts = [["z", "x", "y"], ["y", "x", "z"], ["x", "y", "z"]];
  const wide = model.get("surface_size");
  const shown = names.length > 2 ? 92 : wide - 32;  // three and four maps: two of them beside each other
  const rows = names.map((name) => ({
    name, surface: h("div", { class: "cryoedu-surface", role: "img", "aria-label": `surface of ${name}`,
      style: `width:${wide}px;height:${wide}px` }),
    panels: cuts.map(([axis, right, down]) => imagePanel({ title: axis, width: n, shown, smooth: n > shown,
      note: `→ ${right}, ↓ ${down}`, onPick: (i, j) => { put(right, i); put(down, j); } })) }));
  const words = statusLine();
  const maps = rows.map(({ name, panels, surface }) => h("div", {}, h("div", { class: "cryoedu-name" }, name),
    row(...panels.map((panel) => panel.box),
      h("figure", { class: "cryoedu-image" }, h("figcaption", {}, "surface"), surface))));
  root.append(row(...maps), words.box);
  for (const { surface } of rows) surface.addEventListener("pointermove", drag);

  function slice(m, axis, at) {
    const out = new Uint8Array(n * n), start = m * n ** 3;
    for (let j = 0; j < n; j++) for (let i = 0; i < n; i++)
      out[j * n + i] = volumes[start + (axis === "z" ? (at * n + j) * n + i : axis === "y" ? (j * n + at) * n + i
        : (j * n + i) * n + at)];
    return out;
  }

  // From map to image coordinates, as a projection's. The map is turned, not k3d's camera: what is told to that comes
  // back from the kernel a moment later, and would undo what was told since.
  function turned(rot, tilt) {
    const [a, b] = [rot * Math.PI / 180, tilt * Math.PI / 180];
    const [ca, sa, cb, sb] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
    return Float32Array.of(cb * ca, cb * sa, -sb, 0, -sa, ca, 0, 0, sb * ca, sb * sa, cb, 0, 0, 0, 0, 1);
  }

  function drag(event) {  // half a degree for each pixel
    if (event.buttons !== 1) return;
    put("rot", (model.get("rot") + event.movementX / 2 + 360) % 360);
    put("tilt", Math.max(0, Math.min(180, model.get("tilt") + event.movementY / 2)));
  }

  const traits = ["x", "y", "z", "view", "level", "rot", "tilt"], surfaces = [];
  let gone = false;
  function draw() {
    const at = Object.fromEntries(traits.map((name) => [name, model.get(name)]));
    for (const axis of ["x", "y", "z"]) place[axis].set(at[axis]);
    view.set(at.view); turn.rot.set(at.rot); turn.tilt.set(at.tilt);
    const step = Math.round(at.level / highest * steps);
    level.set(step);
    rows.forEach(({ name, panels, surface }, m) => {
      cuts.forEach(([axis, right, down], c) => panels[c].draw(at.view
        ? { pixels: projections.subarray((3 * m + c) * n * n, (3 * m + c + 1) * n * n), title: `along ${axis}`,
            words: `projection of ${name} along ${axis}`, marks: [] }
        : { pixels: slice(m, axis, at[axis]), title: `${axis} = ${at[axis]}`,
            words: `slice of ${name} across ${axis} at voxel ${at[axis]}`,
            marks: [["line", { x1: at[right] + 0.5, x2: at[right] + 0.5, y1: 0, y2: n, class: "truth" }],
                    ["line", { x1: 0, x2: n, y1: at[down] + 0.5, y2: at[down] + 0.5, class: "truth" }]] }));
      surface.setAttribute("aria-label", `surface of ${name} at ${at.level.toFixed(1)} σ, seen from ` +
        `rot ${at.rot.toFixed(0)}, tilt ${at.tilt.toFixed(0)} degrees`);
    });
    surfaces.forEach(({ mesh }, m) => {
      mesh.set("level", scales[2 * m] + at.level * scales[2 * m + 1]);
      mesh.set("model_matrix", { dtype: "float32", data: turned(at.rot, at.tilt), shape: [4, 4] });
    });
    const share = rows.map(({ name }, m) => `${name}, ${number(100 * enclosed[m * (steps + 1) + step], 2)} %`);
    const what = at.view ? "Projections along z, y and x" : `Slices at x ${at.x}, y ${at.y}, z ${at.z} (centre ${middle})`;
    words.say(`${what}. At ${at.level.toFixed(1)} σ above the mean the surface encloses, of the box: ` +
      `${share.join("; ")}.`);
  }

  const theme = new MutationObserver(paper);
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });
  function paper() {  // surfaces on the page's own colour: white panels glare in a dark theme
    const [red, green, blue] = getComputedStyle(rows[0].surface).backgroundColor.match(/\d+/g).map(Number);
    for (const { plot } of surfaces) plot.set("background_color", (red << 16) + (green << 8) + blue);
  }

  async function embed() {
    const manager = model.widget_manager, plots = model.get("_plots"), meshes = model.get("_surfaces");
    for (let m = 0; m < rows.length && !gone; m++) {
      const [plot, mesh] = await Promise.all([plots[m], meshes[m]].map((id) => manager.get_model(id)));
      const seen = await manager.create_view(plot);
      if (gone) return seen.remove();
      rows[m].surface.append(seen.el);
      surfaces.push({ plot, mesh, seen });
    }
    if (!gone) { paper(); draw(); }
  }
  const end = follow(model, traits, draw);
  embed().catch(() => { for (const { surface } of rows) surface.textContent = "This browser cannot draw surfaces."; });
  return ending(root, end, words.stop, () => {
    gone = true;
    theme.disconnect();
    for (const { seen } of surfaces) seen.remove();
  });
}

export default { render };
