// Slice extraction and insertion for CuPy: the same walk as the Numba kernels of slices_numba.py, one thread for each
// component of each orientation. `real` is float or double, defined by the caller. Complex numbers are pairs.
// Threads that run together have different components of one slice. On the padded grid these are two voxels apart, so
// that hardly any two of them add to the same voxel at the same time.

typedef struct { real re, im; } pair;

// Map frequency of component j of orientation o (axes: O x 2 x 3, already stretched by the padding factor);
// true if the mate with x >= 0 is meant, whose value is the conjugate.
__device__ bool locate(const double *axes, int o, double kx, double ky, int *cell, double *part) {
    const double *a = axes + 6 * (long long)o;
    double p[3];
    for (int d = 0; d < 3; ++d) p[d] = a[d] * kx + a[3 + d] * ky;
    bool mate = p[0] < 0;
    for (int d = 0; d < 3; ++d) {
        double q = mate ? -p[d] : p[d];
        cell[d] = (int)floor(q);
        part[d] = q - cell[d];
    }
    return mate;
}

__device__ double corner(int c, const int *cell, const double *part, int depth, int height, int width, long long *at) {
    int dx = c & 1, dy = (c >> 1) & 1, dz = c >> 2;
    double w = (dx ? part[0] : 1 - part[0]) * (dy ? part[1] : 1 - part[1]) * (dz ? part[2] : 1 - part[2]);
    if (w > 0) {
        long long z = ((cell[2] + dz) % depth + depth) % depth;
        long long y = ((cell[1] + dy) % height + height) % height;
        *at = (z * height + y) * width + cell[0] + dx;
    }
    return w;
}

extern "C" __global__ void extract(const pair *source, const double *axes, const double *kx, const double *ky,
                                   pair *out, int maps, int depth, int height, int width, int orientations, int components) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    long long points = (long long)orientations * components;
    if (i >= points) return;
    int o = (int)(i / components), j = (int)(i % components), cell[3];
    double part[3];
    bool mate = locate(axes, o, kx[j], ky[j], cell, part);
    long long volume = (long long)depth * height * width;
    for (int k = 0; k < maps; ++k) {
        double re = 0, im = 0;
        for (int c = 0; c < 8; ++c) {
            long long at;
            double w = corner(c, cell, part, depth, height, width, &at);
            if (w > 0) {
                pair v = source[k * volume + at];
                re += w * v.re;
                im += w * v.im;
            }
        }
        out[k * points + i].re = (real)re;
        out[k * points + i].im = (real)(mate ? -im : im);
    }
}

extern "C" __global__ void insert(const pair *values, const real *weights, const double *axes, const double *kx,
                                  const double *ky, pair *sums, real *totals, int maps, int depth, int height, int width,
                                  int orientations, int components) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    long long points = (long long)orientations * components;
    if (i >= points) return;
    int o = (int)(i / components), j = (int)(i % components), cell[3];
    double part[3];
    bool mate = locate(axes, o, kx[j], ky[j], cell, part);
    long long volume = (long long)depth * height * width;
    for (int k = 0; k < maps; ++k) {
        pair v = values[k * points + i];
        if (mate) v.im = -v.im;
        for (int c = 0; c < 8; ++c) {
            long long at;
            double w = corner(c, cell, part, depth, height, width, &at);
            if (w > 0) {
                atomicAdd(&sums[k * volume + at].re, (real)(w * v.re));
                atomicAdd(&sums[k * volume + at].im, (real)(w * v.im));
                if (weights) atomicAdd(&totals[k * volume + at], (real)(w * weights[k * points + i]));
            }
        }
    }
}
