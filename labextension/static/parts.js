// What the plugins share beside the widgets' toolkit (common.js, plots.js): asking the server, tabs, bad news.
//
//   const ask = server(shared, app);
//   await (await ask("mrc", { query: { path } })).json()          an Error has the server's sentence as its message
//   await ask("runs/stop", { method: "POST", body: { path } })
//   const { about, data } = await packed(await ask("mrc/plane", { query }))       words and bytes of one answer
//   const draw = latest(async (signal, …) => { … }, (error) => …)    each call ends the one before
//   tabs(label, { name: () => element, … })                       → { box, show(name) }; made when first shown
//   const get = asking(ask, root, before)                         await get(address, query, signal) is what came, JSON or
//                                                                 packed; the root is aria-busy while an answer is due
//   coarser(about, "pixels")                              how a picture was made smaller, in words; empty if it was not
//   alertLine() → { box, say(words) }                             a screen reader says it at once; empty is hidden

import { h } from "./common.js";

async function refused(answer) {  // what the server said, or else what the number means
  const words = await answer.json().then((said) => said.message, () => null);
  return new Error(words || `the server answered ${answer.status} ${answer.statusText}`);
}

function server(shared, app) {
  const settings = app.serviceManager.serverSettings;
  return async (address, { query = {}, method = "GET", body = null, signal = null } = {}) => {
    const { ServerConnection } = await shared("@jupyterlab/services");
    const url = new URL(`cryoedu/${address}`, settings.baseUrl);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const init = { method, ...(body && { body: JSON.stringify(body) }), ...(signal && { signal }) };
    const answer = await ServerConnection.makeRequest(url.href, init, settings);
    if (!answer.ok) throw await refused(answer);
    return answer;
  };
}

function asking(ask, root, before) {
  let due = 0;
  const tell = (by) => {
    due += by;
    if (due) root.setAttribute("aria-busy", "true"); else root.removeAttribute("aria-busy");
  };
  return async (address, query, signal) => {
    before();
    tell(1);
    try {
      const answer = await ask(address, { query, signal });
      return await (answer.headers.get("Content-Type").startsWith("application/json") ? answer.json() : packed(answer));
    } finally { tell(-1); }
  };
}

async function packed(answer) {  // the length of the words, they as JSON, then bytes
  const whole = await answer.arrayBuffer(), length = new DataView(whole).getUint32(0, true);
  const words = new TextDecoder().decode(new Uint8Array(whole, 4, length));
  return { about: JSON.parse(words), data: new Uint8Array(whole, 4 + length) };
}

function latest(work, failed) {
  let before = null;
  return async (...given) => {
    before?.abort();
    const mine = before = new AbortController();
    try { await work(mine.signal, ...given); } catch (error) { if (!mine.signal.aborted) failed(error); }
  };
}

function tabs(label, panels) {
  const names = Object.keys(panels), made = {}, id = `cryoedu-tabs-${Math.random().toString(36).slice(2)}`;
  const buttons = names.map((name, i) => h("button", { type: "button", role: "tab", id: `${id}-${i}` }, name));
  const list = h("div", { role: "tablist", "aria-label": label, class: "cryoedu-tabs" }, ...buttons);
  const box = h("div", {}, list);

  function show(name) {
    const at = names.indexOf(name);
    if (!made[name]) {
      made[name] = h("div", { role: "tabpanel", id: `${id}-${at}-panel`, "aria-labelledby": `${id}-${at}` });
      buttons[at].setAttribute("aria-controls", made[name].id);
      box.append(made[name]);
      made[name].append(panels[name]());
    }
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === at));
      button.tabIndex = i === at ? 0 : -1;
    });
    for (const [other, panel] of Object.entries(made)) panel.hidden = other !== name;
  }

  buttons.forEach((button, i) => {
    button.addEventListener("click", () => show(names[i]));
    button.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: names.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = (to + names.length) % names.length;
      show(names[next]);
      buttons[next].focus();
    });
  });
  return { box, show };
}

function coarser({ factors, sampled }, what) {
  const by = Math.max(...factors), block = `${factors.map(() => by).join(" × ")} ${what}`;
  return by === 1 ? "" : sampled ? `, made of some of each ${block}` : `, made of means of ${block}`;
}

function alertLine() {
  const box = h("p", { role: "alert", class: "cryoedu-alert" });
  return { box, say: (words) => { box.textContent = words; } };
}

export { alertLine, asking, coarser, latest, packed, server, tabs };
