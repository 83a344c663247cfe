"""docs/choose.md says what the committed results say."""

from benchmarks import choose
from benchmarks.report import replaced
from benchmarks.store import Store


def test_tables_are_those_of_the_results():
    page = choose.PAGE.read_text(encoding="utf-8")
    for name, text in choose.TABLES.items():
        assert replaced(page, name, text()) == page, "to fix: python -m benchmarks.choose"


def test_the_default_is_the_unit_and_the_best_comes_first():
    stored = Store("solvers").read()
    for calls in stored["calls"]:
        rows = choose.as_it_comes(stored, calls)
        assert [ratio for ratio, *key in rows if tuple(key) == choose.UNIT] == [1.0]
        assert rows[0][0] < 1.0
