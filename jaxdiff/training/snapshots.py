"""Snapshots of a run's power-function averages: RUN/power_ema/STEP.npz, kept for ever."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdiff.schema import dataclass_of
from jaxdiff.training.leaves import named
from jaxdiff.training.npz import check_floats, nested, read_npz, write_npz
from jaxdiff.training.power_ema import PowerEMA, combination
from jaxdiff.training.restore import restore_step
from jaxdiff.training.run_folder import read_run

FOLDER = "power_ema"
MISFIT = 0.05


def write_snapshot(run: Path, step: int, applied: int, averages: tuple[Any, ...], config: PowerEMA) -> None:
    """The averages after `applied` updates, whole or not at all; the same step again replaces it."""
    arrays = {f"{i}/{name}": leaf for i, tree in enumerate(averages) for name, leaf in named(tree).items()}
    arrays = {name: np.asarray(leaf) for name, leaf in jax.device_get(arrays).items()}
    arrays["applied"] = np.asarray(applied)
    write_npz(_path(run, step), arrays, config.dtype)


def snapshots(run: str | Path) -> list[int]:
    """Steps of a run's snapshots, rising."""
    files = Path(run, FOLDER).glob("*.npz")
    return sorted(int(path.stem) for path in files if path.stem.isdecimal())


def forget_after(run: Path, step: int) -> None:
    """Removes snapshots of steps that a resumed run takes again."""
    for later in snapshots(run):
        if later > step:
            _path(run, later).unlink()


def average(
    run: str | Path, step: int | None = None, *, ema: bool = True, length: float | None = None, like: Any = None
) -> tuple[int, dict[str, Any]]:
    """(step, variables) of a run: with `length` as `reconstruct`, else as `restore_step` gives them."""
    if length is None:
        return restore_step(run, step, ema=ema, like=like)
    return reconstruct(run, length, step, like)


def reconstruct(
    run: str | Path, length: float, step: int | None = None, like: Any = None
) -> tuple[int, dict[str, Any]]:
    """The average of σ_rel `length` at a snapshot, float32; reads one snapshot at a time.

    Args:
        run: folder of the run.
        length: σ_rel of the average.
        step: of the snapshot; default the newest.
        like: the variables' shapes, compared with those of a snapshot before it is read.

    Returns:
        (step, variables).

    Raises:
        FileNotFoundError: where there is no snapshot (of that step).
        ValueError: for a damaged one, and where the weights of the average cannot be made of those kept (relative rms misfit
            above 5 %).
    """
    settings = read_run(run)["config"].get("power_ema")
    if settings is None:
        raise ValueError(
            f"got length {length} for {run}, which kept no snapshots; expected a run that did; to fix: leave the length "
            "out, or train with power_ema"
        )
    stored, lengths = snapshots(run), dataclass_of(PowerEMA, settings, "config.power_ema").lengths
    if not stored or (step is not None and step not in stored):
        raise FileNotFoundError(
            f"got no snapshot{'' if step is None else f' of step {step}'} in {Path(run, FOLDER)}; expected one of "
            f"{stored or 'at least one'}; to fix: "
            + ("choose a step from this list" if stored else "train until the first, or lower --power-ema.every")
        )
    step = stored[-1] if step is None else step
    used = [one for one in stored if one <= step]
    counts = [read_npz(_path(run, one), "applied", shapes={"applied": ()})["applied"] for one in used]
    if wrong := [count.dtype.name for count in counts if count.dtype.kind not in "iu"]:
        raise ValueError(f"got applied of {wrong[0]} in {run}/{FOLDER}; expected integers; to fix: copy {FOLDER} again")
    times = [int(count) for count in counts]
    if any(late <= early for early, late in zip([0, *times], times)):
        raise ValueError(
            f"got snapshots {used} of {run} after {times} updates; expected rising numbers; to fix: copy {FOLDER} again"
        )
    shapes = None
    if like is not None:
        each = {name: leaf.shape for name, leaf in named(like).items()}
        shapes = {f"{i}/{name}": shape for i in range(len(lengths)) for name, shape in each.items()} | {"applied": ()}
    pairs = [(time, one) for time in times for one in lengths]
    weights, misfit = combination([time for time, _ in pairs], [one for _, one in pairs], times[-1], length)
    if misfit > MISFIT:
        raise ValueError(
            f"got length {length} at step {step}, whose weights the {len(used)} snapshots of {run} with lengths {lengths} "
            f"miss by {misfit:.1%}; expected at most {MISFIT:.1%}; to fix: a length nearer to theirs, or snapshots more often"
        )
    sums: dict[str, np.ndarray] = {}
    for one, row in zip(used, weights.reshape(len(used), len(lengths))):
        arrays = read_npz(_path(run, one), shapes=shapes)
        check_floats(_path(run, one), {name: leaf for name, leaf in arrays.items() if name != "applied"})
        for i, weight in enumerate(row):
            for name, leaf in arrays.items():
                if name.startswith(f"{i}/"):
                    key = name.removeprefix(f"{i}/")
                    sums[key] = sums.get(key, 0.0) + weight * leaf.astype(np.float64)
    return step, nested(sums)


def _path(run: str | Path, step: int) -> Path:
    return Path(run, FOLDER, f"{step:08d}.npz")
