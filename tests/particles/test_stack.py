"""Images on disk: every row gets its own pixels, whatever the order, the files, the number format or the size."""

from __future__ import annotations

import os
import pickle
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mrcfile
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoedu.errors import InputError
from cryoedu.files.mrc import read_header, write_stack
from cryoedu.particles import ImageStack, Optics, Particles, check_images

MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def save(path, values, dtype="f4"):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(values, dtype=dtype))
        mrc.set_image_stack()
        mrc.voxel_size = 3.0


def noise(count, n=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, n, n)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(mode=st.sampled_from(sorted(MODES)), order=st.sampled_from("<>"), counts=st.lists(st.integers(1, 6), min_size=1,
       max_size=4), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_any_rows_of_any_files_are_the_same_as_from_memory(mode, order, counts, seed, data):
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        arrays, paths = [], []
        for i, count in enumerate(counts):
            values = rng.integers(0, 120, (count, 4, 4)) if mode in (0, 6) else rng.normal(0, 100, (count, 4, 4))
            arrays.append(values.astype(order + MODES[mode]))
            paths.append(Path(folder) / f"{i}.mrcs")
            save(paths[-1], arrays[-1], arrays[-1].dtype)
            assert int(mrcfile.open(paths[-1], header_only=True).header.mode) == mode
        whole = np.concatenate([a.astype(np.float32) for a in arrays])
        stack = ImageStack.open(*paths)
        shuffle = rng.permutation(len(whole))
        stack, whole = stack.take(shuffle), whole[shuffle]
        rows = data.draw(st.one_of(
            st.integers(-len(whole), len(whole) - 1),
            st.slices(len(whole)),
            st.lists(st.integers(-len(whole), len(whole) - 1), max_size=10).map(lambda r: np.array(r, dtype=int)),
            st.lists(st.booleans(), min_size=len(whole), max_size=len(whole)).map(np.array)))
        found = stack[rows]
        assert found.dtype == np.float32 and found.flags.writeable and found.dtype.isnative
        assert np.array_equal(found, whole[rows])
        assert np.array_equal(np.asarray(stack), whole)
        assert np.array_equal(stack.take(stack.reading_order())[:], whole[stack.reading_order()])


def test_it_behaves_like_an_array(tmp_path):
    images = noise(5)
    save(tmp_path / "a.mrcs", images)
    stack = ImageStack.open(tmp_path / "a.mrcs")
    assert stack.shape == (5, 4, 4) and len(stack) == 5 and stack.dtype == np.float32 and stack.ndim == 3
    assert stack.name(2) == f"000003@{tmp_path / 'a.mrcs'}"
    assert "5 images of 4 x 4 pixels in 1 files" in repr(stack)
    with pytest.raises(IndexError):
        stack[5]
    assert np.array_equal(np.stack(list(stack)), images)
    particles = Particles(stack, (Optics(3.0),), np.zeros(5, dtype=int))
    assert np.array_equal(particles.subset_of([3, 1]).images[:], images[[3, 1]])


def test_a_block_does_not_keep_or_change_the_file(tmp_path):
    images = noise(3)
    save(tmp_path / "a.mrcs", images)
    stack = ImageStack.open(tmp_path / "a.mrcs")
    block = stack[:]
    block[:] = 0
    assert np.array_equal(stack[:], images)


def test_a_stack_larger_than_memory(tmp_path):
    """A real data set does not fit into a laptop: opening it and reading a block must not try."""
    count = 4 * psutil.virtual_memory().total // (4 * 64 * 64)
    save(tmp_path / "a.mrcs", np.zeros((1, 64, 64)))
    with open(tmp_path / "a.mrcs", "r+b") as file:  # a file with holes: no room is taken on the disk
        file.seek(8)
        file.write(np.int32(count).tobytes())
        last = noise(1, 64)
        file.seek(1024 + (count - 1) * 4 * 64 * 64)
        file.write(last.tobytes())
    before = psutil.Process().memory_info().rss
    stack = ImageStack([read_header(tmp_path / "a.mrcs")], np.zeros(3, int), [count - 1, 0, count // 2])
    assert np.array_equal(stack[0], last[0]) and not stack[1:].any()
    assert psutil.Process().memory_info().rss - before < 50e6


def test_many_micrographs_do_not_use_up_the_file_handles(tmp_path):
    """An operating system gives a process some 256 to 1024 of them; a data set has thousands of micrographs."""
    for i in range(60):
        save(tmp_path / f"{i}.mrcs", np.full((2, 4, 4), i) + noise(2) * 0)
    stack = ImageStack.open(*(tmp_path / f"{i}.mrcs" for i in range(60)))
    before = psutil.Process().num_fds()
    assert np.array_equal(stack[::2][:, 0, 0], np.arange(60))
    assert np.array_equal(stack[::-2][:, 0, 0], np.arange(60)[::-1])
    assert psutil.Process().num_fds() == before


def test_threads_and_processes_may_share_it(tmp_path):
    for i in range(8):
        save(tmp_path / f"{i}.mrcs", noise(3, seed=i))
    stack = ImageStack.open(*(tmp_path / f"{i}.mrcs" for i in range(8)))
    whole = stack[:]
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(a, b) for a, b in zip(pool.map(stack.__getitem__, [*range(24)] * 4), [*whole] * 4))
    sent = pickle.dumps(stack)
    assert len(sent) < 10_000  # names, not pixels
    assert np.array_equal(pickle.loads(sent)[:], whole)


@pytest.mark.parametrize(("shape", "message"), [
    ((2, 6, 4), r"holds images of 4 x 6 pixels, but square ones are needed"),
    ((2, 5, 5), r"holds images of 5 x 5 pixels, but an even box is needed: crop them to 4"),
    ((2, 6, 6), r"holds images of 6 pixels, .*good\.mrcs of 4, but one box is needed")])
def test_boxes_that_do_not_fit_are_refused(tmp_path, shape, message):
    save(tmp_path / "good.mrcs", noise(2))
    save(tmp_path / "bad.mrcs", np.random.default_rng(0).normal(size=shape))
    with pytest.raises(InputError, match=rf"bad\.mrcs {message}"):
        ImageStack.open(tmp_path / "good.mrcs", tmp_path / "bad.mrcs")


def test_a_row_past_the_end_is_refused(tmp_path):
    save(tmp_path / "a.mrcs", noise(2))
    with pytest.raises(InputError, match=r"row 2 asks for 000003@.*a\.mrcs, but that file holds 2 images"):
        ImageStack([read_header(tmp_path / "a.mrcs")], [0, 0], [1, 2])


# --- images that no result can come from ------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "message"), [
    (np.nan, "holds NaN or infinite values"), (np.inf, "holds NaN or infinite values"),
    (None, "has no variance"), (1e20, "holds values beyond 1e15")])
@pytest.mark.parametrize("block_bytes", [1, 10**6])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # mrcfile's statistics of such images
def test_a_bad_image_is_named_by_file_and_number(tmp_path, value, message, block_bytes):
    images = noise(9)
    for i in (7, 5):
        images[i] = 3.0 if value is None else images[i]
        images[i, 1, 2] = 3.0 if value is None else value
    save(tmp_path / "good.mrcs", noise(4))
    save(tmp_path / "bad.mrcs", images)
    stack = ImageStack.open(tmp_path / "good.mrcs", tmp_path / "bad.mrcs").take(np.arange(13)[::-1])
    with pytest.raises(InputError, match=rf"bad\.mrcs: image 8 \(row 2\) {message}.*\(1 more images are bad too\)"):
        check_images(stack, block_bytes=block_bytes)
    with pytest.raises(InputError, match=rf"my array: image 6 {message}"):
        check_images(images, "my array", block_bytes=block_bytes)


def test_good_images_pass_and_nothing_is_printed(tmp_path, capfd):
    save(tmp_path / "a.mrcs", noise(20))
    check_images(ImageStack.open(tmp_path / "a.mrcs"), block_bytes=100)
    check_images(np.zeros((0, 4, 4), np.float32))
    assert capfd.readouterr() == ("", "")


def test_swapped_bytes_are_recognised(tmp_path):
    """A stack copied by an old program: header right, pixels in the other byte order."""
    save(tmp_path / "a.mrcs", noise(3, 16))
    raw = (tmp_path / "a.mrcs").read_bytes()
    (tmp_path / "a.mrcs").write_bytes(raw[:1024] + np.frombuffer(raw[1024:], "<f4").astype(">f4").tobytes())
    with pytest.raises(InputError, match=r"a\.mrcs: image 1 \(row 1\) makes sense only with its bytes swapped"):
        check_images(ImageStack.open(tmp_path / "a.mrcs"))


def test_a_stack_may_be_written_over_itself(tmp_path):
    """Reading block by block from the very file that is being replaced must not lose an image."""
    save(tmp_path / "a.mrcs", noise(50))
    stack = ImageStack.open(tmp_path / "a.mrcs").take(np.arange(50)[::-1])
    write_stack(stack, tmp_path / "a.mrcs", 3.0)
    assert np.array_equal(ImageStack.open(tmp_path / "a.mrcs")[:], noise(50)[::-1])
    assert os.listdir(tmp_path) == ["a.mrcs"]
