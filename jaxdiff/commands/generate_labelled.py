"""`sample.py generate-labelled`: a training set on disk, images with instance masks and classes.

OUT/images/NAME.ome.tif   OUT/masks/NAME.ome.tif   OUT/objects/NAME.csv   OUT/labels.csv   OUT/sheet.png

`Folder(path=OUT/images, masks=OUT/masks)` reads it. OUT/generate.json says after each group of images how far the set is.
"""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro
from tqdm import tqdm

from jaxdiff.bulk.job import parameters_checksum
from jaxdiff.commands.folders.masks_of_folder import Group, MasksOfFolder
from jaxdiff.commands.folders.set_progress import SetProgress
from jaxdiff.commands.reader_options import ReaderOptions
from jaxdiff.commands.solver_options import SolverOptions, check_calls
from jaxdiff.data.files.labels import write_labels
from jaxdiff.data.files.read import inspect, read
from jaxdiff.data.files.write import as_dtype, check_writable, write_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.pairs import Joint
from jaxdiff.data.shown.objects import objects, write_csv
from jaxdiff.data.shown.overlay import overlay
from jaxdiff.data.shown.picture import sheet
from jaxdiff.data.sources.phenotypes import PHENOTYPES
from jaxdiff.data.sources.synthetic import Microscope
from jaxdiff.loading import load
from jaxdiff.lock import only_writer
from jaxdiff.model import Model
from jaxdiff.places import check_places
from jaxdiff.plain import to_plain
from jaxdiff.seeds import key_of
from jaxdiff.shipped import shipped
from jaxdiff.tasks.generate_labelled import START, generate_labelled
from jaxdiff.terminal import one_line

IMAGES_TOGETHER = 64
"""Images that are made together, and shown on the sheet."""


@dataclass(frozen=True, kw_only=True)
class GenerateLabelled(SolverOptions, ReaderOptions):
    """New images with their instance masks and classes: a training set."""

    out: Path
    """New or empty folder."""
    run: Path | None = None
    """Folder of the run; default the nuclei model that comes with jaxdiff."""
    num: int | None = None
    """How many images; default 64, or with --masks one for each."""
    masks: Path | None = None
    """Folder of instance masks (integer labels) to make images of; default shapes of nuclei drawn at random."""
    pixel_size: float = 0.48
    """Pixel of the drawn shapes, µm: a smaller one draws larger nuclei."""
    start: Path | None = None
    """Folder of real images with the names of --masks, which are varied: sampling starts from them and not from noise."""
    start_lam: float = -1.0
    """How far they are noised, as half log-SNR λ: what is coarser than the noise stays."""
    axes: str | None = None
    """Axes of files of --start whose metadata do not say, such as ZYX or CYX; those of --masks have no channels."""
    label: int | None = None
    """Class of all images; default all classes in turn, where the model knows classes."""
    guidance: float = 1.0
    """Scale of classifier-free guidance towards mask and class; 1 = none."""
    seed: int = 0
    """Seed of shapes and images."""
    dtype: Literal["float32"] | None = None
    """float32 keeps all digits; default the dtype of the training images."""
    checkpoint: int | None = None
    """Step of the checkpoint; default the newest."""
    allow: tuple[str, ...] = ()
    """Packages, or paths of .py files, of your own whose classes the run may name: their code runs."""
    resume: bool = False
    """Go on in --out, which the same command began: images that are there are not made again."""

    def __post_init__(self):
        super().__post_init__()
        if self.num is not None and self.num < 1:
            raise ValueError(f"got num={self.num}; expected at least 1; to fix: --num 1 or more")
        if self.start is not None and self.masks is None:
            raise ValueError("got --start without --masks; expected both; to fix: the masks of these images")


def labelled_set(options: GenerateLabelled) -> int:
    """Makes the set, or what is missing of it; returns the exit status: 0, or 1 if a mask or start image could not be used.

    Raises ValueError before anything is written, also where another process writes to the folder, and where masks are others
    than those that a set was begun with.
    """
    with only_writer(options.out):
        return _labelled_set(options)


def _labelled_set(options: GenerateLabelled) -> int:
    run = shipped("generate-labelled") if options.run is None else options.run
    model = load(run, options.checkpoint, allow=options.allow)
    progress = SetProgress.of(options.out, options.resume, _about(options, model))
    out = options.out
    solver = options.solver_of(model)
    calls = options.calls_of(model, solver)
    check_calls(calls, model, solver)
    info = model.info.replace(synthetic=True)
    joint = model.pairing is not None and isinstance(model.pairing.pairs, Joint)
    if joint:
        info = info.replace(channel_names=info.channel_names[:-1])
    info = info.replace(dtype=options.dtype or info.dtype)
    check_writable(info.dtype)
    classes = model.classes
    model.condition(1, options.label)
    files = None
    if options.masks is not None:
        files = MasksOfFolder(
            options.masks, options.start, info, options.axes, num=options.num, readers=options.all_readers
        )
    groups = _drawn(options, model, joint) if files is None else files.groups(IMAGES_TOGETHER)
    total = len(files) if files is not None else options.num or IMAGES_TOGETHER
    _check_places(out, [item.name for item in files.items] if files is not None else _names(0, total))
    rows: dict[str, list[Any]] = {"name": [], "label": [], "class": []}
    shown: list[tuple[np.ndarray, np.ndarray]] = []
    warned = set(progress.warnings)
    with tqdm(total=total, unit="image", desc="generating", dynamic_ncols=True) as bar, _caught() as caught:
        for group in groups:
            number, count = len(group.names), len(rows["name"])
            labels = np.full(number, -1 if options.label is None or not classes else options.label)
            if classes and options.label is None:
                labels = (count + np.arange(number)) % classes
            files_of = [path for name in group.names for path in _paths(out, name)]
            if progress.has(group.names, files_of, group.masks, group.start):
                size = model.shape[:-1] if group.masks is None else group.masks.shape[1:]
                pairs = _read(out, group.names) if _shows(shown, size) else []
            else:
                labelled = generate_labelled(
                    jax.random.fold_in(key_of(options.seed), count),
                    model,
                    group.masks,
                    num=number,
                    labels=labels if classes else None,
                    calls=calls,
                    solver=solver,
                    guidance=options.guidance,
                    start=group.start,
                    start_lam=options.start_lam,
                )
                # As they will be read from the files: a set that is gone on with has the same pictures.
                pairs = [
                    (as_dtype(image, info.dtype)[0].astype(np.float32), mask)
                    for image, mask in zip(labelled.images, labelled.masks)
                ]
                progress.store()  # nothing was written before: from now on a cut run leaves a set to go on with
                written = zip(group.names, labelled.images, labelled.masks)
                saturated = sum(_write(out, name, image, mask, info) for name, image, mask in written)
                progress.add(group.names, files_of, saturated, _named(caught, group.names))
            texts = _named(caught, group.names)
            caught.clear()
            for text in (*(files.notes if files is not None else ()), *texts):
                if text not in warned:
                    tqdm.write(one_line(text), file=sys.stderr)
                    warned.add(text)
            for name, label in zip(group.names, labels.tolist()):
                for column, value in zip(rows.values(), (name, label, _class(info, label))):
                    column.append(value)
            for image, mask in pairs:
                if _shows(shown, mask.shape):
                    # On the normaliser's scale dim and bright nuclei are seen alike.
                    shown.append((image if joint else model.normaliser.forward(image), mask))
            bar.update(number)
    write_csv(out / "labels.csv", {name: np.asarray(column) for name, column in rows.items()}, overwrite=True)
    if shown:
        _picture(shown, out)
    failed = {} if files is None else files.failed
    progress.warnings = sorted(warned)
    progress.end(failed=failed)
    print(f"{len(rows['name'])} images with masks in {out} ({progress.seconds:.1f} s)")
    if shown:
        print(f"look at {out / 'sheet.png'} and {out / 'masks.png'}")
    if progress.saturated:
        print(f"{progress.saturated} values beyond the range of {info.dtype} became its end")
    for name, reason in failed.items():
        print(one_line(f"failed: {name}: {reason}"))
    return 1 if failed else 0


def _about(options: GenerateLabelled, model: Model) -> dict[str, Any]:
    """What the set depends on, plain values."""
    calls = options.calls_of(model, options.solver_of(model))
    values = to_plain({**asdict(options), "calls": calls})
    settings = {k: v for k, v in values.items() if k not in ("out", "resume", "allow") and (v or k != "readers")}
    return {"options": settings, "checkpoint": model.step, "parameters": parameters_checksum(model)}


def _check_places(out: Path, names: list[str]) -> None:
    """Raises ValueError where something else is in the place of a file of the set."""
    tables = ("labels.csv", "sheet.png", "masks.png")
    check_places(out, [*tables, *(path.relative_to(out) for name in names for path in _paths(out, name))])


def _names(low: int, high: int) -> list[str]:
    """Of images that are drawn."""
    return [f"image_{i:05}" for i in range(low, high)]


def _shows(shown: list[tuple[np.ndarray, np.ndarray]], size: tuple[int, ...]) -> bool:
    """Whether an image of this size has a place on the sheet."""
    return len(shown) < IMAGES_TOGETHER and (not shown or shown[0][1].shape == tuple(size))


def _paths(out: Path, name: str) -> tuple[Path, Path, Path]:
    return out / "images" / f"{name}.ome.tif", out / "masks" / f"{name}.ome.tif", out / "objects" / f"{name}.csv"


def _write(out: Path, name: str, image: np.ndarray, mask: np.ndarray, info: DataInfo) -> int:
    """Writes an image's files, in place of those of a group that was cut short; how many values were saturated."""
    paths = _paths(out, name)
    for path in paths:
        path.unlink(missing_ok=True)
    saturated = write_image(paths[0], image, info)
    write_labels(paths[1], mask, info)
    write_csv(paths[2], objects(mask, image, info.pixel_size, info.unit, channel_names=info.channel_names))
    return saturated


def _read(out: Path, names: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and masks that were written before."""
    pairs = []
    for name in names:
        image, mask = (read(inspect(path)[0]) for path in _paths(out, name)[:2])
        pairs.append((image.astype(np.float32), mask[..., 0].astype(np.int32)))
    return pairs


def _named(caught: list[warnings.WarningMessage], names: list[str]) -> list[str]:
    """What was warned of, with the names of start images in place of their numbers in the group."""
    return [re.sub(rf"^{START} (\d+)", lambda match: names[int(match[1])], str(one.message)) for one in caught]


@contextmanager
def _caught() -> Iterator[list[warnings.WarningMessage]]:
    """The warnings for people, to be said between the images and kept."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield caught


def _drawn(options: GenerateLabelled, model: Model, joint: bool) -> Iterator[Group]:
    """Names, and shapes of nuclei where the model does not make its own masks."""
    total, size = options.num or IMAGES_TOGETHER, model.shape[:-1]
    scope = replace(
        Microscope(),
        pixel_size_um=options.pixel_size,
        out_of_focus=0.0,
        density_per_mm2=2400.0,
        phenotypes=PHENOTYPES[:1],
    )
    for low in range(0, total, IMAGES_TOGETHER):
        names = _names(low, min(low + IMAGES_TOGETHER, total))
        masks = None
        if not joint:
            key = jax.random.fold_in(key_of(options.seed), 2**31 + low)
            masks = np.asarray(scope.fields(key, IMAGES_TOGETHER, size).mask)[: len(names)]
        yield Group(names, masks)


def _class(info: DataInfo, label: int) -> str:
    return info.class_names[label] if 0 <= label < len(info.class_names) else ""


def _picture(shown: list[tuple[np.ndarray, np.ndarray]], out: Path) -> None:
    """A sheet of the images; and some of them, side by side, with their outlines."""
    images = np.stack([image for image, _ in shown])
    sheet(images, out / "sheet.png")
    if images.ndim > 4:
        overlay(shown[0][0], shown[0][1], out / "masks.png")
        return
    rows = max(1, int(np.sqrt(min(len(shown), 16))))
    across = min(len(shown), 16) // rows
    # Numbers go on from image to image, so that neighbours have colours of their own.
    offsets = np.cumsum([0] + [int(mask.max()) for _, mask in shown])
    masks = np.stack([np.where(mask > 0, mask + offset, 0) for (_, mask), offset in zip(shown, offsets)])
    overlay(_mosaic(images, rows, across), _mosaic(masks, rows, across), out / "masks.png")


def _mosaic(images: np.ndarray, rows: int, across: int) -> np.ndarray:
    return np.concatenate([np.concatenate(images[r * across : (r + 1) * across], axis=1) for r in range(rows)])


def main(args: list[str], prog: str = "sample.py generate-labelled") -> int:
    """The command: options from `args`; exit status."""
    return labelled_set(tyro.cli(GenerateLabelled, prog=prog, args=args))
