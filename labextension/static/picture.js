// One image, or a part of it: enlarged and moved with buttons, keys, the wheel and the mouse. The server sends no more
// pixels than are shown.

import { button, buttons, controls, h, number, paint, player, slider, statusLine } from "./common.js";
import { coarser, latest } from "./parts.js";

const SHOWN = 560, SENT = 640, LEAST = 8;  // CSS pixels of the longer side, pixels asked for, pixels at most enlarged

function pictureView({ get, file, failed, ends }) {
  const [count, height, width] = file.shape, longer = Math.max(height, width), scale = SHOWN / longer;
  const canvas = h("canvas", { tabindex: "0", role: "img", class: "cryoedu-zoom", "data-lm-suppress-shortcuts": "true",
    style: `width:${Math.max(8, Math.round(width * scale))}px;height:${Math.max(8, Math.round(height * scale))}px` });
  const says = statusLine();
  let [at, sigmas, zoom, left, top] = [0, 3, 1, 0, 0];

  const part = () => [Math.max(1, Math.round(width / zoom)), Math.max(1, Math.round(height / zoom))];

  const draw = latest(async (signal) => {
    const [w, tall] = part();
    left = Math.max(0, Math.min(width - w, left));
    top = Math.max(0, Math.min(height - tall, top));
    const [x, y] = [Math.round(left), Math.round(top)];  // left and top keep the small steps of a slow mouse
    const query = { at, left: x, top: y, width: w, height: tall, size: SENT, sigmas };
    const { about, data } = await get("mrc/plane", query, signal);
    if (signal.aborted) return;
    [canvas.height, canvas.width] = about.shape;
    paint(canvas, data);
    const where = zoom === 1 ? "whole" : `pixels ${x} to ${x + w - 1} across, ${y} to ${y + tall - 1} down`;
    const words = `image ${at + 1} of ${count}, ${where}`;
    canvas.setAttribute("aria-label", words);
    says.say(`${words[0].toUpperCase()}${words.slice(1)}${coarser(about, "pixels")}. Black is ` +
      `${number(about.range[0], 3)}, white ${number(about.range[1], 3)}.`);
  }, failed);

  function enlarge(by, x = 0.5, y = 0.5) {  // what is at this place of the canvas stays there
    const [w, tall] = part(), [px, py] = [left + x * w, top + y * tall];
    zoom = Math.max(1, Math.min(Math.max(1, longer / LEAST), zoom * by));
    const [next, high] = part();
    [left, top] = [px - x * next, py - y * high];
    draw();
  }

  function move(x, y) {  // in parts of what is seen
    const [w, tall] = part();
    left += x * w; top += y * tall;
    draw();
  }

  const keys = { "+": () => enlarge(2), "=": () => enlarge(2), "-": () => enlarge(0.5), "0": () => enlarge(1 / zoom),
    ArrowLeft: () => move(-0.25, 0), ArrowRight: () => move(0.25, 0), ArrowUp: () => move(0, -0.25),
    ArrowDown: () => move(0, 0.25) };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    enlarge(event.deltaY < 0 ? 1.25 : 0.8, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }, { passive: false });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons !== 1) return;
    const box = canvas.getBoundingClientRect();
    move(-event.movementX / box.width, -event.movementY / box.height);
  });

  const numbers = player({ label: "image", frames: count, seconds: 1, onInput: (i) => { at = i; draw(); } });
  const contrast = slider({ label: "contrast", min: 0.5, max: 8, step: 0.5, value: sigmas, show: (v) => `± ${v} σ`,
    onInput: (v) => { sigmas = v; draw(); } });
  const box = h("div", {}, controls(contrast.box, ...(count > 1 ? [numbers.box] : [])),
    buttons(button("enlarge", () => enlarge(2)), button("reduce", () => enlarge(0.5)),
      button("whole", () => enlarge(1 / zoom))), canvas,
    h("p", { class: "cryoedu-note" }, "On the image: + and − or the wheel enlarge, arrow keys or dragging move, 0 shows " +
      "all of it."), says.box);
  ends.push(() => { numbers.stop(); says.stop(); });
  draw();
  return { box, open: (i) => { at = i; numbers.set(i); draw(); } };
}

export { pictureView };
