# %% [markdown]
# # Lesson 10: A whole refinement
#
# **The question.** You have a STAR file with particles. How do you come to a map, and how do you know what it is worth?
#
# **After this lesson you can**
# - take a data set from particle images to a map: 2D classes, initial model, 3D classes, refinement,
# - say at each step what is known, what is hidden, and what the program decides,
# - throw out what does not belong, without looking at what you hope for,
# - read an FSC with and without a mask, and say what may be claimed,
# - sharpen a map, and find its hand.
#
# **Time:** about 90 minutes. The cells themselves take two minutes.
#
# **What comes before:** everything. This lesson recapitulates the course, in the order in which one works:
#
# | step | hidden | lesson |
# |---|---|---|
# | 2D classification | class, rotation, shift | 4 |
# | initial model | direction of view, rotation, shift | 5 |
# | 3D classification | class, direction of view, rotation, shift | 6 |
# | gold-standard refinement | direction of view, rotation, shift; twice, in halves | 9 |
#
# All four are the same loop: E-step, M-step, and again. Only the hypotheses, the start and the prior differ.
#
# **How it works.** As before: *predict*, *run*, *explain*. Exercises are marked ✏️.

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryoedu.arrays import library
from cryoedu.course import carry_on, check, hint, progress, say
from cryoedu.datasets import load
from cryoedu.datasets.junk import with_junk
from cryoedu.figures import image_grid, show
from cryoedu.figures.fourier import curves as draw_curves
from cryoedu.figures.runs import class_averages, directions, fsc_curves, map_views
from cryoedu.geometry.fourier import shellwise
from cryoedu.geometry.grids import search_2d, search_3d
from cryoedu.geometry.masks import solvent_mask
from cryoedu.inference import (Sampling, classify2d, classify3d, gold_standard, opening,
                               stochastic_gradient_descent)
from cryoedu.inference.model import signal_power
from cryoedu.microscope.experiment import simulate
from cryoedu.microscope.noise import coloured
from cryoedu.particles.star import read_particles, write_particles
from cryoedu.validation.alignment import score_map
from cryoedu.validation.classes import agreement, contingency
from cryoedu.validation.fsc import fsc as correlate
from cryoedu.validation.fsc import resolution, resolution_text
from cryoedu.validation.masked import masked_fsc
from cryoedu.widgets.mapviewer import map_viewer

progress(10)

# %% [markdown]
# ## 1. A data set
#
# This cell plays the microscope. It makes images of whole ribosomes and of free large subunits, half and half, in all
# orientations, shifted by some Å, each with its own defocus, under coloured noise at SNR 0.25. It adds an eighth of images
# of nothing but ice, as particle pickers do. The microscope also blurs: an envelope of $B = 500$ Å², which it does not
# tell anybody. Then everything goes to disk, as a STAR file and a stack.
#
# On a GPU it makes as many particles as the data set of the lecture has: 91,114. On a CPU it makes 2,000, and the later jobs
# keep to 200 MB of memory, so that the lesson fits a small seat. All later cells are the same.
#
# A whole refinement is a long chain of small decisions. Another processor rounds the last digit of a product in another way,
# a particle on the fence falls to the other side, and all that follows is a little different. So where this lesson writes
# "(to ±…)" after a number, yours may differ by that much.

# %%
box, pixel_size = 48, 352 / 48
on_cpu = library("auto") is library("numpy")
count, memory = (2_000, "200 MB") if on_cpu else (91_114, None)  # None: half of what is free
states = [load(name, box=box, pixel_size=pixel_size)
          for name in ("ribosome-80S", "ribosome-large-subunit")]
made = simulate(states, count, seed=1, snr=0.25, noise=coloured, shift_sigma=5,
                defocus=(10_000, 30_000), astigmatism=500, b_factor=500, particle_diameter=310,
                progress=False)

data, kind = with_junk(made, empty=count // 8, spots=0, seed=2)   # 0: 80S, 1: large subunit, 2: ice
data = replace(data, ctf=replace(data.ctf, b_factor=np.zeros(len(data))))    # not a word about B

folder = Path(tempfile.mkdtemp())
write_particles(data, folder / "particles.star")
print("\n".join((folder / "particles.star").read_text().splitlines()[:12]), "\n…")

# %% [markdown]
# From here on we only have the STAR file, as you would. (`kind` is the truth. We look at it to judge our choices,
# never to make them.)
#
# **Predict.** Which of these images hold a particle?

# %%
particles = read_particles(folder / "particles.star")
print(f"{len(particles)} particles of {particles.box} pixels, {particles.pixel_size:.2f} Å each")
print(f"defocus from {particles.ctf.defocus_v.min():.0f} to {particles.ctf.defocus_u.max():.0f} Å")

show(image_grid([particles.images[np.arange(6)], particles.images[np.arange(6, 12)]],
                pixel_size=particles.pixel_size,
                alt="Twelve images of grain. In some a faint bright patch can be guessed."))

# %% [markdown]
# **Explain.** You can guess, not more. The STAR file has one table for the optics and one for the particles: image name and
# defocus. No orientation, no class. Those are the hidden data.
#
# ### ✏️ Exercise 10.1: the finest detail
#
# The images are 352 Å wide and have 48 pixels. What is the finest resolution, in Å, that they can show?

# %%
finest = ...  # your code
### BEGIN SOLUTION
finest = 2 * 352 / 48
### END SOLUTION

check("10.1", finest)

# %% [markdown]
# ## 2. 2D classes: throw out the ice
#
# Eight references, each from the average of a random subset. The radius of the shells that are used opens from shell 3 to
# shell 12: first the coarse shape decides, then the detail.
#
# **Predict.** What will the average of a class of ice look like?

# %%
*_, iteration = classify2d(particles, 8, search_2d(10, shift_range=10, shift_step=10), seed=1,
                           iterations=15, radii=opening(3, 12, 10), memory=memory)
counts = np.bincount(iteration.posterior.classes, minlength=8)
largest = np.argsort(-counts)
averages = iteration.model.maps

show(class_averages(averages[largest], [f"class {k + 1}: {counts[k]}" for k in largest],
                    pixel_size=particles.pixel_size, columns=4),
     alt="The averages of the classes, each with the number of its particles, the largest class first. "
         "Most show a bright particle before a dark background. What ice attracted shows rings and "
         "clouds.")

# %% [markdown]
# **Explain.** Each average shows the views that one reference attracted. What ice attracted is different: rings and clouds,
# and nothing that stands out from a dark background. But take care, each picture above has its own grey scale! The *strength*
# of an average, the variance of its pixels, tells more:

# %%
few = count // 250  # how many particles another processor may put elsewhere
for k, average in enumerate(averages):
    print(f"class {k + 1}: {counts[k]:4} (to ±{few}) particles, "
          f"variance of the average {average.var():5.2f} (to ±0.2)")

# %% [markdown]
# ### ✏️ Exercise 10.2: choose the classes
#
# Write the rule down instead of clicking: keep the classes that have particles (`counts` above 0) and whose average has a
# variance of at least 0.1 times the largest one. `averages` is (K, n, n), `counts` is (K,). Return (K,), True or False.

# %%
def keep_classes(averages, counts):
    ...  # your code
    ### BEGIN SOLUTION
    power = np.var(averages, axis=(1, 2))
    return (power >= 0.1 * power.max()) & (counts > 0)
    ### END SOLUTION

check("10.2", keep_classes)

# %%
keep_classes = carry_on("10.2")

kept = np.flatnonzero(keep_classes(averages, counts)[iteration.posterior.classes])
print(f"kept {len(kept)} (to ±{few}) of {len(particles)} particles")
print(f"ice among them: {np.sum(kind[kept] == 2)} (to ±{few}) of {np.sum(kind == 2)}")
print(f"particles lost: {np.sum(kind < 2) - np.sum(kind[kept] < 2)} (to ±{few})")
particles, kind = particles.subset_of(kept), kind[kept]

# %% [markdown]
# **Explain.** Ice has nothing in common with ice, so its average is flat. That separates it from particles, whatever they
# look like. We did *not* choose the classes that look like a ribosome. A rule that prefers what you expect is the first
# step to Einstein from noise (lesson 2).

# %% [markdown]
# ## 3. An initial model
#
# Nothing is known about directions yet. Stochastic gradient descent (lesson 5) starts from a random map and takes 60 steps,
# each on another small batch of particles.
#
# **Predict.** Two different specimens are still mixed. What will the map show?

# %%
coarse = search_3d(1, shift_range=10, shift_step=10)  # directions some 30° apart
*_, iteration = stochastic_gradient_descent(particles, coarse, seed=1, iterations=60,
                                            memory=memory)
initial = iteration.model.maps[0]
show(map_views([initial], ["initial model"], pixel_size=particles.pixel_size))

# %% [markdown]
# **Explain.** A blob with the outline of something real. It is a compromise: where only half of the particles have mass
# (the small subunit), it is less dense. And its hand is a matter of chance: a map and its mirror image have the same
# projections (lesson 5). We keep that in mind.

# %% [markdown]
# ## 4. 3D classes
#
# Two classes, each from a random half of the particles, aligned once against the initial model (lesson 6).
#
# **Predict.** How many particles will end in the wrong class?

# %%
*_, iteration = classify3d(particles, initial, 2, coarse, seed=1, iterations=12,
                           radii=opening(3, 11, 10), memory=memory)
mass = iteration.model.maps.sum(axis=(1, 2, 3))
whole = int(np.argmax(mass))          # the number of the class with more mass, whichever it is
order = [whole, 1 - whole]
classes = iteration.posterior.classes
show(map_views(iteration.model.maps[order], [f"class {k + 1}: {np.sum(classes == k)}" for k in order],
               pixel_size=particles.pixel_size),
     alt="Slices and projections of the maps of both classes, the heavier one first. The other lacks "
         "a part of it.")

# %%
table = contingency(classes[kind < 2], kind[kind < 2])
print("                         80S             large subunit")
for name, k in zip(("more", "less"), order):
    print(f"class with {name} mass   {table[k, 0]:5} (to ±{2 * few})   {table[k, 1]:5} (to ±{2 * few})")
print(f"in the right class: {agreement(classes[kind < 2], kind[kind < 2]):.0%} (to ±2)")
print(f"mass of the lighter class: {mass[1 - whole] / mass[whole]:.2f} (to ±0.05) of the heavier one's")

# %% [markdown]
# **Explain.** One class has more mass than the other. That is the whole ribosome, with its small subunit. We find it by its
# mass, not by its number, which is chance.
#
# Some particles are in the wrong class. Did they know? Γ of a class says how sure a particle is of it.

# %% tags=["hide-input"]
chosen_gamma = iteration.posterior.class_probability.max(axis=1)
misplaced = (kind < 2) & ((classes == whole) != (kind == 0))
sure = np.mean(chosen_gamma[misplaced] > 0.9)
say(f"Of the {misplaced.sum()} (to ±{2 * few}) misplaced particles half give more than "
    f"{np.median(chosen_gamma[misplaced]):.2f} (to ±0.1) of Γ to the wrong class, and "
    f"{sure:.0%} (to ±10) give it more than 0.9. The median of all others is "
    f"{np.median(chosen_gamma[~misplaced]):.3f} (to ±0.01). So "
    + ("many" if sure > 0.2 else "some" if sure else "none")
    + " of the misplaced are *sure and wrong*, as in lesson 6: Γ compares the two maps of this moment, "
    "on this grid. It does not know that better maps would tell another story.")

# %% [markdown]
# ## 5. Refinement, in two halves
#
# We take the class of the whole ribosome. Its particles are split into two halves, and each half is refined against its own
# map (lesson 9). What both find, though they never met, is signal.
#
# ### ✏️ Exercise 10.3: split the particles
#
# Return two arrays of row numbers: a random half of 0 … `count` − 1, and the rest. Take all randomness from `rng`.

# %%
def split(count, rng):
    ...  # your code
    ### BEGIN SOLUTION
    order = rng.permutation(count)
    return order[: count // 2], order[count // 2 :]
    ### END SOLUTION

check("10.3", split)

# %%
split = carry_on("10.3")

chosen = particles.subset_of(np.flatnonzero(classes == whole))
halves = split(len(chosen), np.random.default_rng(3))
subset = np.empty(len(chosen), dtype=int)
for half, rows in enumerate(halves, start=1):
    subset[rows] = half
chosen = replace(chosen, subset=subset)  # in a STAR file: rlnRandomSubset

# %% [markdown]
# Now let it run: it chooses how finely to sample the orientations, and when to stop. This is the longest cell of the course,
# about a minute.
#
# **Predict.** The images cannot show more than 14.7 Å. Where will the halves stop agreeing?

# %% tags=["nbval-ignore-output"]
fsc_after, agreed = {}, {}
for step in gold_standard(chosen, iteration.model.maps[whole],
                          search_3d(2, shift_range=10, shift_step=10), seed=1, diameter=310,
                          sampling=Sampling(finest=3), iterations=12, memory=memory):
    fsc_after[step.number] = step.fsc
    agreed[step.number] = resolution_text(step.fsc, pixel_size, last=step.resolved)
    print(f"iteration {step.number:2}: shells to {step.resolution:4.1f} Å used, "
          f"halves agree to {agreed[step.number]}")

# %%
frequencies = np.arange(box // 2 + 1) / (box * pixel_size)
show(fsc_curves(frequencies, {f"iteration {n}": fsc_after[n] for n in (1, 3, step.number)}),
     alt="FSC of the halves after the first, the third and the last iteration. Each curve falls later "
         "than the one before.")

# %%
show(map_views([initial, step.model.maps[0]], ["initial model", "refined"], pixel_size=pixel_size))

# %%
show(directions(step.posterior.angles),
     alt="A map of all directions of view. Particles were seen from everywhere, from some sides more "
         "often than from others.")

# %% tags=["hide-input"]
steps = 15 / 2 ** step.state["halvings"]  # degrees between neighbouring orientations, in each iteration
say(f"The halves agree further and further: to {agreed[1]} (to ±2) "
    f"after the first iteration, to {agreed[step.number]} (to ±1) after the last. So "
    "finer shells are used, which makes the orientations better, and so on. Where an iteration brings "
    "no further shell, the next one samples the orientations twice as finely: "
    f"every {steps[0]:.1f}° at first, every {steps[-1]:.1f}° (to ±2) in the end.")

# %% [markdown]
# **Explain.** Images of pure noise can be aligned too, and then two halves may agree by accident. So a shell counts only if
# the halves agree in it and in all coarser ones, and if so much agreement cannot be chance.
#
# The first curves fall to 0 at once where their shells end: nothing finer had been looked at. Find the steps in
# the list that the long cell printed: the same shells for a while, then, with a finer grid, it often goes on. Where no finer
# grid is left and two iterations bring nothing, one last iteration uses all shells. The picture of the directions shows from
# where the particles were seen: all directions occur, with some unevenness that is chance. (A picture with few spots would
# be a warning: see the missing cone of lesson 7.)

# %% [markdown]
# ## 6. What may be claimed?
#
# The FSC above counts the whole box, and most of a box is empty. Noise in the solvent lowers the FSC. So one masks both
# halves. But a mask is the same for both, and *by itself* makes them correlate: too tight a mask invents resolution.
#
# The test (Chen *et al.* 2013): replace the phases beyond some shell by random ones, in both halves, and apply the mask. What
# correlates now, $F_{\text{random}}$, comes from the mask alone. With $F_{\text{masked}}$, the FSC of the masked halves, the true
# one is
#
# $$F = \frac{F_{\text{masked}} - F_{\text{random}}}{1 - F_{\text{random}}}$$
#
# ### ✏️ Exercise 10.4: take off what the mask brings
#
# `masked` and `randomised` have one number for each shell. Return $F$ of each shell.

# %%
def corrected(masked, randomised):
    ...  # your code
    ### BEGIN SOLUTION
    return (masked - randomised) / (1 - randomised)
    ### END SOLUTION

check("10.4", corrected)

# %%
corrected = carry_on("10.4")

# %% [markdown]
# **Predict.** Which of the four curves will be the highest, and which the lowest? Will the mask make the resolution better?

# %%
half1, half2 = step.state["halves"]  # as they came out of the M-step: neither filtered nor masked
mask = solvent_mask(step.model.maps[0], pixel_size)
curves = masked_fsc(half1, half2, mask, pixel_size)
after = np.arange(box // 2 + 1) >= curves.first_random + 2  # before, the phases were kept
fsc = np.where(after, corrected(curves.masked, np.where(after, curves.randomised, 0)), curves.masked)

show(fsc_curves(frequencies, {"whole boxes": curves.unmasked, "masked": curves.masked,
                              "masked, random phases": curves.randomised, "corrected": fsc}),
     alt="Four FSC curves. That of the masked halves lies above that of the whole boxes. With random "
         "phases it falls steeply where they begin.")

# %%
for name, curve in (("whole boxes", curves.unmasked), ("masked", curves.masked), ("corrected", fsc)):
    print(f"{name:12} {resolution_text(curve, pixel_size)} (to ±1.5) at FSC = 0.143")

# %% tags=["hide-input"]
by_mask = curves.inflation  # the highest point of the curve with random phases, beyond where they begin
say("The mask takes away noise, so the masked curve is higher than that of the whole boxes. The curve "
    "with random phases says how much of that is the mask's own doing. Beyond the shells where the "
    f"phases become random it does not exceed {by_mask:.2f} (to ±0.06). "
    + ("That is little, because the mask is soft and wide: the correction is small."
       if by_mask < 0.15 else
       "That is much: a good part of the masked correlation there is the mask's own.")
    + " The corrected curve is the one to report.")

# %% [markdown]
# ## 7. Sharpening
#
# The envelope has made the fine detail weak, by $\exp(-B u^2/4)$ at the frequency $u$. To see it, the map is *sharpened*: the
# decay is undone. But the noise at high frequency would be blown up, too. So every shell is also weighed by how much of it is
# signal. For the map of all particles that is $\sqrt{2F/(1+F)}$, the correlation that it would have with the truth (lesson 9).
#
# **Which map do we begin with?** Not with the refined one. Its prior has weighed each shell already: the Wiener filter of
# lesson 9 turns down what is mostly noise. To weigh it once more would weaken the fine detail twice. So we begin with the
# plain mean of the two halves, as they came out of the M-step.
#
# ### ✏️ Exercise 10.5: write the weights
#
# `frequencies` (1/Å) and `fsc` have one number for each shell. Return $\exp(B u^2/4)\,\sqrt{2F/(1+F)}$, and 0 where $F$ is
# negative.

# %%
def sharpening_weights(frequencies, fsc, b_factor):
    ...  # your code
    ### BEGIN SOLUTION
    F = np.maximum(fsc, 0)
    return np.exp(b_factor * frequencies**2 / 4) * np.sqrt(2 * F / (1 + F))
    ### END SOLUTION

check("10.5", sharpening_weights)

# %% [markdown]
# In real life $B$ is not known. Programs fit it to the map where it is finer than some 10 Å, which ours is not. We try three.
#
# **Predict.** Which one is too much?

# %%
sharpening_weights = carry_on("10.5")

final, mean = step.model.maps[0], (half1 + half2) / 2
tried = {"refined": final}
for b_factor in (0, 500, 3000):
    weights = sharpening_weights(frequencies, fsc, b_factor)
    tried[f"B = {b_factor}"] = shellwise(mean, weights, 3) * mask
    stronger = np.exp(b_factor / 4 / 17**2)
    print(f"B = {b_factor:4} Å²: detail of 17 Å is made {stronger:4.1f} times as strong")
show(map_views(list(tried.values()), list(tried), pixel_size=pixel_size))

# %% [markdown]
# Does it give back what was lost? We know the truth here, so we can compare: how strong is each shell of these maps beside the
# same shell of the truth? We call it 1 at the coarse shell of 59 Å.

# %%
strength = np.sqrt(signal_power(np.stack(list(tried.values()))) / signal_power(states[0].density[None]))
strength /= strength[:, 6:7]  # shell 6: 352 Å / 6 = 59 Å
show(draw_curves(frequencies, dict(zip(tried, strength)), ylabel="strength / that of the truth",
                 limits=(0, 2), points=True,
                 alt="That of the refined map falls the most. With B = 0 it falls less, with B = 500 "
                     "it stays the nearest to 1, and with B = 3000 it leaves the picture at the top."))

# %% tags=["hide-input"]
at = dict(zip(tried, strength[:, 20]))  # shell 20: 17.6 Å
say(f"At 17.6 Å the refined map has {at['refined']:.2f} (to ±0.1) of the truth's strength, and the "
    f"weighted mean {at['B = 0']:.2f} (to ±0.1). With the right $B$ this becomes "
    f"{at['B = 500']:.2f} (to ±0.15): what the envelope took is given back. With the wrong "
    f"one it is {at['B = 3000']:.1f} (to ±1), far too much.")

# %% [markdown]
# **Explain.** With the right $B$ the inner detail has more contrast. At 17 Å the envelope itself had not taken much, a third.
# (At 4 Å it would be a factor of thousands.) With far too much, the last shells drown everything else, and the map turns into
# grain that looks like detail. (Strength is not truth: noise has strength, too, and in the last shells most of it is noise.)
# Note that the FSC of the halves did not change at all: it compares each shell with itself, so no weight can improve it.
# Sharpening helps the eye, not the data.

# %% [markdown]
# ## 8. The hand, and the truth
#
# We know the truth, so we can ask what nobody can ask in real life. The map is turned onto the true one, in both hands, and
# the better hand is kept. An FSC with the truth is read at 0.5, one of two halves at 0.143 (lesson 9).
#
# **Predict.** Is the hand right? Is the reported resolution true?

# %%
score = score_map(final, states[0].density, pixel_size, wanted=20, diameter=310)
print(f"the map had to be mirrored: {score.alignment.mirrored}")
aligned, truth = score.alignment.aligned, states[0].density
in_mask = correlate(aligned, truth, mask=solvent_mask(aligned, pixel_size))

print("reported, of the halves in the mask:    "
      f"{resolution_text(fsc, pixel_size)} (to ±1.5) at FSC = 0.143")
print("true, in a mask made in the same way:   "
      f"{resolution_text(in_mask, pixel_size, threshold=0.5)} (to ±1.5) at FSC = 0.5")
print("reported, of the halves in whole boxes: "
      f"{agreed[step.number]} (to ±1) at FSC = 0.143")
print("true, in a sphere:                      "
      f"{resolution_text(score.fsc, pixel_size, threshold=0.5)} (to ±1.5) at FSC = 0.5")

# %%
show(map_views([aligned, truth], ["refined, turned", "truth"], pixel_size=pixel_size))

# %% [markdown]
# ### Look at it
#
# The viewer shows the same two maps side by side. Tab moves from control to control, the arrow keys move the sliders. Walk
# through the slices, then choose a level for the surface.
#
# 1. Find the gap between the two subunits in both maps.
# 2. Raise the level of the surface. What disappears first in the refined map: what is real, or what is grain?

# %%
map_viewer([aligned, truth], pixel_size=pixel_size, names=["refined", "truth"], level=2.2)

# %% tags=["hide-input"]
nyquist = 2 * pixel_size  # what a curve that never falls counts as
reported = resolution(fsc, pixel_size, threshold=0.143) or nyquist
true = resolution(in_mask, pixel_size, threshold=0.5) or nyquist
in_box = resolution(step.fsc, pixel_size, last=step.resolved) or nyquist
say(("This time the hand is **wrong**: the map is a mirror image of the truth, and was mirrored before "
     "it was compared."
     if score.alignment.mirrored else
     "This time the hand is **right**: the map could be turned onto the truth as it was.")
    + "\n\nThe resolution of the halves in a mask, and the true one in a mask that was made in the "
    f"same way, differ by {abs(reported - true):.1f} Å (to ±1.5). That is what the two halves are for. "
    "Note how much the *number* depends on what is counted: the same map has "
    f"{reported:.1f} Å (to ±1.5) in its mask and {in_box:.1f} Å (to ±1) in the whole box. A resolution "
    "without a word on the mask says little.")

# %% [markdown]
# **Explain.** The hand was decided by chance in section 3, and nothing since could change it: every projection of the map fits
# as well as one of its mirror image. (Another seed may give the other hand. Try it.) In real life one finds the hand from the
# map itself, as soon as α-helices can be seen, or by tilting the sample. Mirroring costs nothing.

# %% [markdown]
# ## 9. Ninety thousand particles
#
# The lecture's data set has 91,114 particles. How much work is that? In an E-step over a whole grid, each particle is compared
# with every orientation, every shift and every class, in every Fourier component, and each comparison takes four
# multiplications and additions (two real numbers for the component, two products: one with the reference, one with its power).
#
# **Predict.** How long would *one* such iteration take at 100 billion operations per second, which is what two cores of a
# laptop do at best?

# %%
grid = search_3d(4, shift_range=10, shift_step=2.5)  # directions and rotations some 4° apart
components_used = 800  # up to shell 22, half of them conjugates of the others
pairs = len(grid.angles) * len(grid.shifts)
print(f"{len(grid.angles):,} orientations × {len(grid.shifts)} shifts = "
      f"{pairs:,} hypotheses for each class")
for particles_in_all, K in ((2_000, 2), (91_114, 4)):
    operations = 2 * 4 * particles_in_all * K * pairs * components_used  # 4 times, and 4 plus
    print(f"{particles_in_all:6,} particles, K = {K}: "
          f"{operations / 1e12:7,.0f} million million operations, "
          f"{operations / 1e11 / 3600:3.0f} h at 10¹¹ a second")

# %% [markdown]
# **Explain.** This is arithmetic, not a measurement. It says why programs do not search whole finest grids. They look at
# few shells first; they follow only the hypotheses that hold nearly all of Γ to finer steps; they search around the last pose
# once it is known. You saw all three: `opening`, `gold_standard` with its growing shells and its finer and finer sampling.
# And it says why GPUs changed the field: they do a hundred times as many operations per second. On a machine with one, the
# cells of this lesson run on as many particles as the lecture's data set has.

# %% [markdown]
# ## Summary: recapitulating
#
# - Alignment and classification are **incomplete data problems**. They are best dealt with by **marginalisation** (ML): sum over
#   what is hidden, weighted with its probability Γ.
# - **2D and 3D problems are very similar.** One loop did all four steps of this lesson.
# - **Fourier space is most convenient**: the CTF is a multiplication, projections are slices, noise is coloured, and the
#   regularised likelihood gives 'optimal' filters.
# - What does not belong is thrown out by what it *lacks* (something in common), not by what we hope to see.
# - Two halves that never meet say what is signal. A mask must be paid for. Sharpening adds nothing.
# - The hand is not in the projections.
#
# ### What the programs call it
#
# | step | RELION | cryoSPARC | SIMPLE | XMIPP (`xmipp_…`) |
# |---|---|---|---|---|
# | 2D classes | Class2D; *Subset selection* | 2D Classification; Select 2D | `cluster2D` / `abinitio2D` | `classify_CL2D` |
# | initial model | 3D initial reference | Ab-Initio Reconstruction | `initial_3Dmodel` / `abinitio3D` | `reconstruct_significant` |
# | 3D classes | Class3D | Heterogeneous Refinement, 3D Classification | `cluster3D` | `ml_refine3d` |
# | refinement | Refine3D (auto-refine) | Homogeneous Refinement | `refine3D` | `angular_projection_matching` |
# | mask, FSC, sharpening | PostProcess | in the refinement itself; Sharpening Tools | `postprocess` | `resolution_fsc`, `volume_correct_bfactor` |
#
# The same steps from a shell are `cryoedu classify2d`, `initial-model`, `classify3d` and `refine3d`. Each takes a STAR file.
# Try them on yours.
#
# ### Further reading
#
# - S. H. W. Scheres, *Processing of structurally heterogeneous cryo-EM data in RELION*, Methods Enzymol. 579, 125 (2016),
#   [doi:10.1016/bs.mie.2016.04.012](https://doi.org/10.1016/bs.mie.2016.04.012): this lesson, at full size.
# - S. H. W. Scheres, S. Chen, *Prevention of overfitting in cryo-EM structure determination*, Nat. Methods 9, 853 (2012),
#   [doi:10.1038/nmeth.2115](https://doi.org/10.1038/nmeth.2115): two halves.
# - S. Chen *et al.*, *High-resolution noise substitution to measure overfitting and validate resolution in 3D structure
#   determination by single particle electron cryomicroscopy*, Ultramicroscopy 135, 24 (2013),
#   [doi:10.1016/j.ultramic.2013.06.004](https://doi.org/10.1016/j.ultramic.2013.06.004): random phases.
# - P. B. Rosenthal, R. Henderson, *Optimal determination of particle orientation, absolute hand, and contrast loss in
#   single-particle electron cryomicroscopy*, J. Mol. Biol. 333, 721 (2003),
#   [doi:10.1016/j.jmb.2003.07.013](https://doi.org/10.1016/j.jmb.2003.07.013): B-factors, FSC 0.143 and the hand.
#
# ### Where you stand

# %%
progress(10)
