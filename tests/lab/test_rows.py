"""STAR files in the viewer: every row as it stands there, in the order that was asked for, however large the file."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from plugins import Ask

from cryoedu.errors import InputError
from cryoedu.files.star import read_tables
from cryoedu.lab import rows, tables

RELION = Path(__file__).parents[1] / "data" / "relion"


@pytest.mark.parametrize("path", sorted(RELION.glob("*.star")), ids=lambda path: path.name)
def test_rows_are_those_that_the_engine_reads(path):
    engine = read_tables(path)
    found = rows.read_tables(path)
    assert [table.name for table in found] == list(engine)
    for table in found:
        assert table.problem() is None
        whole = engine[table.name]
        if table.columns == ("name", "value"):
            assert [row[0][1:].decode() for row in table.rows(range(len(table)))] == list(whole.columns)
            continue
        assert list(table.columns) == list(whole.columns) and len(table) == len(whole)
        for i, name in enumerate(table.columns):
            values = table.column(i)
            if values.dtype.kind == "f":
                np.testing.assert_allclose(values, whole[name].astype(float))
            else:
                assert [value.decode() for value in values] == list(whole[name])


def star(folder, body, name="a.star"):
    (folder / name).write_bytes(body.encode() if isinstance(body, str) else body)
    return folder / name


LOOP = "data_x\n\nloop_\n_rlnA #1\n_rlnName #2\n"


@pytest.mark.parametrize("body, expected", [
    (LOOP + "1 a\n2 b\n", [["1", "a"], ["2", "b"]]),
    (LOOP + "1 a\n2 b", [["1", "a"], ["2", "b"]]),
    (LOOP.replace("\n", "\r\n") + "1 a\r\n", [["1", "a"]]),
    (LOOP + "\n  1   'two words' # a comment\n# another\n 2 \"it's\" \n\n \n", [["1", "two words"], ["2", "it's"]]),
    (LOOP + "1 data_2024/mic.mrc\n2 [b]\n3 αβ\n", [["1", "data_2024/mic.mrc"], ["2", "[b]"], ["3", "αβ"]]),
    (LOOP, []),
    ("# version 30001\n\ndata_\n\n_rlnA 1 # so\n_rlnB 'x y'\n", [["_rlnA", "1"], ["_rlnB", "x y"]]),
])
def test_how_programs_write_rows(tmp_path, body, expected):
    star(tmp_path, body)
    assert tables.page(Ask(tmp_path, path="a.star"))["cells"] == expected
    assert tables.overview(Ask(tmp_path, path="a.star"))[0]["problem"] is None


@pytest.mark.parametrize("body, words", [
    ("", "is empty"), ("hello\n", "has no line that begins with data_"), (b"data_\n\0\0\0", "a binary one"),
    ("data_x\nloop_\n1 2\n", "has 0 columns"),
    ("data_x\nloop_\n" + "".join(f"_c{i}\n" for i in range(900)), "has 900 columns"),
    ("data_x\n" * 5000, "has 5000 tables")])
def test_a_file_that_is_none_is_told_in_one_sentence(tmp_path, body, words):
    star(tmp_path, body)
    with pytest.raises(InputError, match=words) as told:
        tables.overview(Ask(tmp_path, path="a.star"))
    assert "\n" not in str(told.value)


def test_a_row_that_is_cut_short_is_named_and_the_others_are_shown(tmp_path):
    star(tmp_path, LOOP + "1 a\n2 b\n3\n")
    told = tables.overview(Ask(tmp_path, path="a.star"))[0]["problem"]
    assert "row 3 of table data_x has 1 values for 2 columns" in told
    assert tables.page(Ask(tmp_path, path="a.star"))["cells"] == [["1", "a"], ["2", "b"], ["3"]]
    with pytest.raises(InputError, match="row 3 of table data_x has 1 values"):
        tables.page(Ask(tmp_path, path="a.star", sort=1))
    star(tmp_path, LOOP + "1 " + "a" * 10**6 + "\n", "long.star")
    with pytest.raises(InputError, match="row 1 of table data_x is longer"):
        tables.page(Ask(tmp_path, path="long.star"))


def test_a_quotation_mark_that_is_never_closed_takes_the_rest_of_the_line(tmp_path):
    """To look for its end again from every word would keep the server busy for hours, with one line of 60 kB."""
    star(tmp_path, LOOP + "1 " + "'a " * 20_000 + "\n2 'b c\n")
    cells = tables.page(Ask(tmp_path, path="a.star"))["cells"]
    assert [len(row) for row in cells] == [2, 2] and cells[1] == ["2", "b c"]


def test_one_long_word_does_not_make_a_whole_column_long(tmp_path):
    star(tmp_path, LOOP + "1 a\n" * 2000 + "2 " + "b" * 60_000 + "\n")
    tracemalloc.start()
    found = tables.page(Ask(tmp_path, path="a.star", sort=1, descending="true", count=1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found["numbers"] == [2001] and found["cells"][0][1] == "b" * tables.LONGEST and peak < 5e6


def test_more_lines_than_memory_holds_are_refused(tmp_path, monkeypatch):
    """Two gigabytes of empty lines would be thirty of places where lines begin."""
    monkeypatch.setattr(rows, "MOST_LINES", 100)
    star(tmp_path, LOOP + "1 a\n" * 101)
    with pytest.raises(InputError, match=r"has more than 100 lines.*take some of its particles"):
        tables.overview(Ask(tmp_path, path="a.star"))


def test_long_names_are_cut(tmp_path):
    star(tmp_path, f"data_{'t' * 9000}\nloop_\n_{'c' * 9000}\n_rlnB\n1 2\n")
    (table,) = tables.overview(Ask(tmp_path, path="a.star"))
    assert table["name"] == "t" * 200 and table["columns"] == ["c" * 200, "rlnB"]


def test_order_of_numbers_and_of_words(tmp_path):
    star(tmp_path, LOOP + "10 b\n9 a\nnan c\n-1e1 b\n")

    def order(**query):
        return tables.page(Ask(tmp_path, path="a.star", **query))["numbers"]

    assert order() == [1, 2, 3, 4]
    assert order(sort=0) == [4, 2, 1, 3] and order(sort=0, descending="true") == [1, 2, 4, 3]
    assert order(sort=1) == [2, 1, 4, 3]
    assert order(sort=0, first=1, count=2) == [2, 1]


def test_markup_in_names_and_values_stays_text(tmp_path):
    evil = "<img/src=x/onerror=alert(1)>"
    star(tmp_path, f"data_{evil}\nloop_\n_{evil}\n_rlnB\n{evil} '<b>bold</b>'\n")
    (table,) = json.loads(json.dumps(tables.overview(Ask(tmp_path, path="a.star"))))
    assert table["name"] == evil and table["columns"][0] == evil
    assert tables.page(Ask(tmp_path, path="a.star"))["cells"] == [[evil, "<b>bold</b>"]]


def test_a_file_that_was_written_again_is_not_taken_for_the_one_that_is_described(tmp_path):
    """Row 2 of it may be another particle."""
    path = star(tmp_path, LOOP + "1 a\n2 b\n")
    (table,) = tables.overview(Ask(tmp_path, path="a.star"))
    os.utime(path, ns=(0, int(table["changed"]) + 1))
    for work in (tables.page, tables.plot, tables.picture):
        with pytest.raises(InputError, match=r"a\.star has changed since it was opened: choose Reload from Disk"):
            work(Ask(tmp_path, path="a.star", changed=table["changed"]))


def test_plots_of_columns(tmp_path):
    body = LOOP + "".join(f"{i % 7} x{i}\n" for i in range(10_000)) + "nan y\n"
    star(tmp_path, body)
    counted = tables.plot(Ask(tmp_path, path="a.star", x=0))
    assert sum(counted["counts"]) == 10_000 and counted["left_out"] == 1 and len(counted["edges"]) == 41
    points = tables.plot(Ask(tmp_path, path="a.star", y=0))
    assert 3900 <= len(points["x"]) <= 4000 and points["x"] == points["rows"]
    assert [(int(row) - 1) % 7 for row in points["rows"]] == points["y"]
    with pytest.raises(InputError, match="column rlnName holds words"):
        tables.plot(Ask(tmp_path, path="a.star", x=1))
    star(tmp_path, LOOP + "1e308 a\n-1e308 b\n5 c\n", "wide.star")
    json.dumps(tables.plot(Ask(tmp_path, path="wide.star", x=0)), allow_nan=False)


@pytest.fixture
def project(tmp_path):
    """A project folder: stacks beside the STAR file, in the folder above it, and outside."""
    for folder in ("served/job", "served/stacks", "outside"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(RELION / "particles.mrcs", tmp_path / folder / f"{Path(folder).name}.mrcs")
    (tmp_path / "served" / "link.mrcs").symlink_to(tmp_path / "outside" / "outside.mrcs")
    return tmp_path / "served"


@pytest.mark.parametrize("name, place", [
    ("000003@job.mrcs", ("job/job.mrcs", 2)), ("2@stacks/stacks.mrcs", ("stacks/stacks.mrcs", 1)),
    ("5@../stacks/stacks.mrcs", ("stacks/stacks.mrcs", 4)), ("job/job.mrcs", ("job/job.mrcs", 0)),
    ("1@{root}/stacks/stacks.mrcs", ("stacks/stacks.mrcs", 0)),
    ("1@../../outside/outside.mrcs", None), ("1@{root}/../outside/outside.mrcs", None), ("1@link.mrcs", None),
    ("1@/etc/passwd", None), ("1@nowhere.mrcs", None), ("0@job.mrcs", None), ("x@job.mrcs", None)])
def test_the_image_of_a_row_is_found_below_the_served_folder_and_nowhere_else(project, name, place):
    star(project / "job", f"data_particles\nloop_\n_rlnImageName\n_rlnB\n{name.format(root=project)} 1\n")
    ask = Ask(project, path="job/a.star", row=0)
    if place:
        found = tables.picture(ask)
        assert (found["path"], found["at"]) == place
    else:
        with pytest.raises(InputError):
            tables.picture(ask)


@pytest.mark.parametrize("row, name, words", [
    (1, "201@job.mrcs", r"job/job\.mrcs holds 200 images, but row 2 names number 201"),
    (0, "", "row 1 of this table names no image"), (0, "1@cut.mrcs", r"cut\.mrcs is truncated")])
def test_a_row_whose_image_is_not_there_is_told_by_its_number(project, row, name, words):
    (project / "job" / "cut.mrcs").write_bytes((RELION / "particles.mrcs").read_bytes()[:5000])
    first = name if row == 0 else "1@job.mrcs"
    star(project / "job", f"data_particles\nloop_\n_rlnImageName\n_rlnB\n{first} 1\n{name} 2\n")
    with pytest.raises(InputError, match=words):
        tables.picture(Ask(project, path="job/a.star", row=row))


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_little_memory(tmp_path):
    """They are sorted on the server, which holds where rows begin and one column, not the file."""
    line = "{0:06d}@stacks/particles.mrcs " + " ".join(f"{i}.125" for i in range(25)) + " {1}\n"
    body = "data_particles\nloop_\n" + "".join(f"_c{i}\n" for i in range(27))
    path = star(tmp_path, body + "".join(line.format(i, (i * 7919) % 100_003) for i in range(100_000)))
    assert path.stat().st_size > 17e6
    tracemalloc.start()
    found = tables.page(Ask(tmp_path, path="a.star", sort=26, first=50_000, count=100))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    values = [int(row[26]) for row in found["cells"]]
    assert len(values) == 100 and values == sorted(values)
    assert peak < 20e6
