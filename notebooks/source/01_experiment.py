# %% [markdown]
# # Lesson 1: The experiment
#
# **The question.** An electron microscope gives flat, noisy pictures. A protein is a thing with three dimensions. What
# exactly does the microscope give us, what is missing, and how do many pictures give one map?
#
# **After this lesson you can**
# - simulate a cryo-EM image: turn a particle, project it, apply the CTF, add noise,
# - say how many images must be averaged to reach a given SNR,
# - match a noisy image with a projection, by hand and by computer,
# - put images together into a 3D map, if you know how the particles were turned,
# - explain projection matching and iterative refinement: what to do if you do *not* know it.
#
# **Time:** about 75 minutes. The cells themselves run in less than one.
#
# **What comes before:** some Python and NumPy. You need not know anything about cryo-EM. If exercises that check
# themselves are new to you, begin with [lesson 0](00_start_here.ipynb).
#
# **How it works.** Each section asks you to *predict*, then to *run* a cell, then *explains* what you saw.
# Your predictions are yours: write them on paper. Exercises are marked ✏️. Replace the three dots, run the cell, and
# `check` tells you where you stand. `hint("1.2")` gives a hint, and another one if you ask again.

# %%
import numpy as np

from cryoedu.course import carry_on, check, hint, progress, say
from cryoedu.datasets import load
from cryoedu.figures import image_grid, show
from cryoedu.figures.experiment import approach, averaging, set_up, transfer
from cryoedu.figures.fourier import half_plane
from cryoedu.geometry.euler import (angular_distance, euler_to_matrix, matrix_to_euler,
                                    random_rotations)
from cryoedu.geometry.fourier import low_pass
from cryoedu.geometry.grids import search_3d
from cryoedu.inference import refine, start_model
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.microscope.ctf import ctf, ctf_half_planes
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import circle
from cryoedu.microscope.realspace import project_by_sums, rotate, rotate_map
from cryoedu.particles.particles import CTFParameters, Optics
from cryoedu.validation.fsc import fsc, resolution
from cryoedu.widgets.mapviewer import map_viewer
from cryoedu.widgets.matching import match_by_hand
from cryoedu.widgets.projection import projection_viewer

progress(1)

# %% [markdown]
# ## 1. The specimen
#
# We need something to look at. This course has two specimens.
#
# - An **example protein** in two dimensions. It is a drawing, made by a formula: a model for teaching.
# - A **ribosome** in three dimensions, the machine that builds the proteins of a cell. Its shape comes from an experiment:
#   the coordinates of a ribosome that was itself solved by cryo-EM (entry 6ZU5 of the Protein Data Bank). We put one soft
#   ball at each residue, with the mass of that residue.
#
# To a computer, a specimen is a grid of numbers: the *density*. A cell of a 2D grid is a *pixel*, a cell of a 3D grid a
# *voxel*. Lengths are in ångström: 1 Å is a ten-millionth of a millimetre, about the size of an atom.

# %%
protein = load("protein2d", box=64)
ribosome = load("ribosome-80S", box=64)

for specimen in (protein, ribosome):
    width = specimen.box * specimen.pixel_size
    print(f"{specimen.name:13} {specimen.density.shape!s:13} {specimen.pixel_size:.1f} Å per pixel, "
          f"box of {width:.0f} Å")

# %% [markdown]
# **Predict.** The next cell turns the protein by 0°, 90°, 180° and 270°. It is drawn so that you can always tell how it is
# turned. Which parts will you go by?

# %%
show(image_grid(rotate(protein.density, [0, 90, 180, 270]), size=1.6,
                columns=["0°", "90°", "180°", "270°"], pixel_size=protein.pixel_size,
                alt="A body with a hole, a hooked arm and a short tail, turned."))

# %% [markdown]
# A map in 3D is harder to look at. Here are eight slices through the ribosome, from bottom to top. White is dense.

# %%
heights = range(11, 56, 6)
show(image_grid([ribosome.density[z] for z in heights], columns=[f"z = {z}" for z in heights],
                size=1.15, limits=(0, ribosome.density.max()), shared_scale="density (Da/Å³)",
                pixel_size=ribosome.pixel_size,
                alt="Slices through a round, knobbly body with a cleft."))

# %% [markdown]
# The other way to look at a map is an **isosurface**: the skin on which the density has one chosen value. The map viewer
# shows both. Move the slices, turn the surface with *rot* and *tilt*, and change its level.
#
# **Predict.** What happens to the surface if you raise the level? Can you find the groove between the two halves of the
# ribosome, its large and its small subunit?

# %%
map_viewer(ribosome)

# %% [markdown]
# **Explain.** A higher level leaves less inside the surface: at a low one you see a potato, at a high one only the densest
# parts. The level is a choice of the one who draws the picture. Remember this when you see a map in a paper.

# %% [markdown]
# ## 2. The set-up
#
# A thin layer of water with many copies of the particle is frozen so fast that the water becomes glass. Electrons go
# through it and fall on a camera. Each copy was caught as it happened to lie: **embedded in ice, in many unknown
# orientations**. The picture on the right shows what the camera gives: particles are dark on a bright ground. Programs
# find the particles in it and cut them out, each in a box of its own. They also exchange black and white. So do we: in all
# images that follow, particles are bright.
#
# **Predict.** All particles in the picture are the same. Why do no two of those drawn on the left look alike?

# %%
some_angles = matrix_to_euler(random_rotations(16, np.random.default_rng(1)))
views = project_by_sums(ribosome.density, some_angles)
show(set_up(views, pixel_size=ribosome.pixel_size, snr=0.1))

# %% [markdown]
# **Explain.** We look at each copy from another side. So the images differ because the *particles are turned*, not because
# they are different. Everything in this course hangs on telling these two apart.

# %% [markdown]
# ## 3. Imaging: from a 3D object to a 2D projection
#
# Electrons fly straight through the particle. Each pixel of the camera gets the sum of everything that lay on its line:
#
# $$(\mathbf P_\varphi V)(x, y) = \int V\!\left(R_\varphi^{-1}\, (x, y, z)\right) dz$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $V$ | the particle: a density in 3D | `volume`, indexed `[z, y, x]` |
# | $\varphi$ | its orientation: three angles, *rot*, *tilt* and *psi* | `angles`, in degrees |
# | $R_\varphi$ | turns the particle into this orientation | `rotate_map(volume, angles)` |
# | $\int \ldots dz$ | adds up along the beam, the z axis | `.sum(axis=0)` |
# | $\mathbf P_\varphi V$ | the **projection**: an image in 2D | you write it now |
#
# Rot and tilt say from which side the beam comes, as on a globe. Rot is the longitude. Tilt is the way down from the
# north pole: 0° at the pole, 90° at the equator, 180° at the south pole. Psi turns the picture in its plane.
#
# ### ✏️ Exercise 1.1: write the projection
#
# Turn the map, then add up along the beam.

# %%
def project(volume, angles):
    ...  # your code
    ### BEGIN SOLUTION
    return rotate_map(volume, angles).sum(axis=0)
    ### END SOLUTION

check("1.1", project)

# %%
project = carry_on("1.1")

# %% [markdown]
# Turn the particle yourself. Which of the three angles changes the picture least?

# %%
projection_viewer(ribosome, rot=30, tilt=60)

# %% [markdown]
# **Predict.** Five orientations follow. Which two pictures are the same but for a turn in the plane? And what will you see
# if you look from exactly the opposite side (the last one)?

# %%
orientations = {"rot 0, tilt 0, psi 0": (0, 0, 0), "psi 60": (0, 0, 60), "tilt 90": (0, 90, 0),
                "rot 90, tilt 90": (90, 90, 0), "tilt 180": (0, 180, 0)}
pictures = [project(ribosome.density, angles) for angles in orientations.values()]
show(image_grid(pictures, columns=list(orientations), size=1.8, pixel_size=ribosome.pixel_size,
                alt="The second is the first, turned. The last is the first, mirrored."))

# %%
mirrored = np.roll(pictures[0][:, ::-1], 1, axis=1)  # left and right exchanged, about the centre
alike = np.corrcoef(mirrored.ravel(), pictures[4].ravel())[0, 1]
print(f"correlation of the mirrored first picture with the last one: {alike:.2f}")

# %% [markdown]
# **Explain.** Psi only turns the picture. Rot and tilt show another side, and that is another picture altogether. From the
# opposite side the picture is the mirror image of the first: the same sums, read from behind. A sum does not say what lay
# in front and what behind. **One projection has lost the depth.** That is why we need many, from many sides.

# %% [markdown]
# ## 4. Artefacts: the contrast transfer function
#
# The microscope does not copy the projection faithfully. Think of an image as made of waves: long ones for the coarse
# shape, short ones for the detail. (A Fourier transform takes an image apart in this way. Lesson 7 has more.) The
# microscope multiplies each wave by a number between −1 and 1, the **contrast transfer function**, or CTF. It mainly
# depends on the *defocus*: how far the lens is out of focus.

# %%
optics = Optics(ribosome.pixel_size, voltage=300)       # 300 kV, a usual microscope
defoci = {"0 µm": 0, "0.5 µm": 5_000, "1 µm": 10_000, "2 µm": 20_000}  # in Å
frequencies = np.linspace(0, 1 / (2 * ribosome.pixel_size), 200)

curves = {}
for name, defocus in defoci.items():
    curves[name] = ctf(frequencies, 0 * frequencies, optics, CTFParameters.of(defocus))[0]
show(transfer(frequencies, curves))

# %% [markdown]
# Read it from left to right. A wave with CTF near 0 is lost in this image. Where the CTF is negative, black and white are
# exchanged, but only for these waves.
#
# ### An image as an array of waves
#
# NumPy takes an image apart into its waves with `np.fft.rfft2`. What comes out is an array, too: one **complex number**
# for each wave. Its absolute value says how strong the wave is, its angle where the bright stripes lie. `np.fft.irfft2`
# makes the image again.
#
# **Predict.** The image has 64 × 64 pixels. How many waves are there? In which corner of the array will the strongest, the
# coarsest ones be?

# %%
image = project(ribosome.density, (30, 60, 0))
waves = np.fft.rfft2(image)
print("the image:", image.shape, image.dtype)
print("its waves:", waves.shape, waves.dtype)
print("one of them, 2 up-and-downs from top to bottom and 3 from left to right: "
      f"strength {abs(waves[2, 3]):,.0f}")
print(f"there and back again, largest difference: {abs(np.fft.irfft2(waves) - image).max():.3f}")

# %%
show(half_plane(image, waves, alt="Bright in the two corners at the left, dark towards the middle row "
                                  "and the right."))

# %% [markdown]
# **Explain.** The **column** counts how often a wave goes up and down from left to right: 0, 1, 2, …, 32. The **row** does
# so from top to bottom, but in an odd order: 0, 1, …, 31, and then −32, …, −2, −1 for waves that slope the other way. So the
# coarse waves are in the two corners at the left, and the fine ones far from both. (There are 33 columns, not 64: the other
# half is the mirror of this one. Lesson 7 says why.)
#
# You need not move anything. It is enough that `ctf` has its numbers *in the same order*: one for each wave, shape (64, 33).
#
# ### ✏️ Exercise 1.2: apply the CTF
#
# `ctf` has one number for each wave, in the order of `np.fft.rfft2`. Go to waves, multiply, come back.

# %%
def apply_ctf(image, ctf):
    ...  # your code
    ### BEGIN SOLUTION
    return np.fft.irfft2(np.fft.rfft2(image) * ctf)
    ### END SOLUTION

check("1.2", apply_ctf)

# %%
apply_ctf = carry_on("1.2")

# %% [markdown]
# **Predict.** In light microscopy one focuses as well as one can. Here? At which of the four defoci will the particle have
# the most contrast? (*Contrast* is the standard deviation inside the particle's circle, as a fraction of that of the
# projection itself.)

# %%
inside = circle(64)  # the particle's circle: the empty corners of the box do not count
clean = project(ribosome.density, (30, 60, 0))
pictures = {"projection": clean}
for name, defocus in defoci.items():
    pictures[name] = apply_ctf(clean, ctf_half_planes(64, optics, CTFParameters.of(defocus))[0])

contrast = {name: p[inside].std() / clean[inside].std() for name, p in pictures.items()}
show(image_grid(list(pictures.values()), size=1.8, pixel_size=ribosome.pixel_size,
                columns=[f"{name}: contrast {contrast[name]:.2f}" for name in pictures],
                alt="In focus: the shape of the projection. Out of focus: grains with dark rims."))

# %% [markdown]
# **Explain.** In focus (0 µm) the picture has the right shape, but it is ten times as faint: a particle in ice is nearly
# transparent. (Each picture above has a grey scale of its own.) So one goes *out* of focus on purpose, and the contrast
# rises. There is a price. The coarse shape stays faint, while finer waves come through at full strength, so the particle
# looks like a heap of grains with dark rims. And towards the right of the curves more and more waves are lost or turned
# round. Images at several defoci complement each other: what one has lost, another one has. Lessons 7 and 9 show how to
# undo the CTF.

# %% [markdown]
# ## 5. Noise
#
# Electrons destroy the particle while they image it. So one can use only a few of them, and few electrons mean a grainy
# picture. This is by far the worst trouble. With it, our model of an image is complete. In the words of the lecture:
#
# $$X_i = \mathrm{CTF}_i \otimes \mathbf P_{\varphi_i} V + N_i$$
#
# | symbol | meaning | who knows it? |
# |---|---|---|
# | $X_i$ | image number $i$ | the **observed data** |
# | $V$ | the particle | this is what we want |
# | $\varphi_i$ | its orientation in image $i$ | nobody: the **missing data** |
# | $\mathrm{CTF}_i \otimes$ | the CTF, applied | can be estimated from the micrograph |
# | $N_i$ | noise, independent in each pixel | only how strong it is, at best |
#
# The **signal-to-noise ratio** (SNR) says how bad it is: the variance of the signal inside the particle's circle, divided
# by the variance of the noise.
#
# ### ✏️ Exercise 1.3: add noise at a given SNR
#
# `rng.normal(0, sigma, shape)` draws noise with standard deviation `sigma`. Which `sigma` gives the SNR that is asked for?
# The first line is there already.

# %%
def add_noise(image, snr, rng):
    variance = image[circle(len(image))].var()  # of the signal
    ...  # your code
    ### BEGIN SOLUTION
    sigma = np.sqrt(variance / snr)
    return image + rng.normal(0, sigma, image.shape)
    ### END SOLUTION

check("1.3", add_noise)

# %%
add_noise = carry_on("1.3")

# %% [markdown]
# **Predict.** At which SNR will the ribosome disappear? Cryo-EM images usually have an SNR of 0.1 or less.

# %%
rng = np.random.default_rng(seed=2)
signal = pictures["1 µm"]
snrs = (10, 1, 0.1, 0.01)
noisy = [add_noise(signal, snr, rng) for snr in snrs]
show(image_grid([signal, *noisy], columns=["no noise", *(f"SNR {snr}" for snr in snrs)], size=1.75,
                pixel_size=ribosome.pixel_size,
                alt="The ribosome is clear at SNR 10, grainy at 1, a shadow at 0.1, gone at 0.01."))

# %% [markdown]
# **Explain.** At SNR 1 the noise is as strong as the signal, and you still see the ribosome with ease: your eye averages
# over neighbouring pixels. At 0.1 a shadow is left, at 0.01 nothing. Yet the signal is still there, untouched. We only
# need a way to bring it out.

# %% [markdown]
# ## 6. Averages beat noise
#
# Suppose we had many images of the *same* view. The signal is the same in all of them, the noise is not. In an average of
# $N$ images the signal stays, and the noise falls:
#
# $$\sigma_N = \frac{\sigma}{\sqrt N}$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $\sigma$ | standard deviation of the noise in one image | `sigma` |
# | $N$ | number of images in the average | `N` |
# | $\sigma_N$ | standard deviation of the noise that is left in the average | `noise_left` |
#
# **Predict.** From one image to 100: by which factor does the noise fall? From 100 to 1,000?

# %%
counts = (1, 3, 10, 30, 100, 300, 1000)
total, averages = np.zeros(signal.shape), {}
for N in range(1, 1001):
    total += add_noise(signal, 0.01, rng)  # the same view each time, new noise each time
    if N in counts:
        averages[N] = total / N

sigma = np.sqrt(signal[inside].var() / 0.01)
noise_left = [(averages[N] - signal).std() for N in counts]
show(image_grid([averages[N] for N in (1, 10, 100, 1000)] + [signal], size=1.75,
                columns=["1 image", "10", "100", "1,000", "no noise"],
                alt="The ribosome comes out of the noise."))

# %%
show(averaging(counts, np.array(noise_left) / sigma, sigma=1.0))

# %% [markdown]
# **Explain.** Measured and predicted noise agree (here in units of σ). The law is a stern one: half the noise costs four
# times as many images, a tenth of it a hundred times as many. The SNR is a ratio of *variances*, and variances fall as
# $1/N$. So the SNR of an average is $N$ times that of one image.
#
# ### ✏️ Exercise 1.4: how many images?
#
# Your images have an SNR of 0.02. You want an average with an SNR of 4. How many images do you need?

# %%
number_of_images = ...  # your code
### BEGIN SOLUTION
number_of_images = 4 / 0.02
### END SOLUTION

check("1.4", number_of_images)

# %% [markdown]
# ### What if they are not the same view?
#
# The particles are turned in all directions, and nobody tells us how.
#
# **Predict.** Sketch the average of 300 *noise-free* projections in random orientations. Then run.

# %%
small = load("ribosome-80S", box=32)  # larger voxels, less to compute: from here on
random_angles = matrix_to_euler(random_rotations(300, np.random.default_rng(3)))
projections = project_by_sums(small.density, random_angles, order=1)

show(image_grid([*projections[:4], projections.mean(axis=0)], size=1.75,
                pixel_size=small.pixel_size, columns=["projection 1", *"234", "average of 300"],
                alt="Four different projections, and a featureless round blob."))

# %% [markdown]
# **Explain.** The average is a ball. There was no noise at all, and still everything is gone. What is missing is not signal
# but **orientations**.

# %% [markdown]
# ## 7. If we knew the orientations: 3D reconstruction
#
# Let us be generous for a moment and assume that we know how each particle was turned. How do we get a map?
#
# A projection says how much there was along each line, but not at which depth. So we put it back at *every* depth: we
# smear the picture back along its beam. One smeared picture is no map. But smears from many sides agree only where there
# really was something.
#
# ### ✏️ Exercise 1.5: smear a picture back
#
# Put the image into each of the `n` layers along z. Then turn these layers *back*: what `rotate_map(…, (rot, tilt, psi))`
# has turned, `rotate_map(…, (-psi, -tilt, -rot))` turns back. (The last turn must be undone first, as with socks and
# shoes.) Return an array of shape (n, n, n).

# %%
def smear_back(image, angles):
    rot, tilt, psi = angles
    n = len(image)
    ...  # your code
    ### BEGIN SOLUTION
    layers = np.repeat(image[None], n, axis=0)
    return rotate_map(layers, (-psi, -tilt, -rot))
    ### END SOLUTION

check("1.5", smear_back)

# %% [markdown]
# Our images for the rest of the lesson: 300 of them, SNR 1, and for now without CTF. `simulate` takes the same steps as
# you did in sections 3 to 5, and keeps the truth beside the images. (It also sets the scale, so that the noise has σ = 1.)
#
# **Predict.** How will a slice through the map look after 1, 4, 20 and 300 images?

# %%
smear_back = carry_on("1.5")

experiment = simulate(small, 300, seed=2, snr=1.0, progress=False)
images, true_angles = experiment.particles.images, experiment.truth.angles
truth = experiment.specimens[0].density

smears, after = np.zeros_like(truth), {}
for i in range(len(images)):
    smears = smears + smear_back(images[i], true_angles[i])
    if i + 1 in (1, 4, 20, 300):
        after[f"{i + 1} smeared"] = smears[16]  # the slice in the middle

after["truth"] = truth[16]  # the slice in the middle of the map that we look for

# %%
show(image_grid(list(after.values()), columns=list(after), size=1.75, pixel_size=small.pixel_size,
                alt="Stripes at first; then a blurred body, without the gap and the knobs that the "
                    "truth has."))

# %% [markdown]
# **Explain.** One smear is a band of stripes. With more of them the stripes cancel, and a body is left. But look at the truth
# beside it: the gap between the two subunits is filled up, and the small knobs are gone. More images do not help. The map is
# *blurred*.
#
# ### Each wave, as often as it was counted
#
# Here is why. A map is a sum of waves, too. Each image knows only the waves that run *across* its beam, because adding up
# along the beam wipes out all others. A coarse wave is nearly the same in all directions that are close together, so many
# images count the same one. A fine wave changes from one direction to the next, so few images count it. Let $|k|$ be how
# often a wave goes up and down in one voxel. A wave with twice the $|k|$ is counted half as often:
#
# $$\text{how often a wave is counted} \;\propto\; \frac{1}{|k|}$$
#
# So the cure is to divide by that: **multiply each wave by its $|k|$**.
#
# ### ✏️ Exercise 1.6: weight the waves
#
# `np.fft.fftn` takes a map apart into waves, as `rfft2` did with an image, and `np.fft.ifftn` puts it together again. `k` is
# there already: the $|k|$ of each wave, (n, n, n), in the order of `fftn`. Return the weighted map, (n, n, n). What comes
# back from `ifftn` is complex, with nothing but rounding in the imaginary part: end with `.real`.

# %%
def weight(volume):
    f = np.fft.fftfreq(len(volume))                                  # along one axis
    k = np.sqrt(f[:, None, None]**2 + f[:, None]**2 + f**2)          # of each wave: (n, n, n)
    ...  # your code
    ### BEGIN SOLUTION
    return np.fft.ifftn(np.fft.fftn(volume) * k).real
    ### END SOLUTION

check("1.6", weight)

# %% [markdown]
# **Predict.** What will become of the blur? And of the noise, which is strongest in the finest waves?

# %%
weight = carry_on("1.6")

weighted = weight(smears)
coarse = low_pass(weighted[None], small.pixel_size, 45)[0]  # without waves finer than 45 Å
engine = reconstruct(experiment.truth, progress=False).density
maps = {"300 smeared": smears, "weighted": weighted, "weighted, to 45 Å": coarse, "engine": engine,
        "truth": truth}
show(image_grid([[m[16] for m in maps.values()], [m.sum(axis=0) for m in maps.values()]],
                rows=["slice", "projection"], columns=list(maps), size=1.8, pixel_size=small.pixel_size,
                alt="Smeared: a blurred body. Weighted: the two subunits stand apart, in grainy noise; "
                    "without the finest waves the grain is gone. The engine's map is clean and close "
                    "to the truth."))

# %% [markdown]
# **Explain.** The gap is open, and the subunits have their shape. The weights also bring up the finest waves, and these are
# mostly noise: without them (third picture) the map is easier to look at. The engine's `reconstruct` does the same thing with
# more care: it *counts* how often each wave was seen, instead of trusting a rule, and takes less of a wave that is mostly
# noise (lessons 7 and 9).
#
# So with known orientations the problem would be easy. The lecture calls it the **complete data problem**.

# %% [markdown]
# ## 8. Projection matching, by hand
#
# Now the real situation: the orientations are unknown. But suppose we already have *some* map, not too bad. Then we can
# compute how the particle would look in any orientation, and compare with the image. The orientation whose projection
# fits best is our guess. This is **projection matching**.
#
# The **correlation** of two pictures says how well they fit: 1 if they agree, 0 if they have nothing in common.
#
# Try it yourself. On the left is a noisy image, beside it the projection that you turn (both with the CTF of 1.5 µm
# defocus). Your score is on the right; the dotted line is what the computer got by trying 4,608 orientations, 15° apart.
# Every control works with the mouse and with the arrow keys (Tab moves on to the next one).
#
# 1. Can you reach the dotted line? `bring me near` helps. Your steps are finer than the computer's: can you pass it?
# 2. **Predict**, then tick *show the computer's scores*: how many sides fit nearly as well as the best one?
# 3. Lower the SNR. What happens to the dotted line? And to the map of scores?
# 4. At which SNR does the computer, too, point to a wrong side? (○ is its best, the dashed circle is the truth.)
#    Look at more than one image.

# %%
match_by_hand(small, snr=1.0)

# %% [markdown]
# **Explain.** At high SNR there is one hill, and you can climb it. With more noise the whole landscape sinks, because no
# projection looks like noise. False hills come up, and in the end one of them is the highest. Even a search that tries
# everything then gives a wrong answer. The next section counts how often.

# %% [markdown]
# ## 9. The machine matches
#
# A computer has patience: it compares each image with projections in *all* orientations of a grid, and takes the best.
# To be fair to bright and to faint projections, it uses the **normalised cross-correlation**:
#
# $$\mathrm{NCC}(X, A) = \frac{\sum_j (X_j - \bar X)(A_j - \bar A)}
#   {\sqrt{\sum_j (X_j - \bar X)^2}\,\sqrt{\sum_j (A_j - \bar A)^2}}$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $X_j$ | pixel $j$ of the image | `image` |
# | $A_j$ | pixel $j$ of a projection of the reference | `projections[r]` |
# | $\bar X$, $\bar A$ | the mean over all pixels | `image.mean()` |
#
# ### ✏️ Exercise 1.7: find the best match
#
# `image` has the shape (n, n), `projections` (R, n, n). Return the *index* of the projection with the highest NCC.

# %%
def best_match(image, projections):
    ...  # your code
    ### BEGIN SOLUTION
    x = image - image.mean()
    a = projections - projections.mean(axis=(1, 2), keepdims=True)
    ncc = np.tensordot(a, x, axes=2) / np.sqrt(np.sum(a**2, axis=(1, 2)))
    return np.argmax(ncc)
    ### END SOLUTION

check("1.7", best_match)

# %% [markdown]
# How often is the best match the right one? To see what noise alone does, we hand the machine the best reference there is,
# the *true* map, and fresh images at four SNRs.
#
# **Predict.** The grid has 576 orientations, some 30° apart. For how many of 100 images will the orientation be right to
# within 30°, at SNR 1? At 0.1? At 0.01?

# %%
best_match = carry_on("1.7")

grid = search_3d(1).angles  # (576, 3): rot, tilt, psi
projections = project_by_sums(truth, grid, order=1)


def error(found, true):  # by how many degrees two orientations differ
    return angular_distance(euler_to_matrix(found), euler_to_matrix(true))


near = {}
for snr in (1, 0.1, 0.03, 0.01):
    fresh = simulate(small, 100, seed=5, snr=snr, progress=False)
    found = grid[[best_match(x, projections) for x in fresh.particles.images]]
    near[snr] = np.mean(error(found, fresh.truth.angles) < 30)
    print(f"SNR {snr:<4}  {100 * near[snr]:2.0f} % (to ±2) of the orientations are right to within 30°")

# %% tags=["hide-input"]
say(f"""**Explain.** At SNR 1 {near[1]:.0%} (to ±2) of the images find their place, at 0.1 only
{near[0.1]:.0%} (to ±2) do. At 0.01 it is {near[0.01]:.0%} (to ±2), and dice would come to nearly
1 %. The machine always names a best match; it does not say when that is worth nothing. Remember
this for lesson 3.""")

# %% [markdown]
# ### One round of projection matching
#
# Now we have everything for one round of projection matching: **project** the map in all orientations, **match** each
# image, **smear back** with the orientations found. As the first map we take a mere blob: the ribosome without any detail
# finer than 150 Å, as if from an old, coarse experiment.
#
# We go two rounds, in two ways: with smears as they are, and with smears that are weighted in each round. The first 150
# of the images will do.
#
# **Predict.** The blob has no detail. Can the map after one round be finer than the blob that was used to match? And will
# the second round be better than the first, in both ways?

# %%
start = low_pass(truth[None], small.pixel_size, 150)[0]


def one_round(reference):
    projections = project_by_sums(reference, grid, order=1)
    found = grid[[best_match(x, projections) for x in images[:150]]]
    return sum(smear_back(x, angles) for x, angles in zip(images, found)), found


first, found_first = one_round(start)
second, found_second = one_round(first)                    # the smears as they are
second_weighted, found_weighted = one_round(weight(first))  # the smears, weighted

rounds = {"start": (start, None),
          "1 round, smeared": (first, found_first), "2 rounds, smeared": (second, found_second),
          "1 round, weighted": (weight(first), found_first),
          "2 rounds, weighted": (weight(second_weighted), found_weighted)}

# %%
volumes = [*(volume for volume, _ in rounds.values()), truth]
seen = [low_pass(volume[None], small.pixel_size, 45)[0] for volume in volumes]
show(image_grid([[v[16] for v in seen], [v[:, 16] for v in seen]], columns=[*rounds, "truth"],
                rows=["slice across z", "slice across y"], size=1.55, pixel_size=small.pixel_size,
                alt="All without waves finer than 45 Å. A blob; smeared: blobs, the second longer than "
                    "the first; weighted: two bodies with a waist between them, as in the truth."))

# %%
for name, (volume, found) in rounds.items():
    fine = resolution(fsc(volume, truth), small.pixel_size, threshold=0.5)
    print(f"{name:18} agrees with the truth down to {fine:3.0f} Å (to ±2)", end="")
    if found is not None:
        right = 100 * np.mean(error(found, true_angles[:150]) < 30)
        print(f";  {right:.0f} % (to ±2) of the orientations are right to within 30°", end="")
    print()

# %% [markdown]
# "Agrees down to …" means: compare the two maps wave by wave, the coarse ones first, with a correlation for each size of
# wave. This is the **Fourier shell correlation** (FSC). The size where it falls below one half is the *resolution*, in Å.
# A smaller number is better. (Each comparison is among waves of one size, so weights do not change it. The two maps after
# one round agree with the truth equally far, but only the weighted one *shows* it.)
#
# **Explain.** After one round the map is finer than the blob, and there is a waist where the truth has its gap. The detail
# did not come from the blob. It came from the images: once they are turned to roughly the right places, what they have in
# common adds up.
#
# With smears as they are, a second round makes it *worse*: fewer orientations are right, and the map loses detail. For its
# reference was a blurred one. With weights the second round keeps what the first one has found. To gain more, we need what
# the engine has: a finer grid, and weights that know how much of a wave is noise.

# %% [markdown]
# ## 10. Iterative refinement
#
# With a proper reconstruction, each round gives a better map, a better map gives better matches, and these give a better
# map. That is **iterative refinement**: project, match, reconstruct, again and again.
#
# The engine of this course does it with the same criterion as you (option *maxCC*: the highest NCC takes it all). It uses
# a finer grid, and it undoes the CTF, so we can put the CTF back into the images. There are 1,000 of them now, at SNR 0.5.
#
# **Predict.** How many rounds will it take? Where will it stop: at the truth, at the map from the true orientations, or
# before?

# %%
experiment = simulate(small, 1000, seed=3, snr=0.5, defocus=(10_000, 25_000), progress=False)
truth = experiment.specimens[0].density
start = low_pass(truth[None], small.pixel_size, 150)
known = reconstruct(experiment.truth, memory="16 MB", progress=False).density  # true orientations
grid = search_3d(2)  # 4,608 orientations, 15° apart

maps, found = [start[0]], [None]
for iteration in refine(experiment.particles, start_model(experiment.particles, start), grid,
                        iterations=5, assignment=MAXIMUM_CROSS_CORRELATION, perturb_seed=1,
                        memory="80 MB"):
    maps.append(iteration.model.maps[0])
    found.append(iteration.posterior.angles)

# %%
shown = {"start": maps[0], "iteration 1": maps[1], "2": maps[2], "5": maps[5],
         "true orientations": known, "truth": truth}
slices, projections = [m[16] for m in shown.values()], [m.sum(axis=0) for m in shown.values()]
show(image_grid([slices, projections], rows=["slice", "projection"], columns=list(shown),
                size=1.45, pixel_size=small.pixel_size,
                alt="From a blob to a map that is grainier than the one with the true orientations."))

# %% [markdown]
# The same maps in the viewer. Turn all four at once, and raise the level: which parts appear in which iteration?

# %%
map_viewer([maps[0], maps[1], maps[5], truth], pixel_size=small.pixel_size,
           names=["start", "iteration 1", "iteration 5", "truth"])

# %%
curves = [fsc(m, truth) for m in maps]
alike = [np.corrcoef(m.ravel(), truth.ravel())[0, 1] for m in maps]
known_fsc, known_alike = fsc(known, truth), np.corrcoef(known.ravel(), truth.ravel())[0, 1]
frequencies = np.arange(17) / (32 * small.pixel_size)

show(approach(frequencies, curves, alike, (known_fsc, known_alike), shown=[0, 1, 2, 5]))

# %%
def agrees_to(curve):
    return resolution(curve, small.pixel_size, threshold=0.5)  # Å


degrees = {k: error(found[k], experiment.truth.angles) for k in range(1, len(maps))}
near = {k: np.mean(d < 15) for k, d in degrees.items()}
for k, curve in enumerate(curves):
    print(f"iteration {k}: {agrees_to(curve):3.0f} Å", end="")
    if k:
        print(f";  {near[k]:.0%} of orientations are right to within 15°, "
              f"half to within {np.median(degrees[k]):.0f}°", end="")
    print()
print(f"true orientations: {agrees_to(known_fsc):.0f} Å")
print("(numbers above: to ±2)")

# %% tags=["hide-input"]
end = agrees_to(curves[-1])
rounds_needed = next(k for k, curve in enumerate(curves) if agrees_to(curve) < end + 2)
say(f"""**Explain.** Against a blob only {near[1]:.0%} (to ±2) of the orientations are right to within
15°. Still the first map is finer than the blob: what fits adds up, what does not fit spreads out.
Finer detail tells more orientations apart, so the next round is better again. After
{rounds_needed} (to ±1) rounds the map is within 2 Å of its end. It does not reach the one from the
true orientations, {end:.0f} Å (to ±2) against {agrees_to(known_fsc):.0f} Å (to ±2). Some images are
still matched wrongly, and a grid with steps of 15° leaves half of all more than
{np.median(degrees[5]):.0f}° (to ±1) off.""")

# %% [markdown]
# That is the whole idea. But be warned: this lesson made it easy. The SNR was high, the particles sat in the middle of
# their boxes, they were all the same, and we began with a blob of the *right* particle. What happens without these gifts
# is the rest of the course.
#
# | what was easy here | what happens otherwise |
# |---|---|
# | a high SNR, one best orientation for each image | lessons 2 and 3 |
# | all particles are the same | lessons 4 and 6 |
# | a start of the right shape | lesson 5 |
# | the engine knew how to undo blur and CTF | lessons 7, 8 and 9 |

# %% [markdown]
# ## Summary
#
# - The microscope turns a **3D object** into **2D projections**: sums along the beam. We collect data in 2D, but we want
#   3D.
# - There are further inconveniences: the **CTF** changes and removes some of the waves of the image, and there are **large
#   amounts of noise**.
# - **Single-particle analysis**: many copies, embedded in ice, in many *unknown orientations*. Averages beat noise as
#   $1/\sqrt N$, but only if the orientations are known.
# - With known orientations, all projections combine into a **3D reconstruction**: smear each one back along its beam, and
#   weight each wave by how often it was counted.
# - Without them: **projection matching**. Compare each image with projections of a reference in all orientations and take
#   the best match.
# - **Iterative refinement**: the new map is the next reference.
#
# ### What the programs call it
#
# | program | project a map | reconstruct with known orientations | refine orientations and map |
# |---|---|---|---|
# | RELION | `relion_project` | `relion_reconstruct` | `relion_refine`: *3D auto-refine* |
# | cryoSPARC | – | job *Homogeneous Reconstruction Only* | job *Homogeneous Refinement* |
# | SIMPLE | `reproject` | `reconstruct3D` | `refine3D` |
# | XMIPP | `xmipp_angular_project_library` | `xmipp_reconstruct_fourier` | `xmipp_angular_projection_matching`, in rounds |
#
# In RELION's STAR files the orientation is `rlnAngleRot`, `rlnAngleTilt` and `rlnAnglePsi`, the angles of this lesson, and
# the defocus is `rlnDefocusU` and `rlnDefocusV`.
#
# ### Further reading
#
# - Y. Cheng, N. Grigorieff, P. A. Penczek, T. Walz, *A primer to single-particle cryo-electron microscopy*, Cell 161, 438
#   (2015), [doi:10.1016/j.cell.2015.03.050](https://doi.org/10.1016/j.cell.2015.03.050): the whole way from the sample to
#   the map.
# - P. A. Penczek, *Fundamentals of three-dimensional reconstruction from projections*, Methods Enzymol. 482, 1 (2010),
#   [doi:10.1016/S0076-6879(10)82001-4](https://doi.org/10.1016/S0076-6879(10)82001-4): why smearing back blurs, and what
#   to do about it.
# - P. A. Penczek, R. A. Grassucci, J. Frank, *The ribosome at improved resolution*, Ultramicroscopy 53, 251 (1994),
#   [doi:10.1016/0304-3991(94)90038-8](https://doi.org/10.1016/0304-3991(94)90038-8): projection matching, on a ribosome.
# - M. Ehrenbolger *et al.*, PLoS Biol. 18, e3000958 (2020),
#   [doi:10.1371/journal.pbio.3000958](https://doi.org/10.1371/journal.pbio.3000958): the ribosome of this lesson.
#
# ### Where you stand

# %%
progress(1)
