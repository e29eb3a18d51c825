# %% [markdown]
# # Lesson 9: Regularised likelihood
#
# **The question.** Lesson 3 ended badly: the likelihood climbed, and the map got worse. How can more likely be more
# wrong, and what do we have to add so that it no longer happens?
#
# **After this lesson you can**
# - show overfitting, and say why a curve between two halves of the data may hide it,
# - write the Wiener filter, and name every symbol in it: CTF, σ², τ², T,
# - say what a prior does to a map, and what it costs,
# - turn the FSC of two halves into a signal-to-noise ratio, and explain where 0.143 comes from,
# - say why the "gold standard" keeps the two halves apart.
#
# **Time:** about 150 minutes; section 5 is a good place for a break. The cells themselves run in less than one.
#
# **What comes before:** lesson 3 (the PDF Γ over rotations; σ is learned from the data), lesson 7 (in Fourier space
# the CTF multiplies, and a projection is a slice) and lesson 8 (coloured noise: one σ² for each spatial frequency).
#
# **How it works.** Each section asks you to *predict*, then to *run* a cell, then *explains* what you saw. Exercises
# are marked ✏️. Replace the three dots, run the cell, and `check` tells you where you stand. `hint("9.2")` gives a
# hint, and another one if you ask again.

# %%
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from cryoedu.course import carry_on, check, hint, progress, say
from cryoedu.datasets import load
from cryoedu.figures import image_grid, show
from cryoedu.figures.regularisation import (
    plane_through_zero, rounds, shell_curves, shrinking, ssnr_maps)
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.inference import refine, start_model
from cryoedu.microscope.experiment import simulate

progress(9)

# %% [markdown]
# ## 1. One number
#
# Maximum likelihood (ML) is the best one can do *in the limit of infinitely large data sets*. But every data set is
# limited in size. Let us see what that means for a single number, such as the density at one place of a map.
#
# $$x_i = \mu + n_i$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $\mu$ | the number we want | `mu` |
# | $x_i$ | measurement number $i$ of $N$ | a row of `x` holds the $N$ of them |
# | $\sigma$ | standard deviation of the noise $n_i$ of one measurement | `sigma` |
# | $\tau$ | how large such numbers usually are: they spread around 0 with standard deviation $\tau$ | `tau` |
#
# The ML estimate is the plain mean $\bar x$. Its variance is $\sigma^2 / N$. But there is something else that we know:
# $\tau$. Densities of a map are not arbitrarily large.
#
# **Predict.** We multiply the mean by some factor $c$. Is there a factor that gives a *smaller* error than $c = 1$? If
# so, does it depend on $N$?

# %%
rng = np.random.default_rng(1)
sigma, tau = 2.0, 1.0
mu = tau * rng.normal(size=1000)                                  # 1,000 numbers to be found …
x = {N: mu[:, None] + sigma * rng.normal(size=(1000, N)) for N in (1, 4, 16, 64)}  # … measured N times

factors = np.linspace(0, 1.2, 61)
errors = {N: [np.mean((c * x[N].mean(axis=1) - mu) ** 2) for c in factors] for N in x}
ssnr_of_mean = {N: tau**2 / (sigma**2 / N) for N in x}
show(shrinking(factors, errors, {N: s / (1 + s) for N, s in ssnr_of_mean.items()}))

# %% [markdown]
# **Explain.** With 64 measurements the plain mean is nearly the best. With four it is far from it: half of the mean is
# much better than all of it. And one measurement with so much noise is hardly worth anything: keep a fifth.
#
# The stars show what theory says. Call the ratio of the two variances the **SSNR**, the signal-to-noise ratio of the
# mean. The best factor is its share:
#
# $$\mathrm{SSNR} = \frac{\tau^2}{\sigma^2 / N}, \qquad
#   \hat\mu = \frac{\mathrm{SSNR}}{1 + \mathrm{SSNR}} \; \bar x$$
#
# For many measurements the SSNR grows without limit, the factor goes to 1, and we are back at ML. That is the limit in
# which ML is the best one can do.
#
# ### ✏️ Exercise 9.1: the shrunken mean
#
# `x` has the shape (R, N): $N$ measurements of each of $R$ numbers. Return the $R$ shrunken means.

# %%
def shrunken(x, sigma, tau):
    ...  # your code
    ### BEGIN SOLUTION
    ssnr = tau**2 / (sigma**2 / x.shape[1])
    return x.mean(axis=1) * ssnr / (1 + ssnr)
    ### END SOLUTION

check("9.1", shrunken)

# %% [markdown]
# **Predict.** What if we are wrong about τ? Is it worse to think that τ is ten times too small, or ten times too
# large?

# %%
shrunken = carry_on("9.1")

print("mean squared error   plain mean   shrunken   with τ/10   with 10 τ")
for N in x:
    guesses = (x[N].mean(axis=1), *(shrunken(x[N], sigma, t) for t in (tau, tau / 10, 10 * tau)))
    plain, best, small, large = (np.mean((guess - mu) ** 2) for guess in guesses)
    print(f"N = {N:2} {plain:24.2f} {best:10.2f} {small:11.2f} {large:11.2f}")

# %% [markdown]
# **Explain.** The shrunken mean is never worse. It is a little wrong on purpose, because it is pulled towards 0, but
# it has lost more noise than signal. If we think that τ is ten times *too small*, we do not believe our data: nearly
# everything is thrown away. If we think that τ is ten times *too large*, we are nearly back at ML. Which of the two is
# worse depends on the data: with one measurement the large τ, with 16 or more the small one. So a prior can do damage.
# Keep this in mind for the factor T of section 5.

# %% [markdown]
# ## 2. The bad news
#
# *The experimental data alone are not enough to determine a unique solution.* Let us see it happen. We take the
# particle of lesson 3: 300 images of 32 × 32 pixels at SNR 0.03, turned and shifted, and start from a blurred copy.
# The engine's `refine` does what you wrote in lesson 3, in Fourier space. `tau2_fudge=None` means: no prior.

# %%
protein = load("protein2d", box=32)
pixel_size, box = protein.pixel_size, 32
length = box * pixel_size                                          # side of the box in Å

experiment = simulate(protein, 300, seed=9, snr=0.03, shift_sigma=6, progress=False)
particles, truth = experiment.particles, experiment.specimens[0].density
start = gaussian_filter(truth, 3).astype(np.float32)               # blurred over 3 pixels (24 Å)
search = search_2d(7.5, shift_range=2 * pixel_size, shift_step=pixel_size)


def run(T):
    return list(refine(particles, start_model(particles, start[None]), search, iterations=20,
                       tau2_fudge=T, fixed={"offset_sigma"}, memory="64 MB"))


def likeness(V):
    return np.corrcoef(V.ravel(), truth.ravel())[0, 1]


def contrast(V):
    return np.linalg.norm(V) / np.linalg.norm(truth)

# %% [markdown]
# **Predict.** Twenty iterations. Will the likelihood climb all the way? Will the average look more and more like the
# truth?

# %%
no_prior = run(None)

gains, alike = {}, {}
gains["no prior"] = [turn.log_likelihood - no_prior[0].log_likelihood for turn in no_prior]
alike["no prior"] = [likeness(turn.model.maps[0]) for turn in no_prior]
show(rounds(gains, alike))

# %%
V5, V20 = no_prior[4].model.maps[0], no_prior[19].model.maps[0]
top = truth.max()
show(image_grid([truth / top, start / top, V5 / top, V20 / top], size=1.9, limits=(-0.5, 1.2),
                columns=["truth", "start", "5 iterations", "20 iterations"],
                shared_scale="relative density", pixel_size=pixel_size,
                alt="After 20 iterations the average is strong, sharp and full of grain."))

# %%
def log_likelihood(V):
    model = replace(no_prior[19].model, maps=V[None])              # the same noise σ² for all
    return next(refine(particles, model, search, iterations=1, memory="64 MB")).log_likelihood


best = log_likelihood(V20)
for name, V in {"truth": truth, "5 iterations": V5, "20 iterations": V20}.items():
    print(f"{name:14} correlation with the truth {likeness(V):.2f}   contrast {contrast(V):.2f}   "
          f"log L {round(log_likelihood(V) - best, -1):5.0f} (to ±20) from the best")

rises = np.sum(np.diff(gains["no prior"]) > 0)
print(f"\nlog L rises in {rises} of {len(no_prior) - 1} steps")

# %% tags=["hide-input"]
course, climbs = alike["no prior"], "every step" if rises == 19 else f"{rises} of 19 steps"
say(f"""The likelihood climbs in {climbs}. The average is closest to the truth after
{np.argmax(course) + 1} (to ±1) iterations, with a correlation of {max(course):.2f} (to ±0.01),
and then it drifts away, to {course[-1]:.2f} (to ±0.02).""")

# %% [markdown]
# **Explain.** What is new in the later averages is *grain*: it explains the noise of these 300 images. Look at the last
# column: **the true particle describes the data worse than our wrong map does.** This is overfitting. There is nothing
# wrong with the likelihood, and no better optimiser would help. The question itself was wrong: with few images there are
# many noisy maps that describe the data well, and the most likely one is one of those.
#
# The danger is that the map looks *good*: sharp, strong, detailed. Somebody will interpret its details.

# %% [markdown]
# ### How to compare two maps: the FSC
#
# One number for a whole picture hides where two maps agree. The **Fourier shell correlation** (FSC; in 2D the shells
# are rings) compares them frequency by frequency:
#
# $$\mathrm{FSC}(\upsilon) = \frac{\sum_{l \in \upsilon} \mathrm{Re}\, A_l B_l^*}
#   {\sqrt{\sum_{l \in \upsilon} |A_l|^2 \; \sum_{l \in \upsilon} |B_l|^2}}$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $A_l$, $B_l$ | component $l$ of the transforms of the two maps; the star is the complex conjugate | `A`, `B` |
# | $\upsilon$ | the spatial frequency ($u$ in lessons 7 and 8); here the number of the shell, 0 in the centre | `shell` |
#
# 1 means that the two are the same up to a factor, 0 that they have nothing in common. The next cell makes the
# transforms and numbers the shells. Shell $k$ stands for a resolution of (side of the box)/$k$. The last one is
# Nyquist, two pixels; the corners beyond it are counted with it.

# %%
def to_fourier(V):
    return np.fft.fftn(np.fft.ifftshift(V))                        # the centre of the box at the origin


def to_real(F):
    return np.fft.fftshift(np.fft.ifftn(F).real)


def shell_numbers(box, ndim):
    k = np.meshgrid(*[np.fft.fftfreq(box, 1 / box)] * ndim, indexing="ij")
    radius = np.sqrt(sum(x**2 for x in k))
    return np.minimum(np.rint(radius).astype(int), box // 2)


shell = shell_numbers(box, 2)
print(shell[:4, :4], "… the corner where the frequencies begin", sep="\n")

# %% [markdown]
# ### ✏️ Exercise 9.2: write the FSC
#
# `A` and `B` are the transforms of two maps, `shell` the shell of each component: three arrays of the same shape.
# `np.bincount(shell.ravel(), values.ravel())` adds up real `values` by shell. Return one number for each shell.

# %%
def fsc(A, B, shell):
    ...  # your code
    ### BEGIN SOLUTION
    cross = np.bincount(shell.ravel(), (A * np.conj(B)).real.ravel())
    power_A = np.bincount(shell.ravel(), (np.abs(A) ** 2).ravel())
    power_B = np.bincount(shell.ravel(), (np.abs(B) ** 2).ravel())
    return cross / np.sqrt(power_A * power_B)
    ### END SOLUTION

check("9.2", fsc)

# %% [markdown]
# ### ✏️ Exercise 9.3: the resolution at a threshold
#
# A curve that falls is often summed up in one number: the resolution where it falls below a threshold. `curve` holds one
# number for each shell, and `length` is the side of the box in Å. Return, in Å, `length / k`, where `k` is the last shell
# *before* the first one that is below the threshold. If the curve never falls below, no number is known: return the
# words `"at or beyond Nyquist"`.

# %%
def resolution(curve, length, threshold):
    ...  # your code
    ### BEGIN SOLUTION
    below = np.flatnonzero(curve < threshold)
    return length / (below[0] - 1) if len(below) else "at or beyond Nyquist"
    ### END SOLUTION

check("9.3", resolution)

# %%
fsc = carry_on("9.2")
resolution = carry_on("9.3")


def words(curve, length, threshold):
    value = resolution(curve, length, threshold)
    return value if isinstance(value, str) else f"{value:.0f} Å"

# %% [markdown]
# ### A test that does not notice
#
# In real life there is no truth to compare with. So people compare two *halves* of the data: one map from the even
# images, one from the odd ones. If the halves agree, the map must be right. Or must it?
#
# We take the wrong map after 20 iterations, align both halves **against that same map**, and make an average of each.
#
# **Predict.** Up to which resolution will the two halves agree: to about 30 Å, as far as the map is right, or further?

# %%
halves = []
for first in (0, 1):
    half = particles.subset_of(np.arange(first, 300, 2))
    turn = next(refine(half, no_prior[19].model, search, iterations=1, memory="64 MB"))
    halves.append(turn.model.maps[0])

between = fsc(to_fourier(halves[0]), to_fourier(halves[1]), shell)
against_truth = fsc(to_fourier(V20), to_fourier(truth), shell)
show(shell_curves(length, {"between the two halves": between, "map against the truth": against_truth},
                  ylabel="FSC", levels={"0.5": 0.5, "0.143": 0.143},
                  alt="The halves agree everywhere; the truth is lost on the way."))

# %%
print("the halves agree to (FSC 0.143):    ", words(between, length, 0.143))
print("the map is right to (FSC 0.5):      ", words(against_truth, length, 0.5))

# %% [markdown]
# **Explain.** The two halves agree much further than the map is right: beyond, they agree on noise. They were both aligned
# against the same map. Each image was put where its noise fits the grain of this map, so the grain comes back in both
# halves. The halves were never independent, and the FSC cannot know. (Why 0.143 for halves and 0.5 for the truth?
# Section 7.)
#
# Scheres and Chen (2012) showed this with simulated images of GroEL: the reported resolution was 4.6 Å, the true one
# 7.8 Å.

# %% [markdown]
# ## 3. The good news
#
# *By incorporating external information, a different problem is solved, one for which a unique solution does exist.*
# This is called **regularisation**. You did it in section 1: the external information was τ. People who low-pass
# filter a map do it too: they say that there is no signal beyond some frequency. The question is which filter, and who
# chooses it.
#
# Bayes says how to combine what the data say with what we knew before:
#
# $$\underbrace{P(\Theta \mid X)}_{\text{posterior}} =
#   \frac{\overbrace{P(X \mid \Theta)}^{\text{likelihood}} \; \overbrace{P(\Theta)}^{\text{prior}}}
#        {\underbrace{P(X)}_{\text{evidence}}}$$
#
# The evidence does not depend on the model Θ. So instead of the likelihood we maximise **likelihood × prior**.
#
# **The likelihood** is that of lesson 8. The noise is Gaussian and independent in Fourier space, with a power
# $\sigma^2(\upsilon)$ for each frequency: coloured noise.
#
# $$P(X_i \mid k, \varphi, \Theta) = \prod_{j=1}^{J} \frac{1}{2\pi\sigma_{ij}^2}
#   \exp\!\left( \frac{\lVert X_{ij} - \mathrm{CTF}_{ij} (\mathbf{P}_\varphi V_k)_j \rVert^2}{-2\sigma_{ij}^2} \right)$$
#
# **The prior** is new. The *signal* is Gaussian and independent in Fourier space too, with a limited power
# $\tau^2(\upsilon)$. Power that is limited at high frequency means: no sharp grain, **smoothness in real space**.
#
# $$P(\Theta) = \prod_l \frac{1}{2\pi\tau_{kl}^2} \exp\!\left( \frac{\lVert V_{kl} \rVert^2}{-2\tau_{kl}^2} \right)$$
#
# | symbol | meaning |
# |---|---|
# | $X_{ij}$, $\mathrm{CTF}_{ij}$ | component $j$ of the transform of image $i$, and the CTF there |
# | $V_{kl}$ | component $l$ of the transform of map $k$; $V$ if there is only one map |
# | $\mathbf{P}_\varphi$ | takes the slice of the map that a particle in orientation $\varphi$ shows |
# | $\sigma^2_{ij}$ | power of the noise: the variance of the real part of a component, and of its imaginary part |
# | $\tau^2_{kl}$ | power of the signal, likewise of one part |
#
# ### The best map, in three lines
#
# Which $V$ makes likelihood × prior as large as it can be? Say that all orientations are known, and that each image has been
# put back into its slice ($\mathbf{P}_\varphi^{T} X_i$ in the lecture). Then every component of $V$ can be looked at alone.
#
# **1. Take the logarithm, and change its sign.** A product becomes a sum, and of each Gaussian only the exponent depends on
# $V$. As large as it can be is now as *small* as it can be:
#
# $$E(V) = \sum_i \frac{|X_i - \mathrm{CTF}_i V|^2}{2\sigma_i^2} + \frac{|V|^2}{2\tau^2} + \text{a constant}$$
#
# **2. Set the slope to zero.** A sum of squares is a bowl: it has one lowest point, and only there it is flat. The slope of
# $|X_i - \mathrm{CTF}_i V|^2$ is $-2\, \mathrm{CTF}_i (X_i - \mathrm{CTF}_i V)$, that of $|V|^2$ is $2V$. (The CTF is a
# real number, so this holds for the real and the imaginary part of $V$ alike.) The twos cancel:
#
# $$0 = -\sum_i \frac{\mathrm{CTF}_i \, (X_i - \mathrm{CTF}_i V)}{\sigma_i^2} + \frac{V}{\tau^2}$$
#
# **3. Solve for $V$.** It is the same for all images, so it can be taken out of the sum: $\sum_i \mathrm{CTF}_i X_i /
# \sigma_i^2 = V \left( \sum_i \mathrm{CTF}_i^2 / \sigma_i^2 + 1/\tau^2 \right)$. Divide by the bracket:
#
# $$V = \frac{\sum_i \mathrm{CTF}_i \, X_i / \sigma_i^2}
#            {\sum_i \mathrm{CTF}_i^2 / \sigma_i^2 \; + \; 1 / (T\, \tau^2)}$$
#
# This is the **Wiener filter**. The $T$ is not from Bayes: he says $T = 1$, but programs let the user multiply τ² by it
# (section 5). Compare the quotient with section 1: for $\mathrm{CTF} = 1$ and one σ it *is* the shrunken mean. If the
# orientations are not known, each image counts in every orientation with its probability $\Gamma_{i\varphi}$: the squares
# of line 1 get this weight, and it stays with them above and below the line.

# %% [markdown]
# ## 4. The Wiener filter
#
# To see the filter alone, we give away the poses: 100 images of one particle, all in the same orientation. Each has
# its own CTF, with a defocus from 0.8 to 2 µm, some astigmatism, and an envelope that damps the fine detail. The model
# in Fourier space is a multiplication:
#
# $$X_i = \mathrm{CTF}_i \, V + N_i$$

# %%
from cryoedu.microscope.ctf import ctf
from cryoedu.particles.particles import CTFParameters, Optics

big = load("protein2d", box=64)                                    # the same particle, 4 Å per pixel
n, big_length = 64, 64 * big.pixel_size
ring = shell_numbers(n, 2)
ky, kx = np.meshgrid(*[np.fft.fftfreq(n, big.pixel_size)] * 2, indexing="ij")


def ctfs(defocus, astigmatism, axis):                              # Å, Å, degrees; one per image
    parameters = CTFParameters.of(defocus + astigmatism / 2, defocus - astigmatism / 2, axis,
                                  phase_shift=0.0, b_factor=200.0)
    return ctf(np.hypot(kx, ky), np.degrees(np.arctan2(ky, kx)), Optics(big.pixel_size), parameters)


N = 100
rng = np.random.default_rng(4)
CTF = ctfs(rng.uniform(8000, 20000, N), rng.uniform(0, 3000, N), rng.uniform(0, 180, N))   # (N, n, n)
V_true = 1.5 * to_fourier(big.density)
noise = np.fft.fftn(rng.normal(size=(N, n, n)), axes=(1, 2))       # white: standard deviation 1
X = CTF * V_true + noise

sigma2 = np.full((n, n), n**2 / 2)                                 # the power of one part
print(f"σ² measured: {np.mean(noise.real**2):.0f} in the real parts, {np.mean(noise.imag**2):.0f} "
      f"in the imaginary parts; n²/2 = {n**2 / 2:.0f}")

# %% [markdown]
# The transform here is that of NumPy: it adds up n² pixels of noise, so that |N|² is n² on average, and half of it
# belongs to the real part. Other programs scale their transforms differently. σ² and τ² change together then, and the
# filter does not notice.
#
# ### ✏️ Exercise 9.4: write the Wiener filter
#
# `X` and `C` have the shape (N, n, n): the images and their CTFs. `sigma2` and `tau2` are (n, n). Return $V$, (n, n).

# %%
def wiener(X, C, sigma2, tau2, T):
    ...  # your code
    ### BEGIN SOLUTION
    numerator = np.sum(C * X / sigma2, axis=0)
    denominator = np.sum(C**2 / sigma2, axis=0)
    return numerator / (denominator + 1 / (T * tau2))
    ### END SOLUTION

check("9.4", wiener)

# %% [markdown]
# ### ✏️ Exercise 9.5: the power of the signal
#
# The filter wants τ², and so do we. From a map it is half of the mean of $|V|^2$ over each shell:
#
# $$\tau^2(\upsilon) = \tfrac12 \, \langle |V_l|^2 \rangle_{l \in \upsilon}$$
#
# Half, because $|V|^2$ has the power of two parts, a real and an imaginary one. `V` is the transform of a map, `shell` as
# in exercise 9.2. Return one number for each shell.

# %%
def signal_power(V, shell):
    ...  # your code
    ### BEGIN SOLUTION
    total = np.bincount(shell.ravel(), (np.abs(V) ** 2).ravel())
    return 0.5 * total / np.bincount(shell.ravel())
    ### END SOLUTION

check("9.5", signal_power)

# %% [markdown]
# We begin as section 1 did: we know τ² because we look at the truth. An infinite τ² is no prior at all.
#
# **Predict.** The map without a prior divides by Σ CTF²/σ². Where will its noise be strongest: at low or at high
# frequency?

# %%
wiener, signal_power = carry_on("9.4"), carry_on("9.5")

tau2 = signal_power(V_true, ring)[ring]                            # (n, n): each has that of its shell
V_ml = wiener(X, CTF, sigma2, np.inf, T=1)
V_map = wiener(X, CTF, sigma2, tau2, T=1)


def error(V):
    return np.linalg.norm(V - V_true) / np.linalg.norm(V_true)     # 0 perfect, 1 as bad as an empty map


pictures = {"truth": V_true, "one image": X[0], "no prior (ML)": V_ml, "Wiener filter": V_map}
height = to_real(V_true).max()
show(image_grid([to_real(F) / height for F in pictures.values()], columns=list(pictures), size=1.9,
                limits=(-0.6, 1.2), shared_scale="relative density", pixel_size=big.pixel_size,
                alt="One image shows nothing, the ML map is covered in fine grain, the Wiener map is "
                    "clean."))

# %%
print(f"error without a prior: {error(V_ml):.2f}    with the Wiener filter: {error(V_map):.2f}")

# %% [markdown]
# **Explain.** Without a prior, the fine detail drowns: at high frequency the envelope has left little signal, and
# division by a small number makes noise large. The Wiener filter corrects the CTF where it can, averages, and keeps of
# each component as much as it is worth.
#
# ### Against a cut-off
#
# The old way is a low-pass filter: everything up to some frequency stays, everything beyond is cut. The user chooses.
#
# **Predict.** Let us try *every* cut-off on the map without a prior, and look at the truth to take the best of all.
# Will it beat the Wiener filter?

# %%
cuts = np.arange(n // 2 + 1)
low_passed = [error(V_ml * (ring <= cut)) for cut in cuts]
show(shell_curves(big_length, {"low-pass filter": low_passed}, ylabel="error of the map",
                  levels={"Wiener": error(V_map)}, title="Where to cut?",
                  alt="Even at the best cut-off, the low-pass filter is above the Wiener filter."))

# %%
best = int(np.argmin(low_passed))
print(f"best low-pass: {low_passed[best]:.3f}, cut at {big_length / best:.0f} Å    "
      f"Wiener: {error(V_map):.3f}")

# %% [markdown]
# **Explain.** No cut-off is as good, not even the one that we could only find by cheating. The Wiener filter has no
# cut-off. For each component it asks: how much signal is there (τ²), how much noise is left (1/Σ CTF²/σ²)?
#
# $$\mathrm{SSNR} = \tau^2 \sum_i \mathrm{CTF}_i^2 / \sigma_i^2, \qquad
#   \text{and what remains of a component is}\quad \frac{\mathrm{SSNR}}{1 + \mathrm{SSNR}}$$
#
# ### Each component has its own
#
# A program could also use one factor for a whole shell. Let us see when that matters. The second data set has the same
# number of images, but all from **one** micrograph: they share one astigmatic CTF, with the same zeros.
#
# **Predict.** In which of the two data sets will one factor for each shell do as well as one for each component?

# %%
one = np.ones(N)
micrograph = ctfs(14000 * one, 6000 * one, 30 * one)
planes, names = [], []
for name, C in {"100 micrographs": CTF, "one micrograph": micrograph}.items():
    images = C * V_true + noise
    SSNR = tau2 * np.sum(C**2 / sigma2, axis=0)                    # (n, n): each component has its own
    mean_ssnr = np.bincount(ring.ravel(), SSNR.ravel()) / np.bincount(ring.ravel())
    by_shell = wiener(images, C, sigma2, np.inf, T=1) * (mean_ssnr / (1 + mean_ssnr))[ring]
    by_component = wiener(images, C, sigma2, tau2, T=1)
    print(f"{name:16} error with one factor for each shell {error(by_shell):5.2f}, for each component "
          f"{error(by_component):.2f}")
    planes.append(np.fft.fftshift(SSNR))
    names.append(name)

show(ssnr_maps(planes, columns=names, length=big_length,
               alt="From one micrograph, dark elliptical rings run through the plane: the zeros of its "
                   "CTF."))

# %% [markdown]
# **Explain.** With 100 different CTFs the zeros of one are filled by the others, and the SSNR hardly depends on the
# direction. With one CTF there are ellipses where nothing was ever measured. In a shell that an ellipse crosses, some
# components are good and others hold only noise, and one factor cannot serve both. The Wiener filter handles
# astigmatic CTFs and their envelopes without being told: it is all in the sum Σ CTF²/σ².

# %% [markdown]
# ## 5. Where does τ² come from? The lecture's answer, and T
#
# So far we looked at the truth. Without it, the lecture lets the data decide, and learns τ² as it learns σ²: by
# expectation maximisation. Each iteration $(n)$ computes Γ, and then
#
# $$V^{(n+1)} = \frac{\sum_i \int_\varphi \Gamma_{i\varphi}^{(n)} \mathbf{P}_\varphi^{T} \,
#   \mathrm{CTF}_i X_i / \sigma_i^{2\,(n)} \, d\varphi}
#   {\sum_i \int_\varphi \Gamma_{i\varphi}^{(n)} \mathbf{P}_\varphi^{T} \,
#   \mathrm{CTF}_i^2 / \sigma_i^{2\,(n)} \, d\varphi + 1/\tau^{2\,(n)}}$$
#
# $$\sigma_i^{2\,(n+1)} = \tfrac12 \int_\varphi \Gamma_{i\varphi}^{(n)}
#   \lVert X_i - \mathrm{CTF}_i \mathbf{P}_\varphi V^{(n)} \rVert^2 d\varphi,
#   \qquad \tau^{2\,(n+1)} = \tfrac12 \lVert V^{(n)} \rVert^2$$
#
# Our poses are known, so Γ is 1 for the true one, and σ² is known. What remains is a loop of two lines: filter with
# τ², take τ² from the filtered map.
#
# **Predict.** The filter makes the map weaker, so the next τ² is smaller, so the next filter is stronger. Where does
# it end?

# %%
SSNR = tau2 * np.sum(CTF**2 / sigma2, axis=0)
true_ssnr = np.bincount(ring.ravel(), SSNR.ravel()) / np.bincount(ring.ravel())   # of each shell
kept, learned = {}, {}
for T in (1, 2, 4):
    V = V_ml
    for _ in range(40):
        power = signal_power(V, ring) + 1e-20
        V = wiener(X, CTF, sigma2, power[ring], T)
    learned[T] = V
    kept[f"T = {T}"] = np.sqrt(power / signal_power(V_ml, ring))

show(shell_curves(big_length, kept, ylabel="share of the ML map that is kept", last=26,
                  title="τ² learned from the map itself",
                  alt="With T = 1 the curve drops to zero earliest, with T = 4 many fine shells "
                      "survive."))

# %%
ranges = {"SSNR > 3": (3, np.inf), "1 to 3": (1, 3), "< 0.1": (0, 0.1)}
print("        error   shells alive, of those with", "  ".join(f"{name:>9}" for name in ranges))
for T in (1, 2, 4):
    alive = kept[f"T = {T}"] > 0.01
    shares = [alive[(true_ssnr > low) & (true_ssnr < high)].mean() for low, high in ranges.values()]
    print(f"T = {T} {error(learned[T]):8.2f} {'':28}", "  ".join(f"{share:9.0%}" for share in shares))

# %% [markdown]
# **Explain.** Some shells hold out, others die: their τ² shrinks to nothing, round by round. Pencil and paper tell
# which. Say that a shell has signal of power $S$ and noise of power $n$ in the ML map. The loop is $\tau^2 \leftarrow
# (S + n)\,\bigl(T\tau^2 / (T\tau^2 + n)\bigr)^2$, and it stops at a τ² above zero only if
#
# $$\mathrm{SSNR} = S/n \;\ge\; 4/T - 1$$
#
# (Write $x$ for $T\tau^2$: the loop stands still where $(x + n)^2 = T (S + n)\, x$. This quadratic has a solution only
# if $T (S + n) \ge 4n$.)
#
# With $T = 1$ a shell needs an SSNR of 3, although one of SSNR 1 is half signal: the loop is *too* careful, because a
# filtered map is always weaker than the signal. With $T = 2$ the limit is 1. With $T = 4$ it is 0: even pure noise can
# keep itself alive, as some fine shells do here. So this is one reason why programs have a T: it makes up for the
# weakness of the filtered map. RELION's tutorial advises a T of 2 to 3 for 2D and of 3 to 4 for 3D classification, and
# to watch out for noise in the maps.
#
# But now somebody has to choose T. Arbitrariness is back, by the back door.

# %% [markdown]
# ### The explorer
#
# The same filter under your hands: *images* says how many of them, *SNR* how noisy they are, *T* how much the prior is
# trusted, and *τ²* where it comes from. On the right in the lower row is the error of the map over T: find its lowest
# point.
#
# 1. Start with `τ² from the truth`. Move T. **Predict** first: where is the error smallest?
# 2. Two images, SNR 1. Dark rings run through *SSNR in Fourier space*. What are they? Move *images* up to 100: which of
#    them disappear? Then go back to SNR 0.02: which one is still there?
# 3. `τ² from the map itself`, T = 1, 2, 4: watch the shells die, or noise stay alive.
# 4. `τ² the same everywhere`: a prior that knows nothing about the signal's spectrum. Which T is best now, and why is
#    the best still worse?
# 5. `τ² from the FSC of two halves` is the subject of section 7. Where is the lowest point of the error now?

# %%
from cryoedu.widgets.wiener import wiener_explorer

wiener_explorer(big, images=100, snr=0.02)

# %% [markdown]
# These are the errors that it shows where it starts, with 100 images at SNR 0.02:

# %%
numbers = wiener_explorer(big, images=100, snr=0.02)
for source, name in enumerate(numbers.sources[:4]):
    numbers.source = source
    errors = [f"{numbers.curves(T)['error']:.3f} (T = {T})" for T in (1, 2, 4, 100)]
    print(f"τ² {name:27}", "   ".join(errors))
print(f"no prior                       {numbers.curves()['error_ml']:.3f}")

# %% [markdown]
# **Explain.**
#
# - With the true τ² the error is smallest at T = 1: Bayes is right if the prior is right.
# - The outer rings are the zeros of the CTF: there neither of the two images has measured anything. They are ellipses,
#   because of the astigmatism. Every image has zeros in other places, so with 100 images the rings are filled. The small ring
#   near the centre, at 128 Å, stays. It is not the microscope's: the particle itself has little power there (see the dip
#   under *Power in each shell*), and where there is little signal, the SSNR is small.
# - τ² from the map itself needs T = 2, as section 5 said. At T = 4 the noise that stays alive makes the error larger.
# - A τ² that is the same everywhere holds back the strong coarse waves as much as the noise in the fine ones. With T up to
#   4 it is worse than no prior, and with T = 100 it does next to nothing. One number cannot replace a spectrum.
# - With τ² from two halves T = 1 is the best of the four again, without a look at the truth.

# %% [markdown]
# ## 6. The prior switched on
#
# Back to the 300 images of section 2, whose poses nobody knows, and to the loop of the lecture: `tau2_fudge=T`
# switches the prior on.
#
# **Predict.** Which T gives the best map after 20 iterations: 1, 4 or 16? Will any of them still overfit?

# %%
with_prior = {T: run(T) for T in (1, 4, 16)}
for T, turns in with_prior.items():
    gains[f"T = {T}"] = [turn.log_likelihood - turns[0].log_likelihood for turn in turns]
    alike[f"T = {T}"] = [likeness(turn.model.maps[0]) for turn in turns]

show(rounds(gains, alike))

# %%
final = {"no prior": V20, **{f"T = {T}": turns[19].model.maps[0] for T, turns in with_prior.items()}}
show(image_grid([truth / top, *(V / top for V in final.values())], size=1.75, limits=(-0.5, 1.2),
                columns=["truth", *final], shared_scale="relative density", pixel_size=pixel_size,
                alt="With a prior the background is calm; with a small T the particle is a blur."))

# %%
for name, V in final.items():
    curve = fsc(to_fourier(V), to_fourier(truth), shell)
    print(f"{name:9} correlation {likeness(V):.2f}   contrast {contrast(V):.2f}   "
          f"right to {words(curve, length, 0.5)}")

# %% tags=["hide-input"]
best = max(with_prior, key=lambda T: alike[f"T = {T}"][-1])
say(f"Of the three, T = {best} ends closest to the truth.")

# %% [markdown]
# **Explain.** The prior does what it promises: the background is calm, the contrast no longer grows beyond the truth,
# and the correlation stays close to its best value. But a small T is *too* careful here: detail that the data do hold is
# gone. (In the map without a prior it is there, under the grain: compare how far the maps are right.) Section 5 explains
# part of it. The other part is that the poses are uncertain: an average over uncertain poses is weaker still, so its τ² is
# smaller, so the reference is smoother, so the poses are less certain, and so on downwards.
#
# A T that is too small gives a blur, one that is too large lets the noise in, and nothing in this loop says which is
# which. **τ² should be the power of the signal, not that of the filtered map.** Is there a way to measure it?

# %% [markdown]
# ## 7. Two halves that never meet
#
# Split the images into two halves *before* the refinement, and let each half have its own map. The signal is the same
# in both. The noise is not, nor is the noise that a map has swallowed. So what the two maps have in common is signal.
#
# Take a shell with signal of power $S$, and noise of power $n$ in each of the two maps. On average
#
# $$F = \mathrm{FSC}_{\text{halves}} = \frac{S}{S + n} = \frac{\mathrm{SSNR}}{1 + \mathrm{SSNR}}
#   \qquad\Longrightarrow\qquad \mathrm{SSNR} = \frac{F}{1 - F}$$
#
# This is the SSNR of the map of *one half*. The map of all images has half the noise, so twice the SSNR.
#
# ### ✏️ Exercise 9.6: the SSNR from the FSC
#
# A measured FSC scatters, and may be 1 or negative. Keep it between 0.001 and 0.999 first (`np.clip`). Return the SSNR, one
# number for each shell.

# %%
def ssnr(F):
    ...  # your code
    ### BEGIN SOLUTION
    F = np.clip(F, 0.001, 0.999)
    return F / (1 - F)
    ### END SOLUTION

check("9.6", ssnr)

# %%
ssnr = carry_on("9.6")

# %% [markdown]
# ### 0.143
#
# How well does the map of all images agree with the truth? Its SSNR is $2F/(1-F)$, and the truth has no noise. So the
# correlation of the two is
#
# $$C_{\text{ref}} = \sqrt{\frac{2\,\mathrm{SSNR}}{1 + 2\,\mathrm{SSNR}}} = \sqrt{\frac{2F}{1 + F}}$$
#
# **Predict.** Which FSC between halves means a correlation of 0.5 with the truth? Put it into the formula.
#
# The next cell tests the formula on the 100 images of section 4, whose poses are known.

# %%
def expected(F):                                                   # of the map of all against the truth
    return np.sqrt(2 * np.maximum(F, 0) / (1 + np.maximum(F, 0)))


curves = []
for split in range(20):                                            # many splits: the FSC scatters less
    order = np.random.default_rng(split).permutation(N)
    a, b = (wiener(X[order[h::2]], CTF[order[h::2]], sigma2, np.inf, T=1) for h in (0, 1))
    curves.append(fsc(a, b, ring))
F = np.mean(curves, axis=0)

print(f"F = 0.143 between halves: {expected(0.143):.2f} against the truth")
show(shell_curves(big_length, {"F, between halves": F, "expected: √(2F/(1+F))": expected(F),
                               "all against the truth": fsc(V_ml, V_true, ring)}, ylabel="FSC", last=26,
                  levels={"0.5": 0.5, "0.143": 0.143},
                  alt="The expected curve follows the true one; where it passes 0.5, F passes 0.143."))

# %% [markdown]
# **Explain.** 0.143 between halves stands for 0.5 between the whole map and the truth. That is all there is to this
# famous number (Rosenthal and Henderson 2003). As far as there is signal, the true curve follows the expected one, and
# nobody had to look at the truth.
#
# ### Independent, or not
#
# Now the loop. In each round, each half is aligned and averaged without a prior. The FSC of the two averages gives the
# SSNR, and the SSNR gives the filter. There is **no T**. The only question is what the halves are aligned against:
#
# - `shared=True`: both against the filtered average of *all* images, one shared model;
# - `shared=False`: each against its *own* filtered average. The halves never meet. This is the **gold standard**.

# %%
def filtered(V, SSNR, shell):
    return to_real(to_fourier(V) * (SSNR / (1 + SSNR))[shell]).astype(np.float32)


def two_halves(particles, start, search, shared, rounds):
    shell = shell_numbers(start.shape[0], start.ndim)
    parts = [particles.subset_of(np.arange(h, len(particles), 2)) for h in (0, 1)]
    models = [start_model(part, start[None]) for part in parts]
    for _ in range(rounds):
        turns = [next(refine(part, model, search, iterations=1, fixed={"offset_sigma"}, memory="64 MB"))
                 for part, model in zip(parts, models)]
        a, b = (turn.model.maps[0] for turn in turns)              # averages without a prior
        F = fsc(to_fourier(a), to_fourier(b), shell)
        SSNR = ssnr(F)
        whole = filtered((a + b) / 2, 2 * SSNR, shell)             # the map of all images
        references = [whole, whole] if shared else [filtered(a, SSNR, shell), filtered(b, SSNR, shell)]
        models = [replace(turn.model, maps=V[None]) for turn, V in zip(turns, references)]
    return whole, F

# %% [markdown]
# **Predict.** 15 rounds on the 300 images. Which of the two ends closer to the truth? Which of the two *reports* the
# better resolution?

# %%
results = {}
for name, shared in {"one shared model": True, "independent halves": False}.items():
    results[name] = two_halves(particles, start, search, shared, rounds=15)

for name, (V, F) in results.items():
    curve = fsc(to_fourier(V), to_fourier(truth), shell)
    print(f"{name:19} reported {words(F, length, 0.143):20}  true {words(curve, length, 0.5):5}  "
          f"correlation {likeness(V):.2f}   contrast {contrast(V):.2f}")

# %%
shown = {"no prior": V20, "T = 1": final["T = 1"], **{name: V for name, (V, F) in results.items()}}
show(image_grid([truth / top, *(V / top for V in shown.values())], size=1.75, limits=(-0.5, 1.2),
                columns=["truth", *shown], shared_scale="relative density", pixel_size=pixel_size,
                alt="The map of the independent halves is calm and shows the particle; the others are "
                    "grainy or blurred."))

# %% [markdown]
# **Explain.** The same images, the same loop, the same filter. With one shared model the noise that one half has
# swallowed is offered to the other half as a reference. The FSC takes it for signal, the filter lets it pass, and
# round by round it grows. It ends with a better *reported* resolution and a worse map. With independent halves the FSC
# cannot be fooled that way, so the filter is right.

# %% tags=["hide-input"]
own = likeness(results["independent halves"][0])
say(f"""The map of the independent halves has a correlation of {own:.2f} (to ±0.01) with the truth.
The best that we saw in section 2, before the drift, had {max(course):.2f} (to ±0.01).
Here nobody had to know when to stop.""")

# %% [markdown]
#
# ### The same in three dimensions
#
# The function does not care how many dimensions there are. So here is the ribosome of lesson 1: 400 projections of 32
# × 32 pixels of 11 Å at SNR 0.05, in a coarse search of 576 orientations (30° apart), from a map blurred to 70 Å. For
# each way we turn the FSC of its halves into what it *promises*: the correlation of the whole map with the truth,
# $\sqrt{2F/(1+F)}$. Then we look.
#
# **Predict.** Which of the two keeps its promise?

# %%
from cryoedu.geometry.fourier import low_pass

ribosome = load("ribosome-80S", box=32, pixel_size=11.0)
experiment3d = simulate(ribosome, 400, seed=9, snr=0.05, progress=False)
truth3d = experiment3d.specimens[0].density
start3d = low_pass(truth3d[None], 11.0, 70.0)[0]
length3d, shell3d = 32 * 11.0, shell_numbers(32, 3)

promised = {}
for name, shared in {"one shared model": True, "independent halves": False}.items():
    V, F = two_halves(experiment3d.particles, start3d, search_3d(1), shared, rounds=8)
    true = fsc(to_fourier(V), to_fourier(truth3d), shell3d)
    promised[f"{name}: promised"], promised[f"{name}: true"] = expected(F), true
    print(f"{name:19} at {length3d / 5:.0f} Å promised {expected(F)[5]:.2f}, true {true[5]:.2f}   "
          f"correlation of the whole map {np.corrcoef(V.ravel(), truth3d.ravel())[0, 1]:.2f}")
print("(numbers above: to ±0.02)")

# %%
show(shell_curves(length3d, promised, ylabel="FSC against the truth", last=9,
                  levels={"0.5": 0.5},
                  alt="With one shared model the promise lies far above the truth; with independent "
                      "halves the two are close together down to 70 Å."))

# %% [markdown]
# **Explain.** With one shared model the halves promise detail that is not there, and the map is the worse of the
# two. The independent halves promise far less, and come far closer to keeping it. (Where there is no signal left, F
# scatters around 0, and its root makes the promise wobble.) The search is coarse, and so are both maps. The engine's `gold_standard` does this
# loop with finer and finer orientations; you will run it in lesson 10.
#
# Two things are left to know. The halves must not be independent *everywhere*: at very low resolution they share one
# map, so that both keep the same orientation; here the common start took care of that. And a **mask** around the
# particle is the same in both halves, so that it correlates them by itself. Chen *et al.* (2013) found the way out:
# replace the phases by random ones beyond some frequency. What still correlates there comes from the mask, and is
# taken off.

# %% [markdown]
# ## 8. The 3D Wiener filter
#
# In 3D each image fills one *slice* of Fourier space (lesson 7). The denominator adds up, for each place in 3D, the
# slices that pass through it, each with its CTF²/σ². Multiplied by τ² it is the SSNR, now as a function in 3D. The
# next cell computes it with the engine's own routine.

# %%
from cryoedu.geometry.euler import euler_to_matrix
from cryoedu.geometry.fourier import components, shells
from cryoedu.inference.maximisation import data_weight
from cryoedu.inference.spaces import FourierSpace
from cryoedu.microscope.ctf import ctf_components

ribosome64 = load("ribosome-80S", box=64, pixel_size=5.5)


tau2_3d = signal_power(to_fourier(ribosome64.density), shell_numbers(64, 3))
sigma2_3d = 2 * tau2_3d[8]                                         # white noise, a choice
slices = components(64)                                            # the places of a slice


def ssnr_3d(count, **options):
    poses = simulate(ribosome, count, seed=3, snr=None, progress=False, **options).truth
    weight = np.full((count, len(slices)), 1 / sigma2_3d)          # 1/σ² …
    if poses.ctf is not None:
        weight *= ctf_components(slices, Optics(5.5), poses.ctf) ** 2                 # … times CTF²
    space, rotations = FourierSpace(64, 3, 5.5, 32), euler_to_matrix(poses.angles)
    denominator = data_weight(space, rotations, weight[None].astype(np.float32))[0]   # sum of slices
    return tau2_3d[np.minimum(shells(64, 3), 32)] * denominator

# %% [markdown]
# **Predict.** Four kinds of data: particles in all orientations; particles that all lie nearly flat (seen along z);
# all orientations with one strongly astigmatic CTF; and the same with an envelope. How will a cut through their SSNR
# look?

# %%
one_ctf = {"defocus": (20000, 20000), "astigmatism": 6000}
kinds = {"all orientations": {}, "seen along z": {"preferred": 20},
         "one astigmatic\nCTF": one_ctf, "the same,\nwith envelope": {**one_ctf, "b_factor": 1000}}
cuts = [[plane_through_zero(ssnr_3d(count, **options)) for options in kinds.values()]
        for count in (10, 200)]
show(ssnr_maps(cuts, rows=["10 images", "200 images"], columns=list(kinds), length=64 * 5.5,
               axes=("x", "z"),
               alt="Ten images are single lines. Seen along z, two wide cones around the z axis stay "
                   "empty. With one CTF there are dark rings. The envelope dims the outside."))

# %% [markdown]
# **Explain.** With ten images you see the slices, edge on, as lines through the centre. Between them nothing was
# measured: no data, no SSNR, and the filter gives zero there. With 200 images the slices cover the plane, densest in
# the centre.
#
# - **Uneven orientations:** if all particles are seen along z, two wide cones around the z axis stay dark. What is
#   missing is missing; the filter does not invent it.
# - **Astigmatic CTFs:** in the images the zeros are ellipses, but each particle is turned by another angle, so in 3D
#   the ellipses blur into rings.
# - **Envelope:** it dims the outside, and the white line moves in.
#
# In all cases the filter is SSNR/(1 + SSNR), component by component. It corrects the CTF, weighs the orientations and
# low-passes, all in one division. It is as good as its τ²: from the map itself it needs a T (section 5), from independent
# halves it does not (section 7).
#
# **Predict.** Two maps from 300 images with their true poses, once from all orientations, once seen along z. Along
# which direction will the second one be blurred?

# %%
from cryoedu.inference.reconstruction import reconstruct

maps = {"truth": truth3d / truth3d.max()}
for name, preferred in {"all orientations": 0, "seen along z": 20}.items():
    known = simulate(ribosome, 300, seed=9, snr=0.2, preferred=preferred, progress=False)
    maps[name] = reconstruct(known.truth, progress=False).density / known.specimens[0].density.max()
    curve = fsc(to_fourier(maps[name]), to_fourier(truth3d), shell3d)
    print(f"{name:17} right to {words(curve, length3d, 0.5)}")

across = [V[16] for V in maps.values()]
upwards = [V[:, 16] for V in maps.values()]
show(image_grid([across, upwards], rows=["x and y", "x and z"], columns=list(maps), size=1.9,
                shared_scale="relative density", limits=(-0.2, 1.0), pixel_size=11.0,
                alt="Seen along z, the cut in x and y shows the particle, the one in x and z is "
                    "smeared upwards."))

# %% [markdown]
# **Explain.** Across (x and y) both maps show the particle. Upwards (z) the second one is smeared out, where the cones
# are empty. One resolution for the whole map, averaged over the shell, does not say so. The 3D SSNR does.

# %% [markdown]
# ## Summary
#
# - **ML estimators** are the best one can do in the limit of infinitely large data sets. Data sets are limited.
# - **The bad news:** the data alone do not determine a unique solution. The most likely map may be a wrong one.
# - **The good news:** with external information there is a unique solution: **regularisation**.
# - **Posterior = likelihood × prior / evidence.** Likelihood: Gaussian noise, independent in Fourier space, with power
#   σ²(υ). Prior: Gaussian signal, independent in Fourier space, with limited power τ²(υ). That means smoothness.
# - **Expectation maximisation** finds $V$, σ² and τ² from the data. The step for $V$ is a **3D Wiener filter**: it
#   computes the SSNR(υ) as a 3D function, handles uneven orientations, astigmatic CTFs and envelopes, corrects the CTF
#   and low-passes.
# - **T** weighs data against prior. τ² from the filtered map itself needs it; τ² from two **independent halves**, SSNR
#   = FSC/(1 − FSC), does not.
# - A resolution is only as honest as its halves are independent. FSC = 0.143 between halves is 0.5 against the truth.
#
# ### What the programs call it
#
# | program | the prior | the halves |
# |---|---|---|
# | RELION | *Regularisation parameter T*, `--tau2_fudge` | `--auto_refine --split_random_halves` |
# | cryoSPARC | *Non-Uniform Refinement*: the filter differs from place to place | gold-standard FSC, GSFSC |
# | SIMPLE | `ml_reg=yes` | even and odd pairs, "e/o" |
# | XMIPP | – | `xmipp_resolution_fsc` compares two half maps |
#
# In RELION's STAR files τ² is `rlnReferenceTau2`, T is `rlnTau2FudgeFactor`, and the SSNR, averaged over shells, is
# `rlnSsnrMap`. `--low_resol_join_halves 40` is what lets the halves share everything coarser than 40 Å.
#
# In RELION's classifications all images of a class share one map, and T is used. In its auto-refine the halves are
# independent, and τ² comes from their FSC, kept between 0.001 and 0.999 as in exercise 9.6.
#
# ### Further reading
#
# - S. H. W. Scheres, *A Bayesian view on cryo-EM structure determination*, J. Mol. Biol. 415, 406 (2012),
#   [doi:10.1016/j.jmb.2011.11.010](https://doi.org/10.1016/j.jmb.2011.11.010): the theory of this lesson.
# - S. H. W. Scheres, *RELION: implementation of a Bayesian approach to cryo-EM structure determination*, J. Struct.
#   Biol. 180, 519 (2012), [doi:10.1016/j.jsb.2012.09.006](https://doi.org/10.1016/j.jsb.2012.09.006): how it became a
#   program.
# - S. H. W. Scheres, S. Chen, *Prevention of overfitting in cryo-EM structure determination*, Nat. Methods 9, 853
#   (2012), [doi:10.1038/nmeth.2115](https://doi.org/10.1038/nmeth.2115): shared model and independent halves, side by
#   side.
# - P. B. Rosenthal, R. Henderson, *Optimal determination of particle orientation, absolute hand, and contrast loss in
#   single-particle electron cryomicroscopy*, J. Mol. Biol. 333, 721 (2003),
#   [doi:10.1016/j.jmb.2003.07.013](https://doi.org/10.1016/j.jmb.2003.07.013): 0.143.
# - S. Chen *et al.*, *High-resolution noise substitution to measure overfitting and validate resolution in 3D
#   structure determination by single particle electron cryomicroscopy*, Ultramicroscopy 135, 24 (2013),
#   [doi:10.1016/j.ultramic.2013.06.004](https://doi.org/10.1016/j.ultramic.2013.06.004): masks and random phases.
# - P. A. Penczek, *Image restoration in cryo-electron microscopy*, Methods Enzymol. 482, 35 (2010),
#   [doi:10.1016/S0076-6879(10)82002-6](https://doi.org/10.1016/S0076-6879(10)82002-6): Wiener filters and their
#   relatives.
# - A. Punjani, H. Zhang, D. J. Fleet, *Non-uniform refinement: adaptive regularization improves single-particle
#   cryo-EM reconstruction*, Nat. Methods 17, 1214 (2020),
#   [doi:10.1038/s41592-020-00990-8](https://doi.org/10.1038/s41592-020-00990-8): when one filter for the whole map is
#   too few.
#
# ### Where you stand

# %%
progress(9)
