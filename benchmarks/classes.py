"""Classes of objects: what of them is diffused, one signed distance a class, or one of all objects beside their class.

    python -m benchmarks.classes measure [--steps 300]
    python -m benchmarks.classes report        the section of docs/tasks.md

Fields of the synthetic microscope in which all its four classes lie beside each other (purity 0.25: every class is as likely,
whatever its neighbours are). Each representation is trained from the same first parameters but for its last layer, with the
same network, batches and steps, and then segments the same held-out fields:

    distances   the signed distance of the objects of each class: 4 channels
    one-hot     the signed distance of all objects, and 1 in the channel of the class, within objects: 5 channels
    bits        the same with two analog bits, -1 and 1 within objects (Chen et al. 2022, arXiv:2208.04202): 3 channels

All become samples of one distance and a score of each class, of which objects and classes are made as by `jd.tasks.segment`.
Every class weighs the same in means over classes. The network and the steps are far too few for good scores: it is the order
that is asked for.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxdiff as jd
from benchmarks.command import command
from benchmarks.report import DOCS, interval, machine, table, write_sections
from benchmarks.store import Store
from jaxdiff.data.dataset import Dataset, finish
from jaxdiff.data.decoded import Normalised
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairs import Segmentation, signed_distance
from jaxdiff.data.pairs.distance import DISTANCE
from jaxdiff.data.patches import Record
from jaxdiff.data.sources.source import Memory, Subset
from jaxdiff.data.sources.synthetic import ABSENT, Microscope
from jaxdiff.metrics import ClassMatches, match_classes, pool_classes
from jaxdiff.nn import UNet
from jaxdiff.tasks.object_classes import of_objects
from jaxdiff.tasks.sampled import conditional_samples
from jaxdiff.tasks.segment import fused
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.weighting import SNRPlusOne

SCOPE = Microscope(purity=0.0)
NAMES = SCOPE.class_names
SIZE = (48, 48)
"""Pixels of a field."""
TOGETHER = 64
"""Fields that are rendered together; their numbers are multiples of it."""
TRUNCATION = 4.0
"""Pixels; objects are about 10 across."""
LEAST = 8
"""Pixels of the smallest object."""
DYNAMIC = 1.0
DRAWS = 2000
CHOSEN = "one-hot"
"""Of which `Segmentation(classes=...)` is."""
store = Store("classes")


@dataclasses.dataclass(frozen=True)
class Options:
    """How long is trained, and how many fields are segmented."""

    steps: int = 300
    """Of 16 patches of 32 x 32."""
    images: int = 512
    """Training fields."""
    fields: int = 64
    """Held-out fields."""
    samples: int = 4
    calls: int = 4
    seeds: tuple[int, ...] = (0,)
    """Of the training; the scores of several are of all their fields together."""
    out: Path = Path("runs/classes")
    """Of the run folders; those that are there go on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixtures(Normalised):
    """Synthetic fields, their objects and classes."""

    num: int
    seed: int

    def open(self, patch: Sequence[int], seed: int, normaliser: Normaliser | None = None) -> Dataset:
        keys = (jax.random.fold_in(jax.random.key(self.seed), i) for i in range(self.num // TOGETHER))
        parts = [SCOPE.fields(key, TOGETHER, SIZE) for key in keys]  # one program, whatever the number
        image, mask, kinds = (
            np.concatenate([getattr(p, name) for p in parts]) for name in ("image", "mask", "classes")
        )
        size = SCOPE.pixel_size_um
        info = DataInfo(pixel_size={"Y": size, "X": size}, unit="µm", synthetic=True, object_classes=NAMES)
        classes = [[NAMES[kind] for kind in of_field if kind != ABSENT] for of_field in kinds]
        source = Memory(image, info, mask, classes=classes)
        return finish(source, Subset(source, ()), self.map, normaliser)


@dataclasses.dataclass(frozen=True)
class Distances(Segmentation):
    """The signed distance of the objects of each class alone."""

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        of_distance, seen = super().infos(info, inputs)
        return of_distance.replace(channel_names=self.classes), seen

    def _distance(self, record: Record) -> np.ndarray:
        kinds = super()._distance(record)[..., 1:]
        alone = [np.where(kinds[..., c] > 0, record["mask"], 0) for c in range(len(self.classes))]
        return np.stack([signed_distance(mask, self.truncation) for mask in alone], axis=-1)

    def channels(self, draws: np.ndarray) -> np.ndarray:
        """What `Segmentation` diffuses, from draws (…, channels): the greatest distance, and all of them as scores."""
        return np.concatenate([draws.max(axis=-1, keepdims=True), draws], axis=-1)


@dataclasses.dataclass(frozen=True)
class Bits(Segmentation):
    """One distance, and the bits of the class's number."""

    def infos(self, info: DataInfo, inputs: DataInfo | None = None) -> tuple[DataInfo, DataInfo]:
        of_distance, seen = super().infos(info, inputs)
        return of_distance.replace(channel_names=(DISTANCE, *(f"bit {i}" for i in range(self.length)))), seen

    @property
    def length(self) -> int:
        """Bits of a class."""
        return (len(self.classes) - 1).bit_length()

    @property
    def codes(self) -> np.ndarray:
        """(classes, bits) of -1 and 1."""
        return 2.0 * (np.arange(len(self.classes))[:, None] >> np.arange(self.length) & 1) - 1

    def _distance(self, record: Record) -> np.ndarray:
        every = super()._distance(record)
        return np.concatenate([every[..., :1], every[..., 1:] @ self.codes], axis=-1).astype(np.float32)

    def channels(self, draws: np.ndarray) -> np.ndarray:
        """As of `Distances`; the score of a class is how near its code is."""
        away = ((draws[..., None, 1:] - self.codes) ** 2).sum(axis=-1)
        return np.concatenate([draws[..., :1], -away], axis=-1)


PAIRS: dict[str, Segmentation] = {
    "distances": Distances(TRUNCATION, classes=NAMES),
    "one-hot": Segmentation(TRUNCATION, classes=NAMES),
    "bits": Bits(TRUNCATION, classes=NAMES),
}


def measure(options: Options) -> None:
    """Stores the scores of each representation as it is finished."""
    held_out = Mixtures(num=options.fields, seed=1).open(SIZE, 0).train
    for name, pairs in PAIRS.items():
        matches, seconds = [], []
        for seed in options.seeds:
            run = jd.train(config(name, pairs, options, seed))
            model = jd.load(run, allow=(Distances, Bits, Mixtures))
            began = time.monotonic()
            matches += [
                matched(jax.random.fold_in(jax.random.key(0), i), model, held_out[i], options)
                for i in range(len(held_out))
            ]
            seconds.append((time.monotonic() - began) / len(held_out))
        entry: dict[str, Any] = {
            "settings": {"steps": options.steps, "images": options.images, "samples": options.samples}
        }
        entry["settings"] |= {"calls": options.calls, "seeds": list(options.seeds), "fields": options.fields}
        store.put(("representations", name), entry | summary(matches) | {"seconds": float(np.mean(seconds))})
        print(name, {k: v["mean"] for k, v in summary(matches)["scores"].items()}, flush=True)


def config(name: str, pairs: Segmentation, options: Options, seed: int) -> TrainConfig:
    """The training of one representation."""
    return TrainConfig(
        name=f"{name}_{options.steps}_{seed}",
        out=str(options.out),
        data=Mixtures(num=options.images, seed=0),
        pairs=pairs,
        patch=(32, 32),
        network=UNet(width=32, multipliers=(1, 2), blocks=1, attention=(False, False), patch_size=2, image_channels=1),
        weighting=SNRPlusOne(),
        drop_condition=0.0,
        optimizer=AdamW(learning_rate=2e-3, warmup=50),
        batch_size=16,
        steps=options.steps,
        seed=seed,
        previews=0,
    )


def matched(key: Any, model: Any, record: Record, options: Options) -> ClassMatches:
    """The matches of one field."""
    draws = conditional_samples(key, model, record["image"], options.samples, calls=options.calls)
    pairs = model.pairing.pairs
    draws = pairs.channels(draws) if isinstance(pairs, Distances | Bits) else draws
    labels = fused(draws[..., 0], "mean", DYNAMIC, LEAST).labels
    classes = of_objects(labels, draws, NAMES).of_label
    return match_classes(record["mask"], labels, record["classes"], classes, names=NAMES)


def summary(matches: Sequence[ClassMatches]) -> dict[str, Any]:
    """Scores of all fields, with 95 % intervals of a bootstrap over fields, those of classes, and the confusion."""
    rng = np.random.default_rng(0)
    rows = [_scores(pool_classes(matches))]
    rows += [
        _scores(pool_classes([matches[i] for i in rng.integers(len(matches), size=len(matches))])) for _ in range(DRAWS)
    ]
    scores = {}
    for name in rows[0]:
        low, high = np.nanpercentile([row[name] for row in rows[1:]], (2.5, 97.5))
        scores[name] = {"mean": rows[0][name], "low": float(low), "high": float(high)}
    every = pool_classes(matches)
    of_class = {
        name: {"ap50": float(ap[0]), "ap": float(ap.mean()), "pq": quality.pq}
        for name, ap, quality in zip(NAMES, every.average_precision, every.panoptic)
    }
    return {"scores": scores, "classes": of_class, "confusion": every.confusion.tolist()}


def _scores(matches: ClassMatches) -> dict[str, float]:
    return {
        "ap50": float(np.nanmean(matches.average_precision[:, 0])),
        "ap": matches.mean_average_precision,
        "pq": matches.mean_panoptic_quality,
        "accuracy": matches.accuracy,
    }


def markdown() -> str:
    """The tables of docs/tasks.md."""
    entries = store.read()["representations"]
    titles = {"distances": "one distance a class", "one-hot": "one distance, one-hot", "bits": "one distance, two bits"}
    columns = {"ap50": "AP@0.5", "ap": "AP 0.5–0.9", "pq": "PQ", "accuracy": "right class, of matched objects"}
    rows = [[titles[name], *(interval(entry["scores"][c]) for c in columns)] for name, entry in entries.items()]
    chosen = entries[CHOSEN]
    by_class = [
        [name, *(f"{scores[s]:.3f}" for s in ("ap50", "ap", "pq"))] for name, scores in chosen["classes"].items()
    ]
    confusion = [[name, *map(str, row)] for name, row in zip((*NAMES, "*invented*"), chosen["confusion"], strict=True)]
    return "\n\n".join(
        [
            table(["mean over classes", *columns.values()], rows),
            machine(chosen),
            table([titles[CHOSEN], "AP@0.5", "AP 0.5–0.9", "PQ"], by_class),
            table(["true ↓, given →", *NAMES, "*missed*"], confusion),
        ]
    )


def write() -> None:
    """Write the section of docs/tasks.md from classes.json."""
    write_sections(DOCS / "tasks.md", {"classes": markdown()})


if __name__ == "__main__":
    command({"measure": measure, "report": write}, __doc__, cache=True)
