"""MRC files: a learner's maps and stacks come in right whatever program wrote them, or are refused with the reason."""

from __future__ import annotations

import gzip
import os

import mrcfile
import numpy as np
import pytest

from cryoedu.errors import InputError
from cryoedu.files.mrc import read_header, split_name, write_stack
from cryoedu.microscope import read_map, write_map
from cryoedu.microscope.specimen import Specimen


def density(n=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n, n)).astype(np.float32)


def edit(path, **fields):
    """Change header fields of an MRC file in place, by the names that mrcfile gives them."""
    with mrcfile.mmap(path, "r+", permissive=True) as mrc:
        for name, value in fields.items():
            mrc.header[name] = value


# --- maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8, 8), (8, 8)])
def test_a_map_comes_back_as_it_was_written(tmp_path, shape):
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    write_map(Specimen(values, 1.35), tmp_path / "a.mrc")
    back = read_map(tmp_path / "a.mrc")
    assert np.array_equal(back.density, values) and back.pixel_size == pytest.approx(1.35)
    assert back.name == str(tmp_path / "a.mrc")


def test_other_programs_open_the_map(tmp_path):
    """mrcfile's validator stands for ChimeraX: a header that it finds wrong, they may refuse or misplace."""
    write_map(density(), tmp_path / "a.mrc", 2.5)
    assert mrcfile.validate(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        assert mrc.is_volume() and mrc.header.mode == 2
        assert mrc.voxel_size.z == pytest.approx(2.5)
        assert mrc.header.origin.item() == (0, 0, 0) and mrc.nstart.item() == (0, 0, 0)  # where RELION's maps are


def test_the_same_map_gives_the_same_file(tmp_path):
    """A date in the header would break checksums and version control."""
    write_map(density(), tmp_path / "a.mrc", 1.5)
    write_map(density(), tmp_path / "b.mrc", 1.5)
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()


def test_axes_in_another_order_are_put_right(tmp_path):
    """Some maps of the EMDB are stored with other axes as columns; read as they lie they would be another molecule."""
    values = density()  # z, y, x
    with mrcfile.new(tmp_path / "a.map") as mrc:
        mrc.set_data(np.ascontiguousarray(values.transpose(1, 2, 0)))  # sections along y, rows along x, columns along z
        mrc.voxel_size = 2.0
    edit(tmp_path / "a.map", mapc=3, mapr=1, maps=2)
    assert np.array_equal(read_map(tmp_path / "a.map").density, values)


def test_one_image_of_a_stack_is_a_reference(tmp_path):
    images = density()[:3]
    write_stack(images, tmp_path / "classes.mrcs", 4.0)
    assert np.array_equal(read_map(f"000002@{tmp_path}/classes.mrcs").density, images[1])
    with pytest.raises(InputError, match=r"holds 3 images of 8 x 8 pixels, not one map: name one .* 1@"):
        read_map(tmp_path / "classes.mrcs")
    with pytest.raises(InputError, match="only 3 images: give a number from 1 to 3"):
        read_map(f"4@{tmp_path}/classes.mrcs")


def test_a_folder_may_have_an_at_in_its_name(tmp_path):
    write_map(density(), tmp_path / "me@home" / "a.mrc", 4.0)
    assert read_map(tmp_path / "me@home" / "a.mrc").box == 8


def test_a_stack_with_as_many_images_as_pixels_is_no_map(tmp_path):
    write_stack(density(), tmp_path / "a.mrcs", 4.0)
    with pytest.raises(InputError, match="8 images of 8 x 8 pixels, not one map"):
        read_map(tmp_path / "a.mrcs")


def test_a_map_needs_a_pixel_size_from_somewhere(tmp_path):
    write_map(density(), tmp_path / "a.mrc", 1.5)
    edit(tmp_path / "a.mrc", cella=(0, 0, 0))
    with pytest.raises(InputError, match=r"a\.mrc has no pixel size in its header: give one"):
        read_map(tmp_path / "a.mrc")
    assert read_map(tmp_path / "a.mrc", pixel_size=1.2).pixel_size == 1.2
    with pytest.raises(InputError, match="array has no pixel size"):
        write_map(density(), tmp_path / "b.mrc")


def test_voxels_that_are_no_cubes_are_refused(tmp_path):
    write_map(density(), tmp_path / "a.mrc", 1.5)
    edit(tmp_path / "a.mrc", cella=(12, 12, 16))
    with pytest.raises(InputError, match=r"voxels of 1\.5 x 1\.5 x 2 Å"):
        read_map(tmp_path / "a.mrc")


@pytest.mark.parametrize(("shape", "what"), [((8, 8, 6), r"\(8, 8, 6\)"), ((7, 7, 7), r"\(7, 7, 7\)")])
def test_a_box_that_is_not_cubic_and_even_is_refused(tmp_path, shape, what):
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(np.ones(shape, dtype=np.float32))
        mrc.voxel_size = 1.0
    with pytest.raises(InputError, match=what):
        read_map(tmp_path / "a.mrc")


@pytest.mark.filterwarnings("ignore:Data array contains NaN")
def test_nan_is_refused_on_the_way_in_and_out(tmp_path):
    values = density()
    values[1, 2, 3] = np.nan
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(values)
        mrc.voxel_size = 1.5
    with pytest.raises(InputError, match=r"a\.mrc: the density holds NaN"):
        read_map(tmp_path / "a.mrc")
    with pytest.raises(InputError, match=r"b\.mrc: the density holds NaN"):
        write_map(values, tmp_path / "b.mrc", 1.5)
    assert not (tmp_path / "b.mrc").exists()


# --- files that are not what they should be ---------------------------------------------------------------------------


def test_damaged_files_are_told_apart(tmp_path):
    whole = tmp_path / "whole.mrcs"
    write_stack(density(), whole, 1.5)
    raw = whole.read_bytes()
    cases = {"empty.mrcs": (b"", "is empty"),
             "short.mrcs": (raw[:500], "has only 500 bytes, too few for the header"),
             "cut.mrcs": (raw[: 1024 + 5 * 256 + 7], "is truncated: its header promises 8 sections of 8 x 8 pixels, "
                                                      "but the file ends after 5"),
             "text.mrcs": (b"data_particles\n" * 100, "is not an MRC file"),
             "zeros.mrcs": (bytes(5000), "is not an MRC file"),
             "packed.mrcs": (gzip.compress(raw), "is compressed: unpack it first")}
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} {message}") as caught:
            read_header(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="there is no file"):
        read_header(tmp_path / "nowhere.mrcs")
    with pytest.raises(InputError, match="cannot be read"):
        read_header(tmp_path)


def test_a_header_of_garbage_is_no_memory_error(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(50):
        (tmp_path / "a.mrcs").write_bytes(rng.integers(0, 256, 2000, dtype=np.uint8).tobytes())
        with pytest.raises(InputError):
            read_header(tmp_path / "a.mrcs")


def test_complex_data_are_refused(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(np.ones((4, 4, 4), dtype=np.complex64))
    with pytest.raises(InputError, match="MRC mode 4, but only modes 0, 1, 2, 6 and 12"):
        read_header(tmp_path / "a.mrc")


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i2", ">i2", "i1"])
def test_a_machine_stamp_that_lies_is_seen_through(tmp_path, dtype):
    """Old programs leave the stamp empty or wrong; the sizes in the header still make sense in one byte order only."""
    values = np.arange(128).reshape(2, 8, 8).astype(dtype)
    for stamp in ([0, 0, 0, 0], [0x44, 0x44, 0, 0], [0x11, 0x11, 0, 0]):
        with mrcfile.new(tmp_path / "a.mrcs", overwrite=True) as mrc:
            mrc.set_data(values)
        raw = bytearray((tmp_path / "a.mrcs").read_bytes())
        raw[212:216] = bytes(stamp)
        (tmp_path / "a.mrcs").write_bytes(raw)
        header = read_header(tmp_path / "a.mrcs")
        assert header.shape == (2, 8, 8) and np.array_equal(header.pixels(), values)


def test_an_extended_header_is_skipped(tmp_path):
    values = density()
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(values)
        mrc.set_extended_header(np.frombuffer(bytes(800), dtype="V80"))
        mrc.voxel_size = 2.0
    assert np.array_equal(read_map(tmp_path / "a.mrc").density, values)


def test_a_file_that_changes_under_our_feet_is_noticed(tmp_path):
    """Another job rewrites the stack: its new images must not be taken for the particles that were read."""
    write_stack(density(), tmp_path / "a.mrcs", 1.5)
    header = read_header(tmp_path / "a.mrcs")
    write_stack(density(seed=1)[:4], tmp_path / "a.mrcs", 1.5)
    with pytest.raises(InputError, match="has changed since it was opened"):
        np.asarray(header.pixels())
    os.remove(tmp_path / "a.mrcs")
    with pytest.raises(InputError, match="there is no file"):
        np.asarray(header.pixels())


@pytest.mark.parametrize(("name", "parts"), [("000012@a/b.mrcs", (12, "a/b.mrcs")), ("1@x@y.mrcs", (1, "x@y.mrcs")),
                                             ("map.mrc", (None, "map.mrc"))])
def test_names_of_images(name, parts):
    assert split_name(name) == parts


@pytest.mark.parametrize("name", ["0@a.mrcs", "x@a.mrcs", "-1@a.mrcs", "1.5@a.mrcs", "3@", "@a.mrcs"])
def test_names_that_are_none(name):
    with pytest.raises(InputError, match=r"is not the name of an image: write it like 000012@stack\.mrcs"):
        split_name(name)


# --- stacks out -------------------------------------------------------------------------------------------------------


def test_blocks_become_one_stack(tmp_path):
    images = density()
    write_stack(iter([images[:3], images[3:4], images[4:]]), tmp_path / "a.mrcs", 2.0, count=8)
    assert mrcfile.validate(tmp_path / "a.mrcs")
    with mrcfile.open(tmp_path / "a.mrcs") as mrc:
        assert np.array_equal(mrc.data, images) and mrc.is_image_stack()
        assert mrc.voxel_size.x == pytest.approx(2.0)
        assert mrc.header.dmean == pytest.approx(images.mean(), abs=1e-6)
        assert mrc.header.rms == pytest.approx(images.std(), rel=1e-5)
        assert (mrc.header.dmin, mrc.header.dmax) == (images.min(), images.max())


@pytest.mark.parametrize(("blocks", "count", "message"), [
    ([], 3, "there are no images"), ([2], 3, "2 images came, but 3 were announced"),
    ([2, 2], 3, "4 images came, but 3"), ([3], None, "give count")])
def test_blocks_that_do_not_add_up_leave_nothing(tmp_path, blocks, count, message):
    (tmp_path / "a.mrcs").write_text("old")
    with pytest.raises(InputError, match=message):
        write_stack((np.ones((k, 4, 4), np.float32) for k in blocks), tmp_path / "a.mrcs", 1.0, count)
    assert (tmp_path / "a.mrcs").read_text() == "old" and len(os.listdir(tmp_path)) == 1


def test_blocks_of_two_boxes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"do not fit into one stack"):
        write_stack(iter([np.ones((1, 4, 4)), np.ones((1, 6, 6))]), tmp_path / "a.mrcs", 1.0, 2)
