"""`jaxdiff export RUN`: a trained run's sampler as one file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxdiff.commands.solver_options import SolverOptions
from jaxdiff.interop.export import PLATFORMS, export_sampler
from jaxdiff.loading import load
from jaxdiff.lock import only_writer_of


@dataclass(frozen=True)
class Export(SolverOptions):
    """The sampler of a trained run as one file that runs without jaxdiff, on CPU, CUDA and TPU."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, as `train.py` makes it."""
    out: Path | None = None
    """File to write, a .zip; default the name of the run with .zip, here."""
    guidance: float = 1.0
    """Scale of classifier-free guidance on the class; 1 = none. The class is an argument of every call."""
    units: Literal["data", "model"] = "data"
    """Of the images: those of the data, or the network's own."""
    platforms: tuple[Literal["cpu", "cuda", "tpu", "rocm"], ...] = PLATFORMS
    """Where it shall run."""
    checkpoint: int | None = None
    """Step of the checkpoint; default the newest."""
    allow: tuple[str, ...] = ()
    """Packages, or paths of .py files, of your own whose classes the run may name: their code runs."""


def export(options: Export) -> Path:
    """Writes the file and says how to read it; returns its path.

    Raises FileNotFoundError where there is no run, ValueError for options that do not fit it, before anything is written.
    """
    out = options.out or Path(f"{options.run.resolve().name}.zip")
    with only_writer_of(out):
        meta = _exported(options, out)
    print(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, images of {' x '.join(map(str, meta['images']['shape']))} with "
        f"{meta['calls']} calls each, for {', '.join(meta['platforms'])}; its README.md shows how to call it without jaxdiff"
    )
    return out


def _exported(options: Export, out: Path) -> dict[str, Any]:
    options.named(options.run)  # what it refuses is refused before the run is read
    model = load(options.run, options.checkpoint, allow=options.allow)
    solver = options.solver_of(model, options.guidance)
    return export_sampler(
        model,
        out,
        calls=options.calls,
        solver=solver,
        guidance=options.guidance,
        units=options.units,
        platforms=options.platforms,
    )


def main(args: list[str], prog: str = "jaxdiff export") -> int:
    """The command: options from `args`; exit status."""
    export(tyro.cli(Export, prog=prog, args=args))
    return 0
