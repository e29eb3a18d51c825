# %% [markdown]
# # cryoedu: how cryo-EM images become a structure
#
# A course on image refinement in single-particle cryo-EM, to be learned by doing it. Each lesson is a notebook: read a
# little, predict, run, see, and write the decisive lines yourself. `check` tells you at once whether they are right.
#
# **Where to begin.** Lessons marked *ready* can be opened now; the others are being written. Every lesson says what it
# builds on.
#
# **If you get stuck**, ask `hint("3.2")`. Solved notebooks, with all outputs, are in the folder
# [solutions](solutions).
#
# | lesson | what it is about | status |
# |---|---|---|
# | 0 Start here | your machine, the widgets, how exercises are checked | coming |
# | 1 The experiment | from a particle to a noisy image, and back to a first 3D reconstruction | coming |
# | 2 maxCC alignment | option 1: choose the best orientation; align and average; reference bias | coming |
# | [3 ML alignment](03_ml_alignment.ipynb) | option 2: keep all orientations, weighted with their probability | **ready** |
# | 4 2D classification | several references at once; class averages | coming |
# | 5 From 2D to 3D | 3D refinement; initial models; stochastic methods | coming |
# | 6 ML3D classification | structural heterogeneity; the ribosome | coming |
# | 7 Fourier space | the projection-slice theorem; the CTF | coming |
# | 8 Coloured noise | a noise spectrum learned from the data; 'optimal' filtering | coming |
# | 9 Regularised likelihood | overfitting; priors; the 3D Wiener filter | coming |
# | 10 A whole refinement | one data set, from particles to a map | coming |
# | A The phase problem | another famous incomplete data problem | coming |
#
# ## From the lecture to the lessons
#
# | part of the lecture | lesson and section | status |
# |---|---|---|
# | An intuitive introduction | 1 | coming |
# | Alignment: incomplete data problems | 2; both options in short: [3](03_ml_alignment.ipynb), sections 2 and 3 | in part |
# | The maxCC approach; the CCF on the board | 2; in short: [3](03_ml_alignment.ipynb), sections 2 and 3 (the widget) | in part |
# | Align and average | 2; the first round: [3](03_ml_alignment.ipynb), section 4 | in part |
# | The ML approach; the PDF on the board | [3](03_ml_alignment.ipynb), section 3 | **ready** |
# | Option 2: marginalise; expectation maximisation in real space | [3](03_ml_alignment.ipynb), sections 4 and 5 | **ready** |
# | maxCC against ML | [3](03_ml_alignment.ipynb), section 7 | **ready** |
# | Classification: multi-reference in 2D, class averages | 4 | coming |
# | 3D alignment, initial model, stochastic methods | 5 | coming |
# | Structural heterogeneity, multi-reference refinement, ML3D classification | 6 | coming |
# | Projection-slice theorem, data model, CTF | 7 | coming |
# | Coloured noise model, 'optimal' filtering | 8 | coming |
# | Regularised likelihood, priors, expectation maximisation, the 3D Wiener filter | 9 | coming |
# | Recapitulating | 10 | coming |
#
# ## How far you are

# %%
from cryoedu.course import progress

progress()
