"""What every request has in common: who may ask, for which files, and how an answer or a refusal looks."""

from __future__ import annotations

import asyncio
import json
import math
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jupyter_core.paths import is_hidden
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from numpy.typing import NDArray
from tornado import web

from cryoedu.errors import InputError
from cryoedu.files.ondisk import ChangedError

RELOAD = "choose Reload from Disk in the menu File"


@cache
def workers() -> ThreadPoolExecutor:
    """The threads that read files, so that kernels and the browser are answered meanwhile."""
    return ThreadPoolExecutor(2, thread_name_prefix="cryoedu")


def below(root: str | os.PathLike[str], path: str, *, hidden: bool = False, folder: bool = False) -> Path:
    """The file, or with ``folder`` the folder, that ``path`` names below ``root``, with every symbolic link followed.

    path: as Jupyter writes it, with / and relative to root.  hidden: names that begin with a dot are served too.
    Raises InputError if there is no such file, if it lies or a link leads outside, or if it is of another kind.
    """
    top = Path(os.path.realpath(root))
    parts = path.strip("/").split("/") if path.strip("/") else []
    if "\0" in path or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise InputError(f"{path!r} is not a path below the folder that Jupyter serves: open it from the file browser")
    named = top.joinpath(*parts)
    try:
        found = Path(os.path.realpath(named, strict=True))
        kind = found.stat().st_mode
    except (OSError, ValueError):
        raise InputError(f"there is no file {path}: it may have been moved or removed") from None
    if not found.is_relative_to(top):
        raise InputError(f"{path} is a link that leads out of the folder that Jupyter serves: start Jupyter in one "
                         "that holds both")
    if not hidden and (is_hidden(named, top) or is_hidden(found, top)):
        raise InputError(f"there is no file {path}: it may have been moved or removed")
    if not (stat.S_ISDIR(kind) if folder else stat.S_ISREG(kind)):
        raise InputError(f"{path} is not a {'folder' if folder else 'file'}: choose another")
    return found


class Handler(APIHandler):
    """Answers one address; `handler` makes one. What is asked for is read with these methods."""

    auth_resource = "contents"

    def root(self) -> Path:
        """The folder that Jupyter serves. Raises InputError if its files are not on this machine's disk."""
        folder = getattr(self.contents_manager, "root_dir", None)
        if not folder:
            raise InputError("this Jupyter keeps its files elsewhere than on a disk: download the file to look at it")
        return Path(folder)

    def file(self, name: str = "path") -> Path:
        """The file that the query names. Raises InputError as `below`."""
        return below(self.root(), self.text(name), hidden=self.contents_manager.allow_hidden)

    def text(self, name: str, default: str = "") -> str:
        """A word of the query, or ``default``."""
        return str(self.get_query_argument(name, default, strip=False))

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query. Raises InputError if it is none, or out of range."""
        text = self.text(name, str(default))
        if not text.isdecimal() or len(text) > 18 or not least <= int(text) <= most:
            raise InputError(f"{name}={text[:40]} is not a number from {least} to {most}")
        return int(text)

    def decimal(self, name: str) -> float | None:
        """A number of the query, None if it is not there. Raises InputError if it is not a finite one."""
        text = self.text(name)
        try:
            value = float(text) if text else None
        except ValueError:
            value = math.nan
        if value is not None and not math.isfinite(value):
            raise InputError(f"{name}={text[:40]} is not a number")
        return value

    def unchanged(self, file: Path, changed: int) -> None:
        """Raise ChangedError if the file is no longer the one that the page describes, to which ``changed`` belongs."""
        if self.text("changed", str(changed)) != str(changed):
            raise ChangedError(file, RELOAD)

    async def answer(self, work: Callable[[], Any]) -> None:
        """Send what ``work`` returns: bytes as they are, everything else as JSON; an InputError as {"message": …}.

        It runs in a thread; nothing in it waits for the browser.
        """
        try:
            made = await asyncio.get_running_loop().run_in_executor(workers(), work)
        except InputError as error:
            self.set_status(400)
            told = ChangedError(error.path, RELOAD) if isinstance(error, ChangedError) else error
            made = {"message": str(told).replace(f"{getattr(self.contents_manager, 'root_dir', '')}{os.sep}", "")}
        except (OSError, MemoryError) as error:  # a disk that is gone, a file that is being replaced
            self.log.warning("cryoedu: %s", self.request.uri, exc_info=True)
            self.set_status(500)
            why = getattr(error, "strerror", None) or "its memory is full"
            made = {"message": f"the server could not do this ({why.lower()}): try again, its log says more"}
        kind = "application/octet-stream" if isinstance(made, bytes) else "application/json"
        await self.finish(made if isinstance(made, bytes) else json.dumps(made, allow_nan=False), set_content_type=kind)


def pack(about: dict[str, Any], values: NDArray[Any]) -> bytes:
    """An array with words about it: the length of these (4 bytes, little-endian), they as JSON, the array's bytes."""
    words = json.dumps(about, allow_nan=False).encode()
    return len(words).to_bytes(4, "little") + words + np.ascontiguousarray(values).tobytes()


def handler(*, programs: bool = False, **methods: Callable[[Handler], Any]) -> type[Handler]:
    """The class that answers get=…, post=… with what these functions of the request return, see `Handler.answer`.

    Only who is signed in and may read (or, with post, write) Jupyter's files gets an answer; with ``programs`` only who
    may run kernels, in which every program can be started.
    """
    allowed = authorized("execute", "kernels") if programs else authorized

    def guarded(work: Callable[[Handler], Any]) -> Callable[..., Any]:
        async def method(self: Handler) -> None:
            await self.answer(lambda: work(self))

        return web.authenticated(allowed(method))

    return type("Handler", (Handler,), {name: guarded(work) for name, work in methods.items()})
