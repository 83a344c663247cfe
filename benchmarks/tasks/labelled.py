"""Images generated for the masks of real fields: do they hold these nuclei, and do they look like the real ones?

Two questions, as a training set must be right in both. An independent segmentation (Otsu and watershed, its parameters
chosen on dev for real images) is run over generated and real images of the same masks: where it finds the given nuclei as
well in the generated ones, masks and images belong together. And distances between the sets, in features without weights,
beside those between other real wells and these.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from tqdm import tqdm

from benchmarks.tasks import fields, methods, scores, store
from benchmarks.tasks.fields import FEW, Field
from jaxdiff.data.errors import DataError
from jaxdiff.loading import load
from jaxdiff.metrics import compare_sets
from jaxdiff.tasks import generate_labelled

CROP = 64
SEED = 0
CALLS = (1, 2, 4, 5, 10, 20, 50)
FEW_CALLS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Labelled:
    """Generate images for the masks of whole fields, and compare them with the real images of these masks."""

    data: Path
    """The BBBC039 folder, with {train,dev,val}/{images,masks}."""
    run: Path
    """Run folder of the labelled generator."""
    split: Literal["dev", "val"] = "dev"
    """val once, for the numbers that are reported."""
    calls: int | None = None
    """Network calls of each image; none: the model's own number."""
    num: int = FEW
    """Fields."""
    again: bool = False
    """Replace numbers of val that are stored."""


def measure(options: Labelled) -> None:
    """Stores scores and distances. Raises DataError before any long work."""
    model = load(options.run)
    keys = ("labelled, few calls" if model.few_calls else "labelled", f"{options.split}, {options.num} fields")
    if options.split == "val":
        store.check_new(keys, options.again)
    if model.pairing is None or model.pairing.pairs.task != "generate":
        raise DataError(f"{options.run.name}", "a run with pairs=LabelledGeneration()", "give the run of this task")
    real = fields.load(options.data, options.split, options.num)
    find = methods.otsu_watershed()
    if options.split == "dev":
        _calls(options, model, real, find)
    calls = options.calls or model.calls
    generated = _made(model, real, calls)
    rows = {
        name: [scores.segmentation(field, find.predict(field)["labels"]) for field in some]
        for name, some in (("real", real), ("generated", generated))
    }
    wells = [field.well for field in real]
    reference, others = _crops(real, model), _crops(fields.load(options.data, "train", options.num), model)
    entry: dict[str, Any] = {
        "settings": {**methods.identity(model), "calls": calls, "finder": find.settings},
        "found": {name: scores.summary(of, wells) for name, of in rows.items()},
        "difference": scores.ahead(rows["generated"], rows["real"], wells),
        "distances": {
            "generated": _plain(compare_sets(reference, generated=_crops(generated, model))),
            "train": _plain(compare_sets(reference, generated=others)),
        },
        "crop": CROP,
    }
    store.put(keys, entry)
    for name, of in entry["found"].items():
        print(name, ", ".join(f"{score} {value['mean']:.3f}" for score, value in of.items()))
    for name, of in entry["distances"].items():
        print(name, of)


def _made(model: Any, real: list[Field], calls: int) -> list[Field]:
    """Images for the masks of these fields."""
    generated = []
    for i, field in enumerate(tqdm(real, desc=f"{calls} calls", unit="field", disable=None)):
        key = jax.random.fold_in(jax.random.key(SEED), i)
        image = generate_labelled(key, model, field.mask[None], calls=calls).images[0, ..., 0]
        generated.append(Field(field.name, field.well, np.rint(image).astype(np.uint16), field.mask))
    return generated


def _calls(options: Labelled, model: Any, real: list[Field], find: methods.Method) -> None:
    """Stores how the images of dev depend on the calls."""
    reference, rows = _crops(real, model), []
    for calls in FEW_CALLS if model.few_calls else CALLS:
        began = time.perf_counter()
        generated = _made(model, real, calls)
        seconds = (time.perf_counter() - began) / len(generated)
        rows_of_fields = [scores.segmentation(field, find.predict(field)["labels"]) for field in generated]
        sets = _plain(compare_sets(reference, generated=_crops(generated, model)))
        distances = {"frechet": sets["frechet"]["distance"], "kernel": sets["kernel"]["distance"]}
        means = {name: float(np.mean([row[name] for row in rows_of_fields])) for name in ("ap50", "ap", "dice")}
        rows.append({"calls": calls, "seconds": seconds, **distances, **means})
        print(rows[-1], flush=True)
    about = {"settings": methods.identity(model), "fields": [field.name for field in real]}
    name = "labelled generation, few calls" if model.few_calls else "labelled generation"
    store.put(("calls", name), {**about, "rows": rows})


def _crops(some: list[Field], model: Any) -> np.ndarray:
    """All CROP x CROP parts of the fields that hold a nucleus, in model units."""
    parts = []
    for field in some:
        for y in range(0, field.image.shape[0] - CROP + 1, CROP):
            for x in range(0, field.image.shape[1] - CROP + 1, CROP):
                place = slice(y, y + CROP), slice(x, x + CROP)
                if field.mask[place].any():
                    parts.append(model.normaliser.forward(field.image[place][..., None]))
    return np.stack(parts)


def _plain(comparison: Any) -> dict[str, Any]:
    return {name: dict(zip(value._fields, map(float, value))) for name, value in zip(comparison._fields, comparison)}
