"""Damaged files of every format that is read: 10,000 of them, and what became of each.

    python -m benchmarks.fuzz [--cases 10000] [--seed 0] [--formats "TIFF" "run.json"] [--workers 2]

Each case takes a whole file of some KB, damages its bytes or, of JSON, its structure, and gives it to its reader. A case is
refused (`got …; expected …; to fix: …`), read as if nothing were, or read as something else ("changed": possible only where
no checksum covers the bytes). None may end in an error of other words ("unclean"), in other values in spite of a checksum
("wrong"), in more than 20 s or 256 MB; a process that dies counts as unclean. Processes are limited to 4 GB beyond what they
hold after their start, and are killed by their parent where an alarm does not reach them.

Results: benchmarks/results/fuzz.json. Exits with 1 where a case failed.
"""

import collections
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.command import command
from benchmarks.fuzz.processes import Worker

OUTCOMES = ("refused", "same", "changed", "wrong", "unclean", "hang", "blow-up")
FAILED = OUTCOMES[3:]
PATIENCE = 90.0
"""Seconds without a word after which a process is taken for hanging; its start and a format's first files are in it."""
CHUNK = 50


@dataclass(frozen=True)
class Options:
    """How many, and which."""

    cases: int = 10_000
    """Damaged files, over all formats."""
    seed: int = 0
    """Of the damage: the same seed gives the same files."""
    formats: tuple[str, ...] = field(default_factory=tuple)
    """Names of formats; default all."""
    workers: int = 2
    """Processes."""
    write: bool = True
    """Whether the results are kept."""


def main(options: Options) -> int:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        return measure(options, Path(folder))


def measure(options: Options, folder: Path) -> int:
    """Runs the cases with files in `folder`, prints and writes the table; the exit status."""
    from benchmarks.fuzz.case import Result
    from benchmarks.fuzz.formats import FORMATS
    from benchmarks.store import Store

    names = options.formats or tuple(FORMATS)
    store = Store(
        "fuzz",
        ("tifffile", "imagecodecs", "pillow", "tensorflow-datasets", "array_record", "safetensors", "orbax-checkpoint"),
    )
    machine = store.machine()
    each = [options.cases // len(names) + (i < options.cases % len(names)) for i in range(len(names))]
    tasks = collections.deque(
        (name, first, min(CHUNK, number - first), options.seed)
        for name, number in zip(names, each)
        for first in range(0, number, CHUNK)
    )
    counts = {name: collections.Counter() for name in names}
    slowest = dict.fromkeys(names, 0.0)
    faults: list[dict[str, Any]] = []
    workers = [Worker(folder / f"process_{i}") for i in range(options.workers)]
    bar = tqdm(total=options.cases, desc="files", disable=None)

    def count(name: str, number: int, result: Result) -> None:
        counts[name][result.outcome] += 1
        slowest[name] = max(slowest[name], result.seconds)
        bar.update()
        if result.outcome in FAILED:
            faults.append({"format": name, "case": number, **result._asdict()})
            tqdm.write(
                f"{name}, case {number}: {result.outcome}, {result.damage} of {result.file}: {result.error[:200]}"
            )

    began = time.monotonic()
    while tasks or any(worker.task for worker in workers):
        for worker in workers:
            if worker.task is None and tasks:
                worker.give(tasks.popleft())
            if worker.task is None:
                continue
            name, first, number, seed = worker.task
            try:
                while worker.pipe.poll(0.01):
                    kind, i, result = worker.pipe.recv()
                    worker.heard = time.monotonic()
                    if kind == "done":
                        worker.task = None
                        break
                    worker.current = i
                    if result is not None:
                        count(name, i, result)
                        worker.current = i + 1
                silent = time.monotonic() - worker.heard > PATIENCE
                ended = False
            except (EOFError, OSError):
                silent, ended = False, True
            if worker.task is not None and (silent or ended):
                outcome = "hang" if silent else "unclean"
                text = "no answer" if silent else f"the process ended with {worker.process.exitcode}"
                count(name, worker.current, Result(outcome, "", "", text, time.monotonic() - worker.heard))
                rest = first + number - worker.current - 1
                if rest > 0:
                    tasks.appendleft((name, worker.current + 1, rest, seed))
                worker.stop()
                worker.start()
    for worker in workers:
        worker.stop()
    bar.close()

    table = {
        name: {
            "files": sum(counts[name].values()),
            **{outcome: counts[name][outcome] for outcome in OUTCOMES},
            "checksum": FORMATS[name].checksum or "none",
            "slowest_seconds": round(slowest[name], 2),
        }
        for name in names
    }
    total = {outcome: sum(row[outcome] for row in table.values()) for outcome in OUTCOMES}
    result = {
        "machine": machine,
        "options": {"cases": options.cases, "seed": options.seed, "workers": options.workers},
        "minutes": round((time.monotonic() - began) / 60, 1),
        "total": {"files": sum(total.values()), **total},
        "formats": table,
        "faults": faults,
    }
    print_table(table, total)
    if options.write and not options.formats:
        store.write(result)
    return int(any(total[outcome] for outcome in FAILED))


def print_table(table: dict[str, dict[str, Any]], total: dict[str, int]) -> None:
    print(f"{'':<30}" + "".join(f"{name:>9}" for name in OUTCOMES) + "  checksum")
    for name, row in {**table, "all": {**total, "checksum": ""}}.items():
        print(f"{name:<30}" + "".join(f"{row[outcome]:>9}" for outcome in OUTCOMES) + f"  {row['checksum']}")


if __name__ == "__main__":
    command(main, __doc__)
