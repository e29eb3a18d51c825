// Numbers at viewing directions as a Mollweide map in cividis: rot runs from -180° to 180°, tilt from 0° at the top.
//
//   spherePlot({ title, lookup, width, table, unit, shown })  → { box, canvas, draw }
//     lookup: Int32 (width/2 × width), the direction that each pixel shows, from `mollweide` in sphere.py; -1: outside
//     draw({ values: [one for each direction], range: [lo, hi], truth: [x, y], best: [x, y], words, title })
//     truth and best: pixels, from `mollweide_pixels`, or null; a dashed ring and a cross

function spherePlot({ title, lookup, width, table, unit, shown = 300 }) {
  const height = width / 2, [cx, cy] = [width / 2, height / 2];
  const panel = imagePanel({ title, width, height, shown, table, unit,
    note: "viewing directions: → rot, −180° to 180°; ↓ tilt, 0° to 180°" });
  const ellipse = `M0 ${cy}A${cx} ${cy} 0 0 1 ${width} ${cy}A${cx} ${cy} 0 0 1 0 ${cy}Z`;
  const outside = ["path", { d: `M0 0H${width}V${height}H0Z${ellipse}`, "fill-rule": "evenodd", class: "outside" }];
  const meridian = (part) => `M${cx} 0A${cx * part} ${cy} 0 0 0 ${cx} ${height}A${cx * part} ${cy} 0 0 0 ${cx} 0`;
  const lines = [ellipse, `M0 ${cy}H${width}`, meridian(1 / 3), meridian(2 / 3)].map((d) =>
    ["path", { d, class: "graticule" }]);
  const numbers = new Float32Array(lookup.length);
  function draw({ values, range, truth = null, best = null, words, title: newTitle = null }) {
    for (let i = 0; i < lookup.length; i++) numbers[i] = lookup[i] < 0 ? range[0] : values[lookup[i]];
    const marks = [outside, ...lines];
    if (best) marks.push(["path", { d: `M${best[0] - 5} ${best[1]}h10M${best[0]} ${best[1] - 5}v10` }]);
    if (truth) marks.push(["circle", { cx: truth[0], cy: truth[1], r: 7, class: "truth" }]);
    panel.draw({ values: numbers, range, marks, words, title: newTitle });
  }
  return { box: panel.box, canvas: panel.canvas, draw };
}
