# %% [markdown]
# # Lesson 4: 2D classification
#
# **The question.** The images do not all show the same thing. Some show the particle from one side, some from another,
# some show no particle at all. Nobody has sorted them. Can the images sort themselves, while they are being aligned?
#
# **After this lesson you can**
# - write expectation maximisation for K references: the E-step over classes and rotations, and both averages and class
#   weights in the M-step,
# - say why K references have to differ at the start, and why random subsets are a fair way to make them differ,
# - recognise a local optimum, and choose among several runs without knowing the truth,
# - say what more classes do to the likelihood, to the purity and to the size of the classes,
# - say what maxCC does with K classes that ML does not,
# - read class averages as they come out of a 2D classification job, and throw out junk.
#
# **Time:** about 90 minutes. The cells themselves run in less than one.
#
# **What comes before:** lesson 3, ML alignment. In one sentence: for each image, Γ says how probable each rotation is
# (E-step); the images are then averaged in all rotations, weighted with Γ (M-step); and so on, round and round.
#
# **How it works.** As in lesson 3: *predict*, *run*, *explain*. Exercises are marked ✏️. `check` tells you where you
# stand, `hint("4.2")` gives a hint, and another one if you ask again.

# %%
import numpy as np

from cryoedu.course import carry_on, check, hint, progress, say
from cryoedu.datasets import load, load_particles
from cryoedu.datasets.junk import with_junk
from cryoedu.figures import image_grid, show
from cryoedu.figures.classes import class_scan, contents, posterior_map, seed_runs, two_options
from cryoedu.figures.runs import class_averages
from cryoedu.geometry.grids import search_2d
from cryoedu.inference import classify2d, opening, random_subsets
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION, MAXIMUM_LIKELIHOOD
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.realspace import project_by_sums, rotate
from cryoedu.microscope.specimen import Specimen
from cryoedu.validation.classes import agreement, contingency
from cryoedu.widgets.stepper import em_stepper

progress(4)

# %% [markdown]
# ## 1. The data
#
# A ribosome in ice lies any way up, and the microscope sees it from any side. Let us begin with four sides only, and
# call them *views* A, B, C and D. Each image shows one of the four views, turned by some angle in the image plane:
#
# $$X_i = R_{\varphi_i} V_{k_i} + N_i$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $X_i$ | image number $i$, of $N$: the **observed data** | `images[i]` |
# | $V_k$ | the picture that class $k$ stands for; there are $K$ of them | `averages[k]` |
# | $R_\varphi$ | turns by the angle $\varphi$ in the image plane | `rotate(…, angle)` |
# | $\varphi_i, k_i$ | how image $i$ is turned, and which class it belongs to: the **missing data** | nobody knows |
# | $N_i$ | white noise, Gaussian, standard deviation $\sigma$ in each pixel | σ = 1 here |
#
# Only one thing is new: a second hidden variable, the **class** $k_i$. The views are not equally common: 40, 30, 20 and
# 10 % of the images show A, B, C and D. The program is not told this either.
#
# **Predict.** Could you sort the images in the lower row by eye?

# %%
whole = load("ribosome-80S", box=32)
directions = [(180, 45, 0), (0, 90, 0), (90, 90, 0), (0, 180, 0)]  # rot, tilt, psi of each view
views = [Specimen(view, whole.pixel_size, f"view {name}")
         for name, view in zip("ABCD", project_by_sums(whole.density, directions))]

experiment = simulate(views, 1000, seed=5, snr=0.3, fractions=[0.4, 0.3, 0.2, 0.1], progress=False)
images, truth = experiment.particles.images, experiment.truth.classes

true_views = np.stack([view.density for view in experiment.specimens])
examples = np.stack([images[truth == k][0] for k in range(4)])
show(image_grid([true_views, examples], rows=["without noise", "SNR 0.3"],
                columns=["view A", *"BCD"], pixel_size=whole.pixel_size,
                alt="Above four different outlines, below the same turned and drowned in noise."))

# %% [markdown]
# **Explain.** One or two you may recognise; a thousand images you would not sort by hand. And SNR 0.3 is
# generous. If somebody gave us the class and the rotation of every image (the *complete data problem*), we would sort,
# turn back and average. So we do what we did in lesson 3: leave the missing data open, and weigh all possibilities.

# %% [markdown]
# ## 2. The E-step with more hypotheses
#
# In lesson 3 a hypothesis about an image was a rotation. Now it is a pair: a class *and* a rotation, $K \times R$ of
# them. The reference is $A_{k\varphi} = R_\varphi V_k$. The rest is word for word the E-step of lesson 3:
#
# $$\log P(X \mid k, \varphi, \Theta) = \frac{\mathrm{CCF}(k, \varphi) - \tfrac12 |A_{k\varphi}|^2}{\sigma^2}
#   + \text{constant}$$
#
# $$\Gamma_{ik\varphi} = \frac{P(X_i \mid k, \varphi, \Theta)\, P(k, \varphi \mid \Theta)}
#   {\sum_{k'} \sum_{\varphi'} P(X_i \mid k', \varphi', \Theta)\, P(k', \varphi' \mid \Theta)}
# \qquad\text{with}\qquad P(k, \varphi \mid \Theta) = \frac{w_k}{R}$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $\mathrm{CCF}(k,\varphi)$ | $\sum_j X_j (A_{k\varphi})_j$, summed over the pixels $j$ | `ccf`: (N, K, R) |
# | $\lvert A_{k\varphi}\rvert^2$ | energy of the reference, $\sum_j (A_{k\varphi})_j^2$ | `energy`: (K, R) |
# | $w_k$ | **class weight**: the share of all images that belongs to class $k$ | `weights`: (K,) |
# | $R$ | number of rotations tried, all equally likely beforehand | `len(angles)` |
# | $\Gamma_{ik\varphi}$ | probability of class $k$ and rotation $\varphi$, given image $i$ | `gamma`: (N, K, R) |
# | $\Theta$ | the model: all averages $V_k$, all class weights $w_k$, and $\sigma$ | |
#
# Two things that used to cancel do not cancel any more. The **energy** hardly changed when one reference turned; but
# two classes may differ in it. And the **class weight**: before we look, a common class is more probable than a rare
# one.
#
# ### ✏️ Exercise 4.1: which class?
#
# For some image, the best rotation of class A has CCF 52, that of class B has CCF 50. The energies are $|A|^2 = 30$ and
# $|B|^2 = 38$. The class weights are 0.6 and 0.15. The noise has σ = 2. How many times likelier is A than B, each at its
# best rotation?

# %%
odds = ...  # your code
### BEGIN SOLUTION
odds = 0.6 / 0.15 * np.exp(((52 - 30 / 2) - (50 - 38 / 2)) / 2**2)
### END SOLUTION

check("4.1", odds)

# %% [markdown]
# ### ✏️ Exercise 4.2: write the E-step
#
# `references` has the shape (K, R, n, n), `weights` (K,). Return Γ with the shape (N, K, R). The score is there
# already, but for the class weights. The probabilities of one image add up to 1 over classes and rotations *together*.

# %%
def posterior(images, references, sigma, weights):
    ccf = np.tensordot(images, references, axes=([1, 2], [2, 3]))    # (N, K, R)
    energy = np.sum(references**2, axis=(2, 3))                      # (K, R)
    score = (ccf - 0.5 * energy) / sigma**2                          # log P(X|k,φ,Θ) + constant
    ...  # your code
    ### BEGIN SOLUTION
    score += np.log(np.maximum(weights, 1e-30))[:, None]
    gamma = np.exp(score - score.max(axis=(1, 2), keepdims=True))
    return gamma / gamma.sum(axis=(1, 2), keepdims=True)
    ### END SOLUTION

check("4.2", posterior)

# %%
posterior = carry_on("4.2")

# %% [markdown]
# Let us look at Γ of one image as a map: one row for each class, one column for each rotation. As references we take
# the true views. That is as good as it will ever get. Each SNR is a new data set, in which image number 8 shows the same
# view in the same rotation. (8 is any number: change it, and look at others.)
#
# **Predict.** The next cell shows Γ of the *same* particle at three SNRs. In which maps will you see a single bright
# spot?

# %%
angles = np.arange(0, 360, 10.0)  # R = 36 rotations


def turned(averages):
    return np.stack([rotate(average, angles) for average in averages])   # (K, R, n, n)


shares = np.array([0.4, 0.3, 0.2, 0.1])
particle = 8                                                              # which image we look at
snrs, maps = (0.3, 0.1, 0.03), []
for snr in snrs:
    e = simulate(views, 1000, seed=5, snr=snr, fractions=shares, progress=False)
    references = turned([view.density for view in e.specimens])
    gamma = posterior(e.particles.images, references, 1.0, shares)
    maps.append(gamma[particle])
    of_class = gamma.sum(axis=2)                                          # (N, K)
    claimed = of_class.max(axis=1).mean()
    correct = np.mean(of_class.argmax(axis=1) == e.truth.classes)
    print(f"SNR {snr:<5} most probable class: Γ claims {claimed:4.0%} (to ±1), "
          f"correct are {correct:4.0%} (to ±1)")

pose = (truth[particle], experiment.truth.angles[particle, 2] % 360)
show(posterior_map(maps, names="ABCD", titles=[f"SNR {snr}" for snr in snrs], truth=pose))

# %% [markdown]
# **Explain.** At SNR 0.3 one class takes all, in one or two neighbouring rotations: the true one lies between two of the
# grid. At lower SNR the probability spreads over rotations and over classes alike: a class is just one more thing that we
# do not know. And Γ knows how much it does not know: over all images, it claims about as many right classes as there are.
# Even with perfect references, some images cannot be classified at SNR 0.03.

# %% [markdown]
# ## 3. The M-step: K averages and K weights
#
# Given Γ, what model makes the images most probable? Three updates, each a weighted mean.
#
# **The class weights.** An image belongs to class $k$ with the probability $\sum_\varphi \Gamma_{ik\varphi}$. The mean
# of it over the images is the share of the class:
#
# $$w_k^{\text{new}} = \frac1N \sum_i \sum_\varphi \Gamma_{ik\varphi}$$
#
# ### ✏️ Exercise 4.3: write the class weights
#
# `gamma` has the shape (N, K, R). Return the weights: shape (K,).

# %%
def class_weights(gamma):
    ...  # your code
    ### BEGIN SOLUTION
    return gamma.sum(axis=(0, 2)) / len(gamma)
    ### END SOLUTION

check("4.3", class_weights)

# %%
class_weights = carry_on("4.3")

# %% [markdown]
# **The averages.** Every image goes into *every* average, in every rotation, as far as it may belong there. These are
# the **probability-weighted averages** of the lecture:
#
# $$V_k^{\text{new}} = \frac{\sum_i \sum_\varphi \Gamma_{ik\varphi}\, R_\varphi^{-1} X_i}
#   {\sum_i \sum_\varphi \Gamma_{ik\varphi}}$$
#
# In lesson 3 the sum below the line was $N$. Now it is the (fractional) number of images in the class.
#
# ### ✏️ Exercise 4.4: write the averages
#
# The first line adds up all images for each class and rotation, weighted with Γ. Turn each of these sums back, add up
# over the rotations, and divide by the weights that stand behind the class. One class may be empty: do not divide by 0.

# %%
def weighted_averages(images, gamma, angles):
    sums = np.tensordot(gamma, images, axes=(0, 0))                       # (K, R, n, n)
    averages = np.zeros((len(sums), *images.shape[1:]))
    ...  # your code
    ### BEGIN SOLUTION
    for k in range(len(averages)):
        for r, angle in enumerate(angles):
            averages[k] += rotate(sums[k, r], -angle)
        averages[k] /= max(gamma[:, k].sum(), 1e-9)
    return averages
    ### END SOLUTION

check("4.4", weighted_averages)

# %%
weighted_averages = carry_on("4.4")

# %% [markdown]
# **The noise** and **the log-likelihood** are those of exercises 3.5 and 3.6, with one sum more. You have written them
# before, so here they are:
#
# $$\sigma^2 = \frac{1}{NJ} \sum_i \sum_k \sum_\varphi \Gamma_{ik\varphi} |X_i - A_{k\varphi}|^2
# \qquad L(\Theta) = \prod_i \sum_k \sum_\varphi P(X_i \mid k, \varphi, \Theta)\, P(k, \varphi \mid \Theta)$$
#
# $J$ is the number of pixels. $L$ is the probability of the images, regardless of how they are turned *and* of what
# class they are.

# %%
def noise(images, references, gamma):
    ccf = np.tensordot(images, references, axes=([1, 2], [2, 3]))
    energy = np.sum(references**2, axis=(2, 3))
    squares = np.sum(images**2, dtype=float) - 2 * np.sum(gamma * ccf) + np.sum(gamma * energy)
    return float(np.sqrt(squares / images.size))


def log_likelihood(images, references, sigma, weights):
    ccf = np.tensordot(images, references, axes=([1, 2], [2, 3]))
    score = (ccf - 0.5 * np.sum(references**2, axis=(2, 3))) / sigma**2
    score += np.log(np.maximum(weights, 1e-30) / len(angles))[:, None]    # log P(k,φ|Θ)
    top = score.max(axis=(1, 2))
    marginal = top + np.log(np.sum(np.exp(score - top[:, None, None]), axis=(1, 2)))
    constant = np.sum(images**2, dtype=float) / (2 * sigma**2)
    return np.sum(marginal, dtype=float) - constant - images.size / 2 * np.log(2 * np.pi * sigma**2)

# %% [markdown]
# And here is 2D classification as a whole: the multi-reference algorithm of the lecture.

# %%
def classify(images, averages, rounds):
    sigma, weights = float(images.std()), np.full(len(averages), 1 / len(averages))
    history = []
    for _ in range(rounds):
        references = turned(averages)
        log_l = log_likelihood(images, references, sigma, weights)
        gamma = posterior(images, references, sigma, weights)             # E-step
        weights = class_weights(gamma)                                    # M-step: weights,
        sigma = noise(images, references, gamma)                          # noise
        averages = weighted_averages(images, gamma, angles)               # and averages
        history.append({"log L": log_l, "classes": gamma.sum(axis=2).argmax(axis=1),
                        "weights": weights, "averages": averages})
    return history

# %% [markdown]
# ## 4. How to begin?
#
# We need K first averages. The plain mean of all images is a round blob, and it owes nothing to anybody's opinion. Why
# not take it K times?
#
# **Predict.** Four classes start from the same blob. What will the four averages look like after five rounds?

# %%
exact = images[:500].astype(np.float64)  # 16 digits
blob = exact.mean(axis=0)
history = classify(exact, np.stack([blob] * 4), rounds=5)

last = history[-1]["averages"]
spread = np.abs(last - last[0]).max() / np.abs(last[0]).max()
print("class weights:", " ".join(f"{w:.3f}" for w in history[-1]["weights"]))
print(f"largest difference between the four averages: {spread:.3f} of the highest density")

# %% [markdown]
# **Explain.** Nothing can tell the four classes apart, so Γ gives each of them a quarter of every image, and they stay
# the same. In exact arithmetic that is for ever. (With fewer digits, rounding errors grow from round to round until
# they tell the classes apart. It is a pencil that stands on its tip.) The symmetry between the classes has to be
# **broken**.
#
# But how? If we drew four references by hand, the result could follow our opinion. The fair way is chance. Deal the
# images into K **random subsets**, like cards, and average each subset as it is. The K averages are nearly the same
# blob, but their *noise* differs. Nobody chose it, and it says nothing about the views. This is enough to start from,
# and it is what makes the classification **reference-free**.
#
# **Predict.** How many rounds will it take until you can tell which class is going to be which view?

# %%
def random_starts(images, classes, seed):
    subsets = random_subsets(len(images), classes, seed)                  # of row numbers
    return np.stack([images[rows].mean(axis=0) for rows in subsets])


runs = {}
runs[1] = classify(images, random_starts(images, 4, seed=1), rounds=15)

stages = {"start": random_starts(images, 4, seed=1),
          **{f"round {n}": runs[1][n - 1]["averages"] for n in (1, 2, 4, 8, 15)}}
show(image_grid(np.stack(list(stages.values()), axis=1), columns=list(stages),
                rows=[f"class {k}" for k in range(1, 5)], size=1.3, pixel_size=whole.pixel_size,
                alt="Four nearly equal blobs become four different views within a few rounds."))

# %% [markdown]
# **Explain.** At first the differences are invisible. An image that shows view B agrees *by chance* a little better
# with one of the four blobs than with the others. It goes there with a little more weight, so that blob becomes a
# little more like view B, and attracts more of B in the next round. Small differences grow: that is how the symmetry
# breaks.

# %% [markdown]
# ## 5. Is it right?
#
# We made these images, so we can look at the truth. The **contingency table** counts how many images of each view ended
# up in each class (every image in its most probable one). We count classes from 1, as the programs do in their files; in
# Python's arrays the first one is number 0.

# %%
found = runs[1][-1]["classes"]
print("           view A  view B  view C  view D")
for k, row in enumerate(contingency(found, truth), start=1):
    print(f"class {k}  " + "".join(f"{n:8d}" for n in row))
print("(numbers above: to ±4)")

# %% [markdown]
# **Explain.** The order of the classes means nothing: chance decided which one became which view. So it is no use to
# compare class numbers with view numbers. Two measures do not mind the order:
#
# - **Purity**: each class is named after its commonest view. Purity is the share of images whose class bears the right
#   name.
# - **Agreement**: as purity, but no two classes may bear the same name. Extra classes count as wrong. (This is
#   `agreement` in the package. It tries all one-to-one matches of classes and views.)
#
# ### ✏️ Exercise 4.5: write the purity
#
# `classes` and `truth` hold one whole number for each image. Take care: a class number may not occur at all.

# %%
def purity(classes, truth):
    ...  # your code
    ### BEGIN SOLUTION
    right = sum(np.bincount(truth[classes == k]).max() for k in np.unique(classes))
    return right / len(truth)
    ### END SOLUTION

check("4.5", purity)

# %%
purity = carry_on("4.5")

print(f"purity {purity(found, truth):.2f}, agreement {agreement(found, truth):.2f}")
weights = np.sort(runs[1][-1]["weights"])[::-1]
print("class weights:", " ".join(f"{w:.2f}" for w in weights), "  in truth: 0.40 0.30 0.20 0.10")
print("(numbers above: to ±0.01)")

# %% [markdown]
# ## 6. Local optima: try several seeds
#
# Expectation maximisation climbs to the nearest top. With one class there was not much to get wrong. With K classes,
# chance has dealt the cards, and a bad hand stays a bad hand. So we deal five times: five **seeds**.
#
# **Predict.** How many of the five runs will find all four views? Can you tell which, *without* the truth?

# %%
for seed in (0, 2, 3, 4):
    runs[seed] = classify(images, random_starts(images, 4, seed), rounds=15)

tracks = {f"seed {seed}": [(h["log L"], agreement(h["classes"], truth)) for h in runs[seed]]
          for seed in sorted(runs)}
show(seed_runs(tracks))

# %%
def log_l_at_end(seed):
    return runs[seed][-1]["log L"]


best, worst = max(runs, key=log_l_at_end), min(runs, key=log_l_at_end)
for seed in sorted(runs):
    end = runs[seed][-1]
    below = (log_l_at_end(best) - log_l_at_end(seed)) / 1000
    print(f"seed {seed}: log L {below:.2f} thousand below the best   "
          f"agreement {agreement(end['classes'], truth):.2f}   class weights",
          " ".join(f"{w:.2f}" for w in np.sort(end["weights"])[::-1]))
print("(numbers above: to ±0.03)")

table = contingency(runs[worst][-1]["classes"], truth)
print("the worst:  view A  view B  view C  view D")
for k, row in enumerate(table, start=1):
    print(f"class {k}   " + "".join(f"{n:8d}" for n in row))
print("(numbers above: to ±8)")
show(image_grid(runs[worst][-1]["averages"], columns=[f"class {k}" for k in range(1, 5)],
                pixel_size=whole.pixel_size, alt="The worst run: sharp all the same."))

# %% tags=["hide-input"]
complete = [seed for seed in runs if agreement(runs[seed][-1]["classes"], truth) > 0.95]
stuck = [seed for seed in runs if seed not in complete]
mixed = int(np.sort(table, axis=1)[:, -2].argmax())               # the class that holds two views,
pair = np.argsort(table[mixed])[:-3:-1]                           # and which these are
split = int(np.sort(table, axis=0)[-2].argmax())                  # the view that two classes share
homes = np.argsort(table[:, split])[:-3:-1]
apart = min(map(log_l_at_end, complete)) - max(map(log_l_at_end, stuck))
say(f"""
**Explain.** {len(complete)} of the {len(runs)} runs find all four views. {len(stuck)} are
**stuck**. Look at the worst one: class {mixed + 1} holds most images of view {"ABCD"[pair[0]]}
together with many of view {"ABCD"[pair[1]]}, while view {"ABCD"[split]} sits in two classes,
{homes[0] + 1} and {homes[1] + 1}. To get out, one class would have to give up its share of
{"ABCD"[split]} and take over another view. No small step leads there, and expectation maximisation
only takes small steps uphill. It is a **local optimum**: more rounds do not help.

The likelihood knows. It has never seen the truth, but {"every run that found all views ends"
if apart > 0 else "not every run that found all views ends"} above all the stuck ones,
{"by more than a thousand units" if apart > 1000 else "if not by much"}.
""")

# %% [markdown]
# So this is the rule: *several seeds, and keep the run with the highest likelihood*. Do not choose by the looks of the
# averages: those of the bad run look good, too.
#
# ## 7. The same, by the engine, step by step
#
# `classify2d` of the package does the same as your `classify`, from the same random subsets. It can work on pixels, as
# you did (`space="real"`), or on the Fourier transforms of the images (lesson 7). Then it measures the noise for each
# Fourier shell by itself, that is for coarse and for fine detail, where you had one σ. The other options:
#
# | option | meaning |
# |---|---|
# | `search` | the hypotheses: here rotations in steps of 10°, no shifts |
# | `radii` | how many Fourier shells it looks at; shell 12 of this box means details of 29 Å |
# | `perturb_seed` | the engine can turn the grid of rotations a little in each iteration, by chance; `None`: it stays as it is |
# | `memory` | how much memory it may use at a time. It makes no difference to the result |
#
# **Predict.** The five seeds once more. Does a seed that was stuck in your loop get stuck in the engine?

# %%
options = {"search": search_2d(10), "radii": [12], "perturb_seed": None, "memory": "24 MB"}

spaces = ("real", "fourier")
by_engine = {(space, seed): list(classify2d(experiment.particles, 4, seed=seed, space=space,
                                            iterations=15, **options))
             for seed in range(5) for space in spaces}

print("agreement     your loop   engine, on pixels   engine, by shells")
for seed in range(5):
    three = [runs[seed][-1]["classes"], *(by_engine[s, seed][-1].posterior.classes for s in spaces)]
    print(f"seed {seed}       " + "             ".join(f"{agreement(c, truth):.2f}" for c in three))
print("(numbers above: to ±0.04)")

# %% tags=["hide-input"]
mine = np.array([agreement(runs[seed][-1]["classes"], truth) for seed in range(5)])
theirs = {s: np.array([agreement(by_engine[s, seed][-1].posterior.classes, truth) for seed in range(5)])
          for s in spaces}
alike = int(np.sum(np.abs(mine - theirs["real"]) < 0.1))
say(f"""
**Explain.** On pixels, with one σ, the engine takes the steps of your loop: {alike} of 5 seeds end
where yours did. By Fourier shells, {int(np.sum(theirs["fourier"] > mine + 0.1))} of the seeds end
better than in your loop and {int(np.sum(theirs["fourier"] < mine - 0.1))} worse. The start is the
same. What differs is the noise model and, a little, how pictures are turned. That is enough to lead
the first steps in other directions, and so to other tops. A seed is not good or bad by itself. Nor
do five seeds tell which noise model is the better one: lesson 8 asks that.
""")

# %% [markdown]
# Let us take the best of the five, by its likelihood. Each turn of the engine is one iteration; we have kept them all.

# %%
iterations = max((by_engine["fourier", seed] for seed in range(5)),
                 key=lambda run: run[-1].log_likelihood)
end = iterations[-1]
print(f"agreement {agreement(end.posterior.classes, truth):.2f}, class weights",
      " ".join(f"{w:.2f}" for w in np.sort(end.model.class_weights)[::-1]))
print("(numbers above: to ±0.01)")

# %% [markdown]
# Now watch this run turn by turn, through the eyes of four images: one of each view. *first*, *back*, *step* and *play*
# move through the iterations; every control also works with the arrow keys.
#
# 1. Go to the *first* frame. Γ of the image is spread over all rotations and all classes. Why?
# 2. *Step*. What becomes definite first: the class, or the rotation?
# 3. Compare the curves: when do the shares of the classes become those of the views (40, 30, 20, 10 %)?
# 4. Choose another particle: the slider goes through one image of view A, of B, C and D. Does each stay in its first
#    class?

# %%
one_of_each = [int(np.flatnonzero(truth == k)[0]) for k in range(4)]  # an image of view A, B, C, D
em_stepper(iterations, experiment.particles, options["search"], chosen=one_of_each)

# %% [markdown]
# **Explain.** At the start the references are round, so no rotation fits much better than another, and nearly equal, so
# no class does. Then class and rotation become definite *together*: an image that knows its class knows how it is
# turned.

# %%
final = end.posterior.classes
print("share of the images that are in the class in which they end:")
for turn in iterations[:10]:
    there = np.mean(turn.posterior.classes == final)
    sure = np.mean(turn.posterior.class_probability.max(axis=1) > 0.9)
    print(f"after turn {turn.number:2}: {there:4.0%} (to ±3), "
          f"and sure of some class (more than 0.9): {sure:4.0%} (to ±3)")

# %% [markdown]
# Many images change their minds: in the first turns they lean to one class, and in the end they are in another. A class
# that becomes a better picture of their view draws them away. Nothing had to be decided too early: that is what the
# weights are good for.
#
# ### Coarse first
#
# One thing helps against local optima and against noise: begin with coarse features only, and *open* to finer ones. The
# finest details of the first averages are nothing but noise; what is not looked at cannot mislead. In the first
# iteration below only 5 shells count (70 Å). Every iteration opens a little more, up to 12 shells (29 Å).
#
# **Predict.** Same images as before, but at SNR 0.1, and two seeds. How much will it help?

# %%
options["iterations"] = 12
coarse_first = {**options, "radii": opening(5, 12, 10)}
print("radii:", coarse_first["radii"])

noisy = {snr: simulate(views, 1000, seed=5, snr=snr, fractions=shares, progress=False)
         for snr in (0.3, 0.1, 0.05)}
for name, how in (("all 12 shells at once", options), ("coarse first", coarse_first)):
    reached = []
    for seed in (0, 1):
        *_, end = classify2d(noisy[0.1].particles, 4, seed=seed, **how)   # only the last iteration
        reached.append(agreement(end.posterior.classes, truth))
    print(f"{name:22} agreement " + " and ".join(f"{value:.2f} (to ±0.04)" for value in reached))

# %% [markdown]
# **Explain.** The same images, the same number of shells in the end, and yet a better result, with both seeds. From here
# on we begin coarse.

# %% [markdown]
# ## 8. How many classes?
#
# We know that there are four views. In a real data set nobody knows. What happens if K is wrong?
#
# First, one thing to hold against the answer. A model with more free numbers always fits better, even where there is
# nothing to be fitted. By how much? Take 100 numbers of pure noise, σ = 1. Without a free number the model says: their
# mean is 0. With one free number it says: their mean is $m$, their average. Then log L is higher by $100\, m^2 / 2$.

# %%
pure_noise = np.random.default_rng(1).normal(size=(10_000, 100))  # ten thousand such experiments
gained = 100 * pure_noise.mean(axis=1)**2 / 2
print(f"log L gained by one free number, on average: {gained.mean():.1f}")

# %% [markdown]
# **One half**, for each free number that follows nothing but noise. (The average of 100 numbers has the variance 1/100,
# so $100\, m^2$ is 1 on average.)
#
# How many free numbers has one more class average? As many as there are waves in it: a picture without details finer
# than Fourier shell 12 is made of some $\pi \cdot 12^2 \approx 450$ numbers (lesson 7 counts them). So one more class that
# fits only noise should bring some $450 \cdot \tfrac12 = 225$. That is the slope to compare with.
#
# **Predict.** K goes from 1 to 8. Which of these will rise all the way, and which will peak at K = 4: the likelihood,
# the purity, the agreement?

# %%
scan = {}
for K in range(1, 9):
    *_, scan[K] = classify2d(experiment.particles, K, seed=0, **coarse_first)

found = {K: scan[K].posterior.classes for K in scan}
measures = {"purity": [purity(found[K], truth) for K in scan],
            "agreement": [agreement(found[K], truth) for K in scan]}
show(class_scan(list(scan), [scan[K].log_likelihood for K in scan], measures,
                [scan[K].model.class_weights for K in scan], per_class=0.5 * np.pi * 12**2))

# %%
gain = {K: scan[K].log_likelihood - scan[K - 1].log_likelihood for K in range(2, 9)}
for K in scan:
    w = np.sort(scan[K].model.class_weights)[::-1]
    print(f"K = {K}: log L {gain.get(K, 0) / 1000:+5.2f} thousand   "
          f"purity {measures['purity'][K - 1]:.2f}   "
          f"agreement {measures['agreement'][K - 1]:.2f}   shares", " ".join(f"{x:.2f}" for x in w))
print("(numbers above: to ±0.04)")

order = np.argsort(-scan[8].model.class_weights)
weights = scan[8].model.class_weights[order]
show(class_averages(scan[8].model.maps[order], [f"{w:.0%}" for w in weights],
                    pixel_size=whole.pixel_size, columns=8))

# %% tags=["hide-input"]
more = np.mean([gain[K] for K in range(5, 9)])
lower = [f"**K = {K} is lower than K = {K - 1}.**" for K in gain if gain[K] < 0]
why = "At its highest top it could not be. So this run is stuck, and we know it without the truth."
say(f"""
**Explain.**

- **The likelihood rises with K**, as it should: a model with more classes can do all that one with
  fewer can. Up to K = 4 every class brings {"more" if min(gain[K] for K in (2, 3, 4)) > 1000 else
  "hardly more"} than a thousand. After that it is {more:.0f} (to ±60) each, on average. *Noise
  alone* brings 225: the dotted line shows that slope. So look for the *kink*, not for the highest
  value.
- {" ".join([*lower, why, "Another seed is due."]) if lower else
  "No run is lower than one with fewer classes."}
- **Purity** is {measures["purity"][3]:.2f} (to ±0.02) at K = 4 and
  {measures["purity"][7]:.2f} (to ±0.02) at K = 8: it cannot say when to stop. **Agreement** is
  {measures["agreement"][3]:.2f} (to ±0.02) and {measures["agreement"][7]:.2f} (to ±0.04): it falls
  when K is too large. (Both need the truth, which you will not have.)
- **Too few classes**: views have to share one. **Too many**: large views are split, and some
  classes dwindle to a few images. At K = 8 the smallest class holds
  {100 * weights.min():.0f} (to ±1) % of the images. Its average is grain.
""")

# %% [markdown]
# In practice K is chosen rather too large than too small: two classes for one view do no harm, two views in one class
# do. But each class needs enough images to average the noise away.
#
# ## 9. Option 1 with K classes: who attracts whom?
#
# maxCC, too, works with K references: each image goes to the class, and the rotation, with the highest CCF, and the
# averages are made anew. But *which* CCF? With one reference it made no difference whether you divide the CCF by the
# length of the reference. With two it does.
#
# Here is a test without any right or wrong. Two references show **the same view**. A thousand new images of this view
# have to choose between them. A fair method gives each reference one half.
#
# **Predict.** (1) One reference has 5 % more contrast. (2) One reference is the average of 900 images, the other of
# 100. What share of the images will choose the first one?

# %%
one_view = simulate(views[0], 2000, seed=6, snr=0.3, progress=False)


def known_average(first, last):                                           # with the true rotations
    some = one_view.truth.subset_of(np.arange(first, last))
    return reconstruct(some, ndim=2, progress=False).density


new = one_view.particles.images[1000:]
pairs = {"5 % stronger": (1.05 * known_average(0, 500), known_average(500, 1000)),
         "900 images : 100": (known_average(0, 900), known_average(900, 1000))}
attracted = {}
print("share of the first      CCF   CCF / |A|    Γ")
for name, pair in pairs.items():
    A = turned(pair)
    ccf = np.tensordot(new, A, axes=([1, 2], [2, 3]))                     # (N, 2, R)
    length = np.sqrt(np.sum(A**2, axis=(2, 3)))
    plain = np.mean(ccf.max(axis=2).argmax(axis=1) == 0)
    normalised = np.mean((ccf / length).max(axis=2).argmax(axis=1) == 0)
    soft = posterior(new, A, 1.0, np.array([0.5, 0.5]))[:, 0].sum(axis=1).mean()
    attracted[name] = plain, normalised, soft
    print(f"{name:18} {plain:8.2f} {normalised:10.2f} {soft:8.2f}")
print("(numbers above: to ±0.01)")

# %% tags=["hide-input"]
(all_of, by_length, by_gamma), (_, more, more_gamma) = attracted.values()
say(f"""**Explain.** (1) The plain CCF hands {all_of:.0%} (to ±1) of the images to the stronger
reference, though 5 % of contrast say nothing about the view. Divided by the length of the
reference, |A|, the CCF no longer sees the contrast. That {by_length:.0%} (to ±1) go to the first
one, and not just one half, comes from the noise in the two averages. This is how maxCC is done in
practice, and in the engine here. In ML the term −|A|²/2 of the E-step does this service; it even
holds the 5 % {"a little against" if by_gamma < by_length else "in favour of"} the first one:
{by_gamma:.0%} (to ±1).

(2) The average of more images is less noisy, fits new images better, and **attracts** more than its
half: {more:.0%} (to ±1). A class that is rich in images gets richer. Γ is
{"a little less prone" if more_gamma < more else "as prone"} to it, {more_gamma:.0%} (to ±1), but
not immune.""")

# %% [markdown]
# Now the whole classification by both methods: the same images, the same starts, three SNRs, two seeds.
#
# **Predict.** At which SNR will the two part?

# %%
methods = {"maxCC": MAXIMUM_CROSS_CORRELATION, "ML": MAXIMUM_LIKELIHOOD}
ends = {}
for snr in noisy:
    for name, assignment in methods.items():
        for seed in (0, 1):
            *_, ends[name, snr, seed] = classify2d(noisy[snr].particles, 4, seed=seed,
                                                   assignment=assignment, **coarse_first)

score = {(m, s): [agreement(ends[m, s, seed].posterior.classes, truth) for seed in (0, 1)]
         for m, s, _ in ends}
best_of = {m: max((ends[m, 0.1, seed] for seed in (0, 1)), key=lambda end: end.log_likelihood)
           for m in methods}
sizes = {m: best_of[m].model.class_weights for m in methods}
show(two_options(score, sizes, shares, shares_at=0.1))

# %%
for m, s in score:
    print(f"SNR {s:<5} {m:6} agreement", " and ".join(f"{value:.2f}" for value in score[m, s]))

# %% tags=["hide-input"]
full = {m: sum(value > 0.95 for value in score[m, 0.3]) for m in methods}
ahead = min(score["ML", 0.1]) > max(score["maxCC", 0.1])
say(f"""
**Explain.**

- **At SNR 0.3** maxCC finds all four views with {full["maxCC"]} of two seeds, ML with {full["ML"]}.
  {"The seed matters more than the method." if full["ML"] == full["maxCC"] else
  "Two seeds are few, though."}
- **At SNR 0.1** {"ML is ahead with both seeds" if ahead else "ML is not ahead with every seed"}. At
  0.05 neither is of much use: too few images, too much noise.
- **The sizes of the classes.** At SNR 0.1 ML's shares go from {sizes["ML"].max():.0%} (to ±2) down
  to {sizes["ML"].min():.0%} (to ±2); in truth they go from 40 to 10 %. Those of maxCC go from
  {sizes["maxCC"].max():.0%} (to ±2) to {sizes["maxCC"].min():.0%} (to ±2): nearly equal. It knows
  no class weights, and it puts every image wholly into one class, also where nothing but noise
  decides. So do not read the sizes of maxCC classes as the composition of your sample.
""")

# %% [markdown]
# ## 10. Realistic particles, and junk
#
# Enough of four views. `ribosome-particles` is a simulated data set as one meets it in practice: ribosomes seen from
# *all* sides, a little off the centre, each with its own CTF (lesson 7), under coloured noise (lesson 8). Half of them
# are whole ribosomes, half are free large subunits. And a particle picker makes mistakes. So we mix in 200 empty images
# and 100 bright spots, such as crystals of ice make. The data set is now 20 % junk.
#
# **Predict.** We ask for 12 classes. Where will the junk go?

# %%
particles = load_particles("ribosome-particles", count=1200, progress=False)
picked, kinds = with_junk(particles, empty=200, spots=100, seed=3)

search = search_2d(10, shift_range=11, shift_step=11)  # 36 rotations, 5 shifts
radii = opening(6, 11, 12)  # shells 6 to 11: from 59 to 32 Å
how = {"iterations": 15, "radii": radii, "memory": "24 MB"}
*_, end = classify2d(picked, 12, search, seed=0, **how)

model, hidden = end.model, end.posterior
order = np.argsort(-model.class_weights)               # the largest class first
classes = np.argsort(order)[hidden.classes] + 1        # so that class 1 is the largest
labels = [f"class {k}: {model.class_weights[c]:.1%}" for k, c in enumerate(order, start=1)]
show(class_averages(model.maps[order], labels, pixel_size=picked.pixel_size))

# %% [markdown]
# These are **class averages** as a 2D classification job shows them: sorted by their share, each on a grey scale of its
# own. Besides the picture, a job reports numbers:

# %%
highest = model.maps[order].max(axis=(1, 2))
brightness = highest / np.median(highest)
best_pose = np.array([hidden.max_probability[classes == k].mean() for k in range(1, 13)])

print("class  share  images  P(class)  P(best pose)  brightness")
for k, c in enumerate(order, start=1):
    mine = classes == k
    of_class = hidden.class_probability[mine, c].mean()
    share = model.class_weights[c]
    print(f"{k:5d}  {share:5.1%}  {mine.sum():6d}  {of_class:8.2f}  {best_pose[k - 1]:12.2f}  "
          f"{brightness[k - 1]:10.1f}")

# %% [markdown]
# | number | what it means | in RELION's files |
# |---|---|---|
# | share | the class weight $w_k$: every image counts in every class, with its probability | `rlnClassDistribution` |
# | images | how many have this class as their most probable one | count of `rlnClassNumber` |
# | P(class) | how sure these images are of their class: the mean of $\sum_\varphi \Gamma_{ik\varphi}$ | |
# | P(best pose) | the largest single Γ, of class, rotation and shift together; mean | `rlnMaxValueProbDistribution` |
# | brightness | the highest density of the average, beside that of the median class | |

# %%
dim = [k for k in range(1, 13) if brightness[k - 1] < 0.7]
bright = [k for k in range(1, 13) if brightness[k - 1] > 1.5]

# %% tags=["hide-input"]
def listed(numbers):
    *others, last = [str(n) for n in numbers] or ["none"]
    return f"classes {', '.join(others)} and {last}" if others else f"class {last}"


say(f"""
**Explain.** Most classes show a ribosome from some side, and are about equally bright. Not so
{listed(dim)}: nearly nothing is to be seen, because the empty images went there. The numbers tell a
tale, too. These images are sure of their class, but have {"less idea than all others"
if best_pose.argmin() + 1 in dim else "little idea"} how they are turned: see P(best pose). And
{listed(bright)}: small and far too bright, without any structure. Those are the bright spots.
Nobody told the program what junk is. Junk is just one more thing that images can have in common.
""")

# %% [markdown]
# ### Select the good classes
#
# Now do what everybody does after a 2D classification: look at the averages, and choose. The line below leaves out the
# classes that are far dimmer or brighter than the others. If you see it differently, write your own list:
# `good = [1, 3, 4]`, for instance.

# %%
good = [k for k in range(1, 13) if k not in dim + bright]
print(len(good), "of 12 classes are chosen")

# %% [markdown]
# ### ✏️ Exercise 4.6: what did you keep, and what came along?
#
# `classes` holds the class of each image, `good` the chosen classes, `particle` is True where an image shows a
# particle. Return two numbers: which share of the *particles* you kept, and which share of what you kept is *junk*.

# %%
def selection(classes, good, particle):
    chosen = np.isin(classes, good)                                       # (N,) True or False
    ...  # your code
    ### BEGIN SOLUTION
    return chosen[particle].mean(), 1 - particle[chosen].mean()
    ### END SOLUTION

check("4.6", selection)

# %%
selection = carry_on("4.6")

kept, junk = selection(classes, np.array(good), kinds < 2)
print(f"before: junk {np.mean(kinds >= 2):.1%}   after: junk {junk:.1%}, particles kept {kept:.1%}")

names = ["whole ribosome", "large subunit", "empty", "bright spot"]
table = contingency(classes - 1, kinds)
show(contents(table, names))

# %% tags=["hide-input"]
lost = table[[k - 1 for k in range(1, 13) if k not in good]].sum(axis=0)     # of each kind
between = [k for k in good if min(table[k - 1, :2]) > 0.2 * table[k - 1].sum()]
say(f"""
**Explain.** {12 - len(good)} classes thrown out, and 20 % junk have become {junk:.1%} (to ±0.3).
The price: {lost[0] + lost[1]} (to ±8) particles go with them,
{lost[1] / max(lost[0] + lost[1], 1):.0%} (to ±20) of them large subunits, which looked like junk
from their side. Nothing is perfect, so one usually does a second round with what was kept.

The classes also tell whole ribosomes and large subunits apart, but for some only half-way
({listed(between) if between else "none, this time"}). Two structures may look alike from one side.
To sort *structures* instead of views we need 3D classification: lesson 6.
""")

# %% [markdown]
# ### A look ahead: the prior
#
# You will meet one more number in every 2D classification job: the regularisation parameter T. It belongs to a *prior*
# that holds the averages back where the images say little about them (lesson 9). So far it was off. Here is the same
# run with the prior on, T = 2.
#
# **Predict.** Will the prior make the classes more equal, or less?

# %%
*_, with_prior = classify2d(picked, 12, search, seed=0, tau2_fudge=2, **how)

for name, result in (("prior off", model), ("T = 2", with_prior.model)):
    print(f"{name:10}", " ".join(f"{w:4.0%}" for w in np.sort(result.class_weights)[::-1]))
print("(numbers above: to ±1)")

# %% tags=["hide-input"]
largest = [100 * m.class_weights.max() for m in (model, with_prior.model)]
gone = int(np.sum(with_prior.model.class_weights < 0.01))
say(f"""
**Explain.** {"Less" if largest[1] > largest[0] else "More"} equal. The largest class holds
{largest[1]:.0f} (to ±2) instead of {largest[0]:.0f} (to ±2) % of the images, and {gone} of the
twelve have lost nearly all of theirs. A likely reason: the prior holds noisy averages back the
most. At the start, noise is all that tells the classes apart, so the prior damps the very thing
that breaks the symmetry. Later a small class has a noisier average, is held back more, and loses
more images: once more the rich get richer. To begin coarse, as we did, also keeps noise out, but it
treats all classes alike.
""")

# %% [markdown]
# ## Summary
#
# - The class is one more **hidden variable**. A hypothesis is a pair: a class and one of the sampled rotations.
# - **Multi-reference algorithm in 2D**: estimates for K objects; in the E-step every image is compared with all of them
#   in all rotations; in the M-step new 2D averages are *probability-weighted averages*. Class weights and σ are learned
#   too.
# - **Reference-free**: the seeds are averages of random subsets. They break the symmetry, and nobody's opinion goes in.
# - Expectation maximisation is a **local** optimiser: several seeds, keep the one with the highest likelihood; begin
#   coarse.
# - More classes always promise more likelihood. Past the kink they explain noise.
# - With K classes, maxCC must divide the CCF by the length of the reference, and at low SNR its class sizes mean
#   nothing. A less noisy average attracts images: in maxCC, and in ML too.
# - **Class averages** of realistic data: views, structures and junk, sorted by themselves. A person selects.
#
# ### What the programs call it
#
# | program | 2D classification | number of classes | and |
# |---|---|---|---|
# | RELION | *2D classification* (Class2D), ML | `--K` | T is `--tau2_fudge`; choose classes in *Subset selection* |
# | cryoSPARC | *2D Classification*, ML | *Number of 2D classes* | *Force Max over poses/shifts*; *Select 2D Classes* |
# | SIMPLE | `cluster2D` | `ncls` | `objfun=euclid` or `objfun=cc`, as in lesson 3 |
# | XMIPP | `xmipp_ml_align2d`, ML | `--nref` | |
# | XMIPP | `xmipp_classify_CL2D`, correlation | `--nref` | `--classicalMultiref` switches its rule against attraction off |
#
# ### Further reading
#
# - M. van Heel, *Multivariate statistical classification of noisy images (randomly oriented biological
#   macromolecules)*, Ultramicroscopy 13, 165 (1984),
#   [doi:10.1016/0304-3991(84)90066-4](https://doi.org/10.1016/0304-3991(84)90066-4): classes of images, years before
#   cryo-EM was common.
# - P. Penczek, M. Radermacher, J. Frank, *Three-dimensional reconstruction of single particles embedded in ice*,
#   Ultramicroscopy 40, 33 (1992), [doi:10.1016/0304-3991(92)90233-A](https://doi.org/10.1016/0304-3991(92)90233-A):
#   alignment without a reference.
# - F. J. Sigworth, *A maximum-likelihood approach to single-particle image refinement*, J. Struct. Biol. 122, 328
#   (1998), [doi:10.1006/jsbi.1998.4014](https://doi.org/10.1006/jsbi.1998.4014).
# - S. H. W. Scheres *et al.*, *Maximum-likelihood multi-reference refinement for electron microscopy images*, J. Mol.
#   Biol. 348, 139 (2005), [doi:10.1016/j.jmb.2005.02.031](https://doi.org/10.1016/j.jmb.2005.02.031): what you have
#   written in this lesson.
# - C. O. S. Sorzano *et al.*, *A clustering approach to multireference alignment of single-particle projections in
#   electron microscopy*, J. Struct. Biol. 171, 197 (2010),
#   [doi:10.1016/j.jsb.2010.03.011](https://doi.org/10.1016/j.jsb.2010.03.011): CL2D.
# - S. H. W. Scheres, *RELION: implementation of a Bayesian approach to cryo-EM structure determination*, J. Struct.
#   Biol. 180, 519 (2012), [doi:10.1016/j.jsb.2012.09.006](https://doi.org/10.1016/j.jsb.2012.09.006).
#
# ### Where you stand

# %%
progress(4)
