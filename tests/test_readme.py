"""What the README promises is what happens."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_in_python_runs_and_finds_the_orientations() -> None:
    """The first lines that a newcomer pastes."""
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    printed = float(re.search(r"`median error (\d+\.\d)°`", README)[1])
    assert abs(names["errors"].median_angle - printed) < 0.3


def test_every_file_it_points_to_is_there() -> None:
    for name in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / name).exists(), name


def test_every_shell_command_and_option_in_it_exists() -> None:
    """An option that was renamed leaves a newcomer with an error from the first line that they paste."""
    import typer

    from cryoedu.commands.app import app

    group: Any = typer.main.get_command(app)
    text = README.replace("\\\n", " ")
    lines = re.findall(r"^(?:    |\| `)(cryoedu [^`\n#]*)", text, flags=re.MULTILINE)
    assert {line.split()[1] for line in lines} == set(group.commands)
    for line in lines:
        _, command, *words = shlex.split(line)
        known = {option for parameter in group.commands[command].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, line
