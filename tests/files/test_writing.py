"""Outputs: a learner's earlier result survives whatever happens while the next one is written."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from cryoedu.errors import InputError
from cryoedu.files.writing import check_writable, replace_when_done


def test_the_file_appears_whole_and_nothing_else_stays(tmp_path):
    path = tmp_path / "new" / "out.mrc"
    with replace_when_done(path) as part:
        part.write_text("new")
        assert part.parent == path.parent and not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["out.mrc"]


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_interrupted_writer_leaves_the_old_file(tmp_path, trouble):
    path = tmp_path / "out.mrc"
    path.write_text("old")
    with pytest.raises(trouble), replace_when_done(path) as part:
        part.write_text("half of")
        raise trouble
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.mrc"]


def test_a_full_disk_is_a_sentence_and_other_errors_stay_themselves(tmp_path):
    path = tmp_path / "out.mrc"
    with pytest.raises(InputError, match=r"out\.mrc could not be written .* free some space"), replace_when_done(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ConnectionError), replace_when_done(path):
        raise ConnectionError
    assert not os.listdir(tmp_path)


def test_a_link_keeps_pointing_to_its_file(tmp_path):
    real, link = tmp_path / "real.star", tmp_path / "link.star"
    real.write_text("old")
    link.symlink_to(real)
    with replace_when_done(link) as part:
        part.write_text("new")
    assert link.is_symlink() and real.read_text() == "new"


def test_others_may_read_the_result(tmp_path):
    """A group shares its folders: the file has the permissions that any new file would have."""
    plain, careful = tmp_path / "plain", tmp_path / "careful"
    plain.write_text("x")
    with replace_when_done(careful) as part:
        part.write_text("x")
    assert stat.S_IMODE(careful.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_folder_in_the_way_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"), replace_when_done(tmp_path):
        raise AssertionError("the block must not start")


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="cannot be an output folder"):
            check_writable(folder)


def test_an_unwritable_folder_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)  # the tests may run as root, who may write anywhere
    with pytest.raises(InputError, match=r"nothing can be written into .*permission denied"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match="nothing can be written"), replace_when_done(tmp_path / "a"):
        raise AssertionError("the block must not start")
