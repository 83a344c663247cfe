"""What all benchmarks share: their list, their command line, their results, the sections of pages."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import __main__ as listed
from benchmarks import clock, machine, report
from benchmarks.command import command
from benchmarks.store import Store
from jaxdiff.data.errors import DataError

FOLDER = Path(listed.__file__).parent


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured."""

    data: Path
    """A folder."""
    num: int = 3


def measure(options: Options) -> None:
    """Measures."""
    if not options.num:
        raise DataError("0 images", "1 or more", "raise --num")
    print("measured", options.data, options.num)


def fails() -> str:
    """Fails."""
    return "bytes differ"


def given(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["benchmark", *arguments])


def test_every_benchmark_is_listed_with_a_line_and_named_where_it_is_not_there(capsys):
    assert listed.main([]) == 0
    text = capsys.readouterr().out
    for name in ("solvers", "tasks", "sampler", "restoration", "fuzz", "kill_resume", "choose", "transformations"):
        assert f"\n  {name} " in text
    assert all(line and not line.startswith("#") for line in listed.benchmarks().values())
    assert not {"store", "report", "command", "machine", "peers"} & set(listed.benchmarks())
    assert listed.main(["solver"]) == 2
    assert "got benchmark 'solver'; expected one of bulk, " in capsys.readouterr().err


def test_every_command_line_of_a_benchmark_is_the_shared_one():
    for name in listed.benchmarks():
        path = FOLDER / f"{name}.py"
        text = (path if path.exists() else FOLDER / name / "__main__.py").read_text(encoding="utf-8")
        assert "    command(" in text, name


def test_sides_take_turns_and_ratios_are_of_one_turn():
    order = []

    def side(name, values):
        values = iter(values)
        return lambda: (order.append(name), next(values))[1]

    sides = {"a": side("a", (2.0, 6.0, 8.0)), "b": side("b", (1.0, 2.0, 2.0)), "c": side("c", "xyz")}
    times = clock.turns(sides, 3)
    assert "".join(order) == "abcbcacab"
    assert times == {"a": [2.0, 6.0, 8.0], "b": [1.0, 2.0, 2.0], "c": ["x", "y", "z"]}
    assert clock.ratios(times["a"], times["b"]) == (3.0, [2.5, 3.5])


def test_seconds_are_of_as_many_runs_and_the_first_is_not_in_the_median():
    calls = []
    assert clock.seconds(lambda: calls.append(1), 3) >= 0
    assert clock.median_seconds(lambda: calls.append(2), 4) >= 0
    assert calls == [1] * 3 + [2] * 5


def test_parts_go_by_name_and_a_single_one_without(monkeypatch, capsys):
    for part, arguments in ((measure, []), ({"measure": measure, "other": fails}, ["measure"])):
        given(monkeypatch, *arguments, "--data", "images", "--num", "2")
        with pytest.raises(SystemExit) as ended:
            command(part, "About it.")
        assert ended.value.code is None
        assert capsys.readouterr().out == "measured images 2\n"


def test_refused_data_and_failures_end_with_their_status(monkeypatch, capsys):
    given(monkeypatch, "--data", "images", "--num", "0")
    with pytest.raises(SystemExit) as ended:
        command(measure, None)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "got 0 images; expected 1 or more; to fix: raise --num\n"
    given(monkeypatch, "fails")
    with pytest.raises(SystemExit) as ended:
        command({"measure": measure, "fails": fails}, None)
    assert ended.value.code == "bytes differ"


def test_an_entry_has_its_machine_and_the_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "describe", lambda packages: {"date": "2026-01-01", "versions": packages})
    results = Store("some", ("numpy",), {"format": 1}, tmp_path)
    assert results.read() == {"format": 1}
    results.put(("a", "b"), {"value": 1})
    results.put(("a", "c"), {"value": 2, "machine": "another"})
    machine_now = {"date": "2026-01-01", "versions": ["numpy"]}
    stored = {"format": 1, "a": {"b": {"machine": machine_now, "value": 1}, "c": {"value": 2, "machine": "another"}}}
    assert json.loads((tmp_path / "some.json").read_text()) == stored
    assert [path.name for path in tmp_path.iterdir()] == ["some.json"]


def test_what_cannot_be_written_leaves_the_old_results(tmp_path):
    results = Store("some", folder=tmp_path)
    results.write({"a": 1})
    with pytest.raises(TypeError):
        results.write({"a": object()})
    assert results.read() == {"a": 1}


def test_a_section_is_replaced_between_its_marks_only(tmp_path):
    page = tmp_path / "evidence.md"
    page.write_text("a\n<!-- 32 -->\nold\n<!-- end of 32 -->\nb\n")
    for text in ("new", "newer"):
        report.write_sections(page, {"32": text})
    assert page.read_text() == "a\n<!-- 32 -->\nnewer\n<!-- end of 32 -->\nb\n"
    with pytest.raises(ValueError, match=r"evidence.md: got a page without the marks of 64; .*<!-- end of 64 -->"):
        report.write_sections(page, {"64": "new"})


def test_tables_are_markdown():
    assert report.table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"
