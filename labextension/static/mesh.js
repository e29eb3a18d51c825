// Surfaces of equal density: found as a net of vertices, and drawn into the pixels of a canvas. Plain arithmetic, with
// no graphics card: it looks the same on every machine, and there is no limit to how many are open.

const BACKGROUND = -1;

// The surface net (Gibson 1998, doi:10.1007/BFb0056277) of values (z, y, x) at a level: a vertex in each cell of 2 × 2 × 2
// voxels that the surface crosses, at the mean of where it crosses the cell's edges, and a quadrilateral around each edge
// between voxels that it crosses. Vertices and normals are x, y, z in voxels; normals point to where values are lower.
function surfaceNet(values, [nz, ny, nx], level) {
  const vertices = [], normals = [], quads = [], corner = new Float64Array(8);
  const steps = Int32Array.from({ length: 8 }, (_, c) => (c & 1) + (c & 2 ? nx : 0) + (c & 4 ? nx * ny : 0));
  const edges = [];  // pairs of corners that differ in one coordinate
  for (let a = 0; a < 8; a++) for (const bit of [1, 2, 4]) if (!(a & bit)) edges.push(a, a | bit);
  let before = new Int32Array(nx * ny), now = new Int32Array(nx * ny);  // vertices of the cells of two sections
  for (let z = 0; z < nz - 1; z++) {
    [before, now] = [now, before];
    for (let y = 0; y < ny - 1; y++) for (let x = -1, mask = 0; x < nx - 1; x++) {
      const at = (z * ny + y) * nx + x, cell = y * nx + x;
      mask = mask >> 1 & 0x55 | (values[at + 1] > level ? 2 : 0) | (values[at + steps[3]] > level ? 8 : 0) |
        (values[at + steps[5]] > level ? 32 : 0) | (values[at + steps[7]] > level ? 128 : 0);  // the right side is new
      if (x < 0 || mask === 0 || mask === 255) continue;
      for (let c = 0; c < 8; c++) corner[c] = values[at + steps[c]] - level;
      let sx = 0, sy = 0, sz = 0, count = 0;
      for (let e = 0; e < 24; e += 2) {
        const a = edges[e], b = edges[e + 1], bit = a ^ b;
        if ((mask >> a & 1) === (mask >> b & 1)) continue;
        const t = corner[a] / (corner[a] - corner[b]);
        sx += (a & 1) + (bit === 1 ? t : 0); sy += (a >> 1 & 1) + (bit === 2 ? t : 0); sz += (a >> 2) + (bit === 4 ? t : 0);
        count++;
      }
      now[cell] = vertices.length / 3;
      vertices.push(x + sx / count, y + sy / count, z + sz / count);
      let gx = 0, gy = 0, gz = 0;
      for (let c = 0; c < 8; c++) {
        gx += c & 1 ? corner[c] : -corner[c]; gy += c & 2 ? corner[c] : -corner[c]; gz += c & 4 ? corner[c] : -corner[c];
      }
      const length = Math.hypot(gx, gy, gz) || 1;
      normals.push(-gx / length, -gy / length, -gz / length);
      // the edges from the cell's first corner are each shared with three cells that came before
      const inside = mask & 1;
      if (y > 0 && z > 0 && (mask >> 1 & 1) !== inside)
        quads.push(now[cell], now[cell - nx], before[cell - nx], before[cell]);
      if (x > 0 && z > 0 && (mask >> 2 & 1) !== inside)
        quads.push(now[cell], now[cell - 1], before[cell - 1], before[cell]);
      if (x > 0 && y > 0 && (mask >> 4 & 1) !== inside)
        quads.push(now[cell], now[cell - 1], now[cell - nx - 1], now[cell - nx]);
    }
  }
  return { vertices: Float32Array.from(vertices), normals: Float32Array.from(normals), quads: Int32Array.from(quads) };
}

// Matrix (rows) from map to image coordinates at rot and tilt, degrees, as of a projection there.
function turned(rot, tilt) {
  const [a, b] = [rot * Math.PI / 180, tilt * Math.PI / 180];
  const [ca, sa, cb, sb] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
  return [cb * ca, cb * sa, -sb, -sa, ca, 0, sb * ca, sb * sa, cb];
}

// Light from the upper left on a mesh seen from its near side (small z, as a projection adds it up): for each of
// size × size pixels 0 … 1, or -1 beside it. middle: x, y, z of the centre; stretch: x, y, z in units of what `scale`
// (pixels) is for one of.
function shade(mesh, matrix, size, middle, stretch, scale) {
  const { vertices, normals, quads } = mesh, count = vertices.length / 3, m = matrix;
  const px = new Float32Array(count), py = new Float32Array(count), pz = new Float32Array(count);
  const light = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const x = (vertices[3 * i] - middle[0]) * stretch[0], y = (vertices[3 * i + 1] - middle[1]) * stretch[1];
    const z = (vertices[3 * i + 2] - middle[2]) * stretch[2];
    px[i] = size / 2 + scale * (m[0] * x + m[1] * y + m[2] * z);
    py[i] = size / 2 + scale * (m[3] * x + m[4] * y + m[5] * z);
    pz[i] = m[6] * x + m[7] * y + m[8] * z;
    const a = normals[3 * i] / stretch[0], b = normals[3 * i + 1] / stretch[1], c = normals[3 * i + 2] / stretch[2];
    const u = m[0] * a + m[1] * b + m[2] * c, v = m[3] * a + m[4] * b + m[5] * c, w = m[6] * a + m[7] * b + m[8] * c;
    light[i] = 0.25 + 0.75 * Math.max(0, (-0.4 * u - 0.5 * v - 0.77 * w) / (Math.hypot(u, v, w) || 1));
  }
  const depth = new Float32Array(size * size).fill(Infinity), out = new Float32Array(size * size).fill(BACKGROUND);

  function triangle(i, j, k) {
    const area = (px[j] - px[i]) * (py[k] - py[i]) - (px[k] - px[i]) * (py[j] - py[i]);
    if (area === 0) return;
    const left = Math.max(0, Math.ceil(Math.min(px[i], px[j], px[k]) - 0.5));
    const right = Math.min(size - 1, Math.floor(Math.max(px[i], px[j], px[k]) - 0.5));
    const top = Math.max(0, Math.ceil(Math.min(py[i], py[j], py[k]) - 0.5));
    const bottom = Math.min(size - 1, Math.floor(Math.max(py[i], py[j], py[k]) - 0.5));
    for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) {
      const cx = x + 0.5, cy = y + 0.5;
      const b = ((cx - px[i]) * (py[k] - py[i]) - (px[k] - px[i]) * (cy - py[i])) / area;
      const c = ((px[j] - px[i]) * (cy - py[i]) - (cx - px[i]) * (py[j] - py[i])) / area, a = 1 - b - c;
      if (a < -1e-6 || b < -1e-6 || c < -1e-6) continue;
      const z = a * pz[i] + b * pz[j] + c * pz[k], at = y * size + x;
      if (z < depth[at]) { depth[at] = z; out[at] = a * light[i] + b * light[j] + c * light[k]; }
    }
  }

  for (let q = 0; q < quads.length; q += 4) {
    triangle(quads[q], quads[q + 1], quads[q + 2]);
    triangle(quads[q], quads[q + 2], quads[q + 3]);
  }
  return out;
}

export { shade, surfaceNet, turned };
