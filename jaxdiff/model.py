"""A trained run as something to sample from: `jd.load("runs/nuclei")`."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, PRNGKeyArray, PyTree

from jaxdiff.data.info import DataInfo
from jaxdiff.data.levels import Levels
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Inputs, Pairing
from jaxdiff.denoiser import Denoiser, bind
from jaxdiff.guidance import Guidance
from jaxdiff.malformed import malformed, within
from jaxdiff.network import Network
from jaxdiff.nn.condition import condition, size_of
from jaxdiff.parts import Allow, allowed
from jaxdiff.process import grids
from jaxdiff.process.schedules import Schedule
from jaxdiff.sampling import Samples, log_likelihood, sample
from jaxdiff.schema import fields
from jaxdiff.solvers import DPMpp, Tuned
from jaxdiff.training.leaves import check_variables, variables_of
from jaxdiff.training.packed import is_packed, unpack
from jaxdiff.training.run_folder import read_levels, read_pairing, read_run
from jaxdiff.training.snapshots import average
from jaxdiff.training.stored_config import config_of
from jaxdiff.tuning import stored


@dataclass(frozen=True)
class Model:
    """A denoiser with what its images are: shape, units, axes, pixel size, dtype."""

    denoise: Denoiser
    """D(x, λ, cond), model units."""
    network: Network
    """A `jd.UNet`, or a person's own."""
    schedule: Schedule
    """Of training; the default grids lie inside its ends."""
    shape: tuple[int, ...]
    """(*spatial, channels) of one image."""
    normaliser: Normaliser
    """Data units to model units and back."""
    info: DataInfo
    """Axes, channel names, pixel size, unit, dtype, class names."""
    pairing: Pairing | None = None
    """Of a conditional task: what the condition is, and how it becomes model units."""
    step: int | None = None
    """Of the checkpoint."""
    run: Path | None = None
    """Folder that it was loaded from."""
    levels: Levels | None = None
    """Grey levels of the training images; None where the run does not say. Those of inputs are in `pairing`."""

    @property
    def classes(self) -> int:
        """Classes of the network's label condition; 0 where it reads none."""
        return size_of(self.network, "num_classes")

    @property
    def inputs(self) -> Inputs:
        """What the image condition is. Raises ValueError for a model without one."""
        if self.pairing is None or self.pairing.inputs is None:
            raise ValueError(
                "got a model without an image condition; expected one that was trained with pairs that have one"
            )
        return self.pairing.inputs

    def grid(self, calls: int, solver: Any = None) -> np.ndarray:
        """The default grid of `calls` network calls, uniform in λ (`jd.grids.uniform_lam`), or the solver's own."""
        own = getattr(solver, "grid", None)
        return grids.uniform_lam(self.schedule, calls) if own is None else np.asarray(own)

    def guided(self, guidance: float | Callable[[Denoiser], Denoiser]) -> Denoiser:
        """The denoiser under guidance: a scale of classifier-free guidance, or a function of the denoiser."""
        return guidance(self.denoise) if callable(guidance) else Guidance(guidance)(self.denoise)

    def tuned(self, calls: int, guidance: float = 1.0) -> Tuned:
        """The sampler of `calls` calls that `jaxdiff tune` left beside the checkpoints.

        It warns where it was tuned for another checkpoint or guidance. Raises FileNotFoundError where there is none.
        """
        if self.run is None:
            raise ValueError("got a model that was not loaded from a run; expected one of jd.load(run)")
        solver, record = stored.load(self.run, calls)
        for name, here in (("checkpoint", self.step), ("guidance", guidance)):
            if record.get(name) != here:
                warnings.warn(
                    f"{stored.path_of(self.run, calls)} was tuned for {name} {record.get(name)}, not {here}; to fix: jaxdiff "
                    f"tune {self.run} --nfe {calls} --again",
                    stacklevel=2,
                )
        return solver

    def condition(self, num: int, label: Any = None) -> dict[str, Any] | None:
        """The condition of `num` images: `label` (a number, or one for each image), or nothing asked of the network.

        Raises `ValueError` for labels that the network does not have.
        """
        if label is None:
            return None
        labels = np.broadcast_to(np.asarray(label), (num,))
        if labels.min() < -1 or labels.max() >= self.classes:
            names = ", ".join(f"{i} {name}" for i, name in enumerate(self.info.class_names))
            raise ValueError(
                f"got label {labels.min()}..{labels.max()}; expected 0 to {self.classes - 1}"
                f"{' (' + names + ')' if names else ''}; to fix: "
                + ("choose one of these" if self.classes else "leave it out: the model knows no classes")
            )
        return condition(label=labels)

    def sample(
        self,
        key: PRNGKeyArray,
        num: int,
        *,
        calls: int = 20,
        solver: Any = None,
        grid: np.ndarray | None = None,
        cond: PyTree = None,
        guidance: float | Callable[[Denoiser], Denoiser] = 1.0,
        batch: int | None = None,
        first: int = 0,
        mesh: Mesh | None = None,
    ) -> Samples:
        """`num` new images in the data's units, float32 (`info.dtype` tells the files' dtype).

        Args:
            key: image i depends on (key, first + i).
            num: of images.
            calls: network calls of the default grid.
            solver: default `DPMpp(2)`.
            grid: rising λ; default the solver's own or `self.grid(calls)`.
            cond: from `condition`, leading axis num.
            guidance: scale of classifier-free guidance, 1 for none; or a function from the model's denoiser to the
                guided one, such as `lambda d: jd.guidance.classifier_free(d, 3.0, rescale=0.7)` or `lambda d:
                jd.guidance.autoguidance(d, early.denoise)`. Under a method of posterior sampling, such as `lambda d:
                MMPS(d, measurement)` of `jaxdiff.guidance.posterior`, `misfit` and `diverged` of the result tell which
                images explain the measurement.
            batch: as in `jd.sample`.
            first: number of the first image.
            mesh: as in `jd.sample`.

        Returns:
            Images (num, *shape), their cost, and which are finite.

        Raises:
            ValueError: for what `jd.sample` refuses, and a condition or guidance that the model does not know.
        """
        denoise = self.denoise if cond is None and not callable(guidance) else self.guided(guidance)
        out = sample(
            key,
            denoise,
            shape=self.shape,
            num=num,
            solver=DPMpp(2) if solver is None else solver,
            grid=self.grid(calls, solver) if grid is None else grid,
            cond=cond,
            batch=batch,
            first=first,
            mesh=mesh,
        )
        images = self.normaliser.inverse(np.asarray(out.images)).astype(np.float32)
        return Samples(images, out.nfe, out.finite, out.batch_nfe, None, out.measurement, out.images)

    def bits_per_dim(
        self,
        key: PRNGKeyArray,
        images: Float[np.ndarray, "num *spatial channels"],
        *,
        probes: int | None = 1,
        end: float = 5.0,
        cond: PyTree = None,
    ) -> Float[np.ndarray, " num"]:
        """−log2 p(image) for each value.

        Integers are taken for densities over the grey level around each (uniform noise from −½ to ½ is added), so that
        numbers of models in other units compare.

        Args:
            key: of that noise and of the probes.
            images: in the data's own units, each of the model's `shape`.
            probes: of `jd.log_likelihood`.
            end: greatest λ, noise of e^(−end) standard deviations of the data.
            cond: condition with leading axis num, or None.

        Returns:
            (num,), in bits.
        """
        images = np.asarray(images)
        values = images.astype(np.float64)
        if images.dtype.kind in "ui":
            values = values + np.asarray(jax.random.uniform(jax.random.fold_in(key, 1), images.shape), np.float64) - 0.5
        normal = self.normaliser.forward(values)
        ends = (self.schedule.lam_min, end)
        found = log_likelihood(key, self.denoise, normal, ends=ends, probes=probes, cond=cond)
        slope = self.normaliser.log_slope(values).reshape(len(values), -1).sum(axis=1)
        size = int(np.prod(images.shape[1:]))
        return -(np.asarray(found.nats, np.float64) + slope) / (size * np.log(2.0))


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
        run: the folder.
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
        FileNotFoundError: where there is no run or checkpoint.
        ValueError: naming file and field, for a format that this version does not know, for values that contradict
            each other, for parameters that are not the network's or not finite, and for parts that are not allowed.
    """
    allow = allowed(allow)
    stored = read_run(run, allow)
    with within(Path(run) / "run.json"):
        config = config_of(stored["config"], allow)
        info, pairing = DataInfo.from_json(stored["data"]), read_pairing(stored, allow)
        reads = size_of(config.network, "image_channels")
        has = pairing and pairing.inputs and pairing.inputs.info.channels
        if has and reads != has:
            raise malformed("config.network.image_channels", reads, f"{has}, the channels of pairing.inputs")
        like = variables_of(config.network, stored["shape"])
    if is_packed(run):
        step_stored = fields(stored, {"step": int})["step"]
        if not ema or length is not None or step not in (None, step_stored):
            raise ValueError(
                f"got step={step}, ema={ema}, length={length} for {run}, a packed model; expected its one checkpoint, "
                f"{step_stored}, averaged; to fix: leave them out, or load the run that it was packed from"
            )
        found, variables = step_stored, unpack(run, like)
    else:
        found, variables = average(run, step, ema=ema, length=length, like=like)
    check_variables(like, variables, f"{run} at step {found}")
    return Model(
        denoise=bind(config.network, jax.device_put(variables), config.predicts, sigma_data=config.sigma_data),
        network=config.network,
        schedule=config.schedule,
        shape=tuple(stored["shape"]),
        normaliser=Normaliser.from_json(stored["normaliser"], allow),
        info=info,
        pairing=pairing,
        step=found,
        run=Path(run),
        levels=read_levels(stored),
    )
