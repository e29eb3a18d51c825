# %% [markdown]
# # Lesson 0: Start here
#
# **The question.** Is this machine ready, and how does one learn with these notebooks?
#
# **After this lesson you can**
# - run the cells of a notebook, in order, and start it afresh when it is in a muddle,
# - say what this machine computes with, and what to do if something is missing,
# - use a widget with the mouse or with the keys alone,
# - hand in an answer, get a hint, see your progress, and begin a lesson again.
#
# **Time:** 15 minutes.
#
# **What comes before:** nothing. If you have never written any Python, do a first tutorial of Python and NumPy before
# lesson 1.

# %% [markdown]
# ## 1. Jupyter in five lines
#
# 1. A notebook is a column of **cells**. Some are text, some are code. Code stands in a grey box.
# 2. Click into a code cell and press **Shift + Enter**: it runs, and what it prints appears below it.
# 3. While it runs, its number is a star: `[*]`. Wait until the star has become a number.
# 4. Cells share one memory, so **run them from top to bottom**. A cell knows only what has been run before it.
# 5. In a muddle? Menu **Kernel → Restart Kernel…** clears the memory. Your text and code stay. Then run from the top again.
#
# Some code only puts what your run has shown into a sentence. It is folded to three dots, `…`: run such a cell like any
# other. A click on the dots shows the code.
#
# Try it with the next cell, the first one of this course.
#
# ## 2. Your machine
#
# The doctor of this package looks at the machine. If something is missing, a line with an arrow (→) says the one step that
# helps. Everything in the course runs without a GPU, only slower. (What you see differs from machine to machine, so the
# solved notebook shows nothing here.)

# %% tags=["nbval-ignore-output"]
from cryoedu import doctor

print(doctor.render(doctor.brief(doctor.report())))

# %% [markdown]
# If it says `No module named 'cryoedu'`, this notebook runs with another Python than the one that the course was installed
# in: choose the right one in the menu **Kernel → Change Kernel…**.
#
# The whole report, with the version of every package, comes with `cryoedu doctor` in a terminal. Send it along if you ask
# somebody for help.
#
# Now the tools of this lesson. `progress` shows the exercises of a lesson, here of lesson 0, and which of them are solved.

# %%
import numpy as np

from cryoedu.course import carry_on, check, hint, progress
from cryoedu.course.progress import progress_file
from cryoedu.datasets import load
from cryoedu.figures import image_grid, show
from cryoedu.widgets.boards import ccf_pdf_boards
from cryoedu.widgets.mapviewer import map_viewer

progress(0)

# %% [markdown]
# Each lesson goes in small steps: *predict*, *run*, *explain*. First you say what you expect, best on paper. Then you run
# the cell. If it does something else, you have just learned something.
#
# **Predict.** `np.arange(0, 20, 5)` counts from 0 to 20 in steps of 5. Will 20 itself be there?

# %%
for number in np.arange(0, 20, 5):
    print(number)

# %% [markdown]
# **Explain.** 20 is not there: NumPy stops *before* the end. You will need this in exercise 0.3.

# %% [markdown]
# ## 3. Widgets, in two minutes
#
# What moves in these lessons are **widgets**. The next cell shows one. You need not understand it yet (that comes in
# lessons 2 and 3): a particle above, and below it a picture of the same protein that you can turn.
#
# 1. **With the mouse:** drag *rotation φ*, or click into a curve. The marker ▼ shows how the particle is really turned.
# 2. **With the keys:** Tab goes to the next slider or button, Shift + Tab back. The arrow keys move a slider, Home and End go
#    to its ends, the space bar presses a button.
# 3. The line of words below says what is to be seen, also for a screen reader.
#
# **Predict**, then turn the protein: where is the upper curve highest?

# %%
ccf_pdf_boards(load("protein2d", box=40), snr=1.0)

# %% [markdown]
# **Explain.** The curve is highest where the protein is turned as the particle is.
#
# Here is one more: a ribosome in three dimensions, as slices and as a surface. Turn it, and move the slices.

# %%
map_viewer(load("ribosome-80S", box=48))

# %% [markdown]
# If you see a still picture in place of sliders, then the cell has not been run yet, or the notebook was opened without
# its kernel: run the cell.

# %% [markdown]
# ## 4. Exercises
#
# Exercises are marked ✏️. Replace the three dots `...` by your answer and run the cell. `check` tells you at once where you
# stand. There are three cases, and you should see them all:
#
# - **… not done yet:** the three dots are still there. Run the next cell as it is.
# - **✗ not yet:** then write `64` in place of the dots and run it again. `check` says what is wrong, and why.
# - **✓ right:** now write the right answer.
#
# You cannot break anything, and nobody counts your tries.
#
# ### ✏️ Exercise 0.1: a number
#
# An image has 64 × 64 pixels. Each is 5.5 Å wide (1 Å, one *ångström*, is about the size of an atom). How wide is the image,
# in Å?

# %%
width = ...  # your code
### BEGIN SOLUTION
width = 64 * 5.5
### END SOLUTION

check("0.1", width)

# %% [markdown]
# Stuck? Ask for a hint. Run the cell again, and you get one more; the last one nearly gives the answer away.

# %%
hint("0.1")

# %% [markdown]
# ### ✏️ Exercise 0.2: a function
#
# Many exercises ask for a function. Write your lines in place of the dots, with the same indent, and do not forget
# `return`. `check` calls your function with images of its own, so an answer that fits one image only will not pass.
#
# Here: *normalise* an image. Give it a mean of 0 and a standard deviation of 1. One line is enough.

# %%
def normalise(image):
    ...  # your code
    ### BEGIN SOLUTION
    return (image - image.mean()) / image.std()
    ### END SOLUTION

check("0.2", normalise)

# %% [markdown]
# Later cells use your answer. While it is missing or wrong, `carry_on` takes the course's answer in its place, so a lesson
# always runs on. You can come back at any time.
#
# **Predict.** The two images below have very different grey levels. What will be the same after normalising?

# %%
normalise = carry_on("0.2")

protein = load("protein2d", box=64).density
bright = 50 + 10 * protein
for name, image in {"protein": protein, "bright": bright}.items():
    print(f"{name:8} mean {image.mean():5.2f}, standard deviation {image.std():.2f};  "
          f"normalised: {abs(normalise(image).mean()):.2f}, {normalise(image).std():.2f}")

images = [protein, bright, normalise(protein), normalise(bright)]
columns = ["protein", "bright", "protein, normalised", "bright, normalised"]
show(image_grid(images, columns=columns, size=1.9, shared_scale="grey level", limits=(-1, 6),
                alt="The protein is faint, the bright one all white; normalised, both look the same."))

# %% [markdown]
# **Explain.** The two images show the same protein on two grey scales, as if from two cameras. After normalising they are
# one and the same.
#
# ### ✏️ Exercise 0.3: an array
#
# Make an array with all angles of the circle, in degrees, in steps of 5°: 0, 5, 10, and so on. Each direction only once!

# %%
angles = ...  # your code
### BEGIN SOLUTION
angles = np.arange(0, 360, 5)
### END SOLUTION

check("0.3", angles)

# %% [markdown]
# ## 5. Your progress, and how to begin again
#
# What you have solved is kept in a small file, so it is still known tomorrow. Your answers themselves are in the notebook:
# save it (Ctrl + S). The next cell says where the file is. To keep it elsewhere, set the environment variable
# `CRYOEDU_PROGRESS` before you start Jupyter.

# %% tags=["nbval-ignore-output"]
print(progress_file())

# %% [markdown]
# To do a lesson again, forget it: write this into a cell and run it. (Only the marks of this one lesson are taken away. What
# you wrote into the notebook stays.)
#
# ```python
# from cryoedu.course import forget
# forget("0")
# ```
#
# `progress()` shows the whole course, `progress(0)` one lesson. In JupyterLab, the hat at the left edge opens a panel that
# shows the same, and opens the lessons. In the file browser on the left, the folder `solutions` holds each lesson with all
# answers and all outputs. Look there *after* you have tried.

# %% [markdown]
# ## Summary
#
# - Shift + Enter runs a cell; run them from top to bottom. *Restart Kernel* clears a muddle.
# - `doctor` says what this machine computes with, and the one step to take if something is missing.
# - Widgets work with the mouse and with the keys.
# - `check("0.1", answer)` judges, `hint("0.1")` helps, `carry_on` lets the lesson go on, `progress()` shows how far you are,
#   `forget("0")` begins again.
#
# **Go on with** [lesson 1, The experiment](01_experiment.ipynb).
#
# ### Where you stand

# %%
progress(0)
