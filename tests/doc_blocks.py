"""The fenced blocks and the commands of README, CONTRIBUTING and docs/."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<mark>[^>]+?) -->\n\n?)?^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PROGRAMS = ("train.py", "sample.py", "jaxdiff")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page; `mark` says why it is not run, if it is not."""

    page: str
    line: int
    language: str
    code: str
    mark: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    """All of them, in the order of the pages."""
    every = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text[: match.start("code")].count("\n")
            fields = (match["language"], match["code"], match["mark"])
            every.append(Block(path.relative_to(ROOT).as_posix(), line, *fields))
    return every


def spans() -> list[tuple[str, str]]:
    """(page, text) of what stands between single backticks outside fenced blocks."""
    every = []
    for path in PAGES:
        text = FENCE.sub("", path.read_text(encoding="utf-8"))
        every += [
            (path.relative_to(ROOT).as_posix(), " ".join(span.split())) for span in re.findall(r"`([^`]+)`", text)
        ]
    return every


def commands(shell: str) -> Iterator[list[str]]:
    """The words of each command of ours in some lines of shell: the program, then its arguments."""
    for line in shell.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # an apostrophe in what is no command
            continue
        for command in _split(words, ("&", "&&", "|", ";")):
            while command and (re.fullmatch(r"\w+=\S*", command[0]) or command[0] in ("srun", "export", "python")):
                command = command[1:]
            if command and command[0] in PROGRAMS:
                yield command


def _split(words: list[str], separators: tuple[str, ...]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word in separators:
            yield part
            part = []
        else:
            part.append(word)
    yield part
