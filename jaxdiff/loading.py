"""A run folder, or a model that comes with jaxdiff, as a `Model`: `jd.load("runs/nuclei")`, `jd.load("nuclei_prior")`."""

from pathlib import Path
from typing import Any

from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.malformed import malformed, within
from jaxdiff.model import Model
from jaxdiff.nn.condition import size_of
from jaxdiff.parts import Allow, allowed
from jaxdiff.shipped import folder_of
from jaxdiff.training.mean_denoising import MeanDenoising
from jaxdiff.training.run_folder import read_levels, read_pairing
from jaxdiff.training.stored_denoiser import denoiser_at, read_config


def load(
    run: str | Path,
    step: int | None = None,
    *,
    ema: bool = True,
    length: float | None = None,
    allow: Allow = (),
) -> Model:
    """The model of a run folder: a checkpoint with what its images are.

    A folder that `jaxdiff pack` wrote holds one checkpoint, averaged. Nothing in the folder is executed.

    Args:
        run: the folder, or where there is no such path the name of a model that comes with jaxdiff (`jd.models()`).
        step: of the checkpoint; default the newest.
        ema: averaged parameters, or those of the step itself.
        length: instead of the run's moving average, the power-function average of this length σ_rel at the newest snapshot or
            that of `step`, of a run that kept some (`TrainConfig.power_ema`).
        allow: where the run's parts (network, schedule, data, …) are of a person's own classes, what may be imported
            for them: packages by name ("mypackage": it and what is below it), .py files by path ("configs/mine.py",
            executed as training does), or the classes themselves. Nothing else is imported.

    Returns:
        The model.

    Raises:
        FileNotFoundError: where there is no run or checkpoint; of a plain name it lists the models there are.
        ValueError: naming file and field, for a format that this version does not know, for values that contradict
            each other, for parameters that are not the network's or not finite, and for parts that are not allowed.
    """
    allow, run = allowed(allow), folder_of(run)
    stored, config = read_config(run, allow)
    with within(run / "run.json"):
        info, pairing = DataInfo.from_json(stored["data"]), read_pairing(stored, allow)
        reads = size_of(config.network, "image_channels")
        has = pairing and pairing.inputs and pairing.inputs.info.channels
        if has and reads != has:
            raise malformed("config.network.image_channels", reads, f"{has}, the channels of pairing.inputs")
    denoise, at_step = denoiser_at(run, stored, config, step, ema=ema, length=length)
    return Model(
        denoise=denoise,
        network=config.network,
        schedule=config.schedule,
        shape=tuple(stored["shape"]),
        normaliser=Normaliser.from_json(stored["normaliser"], allow),
        info=info,
        pairing=pairing,
        step=at_step,
        run=run,
        learned_guidance=_learned_guidance(config),
        levels=read_levels(stored),
    )


def _learned_guidance(config: Any) -> tuple[float, float] | None:
    """Scales that the network of a run was trained to be told; None where it is not, or where only its own loss knows."""
    loss = getattr(config, "loss", None)
    if isinstance(loss, MeanDenoising) and size_of(config.network, "reads_guidance"):
        return loss.guidance
    return None
