"""What a training run is made of, as one frozen dataclass; tyro reads it, a run folder stores it."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from jaxdiff.data import augment
from jaxdiff.data.config import BBBC039, DataConfig, Folder, Synthetic, Tfds
from jaxdiff.data.mixed import Mixed
from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.pairing import Pairs
from jaxdiff.data.pairs import Denoising, Joint, LabelledGeneration, Parallel, Segmentation, SuperResolution
from jaxdiff.data.per_image import PerImage
from jaxdiff.data.split_folders import SplitFolders
from jaxdiff.malformed import malformed
from jaxdiff.network import Network
from jaxdiff.nn import DiT, UNet
from jaxdiff.nn.condition import check_sizes, size_of
from jaxdiff.parts import Allow, Parts
from jaxdiff.physics.camera import Camera
from jaxdiff.plain import from_plain, to_plain
from jaxdiff.predictions import Prediction, PredictionKind, stored_form
from jaxdiff.process.schedules import (
    BrownianBridge,
    Cosine,
    DiscreteBetas,
    Karras,
    LinearBeta,
    LogNormal,
    Rectified,
    Schedule,
    SubVP,
    VarianceExploding,
)
from jaxdiff.schema import INFINITE, conform
from jaxdiff.seeds import checked_seed
from jaxdiff.solvers import (
    DDIM,
    DDPM,
    DEIS,
    IPNDM,
    DPMpp,
    EDMHeun,
    MeanFlow,
    PredictorCorrector,
    SASolver,
    Solver,
    UniPC,
)
from jaxdiff.training.cadence import Every
from jaxdiff.training.ema import EMA
from jaxdiff.training.mean_denoising import MeanDenoising
from jaxdiff.training.objective import LossConfig
from jaxdiff.training.optimizer import AdamW, OptimizerConfig
from jaxdiff.training.power_ema import PowerEMA
from jaxdiff.training.weighting import EDM, P2, MinSNR, Sigmoid, SNRPlusOne, Uniform, Weighting

# Ours, or a person's own: stored values of this package are held against the former, own classes against the latter.
Data = Synthetic | Folder | Tfds | BBBC039 | SplitFolders | Mixed | DataConfig
AnyPairs = Segmentation | Denoising | LabelledGeneration | Joint | Parallel | SuperResolution | Pairs
AnySchedule = (
    Cosine
    | LinearBeta
    | Rectified
    | VarianceExploding
    | Karras
    | SubVP
    | DiscreteBetas
    | BrownianBridge
    | LogNormal
    | Schedule
)
AnyWeighting = Sigmoid | Uniform | MinSNR | SNRPlusOne | P2 | EDM | Weighting
AnySolver = DDIM | DDPM | DPMpp | UniPC | DEIS | IPNDM | EDMHeun | SASolver | PredictorCorrector | MeanFlow | Solver
NEEDS = {
    "network": ("init", "apply"),
    "data": ("open",),
    "pairs": ("task", "fit", "prepare", "draw", "infos", "maps"),
    "schedule": ("lam", "time", "to_lam", "to_time", "lam_min", "lam_max"),
    "weighting": ("__call__", "per"),
    "optimizer": ("build",),
}
"""What a person's own part has to have, by field."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. Raises ValueError for fields that contradict each other."""

    name: str
    """Name of the run; its folder is OUT/NAME. The same command again resumes it."""
    data: Data = field(default_factory=Synthetic)
    """Where images come from: one of `jaxdiff.data.config`, or your own `DataConfig`."""
    pairs: AnyPairs | None = None
    """What is diffused under which condition, for conditional tasks, perhaps your own (`jaxdiff.data.pairing.Pairs`); none:
    images, for generation."""
    patch: tuple[int, ...] = (32, 32)
    """Size in pixels of what the network sees: y x, or z y x."""
    augment: bool = True
    """Random flips and turns by 90 degrees, where the pixel sizes allow them."""
    network: UNet | DiT | Network = field(default_factory=UNet)
    """The network: `UNet`, `DiT`, or a Linen module of your own (`jaxdiff.network`)."""
    schedule: AnySchedule = field(default_factory=Cosine)
    """Draws the noise levels of training; sampling is free to choose others."""
    predicts: Prediction | PredictionKind = "v"
    """What the network's output means: a name, or an object of your own `jaxdiff.predictions.PredictionKind`."""
    sigma_data: float = 1.0
    """Standard deviation of the data in model units; read by the prediction F only."""
    weighting: AnyWeighting = field(default_factory=Sigmoid)
    """Weight of the loss over noise levels."""
    drop_condition: float = 0.1
    """Fraction of examples trained with the null condition, for classifier-free guidance."""
    loss: MeanDenoising | LossConfig | None = None
    """`MeanDenoising` for samples in few calls, or a loss of your own (`jaxdiff.training.objective.LossConfig`); none: the
    denoising loss of the fields above."""
    optimizer: AdamW | OptimizerConfig = field(default_factory=AdamW)
    """AdamW, its warm-up and its decay; or your own (`jaxdiff.training.optimizer.OptimizerConfig`)."""
    ema: EMA = field(default_factory=EMA)
    """Moving average of the parameters, which is what is sampled from."""
    power_ema: PowerEMA | None = None
    """Averages whose snapshots give an average of any length after the run (`jd.load(run, length=0.08)`); none: none kept."""
    steps: int | None = None
    """Train for so many steps (exactly repeatable)."""
    minutes: Annotated[float, INFINITE] | None = None
    """Train for so many wall-clock minutes, compilation and previews included; with steps, whichever ends first."""
    batch_size: int = 32
    """Images a step, over all devices."""
    workers: int = 0
    """Processes that prepare batches; 0 = threads of this one."""
    prefetch: int = 2
    """Batches that are on their way to the devices before their turn."""
    max_unreadable: int = 8
    """Records that may turn out unreadable while training: each is named, counted and replaced; one more ends the run."""
    seed: int = 0
    """Seed of parameters, noise, patches and previews."""
    parallel: Literal["jit", "pmap"] = "jit"
    """How several devices share a batch."""
    fsdp: int = 1
    """Devices among which each large array of parameters, average and optimiser is cut; 1 = all devices hold all."""
    accumulate: int = 1
    """Parts in which a device takes its share of the batch, one after the other, for the memory of one."""
    checkpoint: Every = field(default_factory=lambda: Every(minutes=5))
    """When to save, besides the end."""
    keep: int = 3
    """Newest checkpoints that are kept."""
    keep_every: int | None = None
    """Checkpoints whose step is a multiple of this are kept for ever."""
    preview: Every = field(default_factory=lambda: Every(minutes=5))
    """When to write a sheet of samples, besides the end."""
    previews: int = 16
    """Images on a sheet; 0 = no sheets."""
    preview_solver: AnySolver | str | None = None
    """Solver of the sheets: an object, or package.module:Class (file.py:Class) of your own; none: DPM-Solver++(2M), of a
    network for few calls MeanFlow in two."""
    validation: Every = field(default_factory=lambda: Every(minutes=2))
    """When to measure the loss on held-out images, besides the end."""
    validation_images: int = 64
    """Held-out patches it is measured on; 0 = none."""
    log_every: int = 50
    """Steps from one row of metrics to the next."""
    max_skipped: int = 20
    """Steps in a row with a loss or gradient that is not finite after which the run stops."""
    other_data: bool = False
    """Resume with data that are not those that the run was begun with: held-out images stay held out, and what is other is
    recorded in the run. Without it the first difference is named, and nothing is done."""
    init_from: str | None = None
    """Folder of a run whose averaged parameters this one starts from (fine-tuning)."""
    init_partial: bool = False
    """With init-from: start leaves that do not fit afresh, instead of refusing."""
    out: str = "runs"
    """Folder that holds the run folders."""

    def __post_init__(self):
        conform(self)
        predicts, sigma_data = stored_form(self.predicts, self.sigma_data)
        object.__setattr__(self, "predicts", predicts)
        object.__setattr__(self, "sigma_data", sigma_data)
        if not self.name or self.name in (".", "..") or set(self.name) & set('/\\:*?"<>|'):
            raise ValueError(f"got name={self.name!r}; expected a folder name; to fix: letters, digits, - and _")
        if self.steps is None and self.minutes is None:
            raise ValueError("got neither steps nor minutes; expected a budget; to fix: --steps 10000 or --minutes 30")
        if len(self.patch) not in (2, 3) or min(self.patch) < 1:
            raise ValueError(f"got patch={self.patch}; expected y x or z y x in pixels; to fix: --patch 32 32")
        positive = ("steps", "minutes", "batch_size", "keep", "keep_every", "log_every", "max_skipped", "sigma_data")
        positive += ("fsdp", "accumulate")
        for name in positive:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"got {name}={value}; expected more than 0; to fix: raise it")
        checked_seed(self.seed)
        if isinstance(self.preview_solver, str) and ":" not in self.preview_solver:
            raise ValueError(
                f"got preview_solver={self.preview_solver!r}; expected package.module:Class, or an object; to fix: "
                "preview_solver=jd.DDPM() in the config file"
            )
        self._check_parts()
        if self.loss is None and (
            untrained := [f for f in ("reads_span", "reads_guidance") if size_of(self.network, f)]
        ):
            raise ValueError(
                f"got a network with {' and '.join(untrained)} and no loss that trains it; expected MeanDenoising, or a loss "
                f"of your own; to fix: loss=MeanDenoising(...), or {untrained[0]}=False: a network without it can be the "
                "start of one with it (init_from)"
            )
        check_sizes(self.network, self.patch)
        for name in ("previews", "validation_images", "workers", "prefetch", "max_unreadable"):
            if getattr(self, name) < 0:
                raise ValueError(f"got {name}={getattr(self, name)}; expected 0 or more; to fix: raise it")
        if not 0 <= self.drop_condition <= 1:
            raise ValueError(f"got drop_condition={self.drop_condition}; expected 0 to 1; to fix: the usual is 0.1")
        if self.loss is not None and (isinstance(self.loss, type) or not callable(getattr(self.loss, "build", None))):
            raise ValueError(
                f"got loss={self.loss!r}; expected an object with a method build(config) -> loss, or none; to fix: see docs/"
                "training.md, A loss of your own"
            )
        if self.init_partial and self.init_from is None:
            raise ValueError("got init_partial without init_from; expected both; to fix: --init-from runs/NAME")

    def _check_parts(self) -> None:
        """Raises ValueError for a part without what is asked of it, naming what it lacks."""
        kinds = type(self.network).__mro__
        if any(kind.__module__.startswith(("flax.nnx", "jaxdiff.nnx")) for kind in kinds):
            raise ValueError(
                f"got network, a {kinds[0].__name__} of Flax NNX; expected a Linen module, which a run folder stores as what "
                "builds it; to fix: a loop of your own, jd.TrainState.create with network = jd.from_nnx(module)"
            )
        for name, needs in NEEDS.items():
            part = getattr(self, name)
            if part is None and name == "pairs":
                continue
            missing = [need for need in needs if not hasattr(part, need)]
            if isinstance(part, type) or not dataclasses.is_dataclass(part):
                kind, what = (part, "the class") if isinstance(part, type) else (type(part), "a")
                raise ValueError(
                    f"got {name}, {what} {kind.__name__}; expected an object of a dataclass, such as a Linen module; "
                    f"to fix: {name}={kind.__name__}(…), with @dataclass(frozen=True)"
                )
            if missing:
                raise ValueError(
                    f"got {name} of type {type(part).__name__} without {', '.join(missing)}; expected {', '.join(needs)}; to "
                    "fix: see docs/howto.md, parts of your own"
                )

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out) / self.name

    def to_json(self) -> dict[str, Any]:
        """The config as JSON values; no code, no paths resolved."""
        return to_plain(self, "config")

    @classmethod
    def from_json(cls, values: dict[str, Any], allow: Allow = ()) -> "TrainConfig":
        """Inverse of `to_json`. Raises ValueError, naming the field, for what this version does not know.

        allow: packages, .py files and classes of the person's own that its parts may be of, as for `jd.load`.
        """
        config = from_plain(values, Parts((cls, *CLASSES), allow), "config")
        if not isinstance(config, cls):
            raise malformed("config", values, f"the fields of a {cls.__name__}")
        return config


PAIRS: tuple[type, ...] = (Segmentation, Denoising, LabelledGeneration, Joint, Parallel, SuperResolution)
PARTS_OF_PAIRS: tuple[type, ...] = (PerImage, ObjectSize, *augment.OURS)
CLASSES: tuple[type, ...] = (
    *(BBBC039, Folder, Mixed, SplitFolders, Synthetic, Tfds, Camera),
    *PAIRS,
    *PARTS_OF_PAIRS,
    *(BrownianBridge, Cosine, DiscreteBetas, Karras, LinearBeta, LogNormal, Rectified, SubVP, VarianceExploding),
    *(EDM, P2, MinSNR, Sigmoid, SNRPlusOne, Uniform, MeanDenoising),
    *(DDIM, DDPM, DPMpp, UniPC, DEIS, IPNDM, EDMHeun, SASolver, PredictorCorrector, MeanFlow),
    *(DiT, UNet, AdamW, EMA, PowerEMA, Every),
)
"""Every class that a stored config may name."""

MAY_CHANGE = frozenset(
    {
        *("steps", "minutes", "parallel", "fsdp", "accumulate", "workers", "prefetch", "max_unreadable"),
        *("checkpoint", "keep", "keep_every", "preview", "previews", "preview_solver"),
        *("validation", "validation_images", "log_every", "max_skipped", "init_from", "init_partial", "name", "out"),
        "other_data",
    }
)
"""Fields that a resumed run may be given anew: budget, cadences, and where things are."""
