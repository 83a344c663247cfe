"""A trained run as something to sample from: `jd.load("runs/nuclei")`."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxdiff.data.info import DataInfo
from jaxdiff.data.levels import Levels
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Inputs, Pairing
from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance import Guidance
from jaxdiff.guidance.learned import check_learned
from jaxdiff.network import Network
from jaxdiff.nn.condition import condition, size_of
from jaxdiff.process import grids
from jaxdiff.process.schedules import Schedule
from jaxdiff.representation import size, value
from jaxdiff.sampling import Samples, log_likelihood, sample
from jaxdiff.seeds import check_key
from jaxdiff.solvers import DPMpp, MeanFlow, Tuned
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
    learned_guidance: tuple[float, float] | None = None
    """Scales of guidance that the network was trained for, where it is told them."""
    levels: Levels | None = None
    """Grey levels of the training images; None where the run does not say. Those of inputs are in `pairing`."""

    def __repr__(self) -> str:
        """What there is to know of a model, in less than ten lines."""
        sizes = [f"{axis} {size:.4g}" for axis, size in self.info.pixel_size.items() if size is not None]
        channels = f"{len(self.info.channel_names)} channels: " if len(self.info.channel_names) > 1 else "channel "
        level, spread = (", ".join(f"{number:.4g}" for number in numbers) for numbers in self._levels_seen())
        learned = "" if (ends := self.learned_guidance) is None else f"; guidance of {ends[0]:g} to {ends[1]:g} learned"
        lines = {
            "task": "generation" if self.pairing is None else self.pairing.pairs.task,
            "network": f"{value(self.network)}, {size(getattr(self.denoise, 'params', self.denoise)):,} parameters",
            "predicts": value(getattr(self.denoise, "predicts", self.denoise)),
            "schedule": value(self.schedule),
            **(
                {"calls": f"few: 1 to 4 of jd.MeanFlow(), its default; 20 of others{learned}"} if self.few_calls else {}
            ),
            "images": f"{self.shape} {self.info.axes}, {self.info.dtype}, {channels}{', '.join(self.info.channel_names)}",
            "pixels": f"{', '.join(sizes)} {self.info.unit or ''}".strip() if sizes else "of unknown size",
            "units": f"those of the data; 0 of the network is {level}, 1 is {spread} more ({self.normaliser.map_name})",
            "run": f"{self.run}, step {self.step}",
        }
        return "\n".join(["Model", *(f"  {name:9} {text}" for name, text in lines.items())])

    def _levels_seen(self) -> tuple[np.ndarray, np.ndarray]:
        """Grey levels of each channel at 0 in model units, and how many more at 1."""
        units = np.stack([np.zeros(self.shape[-1]), np.ones(self.shape[-1])])[:, None]
        zero, one = np.asarray(self.normaliser.inverse(units))[:, 0]
        return zero, one - zero

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

    @property
    def few_calls(self) -> bool:
        """Whether the network has learned the mean of D over a step, for samples in one to four calls (`jd.MeanFlow`)."""
        return size_of(self.network, "reads_span") > 0

    @property
    def calls(self) -> int:
        """Network calls of `sample` with the default solver: 2 of a model that was trained for few, else 20."""
        return self.calls_of()

    @property
    def solver(self) -> Any:
        """The default solver: `MeanFlow()` where the network was trained for it, else `DPMpp(2)`."""
        return MeanFlow() if self.few_calls else DPMpp(2)

    def calls_of(self, solver: Any = None) -> int:
        """Network calls of `sample` with a solver, unless it is told: 2 of means over steps (`jd.MeanFlow`), else 20."""
        return 2 if getattr(self.solver if solver is None else solver, "reads_span", False) else 20

    def grid(self, calls: int, solver: Any = None, *, std: float = 1.0) -> np.ndarray:
        """The solver's own grid, or the default one of `calls` network calls.

        That is uniform in λ (`jd.grids.uniform_lam`), and for `MeanFlow` in flow time (`jd.grids.flow_time`).

        std: of what is sampled, in model units: of images 1, of what an image condition leaves open less.
        """
        solver = self.solver if solver is None else solver
        own = getattr(solver, "grid", None)
        if own is not None:
            return np.asarray(own)
        default = grids.flow_time if getattr(solver, "reads_span", False) else grids.uniform_lam
        return default(self.schedule, calls, std=std)

    def guided(self, guidance: float | Callable[[Denoiser], Denoiser]) -> Denoiser:
        """The denoiser under guidance: a scale of classifier-free guidance, or a function of the denoiser.

        A network that has learned guidance is told the scale. Raises ValueError for one that it was not trained for.
        """
        guidance = guidance if callable(guidance) else Guidance(guidance)
        if isinstance(guidance, Guidance):
            check_learned(guidance.scale, self.learned_guidance)
        return guidance(self.denoise)

    def tuned(self, calls: int, guidance: float = 1.0) -> Tuned:
        """The sampler of `calls` calls that `jaxdiff tune` left beside the checkpoints.

        It warns where it was tuned for another checkpoint or guidance. Raises FileNotFoundError where there is none.
        """
        if self.run is None:
            raise ValueError("got a model that was not loaded from a run; expected one of jd.load(run)")
        solver, record = stored.load_tuned(self.run, calls)
        for name, expected in (("checkpoint", self.step), ("guidance", guidance)):
            if record.get(name) != expected:
                warnings.warn(
                    f"{stored.path_of(self.run, calls)} was tuned for {name} {record.get(name)}, not {expected}; to fix: "
                    f"jaxdiff tune {self.run} --nfe {calls} --again",
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
        calls: int | None = None,
        solver: Any = None,
        grid: np.ndarray | None = None,
        cond: PyTree = None,
        guidance: float | Callable[[Denoiser], Denoiser] = 1.0,
        start: Float[Array | np.ndarray, "num *shape"] | None = None,
        batch: int | None = None,
        first: int = 0,
        mesh: Mesh | None = None,
        final: Literal["denoise", "state"] = "denoise",
        trajectory: int | None = None,
        keep_x0: bool = False,
    ) -> Samples:
        """`num` new images in the data's units, float32 (`info.dtype` tells the files' dtype).

        Args:
            key: image i depends on (key, first + i).
            num: of images.
            calls: network calls of the default grid; default 20, of `jd.MeanFlow` 2.
            solver: default `self.solver`.
            grid: rising λ; default the solver's own or `self.grid(calls)`.
            cond: from `condition`, leading axis num.
            guidance: scale of classifier-free guidance, 1 for none; or a function from the model's denoiser to the
                guided one, such as `lambda d: jd.guidance.classifier_free(d, 3.0, rescale=0.7)` or `lambda d:
                jd.guidance.autoguidance(d, early.denoise)`. Under a method of posterior sampling, such as `lambda d:
                MMPS(d, measurement)` of `jaxdiff.guidance.posterior`, `misfit` and `diverged` of the result tell which
                images explain the measurement.
            start: states at grid[0], (num, *shape), or None for noise. States are in model units: from images of the data
                `jd.noise(key, model.normaliser.forward(images), lam=grid[0])`.
            batch: as in `jd.sample`.
            first: number of the first image.
            mesh: as in `jd.sample`.
            final: "denoise" returns images, "state" the states x at the end of the grid, in model units.
            trajectory: as in `jd.sample`; the states are in model units, the image at their end too.
            keep_x0: as in `jd.sample`; `x0`, D of the steps, are images in the data's units.

        Returns:
            Images (num, *shape), their cost, and which are finite and which have diverged.

        Raises:
            ValueError: for what `jd.sample` refuses, and a condition or guidance that the model does not know.
        """
        check_key(key)
        told = cond.get("guidance") if isinstance(cond, Mapping) else None
        if told is not None and not callable(guidance) and guidance == 1:
            check_learned(told + 1, self.learned_guidance)
            denoise = self.denoise
        else:
            denoise = self.guided(guidance)
        out = sample(
            key,
            denoise,
            shape=self.shape,
            num=num,
            solver=self.solver if solver is None else solver,
            grid=self.grid(self.calls_of(solver) if calls is None else calls, solver) if grid is None else grid,
            cond=cond,
            start=start,
            batch=batch,
            first=first,
            mesh=mesh,
            final=final,
            trajectory=trajectory,
            keep_x0=keep_x0,
        )
        images = np.asarray(out.images)
        return Samples(
            images=self._in_data_units(images) if final == "denoise" else images,
            nfe=out.nfe,
            finite=out.finite,
            batch_nfe=out.batch_nfe,
            trajectory=out.trajectory,
            x0=None if out.x0 is None else self._in_data_units(out.x0),
            measurement=out.measurement,
            normal=out.images,
        )

    def _in_data_units(self, images: Any) -> np.ndarray:
        return self.normaliser.inverse(np.asarray(images)).astype(np.float32)

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
        check_key(key)
        images = np.asarray(images)
        values = images.astype(np.float64)
        if images.dtype.kind in "ui":
            values = values + np.asarray(jax.random.uniform(jax.random.fold_in(key, 1), images.shape), np.float64) - 0.5
        normal = self.normaliser.forward(values)
        ends = (self.schedule.lam_min, end)
        likelihood = log_likelihood(key, self.denoise, normal, ends=ends, probes=probes, cond=cond)
        slope = self.normaliser.log_slope(values).reshape(len(values), -1).sum(axis=1)
        size = int(np.prod(images.shape[1:]))
        return -(np.asarray(likelihood.nats, np.float64) + slope) / (size * np.log(2.0))
