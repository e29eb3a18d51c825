// A map as a surface of equal density, at a level that a slider sets, turned with the mouse, keys or sliders.

import { controls, h, number, slider, statusLine } from "./common.js";
import { shade, surfaceNet, turned } from "./mesh.js";
import { coarser } from "./parts.js";

const SIZE = 420, COLOUR = [0x3d, 0x8f, 0xd1];  // as in plots.js
const STEPS = 100;

function surface({ get, file, failed, ends }) {
  const canvas = h("canvas", { width: SIZE, height: SIZE, tabindex: "0", role: "img", class: "cryoedu-turn",
    "aria-label": "surface, not drawn yet", "data-lm-suppress-shortcuts": "true" });
  const says = statusLine(), box = h("div", {}, h("p", {}, "Fetching the map …"));
  let [rot, tilt, zoom, waiting] = [0, 0, 1, false];

  function build({ about, data }) {
    const [nz, ny, nx] = about.shape, values = new Uint16Array(data.slice().buffer), { low, high, mean, sigma } = about;
    const voxel = [0, 1, 2].map((i) => (file.voxel[i] || 1) * about.factors[2 - i]);  // x, y, z
    const unit = Math.min(...voxel), stretch = voxel.map((v) => v / unit);
    const longest = Math.max(...[nx, ny, nz].map((n, i) => n * stretch[i])), middle = [nx, ny, nz].map((n) => Math.floor(n / 2));
    const highest = Math.max((high - mean) / (sigma || 1), 0.1);
    let level = Math.min(3, highest / 2), mesh = null, enclosed = 0;

    function net() {
      const at = (mean + level * sigma - low) / (high - low || 1) * 65535;
      mesh = surfaceNet(values, about.shape, at);
      enclosed = 0;
      for (let i = 0; i < values.length; i++) if (values[i] > at) enclosed++;
      later();
    }

    function later() {  // once for each frame of the screen, however many keys and moves there were
      if (!waiting) requestAnimationFrame(draw);
      waiting = true;
      says.box.setAttribute("aria-busy", "true");
    }

    function draw() {
      waiting = false;
      const lit = shade(mesh, turned(rot, tilt), SIZE, middle, stretch, zoom * SIZE / (1.05 * longest));
      const context = canvas.getContext("2d"), image = context.createImageData(SIZE, SIZE);
      for (let i = 0; i < lit.length; i++) if (lit[i] >= 0) {
        for (let c = 0; c < 3; c++) image.data[4 * i + c] = COLOUR[c] * lit[i];
        image.data[4 * i + 3] = 255;
      }
      context.putImageData(image, 0, 0);
      const words = `Surface at ${level.toFixed(1)} σ above the mean (${number(mean + level * sigma, 3)}), seen from rot ` +
        `${rot.toFixed(0)}°, tilt ${tilt.toFixed(0)}°`;
      canvas.setAttribute("aria-label", words);
      const share = enclosed / values.length;
      says.say(`${words}. It encloses ${number(100 * share)} % of the box` + (file.voxel[0]
        ? `, ${number(enclosed * voxel[0] * voxel[1] * voxel[2] / 1000, 3)} nm³` : "") +
        `${coarser(about, "voxels")}.`);
    }

    function turn(across, down) {
      rot = (rot + across + 360) % 360;
      tilt = Math.max(0, Math.min(180, tilt + down));
      angles.rot.set(rot); angles.tilt.set(tilt);
      later();
    }

    const height = slider({ label: "surface level", min: 0, max: STEPS, step: 1, value: Math.round(level / highest * STEPS),
      show: (v) => `${(v * highest / STEPS).toFixed(1)} σ`, onInput: (v) => { level = v * highest / STEPS; net(); } });
    const angles = Object.fromEntries([["rot", 360], ["tilt", 180]].map(([name, max]) => [name, slider({
      label: `seen from ${name}`, min: 0, max, step: 3, value: 0, show: (v) => `${v.toFixed(0)}°`,
      onInput: (v) => { if (name === "rot") rot = v; else tilt = v; later(); } })]));
    const near = slider({ label: "enlarged", min: 1, max: 4, step: 0.25, value: 1, show: (v) => `× ${v}`,
      onInput: (v) => { zoom = v; later(); } });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons === 1) turn(event.movementX / 2, event.movementY / 2);
    });
    canvas.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-6, 0], ArrowRight: [6, 0], ArrowUp: [0, -6], ArrowDown: [0, 6] }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      turn(...by);
    });
    box.replaceChildren(controls(height.box, near.box, angles.rot.box, angles.tilt.box), canvas,
      h("p", { class: "cryoedu-note" }, "On the surface: arrow keys or dragging turn it."), says.box);
    net();
  }

  get("mrc/volume", {}).then(build).catch((error) => { box.replaceChildren(); failed(error); });
  ends.push(says.stop);
  return box;
}

export { surface };
