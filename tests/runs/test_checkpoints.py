"""Checkpoints: the state comes back bit by bit, or one sentence says why not."""

from __future__ import annotations

import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.inference.model import Checkpoint, Model
from cryoedu.runs.checkpoints import file_digest, read_checkpoint, write_checkpoint


def checkpoint(number: int = 3, halves: int = 1) -> Checkpoint:
    rng = np.random.default_rng(0)
    models = [Model(rng.normal(size=(2, 8, 8, 8)).astype(np.float32), 4.1, rng.random((1, 5)) / 3, rng.random((2, 5)),
                    np.array([0.1, 0.9]), 1 / 3) for _ in range(halves)]
    return Checkpoint(number, models, {"classes": rng.integers(0, 2, 10)}, {"history": [{"log_likelihood": 1 / 7}]})


@pytest.mark.parametrize("halves", [1, 2])
def test_a_state_comes_back_to_the_last_bit(tmp_path, halves):
    """A digit that is lost here is a resumed run that ends elsewhere."""
    written = checkpoint(halves=halves)
    write_checkpoint(written, tmp_path / "c.npz")
    found = read_checkpoint(tmp_path / "c.npz")
    assert found.number == 3 and found.notes == written.notes and len(found.models) == halves
    np.testing.assert_array_equal(found.arrays["classes"], written.arrays["classes"])
    for a, b in zip(found.models, written.models):
        for name in ("maps", "sigma2", "tau2", "class_weights"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
            assert getattr(a, name).dtype == getattr(b, name).dtype
        assert a.offset_sigma == b.offset_sigma and a.pixel_size == b.pixel_size
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]


def test_a_damaged_file_is_told_from_a_whole_one(tmp_path):
    """Cut short at any place, one byte turned, or no checkpoint at all: a sentence, never wrong numbers."""
    path = tmp_path / "c.npz"
    write_checkpoint(checkpoint(), path)
    whole = path.read_bytes()
    turned = bytearray(whole)
    turned[len(whole) // 2] ^= 1
    for content in (b"", whole[:100], whole[:-30], whole[: len(whole) // 2], bytes(turned), b"data_\nloop_\n",
                    whole.replace(b"head", b"tail")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"c\.npz is damaged .* --overwrite"):
            read_checkpoint(path)
    path.unlink()
    with pytest.raises(InputError, match="no interrupted run"):
        read_checkpoint(path)


def test_a_file_of_another_layout_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cryoedu.runs.checkpoints.FORMAT", 99)
    write_checkpoint(checkpoint(), tmp_path / "c.npz")
    monkeypatch.undo()
    with pytest.raises(InputError, match="another version"):
        read_checkpoint(tmp_path / "c.npz")


def test_digests_follow_content_not_names(tmp_path):
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).write_text(text)
    a, b, c = (file_digest(tmp_path / name) for name in "abc")
    assert a == b != c
