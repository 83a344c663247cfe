"""What the results become in docs/: markdown tables, and the sections of pages that are written from them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells as they stand."""
    return "\n".join([_line(head), "|" + "---|" * len(head), *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def interval(value: Mapping[str, float], sign: str = "") -> str:
    """The mean with its interval."""
    mean, low, high = (f"{value[name]:{sign}.3f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def machine(entry: Mapping[str, Any]) -> str:
    """When and on what an entry was measured."""
    of = entry["machine"]
    return f"{of['date'][:10]}, {of['processor']}, {of['cores']} cores."


def replaced(page: str, name: str, text: str) -> str:
    """The page with `text` between the marks of `name`.

    Raises ValueError where it has no such marks, or more than one pair.
    """
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(
            f"got a page without the marks of {name}; expected both once; to fix: add {begin.strip()} and {end.strip()}"
        )
    head, _, rest = page.partition(begin)
    return f"{head}{begin}{text}{end}{rest.partition(end)[2]}"


def write_sections(page: Path, texts: Mapping[str, str]) -> None:
    """Replaces what stands between the marks of each name. Raises ValueError, naming the page, where one has none."""
    text = page.read_text(encoding="utf-8")
    for name, section in texts.items():
        try:
            text = replaced(text, name, section)
        except ValueError as error:
            raise ValueError(f"{page}: {error}") from error
    page.write_text(text, encoding="utf-8")
    print(f"written: {page}", flush=True)
