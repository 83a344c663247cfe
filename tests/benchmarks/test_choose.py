"""docs/choose.md says what the committed results say."""

from benchmarks import choose


def test_tables_are_those_of_the_results():
    text = choose.DOCS.read_text(encoding="utf-8")
    assert choose.written(text) == text, "to fix: python -m benchmarks.choose"


def test_the_default_is_the_unit_and_the_best_comes_first():
    stored = choose.load("solvers")
    for calls in stored["calls"]:
        rows = choose.as_it_comes(stored, calls)
        assert [ratio for ratio, *key in rows if tuple(key) == choose.UNIT] == [1.0]
        assert rows[0][0] < 1.0
