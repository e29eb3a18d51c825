// The course's panel in the side bar: the lessons, how far the learner is, and how many kernels run.

import { button, buttons, h, statusLine } from "./common.js";
import { icon, keyed, panel, setText, sure, whileShown } from "./panels.js";
import { alertLine, server } from "./parts.js";

const SECONDS = 3;  // between two looks at the progress
const SEAT = 2;  // kernels that a seat on Binder holds
const WORDS = { done: ["✓", "done"], tried: ["✗", "tried, not yet right"], open: ["○", "not yet"] };

const called = (lesson) => `Lesson ${lesson.lesson}, ${lesson.title}`;
const score = (lesson) => `${lesson.done} of ${lesson.exercises.length} done`;
const several = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

function exerciseRow() {
  const mark = h("span", { "aria-hidden": "true" }), name = h("span", {}), state = h("em", {});
  const box = h("li", {}, mark, " ", name, " ", state);
  return { box, draw: (exercise) => {
    const [sign, words] = WORDS[exercise.state];
    box.className = `cryoedu-${exercise.state}`;
    setText(mark, sign);
    setText(name, `${exercise.number} ${exercise.title}`);
    setText(state, `(${words})`);
  } };
}

function lessonRow(lesson, { open, again }) {
  const head = h("span", { class: "cryoedu-name" }), told = h("span", { class: "cryoedu-told" });
  const list = h("ul", {}), update = keyed(list, exerciseRow);
  const begin = button("Open", () => open(lesson.lesson)), reset = button("Start again…", () => again(lesson.lesson));
  begin.setAttribute("aria-label", `Open lesson ${lesson.lesson}`);
  reset.setAttribute("aria-label", `Start lesson ${lesson.lesson} again`);
  const box = h("li", {}, h("details", {}, h("summary", {}, head, " ", told), list, buttons(begin, reset)));
  return { box, draw: ({ found, running, isNext }) => {
    setText(head, `${found.lesson} ${found.title}`);
    setText(told, `${found.minutes} min, ${score(found)}${running ? ", its kernel runs" : ""}`);
    box.classList.toggle("cryoedu-next", isNext);
    if (isNext) box.setAttribute("aria-current", "step"); else box.removeAttribute("aria-current");
    update(found.exercises, (e) => e.number);
  } };
}

function changes(before, after) {  // what a listener wants to hear
  const told = [];
  for (const lesson of after) {
    const old = before.find((l) => l.lesson === lesson.lesson);
    const changed = lesson.exercises.filter((e, i) => old?.exercises[i] && old.exercises[i].state !== e.state);
    for (const e of changed) told.push(`Exercise ${e.number}: ${WORDS[e.state][1]}.`);
    if (changed.length) told.push(`Lesson ${lesson.lesson}: ${score(lesson)}.`);
  }
  return told.join(" ");
}

async function fill({ shared, app, documents, root, widget }) {
  const ask = server(shared, app), sessions = app.serviceManager.sessions;
  let course = { stamp: "", lessons: [], next: null };
  const says = statusLine(), whole = h("p", {}), bar = h("progress", { max: 1, "aria-label": "exercises done" });
  const onward = button("", () => open(course.next ?? "0")), index = button("Index of the course", () => open("index"));
  const kernels = h("p", { tabindex: "-1" }), free = button("Shut down the others…", shutDownOthers);
  const list = h("ol", { class: "cryoedu-lessons" });
  const update = keyed(list, (item) => lessonRow(item.found, { open, again }));
  const problem = alertLine();
  root.append(h("h2", {}, "cryoedu course"), whole, bar, buttons(onward, index),
    h("div", { class: "cryoedu-kernels", role: "group", "aria-label": "kernels" }, kernels, buttons(free)),
    problem.box, says.box, list);

  const running = () => [...sessions.running()];
  const lessonAt = (path) => course.lessons.find((lesson) => lesson.path !== null && lesson.path === path);

  function others() {  // sessions of lessons that are not in front
    const front = app.shell.currentWidget?.context?.path;
    return running().filter((session) => lessonAt(session.path) && session.path !== front);
  }

  function draw() {
    const count = running().length, done = course.lessons.reduce((sum, l) => sum + l.done, 0);
    const all = course.lessons.reduce((sum, l) => sum + l.exercises.length, 0);
    setText(whole, `${done} of ${several(all, "exercise")} done`);
    [bar.max, bar.value] = [Math.max(all, 1), done];
    const next = course.lessons.find((l) => l.lesson === course.next);
    setText(onward, next ? `Go on with lesson ${next.lesson}` : "Every exercise is done");
    onward.disabled = !next;
    setText(kernels, count ? `${several(count, "kernel")} run${count === 1 ? "s" : ""}; a seat on Binder holds ${SEAT}.`
                           : "No kernel runs.");
    kernels.classList.toggle("cryoedu-many", count > SEAT);
    free.disabled = others().length === 0;
    const paths = running().map((session) => session.path);
    update(course.lessons.map((found) => ({ found, running: paths.includes(found.path),
      isNext: found.lesson === course.next })), (item) => item.found.lesson);
  }

  async function trying(work) {  // what goes wrong is said, and stays until something goes well
    try { await work(); problem.say(""); } catch (error) { problem.say(error.message); }
  }

  const look = () => trying(async () => {
    const found = await (await ask("course", { query: { since: course.stamp } })).json();
    if (!found.lessons) return;
    const told = changes(course.lessons, found.lessons);
    course = found;
    draw();
    if (told) says.say(told);
  });

  const open = (lesson) => trying(async () => {
    const { path } = await (await ask("course/open", { query: { lesson }, method: "POST" })).json();
    await documents.openOrReveal(path);
    await look();
  });

  async function shutDownOthers() {
    const closing = others(), names = closing.map((session) => called(lessonAt(session.path)));
    const answer = await sure(shared, { title: "Shut down the kernels of other lessons?", yes: "Shut down",
      text: `What these hold in memory is lost: ${names.join("; ")}. The notebooks and your answers stay; to go on ` +
        "there, run their cells again." });
    if (answer) await trying(async () => {
      await Promise.all(closing.map((session) => sessions.shutdown(session.id)));
      says.say(`${several(closing.length, "kernel")} shut down.`);
    });
    (free.disabled ? kernels : free).focus();
  }

  async function again(number) {
    const lesson = course.lessons.find((l) => l.lesson === number);
    const answer = await sure(shared, { title: `Start lesson ${number} again?`, yes: "Start again",
      text: `${called(lesson)}: your notebook is moved to the folder old_answers, and a fresh one takes its place. ` +
        "What its kernel holds in memory is lost.",
      checkbox: { label: "Forget also which of its exercises are done", checked: false } });
    if (answer) await trying(async () => {
      const at = documents.findWidget(lesson.path ?? "");
      if (at) await documents.contextForWidget(at).save();  // the last answers go aside too
      await documents.closeFile(lesson.path ?? "");
      await Promise.all(running().filter((s) => s.path === lesson.path).map((s) => sessions.shutdown(s.id)));
      const query = { lesson: number, forget: Number(answer.ticked) };
      const { path, old, problem: kept } = await (await ask("course/reset", { query, method: "POST" })).json();
      await documents.openOrReveal(path);
      await look();
      says.say(`Lesson ${number} is fresh.${old ? ` Your old answers are in ${old}.` : ""}${kept ? ` ${kept}` : ""}`);
    });
  }

  sessions.runningChanged.connect(draw);
  app.shell.currentChanged?.connect(draw);
  whileShown(widget, SECONDS, look);
  draw();
  return { open, next: () => look().then(() => open(course.next ?? "index")) };
}

export default async function plugin(shared) {
  const [{ IDocumentManager }, { ICommandPalette }, application] =
    await Promise.all(["docmanager", "apputils", "application"].map((name) => shared(`@jupyterlab/${name}`)));
  const launch = await shared("@jupyterlab/launcher"), image = await icon(shared, "course");
  const optional = [ICommandPalette, application.ILayoutRestorer, launch?.ILauncher].filter(Boolean);
  return { id: "cryoedu:course", description: "The course in the side bar", autoStart: true,
    requires: [IDocumentManager], optional, activate: async (app, documents, palette, restorer, launcher) => {
      const { widget, root } = await panel(shared, { id: "cryoedu-course", label: "cryoedu course" });
      widget.title.icon = image;
      const course = await fill({ shared, app, documents, root, widget });
      app.shell.add(widget, "left", { rank: 650 });
      restorer?.add(widget, widget.id);
      const commands = {
        "cryoedu:course": ["Lessons and progress", () => app.shell.activateById(widget.id)],
        "cryoedu:course-index": ["cryoedu course", () => course.open("index")],
        "cryoedu:course-next": ["Go on with the next lesson", course.next] };
      for (const [command, [label, execute]] of Object.entries(commands)) {
        app.commands.addCommand(command, { label, execute, icon: image });
        palette?.addItem({ command, category: "cryoedu" });
      }
      launcher?.add({ command: "cryoedu:course-index", category: "cryoedu", rank: 1 });
    } };
}
