"""A time limit for what a learner wrote, so that a loop without an end does not hang the lesson."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PROCESSOR_SECONDS = 20.0  # of this process: a busy classroom server takes nothing away from a slow, right answer
SECONDS = 120.0  # of the clock: work that sleeps or waits for something


class TooLong(Exception):
    """Work was stopped; ``seconds`` is how long it had run."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"stopped after {seconds:.0f} s")
        self.seconds = seconds


def limited(work: Callable[[], T]) -> T:
    """What ``work`` returns; it is interrupted, as by Ctrl-C, at either limit. Raises TooLong then.

    Only the main thread can be interrupted: anywhere else there is no limit. No thread is left behind. A process that
    was told to ignore Ctrl-C, as a shell does with what it starts in the background, listens to it meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    done, late = threading.Event(), threading.Event()
    began, used = time.monotonic(), time.process_time()

    def watch() -> None:
        while not done.wait(0.1):
            if time.process_time() - used > PROCESSOR_SECONDS or time.monotonic() - began > SECONDS:
                late.set()
                if hasattr(signal, "pthread_kill"):  # it also wakes a thread that sleeps
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                else:  # Windows
                    _thread.interrupt_main()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        try:
            watcher.start()
            return work()
        finally:
            done.set()
            watcher.join()
    except KeyboardInterrupt:
        if late.is_set():
            raise TooLong(time.monotonic() - began) from None
        raise
    finally:
        if before is not None:  # None: C code had installed its own
            signal.signal(signal.SIGINT, before)
