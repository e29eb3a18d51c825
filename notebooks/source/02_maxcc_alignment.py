# %% [markdown]
# # Lesson 2: maxCC alignment
#
# **The question.** We have hundreds of noisy images of one particle, each turned by an angle that nobody knows. How do
# we turn them all the same way, so that we can average them? And what do we get if there was nothing in them?
#
# **After this lesson you can**
# - say what is observed, what is missing and what the model is in an *incomplete data problem*,
# - write the CCF, find the best rotation of each image, and write a round of align-and-average,
# - say what the initial guess does to the result, and at which noise level it starts to matter,
# - make a portrait out of pure noise, and predict how good it will be,
# - name three ways to notice such a *reference bias*.
#
# **Time:** about 75 minutes. The cells themselves run in less than one.
#
# **What comes before:** lesson 1, the experiment. There images were matched with the projections of a map, by hand and
# by computer: *projection matching*. Here you write the matching yourself, in two dimensions, and ask when it can be
# trusted.
#
# **How it works.** Each section asks you to *predict*, then to *run* a cell, then *explains* what you saw.
# Your predictions are yours: write them on paper. Exercises are marked ✏️. Replace the three dots, run the cell, and
# `check` tells you where you stand. `hint("2.2")` gives a hint, and another one if you ask again.

# %%
import numpy as np

from cryoedu.course import carry_on, check, hint, progress, say
from cryoedu.datasets import load
from cryoedu.datasets.portraits import portrait
from cryoedu.figures import image_grid, show
from cryoedu.figures.maxcc import approach, ccf_and_distance, noise_portrait_curve, spread_of_maxima
from cryoedu.geometry.grids import search_2d
from cryoedu.inference.assignment import MAXIMUM_CROSS_CORRELATION
from cryoedu.inference import align2d
from cryoedu.inference.reconstruction import reconstruct
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.realspace import rotate
from cryoedu.validation.averages import likeness
from cryoedu.widgets.ccf_board import ccf_board
from cryoedu.widgets.noise_portrait import noise_portrait

progress(2)

# %% [markdown]
# ## 1. An incomplete data problem
#
# This is the model of how an image comes about. It is the simplest one that has the problem in it: the particle lies
# flat and is only turned in the image plane, and there is no CTF.
#
# $$X_i = R_{\varphi_i} V + N_i$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $X_i$ | image number $i$ of $N$: the **observed data** | `images[i]` |
# | $V$ | the particle, a 2D density: the **model**, what we want to know | `truth` |
# | $R_\varphi$ | turns the particle by the angle $\varphi$ in the image plane | `rotate(…, angle)` |
# | $\varphi_i$ | how particle $i$ is turned: the **missing data** | nobody knows |
# | $N_i$ | white noise: independent in each pixel, Gaussian, standard deviation $\sigma$ | σ = 1 here |
#
# The lecture writes $X$ for all the observed data, $Y$ for all the missing data and $\Theta$ for the whole model. Here
# $Y$ is the list of the rotations $\varphi_1, \dots, \varphi_N$, and $\Theta$ is $V$ and $\sigma$.
#
# The SNR is the variance of the signal inside the particle's circle, divided by the variance of the noise.
#
# **Predict.** The next cell shows the particle, and five of 500 images at SNR 0.1. Can you tell how they are turned?

# %%
protein = load("protein2d", box=40)
experiment = simulate(protein, 500, seed=4, snr=0.1, progress=False)

images = experiment.particles.images           # X: what the microscope gives us
truth = experiment.specimens[0].density        # V: what we want to find out
true_angles = experiment.truth.angles[:, 2]    # Y: known here only because we made the images

show(image_grid(np.stack([truth, *images[:5]]), columns=["the particle", *"12345"],
                pixel_size=protein.pixel_size,
                alt="One clear particle with a hook, and five noisy images in which one may guess it."))

# %% [markdown]
# **Explain.** Perhaps you can guess one or two of them, but you cannot be sure. The images do not come with their
# rotations: a part of the data that we need was not observed. Such a problem is called **incomplete**.

# %% [markdown]
# ## 2. The complete data problem is easy
#
# Suppose a friendly spirit tells us the rotations, so that nothing is missing. Then we turn every image back and
# average:
#
# $$V = \frac{1}{N} \sum_{i=1}^{N} R_{\varphi_i}^{-1} X_i$$
#
# $R_\varphi^{-1}$ turns back by $\varphi$; in the code it is `rotate(image, -angle)`.
#
# **Predict.** What will the average look like with 1, 10, 100 and 500 images? And what if we forget to turn them back?

# %%
turned_back = np.stack([rotate(image, -angle) for image, angle in zip(images, true_angles)])

numbers = (1, 10, 100, 500)
averages = [turned_back[:number].mean(axis=0) for number in numbers]
not_turned = images.mean(axis=0)

labels = [*(f"N = {number}" for number in numbers), "500, not turned back"]
show(image_grid([*averages, not_turned], columns=labels, size=1.75, shared_scale="density",
                limits=(-1, 2.0),
                alt="The more images, the clearer the particle; not turned back, it is a round smear."))

# %% [markdown]
# **Explain.** The signal is the same in every image that was turned back, so it stays. The noise is different in each,
# so it cancels, little by little. Without turning back, the signal cancels too: only what is round about the centre is
# left. This smear has a name, the **rotational average** of the particle. Keep it in mind for section 5.
#
# How fast does the noise cancel? We take images of nothing but noise with σ = 1, and average.

# %%
rng = np.random.default_rng(2)
for number in (1, 4, 25, 100, 400):
    left = rng.standard_normal((number, 40, 40)).mean(axis=0).std()
    print(f"N = {number:3}   noise of the average: {left:.2f}   1/√N = {1 / np.sqrt(number):.2f}")

# %% [markdown]
# **Explain.** The noise falls as $\sigma / \sqrt{N}$: four times as many images for half the noise. Remember this law,
# you will need it again in section 8.
#
# ### ✏️ Exercise 2.1: how many images?
#
# Each image has noise with σ = 1. How many do you have to average so that the noise of the average is 0.05?

# %%
number_of_images = ...  # your code
### BEGIN SOLUTION
number_of_images = 1 / 0.05**2
### END SOLUTION

check("2.1", number_of_images)

# %% [markdown]
# ## 3. Option 1: add Y to the model
#
# No spirit tells us the rotations. The lecture names two ways out. This lesson takes the first one: treat the rotations
# as if they were part of the model, and look for the rotations *and* the particle that fit the images best. What "fit"
# means follows from the noise. It is Gaussian and independent in each pixel, so the probability of the images is a
# product over all images $i$ and pixels $j$:
#
# $$L(Y, \Theta) = P(X \mid Y, \Theta) = \prod_i \prod_j \frac{1}{\sqrt{2\pi}\,\sigma}
#   \exp\!\left( -\frac{(X_{ij} - (A_{\varphi_i})_j)^2}{2\sigma^2} \right)$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $A_\varphi = R_\varphi V$ | the **reference**, turned by $\varphi$ | `rotate(reference, angle)` |
# | $X_{ij}$ | pixel $j$ of image $i$ | |
# | $P(X \mid Y, \Theta)$ | probability of the images, if rotations and model were as stated | |
# | $L(Y, \Theta)$ | the same number, called *likelihood* because we vary $Y$ and $\Theta$, not $X$ | |
#
# It looks worse than it is. Each image has its own rotation, so we can look for them one after the other. And $L$ is
# largest where the sum in the exponent is smallest. So for one image $X$ we need the rotation with the smallest
# **squared distance** to the reference. Multiply out the square:
#
# $$|X - A_\varphi|^2 = \sum_j (X_j - (A_\varphi)_j)^2
#   = |X|^2 \;-\; 2 \sum_j X_j (A_\varphi)_j \;+\; |A_\varphi|^2$$
#
# $|X|^2$ does not depend on the rotation. $|A_\varphi|^2$, the sum of the squared pixels of the reference, hardly does:
# a picture that turns keeps its pixel values. What is left is the sum in the middle. It is called the
# **cross-correlation function**:
#
# $$\mathrm{CCF}(\varphi) = \sum_j X_j \, (A_\varphi)_j$$
#
# Smallest squared distance and highest CCF are the same rotation. This is why the lecture names *maximum
# cross-correlation*, **maxCC** for short, and *least squares* in one breath.
#
# ### ✏️ Exercise 2.2: write the CCF
#
# `images` has the shape (N, n, n), `references` (R, n, n). Return the CCF of every image with every reference: shape
# (N, R). Two loops will do, over the images and over the references; let NumPy add up the pixels. It can also do it all
# in one line (`np.tensordot` adds up products over the axes that you name). Only do not keep all the products at once: in
# section 8 they would take 4 GB.

# %%
def ccf(images, references):
    ...  # your code
    ### BEGIN SOLUTION
    return np.tensordot(images, references, axes=([1, 2], [1, 2]))
    ### END SOLUTION

check("2.2", ccf)

# %%
ccf = carry_on("2.2")

# %% [markdown]
# **Predict.** For image number 2 we turn the reference in steps of 5° and draw CCF and squared distance. As reference
# we take the true particle, for once. Where will the two curves have their extremes?

# %%
angles = np.arange(0, 360, 5.0)  # R = 72 rotations
A = rotate(truth, angles)        # the reference in all of them: (R, n, n)

X = images[1]
curve = ccf(images[1:2], A)[0]
distance = np.sum((X - A) ** 2, axis=(1, 2))

show(ccf_and_distance(angles, curve, distance, truth=true_angles[1] % 360))

# %% [markdown]
# **Explain.** One curve is the other one turned upside down. Both point to the same rotation, and it is the right one.
# A second, lower hill is no surprise: the particle looks a little like itself in other rotations.

# %% [markdown]
# ### The CCF on the board
#
# This is what a lecturer draws on the board. Turn the reference: press the arrow keys on the slider, or *play*.
#
# - The first picture is the image $X$. The second is the reference $A_\varphi$, turned by the angle of the slider.
# - The third picture is their **product**, pixel by pixel. Bright is positive, dark is negative, mid-grey is zero.
# - The sum over all its pixels is one point of the curve. So the CCF is drawn point by point, as you turn.
#
# **Predict** where the highest point will be before you have turned all the way round. Then:
#
# 1. Set the SNR to 10 and look at the product. Where the particles overlap, all of it is bright.
# 2. Set the SNR to 0.1, then to 0.01. At 0.01, how many hills are as high as the one at the true rotation (▼)?
# 3. Look at *another particle*. Is the highest point always at ▼?

# %%
ccf_board(protein, snr=0.3)

# %% [markdown]
# **Explain.** The product is a crowd of random pixels, most of which cancel. At the right rotation there are a few more
# bright ones than dark ones. That small surplus is all we have. At low SNR the noise makes hills of the same height,
# and the highest one may stand anywhere. **There is always a highest point.** The CCF does not say whether it means
# something.

# %% [markdown]
# ## 4. Choose the best rotation
#
# maxCC takes the highest point and believes it:
#
# $$\varphi_i = \underset{\varphi}{\operatorname{arg\,max}} \sum_j X_{ij} \, (A_\varphi)_j$$
#
# (arg max: not the highest value itself, but the place where it is.)
#
# ### ✏️ Exercise 2.3: find the best rotation
#
# Return, for each image, the angle of the highest CCF: shape (N,). You have `rotate(reference, angles)`, which turns the
# reference by all angles, and your `ccf`.

# %%
def best_rotation(images, reference, angles):
    ...  # your code
    ### BEGIN SOLUTION
    return angles[ccf(images, rotate(reference, angles)).argmax(axis=1)]
    ### END SOLUTION

check("2.3", best_rotation)

# %%
best_rotation = carry_on("2.3")

# %% [markdown]
# **Predict.** We give it the best reference there is, the true particle. For which fraction of the images will it find
# the rotation to within 10° at SNR 1, 0.1, 0.03, 0.01 and 0.003? Pure guessing would give about 6 %.

# %%
def error(found, true):
    return np.abs((found - true + 180) % 360 - 180)  # of angles in degrees, across 360° too


right = {}
for snr in (1, 0.1, 0.03, 0.01, 0.003):
    set_of_images = simulate(protein, 500, seed=4, snr=snr, progress=False)
    found = best_rotation(set_of_images.particles.images, set_of_images.specimens[0].density, angles)
    right[snr] = np.mean(error(found, set_of_images.truth.angles[:, 2]) <= 10)
    print(f"SNR {snr:<6} within 10° of the truth: {right[snr]:4.0%} (to ±1)")

# %% tags=["hide-input"]
say(f"""**Explain.** Down to SNR 0.1 the highest point can be trusted: it is right for
{right[0.1]:.0%} (to ±1) of the images. At 0.01 it is wrong for {1 - right[0.01]:.0%} (to ±1),
although no better reference exists. maxCC cannot see which ones these are. They all go into the
average.""")

# %% [markdown]
# ## 5. Align and average
#
# Of course we do not have the true particle; it is what we are looking for. So we start from an *initial guess* about
# the structure, use it as reference, and go round:
#
# 1. **Align**: find the best rotation of each image against the present reference. ($Y$, given $\Theta$)
# 2. **Average**: turn the images back by these rotations and average. This is the next reference. ($\Theta$, given $Y$)
#
# The lecture calls it *reference-based alignment*. Each half is easy, because it takes the other half as known. The
# second half is the complete data problem again (section 2).
#
# ### ✏️ Exercise 2.4: write one round
#
# Return the new reference, shape (n, n). `rotate(image, -angle)` turns one image back. (Turning is linear: to save time
# you may first add up the images that share an angle, and then turn their sum once.)

# %%
def align_and_average(images, reference, angles):
    best = best_rotation(images, reference, angles)
    average = np.zeros(images.shape[1:])
    ...  # your code
    ### BEGIN SOLUTION
    for angle in angles:
        average += rotate(images[best == angle].sum(axis=0), -angle)
    return average / len(images)
    ### END SOLUTION

check("2.4", align_and_average)

# %%
align_and_average = carry_on("2.4")

# %% [markdown]
# We have 500 images at SNR 0.1, and as initial guess a blurred ellipse: no hook, no hole, no tail.
#
# **Predict.** In which round will the hook of the particle appear? It was never in the reference.

# %%
y, x = np.indices((40, 40)) - 20
ellipse = np.exp(-(x**2 / 2 + y**2) / (2 * 6**2))

rounds = [ellipse]
for _ in range(8):
    rounds.append(align_and_average(images, rounds[-1], angles))

shown = [0, 1, 2, 3, 4, 8]
show(image_grid(np.stack([rounds[k] for k in shown]),
                columns=["guess", *(f"round {k}" for k in shown[1:])],
                alt="An ellipse, a round disc, a smear with a hook; from round 3 on the particle."))

# %% [markdown]
# ### How near is it? A score that a ring does not win
#
# To follow the climb we want one number: how much is an average like the truth? The obvious one is the *correlation*, the
# CCF divided by the lengths of both pictures. It is 1 for the same picture.
#
# **Predict.** What correlation with the truth has the rotational average, which knows not a single rotation? 0, 0.4 or
# 0.8?

# %%
def plain_correlation(image, truth):
    return np.sum(image * truth) / np.linalg.norm(image) / np.linalg.norm(truth)


ring = rotate(truth, angles).mean(axis=0)  # the particle in all rotations, averaged
for name, picture in (("rotational average", ring), ("ellipse", ellipse), ("truth", truth)):
    print(f"{name:19} plain correlation {plain_correlation(picture, truth):.2f}   "
          f"likeness {likeness(picture, truth):.2f}")

show(image_grid([truth, ring, truth - ring], columns=["particle", "rotational average", "what is left"],
                size=1.75, shared_scale="density",
                alt="The rotational average is a round smear; what is left shows the hook and the "
                    "hole, bright and dark."))

# %% [markdown]
# **Explain.** The round smear scores 0.80, and the ellipse hardly less. So a high correlation may mean no more than "it
# has about the right size". What tells one rotation from another is only what is *not* round. Therefore we take the
# rotational average away, from both pictures, and correlate what is left. That is the **likeness**, which we use from here
# on. The average may have turned as a whole, so `likeness` tries all rotations and keeps the best one.
#
# Where rotations are tried, accidents are found. How like the truth is a picture that has nothing to do with it? We take
# blobs: smoothed noise.

# %%
from scipy.ndimage import gaussian_filter

blobs = gaussian_filter(np.random.default_rng(3).standard_normal((200, 40, 40)), (0, 2, 2))
by_accident = [likeness(blob, truth) for blob in blobs]
chance = np.quantile(by_accident, 0.95)  # 95 % of them score less

# %% tags=["hide-input"]
say(f"""Of 200 pictures of blobs, half score more than {np.median(by_accident):.2f}, and one in
twenty more than {chance:.2f}. So a likeness up to {chance:.2f} means **nothing**, and only more
than that is a find.""")

# %% [markdown]
# Now the eight rounds of above.

# %%
print("round   likeness   mean squared distance per pixel")
for k, reference in enumerate(rounds[1:], start=1):
    A = rotate(reference, angles)
    squares = np.sum(images**2) - 2 * ccf(images, A).max(axis=1).sum()
    squares += len(images) * np.sum(reference**2)
    print(f"{k:3}   {likeness(reference, truth):10.2f}   {squares / images.size:26.4f}")
print("(numbers above: to ±0.01)")

# %% [markdown]
# **Explain.** The first round gives hardly more than a disc, in the second one the hook appears. Many images disagree
# with the reference in the same way, so the average moves away from it and towards the particle. The better the
# reference, the better the rotations; the better the rotations, the better the reference. The squared distance falls
# round by round, quickly at first, then hardly at all: each half-step lowers it or leaves it as it is. In the language of
# section 3, $L(Y, \Theta)$ climbs. When the rotations stop changing, the climb is over.
#
# The average has turned as a whole against the truth. That is not an error: nobody told it which way is up, and a
# turned particle is the same particle.

# %% [markdown]
# ## 6. What the initial guess does
#
# Climbing ends on the *nearest* top. It is called a **local optimum**, because there may be a higher one elsewhere. So it
# should matter where the climb begins. Four guesses:
#
# - **blurred truth**: as if we had an old map at low resolution,
# - **ellipse**: the guess of section 5, about the right size,
# - **one image**: the first of the 500, with its noise,
# - **portrait**: something that has nothing to do with the particle.
#
# **Predict.** Which of the four will reach the particle at SNR 0.1? And at SNR 0.03? At 0.01?

# %%
snrs = (0.1, 0.03, 0.01)
tracks, ends, bounds = {}, {}, {}
for snr in snrs:
    some = simulate(protein, 500, seed=4, snr=snr, progress=False)
    X, V = some.particles.images, some.specimens[0].density
    known = np.mean([rotate(image, -angle) for image, angle in zip(X, some.truth.angles[:, 2])], axis=0)
    bounds[snr] = likeness(known, V)
    guesses = {"blurred truth": gaussian_filter(V, 4), "ellipse": ellipse, "one image": X[0],
               "portrait": portrait("astronaut", box=40)}
    for name, guess in guesses.items():
        track, reference = [likeness(guess, V)], guess
        for _ in range(12):
            reference = align_and_average(X, reference, angles)
            track.append(likeness(reference, V))
        tracks[name, snr], ends[name, snr] = track, reference
        ends[name, "guess"] = guess

show(approach(tracks, bounds, chance))

# %%
columns = ["guess", *snrs]
pictures = [[ends[name, column] / ends[name, column].std() for column in columns] for name in guesses]
show(image_grid(pictures, rows=list(guesses), size=1.5,
                columns=["guess", *(f"SNR {snr}, round 12" for snr in snrs)],
                alt="SNR 0.1: the particle in all rows. SNR 0.01: only the first row shows it."))

# %%
print("likeness to the truth")
print(f"{'':14}    guess", *(f"   SNR {snr}" for snr in snrs))
for name in guesses:
    print(f"{name:14} {tracks[name, 0.1][0]:8.2f}", *(f"{tracks[name, snr][-1]:11.2f}" for snr in snrs))
print(f"{'true rotations':23}", *(f"{bounds[snr]:11.2f}" for snr in snrs))

print("\nWhat is left of the portrait? Correlation of the last average with it:")
face = ends["portrait", "guess"].ravel()
memory = {snr: np.corrcoef(ends["portrait", snr].ravel(), face)[0, 1] for snr in snrs}
for snr in snrs:
    print(f"SNR {snr}: {memory[snr]:.2f}")
print("(numbers above: to ±0.03)")

# %% tags=["hide-input"]
others = max(tracks[name, 0.01][-1] for name in guesses if name != "blurred truth")
say(f"""**Explain.** At SNR 0.1 all four guesses end at the particle, even the portrait: the images
have the last word. (Each average is turned in its own way. That does not count.)

At SNR 0.03 three of them arrive, if not quite as near. The portrait and the single image need about
ten rounds. The ellipse is still far away after twelve: {tracks["ellipse", 0.03][-1]:.2f}.

At SNR 0.01 only the one that began near the truth is near it at the end, and it has gained little:
from {tracks["blurred truth", 0.01][0]:.2f} to {tracks["blurred truth", 0.01][-1]:.2f}. With the
true rotations the same images would give {bounds[0.01]:.2f}. The other three have come nowhere:
none scores more than {others:.2f}, and blobs reach that by accident. Yet each of them *looks* like
something, a round particle with grain. And the last average of the portrait still remembers the
portrait. Their correlation is {memory[0.01]:.2f}; that of the particle with the portrait, at
SNR 0.1, is {memory[0.1]:.2f}.

(numbers above: to ±0.03)""")

# %% [markdown]
# So the lower the SNR, the more the *reference* decides, and the less the images do. What is left of the images when
# there is no signal in them at all? We come to that in section 8.

# %% [markdown]
# ## 7. Shifts too
#
# Real particles are not centred. Then the missing data $Y$ are a rotation and a shift for each image: $Y_i =
# (\varphi_i, s_i)$. Nothing else changes. The reference is compared in all rotations *and* all shifts, and the best
# place counts. But now there are many more places.
#
# The engine of the package does this for us. `search_2d` makes the list of places, `align2d` takes the rounds, and
# `MAXIMUM_CROSS_CORRELATION` tells it to keep the best place only. One difference: it divides the CCF by the length of
# the reference, $|A_\varphi|$, so that a strong reference gets no advantage.
#
# **Predict.** The particles are shifted by 10 Å (standard deviation), which is one and a half pixels. How much do we
# lose if we only look for rotations?

# %%
shifted = simulate(protein, 500, seed=5, snr=0.1, shift_sigma=10, progress=False)
V = shifted.specimens[0].density
start = gaussian_filter(V, 4).astype(np.float32)
pixel = protein.pixel_size  # Å

results = {}
for reach in (0, 2, 4):
    search = search_2d(5.0, shift_range=reach * pixel, shift_step=pixel)
    for iteration in align2d(shifted.particles, search, reference=start, space="real", iterations=8,
                             assignment=MAXIMUM_CROSS_CORRELATION, memory="64 MB"):
        results[f"±{reach} px"] = iteration.model.maps[0]  # the last one stays
    places = len(search.angles) * len(search.shifts)
    print(f"shifts up to {reach} px: {len(search.angles)} rotations × {len(search.shifts):2} shifts = "
          f"{places:4} places;   likeness {likeness(iteration.model.maps[0], V):.2f} (to ±0.01)")

known = reconstruct(shifted.truth, ndim=2, progress=False).density
print(f"true rotations and shifts: likeness {likeness(known, V):.2f}")

# %%
show(image_grid([V, start, *results.values(), known], size=1.5,
                columns=["truth", "guess", *(f"shifts {name}" for name in results), "true places"],
                alt="Without shifts the particle is blurred, with shifts nearly as sharp as can be."))

# %% [markdown]
# **Explain.** A particle that is off centre by two pixels blurs the average by two pixels. Looking for shifts brings
# the detail back. It costs 13 or 49 times as many comparisons. And it costs something else, which does not show here:
# with more places to choose from, it is easier to find one where the *noise* fits. This is the subject of the next
# section.

# %% [markdown]
# ## 8. A portrait out of noise
#
# Now we leave the particle out. We make 1,000 images of **pure noise**, and align them to a portrait. To keep the
# arithmetic exact we only shift, by multiples of 4 pixels; what leaves the image on one side comes back on the other.
# So there are $H = 16 \times 16 = 256$ places for each image.
#
# The experiment is well known under the name *Einstein from noise* (see Further reading). Our portrait is that of the
# astronaut Eileen Collins.
#
# **Predict.** What will the average of 1,000 aligned noise images look like?

# %%
face = portrait("astronaut", box=64)  # mean 0, and |face| = 1
noise = np.random.default_rng(6).standard_normal((1000, 64, 64), dtype=np.float32)

places = [(y, x) for y in range(0, 64, 4) for x in range(0, 64, 4)]             # H = 256
references = np.stack([np.roll(face, place, axis=(0, 1)) for place in places])  # (H, n, n)
scores = ccf(noise, references)                                                 # (1000, H)
aligned = np.stack([np.roll(image, (-places[k][0], -places[k][1]), axis=(0, 1))
                    for image, k in zip(noise, scores.argmax(axis=1))])

pictures = [face, noise[0], aligned[0], noise.mean(axis=0), aligned.mean(axis=0)]
show(image_grid(pictures, size=1.8, columns=["portrait", "a noise image", "the same, aligned",
                                             "average, not aligned", "average, aligned"],
                alt="The average of aligned noise shows the portrait, grainy but at once recognised."))

# %% [markdown]
# **Explain.** There is no astronaut in the noise. We chose, a thousand times, the place where the noise happens to fit
# the portrait best; so all those small accidents point the same way, and the average adds them up. This is **reference
# bias**. A look at the single aligned image would not have warned you: it is noise before and after.
#
# ### How good will the portrait be? A prediction
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $c$ | CCF of a noise image with the portrait at one place; $\lvert A \rvert = 1$ and $\sigma = 1$ here | `scores` |
# | $H$ | how many places are tried | `len(places)` |
# | $m$ | the *expected highest* of the $H$ values of $c$ | `m` |
# | $d$ | number of independent pixels: 64 × 64 = 4,096 here, because the noise is white | `d` |
# | $M$ | number of noise images in the average | `M` |
#
# Each $c$ is a sum of many random pixels. It has mean 0 and, with the portrait of length 1, standard deviation 1. But
# we do not take any $c$, we take the highest of $H$. This one has a mean $m$ well above 0. Let us measure $m$, on
# *other* noise images than those that we shall average.

# %%
fresh = np.random.default_rng(7).standard_normal((500, 64, 64), dtype=np.float32)
fresh_scores = ccf(fresh, references)
m, d = fresh_scores.max(axis=1).mean(), 64 * 64
one_place, highest = fresh_scores[:, 0], fresh_scores.max(axis=1)
print(f"one place:       mean {one_place.mean():5.2f}, standard deviation {one_place.std():.2f}")
print(f"highest of {len(places)}:  mean {highest.mean():5.2f} = m")

show(spread_of_maxima([one_place, highest], ["one place", "highest of 256 places"]))

# %% [markdown]
# **Explain.** Think of an image as an arrow with $d$ components, and of the portrait as one direction in that space.
# Now average $M$ aligned noise images.
#
# - **Along the portrait** every image contributes about $m$. An average of numbers near $m$ is $m$.
# - **In each of the other $d - 1$ directions** nothing was chosen. There the noise averages away as in section 2: what
#   is left is $1/\sqrt{M}$, its square is $1/M$. All these directions together have the squared length $(d - 1)/M$, in
#   short $d/M$.
#
# The two parts stand at right angles, so the length of the average is $\sqrt{m^2 + d/M}$ (Pythagoras). The correlation
# with the portrait is the part along the portrait, divided by the whole length:
#
# $$r(M) = \frac{m}{\sqrt{m^2 + d/M}}$$
#
# ### ✏️ Exercise 2.5: write the prediction
#
# Return $r$, one number, for given $m$, $d$ and $M$.

# %%
def predicted_correlation(m, d, M):
    ...  # your code
    ### BEGIN SOLUTION
    return m / np.sqrt(m**2 + d / M)
    ### END SOLUTION

check("2.5", predicted_correlation)

# %%
predicted_correlation = carry_on("2.5")

# %% [markdown]
# **Predict.** Will the measured correlations lie on the predicted curve? And where do images lie that were *not*
# aligned?

# %%
def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


counts = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
measured = [correlation(aligned[:M].mean(axis=0), face) for M in counts]
not_aligned = [correlation(noise[:M].mean(axis=0), face) for M in counts]

for M, value in zip(counts, measured):
    if M in (1, 10, 100, 1000):
        print(f"M = {M:4}   predicted {predicted_correlation(m, d, M):.2f}   measured {value:.2f}")

line = [predicted_correlation(m, d, M) for M in range(1, 1001)]
points = {"measured, aligned": (counts, measured), "measured, not aligned": (counts, not_aligned)}
show(noise_portrait_curve(range(1, 1001), line, points, threshold=0.5))

# %% [markdown]
# **Explain.** The formula knows nothing about astronauts. It holds for any reference. Without alignment $m = 0$, and
# the correlation stays at 0.
#
# ### Watch it grow
#
# Add the noise images one at a time (arrow keys), ten or a hundred at a time, or press *play*. You see the last noise
# image before and after alignment, the average, and its correlation with the portrait on the predicted curve.
#
# **Predict** at which $M$ you will recognise the face for the first time. Then try:
#
# 1. Take the *cat* instead. The noise images stay the same!
# 2. Switch *align* off.

# %%
noise_portrait(images=100)

# %% [markdown]
# **Explain.** There is no moment at which the portrait arrives. It is there from the first image on, only weaker than
# the noise; each further image lowers the noise. And the same noise becomes an astronaut or a cat: what comes out is
# what we put in as reference.
#
# ### ✏️ Exercise 2.6: a portrait of correlation 0.5
#
# With $m = 2.7$ and $d = 4096$: how many noise images $M$ does it take to reach a correlation of 0.5?
# Compare with the widget afterwards.

# %%
images_needed = ...  # your code
### BEGIN SOLUTION
images_needed = 4096 / (3 * 2.7**2)
### END SOLUTION

check("2.6", images_needed)

# %% [markdown]
# ### The more places, the stronger the bias
#
# **Predict.** If we try 1,024 places in place of 64, 16 times as many, will $m$ be 16 times, 4 times or 1.3 times as
# large?

# %%
grown = {}
for step in (32, 16, 8, 4, 2):
    tried = [(y, x) for y in range(0, 64, step) for x in range(0, 64, step)]
    references = np.stack([np.roll(face, place, axis=(0, 1)) for place in tried])
    best = ccf(noise, references).argmax(axis=1)
    average = np.mean([np.roll(image, (-tried[k][0], -tried[k][1]), axis=(0, 1))
                       for image, k in zip(noise, best)], axis=0)
    highest = grown[len(tried)] = ccf(fresh, references).max(axis=1).mean()
    bound = np.sqrt(2 * np.log(len(tried)))
    print(f"{len(tried):4} places:   m = {highest:.2f}   √(2 ln H) = {bound:.2f}   r predicted "
          f"{predicted_correlation(highest, d, 1000):.2f}, measured {correlation(average, face):.2f}")

# %% tags=["hide-input"]
say(f"""**Explain.** $m$ grows slowly, from {grown[64]:.1f} (to ±0.1) for 64 places to
{grown[1024]:.1f} (to ±0.1) for 1,024, {grown[1024] / grown[64]:.1f} (to ±0.1) times as large. It
stays below √(2 ln H). But it starts early: with four places there is bias already,
{grown[4]:.1f} (to ±0.1). A 3D refinement compares each image in many thousands of places, and each
of them is a chance for the noise.""")

# %% [markdown]
# With 1,024 places, only 2 pixels apart, the measured value falls a little short of the prediction. Neighbouring places
# see nearly the same picture, so the noise that was chosen is special in more directions than the one of the portrait.
# The simple formula leaves this out.

# %% [markdown]
# ## 9. How to notice
#
# No look at the average tells you whether it came from the images or from the reference. Three questions help:
#
# 1. Do two halves of the images agree, *if they share nothing*?
# 2. Does the result change if we start from something else?
# 3. Is there detail in the result that was not in the reference?
#
# We put them to the noise of section 8, and begin with the first two.
#
# **Predict.** We align two halves of the noise separately. Will the two averages look alike (a) if both were aligned to
# the astronaut, (b) if one was aligned to the astronaut and the other to the cat?

# %%
def average_of(noise, reference):
    references = np.stack([np.roll(reference, place, axis=(0, 1)) for place in places])
    best = ccf(noise, references).argmax(axis=1)
    return np.mean([np.roll(image, (-places[k][0], -places[k][1]), axis=(0, 1))
                    for image, k in zip(noise, best)], axis=0)


cat = portrait("cat", box=64)
first, second = average_of(noise[:500], face), average_of(noise[500:], face)
other = average_of(noise[500:], cat)
r = predicted_correlation(m, d, 500)
print(f"(a) same reference:     correlation of the two halves {correlation(first, second):5.2f}   "
      f"(predicted: {r:.2f}² = {r**2:.2f})")
print(f"(b) another reference:  correlation of the two halves {correlation(first, other):5.2f}")

# %% [markdown]
# **Explain.** (a) Two halves that share a reference agree with each other, although there is nothing in them. All they
# have in common is the portrait: the product of its correlations with each. Agreement between halves proves something
# **only if the halves share nothing**, not even the reference (lesson 9). (b) So *start from something else*. If the
# result follows the start, it came from the start. This was the message of section 6, too.
#
# Now the third question, the detail. We blur the reference before we align: `low_pass` keeps only waves of which at
# most six fit into the image (more on this in lesson 7).
#
# **Predict.** The average of aligned noise will look like the *blurred* portrait. Will it also contain the fine detail
# that the filter took away?

# %%
def low_pass(image, most_waves):
    k = np.fft.fftfreq(len(image), 1 / len(image))  # how many waves fit into the image, along x, y
    return np.fft.ifft2(np.fft.fft2(image) * (np.hypot(k[:, None], k) <= most_waves)).real


blurred = low_pass(face, 6)
from_blurred = average_of(noise, blurred / np.linalg.norm(blurred))
coarse, fine = low_pass(from_blurred, 6), from_blurred - low_pass(from_blurred, 6)
detail = face - blurred
print(f"coarse part of the average, with the blurred portrait: {correlation(coarse, blurred):5.2f}")
print(f"fine part of the average, with the detail taken away:  {correlation(fine, detail):5.2f}")

show(image_grid([blurred, from_blurred, detail, first, second, other], size=1.5,
                columns=["blurred reference", "average of noise", "detail taken away",
                         "half 1, to astronaut", "half 2, to astronaut", "half 2, to cat"],
                alt="A blurred face comes back as a blurred face; the cat gives a cat."))

# %% [markdown]
# **Explain.** What is not in the reference cannot be copied from it. This is why references are *low-pass filtered*
# before a refinement begins: detail beyond the filter must come from the images. It is no proof (later rounds use later
# references), but a good habit.

# %% [markdown]
# ## Summary
#
# - Alignment is an **incomplete data problem**: the images $X$ are observed, the rotations and shifts $Y$ are not.
# - With **complete data** it would be easy: turn back and average. The noise falls as $1/\sqrt{N}$.
# - **Option 1** adds $Y$ to the model and maximises $L(Y, \Theta) = P(X \mid Y, \Theta)$. With Gaussian noise this
#   means least squares, or the **maximum cross-correlation**.
# - **The maxCC approach**: start from an initial guess, compare it with each image, keep the place with the highest
#   **CCF**, **align and average**, and go round.
# - The climb ends at the nearest top. At high SNR all starts lead to the particle; at low SNR **the reference
#   decides**.
# - Any round smear of the right size correlates with the particle. A score of an average must leave the **rotational
#   average** out.
# - The highest of many values is high even for noise: $m > 0$. So pure noise gives back the reference, with the
#   correlation $m / \sqrt{m^2 + d/M}$. This is **reference bias**.
#
# maxCC always believes its best place, as if it were sure. Lesson 3 asks how sure it may be: option 2, maximum
# likelihood, keeps *all* places, each with its probability.
#
# ### What the programs call it
#
# | here | in the programs |
# |---|---|
# | keep only the place with the highest CCF | RELION: `--always_cc`, or `--firstiter_cc` for the first iteration only |
# | the same in 2D classification | cryoSPARC: *Force Max over poses/shifts* |
# | score with the correlation | SIMPLE: `objfun=cc` |
# | align and average with correlation, for classes | XMIPP: `xmipp_classify_CL2D` with `--distance correlation` |
# | blur the initial guess | RELION: `--ini_high`, the *initial low-pass filter* in Å |
#
# ### Further reading
#
# - R. Henderson, *Avoiding the pitfalls of single particle cryo-electron microscopy: Einstein from noise*, Proc. Natl.
#   Acad. Sci. USA 110, 18037 (2013), [doi:10.1073/pnas.1314449110](https://doi.org/10.1073/pnas.1314449110): the
#   portrait, and why it is no joke.
# - A. Balanov, W. Huleihel, T. Bendory, *Einstein from noise: statistical analysis*, arXiv (2024),
#   [doi:10.48550/arXiv.2407.05277](https://doi.org/10.48550/arXiv.2407.05277): what exactly aligned noise converges to.
# - P. A. Penczek, *Fundamentals of three-dimensional reconstruction from projections*, Methods Enzymol. 482, 1 (2010),
#   [doi:10.1016/S0076-6879(10)82001-4](https://doi.org/10.1016/S0076-6879(10)82001-4): what comes after the rotations
#   are known.
#
# ### Where you stand

# %%
progress(2)
