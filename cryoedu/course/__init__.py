"""The course: exercises, checks, hints and progress.

>>> from cryoedu.course import check
>>> check("3.1")  # doctest: +ELLIPSIS
… Exercise 3.1: not done yet. ...
"""

from __future__ import annotations

from cryoedu.course.learner import Message, Progress, carry_on, check, hint, progress, say
from cryoedu.course.progress import forget

__all__ = ["Message", "Progress", "carry_on", "check", "forget", "hint", "progress", "say"]
