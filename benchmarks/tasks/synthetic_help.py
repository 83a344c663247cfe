"""Does synthetic data help? A segmentation network with ten labelled images, and with more made out of these ten.

For each seed ten images of train are drawn. A generator of images by mask is trained on them alone; objects are pasted
from one of them to another (`copy_paste`), and the generator makes images for the masks of these, so that the last two
arms have the same masks and differ in the images alone. In them one half of what the network sees is real, the other
made. All arms turn and mirror, are one network (the regression of configs/nuclei_segmentation.py), and take equally many
steps; instances are found with the defaults of `jaxdiff.tasks.instances`.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tifffile
from tqdm import tqdm

from benchmarks.report import machine, table
from benchmarks.tasks import fields, methods, regression, scores, store
from benchmarks.tasks.copy_paste import pasted
from benchmarks.tasks.fields import FEW, Field
from benchmarks.tasks.predictions import Pieces
from jaxdiff.config import load_config
from jaxdiff.data.config import BBBC039
from jaxdiff.loading import load
from jaxdiff.tasks import generate_labelled, instances
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.loop import train

ARMS = ("real", "pasted", "generated")
REAL, MADE = 10, 30
"""Images: real ones of a seed, and made ones of each of the last two arms, beside which each real one is read three times."""
GENERATOR_STEPS, STEPS = 1200, 1000
CALLS = 20
CONFIGS = Path("configs")


@dataclass(frozen=True)
class Help:
    """Prepare a seed: draw its images, train its generator and make its sets, train its three networks."""

    data: Path
    """The BBBC039 folder, with {train,dev,val}/{images,masks}."""
    out: Path
    """Gets a folder for each seed. The same command continues."""
    seed: int = 0
    """Of the ten images, and of all training."""
    minutes: float = 60.0
    """Of each training in this session."""


@dataclass(frozen=True)
class Helped:
    """Score the networks of all seeds that `help` prepared, arm against arm."""

    data: Path
    """The BBBC039 folder."""
    out: Path
    """What `help` was given."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Prepared seeds."""
    split: Literal["dev", "val"] = "dev"
    """val once, for the numbers that are reported."""
    num: int = FEW
    """Fields."""
    pieces: Path = Path("runs/pieces")
    """Where predictions are kept."""
    again: bool = False
    """Replace numbers of val that are stored."""


def prepare(options: Help) -> None:
    """All that one seed needs, in OUT/SEED."""
    folder, seed = options.out / str(options.seed), options.seed
    real = draw(fields.load(options.data, "train", None), seed)
    write(folder / "real", {field.name: field for field in real})
    generator = _config("nuclei_generation", folder, seed, GENERATOR_STEPS, folder / "real")
    run = train(dataclasses.replace(generator, name="generator"))
    again = {f"{copy}_{field.name}": field for copy in range(MADE // REAL) for field in real}
    rng = np.random.default_rng(seed)
    mixed = [pasted(rng, real) for _ in range(MADE)]
    write(folder / "pasted", again | _named(mixed))
    if not (folder / "generated").exists():
        model, generated = load(run), []
        for i, field in enumerate(tqdm(mixed, desc="generated", unit="field", disable=None)):
            key = jax.random.fold_in(jax.random.key(seed), i)
            image = generate_labelled(key, model, field.mask[None], calls=CALLS).images[0, ..., 0]
            generated.append(dataclasses.replace(field, image=grey(image)))
        write(folder / "generated", again | _named(generated))
    for arm in ARMS:
        config = _config("nuclei_segmentation", folder, seed, STEPS, folder / arm)
        print(regression.train(dataclasses.replace(config, name=arm), options.minutes), flush=True)


def draw(of: Sequence[Field], seed: int) -> list[Field]:
    """`REAL` fields, in the order of their names."""
    return [of[i] for i in sorted(np.random.default_rng(seed).permutation(len(of))[:REAL])]


def grey(image: np.ndarray) -> np.ndarray:
    """Whole grey levels; what a generator made darker than 0 is 0."""
    return np.rint(np.maximum(image, 0)).astype(np.uint16)


def write(folder: Path, some: dict[str, Field]) -> None:
    """folder/{images,masks}/NAME.tif, all or none; a folder that is there stays."""
    if folder.exists():
        return
    aside = folder.with_suffix(".partial")
    for part in ("images", "masks"):
        (aside / part).mkdir(parents=True, exist_ok=True)
    for name, field in some.items():
        tifffile.imwrite(aside / "images" / f"{name}.tif", field.image)
        tifffile.imwrite(aside / "masks" / f"{name}.tif", field.mask.astype(np.uint16))
    aside.rename(folder)


def measure(options: Helped) -> None:
    """Stores the scores of each seed and arm, and the arms' differences. Raises DataError before any long work."""
    keys = ("synthetic_help", f"{options.split}, {options.num} fields")
    if options.split == "val":
        store.check_new(keys, options.again)
    chosen = fields.load(options.data, options.split, options.num)
    wells = [field.well for field in chosen]
    pieces, rows = Pieces(options.pieces, 60.0), {}
    for seed in options.seeds:
        rows[str(seed)] = {}
        for arm in ARMS:
            model = load(options.out / str(seed) / f"{arm}_regression")
            method = methods.regressed(model, methods.seen("segmentation", None, None), None)
            method = dataclasses.replace(method, settings=method.settings | {"arm": arm, "seed": seed})
            predicted = pieces.of(method, chosen, options.split)
            of = [scores.segmentation(f, instances(p.arrays["x0"])) for f, p in zip(chosen, predicted)]
            rows[str(seed)][arm] = {"scores": scores.summary(of, wells), "settings": method.settings}
            print(
                seed, arm, {k: round(v["mean"], 4) for k, v in rows[str(seed)][arm]["scores"].items()}, file=sys.stderr
            )
    entry = {"seeds": rows, "differences": differences(rows), "fields": [field.name for field in chosen]}
    settings = {"real": REAL, "made": MADE, "generator_steps": GENERATOR_STEPS, "steps": STEPS, "calls": CALLS}
    store.put(keys, {"settings": settings, **entry})


def differences(rows: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{"pasted - real": {score: {"seeds", "mean", "standard_error"}}}: paired, a seed's arms have the same ten images."""
    result = {}
    for first, second in (("pasted", "real"), ("generated", "real"), ("generated", "pasted")):
        result[f"{first} - {second}"] = by_score = {}
        for score in next(iter(rows.values()))[first]["scores"]:
            each = [of[first]["scores"][score]["mean"] - of[second]["scores"][score]["mean"] for of in rows.values()]
            spread = float(np.std(each, ddof=1) / np.sqrt(len(each))) if len(each) > 1 else None
            by_score[score] = {"seeds": each, "mean": float(np.mean(each)), "standard_error": spread}
    return result


def _named(some: Sequence[Field]) -> dict[str, Field]:
    return {f"made{i:02d}_{field.name}": field for i, field in enumerate(some)}


def _config(name: str, out: Path, seed: int, steps: int, data: Path) -> TrainConfig:
    config = load_config(CONFIGS / f"{name}.py")
    how: dict[str, Any] = {"data": BBBC039(path=data, validation=0.0), "out": out, "seed": seed, "steps": steps}
    return dataclasses.replace(config, minutes=None, **how)


NAMES = {"real": "ten real images", "pasted": "and objects pasted between them", "generated": "and generated images"}
SCORES = {"ap50": "AP@0.5", "ap": "AP 0.5–0.9", "aji": "AJI", "pq": "PQ", "dice": "Dice"}


def markdown(measured: Mapping[str, Any]) -> list[str]:
    """A table of the arms' scores by seed, and one of their differences, of each set of fields given."""
    if not measured:
        return ["Not measured yet."]
    parts = []
    for where, entry in measured.items():
        seeds, how = entry["seeds"], entry["settings"]
        rows = [
            [seed, NAMES[arm], *(f"{of['scores'][score]['mean']:.3f}" for score in SCORES)]
            for seed, arms in seeds.items()
            for arm, of in arms.items()
        ]
        gains = [
            [difference, *(f"{of[score]['mean']:+.3f} ± {of[score]['standard_error']:.3f}" for score in SCORES)]
            for difference, of in entry["differences"].items()
        ]
        parts += [
            f"#### {where}",
            table(["seed", "trained with", *SCORES.values()], rows),
            f"Paired differences, mean and standard error of {len(seeds)} seeds, each with its own {how['real']} images "
            "and all trained anew:",
            table(["", *SCORES.values()], gains),
            f"The regression U-Net, {how['steps']} steps in each arm, with flips and turns in all; {how['made']} made "
            f"fields, of the same masks in both arms, are half of what is seen. The generator saw the same {how['real']} "
            f"images ({how['generator_steps']} steps). {machine(entry)}",
        ]
    return parts
