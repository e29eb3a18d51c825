"""Numbers in a file: any part of it is what NumPy would give, and a file that changes ends nobody's process."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from cryoedu.errors import InputError
from cryoedu.files import ondisk
from cryoedu.files.ondisk import ChangedError, OnDisk, reading

OFFSET = 12  # bytes before the data, as a header is


def stored(path: Path, values: np.ndarray) -> OnDisk:
    path.write_bytes(bytes(OFFSET) + values.tobytes())
    stat = path.stat()
    return OnDisk.whole(path, stat.st_size, stat.st_mtime_ns, values.dtype, OFFSET, values.shape)


@st.composite
def keys(draw, shape):
    """What may stand in brackets, for the first few axes."""
    made = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        start, stop = sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n))))
        made.append(draw(st.one_of(st.integers(-n, n - 1), st.just(slice(None)),
                                   st.builds(slice, st.just(start), st.just(stop), st.integers(1, 4)))))
    return tuple(made)


@pytest.mark.parametrize("gap, piece", [(4096, 1 << 22), (1, 1), (8, 40), (40, 100)])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=array_shapes(min_dims=1, max_dims=4, max_side=9), data=st.data(),
       dtype=st.sampled_from(["i1", "<i2", ">i2", "<f4", ">f4", "<f2"]), wanted=st.sampled_from([None, np.float32]))
def test_every_part_is_what_numpy_gives(tmp_path, monkeypatch, gap, piece, shape, data, dtype, wanted):
    """However far apart its numbers lie, and however few fit into memory."""
    monkeypatch.setattr(ondisk, "GAP", gap)
    monkeypatch.setattr(ondisk, "PIECE", piece)
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    key = data.draw(keys(shape))
    expected, found = values[key], stored(tmp_path / "a", values)[key]
    order = data.draw(st.permutations(range(expected.ndim)))
    expected, found = expected.transpose(order), found.transpose(order)
    assert found.shape == expected.shape and found.ndim == expected.ndim
    got = np.asarray(found, dtype=wanted)
    assert got.dtype == (wanted or values.dtype) and np.array_equal(got, expected)


def test_it_is_gone_through_like_a_list(tmp_path):
    values = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    found = stored(tmp_path / "a", values)
    assert len(found) == 4 and [np.asarray(part).tolist() for part in found] == values.tolist()
    assert np.asarray(found.ravel()[3:9]).tolist() == [3, 4, 5, 6, 7, 8]
    with pytest.raises(IndexError):
        found[4]
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(found, copy=False)


def test_only_what_is_asked_for_is_in_memory(tmp_path):
    """A slice across a map of many gigabytes, and a stack of small integers as float32."""
    with open(tmp_path / "a", "wb") as file:
        file.truncate(OFFSET + 256 * 1024 * 1024)
    stat = (tmp_path / "a").stat()
    found = OnDisk.whole(tmp_path / "a", stat.st_size, stat.st_mtime_ns, np.dtype("i1"), OFFSET, (256, 1024, 1024))
    tracemalloc.start()
    assert not np.asarray(found[:, :, 7], dtype=np.float32).any() and not np.asarray(found[:2], dtype=np.float32).any()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2 * 1024**2 + 3 * ondisk.PIECE


def test_a_file_that_changes_while_it_is_read_is_said_to(tmp_path):
    """Shorter or longer, written over or put in its place: what was read is of no use."""
    def shorter():
        os.truncate(path, OFFSET + 4)

    def written_over():
        with open(path, "r+b") as file:
            file.write(b"x")
        os.utime(path, ns=(0, 1))  # else within the same tick of the clock

    path = tmp_path / "a"
    for change in (shorter, written_over):
        found = stored(path, np.arange(1000, dtype=np.float32))
        with pytest.raises(ChangedError, match="a has changed since it was opened"), \
                reading(path, found.size, found.changed) as fill:
            change()
            fill(OFFSET, bytearray(400))
        with pytest.raises(ChangedError):
            np.asarray(found)
    found = stored(path, np.arange(1000, dtype=np.float32))
    path.unlink()
    with pytest.raises(InputError, match="there is no file"):
        np.asarray(found)


@pytest.mark.skipif(os.name == "nt", reason="a file that is mapped cannot be made shorter on Windows")
@pytest.mark.parametrize("what", ["read_map(path)", "ImageStack.open(path)[:]", "ImageStack.open(path)[::3]"])
def test_a_program_that_reads_survives_another_that_writes_the_same_file(tmp_path, what):
    """A refinement, a server, a notebook: what looks through a memory map is killed when the file grows shorter."""
    from cryoedu.microscope import write_map

    path = tmp_path / "a.mrc"
    write_map(np.random.default_rng(1).standard_normal((64, 64, 64)), path, 1.0)
    raw = path.read_bytes()
    code = f"""
import itertools, sys
from cryoedu.errors import InputError
from cryoedu.microscope import read_map
from cryoedu.particles import ImageStack
path, told = {str(path)!r}, 0
for i in itertools.count():
    try:
        {what}
    except InputError:
        told += 1
    if i == 0 or told > 400:
        print(told, flush=True)
    if told > 400:
        break
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "0\n"
        while run.poll() is None:
            path.write_bytes(raw[: len(raw) // 2])  # which begins by emptying it
            path.write_bytes(raw)
    assert run.returncode == 0, run.returncode
