"""A program writes a file anew, again and again, while somebody looks at it: the Jupyter server lives, and says so.

What reads through a memory map is killed when the file grows shorter, and with the server go all its kernels.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
from plugins import Ask, get, server

from cryoedu.errors import InputError
from cryoedu.lab import files, images, rows, tables
from cryoedu.lab.files import open_mrc, pixels
from cryoedu.microscope.specimen import write_map

ASKED = {"mrc/statistics": "a.map", "mrc/plane": "a.map", "mrc/gallery": "a.map", "mrc/volume": "a.map",
         "star": "a.star", "star/rows": "a.star"}
pytestmark = pytest.mark.skipif(os.name == "nt", reason="a file that is mapped cannot be made shorter on Windows")


@contextmanager
def rewritten(*paths):
    """These files, while a thread cuts them short and writes them whole again without end."""
    whole, over = {path: path.read_bytes() for path in paths}, threading.Event()

    def write():
        while not over.is_set():
            for path, content in whole.items():
                path.write_bytes(content[: len(content) // 3])  # which begins by emptying it
                path.write_bytes(content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


@pytest.mark.slow
def test_the_server_lives_while_files_are_written_that_are_looked_at(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    write_map(np.random.default_rng(1).standard_normal((96, 96, 96)), folder / "a.map", 1.0)
    (folder / "a.star").write_text("data_x\nloop_\n_rlnA\n_rlnB\n" + "".join(f"{i} {i}.5\n" for i in range(300_000)))
    with server(folder) as (url, process):
        told = set()
        with rewritten(folder / "a.map", folder / "a.star"):
            for _ in range(40):
                for address, name in ASKED.items():
                    status, said = get(url, address, path=name)
                    assert status in (200, 400), said
                    if status == 400:
                        told.add(json.loads(said)["message"])
        assert psutil.pid_exists(process)
        assert any("has changed since it was opened: choose Reload from Disk" in words for words in told), told
        for address, name in ASKED.items():
            assert get(url, address, path=name)[0] == 200


def cut_while(monkeypatch, module, name, path):
    """As ``module``'s function ``name`` begins, the file ``path`` is cut short."""
    real = getattr(module, name)

    def cutting(*given):
        os.truncate(path, path.stat().st_size // 2)
        return real(*given)

    monkeypatch.setattr(module, name, cutting)


@pytest.mark.parametrize("work", [images.gallery, images.plane, images.spectrum, images.volume])
def test_a_map_that_is_cut_after_its_header_was_read_is_said_to_have_changed(tmp_path, monkeypatch, work):
    write_map(np.random.default_rng(1).standard_normal((16, 16, 16)), tmp_path / "a.map", 1.0)
    cut_while(monkeypatch, images, "pixels", tmp_path / "a.map")
    with pytest.raises(InputError, match=r"a\.map has changed since it was opened"):
        work(Ask(tmp_path, path="a.map"))


def test_a_packed_map_that_changes_while_it_is_unpacked(tmp_path, monkeypatch):
    import gzip

    write_map(np.ones((8, 8, 8)), tmp_path / "a.map", 1.0)
    packed = tmp_path / "a.map.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.map").read_bytes()))
    header, _ = open_mrc(packed)
    os.utime(packed, ns=(0, 1))
    with pytest.raises(InputError, match=r"a\.map\.gz has changed since it was opened"):
        pixels(header)
    header, _ = open_mrc(packed)
    monkeypatch.setattr(files, "read_start", lambda path: (b"MRC now, not gzip", path, 17, 1))
    with pytest.raises(InputError, match=r"a\.map\.gz has changed since it was opened"):
        pixels(header)


def test_a_star_file_that_is_cut_while_its_lines_are_found_or_its_rows_read(tmp_path, monkeypatch):
    path = tmp_path / "a.star"
    path.write_text("data_x\nloop_\n_rlnA\n_rlnB\n" + "1 2\n" * 1000)
    (table,) = rows.read_tables(path)
    assert len(list(table.rows(range(1000)))) == 1000
    with monkeypatch.context() as patched, pytest.raises(InputError, match=r"a\.star has changed since it was opened"):
        rows._tables.cache_clear()
        cut_while(patched, rows, "_lines", path)
        tables.overview(Ask(tmp_path, path="a.star"))
    for work in (lambda: list(table.rows([999])), lambda: table.column(1)):
        with pytest.raises(InputError, match=r"a\.star has changed since it was opened"):
            work()


@pytest.mark.parametrize("chunk", [1, 7, 1 << 22])
def test_lines_are_found_wherever_a_chunk_of_the_file_ends(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(rows, "CHUNK", chunk)
    body = "data_one\n\nloop_\n_rlnA\n_rlnB\n1 data_\n# no\n \n\r\n  \n\t2 3\ndata_two\n_rlnC 5\ndatum\n#"
    (tmp_path / "a.star").write_bytes(body.encode())
    first, second = rows.read_tables(tmp_path / "a.star")
    assert (first.name, list(first.rows(range(len(first))))) == ("one", [[b"1", b"data_"], [b"2", b"3"]])
    assert (second.name, list(second.rows(range(len(second))))) == ("two", [[b"_rlnC", b"5"], [b"datum"]])
