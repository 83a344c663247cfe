"""`jaxdiff pack RUN --out DIR`: a run as two small files, for shipping."""

from pathlib import Path
from typing import Literal

import tyro

from jaxdiff.training.packed import NAME, pack


def packed(
    run: tyro.conf.Positional[Path],
    out: Path,
    step: int | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    length: float | None = None,
    allow: tuple[str, ...] = (),
) -> Path:
    """A run as two small files, run.json and float16 parameters.

    Args:
        run: folder of the run.
        out: new folder.
        step: of the checkpoint or snapshot; default the newest.
        dtype: of the stored parameters.
        length: of a power-function average, relative to the run (0.02 to 0.2), of a run with power_ema; default the
            run's moving average.
        allow: packages, or paths of .py files, of your own whose classes the run may name, to have their fields checked;
            without them a run with such parts is packed as it is.
    """
    return pack(run, out, step, dtype, length=length, allow=allow)


def main(args: list[str], prog: str = "jaxdiff pack") -> int:
    """The command: options from `args`; exit status."""
    folder = tyro.cli(packed, prog=prog, args=args)
    print(f"{folder}: {(folder / NAME).stat().st_size / 1e6:.2f} MB of parameters; jd.load reads it, and --run")
    return 0
