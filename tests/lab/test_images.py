"""What the viewer of MRC files shows is what is in the file, in every mode and byte order; what is broken says so."""

from __future__ import annotations

import bz2
import gzip
import json
import os

import mrcfile
import numpy as np
import pytest
from plugins import Ask, unpacked

from cryoedu.errors import InputError
from cryoedu.lab import files, images
from cryoedu.lab.files import open_mrc, pixels

TYPES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}


def write(path, values, swapped=False, pixel_size=1.5, **fields):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(values))
        if values.ndim == 3 and fields.pop("stack", False):
            mrc.set_image_stack()
        mrc.voxel_size = pixel_size
        for name, value in fields.items():
            mrc.header[name] = value
        header, data = mrc.header.copy(), mrc.data.copy()
    if swapped:
        big = header.astype(header.dtype.newbyteorder(">"))
        big["machst"] = (0x11, 0x11, 0, 0)
        path.write_bytes(big.tobytes() + data.astype(data.dtype.newbyteorder(">")).tobytes())
    return path


@pytest.fixture
def ramps():
    """Five images (12 high, 20 wide), each brighter than the one before, and brighter to the right."""
    return np.arange(5)[:, None, None] + np.arange(20)[None, None, :] + np.zeros((5, 12, 20))


@pytest.mark.parametrize("swapped", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("mode", TYPES)
def test_every_mode_and_byte_order_gives_the_same_picture(tmp_path, ramps, mode, swapped):
    write(tmp_path / "a.mrcs", ramps.astype(TYPES[mode]), swapped, stack=True)
    about = images.summary(tmp_path / "a.mrcs")
    assert about["mode"] == mode and about["shape"] == [5, 12, 20] and about["kind"] == "stack"
    assert about["order"] == ("big" if swapped else "little") and about["voxel"][0] == pytest.approx(1.5)
    json.dumps(about, allow_nan=False)
    _, shown = unpacked(images.gallery(Ask(tmp_path, path="a.mrcs", first=1, count=3, low=0, high=23)))
    assert shown.shape == (3, 12, 20)
    assert np.abs(shown - ramps[1:4] * 255 / 23).max() <= 0.51


def test_a_header_that_promises_more_than_there_are_bytes_in_the_world_is_refused(tmp_path):
    """The product of its sides does not fit into 64 bits."""
    claims = np.frombuffer(write(tmp_path / "a.mrc", np.zeros((2, 4, 4), np.float32)).read_bytes()[:1024], "<i4").copy()
    claims[:3] = 1 << 24
    (tmp_path / "huge.mrc").write_bytes(claims.tobytes() + bytes(1000))
    (tmp_path / "huge.mrc.gz").write_bytes(gzip.compress(claims.tobytes() + bytes(1000)))
    with pytest.raises(InputError, match="is truncated: its header promises 16777216 sections"):
        images.summary(tmp_path / "huge.mrc")
    with pytest.raises(InputError, match=r"would take \d+\.\d GB unpacked"):
        images.summary(tmp_path / "huge.mrc.gz")


@pytest.mark.parametrize("packing, ending", [(gzip.compress, ".gz"), (bz2.compress, ".bz2")])
def test_a_packed_file_shows_what_the_plain_one_does(tmp_path, ramps, packing, ending):
    plain = write(tmp_path / "a.mrcs", ramps.astype(np.float32), stack=True)
    (tmp_path / f"a.mrcs{ending}").write_bytes(packing(plain.read_bytes()))
    asked = {"first": 2, "count": 2}
    assert images.gallery(Ask(tmp_path, path=f"a.mrcs{ending}", **asked)) == \
        images.gallery(Ask(tmp_path, path="a.mrcs", **asked))
    about = images.summary(tmp_path / f"a.mrcs{ending}")
    assert about["packed"] and about["kind"] == "stack" and about["shape"] == [5, 12, 20]


def test_a_packed_file_that_grows_too_large_is_refused_before_it_does(tmp_path, monkeypatch):
    """A megabyte of packed zeros is a gigabyte on the disk of a small server."""
    header = write(tmp_path / "a.mrc", np.zeros((2, 4, 4), np.float32)).read_bytes()[:1024]
    claims = np.frombuffer(header, "<i4").copy()
    claims[:3] = 1000  # nx, ny, nz
    (tmp_path / "bomb.mrc.gz").write_bytes(gzip.compress(claims.tobytes() + bytes(10**6)))
    monkeypatch.setattr(files.tempfile, "TemporaryFile", lambda: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match=r"would take 4.0 GB unpacked.*unpack it first"):
        images.gallery(Ask(tmp_path, path="bomb.mrc.gz"))


def test_more_behind_the_data_is_not_unpacked(tmp_path):
    plain = write(tmp_path / "a.mrc", np.ones((2, 4, 4), np.float32)).read_bytes()
    (tmp_path / "a.mrc.gz").write_bytes(gzip.compress(plain + bytes(50 * 10**6)))
    values = pixels(open_mrc(tmp_path / "a.mrc.gz")[0])
    assert values.sum() == 32 and values.base.size() == len(plain)  # the temporary file, as it is mapped


BROKEN = {
    "empty": (lambda raw: b"", "is empty"),
    "short header": (lambda raw: raw[:300], "only 300 bytes"),
    "truncated": (lambda raw: raw[:-900], r"is truncated: its header promises 5 sections .* ends after 4"),
    "no MRC file": (lambda raw: b"hello world, " * 500, "is not an MRC file"),
    "complex numbers": (lambda raw: raw[:12] + (4).to_bytes(4, "little") + raw[16:], "has MRC mode 4"),
    "packed and cut": (lambda raw: gzip.compress(raw)[:-40], "cut short or damaged"),
    "packed nonsense": (lambda raw: b"\x1f\x8b" + bytes(200), "cut short or damaged"),
    "packed, too few": (lambda raw: gzip.compress(raw[:-900]), "is truncated: unpacked it has"),
    "bzip2 and cut": (lambda raw: bz2.compress(raw)[:-40], "cut short or damaged"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_told_in_one_sentence(tmp_path, ramps, kind):
    breaking, words = BROKEN[kind]
    raw = write(tmp_path / "a.mrcs", ramps.astype(np.float32), stack=True).read_bytes()
    (tmp_path / "a.mrcs").write_bytes(breaking(raw))
    with pytest.raises(InputError, match=words) as told:
        images.gallery(Ask(tmp_path, path="a.mrcs"))
    assert "\n" not in str(told.value)


def test_what_is_no_number_is_black_and_counted_and_never_stops_the_picture(tmp_path, ramps):
    values = ramps.astype(np.float32)
    values[0, 0, :3] = np.nan, np.inf, -np.inf
    values[1] = np.nan
    write(tmp_path / "a.mrcs", values, stack=True)
    _, shown = unpacked(images.gallery(Ask(tmp_path, path="a.mrcs", count=2)))
    assert shown[0, 0, 0] == 0 and shown[0, 5].std() > 20 and not shown[1].any()
    found = images.statistics(pixels(open_mrc(tmp_path / "a.mrcs")[0]))
    assert found["broken"] == 3 + 240 and (found["low"], found["high"]) == (0, 23)
    for at in (0, 1, "all"):
        about, _ = unpacked(images.spectrum(Ask(tmp_path, path="a.mrcs", at=at)))
        json.dumps(about, allow_nan=False)


def test_the_images_of_a_page_share_what_may_be_read(tmp_path, monkeypatch):
    """Two dozen frames of a movie are as many gigabytes."""
    stack = np.random.default_rng(8).integers(0, 100, (6, 64, 64)).astype(np.int16)
    write(tmp_path / "a.mrcs", stack, stack=True)
    monkeypatch.setattr(images, "READ", 3 * 64 * 64 * 2)
    asked = {"path": "a.mrcs", "size": 16, "low": 0, "high": 255}
    about, shown = unpacked(images.gallery(Ask(tmp_path, **asked, count=3)))
    assert not about["sampled"] and about["factors"] == [4, 4]
    assert np.abs(shown - stack[:3].reshape(3, 16, 4, 16, 4).mean(axis=(2, 4))).max() <= 0.51
    about, shown = unpacked(images.gallery(Ask(tmp_path, **asked, count=6)))
    assert about["sampled"] and about["factors"] == [4, 4]
    assert np.abs(shown - stack[:, ::2].reshape(6, 16, 2, 16, 4).mean(axis=(2, 4))).max() <= 0.51


def test_a_file_that_was_replaced_is_not_taken_for_the_one_that_is_described(tmp_path, ramps):
    """A program that writes its results again while somebody looks at them."""
    write(tmp_path / "a.mrcs", ramps.astype(np.float32), stack=True)
    known = images.summary(tmp_path / "a.mrcs")["changed"]
    images.gallery(Ask(tmp_path, path="a.mrcs", changed=known))
    os.utime(tmp_path / "a.mrcs", ns=(0, int(known) + 1))
    for work in (images.gallery, images.plane, images.spectrum, images.volume):
        with pytest.raises(InputError, match=r"a\.mrcs has changed since it was opened: choose Reload from Disk"):
            work(Ask(tmp_path, path="a.mrcs", changed=known))


def test_what_is_too_thin_for_a_surface_is_not_read(tmp_path, monkeypatch):
    write(tmp_path / "a.map", np.zeros((3, 300, 300), np.float32))
    monkeypatch.setattr(images, "shrink", lambda *_: pytest.fail("it was read"))
    with pytest.raises(InputError, match="300 x 300 x 3 voxels are too thin for a surface"):
        images.volume(Ask(tmp_path, path="a.map"))


def test_a_part_of_an_image_and_its_means(tmp_path):
    image = np.random.default_rng(3).integers(0, 100, (64, 96)).astype(np.int16)
    write(tmp_path / "a.mrc", image)
    asked = {"path": "a.mrc", "low": 0, "high": 255, "left": 8, "top": 16, "width": 32, "height": 24}
    _, shown = unpacked(images.plane(Ask(tmp_path, **asked, size=32)))
    assert (shown == image[16:40, 8:40]).all()
    about, shown = unpacked(images.plane(Ask(tmp_path, **asked, size=8)))
    assert about["factors"] == [4, 4] and not about["sampled"]
    assert np.abs(shown - image[16:40, 8:40].reshape(6, 4, 8, 4).mean(axis=(1, 3))).max() <= 0.51


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_slices_of_a_map_are_across_its_own_axes(tmp_path, order):
    """A map whose columns run along z looks turned in a viewer that does not look."""
    sides, rng = {1: 6, 2: 8, 3: 10}, np.random.default_rng(5)
    volume = rng.integers(0, 250, (sides[3], sides[2], sides[1])).astype(np.int16)  # z, y, x
    columns, rows, sections = order
    on_disk = volume.transpose(3 - sections, 3 - rows, 3 - columns)
    write(tmp_path / "a.map", on_disk, mapc=columns, mapr=rows, maps=sections)
    asked = {"path": "a.map", "as": "map", "low": 0, "high": 255}
    for axis, expected in {"z": volume[4], "y": volume[:, 4], "x": volume[:, :, 4]}.items():
        _, shown = unpacked(images.plane(Ask(tmp_path, **asked, axis=axis, at=4)))
        assert (shown == expected).all()
    about, levels = unpacked(images.volume(Ask(tmp_path, path="a.map")), "<u2")
    assert np.abs(levels / 65535 * (about["high"] - about["low"]) + about["low"] - volume).max() < 0.01


@pytest.mark.parametrize("name, shape, kind", [
    ("a.mrcs", (8, 8, 8), "stack"), ("a.mrc", (8, 8, 8), "map"), ("a.map", (4, 8, 8), "map"),
    ("a.mrc", (5, 8, 8), "map"), ("a.mrc", (1, 8, 8), "image"), ("a.mrc", (8, 8), "image")])
def test_what_a_file_is_taken_for(tmp_path, name, shape, kind):
    write(tmp_path / name, np.zeros(shape, np.float32))
    assert images.summary(tmp_path / name)["kind"] == kind


def test_a_stack_that_is_called_mrc_is_a_stack(tmp_path, ramps):
    write(tmp_path / "a.mrc", ramps.astype(np.float32), stack=True)
    assert images.summary(tmp_path / "a.mrc")["kind"] == "stack"


def test_markup_and_control_characters_in_labels_stay_text(tmp_path):
    write(tmp_path / "a.mrc", np.zeros((4, 4), np.float32), nlabl=2)
    raw = bytearray((tmp_path / "a.mrc").read_bytes())
    raw[224:304] = b"<img src=x onerror=alert(1)>".ljust(80)
    raw[304:384] = b"\xff\xfe\x00\x1b[31m".ljust(80)
    (tmp_path / "a.mrc").write_bytes(raw)
    labels = images.summary(tmp_path / "a.mrc")["labels"]
    assert labels[0] == "<img src=x onerror=alert(1)>"
    assert json.loads(json.dumps(labels)) == labels


def test_the_spectrum_of_a_wave_is_a_peak_at_its_frequency(tmp_path):
    x = np.arange(64)
    wave = np.cos(2 * np.pi * 10 * x / 64)
    noise = 0.1 * np.random.default_rng(6).standard_normal((3, 64, 64))
    write(tmp_path / "a.mrcs", (wave + noise).astype(np.float32), stack=True)
    for at in (1, "all"):
        about, shown = unpacked(images.spectrum(Ask(tmp_path, path="a.mrcs", at=at)))
        assert int(np.argmax(about["profile"])) == 10 and about["box"] == 64 and about["pixel"] == pytest.approx(1.5)
        assert shown[32, 22] == shown[32, 42] == 255 and (shown == 255).sum() < 12 and shown[32, 32] == 0
    write(tmp_path / "a.map", (wave[:, None, None] + np.zeros((64, 64, 64))).astype(np.float32))
    about, _ = unpacked(images.spectrum(Ask(tmp_path, **{"path": "a.map", "as": "map"})))
    assert int(np.argmax(about["profile"])) == 10


@pytest.mark.parametrize("query, words", [
    ({"first": 5}, "first=5 is not a number from 0 to 4"), ({"first": -1}, "first=-1"), ({"first": "xyz"}, "first=xyz"),
    ({"count": 10**6}, "count=1000000"), ({"size": 10**6}, "size=1000000"), ({"low": "nan", "high": 1}, "low=nan"),
    ({"sigmas": "[1]"}, "sigmas")])
def test_a_question_that_asks_too_much_is_refused(tmp_path, ramps, query, words):
    write(tmp_path / "a.mrcs", ramps.astype(np.float32), stack=True)
    with pytest.raises(InputError) as told:
        images.gallery(Ask(tmp_path, path="a.mrcs", **query))
    assert words in str(told.value)
