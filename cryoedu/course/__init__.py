"""The course: exercises, checks, hints and progress.

>>> from cryoedu.course import check
>>> check("3.1")  # doctest: +ELLIPSIS
… Exercise 3.1: not done yet. ...
"""

from __future__ import annotations

import sys

from cryoedu.course.learner import Message, Progress, carry_on, check, hint, progress, say
from cryoedu.course.progress import forget

__all__ = ["Message", "Progress", "carry_on", "check", "forget", "hint", "progress", "say"]

shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
if hasattr(shell, "kernel"):  # a lesson, whoever started its kernel, and with whatever settings
    from cryoedu.threads import one_blas_thread

    one_blas_thread()
