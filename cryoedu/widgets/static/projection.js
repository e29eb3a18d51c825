// The projection viewer: three sliders go to the kernel, grey levels come back.

function render({ model, el }) {
  const root = board(el, "projection viewer"), n = model.get("box"), name = model.get("name");
  const put = (trait, value) => { model.set(trait, value); model.save_changes(); };
  const ranges = { rot: 360, tilt: 180, psi: 360 };
  const angles = Object.entries(ranges).map(([trait, max]) => ({ trait, ...slider({ label: trait, min: 0, max, step: 2,
    value: model.get(trait), show: (v) => `${v}°`, onInput: (v) => put(trait, v) }) }));
  const panel = imagePanel({ title: `projection of ${name}`, width: n, shown: 256, note: "→ x, ↓ y of the image" });
  const words = statusLine();
  root.append(controls(...angles.map((angle) => angle.box)), row(panel.box), words.box);

  function draw() {
    const at = model.get("_shown").map((angle, i) => `${angles[i].trait} ${angle}°`);
    panel.draw({ pixels: bytes(model.get("_pixels")), words: `projection of ${name} at ${at.join(", ")}` });
    words.say(`The projection at ${at.join(", ")}.`);
  }

  const set = () => { for (const { trait, set } of angles) set(model.get(trait)); };
  return ending(root, follow(model, Object.keys(ranges), set), follow(model, ["_shown"], draw), words.stop);
}

export default { render };
