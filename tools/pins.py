"""Write down the versions installed here as the tested ones: constraints.txt, and binder/requirements.txt from it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = """\
# The versions that cryoedu is tested with, on Python 3.11, 3.12 and 3.13. Written by 'make pins'.
"""
BINDER = """\
# What a classroom on Binder needs to run the course, from constraints.txt. Written by 'make pins'.
"""


def main() -> None:
    """Write both files."""
    build, run, everything = requirements(ROOT / "pyproject.toml")
    write(ROOT / "constraints.txt", CONSTRAINTS, pins([*build, *everything]))
    write(ROOT / "binder" / "requirements.txt", BINDER, pins([*build, *run]))


def requirements(pyproject: Path) -> tuple[list[str], list[str], list[str]]:
    """What the package needs to be built, to run, and to run and be tested; GPU libraries are left out."""
    with open(pyproject, "rb") as file:
        content = tomllib.load(file)
    project = content["project"]
    run = project["dependencies"]
    extras = project["optional-dependencies"]
    development = [r for name in ("test", "docs", "dev") for r in extras[name] if not r.startswith(project["name"])]
    return content["build-system"]["requires"], run, [*run, *development]


def pins(needed: Iterable[str]) -> dict[str, str]:
    """Name and installed version of these requirements and of all that they need in turn."""
    found: dict[str, str] = {}
    seen = set()
    waiting = [Requirement(text) for text in needed]
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            installed = distribution(requirement.name)
        except PackageNotFoundError:
            raise SystemExit(f"{requirement.name} is not installed here: run 'make pins', which installs it") from None
        found[key[0]] = installed.version
        for text in installed.requires or []:
            further = Requirement(text)
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in ("", *requirement.extras)):
                waiting.append(further)
    return dict(sorted(found.items()))


def write(path: Path, header: str, versions: dict[str, str]) -> None:
    """One ``name==version`` a line under a header."""
    path.write_text(header + "".join(f"{name}=={version}\n" for name, version in versions.items()))


if __name__ == "__main__":
    main()
