# %% [markdown]
# # cryoedu: how cryo-EM images become a structure
#
# A course on image refinement in single-particle cryo-EM, to be learned by doing it. Each lesson is a notebook: read a
# little, predict, run, see, and write the decisive lines yourself. `check` tells you at once whether they are right.
#
# **Where to begin.** With [lesson 0](00_start_here.ipynb), if Jupyter is new to you. Then in order: every lesson builds on
# the ones before.
#
# **If you get stuck**, ask `hint("3.2")`. Solved notebooks, with all outputs, are in the folder
# [solutions](solutions).
#
# | lesson | what it is about | time |
# |---|---|---|
# | [0 Start here](00_start_here.ipynb) | your machine, the widgets, how exercises are checked | 15 min |
# | [1 The experiment](01_experiment.ipynb) | from a particle to a noisy image, and back to a first 3D reconstruction | 75 min |
# | [2 maxCC alignment](02_maxcc_alignment.ipynb) | option 1: choose the best orientation; align and average; reference bias | 75 min |
# | [3 ML alignment](03_ml_alignment.ipynb) | option 2: keep all orientations, weighted with their probability | 75 min |
# | [4 2D classification](04_2d_classification.ipynb) | several references at once; class averages | 90 min |
# | [5 From 2D to 3D](05_from_2d_to_3d.ipynb) | 3D refinement; initial models; stochastic methods | 80 min |
# | [6 ML3D classification](06_ml3d_classification.ipynb) | structural heterogeneity; the ribosome | 90 min |
# | [7 Fourier space](07_fourier_space.ipynb) | the projection-slice theorem; the CTF | 150 min |
# | [8 Coloured noise](08_coloured_noise.ipynb) | a noise spectrum learned from the data; 'optimal' filtering | 75 min |
# | [9 Regularised likelihood](09_regularised_likelihood.ipynb) | overfitting; priors; the 3D Wiener filter | 150 min |
# | [10 A whole refinement](10_whole_refinement.ipynb) | one data set, from particles to a map | 90 min |
# | [A The phase problem](A_phase_problem.ipynb) | an aside: another famous incomplete data problem | 30 min |
#
# ## From the lecture to the lessons
#
# The course follows the lecture "Image refinement" by Sjors Scheres.
#
# | heading of the lecture | lesson and section |
# |---|---|
# | An intuitive introduction: an example "protein" | [1](01_experiment.ipynb), section 1 |
# | Experimental setup | [1](01_experiment.ipynb), section 2 |
# | Electron microscopy imaging: 3D object, 2D projection | [1](01_experiment.ipynb), section 3 |
# | Further inconveniences: the CTF; large amounts of noise | [1](01_experiment.ipynb), sections 4 to 6 |
# | Single particle analysis: many unknown orientations; 3D reconstruction | [1](01_experiment.ipynb), section 7 |
# | Projection matching | [1](01_experiment.ipynb), sections 8 and 9 |
# | Iterative refinement | [1](01_experiment.ipynb), section 10 |
# | Incomplete data problems; complete data problems | [2](02_maxcc_alignment.ipynb), sections 1 and 2 |
# | Option 1: add Y to the model; the maxCC approach; the CCF on the board | [2](02_maxcc_alignment.ipynb), sections 3 and 4 |
# | Align and average | [2](02_maxcc_alignment.ipynb), sections 5 to 7; what can go wrong: 8 and 9 |
# | Option 2: marginalise over Y; the ML approach; the PDF on the board | [3](03_ml_alignment.ipynb), sections 2 to 5 |
# | maxCC vs ML | [3](03_ml_alignment.ipynb), section 7 |
# | The 2D multi-reference algorithm: K estimates, sampled rotations, weighted averages | [4](04_2d_classification.ipynb), sections 1 to 3 |
# | Reference-free 2D class averaging | [4](04_2d_classification.ipynb), sections 4 to 10 |
# | 3D ML refinement; "probability-weighted angular assignment" | [5](05_from_2d_to_3d.ipynb), sections 1 to 5 |
# | Initial model: a local optimiser; bad model in, bad model out | [5](05_from_2d_to_3d.ipynb), sections 6 and 7 |
# | Stochastic methods: hill climbing, gradient descent | [5](05_from_2d_to_3d.ipynb), sections 8 and 9 |
# | Structural heterogeneity | [6](06_ml3d_classification.ipynb), section 1 |
# | Preliminary ribosome reconstruction | [6](06_ml3d_classification.ipynb), section 2 |
# | Multi-reference refinement; ML3D classification | [6](06_ml3d_classification.ipynb), section 3 |
# | Seed generation | [6](06_ml3d_classification.ipynb), section 4 |
# | ML-derived classes; a supervised classification | [6](06_ml3d_classification.ipynb), sections 5 to 8 |
# | Projection-slice theorem (three slides) | [7](07_fourier_space.ipynb), section 4; waves and shells first: 1 to 3 |
# | Data model: real space and Fourier space; convolute or multiply with the CTF | [7](07_fourier_space.ipynb), sections 5 to 8 |
# | Coloured noise model | [8](08_coloured_noise.ipynb), sections 1 to 3 and 5 |
# | 'Optimal' filtering: low-, high- and band-pass filters, and the one learned from the data | [8](08_coloured_noise.ipynb), sections 4, 6 and 7 |
# | Maximum-likelihood estimators, and data sets of limited size | [9](09_regularised_likelihood.ipynb), section 1 |
# | The bad news | [9](09_regularised_likelihood.ipynb), section 2 |
# | The good news; a Bayesian view on regularisation; likelihood and prior | [9](09_regularised_likelihood.ipynb), section 3 |
# | Expectation maximisation of V, σ² and τ² | [9](09_regularised_likelihood.ipynb), sections 5 and 6 |
# | The 3D Wiener filter | [9](09_regularised_likelihood.ipynb), sections 4 and 8; two halves: 7 |
# | Recapitulating | [10](10_whole_refinement.ipynb) |
# | Further reading | at the end of each lesson, with DOIs |
# | (Another famous one: the phase problem in XRD) | [A](A_phase_problem.ipynb) |
#
# ## How far you are

# %%
from cryoedu.course import progress

progress()
