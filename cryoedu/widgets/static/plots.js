// The toolkit of the widgets. A widget's module is `module("common.js", "plots.js", "own.js")`; own.js exports render:
//
//   render({ model, el }):  const root = board(el, "its name"); …; root.append(controls(…), row(…), says.box);
//                           return ending(root, follow(model, ["trait", …], draw), player.stop, says.stop);
//   floats(model.get("_x")), ints, bytes what Python's `raw(array)`, int32 or uint8 bytes sent, as typed arrays
//   follow(model, names, draw)           draws now and whenever a trait changes; returns what ends that
//   controls(…) buttons(…) row(…)        boxes for controls, for buttons and tick boxes, for pictures side by side
//   slider({ label, min, max, step, value, show: v => words, onInput })         → { box, input, set, range(lo, hi) }
//   choice({ label, options: [words], value: index, onInput: index => … })      → { box, input, set }
//   tickBox({ label, value, onInput }) → { box, input, set };   button(words, onClick) → element
//   player({ label, frames, value, seconds, show, onInput })  play, first, back, step, last and a slider
//                                                                               → { box, input, set, stop }
//   statusLine() → { box, say(words), stop }   seen at once; read out when nothing has moved for a quarter of a second
//   number(v, digits) argmax(values) extent(values) spread(values)   numbers as words, ranges for colours
//   imagePanel({ title, width, height, shown, shownHeight, table, unit, note, smooth, onPick(x, y) }) → { box, canvas, draw }
//     width × height pixels, `shown` × `shownHeight` on the page (168 wide as a rule); table: the bytes of `cividis()`,
//     without it grey; unit: a colour scale too; note: words below, such as what the axes are; onPick: click, in pixels;
//     smooth: for an image shown smaller than it is, whose fine rings would make new ones if pixels were left out
//     draw({ values | pixels, range: [lo, hi], words, title, note, marks })   floats, or uint8 levels as they are;
//     range: mean ± 3 σ for grey, lowest to highest with a table; words: aria-label; marks: SVG in pixels of the image,
//     [["circle", { cx, cy, r }], …], "line", "rect" and "path" too; the class "truth" draws them dashed
//   linePlot({ title, xLabel, yLabel, x: [lo, hi], series: [{ name, kind, colour, dash }], name, log: "x" | "y" | "xy",
//              xTicks: step | [values], xTick: v => words, yTick, circle, width, height, onPick(x) })  → { svg, draw }
//     kind: "line", "bars" or "dots"; labels carry units: "resolution (Å)"; the defaults of the series differ in colour
//     and dashes; two and more get a legend; name: its class is cryoedu-NAME; circle: the last point is the first again
//     draw({ values: [array of each series], at: [x of its points, or null: evenly spaced], y: [lo, hi], cursor: x,
//            truth: x, lines: [{ x | y, name, left }], words })   reuses its elements; y: as the values need it, but a
//     player wants it fixed or the axis jumps; NaN leaves a gap; left: a level is named at its left end, not at the
//     right one; words: aria-label, what is to be seen
//   spherePlot(…)   numbers at viewing directions as a Mollweide map, from sphere.js: module(…, "sphere.js", "own.js")

import { extent, h, number } from "./common.js";

const COLOURS = ["#3d8fd1", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#8c8c8c"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "1 2"];

function niceTicks(low, high, count) {  // round numbers between low and high, about so many
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.75);
  const ticks = [];
  for (let v = Math.ceil(low / step - 1e-6); v <= high / step + 1e-6; v++) ticks.push(v * step);
  return ticks;
}

function logTicks(low, high) {  // powers of ten, or 1, 2, 5 times them where there are few
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const every = Math.ceil((last - first) / 6), ticks = [];
  for (let p = first; p <= last; p += every)
    for (const m of last - first > 2 ? [1] : [1, 2, 5]) ticks.push(m * 10 ** p);
  return ticks.filter((v) => v >= low * 0.999 && v <= high * 1.001);
}

function tickWords(value) {
  const size = Math.abs(value);
  return size > 0 && (size < 1e-3 || size >= 1e5) ? Number(value.toPrecision(3)).toExponential().replace("e+", "e")
    : number(value, 4);
}

function axisMap(low, high, log, from, to) {  // value → coordinate, kept inside the frame
  const f = log ? (v) => Math.log10(Math.max(v, 1e-300)) : (v) => v;
  const [a, b] = [f(low), f(high)];
  return (v) => from + (to - from) * Math.max(0, Math.min(1, (f(v) - a) / (b - a || 1)));
}

function legend(series, left, right, top, lineHeight) {  // the names in rows, and how many rows there are
  const box = h("g", { class: "legend" });
  let x = left, y = top;
  for (const s of series) {
    const wide = 34 + 6 * s.name.length;
    if (x > left && x + wide > right) { x = left; y += lineHeight; }
    const stroke = { stroke: s.colour, "stroke-dasharray": s.dash, "stroke-width": 2 };
    box.append(s.kind === "line"
      ? h("line", { x1: x, x2: x + 20, y1: y - 4, y2: y - 4, ...stroke })
      : h("rect", { x: x + 4, y: y - 9, width: 10, height: 10, rx: s.kind === "dots" ? 5 : 0, fill: s.colour }),
      h("text", { x: x + 24, y }, s.name));
    x += wide;
  }
  return { box, rows: (y - top) / lineHeight + 1 };
}

function linePlot({ title, xLabel, yLabel, x: xRange, series, name = "plot", log = "", xTicks = null, xTick = tickWords,
                    yTick = tickWords, circle = false, width: W = 400, height = 190, onPick = null }) {
  const all = series.map((s, i) => ({ name: "", kind: "line", colour: COLOURS[i % 6],
    dash: DASHES[(i + Math.floor(i / 6)) % 6], ...s }));
  const left = 58, right = 16, bottom = 34, logX = log.includes("x"), logY = log.includes("y");
  const key = all.length > 1 ? legend(all, left, W - right, 31, 14) : { rows: 0 };
  const top = 26 + 14 * key.rows, H = height + 14 * key.rows;
  const svg = h("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title,
    class: `cryoedu-plot cryoedu-${name}${onPick ? " cryoedu-pick" : ""}` });
  const drawn = all.map((s) => h("path", s.kind === "line"
    ? { fill: "none", stroke: s.colour, "stroke-width": 2, "stroke-dasharray": s.dash } : { fill: s.colour }));
  const dots = all.map((s) => h("circle", { class: "dot", r: 5, fill: s.colour }));
  const cursor = h("line", { class: "cursor", y1: top, y2: H - bottom });
  const truth = h("path", { class: "truth" });
  const [xAxis, yAxis, extra] = [h("g", {}), h("g", {}), h("g", {})];
  svg.append(h("rect", { class: "frame", x: left, y: top, width: W - left - right, height: H - top - bottom }),
    h("text", { x: left, y: 15, class: "title" }, title), ...(key.box ? [key.box] : []), xAxis, yAxis,
    h("text", { x: (W - right + left) / 2, y: H - 3, "text-anchor": "middle" }, xLabel),
    h("text", { transform: `translate(11 ${(H - bottom + top) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel),
    extra, ...drawn, truth, cursor, ...dots);
  const px = axisMap(...xRange, logX, left, W - right);
  if (onPick) svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) * W / box.width - left) / (W - left - right);
    const [a, b] = logX ? xRange.map(Math.log10) : xRange, v = a + at * (b - a);
    if (at >= 0 && at <= 1) onPick(logX ? 10 ** v : v);
  });

  // exactly so many elements of a kind in a group, kept from the last time
  function pool(parent, count, make) {
    while (parent.childNodes.length < count) parent.append(make());
    while (parent.childNodes.length > count) parent.lastChild.remove();
    return [...parent.childNodes];
  }

  function ticks(parent, values, words, place) {
    const made = pool(parent, values.length, () => h("g", {}, h("line", { class: "tick" }), h("text", {})));
    values.forEach((v, i) => {
      const [line, text] = made[i].childNodes;
      place(v, line, text);
      text.textContent = words(v);
    });
  }

  const set = (element, attributes) => {
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  };
  const span = xRange[1] - xRange[0];
  const xs = (Array.isArray(xTicks) ? xTicks : logX ? logTicks(...xRange) : xTicks
    ? Array.from({ length: Math.floor(span / xTicks + 1e-6) + 1 }, (_, i) => xRange[0] + i * xTicks)
    : niceTicks(...xRange, 6)).filter((v) => v >= xRange[0] && v <= xRange[1]);
  ticks(xAxis, xs, xTick, (v, line, text) => {
    set(line, { x1: px(v), x2: px(v), y1: H - bottom, y2: H - bottom + 4 });
    set(text, { x: px(v), y: H - bottom + 15, "text-anchor": "middle" });
  });

  function range(values) {
    const finite = [].concat(...values.map((v) => Array.from(v))).filter((v) => Number.isFinite(v) && (!logY || v > 0));
    const [low, high] = extent(finite), margin = logY ? 0 : 0.06 * (high - low) || 0.05 * Math.abs(high) || 1;
    if (logY) return high > low ? [low, high] : [low / 2 || 0.1, (high || 1) * 2];
    return [all.some((s) => s.kind === "bars") ? Math.min(0, low) : low - margin, high + margin];
  }

  function shape(kind, values, at, py, base) {
    const wide = (W - left - right) / values.length;
    let d = "", pen = "M";
    for (let i = 0; i < values.length; i++) {
      const v = values[i];
      if (!Number.isFinite(v) || (logY && v <= 0)) { pen = "M"; continue; }
      const [cx, cy] = [px(at(i)).toFixed(1), py(v).toFixed(1)];
      if (kind === "bars") {
        const [a, b] = [Math.max(left, cx - 0.4 * wide), Math.min(W - right, Number(cx) + 0.4 * wide)];
        d += `M${a.toFixed(1)} ${base}V${cy}H${b.toFixed(1)}V${base}Z`;
      }
      else if (kind === "dots") d += `M${cx} ${cy}m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0`;
      else { d += `${pen}${cx} ${cy}`; pen = "L"; }
    }
    if (circle && kind === "line" && pen === "L" && Number.isFinite(values[0]))
      d += `L${px(xRange[1]).toFixed(1)} ${py(values[0]).toFixed(1)}`;
    return d;
  }

  function draw({ values, at = null, y = null, cursor: now = null, truth: known = null, lines = [], words = null }) {
    const [low, high] = y ?? range(values), py = axisMap(low, high, logY, H - bottom, top);
    const base = py(logY ? low : 0).toFixed(1);
    ticks(yAxis, logY ? logTicks(low, high) : niceTicks(low, high, Math.max(2, (H - top - bottom) / 32)), yTick,
      (v, line, text) => {
        set(line, { x1: left - 4, x2: left, y1: py(v), y2: py(v) });
        set(text, { x: left - 6, y: py(v) + 4, "text-anchor": "end" });
      });
    all.forEach((s, i) => {
      const n = values[i].length, place = at?.[i] ?? null;
      const where = place ? (j) => place[j]
        : (j) => xRange[0] + span * j / (circle ? n : Math.max(n - 1, 1));
      drawn[i].setAttribute("d", shape(s.kind, values[i], where, py, base));
      let nearest = -1;  // the point under the cursor; there is none in a gap
      if (now !== null) for (let j = 0; j < n; j++)
        if (nearest < 0 || Math.abs(where(j) - now) < Math.abs(where(nearest) - now)) nearest = j;
      if (!Number.isFinite(values[i][nearest])) nearest = -1;
      dots[i].style.display = nearest < 0 ? "none" : "";
      if (nearest >= 0) set(dots[i], { cx: px(where(nearest)), cy: py(values[i][nearest]) });
    });
    cursor.style.display = now === null ? "none" : "";
    if (now !== null) set(cursor, { x1: px(now), x2: px(now) });
    truth.style.display = known === null ? "none" : "";
    if (known !== null) truth.setAttribute("d", `M${px(known) - 6} ${top - 8}h12l-6 8Z`);
    pool(extra, lines.length, () => h("g", {}, h("line", { class: "flat" }), h("text", {}))).forEach((g, i) => {
      const [line, text] = g.childNodes, mark = lines[i], upright = mark.x !== undefined;
      const [cx, cy] = upright ? [px(mark.x), top] : [W - right, py(mark.y)];
      const side = mark.left ? { x: left + 3, "text-anchor": "start" } : { x: cx - 3, "text-anchor": "end" };
      set(line, upright ? { x1: cx, x2: cx, y1: top, y2: H - bottom } : { x1: left, x2: cx, y1: cy, y2: cy });
      set(text, upright ? { x: cx + 3, y: top + 11, "text-anchor": "start" }
                        : { y: cy - 3, ...side });
      text.textContent = mark.name ?? "";
    });
    svg.setAttribute("aria-label", words ?? `${title}, ${yLabel} over ${xLabel}: ` +
      all.map((s, i) => `${s.name} from ${number(values[i][0])} to ${number(values[i].at(-1))}`).join("; "));
  }
  return { svg, draw };
}

export { COLOURS, linePlot };
