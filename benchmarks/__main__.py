"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME …` is `python -m benchmarks.NAME …`."""

import ast
import re
import runpy
import sys
from pathlib import Path


def benchmarks() -> dict[str, str]:
    """The first line of each benchmark by its name: modules that run, and packages with a `__main__`; nothing is imported."""
    folder = Path(__file__).parent
    files = {path.stem: path for path in folder.glob("*.py")} | {p.parent.name: p for p in folder.glob("*/__main__.py")}
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items() if name != "__main__"}
    docs = {name: ast.get_docstring(ast.parse(text)) or "" for name, text in texts.items()}
    run = sorted(name for name, text in texts.items() if '__name__ == "__main__"' in text)
    return {name: re.sub(r"^`python -m [^`]*`[:,] ", "", docs[name].partition("\n")[0]) for name in run}


def main(arguments: list[str]) -> int:
    """Exit status: 2 where there is no such benchmark."""
    lines = benchmarks()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__, "", *(f"  {name:20} {line}" for name, line in lines.items()), sep="\n")
        return 0
    name, *sys.argv[1:] = arguments
    if name not in lines:
        print(f"got benchmark {name!r}; expected one of {', '.join(lines)}", file=sys.stderr)
        return 2
    runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
