"""What the compilers of TPUs and GPUs make of networks, samplers and training steps, without the chips.

    python -m benchmarks.chips [--on v5e:2x2 v6e:2x2 h200] [--only unet-128 call] [--batch 64 256] [--check] [--again]

It needs the compilers: an environment of its own with the extra `tpu` (libtpu, 1 to 4 minutes a row on two cores) or `cuda`
(4.4 GB); what is not installed is skipped. **All numbers are compilers' estimates**: they rank designs, they are not times.

Each row is written to benchmarks/results/chips.json as soon as it is there, and rows that are there are not made again
(unless `--again`); the table in docs/speed.md and the picture are written at the end, and by `--on` alone without chips.
`--check` makes the chosen stored rows again, writes nothing, and ends with status 1 where one has more than 1.05 times the
stored cycles or bytes.
"""

import time
from dataclasses import dataclass

from benchmarks.chips import report, store
from benchmarks.chips.rows import NETWORKS, PROGRAMS, Row, rows
from benchmarks.command import command
from jaxdiff.chips import NoCompiler, Target, estimate, target


@dataclass(frozen=True)
class Options:
    """What is compiled."""

    on: tuple[str, ...] = ("v5e:2x2", "v6e:2x2", "h200")
    """Slices; each name is CHIP:TOPOLOGY."""
    only: tuple[str, ...] = ()
    """Names of networks and programs; default all."""
    batch: tuple[int, ...] = (64, 256)
    """Images a chip of one network call; samplers and training steps take 64."""
    dtype: tuple[str, ...] = ("bfloat16",)
    again: bool = False
    """Make rows again that are there."""
    check: bool = False
    """Compare with the stored rows instead of writing them."""
    layers: int = 0
    """Print so many of the dearest layers of each row."""


def chosen(options: Options) -> list[Row]:
    """The rows that are asked for. Raises ValueError for a name that is neither a network nor a program."""
    if strange := [name for name in options.only if name not in {*NETWORKS, *PROGRAMS}]:
        raise ValueError(
            f"got --only {' '.join(strange)}; expected networks ({', '.join(NETWORKS)}) and programs "
            f"({', '.join(PROGRAMS)}); to fix: choose among these"
        )
    networks = [name for name in NETWORKS if name in options.only] or list(NETWORKS)
    programs = [name for name in PROGRAMS if name in options.only] or list(PROGRAMS)
    every = rows(options.on, tuple(networks), options.batch, options.dtype)
    return [row for row in every if row.program in programs]


def compilers(names: list[str]) -> dict[str, Target]:
    """The slices that can be compiled for here; says of the others why not. Raises ValueError for a slice that is none."""
    targets = {}
    for name in names:
        try:
            targets[name] = target(name)
        except NoCompiler as error:
            print(f"{name} is left out: {error}")
    return targets


def compiled(row: Row, where: Target, layers: int = 0) -> dict:
    """What is stored of a row."""
    start = time.perf_counter()
    try:
        estimated = estimate(row.trace(where), where)
    except Exception as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        result = {"does_not_fit": str(error).splitlines()[0][:300]}
    else:
        result = estimated.to_json()
        for name, cost in list(estimated.layers().items())[:layers]:
            print(f"    {cost / 1e6:9.3f} M  {name}")
    return {**result, "compile_seconds": round(time.perf_counter() - start, 1), **store.compiler(where.chip.kind)}


def main(options: Options) -> int:
    """Exit status: 1 where `--check` found a row that has become dearer, or none to compare."""
    rows = chosen(options)
    targets = compilers(list(dict.fromkeys(row.slice for row in rows)))
    stored, worse, compared = store.read(), 0, 0
    for row in rows:
        is_stored = row.key in stored
        if row.slice not in targets or not (is_stored if options.check else options.again or not is_stored):
            continue
        result = compiled(row, targets[row.slice], options.layers)
        print(report.line(row.key, result), flush=True)
        if options.check:
            dearer = store.dearer(stored[row.key], result)
            compared += 1
            worse += bool(dearer)
            print("\n".join(f"  DEARER: {text}" for text in dearer) or "  as stored", flush=True)
        else:
            stored = store.put(row.key, result)
    if options.check:
        print(f"{compared} rows compared, {worse} dearer than {store.LIMIT} times what is stored")
        return 1 if worse or not compared else 0
    report.write(stored)
    return 0


if __name__ == "__main__":
    command(main, __doc__)
