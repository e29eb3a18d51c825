// What all widgets share: elements, sliders, images on a canvas, plots as SVG. Plain JavaScript, no build step.

const SVG = "http://www.w3.org/2000/svg";

function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "text", "rect", "g"].includes(tag);
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  // JupyterLab takes the arrow keys unless the focused element itself says no (its selectors end in ":focus").
  if (tag === "input" || tag === "button") element.setAttribute("data-lm-suppress-shortcuts", "true");
  element.append(...children);
  return element;
}

function floats(view) {  // a DataView that holds float32 numbers
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function bytes(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

let nextId = 0;

// A labelled slider. `show` turns its position into words, which sighted users and screen readers both get.
function slider({ label, min, max, step, value, show, onInput }) {
  const id = `cryoedu-${Date.now().toString(36)}-${nextId++}`;
  const input = h("input", { type: "range", id, min, max, step, value });
  const words = h("output", { for: id });
  const box = h("div", { class: "cryoedu-slider" }, h("label", { for: id }, label), input, words);
  const tell = () => {
    words.textContent = show(Number(input.value));
    input.setAttribute("aria-valuetext", words.textContent);
  };
  input.addEventListener("input", () => { tell(); onInput(Number(input.value)); });
  tell();
  return { box, input, set: (v) => { input.value = v; tell(); } };
}

// An image of n × n numbers on a canvas, black at `low`, white at `high` (or through a table of 256 RGB colours).
function paint(canvas, values, low, high, table = null) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const scale = high > low ? 255 / (high - low) : 0;
  for (let i = 0; i < values.length; i++) {
    const level = Math.max(0, Math.min(255, Math.round((values[i] - low) * scale)));
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = table ? table[3 * level + c] : level;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function spread(values) {  // mean - 3 standard deviations, mean + 3
  let sum = 0, squares = 0;
  for (const v of values) { sum += v; squares += v * v; }
  const mean = sum / values.length;
  const deviation = Math.sqrt(Math.max(squares / values.length - mean * mean, 0)) || 1;
  return [mean - 3 * deviation, mean + 3 * deviation];
}

function imageBox(title, size) {
  const canvas = h("canvas", { width: size, height: size, role: "img", "aria-label": title });
  return { canvas, box: h("figure", { class: "cryoedu-image" }, h("figcaption", {}, title), canvas) };
}

// A plot over the circle: a curve or bars, a marker for the present position, a triangle for the truth.
function circlePlot({ title, yLabel, bars, onPick }) {
  const W = 400, H = 190, left = 52, right = 16, top = 26, bottom = 34;
  const x = (degrees) => left + (W - left - right) * degrees / 360;
  const svg = h("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", class: bars ? "cryoedu-pdf" : "cryoedu-ccf" });
  const shape = h("path", { class: "shape" });
  const flat = h("line", { class: "flat", x1: left, x2: W - right });
  const cursor = h("line", { class: "cursor", y1: top, y2: H - bottom });
  const dot = h("circle", { class: "dot", r: 5 });
  const truth = h("path", { class: "truth" });
  const ticks = h("g", {});
  for (let d = 0; d <= 360; d += 90)
    ticks.append(h("text", { x: x(d), y: H - bottom + 14, "text-anchor": "middle" }, `${d}°`));
  const high = h("text", { x: left - 5, y: top + 9, "text-anchor": "end" });
  const low = h("text", { x: left - 5, y: H - bottom - 2, "text-anchor": "end" });
  svg.append(h("rect", { class: "frame", x: left, y: top, width: W - left - right, height: H - top - bottom }),
    h("text", { x: left, y: 15, class: "title" }, title), ticks, high, low,
    h("text", { x: (W + left) / 2, y: H - 3, "text-anchor": "middle" }, "rotation φ of the reference"),
    h("text", { x: 0, y: 0, transform: `translate(11 ${(H - bottom + top) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel),
    flat, shape, truth, cursor, dot);
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) * W / box.width - left) / (W - left - right);
    if (at >= 0 && at <= 1) onPick(at * 360);
  });
  function draw({ values, min, max, index, truthAt, flatAt, words }) {
    const y = (v) => H - bottom - (H - top - bottom) * Math.max(0, Math.min(1, (v - min) / (max - min || 1)));
    const n = values.length, width = (W - left - right) / n;
    let d = "";
    for (let i = 0; i < n; i++) {
      const px = x(360 * i / n);
      d += bars ? `M${(px - 0.4 * width).toFixed(1)} ${y(min)}V${y(values[i]).toFixed(1)}h${(0.8 * width).toFixed(1)}V${y(min)}Z`
                : `${i ? "L" : "M"}${px.toFixed(1)} ${y(values[i]).toFixed(1)}`;
    }
    if (!bars) d += `L${x(360).toFixed(1)} ${y(values[0]).toFixed(1)}`;
    shape.setAttribute("d", d);
    const px = x(360 * index / n);
    cursor.setAttribute("x1", px); cursor.setAttribute("x2", px);
    dot.setAttribute("cx", px); dot.setAttribute("cy", y(values[index]));
    truth.setAttribute("d", `M${x(truthAt) - 6} ${top - 8}h12l-6 8Z`);
    flat.style.display = flatAt === undefined ? "none" : "";
    if (flatAt !== undefined) { flat.setAttribute("y1", y(flatAt)); flat.setAttribute("y2", y(flatAt)); }
    high.textContent = max.toPrecision(2); low.textContent = Number(min.toPrecision(2)).toString();
    svg.setAttribute("aria-label", words);
  }
  return { svg, draw };
}
