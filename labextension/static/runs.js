// The run monitor: the runs below Jupyter's folder, how far each is, its pictures, curves and log; stop and resume.

import { button, buttons, h, imagePanel, number, row, statusLine } from "./common.js";
import { icon, keyed, panel, setText, sure, whileShown } from "./panels.js";
import { alertLine, packed, server } from "./parts.js";
import { linePlot } from "./plots.js";

const SECONDS = 2, EVERY = 5;  // between two looks at a run; of these, how many to one at the whole list
const MOST_CURVES = 6;  // of the largest classes
const MORE = "There are more folders than were searched: show the runs in a folder from its menu in the file browser.";
const NONE = "There is no run here. Start one in a shell, cryoedu refine3d … --o runs/job001, or in a notebook, with " +
  "cryoedu.commands.background.start.";
const AXES = ["across z", "across y", "across x"];

const rootOf = (path) => path || "this folder";
const last = (values) => (values ?? []).filter((v) => v !== null).at(-1);
const gaps = (values) => values.map((v) => v ?? NaN);

function words(run) {  // its state in words
  const most = run.iterations ? ` of at most ${run.iterations}` : "";
  const done = run.iteration ? `, ${run.iteration}${most} iterations done` : "";
  return `${run.state}${run.elsewhere ? ` at ${run.elsewhere}` : ""}${done}`;
}

function runRow(choose) {
  const name = h("span", { class: "cryoedu-name" }), state = h("span", {});
  let path = "";
  const box = h("li", {}, button("", () => choose(path)));
  box.firstChild.append(name, " ", state);
  return { box, draw: ({ run, chosen }) => {
    path = run.path;
    setText(name, rootOf(run.path));
    setText(state, `${run.job ? `${run.job}, ` : ""}${words(run)}`);
    box.className = `cryoedu-${run.state}`;
    if (chosen) box.firstChild.setAttribute("aria-current", "true");
    else box.firstChild.removeAttribute("aria-current");
  } };
}

function plot(title, yLabel, series, at, iterations, options = {}) {  // against the iterations
  const { svg, draw } = linePlot({ title, xLabel: "iteration", yLabel, x: [1, Math.max(iterations, 2)], series,
    height: 180, ...options });
  return { svg, draw: (values) => draw({ values: values.map(gaps), at: values.map(() => at) }) };
}

function progressPlots({ history, iterations }) {
  const at = history.iteration ?? [];
  if (!at.length) return [];
  const end = Math.max(iterations, at.at(-1));
  const likelihood = plot("Log-likelihood (comparable at one resolution)", "log L", [{ kind: "dots" }], at, end);
  likelihood.draw([history.log_likelihood]);
  const kinds = [["resolution_angstrom", "used"], ["fsc_resolution_angstrom", "FSC 0.143"]].filter(([n]) => history[n]);
  const resolution = plot("Resolution", "resolution (Å)", kinds.map(([, name]) => ({ name })), at, end);
  resolution.draw(kinds.map(([name]) => history[name]));
  return [likelihood.svg, resolution.svg];
}

function spectra({ curves, weights }) {
  const q = curves.frequencies ?? [];
  if (q.length < 3) return [];
  const frame = { xLabel: "resolution (Å)", x: [q[1], q.at(-1)], xTick: (v) => number(1 / v, 2), height: 180 };
  const classes = weights.map((w, k) => [w ?? 0, k]).sort((a, b) => b[0] - a[0]).map(([, k]) => k)
    .filter((k) => curves.ssnr[k]).slice(0, MOST_CURVES);
  const made = [];
  if (classes.length) {
    const ssnr = linePlot({ title: "Signal to noise, SSNR", yLabel: "SSNR", log: "y", ...frame,
      series: classes.map((k) => ({ name: `class ${k + 1}` })) });
    const values = classes.map((k) => curves.ssnr[k].slice(1).map((v) => (v > 1e-4 ? v : NaN)));
    ssnr.draw({ values, at: values.map(() => q.slice(1)), lines: [{ y: 1, name: "1" }] });
    made.push(ssnr.svg);
  }
  if (curves.fsc.length) {
    const fsc = linePlot({ title: "Agreement of the halves, FSC", yLabel: "FSC", ...frame, series: [{}] });
    fsc.draw({ values: [gaps(curves.fsc.slice(1))], at: [q.slice(1)], y: [-0.1, 1.05],
      lines: [{ y: 0.143, name: "0.143" }] });
    made.push(fsc.svg);
  }
  return made;
}

function pictures({ about, data }, weights) {  // largest class first
  const [count, views, size] = about.shape;
  const order = Array.from({ length: count }, (_, k) => k).sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0));
  return order.flatMap((k) => Array.from({ length: views }, (_, v) => {
    const share = Number.isFinite(weights[k]) ? `, ${number(100 * weights[k], 3)} %` : "";
    const title = `${count > 1 ? `class ${k + 1}${share}` : "the map"}${views > 1 ? `, ${AXES[v]}` : ""}`;
    const image = imagePanel({ title, width: size, shown: 112 });
    image.draw({ pixels: data.subarray((k * views + v) * size * size, (k * views + v + 1) * size * size) });
    return image.box;
  }));
}

function facts(run) {
  const told = [];
  const tell = (name, say) => {
    const value = last(run.history[name]);
    if (Number.isFinite(value)) told.push(say(value));
  };
  tell("log_likelihood", (v) => `log-likelihood ${number(v, 7)}`);
  tell("resolution_angstrom", (v) => `resolution used ${number(v, 3)} Å`);
  tell("resolved_angstrom", (v) => `resolved to ${number(v, 3)} Å`);
  tell("fsc_resolution_angstrom", (v) => `FSC 0.143 at ${number(v, 3)} Å`);
  if (run.weights.length > 1) tell("changed_classes", (v) => `${number(100 * v, 2)} % changed class`);
  tell("seconds", (v) => `the last iteration took ${number(v, 2)} s`);
  return told.join("; ");
}

async function fill({ shared, app, documents, root, widget }) {
  const ask = server(shared, app);
  let top = "", runs = [], chosen = null, shown = { stamp: "" }, drawn = -1, turn = 0, stopping = false;
  let byHand = false;  // somebody chose the run and has not seen it yet
  const says = statusLine(), problem = alertLine(), none = h("p", {});
  const list = h("ul", { class: "cryoedu-runs", "aria-label": "runs" });
  const update = keyed(list, () => runRow(chooseByHand));
  const where = h("span", {}), whole = button("Show all runs", () => show(""));
  const name = h("h2", { tabindex: "-1" }), state = h("p", { class: "cryoedu-state" });
  const told = h("p", {}), why = h("p", {});
  const command = h("pre", { "aria-label": "command", tabindex: "0" });
  const halt = button("Stop…", stopIt), go = button("Resume", resumeIt);
  const inside = (file) => (chosen ? `${chosen}/${file}` : file);
  const report = button("Open the report", () => documents.openOrReveal(inside("run_report.html")));
  const plots = row(), images = row(), log = h("pre", { "aria-label": "log", tabindex: "0" });
  const detail = h("section", { "aria-label": "the chosen run" }, name, state, buttons(halt, go, report), told, plots,
    images, h("h3", {}, "Command"), command, why, h("h3", {}, "Log"), log);
  root.append(h("div", { class: "cryoedu-buttons" }, where, whole), problem.box, says.box, none, list, detail);

  async function trying(work) {
    try { await work(); problem.say(""); } catch (error) { problem.say(error.message); }
  }

  function drawList() {
    update(runs.map((run) => ({ run, chosen: run.path === chosen })), (item) => item.run.path);
    setText(where, top ? `Runs in ${top}` : "All runs below Jupyter's folder");
    whole.hidden = !top;
    detail.hidden = chosen === null;
  }

  async function lookForRuns() {
    const found = await (await ask("runs", { query: { path: top } })).json();
    runs = found.runs;
    setText(none, found.more ? MORE : runs.length ? "" : NONE);
    if (!runs.some((run) => run.path === chosen)) choose(runs.length ? runs[0].path : null);
    drawList();
  }

  async function lookAtRun() {
    if (chosen === null) return;
    const path = chosen;
    const run = await (await ask("runs/one", { query: { path, since: shown.stamp } })).json();
    if (path !== chosen || run.state === undefined) return;
    await draw(run);
  }

  async function draw(run) {
    const before = shown;
    shown = run;
    setText(name, rootOf(run.path));
    setText(state, `${words(run)}${run.message ? `: ${run.message}` : ""}`);
    state.dataset.state = run.state;
    stopping &&= run.can_stop;
    halt.disabled = !run.can_stop || stopping;
    go.disabled = !run.can_resume;
    report.disabled = !run.report;
    setText(told, facts(run));
    setText(command, run.command);
    setText(why, run.why_not && run.state !== "finished" ? `It cannot be resumed from here: ${run.why_not}` : "");
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    setText(log, run.log || "(nothing was written by a run that was started elsewhere: see its terminal)");
    if (atEnd) log.scrollTop = log.scrollHeight;
    plots.replaceChildren(...progressPlots(run), ...spectra(run));
    const same = before.path === run.path;
    if (same && before.state !== run.state) says.say(`${rootOf(run.path)}: ${words(run)}. ${run.message}`);
    if (byHand) {  // with the first answer, whichever question it is to: not after the pictures have come
      byHand = false;
      name.focus();
      says.say(`${rootOf(run.path)}: ${words(run)}`);
    }
    runs = runs.map((known) => (known.path === run.path ? { ...known, ...run } : known));
    drawList();
    if (same && drawn === run.pictures) return;
    drawn = run.pictures;
    const query = { path: run.path, number: run.pictures };
    images.replaceChildren(...(run.pictures
      ? pictures(await packed(await ask("runs/pictures", { query })), run.weights) : []));
  }

  function choose(path) {
    [chosen, shown, drawn, stopping] = [path, { stamp: "" }, -1, false];
    drawList();
    trying(lookAtRun);
  }

  function chooseByHand(path) {
    byHand = true;
    choose(path);
  }

  async function stopIt() {
    const path = chosen;
    const answer = await sure(shared, { title: "Stop this run?", yes: "Stop",
      text: `${rootOf(path)}: the iterations that are finished stay, the one at work is given up. You can resume the ` +
        "run later." });
    name.focus();
    if (answer) await trying(async () => {
      await ask("runs/stop", { query: { path }, method: "POST" });
      halt.disabled = stopping = true;
      says.say(`${rootOf(path)} is asked to stop.`);
    });
  }

  async function resumeIt() {
    const path = chosen;
    await trying(async () => {
      await ask("runs/resume", { query: { path }, method: "POST" });
      name.focus();  // the button is no longer there to be pressed
      await lookAtRun();
    });
  }

  const look = () => trying(async () => {
    if (turn++ % EVERY === 0) await lookForRuns();
    else await lookAtRun();
  });
  const now = whileShown(widget, SECONDS, look);

  function show(path) {
    [top, turn] = [path, 0];
    runs = [];
    return now();
  }
  drawList();
  return show;
}

export default async function plugin(shared) {
  const [{ IDocumentManager }, { ICommandPalette, MainAreaWidget, WidgetTracker }, { ILayoutRestorer }, browsers] =
    await Promise.all(["docmanager", "apputils", "application", "filebrowser"]
      .map((name) => shared(`@jupyterlab/${name}`)));
  const launch = await shared("@jupyterlab/launcher"), image = await icon(shared, "runs");
  const optional = [ICommandPalette, ILayoutRestorer, browsers?.IFileBrowserFactory, launch?.ILauncher].filter(Boolean);
  return { id: "cryoedu:runs", description: "Runs of cryoedu: watched, stopped, resumed", autoStart: true,
    requires: [IDocumentManager], optional, activate: (app, documents, palette, restorer, files, launcher) => {
      const tracker = new WidgetTracker({ namespace: "cryoedu-runs" });
      let open = null;  // the one panel, { area, show }, while there is one

      async function make() {
        const { widget, root } = await panel(shared, { id: "cryoedu-runs-content", label: "Runs" });
        const area = new MainAreaWidget({ content: widget });
        Object.assign(area, { id: "cryoedu-runs" });
        Object.assign(area.title, { label: "Runs", caption: "Runs of cryoedu", icon: image, closable: true });
        area.disposed.connect(() => { open = null; });
        const show = await fill({ shared, app, documents, root, widget });
        await tracker.add(area);
        return { area, show };
      }

      app.commands.addCommand("cryoedu:runs", { label: "Runs", icon: image,
        caption: "Watch, stop and resume runs of cryoedu", execute: async ({ path = "" }) => {
          const { area, show } = await (open ??= make());
          if (!area.isAttached) app.shell.add(area, "main");
          if (!area.isAttached) app.shell.add(area, "right");  // Notebook 7 has room for one thing in the middle
          app.shell.activateById(area.id);
          show(path);
        } });
      app.commands.addCommand("cryoedu:runs-here", { label: "Show the runs in this folder", icon: image,
        execute: () => {
          const chosen = [...(files.tracker.currentWidget?.selectedItems() ?? [])];
          const folder = chosen.find((item) => item.type === "directory");
          if (folder) return app.commands.execute("cryoedu:runs", { path: folder.path });
        } });
      palette?.addItem({ command: "cryoedu:runs", category: "cryoedu" });
      launcher?.add({ command: "cryoedu:runs", category: "cryoedu", rank: 2 });
      if (files) app.contextMenu.addItem({ command: "cryoedu:runs-here", rank: 5,
        selector: '.jp-DirListing-item[data-isdir="true"]' });
      restorer?.restore(tracker, { command: "cryoedu:runs", name: () => "runs" });
    } };
}
