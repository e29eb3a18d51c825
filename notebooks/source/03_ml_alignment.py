# %% [markdown]
# # Lesson 3: ML alignment
#
# **The question.** Each image shows the same particle, turned by an angle that nobody knows, and drowned in noise.
# Do we have to decide how each one is turned? The answer is called **maximum likelihood**, ML for short.
#
# **After this lesson you can**
# - turn the CCF of an image into a PDF (the probability of each of its rotations), and say what σ does to it,
# - write both steps of ML alignment, in a few lines each,
# - show that the likelihood climbs, and that σ is learned from the images,
# - say from which SNR on maxCC and ML part, and why maxCC invents contrast,
# - say where ML, too, comes to its limit.
#
# **Time:** about 75 minutes. The cells themselves run in less than one.
#
# **What comes before:** lesson 2, maxCC alignment. In one sentence: compare each image with a reference in all
# rotations, take the rotation with the highest cross-correlation (CCF), turn the image back, and average.
#
# **How it works.** Each section asks you to *predict*, then to *run* a cell, then *explains* what you saw.
# Your predictions are yours: write them on paper. Exercises are marked ✏️. Replace the three dots, run the cell, and
# `check` tells you where you stand. `hint("3.2")` gives a hint, and another one if you ask again.

# %%
import numpy as np

from cryoedu.course import carry_on, check, hint, progress, say
from cryoedu.datasets import load
from cryoedu.figures import ccf_and_pdf, climb, image_grid, show, tracks
from cryoedu.geometry.grids import search_2d
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference import align2d
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.realspace import rotate
from cryoedu.validation.averages import contrast, likeness
from cryoedu.widgets import ccf_pdf_boards

progress(3)

# %% [markdown]
# ## 1. The data
#
# The model of how an image comes about is that of lesson 2:
#
# $$X_i = R_{\varphi_i} V + N_i$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $X_i$ | image number $i$: the **observed data** | `images[i]` |
# | $V$ | the particle, a 2D density: the **model** | `protein.density`, scaled to the SNR |
# | $R_\varphi$ | turns the particle by the angle $\varphi$ in the image plane | `rotate(…, angle)` |
# | $\varphi_i$ | how particle $i$ is turned: the **missing data** | nobody knows |
# | $N_i$ | white noise: independent in each pixel, Gaussian, standard deviation $\sigma$ | σ = 1 here |
#
# The SNR is the variance of the signal inside the particle's circle, divided by the variance of the noise.
#
# **Predict.** The next cell shows the same four particles at SNR 1, 0.1 and 0.01. In which rows will you see how they
# are turned?

# %%
protein = load("protein2d", box=40)
snrs = (1, 0.1, 0.01)
experiments = {snr: simulate(protein, 500, seed=4, snr=snr, progress=False) for snr in snrs}

rows = [np.stack([protein.density, *experiments[snr].particles.images[:4]]) for snr in snrs]
show(image_grid(rows, rows=[f"SNR {snr}" for snr in snrs], columns=["the particle", *"1234"],
                pixel_size=protein.pixel_size,
                alt="At SNR 1 four turned particles, at 0.1 hints of them, at 0.01 nothing but grain."))

# %% [markdown]
# **Explain.** At SNR 1 you see it, at 0.1 you guess, at 0.01 there is nothing to see. Cryo-EM images live in the lower
# two rows. All three rows hold the same particles in the same rotations: they only differ in how strong the noise is.

# %% [markdown]
# ## 2. Option 1: choose. The CCF
#
# As in lesson 2, maxCC compares an image $X$ with the reference $A_\varphi = R_\varphi V$ in every rotation. The sum runs
# over the pixels $j$:
#
# $$\mathrm{CCF}(\varphi) = \sum_j X_j \, (A_\varphi)_j$$
#
# and it keeps the rotation with the highest value. In the words of the lecture: the hidden data $Y$ (the rotations)
# are *added to the model*, and we look for the best of everything at once, $L(Y, \Theta) = P(X \mid Y, \Theta)$.
# $\Theta$ is the model: the reference $V$ and the noise $\sigma$.
#
# **Predict.** For the second particle of the picture, will the highest CCF point to the true rotation at all three SNRs?

# %%
angles = np.arange(0, 360, 5.0)  # R = 72 rotations
particle = 1

ccf = {}
for snr in snrs:
    X = experiments[snr].particles.images[particle]
    A = rotate(experiments[snr].specimens[0].density, angles)  # the reference turned: (R, n, n)
    ccf[snr] = np.sum(X * A, axis=(1, 2))

true_angle = experiments[1].truth.angles[particle, 2] % 360
for snr in snrs:
    best = angles[ccf[snr].argmax()]
    print(f"SNR {snr:<5} highest CCF at {best:3.0f}°   true rotation {true_angle:3.0f}°")

# %% [markdown]
# **Explain.** There is always a highest value, even where it means nothing. The CCF does not say how sure it is. So
# maxCC puts a particle into its average with the same confidence whether it was sure or only guessing.

# %% [markdown]
# ## 3. Option 2: keep all. The PDF
#
# The noise is Gaussian, so we know how probable an image is if its rotation is $\varphi$. It is a product over the
# pixels:
#
# $$P(X \mid \varphi, \Theta) = \prod_j \frac{1}{\sqrt{2\pi}\,\sigma}
#   \exp\!\left( -\frac{(X_j - (A_\varphi)_j)^2}{2\sigma^2} \right)$$
#
# Take the logarithm and multiply out the square. Everything that does not depend on $\varphi$ is a constant of the image:
#
# $$\log P(X \mid \varphi, \Theta) = \frac{\mathrm{CCF}(\varphi) - \tfrac12 |A_\varphi|^2}{\sigma^2} + \text{constant}$$
#
# **The CCF has been inside all the time.** $|A_\varphi|^2 = \sum_j (A_\varphi)_j^2$, the energy of the reference, hardly
# changes when it turns. So the probability goes as the *exponential of the CCF, divided by $\sigma^2$*. The CCF ranks the
# rotations. Only with $\sigma$ do we learn by how much the first is better than the second.
#
# ### ✏️ Exercise 3.1: how many times likelier?
#
# For some image, the CCF is 31 at 90° and 26 at 95°. The noise has σ = 2. How many times likelier is 90° than 95°?

# %%
odds = ...  # your code
### BEGIN SOLUTION
odds = np.exp((31 - 26) / 2**2)
### END SOLUTION

check("3.1", odds)

# %% [markdown]
# ### Bayes turns it round
#
# $P(X \mid \varphi, \Theta)$ is the probability of the *image*, given the rotation. We want the probability of the
# *rotation*, given the image. That is the rule of Bayes:
#
# $$\Gamma_{i\varphi} = \frac{P(X_i \mid \varphi, \Theta)\, P(\varphi \mid \Theta)}
#   {\sum_{\varphi'} P(X_i \mid \varphi', \Theta)\, P(\varphi' \mid \Theta)}$$
#
# $P(\varphi \mid \Theta)$ is what we know before we look: here all $R$ rotations are equally likely, $1/R$, so it cancels.
# $\Gamma_{i\varphi}$ is what we know after: one number for each image and rotation, and those of one image add up to 1. As a
# function of $\varphi$ it is the **PDF** (probability density function) that the lecturer draws on the board. To compute it
# is the **E-step** (E for expectation).
#
# ### ✏️ Exercise 3.2: write the E-step
#
# `images` has the shape (N, n, n), `references` (R, n, n). Return Γ with the shape (N, R). Two lines are there already.

# %%
def posterior(images, references, sigma):
    ccf = np.tensordot(images, references, axes=([1, 2], [1, 2]))          # (N, R)
    score = (ccf - 0.5 * np.sum(references**2, axis=(1, 2))) / sigma**2    # log P(X|φ,Θ) + constant
    ...  # your code
    ### BEGIN SOLUTION
    gamma = np.exp(score - score.max(axis=1, keepdims=True))
    return gamma / gamma.sum(axis=1, keepdims=True)
    ### END SOLUTION

check("3.2", posterior)

# %%
posterior = carry_on("3.2")

# %% [markdown]
# Now the two boards of the lecture side by side: the CCF of section 2, and what becomes of it.
#
# **Predict.** How will the PDF look at SNR 1? At 0.01?

# %%
gamma = {}
for snr in snrs:
    A = rotate(experiments[snr].specimens[0].density, angles)
    gamma[snr] = posterior(experiments[snr].particles.images, A, sigma=1.0)

show(ccf_and_pdf(angles, [ccf[s] for s in snrs], [gamma[s][particle] for s in snrs],
                 labels=[f"SNR {s}" for s in snrs], truth=true_angle))

# %% [markdown]
# **Explain.** At SNR 1 and 0.1 this image leaves hardly any doubt: at least 0.97 of the probability is on one rotation,
# and ML does what maxCC does. At SNR 0.01 two groups of rotations share it, one around the true rotation and one far from
# it. The winner of the CCF is the wrong one. The PDF keeps the true one in play.

# %% [markdown]
# ### At the board
#
# The next cell gives you the chalk. The particle is on the left above, the reference that you turn below it. Every
# control works with the mouse and with the arrow keys (Tab moves on to the next one). ▼ is the true rotation. (The CCF is
# drawn as a *correlation* here: divided by the lengths of both pictures, so that 1 would be a perfect match.)
#
# 1. Start at SNR 0.1 and turn the reference over the peak. Watch CCF and PDF together.
# 2. **Predict**, then try: what happens to the CCF when you make σ three times larger? And to the PDF?
# 3. Make σ three times *smaller*. Who is overconfident now? (`another particle` shows more cases.)
# 4. Tick *the shift is unknown too*. Now 72 × 81 places compete. The maps show the best CCF, and the summed
#    probability, of each shift. At which SNR does the PDF go flat now?
# 5. Leave the shift unknown and set the SNR to 0.02. Which rotation is the most probable one, with the true σ and with a
#    σ three times larger? Is it still the same?

# %%
ccf_pdf_boards(protein, snr=0.1)

# %% [markdown]
# **Explain.** σ does not move the CCF at all. It says how much a difference in CCF is worth. With a σ that is too small
# you get maxCC: in the limit σ → 0 one place takes all. With a σ that is too large no image can decide. So σ had better
# be right. In section 5 the images themselves will tell us.
#
# As long as only the rotation is unknown, σ does not change which rotation comes first. With the shift unknown it can
# (step 5): for the first particle it goes from 205° to about 20°. (That is nearer to ▼, by luck.) The probability of a
# rotation is now a *sum* over its 81 shifts. If σ is small, the one best shift decides the sum. If σ is large, many shifts
# that fit fairly well outweigh a single one that fits best.
#
# ### ✏️ Exercise 3.3: how many rotations are left?
#
# A single number says how sharp a PDF is: the exponential of its entropy, $\exp(-\sum_\varphi \Gamma_\varphi \log
# \Gamma_\varphi)$. If $k$ rotations share the probability equally, it is $k$. Return it for each image: shape (N,).
# Take care: for a computer, `0 * np.log(0)` is not 0.

# %%
def rotations_left(gamma):
    ...  # your code
    ### BEGIN SOLUTION
    return np.exp(-np.sum(gamma * np.log(np.maximum(gamma, 1e-30)), axis=1))
    ### END SOLUTION

check("3.3", rotations_left)

# %% [markdown]
# **Predict** the mean over 500 images at SNR 1, 0.1 and 0.01. There are 72 rotations in all. Then run.

# %%
rotations_left = carry_on("3.3")

left = {snr: rotations_left(gamma[snr]).mean() for snr in snrs}
for snr in snrs:
    print(f"SNR {snr:<5} rotations left: {left[snr]:4.1f} of {len(angles)}")
print("(numbers above: to ±0.1)")

# %% tags=["hide-input"]
say(f"""**Explain.** At SNR 1 every image decides for one rotation. At 0.1 there are {left[0.1]:.1f}
left on average, and {left[0.01]:.1f} of the {len(angles)} at 0.01. So even there an image says
something: it rules out most rotations. But it is far from a decision. (numbers above: to ±0.1)""")

# %% [markdown]
# ### Does Γ know when it is wrong?
#
# Take the best rotation of each image. Γ says how probable it is that the truth lies within 10° of it. We simulated the
# images, so we can count how often that is the case.
#
# **Predict.** Γ never saw the truth. Will the two agree?

# %%
def distance(a, b):
    return np.abs((a - b + 180) % 360 - 180)  # of two angles in degrees


for snr in snrs:
    best = angles[gamma[snr].argmax(axis=1)]
    claimed = np.sum(gamma[snr] * (distance(angles, best[:, None]) <= 10), axis=1).mean()
    correct = np.mean(distance(experiments[snr].truth.angles[:, 2], best) <= 10)
    print(f"SNR {snr:<5} within 10°: Γ claims {claimed:4.0%}, correct are {correct:4.0%}")

# %% [markdown]
# **Explain.** At SNR 0.01 the best rotation is often wrong, and Γ knows how often. That is what makes it a probability.
# maxCC behaves as if it were always right.

# %% [markdown]
# ## 4. Average with weights: the M-step
#
# If the rotations were known, the problem would be easy: turn every image back and average. (This is the *complete data
# problem* of the lecture.) They are not known, but Γ is. So every image goes into the average in **every** rotation,
# weighted with its probability:
#
# $$V^{\text{new}} = \frac{1}{N} \sum_i \sum_\varphi \Gamma_{i\varphi} \, R_\varphi^{-1} X_i$$
#
# This is one half of the **M-step** (M for maximisation): of all references, this one makes the images most probable,
# given Γ. ($R_\varphi^{-1}$ turns back by $\varphi$.)
#
# ### ✏️ Exercise 3.4: write the weighted average
#
# For each rotation $k$, add up all images with the weights `gamma[:, k]`, turn this sum back, and add it to `average`.
# (To turn each image by each rotation would give the same and take 500 times as long.) Return the new reference, shape
# (n, n).

# %%
def weighted_average(images, gamma, angles):
    average = np.zeros(images.shape[1:])
    ...  # your code
    ### BEGIN SOLUTION
    for k, angle in enumerate(angles):
        average += rotate(np.tensordot(gamma[:, k], images, axes=1), -angle)
    return average / len(images)
    ### END SOLUTION

check("3.4", weighted_average)

# %%
weighted_average = carry_on("3.4")

# %% [markdown]
# Let us use it once, at SNR 0.01. We start from a blurred particle, as if we had an old map at low resolution. One function
# serves all three: for maxCC we hand it a Γ with a single 1 in each row, at the best rotation. We also know the true
# rotations, and can put the 1 there.
#
# **Predict.** Which average will have the stronger contrast: maxCC or ML?

# %%
from scipy.ndimage import gaussian_filter

images = experiments[0.01].particles.images
truth = experiments[0.01].specimens[0].density
true_angles = experiments[0.01].truth.angles[:, 2]
start = gaussian_filter(truth, 4).astype(np.float32)  # blurred over 4 pixels (26 Å)

Γ = posterior(images, rotate(start, angles), sigma=1.0)
weights = {"true rotations": np.eye(len(angles))[distance(true_angles[:, None], angles).argmin(axis=1)],
           "maxCC, once": np.eye(len(angles))[Γ.argmax(axis=1)],
           "ML, once": Γ}

averages = {"truth": truth, "start": start}
for name in weights:
    averages[name] = weighted_average(images, weights[name], angles)

show(image_grid(list(averages.values()), columns=list(averages), size=1.75, shared_scale="density",
                alt="maxCC: strong and noisy. ML: faint, smooth, nearly round."))

# %% [markdown]
# **Explain.** ML looks disappointing: it averages over all rotations that it cannot tell apart, and that gives a blur.
# maxCC looks much better. But how much of what you see is signal? We made these images, so we can take them apart: the
# average of the images is the average of their signal plus the average of their noise.
#
# We need two scores. Both leave out what is round, as in lesson 2. Images that are turned anyhow still add up to the
# *rotational average* of the particle, a round smear, which is in all three averages and says nothing. (Its plain
# correlation with the truth is 0.80!) Of what is not round,
#
# - **likeness** is the correlation with the truth,
# - **contrast** is how strong it is: its length as a vector, as a fraction of that of the truth.
#
# **Predict.** In which of the three averages is the least noise left? In which the most? Which is most like the truth?

# %%
signal = rotate(truth, true_angles)  # the images without their noise

alike, strong = {"start": likeness(start, truth)}, {}
for name in weights:
    parts = {"all": averages[name], "signal": weighted_average(signal, weights[name], angles),
             "noise": weighted_average(images - signal, weights[name], angles)}
    alike[name] = likeness(averages[name], truth)
    strong[name] = {part: contrast(picture, truth) for part, picture in parts.items()}
    print(f"{name:15}  contrast {strong[name]['all']:.2f}:  signal {strong[name]['signal']:.2f}, "
          f"noise {strong[name]['noise']:.2f}    likeness {alike[name]:.2f}")
print(f"(the start: contrast {contrast(start, truth):.2f}, likeness {alike['start']:.2f})")
print("(numbers above: to ±0.02)")

# %% tags=["hide-input"]
known, best, every = (strong[name] for name in weights)
placed = np.mean(distance(angles[Γ.argmax(axis=1)], true_angles) <= 10)
say(f"""**Explain.** With the true rotations, nearly all of the signal comes back
({known["signal"]:.2f}), and the noise of 500 images cancels as it should.

maxCC keeps only {best["signal"]:.2f} of the signal: no more than {100 * placed:.0f} % (to ±2) of
the images went to within 10° of their place. And it holds *more* noise than the average with the
true rotations: {best["noise"]:.2f} against {known["noise"]:.2f}! Its noise cancels less, because
each image was put where its **noise** fits the reference best. This is how maxCC *invents
contrast*: {best["all"]:.2f} in all, as if nothing were missing.

ML holds little of both, {every["signal"]:.2f} and {every["noise"]:.2f}. So after a single round it
is no nearer to the truth than maxCC: their likenesses are {alike["ML, once"]:.2f} and
{alike["maxCC, once"]:.2f}. The difference is in what they *claim*. ML's average is faint, because
the images do not yet agree. maxCC's looks complete, and nothing in it tells you that most of it is
noise.

It matters in the next round, where these averages are the references. To ML, a faint reference
means small differences in the CCF: Γ stays broad, and open to what the images say. maxCC is as sure
as ever, and its noise draws the noise of the images to itself again. In section 7 both methods get
twenty rounds.

(numbers above: to ±0.02)""")

# %% [markdown]
# That is also why averages are shown *unnormalised* here, all on one scale. A program that stretches every picture to the
# full range of grey would hide it.
#
# ### The other half: how noisy are the images?
#
# σ is part of the model Θ too. The M-step sets it to what the references leave unexplained. $J$ is the number of pixels:
#
# $$\sigma^2 = \frac{1}{N J} \sum_i \sum_\varphi \Gamma_{i\varphi} \, |X_i - A_\varphi|^2$$
#
# ### ✏️ Exercise 3.5: write the σ update
#
# Return σ, one number. An array of images × rotations × pixels would fill the memory, so multiply out the square:
# $|X - A|^2 = |X|^2 - 2\,\mathrm{CCF} + |A|^2$.

# %%
def noise(images, references, gamma):
    ccf = np.tensordot(images, references, axes=([1, 2], [1, 2]))   # (N, R)
    energy = np.sum(references**2, axis=(1, 2))                     # (R,)
    ...  # your code
    ### BEGIN SOLUTION
    squares = np.sum(images**2, dtype=float) - 2 * np.sum(gamma * ccf) + np.sum(gamma * energy)
    return np.sqrt(squares / images.size)
    ### END SOLUTION

check("3.5", noise)

# %%
noise = carry_on("3.5")

# %% [markdown]
# ## 5. Round and round: the likelihood climbs
#
# Γ depends on the reference and σ; the reference and σ depend on Γ. So we go round: E-step, M-step, E-step, M-step.
# This is **expectation maximisation**. What climbs is the likelihood of option 2, with the hidden rotations
# *marginalised*, that is, summed over with their probabilities:
#
# $$L(\Theta) = P(X \mid \Theta) = \prod_i \sum_\varphi P(X_i \mid \varphi, \Theta)\, P(\varphi \mid \Theta)$$
#
# In words: the probability of the images, **regardless** of how they are turned.
#
# ### ✏️ Exercise 3.6: write the log-likelihood
#
# For each image, take the logarithm of the *mean* of $\exp(\text{score})$ over the rotations (a mean, because
# $P(\varphi \mid \Theta) = 1/R$), and add up over the images. The last line subtracts the constant that the score left
# out. Return one number. Keep the exponential from overflowing, as in the E-step.

# %%
def log_likelihood(images, references, sigma):
    ccf = np.tensordot(images, references, axes=([1, 2], [1, 2]))
    score = (ccf - 0.5 * np.sum(references**2, axis=(1, 2))) / sigma**2
    constant = np.sum(images**2, dtype=float) / (2 * sigma**2)
    constant += images.size / 2 * np.log(2 * np.pi * sigma**2)
    ...  # your code
    ### BEGIN SOLUTION
    top = score.max(axis=1)
    marginal = top + np.log(np.mean(np.exp(score - top[:, None]), axis=1))
    return np.sum(marginal, dtype=float) - constant
    ### END SOLUTION

check("3.6", log_likelihood)

# %% [markdown]
# Here is the whole of ML alignment. Each round takes four lines, and three of them call what you wrote. (A fifth one,
# `history.append`, takes notes for the picture.)

# %%
log_likelihood = carry_on("3.6")


def align(images, reference, sigma, rounds):
    history = []
    for _ in range(rounds):
        references = rotate(reference, angles)
        history.append((log_likelihood(images, references, sigma), sigma))
        gamma = posterior(images, references, sigma)          # E-step
        sigma = noise(images, references, gamma)              # M-step: σ …
        reference = weighted_average(images, gamma, angles)   # … and the reference
    return reference, sigma, history

# %% [markdown]
# We take 500 images at SNR 0.1 and start with three values of σ: five times too large, right, and five times too small.
#
# **Predict.** After how many rounds will σ be right? Will all three runs end at the same likelihood?
#
# (The left picture shows how far log L still is below the best value of all three runs. Its unit, the *nat*, is a step of
# 1 in the natural logarithm.)

# %%
images = experiments[0.1].particles.images
truth = experiments[0.1].specimens[0].density
start = gaussian_filter(truth, 4).astype(np.float32)

runs = {}
for first_sigma in (5.0, 1.0, 0.2):
    average, sigma, history = align(images, start, first_sigma, rounds=20)
    runs[f"start at σ = {first_sigma:g}"] = history
    rises = np.sum(np.diff([log_l for log_l, _ in history]) > 0)
    print(f"start at σ = {first_sigma:.1f}: {history[1][1]:.3f} after one round, "
          f"{sigma:.3f} at the end;  log L rises in {rises} of {len(history) - 1} steps")

show(climb(runs, true_sigma=1.0))

# %% [markdown]
# **Explain.** σ is nearly right after a single round, wherever it starts. It cannot be far off: nearly all the variance
# of these images *is* noise. The likelihood climbs quickly at first, then slowly, as the reference sharpens. With σ five
# times too large, the first Γ is nearly flat and the first average nearly round, so that run begins with a detour.
# After twenty rounds the three runs are within a few nats of one another, and still climbing a little. They need not end at
# the same place: expectation maximisation finds the nearest top, and cannot see whether there is a higher one.
#
# That no step ever lowers the likelihood is a theorem, if both steps are exact. Turning an image back on a grid of pixels
# is not quite the exact M-step. Here it was good enough: count the steps above.

# %% [markdown]
# ## 6. The same, by the engine
#
# The rest of the course uses the engine of the package. `align2d` takes the same steps as your `align`. It can also look
# for shifts, works in blocks that fit into memory, and runs on a GPU if there is one. It is an *iterator*: each turn of
# the `for` is one iteration, with the model before it and the model after it.
#
# **Predict.** Same images, same start. How closely will it agree with your own code?

# %%
engine = align2d(experiments[0.1].particles, search_2d(5.0), reference=start, space="real",
                 iterations=20)
for iteration in engine:
    if iteration.number == 1:
        sigma_1 = np.sqrt(iteration.before.sigma2[0, 0])
        print(f"log L of the first model:  engine {iteration.log_likelihood:.0f}   "
              f"yours {log_likelihood(images, rotate(start, angles), sigma_1):.0f}")

theirs = iteration.model.maps[0]
yours, sigma, history = align(images, start, sigma_1, rounds=20)
their_sigma = np.sqrt(iteration.model.sigma2[0, 0])
print(f"σ after 20 rounds:         engine {their_sigma:.3f}   yours {sigma:.3f}")
print(f"likeness of the two averages: {likeness(theirs, yours):.2f} (to ±0.01)")

# %% [markdown]
# **Explain.** The likelihoods of the first model differ by a few units in a million: it is the same formula. The rest,
# and the difference between the averages, comes from how images are turned. You turned with splines; the engine turns
# through Fourier space (lesson 7) and solves its M-step exactly.

# %% [markdown]
# ## 7. maxCC and ML side by side
#
# Now the experiment that the whole lesson leads to. The same 1,000 images go to maxCC and to ML, from the same blurred
# start, at four SNRs. The particles are shifted too, so there are 48 rotations × 13 shifts = 624 places for each image.
# Beside them stands the average with the *true* poses, the complete data problem. No alignment makes more of these images.
# (Knowledge that does not come from the images could: a *prior*, see lesson 9.)
#
# After each iteration we measure the likeness and the contrast of section 4, both without what is round.
#
# **Predict.** At which SNR will the two methods part? Which one will show the stronger contrast at SNR 0.003? Will
# 20 iterations always be better than 10?
#
# This is the longest cell of the lesson: a quarter of a minute, or more on a slow or busy machine.
# (`fixed={"offset_sigma"}` says that the spread of the shifts is not to be learned: it keeps the value of the start.)

# %%
small = load("protein2d", box=32)  # smaller images, to save time
search = search_2d(7.5, shift_range=2 * small.pixel_size, shift_step=small.pixel_size)
methods = {"maxCC": MAXIMUM_CROSS_CORRELATION, "ML": MAXIMUM_LIKELIHOOD}
snrs = (0.1, 0.03, 0.01, 0.003)

measured, bounds, pictures, rises = {}, {}, {}, {}
for snr in snrs:
    experiment = simulate(small, 1000, seed=7, snr=snr, shift_sigma=6, progress=False)
    truth = experiment.specimens[0].density
    start = gaussian_filter(truth, 3).astype(np.float32)
    known = reconstruct(experiment.truth, ndim=2, progress=False).density
    bounds[snr] = likeness(known, truth), contrast(known, truth)
    pictures["true poses", snr] = known / truth.max()
    for name, assignment in methods.items():
        measured[name, snr], log_l = [(likeness(start, truth), contrast(start, truth))], []
        for iteration in align2d(experiment.particles, search, reference=start, space="real",
                                 iterations=20, assignment=assignment, fixed={"offset_sigma"},
                                 memory="64 MB"):
            average = iteration.model.maps[0]
            measured[name, snr].append((likeness(average, truth), contrast(average, truth)))
            log_l.append(iteration.log_likelihood)
            pictures[f"{name}, {iteration.number}", snr] = average / truth.max()
        rises[name, snr] = np.all(np.diff(log_l) > 0)

# %%
rows = ["true poses", "maxCC, 20", "ML, 10", "ML, 20"]
show(image_grid([[pictures[row, snr] for snr in snrs] for row in rows], rows=rows, size=1.7,
                columns=[f"SNR {snr}" for snr in snrs], shared_scale="density / highest true density",
                limits=(-0.5, 1.2),
                alt="Towards low SNR, maxCC grows grainy and strong, ML blurred and faint."))

# %%
show(tracks(measured, bounds))

# %%
print("likeness, and contrast / true contrast\n")
print(f"first reference: {measured['ML', 0.1][0][0]:.2f} {measured['ML', 0.1][0][1]:.2f}")
for snr in snrs:
    rows = {"true poses": bounds[snr], "ML, 10": measured["ML", snr][10],
            "ML, 20": measured["ML", snr][20]}
    print(f"SNR {snr:<6}", "    ".join(f"{name}: {a:.2f} {b:.2f}" for name, (a, b) in rows.items()))
print("(numbers above: to ±0.03)\n")
for snr in snrs:
    print("SNR {:<6} maxCC, 20: {:.2f} {:.1f}".format(snr, *measured["maxCC", snr][20]))
print("(numbers above: to ±0.1)\n")
print("ML: log L rises in every step:", ", ".join(f"{rises['ML', snr]} at {snr}" for snr in snrs))

# %% tags=["hide-input"]
like = {key: [a for a, _ in track] for key, track in measured.items()}
strong = {key: [b for _, b in track] for key, track in measured.items()}
first, top = like["ML", 0.1][0], {snr: max(like["ML", snr]) for snr in snrs}
say(f"""**Explain.** This is what was measured here, with 1,000 images of 32 × 32 pixels, 20
iterations and a start of likeness {first:.2f}.

- **At SNR 0.1 the two agree**, and both come close to the average with the true poses. The PDF is
  sharp, so keeping all places and keeping the best one is nearly the same.
- **At SNR 0.03 they part.** ML climbs to {top[0.03]:.2f}, not far below the true poses
  ({bounds[0.03][0]:.2f}). maxCC ends at {like["maxCC", 0.03][-1]:.1f} (to ±0.1).
- **At SNR 0.01** ML still improves on the start, up to {top[0.01]:.2f}. maxCC loses what it had
  been given and ends at {like["maxCC", 0.01][-1]:.1f} (to ±0.1). Your eye may still find the hook
  in its grain. But nothing in that picture tells you what is data and what is choice.
- **At SNR 0.003 neither gains.** maxCC falls to {like["maxCC", 0.003][-1]:.1f} (to ±0.1), hardly
  more than blobs reach by accident (lesson 2). ML keeps what it was given for ten iterations
  ({like["ML", 0.003][10]:.2f}), and no longer. There *is* signal in these images: with the true
  poses, the likeness is {bounds[0.003][0]:.2f}.
- **maxCC invents contrast.** At SNR 0.003 its average is {strong["maxCC", 0.003][-1]:.1f} (to ±0.3)
  times as strong as the truth. The true poses show that the images do not hold that much, not even
  with the noise that is left in an average of 1,000. The rest comes from choosing, again and again,
  the place where the noise fits best.
- **ML pretends much less.** Where it cannot tell places apart, its average is faint: at SNR 0.003
  it has {strong["ML", 0.003][10]:.2f} of the true contrast after ten iterations and
  {strong["ML", 0.003][-1]:.2f} after twenty.

And yet: look at the end of ML's curves. Its likelihood still climbs, but at SNR 0.03 the average
has long been drifting *away* from the truth, from {top[0.03]:.2f} to {like["ML", 0.03][-1]:.2f},
and its contrast has grown beyond the true one. At lower SNRs the same begins later. With so few
images, the most likely reference is one that also explains some of their noise. This is
**overfitting**. That ML comes to the truth is promised for infinitely many images, and nobody has
those. Lesson 9 brings the cure: a prior.

(numbers above: to ±0.03) Your computer may round differently from ours in the last digits. In maxCC
that turns a close choice, and every later average with it. A mean over all places, as in ML, hardly
feels it.""")

# %% [markdown]
# ## Summary
#
# - Alignment is an **incomplete data problem**: the images $X$ are observed, the rotations and shifts $Y$ are not.
# - **Option 1** adds $Y$ to the model: find the best $Y$ for each image. This is maxCC (or least squares).
# - **Option 2** marginalises over $Y$: sum over all of them, weighted with their probability. This is ML.
# - The PDF is the exponential of the CCF over σ². High SNR makes it sharp, low SNR makes it flat.
# - **Expectation maximisation** alternates: Γ from the model (E-step); reference and σ from Γ (M-step). The likelihood
#   climbs, and σ is learned from the images.
# - At high SNR the two options agree. At low SNR maxCC follows the noise and invents contrast. ML holds out longer, but
#   it overfits too if it has too few images.
#
# ### What the programs call it
#
# | program | option 2, ML | option 1, maxCC |
# |---|---|---|
# | RELION | what `relion_refine` does by default | `--always_cc`, or `--firstiter_cc` for the first iteration only |
# | cryoSPARC | 2D classification with *Force Max over poses/shifts* off | the same with it on: the best pose only |
# | SIMPLE | `objfun=euclid`: scores with σ, as in section 3 | `objfun=cc`: scores with the correlation |
# | XMIPP | `xmipp_ml_align2d` | `xmipp_classify_CL2D` with `--distance correlation` |
#
# In RELION's STAR files, the largest Γ of an image is `rlnMaxValueProbDistribution`, the number of places that still count
# is `rlnNrOfSignificantSamples` (counted in another way than in exercise 3.3), and σ² is `rlnSigma2Noise`, one value for
# each spatial frequency (lesson 8).
#
# ### Further reading
#
# - F. J. Sigworth, *A maximum-likelihood approach to single-particle image refinement*, J. Struct. Biol. 122, 328 (1998),
#   [doi:10.1006/jsbi.1998.4014](https://doi.org/10.1006/jsbi.1998.4014): the paper that brought ML to 2D alignment.
# - S. H. W. Scheres *et al.*, *Maximum-likelihood multi-reference refinement for electron microscopy images*, J. Mol. Biol.
#   348, 139 (2005), [doi:10.1016/j.jmb.2005.02.031](https://doi.org/10.1016/j.jmb.2005.02.031): with several references,
#   the subject of lesson 4.
# - F. J. Sigworth, P. C. Doerschuk, J.-M. Carazo, S. H. W. Scheres, *An introduction to maximum-likelihood methods in
#   cryo-EM*, Methods Enzymol. 482, 263 (2010),
#   [doi:10.1016/S0076-6879(10)82011-7](https://doi.org/10.1016/S0076-6879(10)82011-7): an introduction with all the formulas.
#
# ### Where you stand

# %%
progress(3)
