// The viewer of MRC files: what the file is in words, and tabs with what can be seen of it.

import { choice, controls, h, number } from "./common.js";
import { viewer } from "./documents.js";
import { gallery } from "./gallery.js";
import { alertLine, asking, server, tabs } from "./parts.js";
import { pictureView } from "./picture.js";
import { slices } from "./slices.js";
import { spectrum } from "./spectrum.js";
import { surface } from "./surface.js";

const EXTENSIONS = [".mrc", ".mrcs", ".map"].flatMap((name) => [name, `${name}.gz`, `${name}.bz2`]);
const KINDS = ["stack", "map"];

function size(bytes) {
  const [unit, by] = bytes < 1e6 ? ["kB", 1e3] : bytes < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${number(bytes / by, 3)} ${unit}`;
}

function inWords(file) {
  const [count, height, width] = file.shape, [x, y, z] = file.voxel;
  const what = file.kind === "map" ? `A map of ${width} × ${height} × ${count} voxels`
    : count === 1 ? `An image of ${width} × ${height} pixels` : `${count} images of ${width} × ${height} pixels`;
  const uneven = file.kind === "map" && Math.max(x, y, z) > 1.01 * Math.min(x, y, z);
  const pixel = !x ? "pixel size not set" : uneven ? `voxels of ${[x, y, z].map((v) => number(v, 4)).join(" × ")} Å`
    : `${number(x, 4)} Å per ${file.kind === "map" ? "voxel" : "pixel"}`;
  return `${what}, ${pixel}; mode ${file.mode} (${file.type}), ${file.order}-endian, ${size(file.bytes)}` +
    `${file.packed ? ", packed" : ""}.`;
}

function valuesInWords({ low, high, mean, sigma, share, broken }) {
  if (low === null) return "None of the values is a number.";
  const of = share < 1 ? ` (from ${number(100 * share, 2)} % of the file)` : "";
  return `Values from ${number(low, 4)} to ${number(high, 4)}, mean ${number(mean, 4)}, standard deviation ` +
    `${number(sigma, 4)}${of}.` + (broken ? ` ${broken} of the measured values are no numbers.` : "");
}

function headerTable(file) {
  const row = ([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value));
  return h("div", {}, h("table", { class: "cryoedu-fields" }, h("caption", {}, "Fields of the header"),
    h("tbody", {}, ...file.fields.map(row), ...file.labels.map((words, i) => row([`label ${i + 1}`, words])))));
}

function show(root, ask, path) {
  const words = h("p", { class: "cryoedu-words" }, "Opening the file …"), values = h("p", { class: "cryoedu-values" });
  const bad = alertLine(), body = h("div", {});
  root.append(words, values, bad.box, body);
  const ends = [], failed = (error) => bad.say(error.message);
  const asked = asking(ask, root, () => bad.say(""));
  const read = {};  // which file it was that the words describe
  const get = (address, query, signal) => asked(address, { path, ...read, ...query }, signal);

  function panels(file, known) {
    const stack = file.kind !== "map", [count] = file.shape;
    const context = { get, file, known, failed, ends };
    let image = null, opened = null;
    const one = () => { image = pictureView(context); if (opened !== null) image.open(opened); return image.box; };
    const made = stack
      ? { ...(count > 1 && { gallery: () => gallery(context, (i) => { opened = i; image?.open(i); bar.show("image"); }) }),
          image: one }
      : { slices: () => slices(context), surface: () => surface(context) };
    const bar = tabs("what to see", { ...made, "power spectrum": () => spectrum(context),
      header: () => headerTable(file) });
    bar.show(Object.keys(made)[0]);
    return bar.box;
  }

  (async () => {
    const file = await get("mrc", {});
    read.changed = file.changed;
    words.textContent = inWords(file);
    const known = get("mrc/statistics", {});
    known.then((found) => { values.textContent = valuesInWords(found); }, failed);
    const kind = choice({ label: "taken as", options: ["images", "a map"], value: KINDS.indexOf(file.kind),
      onInput: (i) => draw(KINDS[i]) });
    const holder = h("div", {});
    const draw = (as) => {
      for (const end of ends.splice(0)) end();
      file.kind = as;
      words.textContent = inWords(file);
      holder.replaceChildren(panels(file, known));
    };
    if (file.kind !== "image") body.append(controls(kind.box));
    body.append(holder);
    draw(file.kind);
  })().catch((error) => { words.textContent = "This file cannot be shown."; failed(error); });
  return () => { for (const end of ends) end(); };
}

export default async function plugin(shared) {
  let ask = null;
  const register = await viewer(shared, { name: "mrc", label: "Cryo-EM images", extensions: EXTENSIONS,
    open: (root, path) => show(root, ask, path) });
  return { id: "cryoedu:mrc", description: "Viewer of MRC files", autoStart: true, activate: (app) => {
    ask = server(shared, app);
    register(app);
  } };
}
