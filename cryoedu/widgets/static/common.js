// What all widgets share: elements, controls, images on a canvas, words for screen readers. plots.js has the plots.
// Plain JavaScript without a build step. Every function is described at the head of plots.js.

const SVG = "http://www.w3.org/2000/svg";
const GREYS = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));
const FOCUSED = ["input", "button", "select"];
let nextId = 0;

function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "text", "rect", "g"].includes(tag);
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  // JupyterLab takes the arrow keys unless the focused element itself says no (its selectors end in ":focus").
  if (FOCUSED.includes(tag)) element.setAttribute("data-lm-suppress-shortcuts", "true");
  element.append(...children);
  return element;
}

const group = (kind) => (...children) => h("div", { class: `cryoedu-${kind}` }, ...children);
const controls = group("controls"), buttons = group("buttons cryoedu-wide"), row = group("row");

// ---- the model: bytes from Python, traits that are followed, the end of a view

function floats(view) {  // a DataView that holds float32 numbers
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function ints(view) {  // int32
  return new Int32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function bytes(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function board(el, label) {
  const root = h("div", { class: "cryoedu", role: "group", "aria-label": label });
  el.append(root);
  return root;
}

function follow(model, names, draw) {
  for (const name of names) model.on(`change:${name}`, draw);
  draw();
  return () => { for (const name of names) model.off(`change:${name}`, draw); };
}

function ending(root, ...ends) {
  return () => { for (const end of ends) end(); root.remove(); };
}

// ---- controls

function labelled(label, control, ...more) {
  control.id = `cryoedu-${Date.now().toString(36)}-${nextId++}`;
  return h("div", { class: "cryoedu-field" }, h("label", { for: control.id }, label), control, ...more);
}

function slider({ label, min, max, step, value, show = String, onInput }) {
  const input = h("input", { type: "range", min, max, step, value });
  const words = h("output", {});
  const box = labelled(label, input, words);
  words.setAttribute("for", input.id);
  const tell = () => {
    words.textContent = show(Number(input.value));
    input.setAttribute("aria-valuetext", words.textContent);
  };
  input.addEventListener("input", () => { tell(); onInput(Number(input.value)); });
  tell();
  return { box, input, set: (v) => { input.value = v; tell(); }, range: (low, high) => {
    input.min = low; input.max = high; tell();
  } };
}

function choice({ label, options, value = 0, onInput }) {
  const input = h("select", {}, ...options.map((words, i) => h("option", { value: i }, words)));
  input.value = value;
  input.addEventListener("change", () => onInput(Number(input.value)));
  return { box: labelled(label, input), input, set: (v) => { input.value = v; } };
}

function button(words, onClick) {
  const element = h("button", { type: "button" }, words);
  element.addEventListener("click", onClick);
  return element;
}

function tickBox({ label, value = false, onInput }) {
  const input = h("input", { type: "checkbox" });
  input.checked = value;
  input.addEventListener("change", () => onInput(input.checked));
  return { box: h("label", {}, input, ` ${label}`), input, set: (v) => { input.checked = v; } };
}

function player({ label, frames, value = 0, seconds = 0.6, show = (i) => `${i + 1} of ${frames}`, onInput }) {
  let timer = 0;
  const go = (i) => {
    const to = Math.max(0, Math.min(frames - 1, i));
    if (to === Number(position.input.value)) return;
    position.set(to); onInput(to);
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "play"; };
  const manual = (to) => () => { stop(); go(to(Number(position.input.value))); };
  const tick = () => {
    if (!position.box.isConnected) return stop();  // the view has gone
    go(Number(position.input.value) + 1);
    if (Number(position.input.value) === frames - 1) stop();
  };
  const play = button("play", () => {
    if (timer) return stop();
    if (Number(position.input.value) === frames - 1) go(0);
    timer = setInterval(tick, 1000 * seconds);
    play.textContent = "pause";
  });
  const position = slider({ label, min: 0, max: frames - 1, step: 1, value, show,
    onInput: (v) => { stop(); onInput(v); } });
  const box = h("div", { class: "cryoedu-player cryoedu-wide", role: "group", "aria-label": label }, group("buttons")(play,
    button("first", manual(() => 0)), button("back", manual((v) => v - 1)), button("step", manual((v) => v + 1)),
    button("last", manual(() => frames - 1))), position.box);
  return { box, input: position.input, set: position.set, stop };
}

// ---- words

function statusLine(delay = 250) {  // the eye reads at once, a screen reader when nothing has moved for a while
  const shown = h("p", { class: "cryoedu-words", "aria-hidden": "true" });
  const said = h("p", { class: "cryoedu-said", role: "status", "aria-live": "polite" });
  const box = h("div", {}, shown, said);
  let timer = 0;
  const stop = () => { clearTimeout(timer); box.removeAttribute("aria-busy"); };
  const say = (words) => {
    clearTimeout(timer);
    shown.textContent = words;
    box.setAttribute("aria-busy", "true");
    timer = setTimeout(() => { said.textContent = words; stop(); }, delay);
  };
  return { box, stop, say };
}

function number(value, digits = 2) {  // 0.0012, 12, 3.1e-7: so many significant digits, no needless zeros
  return Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : "–";
}

function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function extent(values) {  // lowest and highest of what is finite; [0, 1] if nothing is
  let low = Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
  return low <= high ? [low, high] : [0, 1];
}

function spread(values) {  // mean - 3 standard deviations, mean + 3
  let sum = 0, squares = 0;
  for (const v of values) { sum += v; squares += v * v; }
  const mean = sum / values.length;
  const deviation = Math.sqrt(Math.max(squares / values.length - mean * mean, 0)) || 1;
  return [mean - 3 * deviation, mean + 3 * deviation];
}

// ---- images

function levels(values, low, high) {  // numbers as 0 … 255; what is not a number becomes 0
  const out = new Uint8ClampedArray(values.length), scale = high > low ? 255 / (high - low) : 0;
  for (let i = 0; i < values.length; i++) out[i] = (values[i] - low) * scale;
  return out;
}

function paint(canvas, pixels, table = GREYS) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const count = Math.min(pixels.length, canvas.width * canvas.height);
  for (let i = 0; i < count; i++) {
    const at = 3 * pixels[i];
    image.data[4 * i] = table[at]; image.data[4 * i + 1] = table[at + 1]; image.data[4 * i + 2] = table[at + 2];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function imagePanel({ title, width, height = width, shown = 168, shownHeight = null, table = null, unit = null,
                      note = "", smooth = false, onPick = null }) {
  const tall = shownHeight ?? Math.round(shown * height / width);
  const style = `width:${shown}px;height:${tall}px${smooth ? ";image-rendering:auto" : ""}`;
  const canvas = h("canvas", { width, height, role: "img", "aria-label": title, style });
  const caption = h("figcaption", { style: `max-width:${shown}px` }, title);
  const stage = h("div", { class: "cryoedu-stage" }, canvas);
  const under = h("figcaption", { class: "cryoedu-note", style: `max-width:${shown}px` }, note);
  const box = h("figure", { class: "cryoedu-image" }, caption, stage, under);
  const low = h("span", {}), high = h("span", {});
  if (unit !== null) {  // a scale of colours or greys from the lowest to the highest value
    const scale = h("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    paint(scale, Uint8Array.from({ length: 256 }, (_, i) => i), table ?? GREYS);
    under.before(h("div", { class: "cryoedu-scale", style: `max-width:${shown}px` }, low, scale, high));
  }
  if (onPick) canvas.addEventListener("click", (event) => {
    const at = canvas.getBoundingClientRect(), inside = (v, size) => Math.max(0, Math.min(size - 1, Math.floor(v)));
    onPick(inside((event.clientX - at.left) * canvas.width / at.width, canvas.width),
           inside((event.clientY - at.top) * canvas.height / at.height, canvas.height));
  });
  let overlay = null;
  function draw({ values = null, pixels = null, range = null, marks = null, words = null, title: newTitle = null,
                  note: newNote = null }) {
    const [bottom, top] = range ?? (pixels ? [0, 255] : table ? extent(values) : spread(values));
    paint(canvas, pixels ?? levels(values, bottom, top), table ?? GREYS);
    if (unit !== null) { low.textContent = number(bottom); high.textContent = `${number(top)} ${unit}`; }
    if (newTitle !== null) caption.textContent = newTitle;
    if (newNote !== null) under.textContent = newNote;
    if (words !== null || newTitle !== null) canvas.setAttribute("aria-label", words ?? newTitle);
    if (marks && !overlay) {
      overlay = h("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
      stage.append(overlay);
    }
    overlay?.replaceChildren(...(marks ?? []).map(([kind, attributes]) => h(kind, attributes)));
  }
  return { box, canvas, draw };
}

export { argmax, board, bytes, button, buttons, choice, controls, extent, floats, follow, h, imagePanel, ints, labelled,
         levels, number, paint, player, row, slider, spread, statusLine, tickBox, ending };
