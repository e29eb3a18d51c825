# %% [markdown]
# # Lesson 8: Coloured noise
#
# **The question.** Real noise is not equally strong at all frequencies. Thick ice, for example, adds big dark and bright
# clouds, but little fine grain. Which details of an image should we trust, and who decides?
#
# **After this lesson you can**
# - measure the power of noise and of signal, shell by shell,
# - write the likelihood of an image under coloured noise, and say what it does to each frequency,
# - show what goes wrong if coloured noise is treated as white,
# - filter images by hand (low-pass, high-pass, band-pass), and say what a good filter is worth,
# - learn the noise from the images themselves, and with it the 'optimal' filter.
#
# **Time:** about 75 minutes. The cells themselves run in less than one.
#
# **What comes before:** lesson 3 (Γ, the E-step, the M-step, σ learned from the images) and lesson 7 (Fourier components
# and shells). In one sentence each: Γ is the probability of each rotation, given the image. A Fourier component is one wave
# of the image; a shell holds all waves of about one spacing, in Å.
#
# **How it works.** Each section asks you to *predict*, then to *run* a cell, then *explains* what you saw. Exercises are
# marked ✏️. Replace the three dots, run the cell, and `check` tells you where you stand. `hint("8.1")` gives a hint, and
# another one if you ask again.

# %%
from dataclasses import replace

import numpy as np

from cryoedu.course import carry_on, check, hint, progress, say
from cryoedu.datasets import load
from cryoedu.figures import image_grid, show
from cryoedu.figures.noise import filter_map, power_curves
from cryoedu.geometry.fourier import components, gather
from cryoedu.geometry.grids import search_2d
from cryoedu.inference import mean_image, random_subsets, refine, start_model
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import white
from cryoedu.microscope.realspace import rotate
from cryoedu.microscope.specimen import Specimen
from cryoedu.widgets.filter_bench import LEARNED, filter_bench

progress(8)

# %% [markdown]
# ## 1. Noise has a colour
#
# White light holds all colours in equal parts. White noise holds all *frequencies* in equal parts. Noise that does not is
# called coloured.
#
# The next cell makes the same 600 images twice: once with white noise, once with the noise of an imagined carbon film or
# ice of uneven thickness. `uneven` says how its power depends on the spatial frequency $u$ (in 1/Å): strong for waves that
# are longer than 120 Å, weak for shorter ones. It is a model for teaching, not a fit to any microscope. **The variance of a
# pixel is the same in both**, and so is the SNR: 0.1.
#
# **Predict.** Both rows hold the same amount of noise. In which one will you find the particles more easily?

# %%
def uneven(u):
    return 1 + 200 / (1 + (120 * u) ** 4)


protein = load("protein2d", box=40)
n, pixel_size = protein.box, protein.pixel_size
with_white = simulate(protein, 600, seed=4, snr=0.1, noise=white, progress=False)
with_coloured = simulate(protein, 600, seed=4, snr=0.1, noise=uneven, progress=False)

rows = [np.stack([protein.density, *e.particles.images[:4]]) for e in (with_white, with_coloured)]
show(image_grid(rows, rows=["white", "coloured"], columns=["the particle", *"1234"],
                pixel_size=pixel_size,
                alt="White noise is fine grain over the particles; coloured noise is large clouds."))

# %%
for name, e in (("white", with_white), ("coloured", with_coloured)):
    corner = e.particles.images[:, :5, :5]
    print(f"{name:9} variance of a pixel far from the particle: {corner.var():.1f}")

# %% [markdown]
# **Explain.** In the upper row you see grain, in the lower row clouds. The clouds are as large as the particle itself, so the
# eye takes them for particles. At this SNR nobody finds the particle in either row.
#
# And yet the lower row has an advantage, which the eye cannot see here: the noise has been moved from the fine waves to the
# coarse ones. To make it visible, we make the particle stronger: the same rotations, the same two kinds of noise, and 20
# times the SNR.

# %%
bright = {name: simulate(protein, 600, seed=4, snr=2, noise=noise, progress=False)
          for name, noise in (("white", white), ("coloured", uneven))}
rows = [np.stack([protein.density, *e.particles.images[:4]]) for e in bright.values()]
show(image_grid(rows, rows=list(bright), columns=["the particle", *"1234"],
                pixel_size=pixel_size,
                alt="White noise roughens all edges. With coloured noise the edges and the small "
                    "hole are smooth, and the clouds lie around and over them."))

# %% [markdown]
# **Explain.** Now it can be seen. In the upper row grain lies over everything, and the edges are rough. In the lower row the
# clouds are still there, but the fine detail (the edges, the small hole) is *cleaner*. A method that knows this can use
# the clean detail, at SNR 0.1 too. A method that does not know it will be fooled by the clouds.
#
# ### Counting power, shell by shell
#
# `gather` takes images to their Fourier components: complex numbers, $J$ for each image. `shell` says which shell a component
# belongs to. Shell $s$ holds the waves with about $s$ periods across the box: their spacing is the width of the box, in Å,
# divided by $s$.

# %%
parts = components(n)
shell = parts.shell                                   # (J,)
X = gather(with_coloured.particles.images, parts)     # (N, J), complex
frequencies = np.arange(n // 2 + 1) / (n * pixel_size)  # of the shells, in 1/Å

for s in (1, 4, 10, 19):
    print(f"shell {s:2}: waves of {n * pixel_size / s:5.1f} Å, {np.sum(shell == s):3} components")

# %% [markdown]
# The **power** of a shell is the mean of $|X|^2$ over its components and over the images. A component has a real and an
# imaginary part. In this course $\sigma^2$ is the power of *one* of these two, as in the lecture, so we take one half:
#
# $$\text{power}(s) = \tfrac12 \operatorname{mean}_{i,\; j \text{ in shell } s} |X_{ij}|^2$$
#
# ### ✏️ Exercise 8.1: write the power spectrum
#
# `X` has the shape (N, J), `shell` the shape (J,). Return one number for each shell. `np.bincount(shell, values)` adds up
# `values` (J,) shell by shell; `np.bincount(shell)` counts the components of each shell.

# %%
def power_spectrum(X, shell):
    ...  # your code
    ### BEGIN SOLUTION
    power = np.mean(np.abs(X) ** 2, axis=0) / 2
    return np.bincount(shell, power) / np.bincount(shell)
    ### END SOLUTION

check("8.1", power_spectrum)

# %%
power_spectrum = carry_on("8.1")

# %% [markdown]
# We simulated these images, so we also know the noise and the signal apart from one another.
#
# **Predict.** The images hold signal and noise. Will the power of the images lie close to that of the signal, or to that of
# the noise?

# %%
true_angles = with_coloured.truth.angles[:, 2]
signal = gather(rotate(with_coloured.specimens[0].density, true_angles).astype(np.float32), parts)
curves = {"noise, as it was put in": with_coloured.sigma2, "images": power_spectrum(X, shell),
          "signal": power_spectrum(signal, shell),
          "white noise of the same variance": with_white.sigma2}
show(power_curves(frequencies, curves, truth="noise, as it was put in"))

# %%
for s in (1, 2, 3, 5, 7, 10, 19):
    ratio = curves["signal"][s] / curves["noise, as it was put in"][s]
    print(f"{n * pixel_size / s:5.0f} Å: signal / noise = {ratio:.2f}")

# %% [markdown]
# **Explain.** Nearly everything in these images is noise, so the power of the images is almost the power of the noise.
# (That is how programs get their first guess: they measure the images.) From 256 Å to 13 Å the noise falls by a factor of
# nearly two hundred. The signal falls too, but not in the same way, so their *ratio* goes up and down. It is best at 51 to
# 37 Å, and in the coarsest shell of all, where the whole particle is a single wave. Between them the waves drown in clouds,
# and the finest waves have next to no signal left.
#
# White noise is a flat line. If a pixel has the variance 1, it lies at $n^2/2 = 800$: NumPy's Fourier transform adds up
# $n^2$ pixels, and the real part has half of the power.

# %% [markdown]
# ## 2. The likelihood of coloured noise
#
# The lecture assumes that the noise is independent in all Fourier components, and Gaussian, with a power of its own for
# each resolution:
#
# $$P(X_i \mid \varphi, \Theta) = \prod_{j=1}^{J} \frac{1}{2\pi\sigma_j^2}
#   \exp\!\left( -\frac{|X_{ij} - \mathrm{CTF}_{ij} (\mathbf{P}_\varphi V)_j|^2}{2\sigma_j^2} \right)$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $X_{ij}$ | component $j$ of image $i$, a complex number | `X[i, j]` |
# | $\mathbf{P}_\varphi V$ | what the model predicts for orientation φ: in 2D the reference, turned: $A_\varphi$ | `A`, one row for each rotation |
# | $\mathrm{CTF}_{ij}$ | what the microscope does to component $j$ (lesson 7) | 1 here: these images have no CTF |
# | $\sigma_j^2$ | noise power of component $j$; the same for all $j$ of one shell | `sigma2[j]` |
# | $\Theta$ | the model: $V$ and all the $\sigma_j^2$ | |
#
# Compare it with lesson 3. There, all pixels shared one σ. Here each *shell* has its own. **A mismatch is measured by the
# noise of its own shell**: a large mismatch in a noisy shell is nothing unusual, a small one in a quiet shell is.
#
# ### ✏️ Exercise 8.2: which rotation is likelier?
#
# For one image, the mismatch $|X - A|^2$ has been added up in two shells, for two rotations. How many times likelier is
# rotation a than rotation b?
#
# | | shell 2, $\sigma^2 = 60$ | shell 10, $\sigma^2 = 1$ | sum |
# |---|---|---|---|
# | rotation a | 240 | 6 | 246 |
# | rotation b | 200 | 12 | 212 |

# %%
odds = ...  # your code
### BEGIN SOLUTION
odds = np.exp(-(240 / (2 * 60) + 6 / 2)) / np.exp(-(200 / (2 * 60) + 12 / 2))
### END SOLUTION

check("8.2", odds)

# %% [markdown]
# ### The score
#
# Take the logarithm and multiply out the square, as in lesson 3. What is left, less a constant of the image, is
#
# $$\text{score}_{i\varphi} = \sum_j \frac{\mathrm{Re}\, X_{ij} (A_\varphi)_j^*}{\sigma_j^2}
#   - \frac12 \sum_j \frac{|(A_\varphi)_j|^2}{\sigma_j^2}$$
#
# The star is the complex conjugate, `np.conj`. The first sum is the CCF again, with a weight $1/\sigma_j^2$ for each
# component.
#
# ### ✏️ Exercise 8.3: write the score
#
# `X` is (N, J), `A` is (R, J), `sigma2` is (J,). Return (N, R).

# %%
def log_scores(X, A, sigma2):
    ...  # your code
    ### BEGIN SOLUTION
    ccf = np.real((X / sigma2) @ np.conj(A).T)
    energy = np.sum(np.abs(A) ** 2 / sigma2, axis=1)
    return ccf - 0.5 * energy
    ### END SOLUTION

check("8.3", log_scores)

# %%
log_scores = carry_on("8.3")

# %% [markdown]
# ## 3. Right and wrong colour
#
# Now to the images with coloured noise, at SNR 0.03. They are scored twice against the true particle: once with the true
# noise spectrum, and once as if the noise were white, with the same total power. Everything else is the same.
#
# We ask two questions. How many images end within 10° of their true rotation? And what does Γ *claim*?
#
# **Predict** both numbers for both noise models.

# %%
experiment = simulate(protein, 600, seed=4, snr=0.03, noise=uneven, progress=False)
true_angles = experiment.truth.angles[:, 2]
angles = np.arange(0, 360, 5.0)                                # R = 72 rotations
X = gather(experiment.particles.images, parts)[:, shell > 0]   # shell 0, the mean, says nothing
A = gather(rotate(experiment.specimens[0].density, angles).astype(np.float32), parts)[:, shell > 0]
flat = np.full(n // 2 + 1, n**2 / 2 * experiment.particles.images.var())  # white, the same variance


def distance(a, b):
    return np.abs((a - b + 180) % 360 - 180)  # of two angles in degrees


def right_and_claimed(sigma2):
    score = log_scores(X, A, sigma2[shell[shell > 0]])
    gamma = np.exp(score - score.max(axis=1, keepdims=True))
    gamma /= gamma.sum(axis=1, keepdims=True)
    best = angles[gamma.argmax(axis=1)]
    claimed = np.sum(gamma * (distance(angles, best[:, None]) <= 10), axis=1).mean()
    return np.mean(distance(best, true_angles) <= 10), claimed


for name, sigma2 in (("white", flat), ("coloured", experiment.sigma2)):
    right, claimed = right_and_claimed(sigma2)
    print(f"{name:9} noise model: within 10° are {right:.0%}, Γ claims {claimed:.0%}")
print("(numbers above: to ±1)")

# %% [markdown]
# **Explain.** The same images, the same reference, the same rotations: the coloured model gets far more of them right. And the
# white model does not know that it fails. It takes every cloud for a signal of that size, because it believes that noise in the
# coarse waves is weaker than it is. It is wrong *and* sure. The coloured model claims about as much as is right.

# %% [markdown]
# ## 4. Filters by hand
#
# Long before anybody wrote down this likelihood, people filtered their images before they aligned them:
#
# - a **low-pass** filter keeps coarse waves and removes fine ones,
# - a **high-pass** filter keeps fine waves and removes coarse ones,
# - a **band-pass** filter does both.
#
# Each has cuts, and somebody has to choose them.
#
# ### ✏️ Exercise 8.4: write a band-pass filter
#
# `resolution` (J,) is the spacing of each component in Å. Return 1.0 where it is at most `coarsest` and at least `finest`,
# and 0.0 elsewhere.

# %%
def band_pass(resolution, coarsest, finest):
    ...  # your code
    ### BEGIN SOLUTION
    keep = (resolution <= coarsest) & (resolution >= finest)
    return keep.astype(float)
    ### END SOLUTION

check("8.4", band_pass)

# %%
band_pass = carry_on("8.4")

# %% [markdown]
# The next cell tries **every** band: all pairs of a first and a last shell. The images are filtered, then aligned with the
# white noise model. (A score is a sum over the components, so the score of a band is the sum of the scores of its shells.)
#
# **Predict.** Where will the best band lie? Will it come up to the coloured noise model of section 3?

# %%
shells = np.arange(1, n // 2)
spacing = n * pixel_size / shells                               # of each shell, in Å
inside = [shell[shell > 0] == s for s in shells]
score = np.stack([log_scores(X[:, own], A[:, own], np.ones(own.sum())) for own in inside])
share = np.full((len(shells), len(shells)), np.nan)
for first in range(len(shells)):
    for last in range(first, len(shells)):
        keep = band_pass(spacing, spacing[first], spacing[last])   # 1 for each shell of the band
        best = angles[np.tensordot(keep, score, 1).argmax(axis=1)]
        share[first, last] = np.mean(distance(best, true_angles) <= 10)

learned, _ = right_and_claimed(experiment.sigma2)
show(filter_map(spacing, share, learned))

# %%
first, last = np.unravel_index(np.nanargmax(share), share.shape)
print(f"of {(~np.isnan(share)).sum()} bands, within 10° are with")
print(f"no filter:       {share[0, -1]:.0%}")
print(f"best low-pass:   {np.nanmax(share[0]):.0%}")
print(f"best high-pass:  {np.nanmax(share[:, -1]):.0%}")
print(f"best band:       {share[first, last]:.0%}")
print(f"coloured noise:  {learned:.0%}")
print("(numbers above: to ±1)")

# %% [markdown]
# **Explain.** A good filter helps a lot, because it cuts away the clouds. A low-pass filter helps little or not at all: it
# removes signal and keeps the clouds. Which band is the best depends on the noise. But no band comes near the coloured noise
# model. A band is all or nothing, and a shell at the edge of the clouds is worth something in between. And remember how the
# best band was found: by looking at the true rotations. In a real experiment nobody has those.
#
# ### At the bench
#
# Now by hand. Tab moves from control to control, the arrow keys move the sliders. 150 images are aligned again with each of
# your filters. Eight of them can be looked at. The bench begins with the one of the eight that the learned filter changes most
# clearly from wrong to right; *another image* goes on to the next. Under *the filter*, the bars are the weights. The dashed line
# is $\tau^2/\sigma^2$, the power of the signal over the power of the noise, with its highest value set to 1: what one wave
# of that shell can tell.
#
# 1. The bench begins with *no filter*. Which rotation does the image get, and which is the true one?
# 2. Choose *high-pass* and move *coarsest kept*. Watch the clouds go, and the share of aligned images rise and fall.
# 3. Choose *low-pass* and find the cut where the image looks best to you. What does the share say?
# 4. Choose *band-pass* and try to beat the best band of the map above.
# 5. Choose *learned from the data*. Which shells have the largest weights? Which have the most to tell? Look at the image after
#    this filter, and at its score. Then go on to other images.

# %%
bench = filter_bench(experiment, power_spectrum(gather(experiment.particles.images, parts), shell))
bench

# %% [markdown]
# **Explain.** The learned filter is nothing but $1/\sigma^2$. Its bars are highest at the finest waves, where the noise is
# weakest. That does not mean that the finest waves decide: they hold next to no signal, so what they add to the score is
# nearly the same for all rotations. The dashed line says what decides: $\tau^2/\sigma^2$. After this filter the
# image looks worse than before, all grain. It is made for the score, not for the eye: the reference goes through the same
# filter, and the sum over all waves finds in the grain what the eye cannot. (Section 7 has a filter for the eye.)
#
# For the bench the noise was taken from the power of the images themselves, without looking at any true rotation. That is
# crude, because the images hold a little signal too. The next section does it properly.
#
# The first image was chosen to make the point. What about all of them?

# %% tags=["hide-input"]
plain, weighed = bench.leads(0) > 0, bench.leads(LEARNED) > 0    # right without and with the filter
both, gained, lost = plain & weighed, weighed & ~plain, plain & ~weighed
say(f"""Of the {len(plain)} images, {both.sum()} (to ±2) are right with and without the learned filter,
{gained.sum()} (to ±2) only with it, {lost.sum()} (to ±2) only without it, and the others with neither.
The right weights win often, not always: noise is chance.""")

# %% [markdown]
# ## 5. The noise, learned from the images
#
# In lesson 3 the M-step estimated σ from what the references leave unexplained. Now we do the same in each shell:
#
# $$\sigma_s^2 = \tfrac12 \operatorname{mean}_{i,\; j \text{ in shell } s}
#   \sum_\varphi \Gamma_{i\varphi} \, |X_{ij} - (A_\varphi)_j|^2$$
#
# This is the equation for σ² on the last slides of the lecture (there with the CTF in front of the reference). Multiply out
# the square, $|X|^2 - 2\,\mathrm{Re}\,X^* A + |A|^2$, and no array of images × rotations × components is ever needed.
#
# ### ✏️ Exercise 8.5: write the M-step for σ²
#
# `gamma` is (N, R). Return one number for each shell, as in exercise 8.1.

# %%
def noise_spectrum(X, A, gamma, shell):
    ...  # your code
    ### BEGIN SOLUTION
    cross = np.real(np.conj(X) * (gamma @ A))
    residual = np.abs(X) ** 2 - 2 * cross + gamma @ np.abs(A) ** 2
    return np.bincount(shell, residual.mean(axis=0) / 2) / np.bincount(shell)
    ### END SOLUTION

check("8.5", noise_spectrum)

# %% [markdown]
# The engine takes the same step in each of its iterations. We start it with everything wrong: a blurred reference, and white
# noise.
#
# **Predict.** How many iterations will it take until the spectrum is right? And the rotations?

# %%
from scipy.ndimage import gaussian_filter

blurred = gaussian_filter(experiment.specimens[0].density, 3).astype(np.float32)
start = replace(start_model(experiment.particles, blurred[None]), sigma2=flat[None])

found = {"true": experiment.sigma2, "start: white": flat}
for iteration in refine(experiment.particles, start, search_2d(5.0), iterations=10):
    right = np.mean(distance(iteration.posterior.angles[:, 2], true_angles) <= 10)
    off = np.abs(iteration.model.sigma2[0, 1:-1] / experiment.sigma2[1:-1] - 1).max()
    print(f"iteration {iteration.number:2}: σ² off by at most {off:4.0%}, within 10° are {right:.0%}")
    if iteration.number == 1:
        found["after iteration 1"] = iteration.model.sigma2[0]
print("(numbers above: to ±2)")

show(power_curves(frequencies[:-1], {name: curve[:-1] for name, curve in found.items()}, truth="true"))

# %% [markdown]
# **Explain.** The spectrum is nearly right after one iteration: whatever the rotations, nearly all the power of the images
# *is* noise. The rotations need longer. They get better as the reference sharpens, and the reference sharpens because the clouds
# no longer count. Nobody chose a cut.

# %% [markdown]
# ## 6. The same images, classified twice
#
# Flat particles often lie on the support in two ways: face up or face down. In projection, the second is the mirror image
# of the first, and no rotation in the plane takes one to the other. So there are two classes.
#
# We mix 1,000 images of both and classify them, with the rotations unknown. Each class starts from the average of a random
# half of the images, as in lesson 4. First the noise model is held white, then it is learned. Three random starts each.
#
# **Predict.** Chance alone would put half of the images in the right class. What will the two models reach?

# %%
back = Specimen(np.roll(protein.density[:, ::-1], 1, axis=1).copy(), pixel_size, "face down")
mixed = simulate([protein, back], 1000, seed=4, snr=0.1, noise=uneven, progress=False)
particles, flat = mixed.particles, np.full((1, n // 2 + 1), n**2 / 2 * mixed.particles.images.var())

averages = {}
for seed in (1, 2, 3):
    seeds = np.stack([mean_image(particles, rows) for rows in random_subsets(1000, 2, seed)])
    start = replace(start_model(particles, seeds), sigma2=flat)
    for name, fixed in (("white", {"sigma2"}), ("learned", set())):
        *_, iteration = refine(particles, start, search_2d(7.5), iterations=15, fixed=fixed,
                               perturb_seed=seed)
        same = np.mean(iteration.posterior.classes == mixed.truth.classes)
        claimed = iteration.posterior.class_probability.max(axis=1).mean()
        averages[name, seed] = iteration.model.maps
        print(f"start {seed}, noise {name:8} right class {max(same, 1 - same):4.0%}, "
              f"Γ claims {claimed:.0%}")
print("(numbers above: to ±2)")

# %%
truth = [specimen.density for specimen in mixed.specimens]
rows = [truth, averages["white", 1], averages["learned", 1]]
show(image_grid(rows, rows=["truth", "noise held white", "noise learned"], pixel_size=pixel_size,
                columns=["class 1", "class 2"], size=1.7,
                alt="White noise: two clouds. Noise learned: the particle and its mirror."))

# %% [markdown]
# **Explain.** The white model classifies *clouds*. It stays near chance level, and is certain. The learned one separates the two
# faces, from each start. (The averages as a whole are turned by an angle of their own: nothing says which way is up.)
#
# This is the message of the coloured noise model in one picture: it is no detail for experts. Without it, the largest
# structured thing in the images, which is often not the particle, decides.

# %% [markdown]
# ## 7. 'Optimal' filtering
#
# So far filters were for *alignment*. What if we want to *look* at an image? Then the question is: by what should each shell
# be multiplied, so that the result is as close to the signal as possible? Call the power of signal and noise in a shell
# $\tau^2$ and $\sigma^2$. The smallest mean squared error comes from
#
# $$w = \frac{\tau^2}{\tau^2 + \sigma^2} = \frac{\mathrm{SNR}}{1 + \mathrm{SNR}}$$
#
# with the SNR of this shell. The factor $w$ is 1 where all is signal, 0 where all is noise, and there is no cut to choose.
# The power of the *images* is $\tau^2 + \sigma^2$, which you can measure (exercise 8.1). $\sigma^2$ was learned. So
# $\tau^2$ is what is left.
#
# ### ✏️ Exercise 8.6: write the 'optimal' filter
#
# `total` and `noise` are the powers of the images and of the noise, one number for each shell. Return $w$, also one number
# for each shell. Take care: where there is no signal, `total` may by chance be a little smaller than `noise`.

# %%
def optimal_filter(total, noise):
    ...  # your code
    ### BEGIN SOLUTION
    return np.maximum(total - noise, 0) / total
    ### END SOLUTION

check("8.6", optimal_filter)

# %%
optimal_filter = carry_on("8.6")

# %% [markdown]
# To have something to look at, we take the 600 images of section 1 at SNR 2, with coloured noise, and filter them with it, and
# with all low-pass, high-pass and band-pass filters. For each filter we measure the mean squared error against the signal, as a share of the signal's own
# power. 100 % means: no better than an empty image.
#
# **Predict.** How much better than the best band will the learned filter be?

# %%
strong = bright["coloured"]
X = gather(strong.particles.images, parts)
true_angles = strong.truth.angles[:, 2]
signal = gather(rotate(strong.specimens[0].density, true_angles).astype(np.float32), parts)

start = start_model(strong.particles, blurred[None])
*_, iteration = refine(strong.particles, start, search_2d(5.0), iterations=10)
last = shell.max()
w = optimal_filter(power_spectrum(X, shell), iteration.model.sigma2[0, : last + 1])
w[0] = 0  # the mean of an image says nothing


def error(weights):
    missed = np.abs(weights[shell] * X - signal)[:, shell > 0] ** 2
    return missed.sum() / np.sum(np.abs(signal[:, shell > 0]) ** 2)


def band(first, final):
    return ((np.arange(last + 1) >= first) & (np.arange(last + 1) <= final)).astype(float)


tried = {"no filter": [band(1, last)], "best low-pass": [band(1, b) for b in range(1, last)],
         "best high-pass": [band(a, last) for a in range(2, last + 1)],
         "best band": [band(a, b) for a in range(1, last + 1) for b in range(a, last + 1)],
         "optimal": [w]}
chosen = {name: min(filters, key=error) for name, filters in tried.items()}
for name, weights in chosen.items():
    print(f"{name:15} error {error(weights):5.0%}")
print("(numbers above: to ±1)")

# %%
from cryoedu.geometry.fourier import scatter

pictures = {"signal": signal[:4], "image": X[:4]}
for name in ("best low-pass", "best high-pass", "optimal"):
    pictures[name] = chosen[name][shell] * X[:4]
grid = np.stack([scatter(values, parts) for values in pictures.values()], axis=1)
show(image_grid(grid, columns=list(pictures), pixel_size=pixel_size, size=1.35,
                alt="The optimal filter shows most of the particle; the others clouds, or only edges."))

# %%
for s in (1, 3, 5, 8, 12, 19):
    print(f"{n * pixel_size / s:5.0f} Å: weight {w[s]:.2f}")

# %% [markdown]
# **Explain.** The best low-pass filter removes some of the error. The best high-pass filter throws out most of the signal with
# the clouds. The optimal filter beats the best of all bands, though it was never shown the truth: it turns the clouds *down*
# instead of cutting them away. Its weights are below one everywhere, because even at SNR 2 every shell of a single image holds
# much noise. It takes the average of many images to bring the weights up to one, and then this same filter becomes the
# **Wiener filter** of lesson 9.

# %% tags=["hide-input"]
ratio = error(chosen["optimal"]) / error(chosen["best band"])
say(f"The error of the optimal filter is {ratio:.0%} (to ±2) of that of the best band.")

# %% [markdown]
# ## Summary
#
# - **White noise** has the same power in all shells. Real noise is **coloured**: its power depends on the resolution.
# - In Fourier space the noise of different components is independent, so the likelihood is a product over components, each
#   with the σ² of its shell: the **resolution-dependent noise model**.
# - In the score every component has the weight 1/σ². What is noisy counts little. A noise model that is wrong is not a
#   detail: it misleads the alignment, and makes Γ sure of what is wrong.
# - **Low-, high- and band-pass filters** may help alignment, but somebody has to choose them, and keep-or-throw-away is
#   rarely right.
# - The power of the noise is estimated in the M-step, from what the references leave unexplained. With the power of the
#   signal it gives the **'optimal' filter**, learned from the data: no user-expertise required.
#
# ### What the programs call it
#
# | program | the noise model |
# |---|---|
# | RELION | `rlnSigma2Noise`, a spectrum for each optics group, re-estimated in every iteration; its first guess is the power of the images |
# | cryoSPARC | the parameter *Noise model* of its refinements: white, symmetric (by shell, as here) or coloured |
# | SIMPLE | `objfun=euclid`, with noise power by shell |
# | XMIPP | `xmipp_ml_align2d` has white noise in real space; `xmipp_mlf_align2d` (MLF) the model of this lesson |
#
# RELION divides its transforms by the number of pixels of the image, so the numbers in its files are smaller than ours by
# that number, squared.
#
# ### Further reading
#
# - S. H. W. Scheres *et al.*, *Modeling experimental image formation for likelihood-based classification of electron
#   microscopy data*, Structure 15, 1167 (2007),
#   [doi:10.1016/j.str.2007.09.003](https://doi.org/10.1016/j.str.2007.09.003): the paper that moved ML to Fourier space, with
#   coloured noise and the CTF.
# - P. A. Penczek, *Image restoration in cryo-electron microscopy*, Methods Enzymol. 482, 35 (2010),
#   [doi:10.1016/S0076-6879(10)82002-6](https://doi.org/10.1016/S0076-6879(10)82002-6): filters, from Wiener on.
# - F. J. Sigworth *et al.*, *An introduction to maximum-likelihood methods in cryo-EM*, Methods Enzymol. 482, 263 (2010),
#   [doi:10.1016/S0076-6879(10)82011-7](https://doi.org/10.1016/S0076-6879(10)82011-7).
#
# ### Where you stand

# %%
progress(8)
