"""A command in the process of the test, which is quicker than a new one and can be stopped at a chosen place.

And what a command in a new process needs to be stopped with Ctrl-C.
"""

from __future__ import annotations

import signal
import sys

from cryoedu.commands.app import main


def cryoedu(*arguments: object) -> str:
    """Run ``cryoedu ARGUMENTS``: the sentence that it ended with, empty if it ended well."""
    before, sys.argv = sys.argv, ["cryoedu", *map(str, arguments)]
    try:
        main()
    except SystemExit as end:
        return "" if end.code in (0, None) else str(end.code)
    finally:
        sys.argv = before
    return ""


def heed_ctrl_c() -> None:
    """As ``preexec_fn``: a shell that runs the tests in the background has them, and all they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
