"""`benchmarks.chips`: which rows, what is dearer, and that it goes on where it stopped; on a pretended chip."""

import importlib
from dataclasses import replace

import pytest

import jaxdiff as jd
from benchmarks.chips import report, store
from benchmarks.chips.rows import NETWORKS, PROGRAMS, Row
from benchmarks.store import Store
from jaxdiff.chips import CHIPS, NoCompiler, Target, target

chips = importlib.import_module("benchmarks.chips.__main__")
ROW = {
    **{"cycles": 10**6, "bytes": 10**9, "flops": 1e9, "milliseconds": 1.0, "share_of_peak": 0.5, "kernels": 3},
    **{"moves": {"kernels": 1, "cost": 10}, "temporaries": 0, "memory": 0, "collectives": {"all-gather": [2, 8]}},
    **{"kinds": {}, "layers": {}, "compile_seconds": 1.0, "versions": {"jax": "1"}, "date": "2026-11-29"},
}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty store, a chip whose compiler is here and one whose is not, and a compiler that answers `ROW`."""
    monkeypatch.setattr(store, "STORE", Store("chips", empty={"rows": {}}, folder=tmp_path, dumps=store.dumps))
    written, asked, cycles = [], [], {"now": 10**6}
    monkeypatch.setattr(report, "write", written.append)

    def pretended(name):
        if not name.startswith("v5e"):
            raise NoCompiler(f"got --on {name} without its compiler")
        return Target(name, CHIPS["v5e"], (None,))

    def compiled(row, where, layers=0):
        asked.append(row.key)
        return {**ROW, "cycles": cycles["now"]}

    monkeypatch.setattr(chips, "target", pretended)
    monkeypatch.setattr(chips, "compiled", compiled)
    return asked, cycles


def test_rows_that_are_there_are_not_made_again_and_absent_compilers_are_named(desk, capsys):
    asked, _ = desk
    options = chips.Options(on=("v5e:2x2", "h200"), only=("unet-128", "call"), batch=(64,))
    assert chips.main(options) == 0
    assert chips.main(options) == 0
    assert asked == ["call unet-128 bfloat16 64 v5e:2x2"]
    assert "h200 is left out: got --on h200 without its compiler" in capsys.readouterr().out
    chips.main(replace(options, again=True))
    assert len(asked) == 2
    assert [*store.read()] == asked[:1]


@pytest.mark.parametrize(("times", "status"), [(1.04, 0), (1.06, 1), (0.5, 0)])
def test_a_check_fails_where_a_row_has_become_dearer_and_writes_nothing(desk, times, status, capsys):
    _, cycles = desk
    options = chips.Options(on=("v5e:2x2",), only=("unet-128", "call"), batch=(64,))
    chips.main(options)
    cycles["now"] = int(times * 10**6)
    assert chips.main(replace(options, check=True)) == status
    assert ("DEARER: cycles 1.060 times" in capsys.readouterr().out) == bool(status)
    assert store.read()["call unet-128 bfloat16 64 v5e:2x2"]["cycles"] == 10**6


def test_a_check_of_nothing_does_not_pass(desk):
    assert chips.main(chips.Options(on=("v5e:2x2",), check=True)) == 1


def test_what_no_longer_fits_is_dearer():
    gone = {"does_not_fit": "RESOURCE_EXHAUSTED"}
    assert store.dearer(ROW, gone)
    assert store.dearer(gone, gone) == store.dearer(gone, ROW) == []


def test_names_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"got --only unet-129; expected networks \(unet-64"):
        chips.chosen(chips.Options(only=("unet-129",)))


def test_all_rows_have_their_programs_and_pods_take_the_place_of_slices():
    rows = chips.chosen(chips.Options())
    assert {row.program for row in rows} == {*PROGRAMS}
    assert {row.network for row in rows} == {*NETWORKS}
    assert {row.slice for row in rows if row.program == "train-fsdp"} == {"v5e:4x4", "v5e:16x16"}
    assert len({row.key for row in rows}) == len(rows)


def test_every_line_of_the_table_says_that_it_is_an_estimate():
    keys = [Row(program, "unet-64", "bfloat16", 64, "v5e:2x2").key for program in PROGRAMS]
    table = report.table({**dict.fromkeys(keys, ROW), "call unet-64 bfloat16 64 h200": {**ROW, "cycles": None}})
    lines = [line for line in table.splitlines() if line.startswith("| ") and "unet" in line]
    assert len(lines) == len(keys) + 1
    assert all("(estimate)" in line and "2 all-gather" in line for line in lines)
    assert "compiler's estimate" in report.line(keys[0], ROW)


@pytest.mark.parametrize("program", ["call", "windowed", "train"])
def test_programs_are_traced_from_shapes(program, monkeypatch):
    tiny = lambda dtype: jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), dtype=dtype)  # noqa: E731
    monkeypatch.setitem(NETWORKS, "tiny", tiny)
    here = target("cpu:1")
    text = Row(program, "tiny", "bfloat16", 2, here.name).trace(here).lower().as_text()
    assert "64x64" in text
    assert ("256x256" in text) == (program == "windowed")
