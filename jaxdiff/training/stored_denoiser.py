"""The denoiser of a run folder: its network with the parameters of a checkpoint."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxdiff.denoiser import Denoiser, bind
from jaxdiff.malformed import within
from jaxdiff.parts import Allow
from jaxdiff.schema import fields
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.leaves import check_variables, variable_shapes
from jaxdiff.training.packed import is_packed, unpack
from jaxdiff.training.run_folder import read_run
from jaxdiff.training.snapshots import average
from jaxdiff.training.stored_config import OwnLoop, config_of


class StoredDenoiser(NamedTuple):
    """A denoiser with where it is from."""

    denoise: Denoiser
    step: int
    """Of the checkpoint."""


def read_config(run: Path, allow: Allow = ()) -> tuple[dict[str, Any], TrainConfig | OwnLoop]:
    """run.json of a run, and the config in it. Raises what `jd.load` does."""
    stored = read_run(run, allow)
    with within(run / "run.json"):
        return stored, config_of(stored["config"], allow)


def denoiser_at(
    run: Path,
    stored: dict[str, Any],
    config: TrainConfig | OwnLoop,
    step: int | None = None,
    *,
    ema: bool = True,
    length: float | None = None,
) -> StoredDenoiser:
    """The denoiser of a run folder or a packed model that `read_config` has read.

    Args:
        run: the folder.
        stored: its run.json.
        config: of it.
        step: of the checkpoint; default the newest.
        ema: averaged parameters, or those of the step itself.
        length: of a power-function average, as for `jd.load`.

    Returns:
        The denoiser.

    Raises:
        ValueError: as `jd.load`.
        FileNotFoundError: as `jd.load`.
    """
    with within(run / "run.json"):
        like = variable_shapes(config.network, stored["shape"])
    if is_packed(run, stored):
        step_stored = fields(stored, {"step": int})["step"]
        if not ema or length is not None or step not in (None, step_stored):
            raise ValueError(
                f"got step={step}, ema={ema}, length={length} for {run}, a packed model; expected its one checkpoint, "
                f"{step_stored}, averaged; to fix: leave them out, or load the run that it was packed from"
            )
        at_step, variables = step_stored, unpack(run, like)
    else:
        at_step, variables = average(run, step, ema=ema, length=length, like=like)
    check_variables(like, variables, f"{run} at step {at_step}")
    denoise = bind(config.network, jax.device_put(variables), config.predicts, sigma_data=config.sigma_data)
    return StoredDenoiser(denoise, at_step)


def stored_denoiser(run: Path, step: int | None = None, allow: Allow = ()) -> Denoiser:
    """The denoiser of a run folder or a packed model at a step, by its averaged parameters. Raises what `jd.load` does."""
    return denoiser_at(run, *read_config(run, allow), step).denoise
