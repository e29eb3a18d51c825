# %% [markdown]
# # Lesson 7: Fourier space
#
# **The question.** An image of a particle is a projection, blurred by the microscope. Adding up a map along every line
# of sight is slow, and undoing a blur is hard. Is there a place where both are easy?
#
# **After this lesson you can**
# - say what a Fourier component is, which spacing it has, and what its amplitude and its phase do,
# - filter, shift and project an image with a line of code each,
# - explain the projection-slice theorem, and show it with numbers,
# - say which part of Fourier space a set of views fills, and what a map looks like where views are missing,
# - write the CTF, read a defocus from Thon rings, and say what an image at one defocus has lost,
# - write the data model of the lecture in real space and in Fourier space, and show that it is one model.
#
# **Time:** about 150 minutes. The cells themselves run in less than one. A good place for a break is after section 4.
#
# **What comes before:** lessons 1 to 6. In lesson 1 you projected maps by adding up their voxels, and met the CTF as an
# artefact of the microscope. This lesson goes back to both. You need no more mathematics than sines and cosines.
#
# **How it works.** Each section asks you to *predict*, then to *run* a cell, then *explains* what you saw.
# Exercises are marked ✏️. Replace the three dots, run the cell, and `check` tells you where you stand. `hint("7.2")`
# gives a hint, and another one if you ask again.

# %%
import numpy as np

from cryoedu.course import carry_on, check, hint, progress, say
from cryoedu.datasets import load
from cryoedu.figures import image_grid, show
from cryoedu.figures.fourier import curves, planes
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.filling import reached, views
from cryoedu.geometry.fourier import components, fourier, inverse, radial_mean, scatter, shift_phases
from cryoedu.microscope import noise
from cryoedu.microscope.ctf import ctf_components, ctf_image, wavelength
from cryoedu.microscope.projection import project
from cryoedu.microscope.realspace import project_by_sums
from cryoedu.particles.particles import CTFParameters, Optics
from cryoedu.widgets.ctf_explorer import ctf_explorer
from cryoedu.widgets.slice_explorer import slice_explorer

progress(7)

# %% [markdown]
# ## 1. An image is a sum of waves
#
# A **Fourier component** is a wave: dark and light stripes across the whole box. It has a *direction*, and a *spacing*
# from one light stripe to the next. Because the wave must fit into the box, we count how many times it goes up and
# down: $k_x$ times from left to right and $k_y$ times from top to bottom.
#
# **Predict.** The box is 256 Å across. Which spacing has the wave with $k_x = 8$, $k_y = 0$? What changes if you
# change only the *phase*?

# %%
protein = load("protein2d", box=64)
image, n, pixel_size = protein.density, protein.box, protein.pixel_size


def wave(kx, ky, phase=0.0):
    x = np.arange(n) - n // 2
    return np.cos(2 * np.pi * (kx * x + ky * x[:, None]) / n + phase)


waves = {"k = (3, 0)": wave(3, 0), "k = (8, 0)": wave(8, 0), "k = (6, 6)": wave(6, 6),
         "(6, 6), other phase": wave(6, 6, np.pi),
         "(3, 0) + (8, 0) + (6, 6)": wave(3, 0) + wave(8, 0) + wave(6, 6)}
show(image_grid(list(waves.values()), columns=list(waves), size=1.55, pixel_size=pixel_size,
                alt="Stripes, finer with larger k; the phase moves them; their sum is a plaid."))

# %%
for kx, ky in ((3, 0), (8, 0), (6, 6)):
    print(f"k = ({kx}, {ky}): spacing {n * pixel_size / np.hypot(kx, ky):4.1f} Å")

# %% [markdown]
# **Explain.** Eight waves in 256 Å are 32 Å each. The spacing is the length of the box over the length of $k$:
#
# $$d = \frac{n\,a}{|k|}, \qquad u = \frac{1}{d}$$
#
# The phase moves the stripes along. Half a wave of phase ($\pi$) makes light dark and dark light.
#
# Every image is a sum of such waves. Which waves, and how strong, the **Fourier transform** tells:
#
# $$F_k = \sum_r X_r \, e^{-2\pi i\, k \cdot r / n}, \qquad
#   X_r = \frac{1}{n^2} \sum_k F_k \, e^{+2\pi i\, k \cdot r / n}$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $X_r$ | the pixel of the image at the place $r = (x, y)$, counted from the centre of the box | `image` |
# | $n$, $a$ | number of pixels along the box, size of a pixel in Å | `n`, `pixel_size` |
# | $k$ | a wave: how often it goes up and down along x and along y | `kx`, `ky` |
# | $F_k$ | its component, a complex number: the amplitude $\lvert F_k\rvert$ and the phase | `F`, `np.abs(F)`, `np.angle(F)` |
# | $d$, $u$ | spacing of the wave in Å, and its spatial frequency in 1/Å | `1 / u`, `u` |
#
# The next cell does both sums with NumPy's FFT (*fast Fourier transform*). The `shift` functions are for the eye: NumPy
# wants the centre of the box in the corner of the array, and so hands out the transform; we want both in the middle.

# %%
def transform(x):  # image or map → its components, k = 0 in the middle
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(x)))


def back(F):  # and the way back
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(F))).real


def difference(a, b):  # the largest of all pixels or components
    return np.abs(a - b).max()


F = transform(image)
print(f"there and back, largest difference: {difference(back(F), image):.6f}")

# %% [markdown]
# **Predict.** There are 64 × 64 = 4,096 components. We keep only the strongest and drop the rest. How many does it take
# before you recognise the protein?

# %%
def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


built = {}
for count in (7, 31, 101, 401):
    weakest = np.sort(np.abs(F), axis=None)[-count]
    sum_of_waves = back(np.where(np.abs(F) >= 0.999 * weakest, F, 0))
    built[f"{count} strongest"] = sum_of_waves
    print(f"{count:4} of {F.size} components: correlation {correlation(sum_of_waves, image):.2f}")

show(image_grid([*built.values(), image], columns=[*built, f"all {F.size}"], size=1.7,
                pixel_size=pixel_size,
                alt="A blob at 7 components, the outline at 31, the holes and rods at 401."))

# %% [markdown]
# **Explain.** A few strong waves make the outline; many weak ones make the details. Most of the protein is in a few
# hundred numbers.
#
# **Predict.** Each component has an amplitude and a phase. We take the amplitudes of the protein and the phases of pure
# noise, and the other way round. Which of the two pictures will look like the protein?

# %%
noise_F = transform(np.random.default_rng(7).normal(size=image.shape))
protein_and_noise = back(np.abs(F) * np.exp(1j * np.angle(noise_F)))
noise_and_protein = back(np.abs(noise_F) * np.exp(1j * np.angle(F)))

show(image_grid([protein_and_noise, noise_and_protein], size=2.3,
                columns=["amplitudes of the protein,\nphases of noise",
                         "amplitudes of noise,\nphases of the protein"],
                alt="With the phases of noise: clouds. With the phases of the protein: its outline."))

# %% [markdown]
# **Explain.** The phases say *where* things are, the amplitudes only how strong each wave is. Edges show where many
# waves are in step. (X-ray crystallographers measure amplitudes only. How they live with that is the aside A.)

# %% [markdown]
# ## 2. Centre, half plane, Nyquist, shells
#
# Here are three images and their transforms. The amplitudes differ by factors of thousands, so the picture shows their
# logarithm. The middle of a transform belongs to the coarse waves, the edge to the fine ones.
#
# **Predict.** How will the transform of white noise look? And where are the strong components of a particle?

# %%
ribosome = load("ribosome-80S", box=64, pixel_size=5.5)
pictures = {"protein": image, "ribosome, projected": ribosome.density.sum(axis=0),
            "white noise": np.random.default_rng(1).normal(size=(n, n))}
amplitudes = [np.abs(transform(picture)) for picture in pictures.values()]

show(planes([np.log10(a / a.max()) for a in amplitudes], list(pictures), images=list(pictures.values()),
            pixel_size=[pixel_size, ribosome.pixel_size, pixel_size], scale="log₁₀ amplitude",
            limits=(-4, 0), rings=(30, 12),
            alt="Particles: strong in the middle, weak at the edge. Noise: the same everywhere."))

# %% [markdown]
# **Explain.** A particle is mostly coarse waves. White noise has the same power at every spacing, which is what *white*
# means. So the fine waves are the first to drown in noise. (The ribosome has pixels of 5.5 Å, the others of 4 Å. Its box is
# longer, so the same spacing is further out: a wave of 30 Å fits into it more often.)
#
# Three facts about this plane are used all the time. Two of them you can guess:
#
# **Predict.** (1) A wave to the right and the same wave to the left are one wave. How much of the plane is news, then?
# (2) Which wave is the finest that pixels of 4 Å can hold? What does a finer one look like?

# %%
opposite = np.conj(F[1:, 1:][::-1, ::-1])  # the conjugate of the component at -k
print(f"(1) F(-k) and the conjugate of F(k): largest difference {difference(F[1:, 1:], opposite):.6f}")
print(f"    the engine keeps {fourier(image).shape} of {F.shape} components")
print(f"(2) the finest wave has {n // 2} waves in the box: {2 * pixel_size:.0f} Å (Nyquist)")
print(f"    wave (40, 0) minus wave (24, 0) on our pixels: {difference(wave(40, 0), wave(24, 0)):.6f}")

# %% [markdown]
# **Explain.**
# 1. For a real image, the component at $-k$ is the complex conjugate of that at $k$: the same amplitude, the opposite
#    phase. So **half a plane** says it all, and programs keep no more than that.
# 2. A wave needs two pixels, one up and one down. This is **Nyquist**. A finer wave does not vanish: on the pixels it
#    *looks like* a coarser one and is counted there: here (40, 0) looks like (24, 0). Nobody can tell them apart
#    afterwards. So the pixel size must be chosen before the image is taken.
# 3. All components at the same distance from the centre have the same spacing. They form a **shell** (in an image a
#    ring, in a map a sphere). When a program says "resolution", it means a shell.
#
# ### ✏️ Exercise 7.1: the spacing of a shell
#
# The box has 64 pixels of 4 Å. Which spacing, in Å, have the waves of shell 20?

# %%
spacing = ...  # your code
### BEGIN SOLUTION
spacing = 64 * 4.0 / 20
### END SOLUTION

check("7.1", spacing)

# %% [markdown]
# ### ✏️ Exercise 7.2: write a low-pass filter
#
# A **low-pass filter** at 30 Å keeps the waves with a spacing of 30 Å and more, and drops the finer ones. `u` is there
# already: the spatial frequency of each component, in 1/Å, in the order in which `fft2` hands them out (so no shift
# functions are needed here). Return the filtered image.

# %%
def low_pass(image, resolution, pixel_size):
    F = np.fft.fft2(image)
    freq = np.fft.fftfreq(len(image), pixel_size)   # of each column, and of each row: (n,)
    u = np.hypot(freq[:, None], freq)               # of each component: (n, n), in 1/Å
    ...  # your code
    ### BEGIN SOLUTION
    return np.fft.ifft2(np.where(u <= 1 / resolution, F, 0)).real
    ### END SOLUTION

check("7.2", low_pass)

# %%
low_pass = carry_on("7.2")

resolutions = (60, 30, 20, 12)
filtered = [low_pass(image, d, pixel_size) for d in resolutions]
show(image_grid([*filtered, image], size=1.7, pixel_size=pixel_size,
                columns=[f"{d} Å" for d in resolutions] + ["8 Å (Nyquist)"],
                alt="From a blob at 60 Å to all details at 8 Å; ripples surround sharp edges."))

# %% [markdown]
# **Explain.** This is what a map at 60, 30, 20 or 12 Å can show. The faint ripples around the particle are the price of
# a sharp edge in Fourier space: waves that are cut off no longer cancel there. That is why programs use soft edges.

# %% [markdown]
# ## 3. A shift is a phase ramp
#
# Move an image by $s$, and every wave in it moves along. It stays as strong as it was, so the amplitudes do not change.
# Its phase changes by one whole turn ($2\pi$) for every wavelength that it moves:
#
# $$F_k \;\longrightarrow\; F_k \, e^{-2\pi i\, k \cdot s / n}$$
#
# The finer the wave, the more its phase turns: along $k$ the phase rises like a ramp.
#
# ### ✏️ Exercise 7.3: move an image
#
# Move the image by `x` pixels to the right and `y` pixels down, parts of pixels included. `k` is in waves per pixel,
# so it is $k/n$ of the formula. Rows come first: `k[:, None]` goes with `y`. Return the moved image, (n, n).

# %%
def move(image, x, y):
    F = np.fft.fft2(image)
    k = np.fft.fftfreq(len(image))  # waves per pixel: (n,)
    ...  # your code
    ### BEGIN SOLUTION
    ramp = np.exp(-2j * np.pi * (k * x + k[:, None] * y))
    return np.fft.ifft2(F * ramp).real
    ### END SOLUTION

check("7.3", move)

# %%
move = carry_on("7.3")

moved = move(image, 10.5, -4.25)
moved_F = transform(moved)
change = difference(np.abs(moved_F), np.abs(F)) / np.abs(F).max()
print(f"amplitudes: largest change {change:.3f} of the largest amplitude")
for kx in (1, 2, 3):
    phase = np.angle(moved_F[n // 2, n // 2 + kx] / F[n // 2, n // 2 + kx])
    print(f"phase of k = ({kx}, 0): {np.degrees(phase):6.1f}°   expected {-360 * kx * 10.5 / n:6.1f}°")

show(image_grid([image, moved], columns=["image", "moved by (10.5, −4.25) pixels"], size=2.0,
                pixel_size=pixel_size, alt="The same protein, further right and higher up."))

# %% [markdown]
# **Explain.** No pixel had to be interpolated, and half a pixel is as easy as a whole one. When a program tries 100
# shifts of an image, it multiplies 100 times with ready-made ramps. (The small change of amplitude is Nyquist: a wave
# that is just two pixels long cannot be moved by half a pixel. The engine leaves these components out.)

# %% [markdown]
# ## 4. The projection-slice theorem
#
# Now the first gift of Fourier space. Project a 2D image to a line: add up each column.
#
# **Predict.** What does adding up along y do to a wave that goes up and down along y? Which waves are left?
#
# ### ✏️ Exercise 7.4: project without adding up
#
# You get only the transform, `F = np.fft.fft2(image)`. Return the projection of the image along y, the sum of each
# column, without adding up a single pixel.

# %%
def project_from(F):
    ...  # your code
    ### BEGIN SOLUTION
    return np.fft.ifft(F[0]).real
    ### END SOLUTION

check("7.4", project_from)

# %%
project_from = carry_on("7.4")

summed = image.sum(axis=0)
sliced = project_from(np.fft.fft2(image))
print(f"largest difference: {difference(sliced, summed) / summed.max():.6f} of the highest value")

# %% [markdown]
# **Explain.** Along y, light and dark of every wave with $k_y \neq 0$ cancel. What is left is the line $k_y = 0$
# through the centre of the transform. So:
#
# > **Projection-slice theorem.** The transform of a projection is a slice through the centre of the transform,
# > perpendicular to the direction of projection.
#
# It does not mind how many dimensions there are. The projection of a 3D map is a 2D image; its transform is a plane
# through the centre of the map's 3D transform.
#
# **Predict.** First the easy case, a view along z: no turning. Then a view from the side: the slice is tilted, and runs
# *between* the points of the grid. In which case will slice and sum agree better?

# %%
ribosome = load("ribosome-80S", box=48)
V, box = ribosome.density, ribosome.box
parts = components(box)      # the components of one half plane, inside Nyquist

summed = V.sum(axis=0)                                          # along z
sliced = back(transform(V)[box // 2])                           # the plane k_z = 0
print("along z: largest difference "
      f"{difference(sliced, summed) / summed.max():.6f} of the highest value")

pose = [30, 60, 0]                                              # rot, tilt, psi
summed = project_by_sums(V, pose)[0]                            # turn the map, add up
one_slice = project(V[None], euler_to_matrix([pose]), parts)[0]   # the components of a slice
sliced = scatter(one_slice, parts)[0]                           # transformed back
print("turned:  largest difference "
      f"{difference(sliced, summed) / summed.max():.3f} of the highest value, "
      f"correlation {correlation(sliced, summed):.4f}")

# %% [markdown]
# **Explain.** Along z both are the same to the last digits that the computer keeps. Turned, there is a small
# difference: both ways must now *interpolate*, one between the points of the transform, the other between the voxels
# of the map, and neither is perfect. The theorem is exact; the grids are not.
#
# ### Turn the plane
#
# The next cell is the theorem to play with. Above: Fourier space as a cube, with the slice as an orange disc, and the
# direction of view as a dashed line across it. Then the slice, what the slice gives when it is transformed back, and
# the projection of the map, added up in real space.
#
# 1. Turn `rot` and `tilt`. Do the two projections ever differ?
# 2. **Predict**, then try: what do the slices at tilt 0° and tilt 180° have in common? And their projections?
# 3. Below: many slices at once. Move `how many` from 0 to 300. Watch the part of Fourier space that is filled, and the
#    map that can be made from it. Which shell fills up last?
# 4. Choose views *from the top only* (within 30° of it). Which part stays empty, however many slices you take? What does
#    it do to the map?
# 5. Choose the *tilt series*. How does the empty part look now?

# %%
slice_explorer(ribosome)

# %% [markdown]
# **Explain.** The two projections never differ by more than the grids do. Opposite views, tilt 0° and 180°, give one
# and the same plane, and projections that are mirror images: the second view adds nothing.
#
# Below: every image gives one slice. All slices pass through the centre, so the coarse shells are full after a few of
# them, and the fine ones come last. In a shell of radius $k$, one slice takes a band that is one voxel thick, a share
# of $1/2k$. If $M$ slices come from random directions, the share that is filled is
#
# $$1 - \left(1 - \frac{1}{2k}\right)^M$$
#
# **Predict.** How many slices does it take to fill half of the outermost shell, $k = 23$? Ten? Thirty? Three hundred?

# %%
grid = np.arange(box) - box // 2
radius = np.sqrt(sum(g**2 for g in np.meshgrid(grid, grid, grid)))

print("slices  shell  reached  formula")
for count in (3, 30, 300):
    filled = reached(box, euler_to_matrix(views("all", count)))
    for k in (5, 23):
        share, law = filled[np.rint(radius) == k].mean(), 1 - (1 - 1 / (2 * k)) ** count
        print(f"{count:6}  {k:5}  {share:7.0%}  {law:7.0%}")

# %% [markdown]
# **Explain.** Three images say nearly nothing about the fine shells. Some thirty fill half of the last one, and three
# hundred all of it: *these views are enough to see the map, without noise*. Real data sets have many thousands of
# images because each one is so noisy, not because of the gaps. (Our views are spread evenly. That is why they do a
# little better than chance.)
#
# ### When views are missing
#
# Some particles lie on the ice in nearly one way only, say flat. Then the views come from the top or from close to it,
# here from within 30°: a **preferred orientation**. (If *all* of them came from exactly one side, all their slices would be
# one and the same plane.) Or one object is tilted in the microscope as far as the holder goes, ±60°: a **tilt series**.
#
# **Predict.** A slice is *perpendicular* to the view. So which part of Fourier space do views from the top leave empty:
# the part around $k_z$ or the part around $k_x$? In which direction will the map be smeared?

# %%
F_3d = transform(V)
maps, fillings = {}, {}
for kind in ("all", "top", "tilt series"):
    filled = reached(box, euler_to_matrix(views(kind, 300)))
    maps[kind], fillings[kind] = back(np.where(filled, F_3d, 0)), filled
    point = back(filled)                                     # what becomes of a single point
    x, z = point[box // 2, box // 2], point[:, box // 2, box // 2]
    wide = [np.sum(line > line.max() / 2) * ribosome.pixel_size for line in (x, z)]
    print(f"{kind:11}  reached {filled[radius < box // 2].mean():4.0%}, "
          f"map against truth {correlation(maps[kind], V):.2f}, "
          f"a point becomes {wide[0]:.0f} Å × {wide[1]:.0f} Å (x × z)")

show(planes([f[:, box // 2] for f in fillings.values()],
            ["from all sides", "from the top only", "tilt series, ±60°"],
            images=[m[:, box // 2] for m in maps.values()], names=("Fourier space", "map, cut x–z"),
            axes=("$k_x$", "$k_z$"), size=2.3, pixel_size=ribosome.pixel_size,
            scale="reached: 1, empty: 0", limits=(0, 1),
            alt="All sides: full, the map is sharp. Top: a cone around k_z is empty, the map is "
                "smeared along z. Tilt series: a wedge is empty."))

# %% [markdown]
# **Explain.** Views from the top leave a **missing cone** around $k_z$, a tilt series a **missing wedge**. The waves
# that go up and down along z are not there, so along z nothing can end: the map is smeared along z, in the direction
# of view. More images from the same side do not help. What helps is another view.
#
# ### What it costs
#
# Why do programs take slices instead of integrals? Count the numbers that must be read. A projection by adding up
# reads all $n^3$ voxels of the turned map. A slice reads only $\frac{\pi}{8} n^2$ components (half a disc). Before
# that, the map is transformed once, with about $N \log_2 N$ steps for $N$ numbers (the engine's map has $(2n)^3$, for
# finer interpolation).
#
# **Predict.** For $n$ = 256 and one projection: which is cheaper? And for 100,000 projections?

# %%
size = 256
integral, one_slice = size**3, np.pi / 8 * size**2
once = (2 * size) ** 3 * np.log2((2 * size) ** 3)
for count in (1, 100, 100_000):
    integrals, slices = count * integral, once + count * one_slice
    print(f"{count:7} projections: integrals {integrals:.1e}, slices {slices:.1e}, "
          f"ratio {integrals / slices:.3f}")

# %% [markdown]
# **Explain.** The transform has to pay off. It does so after some two hundred projections, and one iteration of a
# refinement compares images with many thousands of them. The more projections, the closer the gain comes to
# $\frac{8}{\pi} n$, here 650. And if only the coarse shells are needed, a slice gets cheaper still.

# %% [markdown]
# ## 5. The CTF: convolve, or multiply
#
# The second gift. An electron microscope does not show a thin particle as it is. It is taken out of focus on purpose,
# because in focus there is next to no contrast. Out of focus, each *point* of the particle becomes a small pattern of
# rings, the **point spread function**. The image is the projection with every point replaced by this pattern: a
# **convolution**, written $\otimes$.
#
# In Fourier space the same thing is a **multiplication**. Each wave is made weaker, or turns its sign, by a factor that
# depends on its spacing only. This factor is the **contrast transfer function**, the CTF:
#
# $$\gamma(u) = \pi \lambda\, \Delta f\, u^2 - \frac{\pi}{2} C_s \lambda^3 u^4 + \arcsin Q_0,
#   \qquad \mathrm{CTF}(u) = \sin \gamma(u) \; e^{-B u^2/4}$$
#
# | symbol | meaning | here | in the code |
# |---|---|---|---|
# | $u$ | spatial frequency of the wave, 1/Å | | `u` |
# | $\lambda$ | wavelength of the electrons; 0.0197 Å at 300 kV | from the voltage | `wavelength(300)` |
# | $\Delta f$ | defocus in Å; underfocus is positive, and usual | 12,000 Å = 1.2 µm | `defocus` |
# | $C_s$ | spherical aberration of the lens, in **mm** | 2.7 mm | `cs` |
# | $Q_0$ | amplitude contrast: the part of the contrast that needs no defocus | 0.1 | `q0` |
# | $B$ | how fast fine waves fade (envelope), Å² | 0 to some hundred | `b_factor` |
#
# Signs and factors differ from program to program. This is the convention of this course (particles are white), written
# down in `docs/conventions.md`.
#
# ### ✏️ Exercise 7.5: write the CTF
#
# All lengths are in Å, but `cs` is in mm, as it stands on the microscope. (1 mm = 10⁷ Å.) `u` is an array; return the
# CTF at each of its frequencies, an array of the same shape.

# %%
def my_ctf(u, defocus, wavelength, cs, q0, b_factor):
    ...  # your code
    ### BEGIN SOLUTION
    from_defocus = np.pi * wavelength * defocus * u**2
    from_cs = np.pi / 2 * cs * 1e7 * wavelength**3 * u**4
    gamma = from_defocus - from_cs + np.arcsin(q0)
    return np.sin(gamma) * np.exp(-b_factor / 4 * u**2)
    ### END SOLUTION

check("7.5", my_ctf)

# %% [markdown]
# **Predict.** At twice the defocus, will the CTF go through zero more often or less often? Where is the first zero?

# %%
my_ctf = carry_on("7.5")

u = np.linspace(0, 0.25, 501)
lines = {"Δf = 12,000 Å": my_ctf(u, 12_000, wavelength(300), 2.7, 0.1, 0),
         "Δf = 24,000 Å": my_ctf(u, 24_000, wavelength(300), 2.7, 0.1, 0),
         "Δf = 24,000 Å, B = 150 Å²": my_ctf(u, 24_000, wavelength(300), 2.7, 0.1, 150)}
for name, line in lines.items():
    zeros = u[:-1][line[:-1] * line[1:] < 0]      # where the sign changes
    print(f"{name:26} {len(zeros):2} zeros up to 4 Å, the first near {1 / zeros[0]:.0f} Å")

show(curves(u, lines, ylabel="CTF",
            alt="Larger defocus: faster waves. B: the waves fade towards fine spacings."))

# %% [markdown]
# **Explain.** Three things to remember.
# - Where the CTF is **zero**, the image holds nothing of the particle.
# - Where it is **negative**, the wave arrives with its sign turned: light where it should be dark.
# - At low frequency it is close to zero too (only the amplitude contrast is left): that is why defocus is needed to see
#   the particle at all. Twice the defocus: more contrast at low frequency, and twice as many zeros.
#
# ### One picture, made twice
#
# **Predict.** We image the protein in both ways: multiply its transform with the CTF; or replace every pixel by the
# point spread function and add up. How large will the difference be?

# %%
optics = Optics(pixel_size, voltage=300, spherical_aberration=2.7, amplitude_contrast=0.1)
CTF = ctf_image(n, optics, CTFParameters.of(12_000))     # (n, n), the engine's formula
psf = back(CTF)                                          # the point spread function is its transform

multiplied = back(CTF * transform(image))

convolved = np.zeros((n, n))
for y in range(n):
    for x in range(n):
        convolved += image[y, x] * np.roll(psf, (y - n // 2, x - n // 2), axis=(0, 1))

k = np.arange(n) - n // 2
mine = my_ctf(np.hypot(k[:, None], k) / (n * pixel_size), 12_000, wavelength(300), 2.7, 0.1, 0)
print(f"your CTF and the engine's: largest difference {difference(mine, CTF):.6f}")
print(f"convolved and multiplied:  largest difference {difference(convolved, multiplied):.6f}")
print(f"multiplications: {n**4:,} to convolve, {n**2:,} to multiply (and two FFTs)")

show(image_grid([image, psf, convolved, multiplied], size=1.9, pixel_size=pixel_size,
                columns=["protein", "point spread function", "convolved", "multiplied"],
                alt="The two images agree: the protein with a bright halo of rings."))

# %% [markdown]
# **Explain.** It is one operation, seen from two sides. (On the grid what leaves the box on one side comes back on the
# other, in both.) In Fourier space each component is a number times a number, and knows nothing of its neighbours. That
# is what makes the CTF easy to put in, and, in lesson 9, to take out.
#
# ### Be the microscope
#
# The next cell has a slider for everything in the formula, and two that are not: **astigmatism** (the defocus differs
# between directions: $U$ one way and $V$ across it) and a **phase plate** (a device that adds a constant to γ). The
# plane in yellow and blue is CTF², which is what one sees in the transform of a real image: **Thon rings**.
#
# 1. Move the *defocus* slowly from 12,000 to 30,000 Å. Watch the rings, the point spread function and the image.
# 2. **Predict**, then press: what will the image be *in focus*? And *in focus, with phase plate*?
# 3. Turn up the *astigmatism*. What happens to the rings? Where do the two curves part?
# 4. *Cs* hardly matters at low resolution. From which spacing on can you see its effect?
# 5. Turn up *B*. What is lost, and what is kept?

# %%
ctf_explorer(load("protein2d", box=256, pixel_size=1.5))

# %% [markdown]
# **Explain.** Read the line of text at the bottom. In focus only 10 % of the contrast is left, the amplitude
# contrast. (The picture looks fine because its greys are stretched and it has no noise. In a real image the particle
# would drown.) More defocus brings more contrast: 32 % at 12,000 Å, 45 % at 30,000 Å. A phase plate turns the sine
# into a cosine: nearly all of the contrast comes through, without defocus. Astigmatism turns rings into ellipses. Cs
# moves the rings only at spacings finer than some 6 Å, because it goes with $u^4$.

# %% [markdown]
# ## 6. Thon rings: how one knows the defocus
#
# Nobody reads the defocus off a dial. It is measured, in every micrograph, from the Thon rings. We simulate a thin
# film of carbon: structure at all spacings alike, much as white noise has. The microscope puts its CTF on it, the
# camera adds noise. The power spectrum (amplitude squared) is averaged over 121 overlapping patches.
#
# **Predict.** Will you see rings in one patch? In the average?

# %%
rng = np.random.default_rng(70)
side, patch, film_optics = 768, 128, Optics(2.0)
secret = CTFParameters.of(15_200.0, 13_400.0, 40.0, b_factor=60.0)   # U, V, angle
carbon = rng.normal(size=(side, side))
micrograph = back(transform(carbon) * ctf_image(side, film_optics, secret))
micrograph += 0.5 * rng.normal(size=(side, side))

corners = [(y, x) for y in range(0, side - patch + 1, 64) for x in range(0, side - patch + 1, 64)]
powers = [np.abs(transform(micrograph[y:y + patch, x:x + patch])) ** 2 for y, x in corners]
spectrum = np.mean(powers, axis=0)

CTF = ctf_image(patch, film_optics, secret)
mean = spectrum.mean()
show(planes([powers[0] / mean, spectrum / mean, 2 * CTF**2], size=2.7, rings=(10, 5), pixel_size=2.0,
            labels=["power of one patch", f"mean of {len(corners)} patches", "2 CTF², for comparison"],
            scale="power / mean power", limits=(0, 2),
            alt="One patch: grain. The mean: elliptical rings, as in CTF²."))

# %% [markdown]
# **Explain.** In one patch the power of each component is random, and the rings hide in the grain. Averaging brings
# them out. They are ellipses: this microscope is astigmatic.
#
# Now find the defocus as CTFFIND and its relatives do: compute CTF² for many values, and take the one that matches the
# spectrum best. The noise and the envelope give a smooth background; a correlation over the oscillating part is all we
# need here. (They search $U$, $V$ and the angle; we look for the mean only, in the two directions of the ellipse.)
#
# **Predict.** The true values are $U$ = 15,200 Å and $V$ = 13,400 Å. How close will it come?

# %%
k = np.arange(patch) - patch // 2
u = np.hypot(k[:, None], k) / (patch * 2.0)
azimuth = np.degrees(np.arctan2(k[:, None], k))
fits = (u > 1 / 20) & (u < 1 / 5)

off = []
for name, direction, true in (("U", 40, 15_200), ("V", 130, 13_400)):
    sector = fits & (np.abs((azimuth - direction + 90) % 180 - 90) < 15)      # a wedge, 30° wide
    trials = np.arange(8_000, 25_001, 50)
    match = [correlation(my_ctf(u[sector], df, wavelength(300), 2.7, 0.1, 60.0) ** 2, spectrum[sector])
             for df in trials]
    off.append(100 * abs(trials[np.argmax(match)] / true - 1))
    print(f"{name}: best match at {trials[np.argmax(match)]:6} Å (correlation {max(match):.2f})")

# %% tags=["hide-input"]
say(f"""**Explain.** They are {off[0]:.1f} % (to ±0.4) and {off[1]:.1f} % (to ±0.4) off, from nothing
but rings. (Each sector is 30° wide, and the defocus changes inside it: that pulls the two values a
little towards each other.) This is one of the first things that is done with every micrograph.""")

# %% [markdown]
# ## 7. What the CTF takes away
#
# ### Waves land elsewhere
#
# The point spread function is wide. A wave of spacing $d$ is displaced to each side, by
#
# $$\frac{\lambda\, \Delta f}{d} - \frac{C_s \lambda^3}{d^3}$$
#
# (the slope of γ at $u = 1/d$, divided by 2π). This is called **delocalisation**. Let us measure it: we image a single
# point, keep only the waves near $d$, and ask at which radius most of their light is.
#
# **Predict.** At a defocus of 20,000 Å, where do waves of 5 Å land? Remember λ = 0.0197 Å.

# %%
wide, fine = 256, Optics(1.5)
k = np.arange(wide) - wide // 2
u = np.hypot(k[:, None], k) / (wide * 1.5)
distance = np.hypot(k[:, None], k) * 1.5

for defocus in (10_000, 20_000):
    for d in (10, 5):
        band = np.exp(-((u - 1 / d) / 0.012) ** 2)                                # waves near d
        light = back(ctf_image(wide, fine, CTFParameters.of(defocus)) * band) ** 2
        profile = np.bincount((distance / 3).astype(int).ravel(), light.ravel())  # rings 3 Å wide
        expected = wavelength(300) * defocus / d - 2.7e7 * wavelength(300) ** 3 / d**3
        print(f"Δf = {defocus:5} Å, d = {d:2} Å: most light at {3 * profile.argmax() + 1.5:5.1f} Å, "
              f"expected {expected:5.1f} Å")

# %% [markdown]
# **Explain.** At 20,000 Å, the waves of 5 Å land some 80 Å away from where they belong. (Measured in rings 3 Å wide, from
# waves that are not all of one spacing, so to a few Å. The part of $C_s$ is small: 1.7 Å at 5 Å.) So a box must be larger
# than the particle, by this much on each side, or what one came for is cut off.
#
# ### Signs
#
# The simplest repair is **phase flipping**: turn the sign of every wave where the CTF is negative.
#
# ### ✏️ Exercise 7.6: flip the phases
#
# `ctf` (n, n) holds the CTF of each component, in the order of `np.fft.fft2`. Return the image with the signs put
# right.

# %%
def flip_phases(image, ctf):
    ...  # your code
    ### BEGIN SOLUTION
    return np.fft.ifft2(np.fft.fft2(image) * np.sign(ctf)).real
    ### END SOLUTION

check("7.6", flip_phases)

# %% [markdown]
# **Predict.** Here is the protein at a defocus of 20,000 Å, without noise. How much more like the protein will it be
# after flipping? What will still be missing?

# %%
flip_phases = carry_on("7.6")

fine_protein = load("protein2d", box=128)                       # 2 Å
CTF = ctf_image(128, Optics(2.0), CTFParameters.of(20_000))
seen = back(CTF * transform(fine_protein.density))
flipped = flip_phases(seen, np.fft.ifftshift(CTF))
for name, picture in (("as it was taken", seen), ("phases flipped", flipped)):
    print(f"{name:16} correlation with the protein {correlation(picture, fine_protein.density):.2f}")

show(image_grid([fine_protein.density, seen, flipped], size=2.3, pixel_size=2.0,
                columns=["protein", "at Δf = 20,000 Å", "phases flipped"],
                alt="Flipping takes away most ripples; a dark halo stays."))

# %% [markdown]
# **Explain.** The details are back where they belong, and most ripples are gone. What is not repaired: the amplitudes.
# The coarsest waves are still far too weak, which you see as a dark halo around the particle. And at the zeros of the
# CTF there is nothing to repair.
#
# ### Gaps, and how others fill them
#
# **Predict.** One image has gaps at the zeros of its CTF. We take eight images between 10,000 and 24,000 Å, and average
# their CTF². Will there still be gaps?

# %%
u = np.linspace(0, 0.2, 401)
defocus = [10_300, 11_800, 14_000, 15_100, 17_900, 19_200, 22_500, 23_700]
every = np.array([my_ctf(u, df, wavelength(300), 2.7, 0.1, 0) ** 2 for df in defocus])
resolved = u > 1 / 40
for name, power in (("one image", every[2]), ("mean of 8", every.mean(axis=0))):
    print(f"{name}, from 40 to 5 Å: CTF² below 0.1 for {np.mean(power[resolved] < 0.1):3.0%} "
          f"of the frequencies, lowest {power[resolved].min():.2f}")

show(curves(u, {"one image, Δf = 14,000 Å": every[2], "mean of 8 images": every.mean(axis=0)},
            ylabel="CTF²", limits=(0, 1.1),
            alt="One image falls to zero again and again; the mean of eight does not."))

# %% [markdown]
# **Explain.** What one image lost, another one has. So data are taken over a *range* of defocus. How to put such
# images together in the best way, each wave weighted by how well each image shows it, is the **Wiener filter** of
# lesson 9: the sum of CTF² stands there below the fraction line.

# %% [markdown]
# ## 8. The data model, twice
#
# All is there now for the data model of the lecture. It has the same letters in both spaces, and they mean the same
# image:
#
# | | real space | Fourier space |
# |---|---|---|
# | the model | $X_i = \mathrm{CTF}_i \otimes \mathbf{P}_\varphi V_k + N_i$ | $X_i = \mathrm{CTF}_i \; \mathbf{P}_\varphi V_k + N_i$ |
# | $X_i$ | image $i$, pixels | image $i$, components |
# | $V_k$ | map of class $k$, voxels | its 3D transform |
# | $\mathbf{P}_\varphi$ | adds up along the direction of view $\varphi$ (integrals) | takes the slice across it |
# | $\mathrm{CTF}_i$ | convolve with the point spread function | multiply with the CTF |
# | a shift by $s$ | move the pixels | multiply with the phase ramp of section 3 |
# | $N_i$ | white noise: the same variance in each pixel | coloured noise: a variance for each shell |
#
# **Predict.** We make one image in both ways, with the same map, pose, shift and defocus. Will you tell them apart?

# %%
pose, moved_by = [75.0, 110.0, 20.0], (3.5, -2.0)                       # degrees; pixels
optics, lens = Optics(ribosome.pixel_size), CTFParameters.of(18_000.0)

# real space: integrals, a convolution, a shift
projection = project_by_sums(V, pose)[0]
psf = back(ctf_image(box, optics, lens))
in_real_space = np.zeros((box, box))
for y in range(box):
    for x in range(box):
        in_real_space += projection[y, x] * np.roll(psf, (y - box // 2, x - box // 2), axis=(0, 1))
in_real_space = move(in_real_space, *moved_by)

# Fourier space: a slice, two multiplications
X = project(V[None], euler_to_matrix([pose]), parts)[0] * ctf_components(parts, optics, lens)
X = X * shift_phases([moved_by], parts)
in_fourier_space = scatter(X, parts)[0]

print(f"correlation {correlation(in_real_space, in_fourier_space):.4f}")
show(image_grid([in_real_space, in_fourier_space], size=2.3, pixel_size=ribosome.pixel_size,
                columns=["made in real space", "made in Fourier space"], alt="The same image twice."))

# %% [markdown]
# **Explain.** It is one model. The second way took three lines, and it is what the engine does: `simulate`, which
# made your images in the lessons before, is these lines and noise.
#
# ### The noise
#
# Why is the noise *white* in one column and *coloured* in the other? White noise is the only one that is simple in real
# space, where each pixel is independent of its neighbours. Real noise is not white: ice and camera give more power at
# coarse spacings, so neighbouring pixels know of each other. In Fourier space this needs no more than one variance for
# each shell.
#
# **Predict.** Here is the power of 200 images of each kind of noise, shell by shell. Which one is flat?

# %%
rng = np.random.default_rng(9)
empty = np.zeros((200, box, box), dtype=np.float32)
for name, colour in (("white", noise.white), ("coloured", noise.coloured)):
    images = noise.add_noise(empty, noise.noise_spectrum(box, ribosome.pixel_size, colour, 1.0), rng)
    power = radial_mean(np.abs(fourier(images)) ** 2, box, 2).mean(axis=0) / box**2
    neighbours = np.mean(images[:, :, 1:] * images[:, :, :-1]) / np.mean(images**2)
    shells = ", ".join(f"{box * ribosome.pixel_size / k:.0f} Å: {power[k]:.1f}" for k in (2, 6, 23))
    print(f"{name:9} power at {shells}   correlation of neighbouring pixels: {neighbours:.2f}")

# %% [markdown]
# **Explain.** Noise of any colour is a list of variances in Fourier space, and the components are still independent.
# Independent means that probabilities multiply, component by component, as they did pixel by pixel in lesson 3. That
# is the third gift of Fourier space, and lesson 8 opens it.

# %% [markdown]
# ## Summary
#
# - An image is a sum of waves. Each **Fourier component** has a spacing, a direction, an amplitude and a phase. Half
#   the plane says it all. A **shell** is all waves of one spacing, and "resolution" is the spacing of a shell.
# - A shift is a **phase ramp**.
# - **Projection-slice theorem**: the transform of a projection is a central slice of the map's transform. In Fourier
#   space $\mathbf{P}_\varphi$ takes a slice instead of an integral: $n^2$ numbers instead of $n^3$.
# - Slices fill space from the inside out. Missing views leave a **missing cone** or **missing wedge**, and smear the
#   map.
# - The microscope **convolves** with the point spread function, or **multiplies** with the **CTF**: one and the same.
#   The CTF has zeros (gaps) and signs; images of other defocus fill the gaps. **Thon rings** tell the defocus.
# - The data model: $X_i = \mathrm{CTF}_i \otimes \mathbf{P}_\varphi V_k + N_i$ in real space,
#   $X_i = \mathrm{CTF}_i\, \mathbf{P}_\varphi V_k + N_i$ in Fourier space, with noise that may be coloured.
#
# ### What the programs call it
#
# | program | slices and projections | defocus from Thon rings | signs and gaps of the CTF |
# |---|---|---|---|
# | RELION | `relion_project`; `--pad 2` pads the transform | *CTF estimation*: a wrapper of CTFFIND | `--ctf`; `--ctf_intact_first_peak` leaves the CTF alone up to its first peak |
# | cryoSPARC | – | *Patch CTF Estimation* | – |
# | SIMPLE | `reproject` | `ctf_estimate` | – |
# | XMIPP | `xmipp_angular_project_library` | `xmipp_ctf_estimate_from_micrograph` | `xmipp_ctf_phase_flip` |
#
# (–: no job of its own, done inside the refinements.) Missing views: cryoSPARC has the job *Orientation Diagnostics*.
# In RELION's STAR files the defocus is `rlnDefocusU`, `rlnDefocusV` and `rlnDefocusAngle`, in Å and degrees; Cs is
# `rlnSphericalAberration`, in mm; $Q_0$ is `rlnAmplitudeContrast`.
#
# ### Further reading
#
# - R. N. Bracewell, *Strip integration in radio astronomy*, Aust. J. Phys. 9, 198 (1956),
#   [doi:10.1071/PH560198](https://doi.org/10.1071/PH560198): projections and slices, for telescopes.
# - D. J. De Rosier, A. Klug, *Reconstruction of three dimensional structures from electron micrographs*, Nature 217,
#   130 (1968), [doi:10.1038/217130a0](https://doi.org/10.1038/217130a0): the theorem comes to electron microscopy.
# - H. P. Erickson, A. Klug, *Measurement and compensation of defocusing and aberrations by Fourier processing of
#   electron micrographs*, Phil. Trans. R. Soc. Lond. B 261, 105 (1971): the CTF measured on a crystal.
# - J. A. Mindell, N. Grigorieff, *Accurate determination of local defocus and specimen tilt in electron microscopy*,
#   J. Struct. Biol. 142, 334 (2003),
#   [doi:10.1016/S1047-8477(03)00069-8](https://doi.org/10.1016/S1047-8477(03)00069-8), and A. Rohou, N. Grigorieff,
#   *CTFFIND4*, J. Struct. Biol. 192, 216 (2015),
#   [doi:10.1016/j.jsb.2015.08.008](https://doi.org/10.1016/j.jsb.2015.08.008): the defocus from the rings.
# - P. A. Penczek, *Fundamentals of three-dimensional reconstruction from projections*, Methods Enzymol. 482, 1
#   (2010), [doi:10.1016/S0076-6879(10)82001-4](https://doi.org/10.1016/S0076-6879(10)82001-4), and *Image restoration
#   in cryo-electron microscopy*, ibid. 35,
#   [doi:10.1016/S0076-6879(10)82002-6](https://doi.org/10.1016/S0076-6879(10)82002-6): both halves of this lesson,
#   with all the formulas.
#
# ### Where you stand

# %%
progress(7)
