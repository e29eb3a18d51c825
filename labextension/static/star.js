// The viewer of STAR files: a table at a time, a page of its rows at a time, in the order of any column; plots of
// columns; and the image that a row names.

import { button, buttons, choice, controls, h, imagePanel, number, player, row, slider, statusLine } from "./common.js";
import { viewer } from "./documents.js";
import { alertLine, asking, latest, server, tabs } from "./parts.js";
import { linePlot } from "./plots.js";

const PAGE = 50;

function tableView({ get, table, at, failed, ends }, onRow) {
  const says = statusLine(), head = h("tr", {}), body = h("tbody", {});
  const grid = h("table", { class: "cryoedu-table" }, h("thead", {}, head), body);
  let first = 0, sort = null, descending = false, chosen = null;

  const draw = latest(async (signal) => {
    const order = sort === null ? {} : { sort, descending };
    const { numbers, cells } = await get("star/rows", { table: at, first, count: PAGE, ...order }, signal);
    if (signal.aborted) return;
    body.replaceChildren(...numbers.map((which, i) => {
      const line = h("tr", {}, h("th", { scope: "row" }, String(which)),
        ...table.columns.map((_, c) => h("td", {}, cells[i][c] ?? "")));
      if (table.images !== null) {
        line.classList.add("cryoedu-pick");
        line.addEventListener("click", () => pick(line, which));
        line.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          pick(line, which);
        } });
        line.tabIndex = i === 0 ? 0 : -1;
        line.setAttribute("data-lm-suppress-shortcuts", "true");
        if (which === chosen) line.setAttribute("aria-current", "true");
      }
      return line;
    }));
    const words = sort === null ? "in the order of the file"
      : `by ${table.columns[sort]}, ${descending ? "highest first" : "lowest first"}`;
    says.say(numbers.length ? `Rows ${first + 1} to ${first + numbers.length} of ${table.rows}, ${words}.`
      : "This table has no rows.");
  }, failed);

  function pick(line, which) {
    chosen = which;
    for (const other of body.children) other.removeAttribute("aria-current");
    line.setAttribute("aria-current", "true");
    onRow(which);
  }

  body.addEventListener("keydown", (event) => {  // from row to row
    const all = [...body.children], here = all.indexOf(event.target);
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 }[event.key];
    if (here < 0 || to === undefined || !all[to]) return;
    event.preventDefault();
    for (const line of all) line.tabIndex = -1;
    all[to].tabIndex = 0;
    all[to].focus();
  });

  const headings = table.columns.map((name, c) => {
    const order = button(name, () => {
      descending = sort === c ? !descending : false;
      sort = sort === c && !descending ? null : c;  // lowest first, highest first, as in the file
      if (sort === null) descending = false;
      headings.forEach((heading, i) => heading.setAttribute("aria-sort",
        i !== sort ? "none" : descending ? "descending" : "ascending"));
      first = 0;
      pages?.set(0);
      draw();
    });
    return h("th", { scope: "col", "aria-sort": "none" }, order);
  });
  head.append(h("th", { scope: "col" }, "row"), ...headings);
  const count = Math.ceil(table.rows / PAGE);
  const pages = count > 1 ? player({ label: "page", frames: count, seconds: 1,
    onInput: (i) => { first = i * PAGE; draw(); } }) : null;
  ends.push(() => { pages?.stop(); says.stop(); });
  draw();
  return h("div", {}, ...(pages ? [controls(pages.box)] : []), says.box,
    h("div", { class: "cryoedu-scroll", tabindex: "0", role: "region", "aria-label": `table ${table.name}` }, grid));
}

function plotView({ get, table, at, failed, ends }) {
  const says = statusLine(), stage = row(), numeric = table.columns.map((_, i) => i).filter((i) => table.numeric[i]);
  const names = numeric.map((i) => table.columns[i]);
  let [x, y] = [0, 0];  // of the choices below

  function histogram(name, { counts, edges, left_out: out }) {
    const plot = linePlot({ title: name, xLabel: name, yLabel: "rows", x: [edges[0], edges.at(-1)],
      series: [{ name: "rows", kind: "bars" }], width: 520, height: 260 });
    const most = counts.indexOf(Math.max(...counts));
    const words = `How often values of ${name} occur, from ${number(edges[0], 4)} to ${number(edges.at(-1), 4)}; most often ` +
      `between ${number(edges[most], 4)} and ${number(edges[most + 1], 4)}`;
    plot.draw({ values: [counts], at: [counts.map((_, i) => (edges[i] + edges[i + 1]) / 2)], words });
    return [plot.svg, words, out];
  }

  function scatter(across, up, made) {
    const { x: xs, y: ys, left_out: out } = made;
    const [low, high] = [Math.min(...xs), Math.max(...xs)], margin = 0.02 * (high - low) || 0.5;
    const plot = linePlot({ title: `${up} over ${across}`, xLabel: across, yLabel: up, x: [low - margin, high + margin],
      series: [{ name: "rows", kind: "dots" }], width: 520, height: 260 });
    const words = `${up} over ${across}, ${xs.length} of ${table.rows} rows: ${across} from ${number(low, 4)} to ` +
      `${number(high, 4)}, ${up} from ${number(Math.min(...ys), 4)} to ${number(Math.max(...ys), 4)}`;
    plot.draw({ values: [ys], at: [xs], words });
    return [plot.svg, words, out];
  }

  const draw = latest(async (signal) => {
    const across = x === 0 ? null : numeric[x - 1], up = y === 0 ? null : numeric[y - 1];
    if (across === null && up === null) return;
    const query = { table: at, ...(across !== null && { x: across }), ...(up !== null && { y: up }) };
    const made = await get("star/plot", query, signal);
    if (signal.aborted) return;
    const name = across === null ? "row" : table.columns[across];
    const [svg, words, out] = up === null ? histogram(name, made) : scatter(name, table.columns[up], made);
    stage.replaceChildren(svg);
    says.say(`${words}.${out ? ` ${out} rows have no number there.` : ""}`);
  }, failed);

  if (!numeric.length) return h("p", {}, "No column of this table holds numbers.");
  const ups = choice({ label: "vertical", options: ["how many rows", ...names], onInput: (i) => { y = i; draw(); } });
  const acrosses = choice({ label: "horizontal", options: ["number of the row", ...names], value: 1,
    onInput: (i) => { x = i; if (i === 0 && y === 0) { y = 1; ups.set(1); } draw(); } });
  x = 1;
  ends.push(says.stop);
  draw();
  return h("div", { class: "cryoedu-plots" }, controls(acrosses.box, ups.box), stage, says.box);
}

function rowPicture({ get, asked, table, at, failed, ends }, openFile) {
  const box = h("div", { class: "cryoedu-picked" }), says = statusLine(0), stage = row();
  let sigmas = 3, shown = null;
  const none = (error) => { stage.replaceChildren(); says.say(""); box.hidden = true; failed(error); };

  const draw = latest(async (signal) => {
    const { path, at: index, name, which } = shown;
    const file = await asked("mrc", { path }, signal);
    const section = file.kind === "map" && !name.includes("@") ? Math.floor(file.shape[0] / 2) : index;
    const query = { path, at: section, size: 320, sigmas };
    const { about, data } = await asked("mrc/plane", query, signal);
    if (signal.aborted) return;
    const [height, width] = about.shape, panel = imagePanel({ title: `row ${which}: ${name}`, width, height, shown: 320 });
    panel.draw({ pixels: data, words: `image of row ${which}, ${name}` });
    stage.replaceChildren(panel.box);
    says.say(`Row ${which} of table ${table.name} is ${name}, ${file.shape[2]} × ${file.shape[1]} pixels.`);
  }, none);

  const pick = latest(async (signal, which) => {
    const found = await get("star/picture", { table: at, row: which - 1 }, signal);
    shown = { ...found, which };
    box.hidden = false;
    await draw();
  }, none);

  const contrast = slider({ label: "contrast", min: 0.5, max: 8, step: 0.5, value: sigmas, show: (v) => `± ${v} σ`,
    onInput: (v) => { sigmas = v; draw(); } });
  box.append(controls(contrast.box), stage, says.box, buttons(button("open its file", () => openFile(shown.path))));
  box.hidden = true;
  ends.push(says.stop);
  return { box, pick };
}

function show(root, ask, path, openFile) {
  const words = h("p", { class: "cryoedu-words" }, "Opening the file …"), bad = alertLine(), holder = h("div", {});
  root.append(words, bad.box, holder);
  const ends = [], failed = (error) => bad.say(error.message);
  const asked = asking(ask, root, () => bad.say(""));
  const get = (address, query, signal) => asked(address, { path, ...query }, signal);

  function panels(table, at) {
    for (const end of ends.splice(0)) end();
    const still = (address, query, signal) => get(address, { changed: table.changed, ...query }, signal);
    const context = { get: still, asked, table, at, failed, ends };
    const picture = rowPicture(context, openFile);
    const bar = tabs("what to see", {
      rows: () => h("div", {}, ...(table.images === null ? [] : [h("p", { class: "cryoedu-note" }, "Click a row, or press " +
        "Enter on it, to see its image; arrow keys go from row to row.")]),
        h("div", { class: "cryoedu-split" }, tableView(context, picture.pick), picture.box)),
      plot: () => plotView(context) });
    bar.show("rows");
    if (table.problem) bad.say(`${table.problem[0].toUpperCase()}${table.problem.slice(1)}.`);
    holder.replaceChildren(bar.box);
  }

  (async () => {
    const tables = await get("star", {});
    const label = (table) => `${table.name || "(no name)"}: ${table.rows} ${table.rows === 1 ? "row" : "rows"}`;
    words.textContent = `A STAR file of ${tables.length} ${tables.length === 1 ? "table" : "tables"}.`;
    const start = tables.reduce((most, table, i) => table.rows > tables[most].rows ? i : most, 0);
    const which = choice({ label: "table", options: tables.map(label), value: start,
      onInput: (i) => { bad.say(""); panels(tables[i], i); } });
    holder.before(controls(which.box));
    panels(tables[start], start);
  })().catch((error) => { words.textContent = "This file cannot be shown."; failed(error); });
  return () => { for (const end of ends) end(); };
}

export default async function plugin(shared) {
  let ask = null, openFile = null;
  const register = await viewer(shared, { name: "star", label: "STAR tables", extensions: [".star"],
    open: (root, path) => show(root, ask, path, openFile) });
  return { id: "cryoedu:star", description: "Viewer of STAR files", autoStart: true, activate: (app) => {
    ask = server(shared, app);
    openFile = (path) => app.commands.execute("docmanager:open", { path });
    register(app);
  } };
}
