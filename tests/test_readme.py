"""What the README promises is what happens."""

from __future__ import annotations

import re
from pathlib import Path

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
