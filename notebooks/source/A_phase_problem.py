# %% [markdown]
# # Aside A: The phase problem
#
# **The question.** The lecture calls the phase problem of X-ray diffraction *another famous incomplete data problem*.
# What is missing there? And can one find it again?
#
# **After this aside you can**
# - say what a diffraction experiment measures, what it loses, and why the loss hurts,
# - find lost phases by going back and forth between what was measured and what is known,
# - say why such a search gets stuck, what a twin is, and why one starts it several times,
# - name observed data, missing data and model, here and in cryo-EM.
#
# **Time:** about 30 minutes. The cells themselves run in a few seconds.
#
# **What comes before:** lesson 2, maxCC alignment. This aside is not needed for the lessons that follow. It looks at
# the same idea from another side.
#
# **How it works.** As in the lessons: *predict*, *run*, *explain*. Exercises are marked ✏️. `check` tells you where you
# stand, `hint("A.1")` gives a hint.

# %%
import numpy as np

from cryoedu.course import carry_on, check, hint, progress, say
from cryoedu.datasets.portraits import portrait
from cryoedu.figures import image_grid, show
from cryoedu.figures.phases import amplitudes_and_phases, error_curves
from cryoedu.widgets.phase_stepper import phase_stepper

progress("A")

# %% [markdown]
# ## 1. What is measured, what is lost
#
# Any picture can be written as a sum of **waves**: light and dark stripes of all widths and directions. Each wave has
# an **amplitude** (how strong are the stripes?) and a **phase** (where do the light stripes lie?). The list of all
# waves is the *Fourier transform* of the picture. You need no more than this here; lesson 7 is about the Fourier
# transform.
#
# $$F_k = |F_k| \, e^{i\psi_k} = \sum_j V_j \, e^{-2\pi i\, k \cdot j / n}$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $V_j$ | the density of the object at pixel $j$: the **model** $\Theta$ | `density` |
# | $F_k$ | wave number $k$, a complex number; $n$ is the number of pixels along a side | `np.fft.fft2(density)` |
# | $\lvert F_k \rvert$ | its amplitude: the **observed data** $X$ | `np.abs(…)`, `measured` |
# | $\psi_k$ | its phase: the **missing data** $Y$ | `np.angle(…)` |
#
# A detector behind an object in an X-ray beam counts photons. The number of photons tells how strong each wave is, but
# not where its stripes lie. So the amplitudes are measured, and **the phases are lost**.
#
# (A cryo-electron microscope does not have this problem. Its lenses form an *image*, and in an image we see where the
# stripes lie. It has lost something else: the orientations.)
#
# **Predict.** A portrait of 32 × 32 pixels lies in an empty window of 64 × 64 pixels. Will you see the face in its
# amplitudes? In its phases?

# %%
face = portrait("astronaut", box=32)
face = (face - face.min()) / np.ptp(face)        # density from 0 to 1

density = np.zeros((64, 64))
density[16:48, 16:48] = face
measured = np.abs(np.fft.fft2(density))          # what the detector gives us

show(amplitudes_and_phases(density))

# %% [markdown]
# **Explain.** Neither of them looks like a face. The amplitudes are large in the middle, where the wide stripes are:
# all pictures of this world look roughly like this. The phases look like noise. Which one carries the picture?

# %% [markdown]
# ## 2. The phases carry the picture
#
# ### ✏️ Exercise A.1: an image from amplitudes and phases
#
# Make the complex waves, amplitude · exp(i · phase), and transform them back to an image with `np.fft.ifft2`. Return
# its real part. Both arrays have the shape (n, n), and so has the image. (In Python, the imaginary unit is written `1j`.)

# %%
def combine(amplitudes, phases):
    ...  # your code
    ### BEGIN SOLUTION
    return np.fft.ifft2(amplitudes * np.exp(1j * phases)).real
    ### END SOLUTION

check("A.1", combine)

# %%
combine = carry_on("A.1")

# %% [markdown]
# Now we take two portraits apart, and put them together again the wrong way.
#
# **Predict.** The amplitudes of the astronaut with the phases of the cat: whom will you see?

# %%
astronaut, cat = portrait("astronaut", box=128), portrait("cat", box=128)
F_astronaut, F_cat = np.fft.fft2(astronaut), np.fft.fft2(cat)

cat_phases = combine(np.abs(F_astronaut), np.angle(F_cat))
astronaut_phases = combine(np.abs(F_cat), np.angle(F_astronaut))

show(image_grid([astronaut, cat, cat_phases, astronaut_phases], size=2.2,
                columns=["astronaut", "cat", "amplitudes: astronaut\nphases: cat",
                         "amplitudes: cat\nphases: astronaut"],
                alt="One sees whoever gave the phases, whatever the amplitudes."))

# %%
def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


for name, mixture in (("phases of the cat", cat_phases), ("phases of the astronaut", astronaut_phases)):
    print(f"{name:24}  correlation with the cat {correlation(mixture, cat):5.2f}, "
          f"with the astronaut {correlation(mixture, astronaut):5.2f}")

# %% [markdown]
# **Explain.** You see whoever gave the *phases*. That is why their loss hurts.
#
# It is also a warning. Crystallographers often borrow the phases of a similar, known molecule (*molecular
# replacement*). The map then shows the borrowed molecule, even where the amplitudes belong to another one. Compare the
# portrait out of noise in lesson 2: **model bias** is the same danger, with phases in the place of orientations.

# %% [markdown]
# ## 3. What else do we know?
#
# The amplitudes alone do not tell the object: *any* phases give some density that fits them. We need further knowledge.
# Two things are often known:
#
# - **Support.** The object is smaller than the window, and we know where it can be. Everywhere else the density is 0.
# - **Positivity.** There is no negative matter. (X-rays see electrons, and their density is positive.)
#
# So we look for a density that obeys two kinds of rules: it has the measured amplitudes, *and* it fits into the support
# and is not negative. Each rule on its own is easy to fulfil. Here is the idea of Gerchberg and Saxton (1972) and of
# Fienup (1978): go back and forth, and each time change no more than one rule asks for.
#
# ### ✏️ Exercise A.2: the rule of the amplitudes
#
# Give a density the measured amplitudes, and keep its phases. Return the new density, (n, n). You have `combine`.

# %%
def with_measured_amplitudes(density, measured):
    ...  # your code
    ### BEGIN SOLUTION
    return combine(measured, np.angle(np.fft.fft2(density)))
    ### END SOLUTION

check("A.2", with_measured_amplitudes)

# %%
with_measured_amplitudes = carry_on("A.2")

# %% [markdown]
# ### ✏️ Exercise A.3: the rule of the object
#
# Keep the density where it is inside the `support` (an array of True and False) *and* positive. Everywhere else it is
# 0. Return the new density, (n, n).

# %%
def with_known_object(density, support):
    ...  # your code
    ### BEGIN SOLUTION
    return np.where(support, np.maximum(density, 0), 0)
    ### END SOLUTION

check("A.3", with_known_object)

# %%
with_known_object = carry_on("A.3")

# %% [markdown]
# ## 4. Back and forth: error reduction
#
# Start from random numbers inside the support. Then go round:
#
# 1. **Fill in the missing data**: take the phases of the present density, together with the measured amplitudes.
#    ($Y$, given $\Theta$)
# 2. **Update the model**: remove what the object cannot have. ($\Theta$, given $Y$)
#
# This is called **error reduction**. The *error* is the part that step 2 has to remove, as a fraction of the whole
# density. It is 0 if all rules are obeyed.
#
# **Predict.** Four runs from four random starts. Will the error reach 0? Will the four runs end with the same picture?

# %%
def error_reduction(measured, support, seed, iterations=200):
    density = np.where(support, np.random.default_rng(seed).random(support.shape), 0)
    errors = []
    for _ in range(iterations):
        fitted = with_measured_amplitudes(density, measured)
        density = with_known_object(fitted, support)
        errors.append(np.linalg.norm(fitted - density) / np.linalg.norm(fitted))
    return density, errors


support = np.zeros((64, 64), dtype=bool)
support[16:48, 16:48] = True
starts = range(4)

reduced = [error_reduction(measured, support, seed) for seed in starts]
inside = (slice(16, 48), slice(16, 48))
show(image_grid([density[inside], *(found[inside] for found, _ in reduced)], size=1.7,
                columns=["object", *(f"start {seed + 1}" for seed in starts)],
                alt="Parts of a face, overlaid with blotches and with a face upside down."))

# %%
for seed, (_, errors) in zip(starts, reduced):
    falls = np.all(np.diff(errors) < 1e-9)
    print(f"start {seed + 1}:  error {errors[0]:.2f} at first, {errors[-1]:.3f} at the end, "
          f"falls in every step: {falls}")

# %% [markdown]
# **Explain.** The error falls in every step; that is a theorem. But it does not fall to 0. The search has arrived in a
# valley from which every small step leads up. It is a **local optimum**, as in lesson 2 (there the highest point near by,
# here the lowest), and as there it depends on the start. In the pictures you may make out a second face, upside down. We
# come to it in the next section.

# %% [markdown]
# ## 5. A better step: hybrid input–output
#
# Error reduction sets to 0 whatever breaks the rules of the object. Fienup's better idea was to *push back* instead, by
# more and more, until the rule is obeyed:
#
# $$V^{\text{new}}_j = \begin{cases} V'_j & \text{where } V'_j \text{ obeys the rules of the object} \\
#   V_j - \beta\, V'_j & \text{elsewhere} \end{cases}$$
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $V$ | the density before this step | `density` |
# | $V'$ | the same with the measured amplitudes | `fitted` |
# | $\beta$ | how hard we push back, usually a little below 1 | `beta` |
#
# ### ✏️ Exercise A.4: write this step
#
# Return $V^{\text{new}}$, (n, n). A pixel obeys if it is inside the support and `fitted` is not negative there.
# (`np.where(condition, a, b)` helps.)

# %%
def hybrid_step(density, fitted, support, beta=0.9):
    ...  # your code
    ### BEGIN SOLUTION
    return np.where(support & (fitted >= 0), fitted, density - beta * fitted)
    ### END SOLUTION

check("A.4", hybrid_step)

# %%
hybrid_step = carry_on("A.4")

# %% [markdown]
# **Predict.** The same four starts, 180 hybrid steps and then 20 of error reduction. Will all four find the face?

# %%
def find_phases(measured, support, seed, hybrid=180, plain=20):
    density = np.where(support, np.random.default_rng(seed).random(support.shape), 0)
    errors = []
    for k in range(hybrid + plain):
        fitted = with_measured_amplitudes(density, measured)
        allowed = with_known_object(fitted, support)
        errors.append(np.linalg.norm(fitted - allowed) / np.linalg.norm(fitted))
        density = hybrid_step(density, fitted, support) if k < hybrid else allowed
    return density, errors


found = [find_phases(measured, support, seed) for seed in starts]
show(image_grid([density[inside], *(one[inside] for one, _ in found)], size=1.7,
                columns=["object", *(f"start {seed + 1}" for seed in starts)],
                alt="Four clear faces; that of start 3 is turned by 180 degrees."))

# %%
show(error_curves({"error reduction": [errors for _, errors in reduced],
                   "hybrid input–output": [errors for _, errors in found]}))

# %% [markdown]
# **Explain.** The hybrid error falls by several powers of ten, and the face is found from random phases. On the way the
# error goes *up* now and then: the method may leave a valley again. This is what the stochastic methods of lesson 5 do,
# too.
#
# ### The twin
#
# **Predict.** One of the four faces stands on its head. Is it wrong?

# %%
twin = density[::-1, ::-1]  # turned by 180°
difference = np.abs(np.fft.fft2(twin)) - measured
print(f"largest difference of the amplitudes: {np.max(np.abs(difference)):.5f}")

# %% [markdown]
# **Explain.** It is not. Turned by 180°, the object has *exactly* the same amplitudes, and the square support allows
# both. No data can tell which one it was. Cryo-EM has such a pair as well: a structure and its mirror image give the
# same projections (lesson 5).
#
# Error reduction had tried to build both at once. Two halves of two right answers make a wrong one.

# %% [markdown]
# ### Step by step
#
# Here you can watch it. The large picture has the measured amplitudes at every moment; what is still outside the bright
# support, or negative, breaks the rules.
#
# **Predict** before each change what will happen:
#
# 1. Portrait, *hybrid input–output*: press *play*. At which iteration do you recognise the face? Try all random starts.
# 2. The same with *error reduction*.
# 3. *Protein, its outline known*: now the support has the shape of the particle. Does the twin still turn up?
# 4. *Protein, its outline not known*: only the square is known. How many of the four starts succeed?

# %%
phase_stepper(frame=14)

# %% [markdown]
# And this is where the four starts end with *hybrid input–output*, for each of the three objects:

# %%
last = phase_stepper(frame=-1)                                   # after the last iteration


def end_of(which, start):
    last.object, last.start = which, start
    upright, turned = last.likeness()                            # correlations
    return "object" if upright > 0.99 else "twin" if turned > 0.99 else "neither"


ends = {name: [end_of(which, start) for start in range(4)] for which, name in enumerate(last.objects)}
for name, reached in ends.items():
    print(f"{name:30}", ", ".join(reached))

# %% tags=["hide-input"]
_, known, square = ends.values()
say(f"""**Explain.** With a known outline {known.count("object")} of four starts succeed, and
{"a twin turns up" if "twin" in known else "the twin is gone: it would not fit into the outline"}.
With the square alone {square.count("neither")} of four fail, even with the better method. **What we
know beforehand decides whether the search succeeds.** In practice one runs many starts and keeps
the one with the smallest error.""")

# %% [markdown]
# ## 6. Is an error of 0 a proof?
#
# We make the window smaller, so that less and less of it is empty. The object stays the same. The fewer empty pixels,
# the fewer amplitudes are measured for the same number of unknowns. (About half of the $n^2$ amplitudes count, because
# those of $k$ and $-k$ are equal. The object has 32 × 32 = 1,024 unknown pixels.)
#
# **Predict.** Of four starts we keep the one with the smallest error. Will this error become larger or smaller in a
# smaller window? And the correlation with the face?

# %%
alike, misfit = {}, {}
for n in (64, 40, 36, 32):
    edge = (n - 32) // 2
    small, allowed = np.zeros((n, n)), np.zeros((n, n), dtype=bool)
    small[edge:edge + 32, edge:edge + 32], allowed[edge:edge + 32, edge:edge + 32] = face, True
    ends = [find_phases(np.abs(np.fft.fft2(small)), allowed, seed) for seed in starts]
    one, errors = min(ends, key=lambda end: end[1][-1])
    alike[n] = max(correlation(one, small), correlation(one[::-1, ::-1], small))
    misfit[n] = errors[-1]
    print(f"window {n} × {n}: about {n * n // 2:4} amplitudes for 1024 pixels   "
          f"error {misfit[n]:.2f}   correlation {alike[n]:.2f}")

# %% tags=["hide-input"]
say(f"""**Explain.** Even the largest of the four errors is {max(misfit.values()):.2f} (to ±0.01). But
the smaller the window, the less the picture has to do with the face: the correlation falls from
{alike[64]:.1f} (to ±0.1) to {alike[32]:.1f} (to ±0.2). There are fewer measured numbers than
unknown pixels, so many densities fit perfectly, and we found one of them. A perfect fit proves
something only if there are many more data than unknowns. This trap is called *overfitting*;
lessons 3 and 9 are about it.""")

# %% [markdown]
# It is also the reason why this does not simply work for crystals: a crystal repeats itself without empty space around
# the molecules, and gives too few amplitudes. Crystallographers bring in other knowledge: heavy atoms, or a similar
# molecule.

# %% [markdown]
# ## Summary
#
# - **Another incomplete data problem.** The pattern is the same as in lesson 2:
#
# | | cryo-EM alignment | diffraction |
# |---|---|---|
# | observed data $X$ | noisy images | amplitudes |
# | missing data $Y$ | rotations and shifts | phases |
# | model $\Theta$ | the particle (and the noise) | the density |
# | complete data: easy | turn back and average | transform back |
# | fill in $Y$, given $\Theta$ | best match with the reference | phases of the present density |
# | update $\Theta$, given $Y$ | average | remove what the object cannot have |
# | goes wrong by | reference bias, local optimum | model bias, local optimum |
# | cannot be told apart | the particle and the same one turned as a whole | the object and its twin |
#
# - Both go back and forth, take what they filled in as *certain* (option 1), and end at the nearest optimum.
# - There is an option 2 here, too. Crystallographers do not use the most probable phase, but average over all phases
#   with their probabilities (Blow and Crick, 1959). How far such an average shrinks is called the *figure of merit* of
#   the phase. Lesson 3 does the same with rotations.
#
# ### What the programs call it
#
# | here | there |
# |---|---|
# | error reduction | ER, alternating projections; with two measured amplitudes, Gerchberg–Saxton |
# | hybrid input–output | HIO |
# | phases from a similar molecule | molecular replacement |
# | support and positivity | real-space constraints; for crystals: solvent flattening, density modification |
# | the probability-weighted phase | best phase, figure of merit |
#
# ### Further reading
#
# - R. W. Gerchberg, W. O. Saxton, *A practical algorithm for the determination of phase from image and diffraction
#   plane pictures*, Optik 35, 237 (1972): written for electron microscopy.
# - J. R. Fienup, *Reconstruction of an object from the modulus of its Fourier transform*, Opt. Lett. 3, 27 (1978),
#   [doi:10.1364/OL.3.000027](https://doi.org/10.1364/OL.3.000027).
# - J. R. Fienup, *Phase retrieval algorithms: a comparison*, Appl. Opt. 21, 2758 (1982),
#   [doi:10.1364/AO.21.002758](https://doi.org/10.1364/AO.21.002758): error reduction, hybrid input–output and others
#   side by side.
# - A. V. Oppenheim, J. S. Lim, *The importance of phase in signals*, Proc. IEEE 69, 529 (1981),
#   [doi:10.1109/PROC.1981.12022](https://doi.org/10.1109/PROC.1981.12022): pictures with the phases of others, and why.
# - D. M. Blow, F. H. C. Crick, *The treatment of errors in the isomorphous replacement method*, Acta Cryst. 12, 794
#   (1959): option 2 for phases.
#
# ### Where you stand

# %%
progress("A")
