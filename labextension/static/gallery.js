// The images of a stack, a page at a time; a click, or Enter, opens one.

import { choice, controls, h, number, paint, player, slider, statusLine, tickBox } from "./common.js";
import { coarser, latest } from "./parts.js";

const SIZES = [[72, 60], [128, 24], [256, 6]];  // pixels of an image, images of a page

function gallery({ get, file, known, failed, ends }, onOpen) {
  const [count, height, width] = file.shape, box = h("div", {}), says = statusLine();
  const grid = h("div", { class: "cryoedu-gallery", role: "group", "aria-label": "images" });
  let [shown, each] = SIZES[1], first = 0, sigmas = 3, alike = false, pages = null;

  function fill(about, data) {
    const [k, down, right] = about.shape, scale = shown / Math.max(height, width);
    grid.replaceChildren(...Array.from({ length: k }, (_, i) => {
      const canvas = h("canvas", { width: right, height: down, "aria-hidden": "true",
        style: `width:${Math.max(8, Math.round(width * scale))}px;height:${Math.max(8, Math.round(height * scale))}px` });
      paint(canvas, data.subarray(i * down * right, (i + 1) * down * right));
      const open = h("button", { type: "button", "aria-label": `image ${first + i + 1}` }, canvas, String(first + i + 1));
      open.addEventListener("click", () => onOpen(first + i));
      return open;
    }));
    says.say(`Images ${first + 1} to ${first + k} of ${count}, ` + (alike ? "all on one scale of greys"
      : `each from its mean − ${number(sigmas)} σ (black) to + ${number(sigmas)} σ (white)`) +
      `${coarser(about, "pixels")}.`);
  }

  const draw = latest(async (signal) => {
    const values = alike ? await known : null;
    const scale = values?.sigma ? { low: values.mean - sigmas * values.sigma, high: values.mean + sigmas * values.sigma }
      : { sigmas };
    const query = { first, count: each, size: shown, ...scale };
    const { about, data } = await get("mrc/gallery", query, signal);
    if (!signal.aborted) fill(about, data);
  }, failed);

  function paging() {  // the pages of this size of image, at the one that holds what was seen
    const next = player({ label: "page", frames: Math.ceil(count / each), value: Math.floor(first / each), seconds: 1,
      onInput: (i) => { first = i * each; draw(); } });
    first = Math.floor(first / each) * each;
    pages?.stop();
    pages?.box.replaceWith(next.box);
    pages = next;
  }

  grid.addEventListener("keydown", (event) => {  // arrows go from image to image, as Tab does
    const all = [...grid.children], at = all.indexOf(event.target);
    const across = all.filter((e) => e.offsetTop === all[0].offsetTop).length;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
    if (by === undefined || at < 0) return;
    event.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, at + by))].focus();
  });

  paging();
  const contrast = slider({ label: "contrast", min: 0.5, max: 8, step: 0.5, value: sigmas, show: (v) => `± ${v} σ`,
    onInput: (v) => { sigmas = v; draw(); } });
  const sizes = choice({ label: "size", options: ["small", "medium", "large"], value: 1,
    onInput: (i) => { [shown, each] = SIZES[i]; paging(); draw(); } });
  const same = tickBox({ label: "one scale for all images", onInput: (on) => { alike = on; draw(); } });
  box.append(controls(contrast.box, sizes.box, same.box, pages.box), grid, says.box);
  ends.push(() => { pages.stop(); says.stop(); });
  draw();
  return box;
}

export { gallery };
