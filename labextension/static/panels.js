// What the course's panel and the run monitor share: a panel that looks at the server only while somebody looks at it.

import { h } from "./common.js";

const ICONS = {  // 16 × 16, in the colour of JupyterLab's own
  course: "M8 2 1 5l7 3 7-3zM4 7.6V11c0 1 1.8 2 4 2s4-1 4-2V7.6L8 9.3z",
  runs: "M1 13h14v1H1zM2 11V8h2v3zm4 0V4h2v7zm4 0V6h2v5zm3.5 0V2h1.5v9z",
};

async function icon(shared, name) {
  const { LabIcon } = await shared("@jupyterlab/ui-components");
  const shape = h("path", { class: "jp-icon3 jp-icon-selectable", fill: "#616161", d: ICONS[name] });
  const svgstr = new XMLSerializer().serializeToString(h("svg", { viewBox: "0 0 16 16", width: 16 }, shape));
  return new LabIcon({ name: `cryoedu:${name}`, svgstr });
}

async function panel(shared, { id, label, title = "" }) {  // a widget of JupyterLab around a board of the toolkit
  const { Widget } = await shared("@lumino/widgets");
  const root = h("div", { class: "cryoedu", role: "region", "aria-label": label });
  const widget = new Widget();
  widget.id = id;
  widget.addClass("cryoedu-panel");
  widget.node.append(root);
  Object.assign(widget.title, { caption: label, label: title, closable: true });
  return { widget, root };
}

// Do `look` (an async function) each so many seconds, but never twice at a time, and only while the widget is shown.
function whileShown(widget, seconds, look) {
  let busy = false;
  const now = async () => {
    if (busy || !widget.isVisible || document.hidden) return;
    busy = true;
    try { await look(); } finally { busy = false; }
  };
  const timer = setInterval(now, 1000 * seconds);
  widget.disposed.connect(() => clearInterval(timer));
  new IntersectionObserver(now).observe(widget.node);  // as soon as it is shown
  return now;
}

async function sure(shared, { title, text, yes, checkbox = null }) {  // a question; null for no, else { ticked }
  const { Dialog, showDialog } = await shared("@jupyterlab/apputils");
  const answer = await showDialog({ title, body: text, checkbox, defaultButton: 0,  // Enter alone does nothing
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: yes })] });
  return answer.button.accept ? { ticked: Boolean(answer.isChecked) } : null;
}

const setText = (element, words) => { if (element.textContent !== words) element.textContent = words; };

// An element that belongs to a name from outside is compared by its place in a Map, and shown as text: never as markup.
function keyed(parent, make) {
  const made = new Map();
  return (items, keyOf) => {
    const keys = items.map(keyOf);
    for (const [key, row] of made) if (!keys.includes(key)) { row.box.remove(); made.delete(key); }
    items.forEach((item, i) => {
      if (!made.has(keys[i])) made.set(keys[i], make(item));
      const row = made.get(keys[i]);
      if (parent.children[i] !== row.box) parent.insertBefore(row.box, parent.children[i] ?? null);
      row.draw(item);
    });
  };
}

export { icon, keyed, panel, setText, sure, whileShown };
