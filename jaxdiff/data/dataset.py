"""A checked data set: what to train on, what is held out, and how grey levels become network units."""

import functools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from jaxdiff.data.errors import DataError, UnreadableError, unreadable
from jaxdiff.data.fingerprint import digest
from jaxdiff.data.info import DataInfo
from jaxdiff.data.levels import Levels
from jaxdiff.data.maps import Map, MapName
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Pairing, as_network, cut
from jaxdiff.data.patches import Batch, Record, check_patch, check_whole, common_factor, pixel_factors
from jaxdiff.data.sources.source import ImagesOf, Region, Seen, Source, Subset
from jaxdiff.data.split import groups, split_groups, split_regions

FITTED = 4096
"""Training images that a normaliser is fitted on, at most; of more, so many spread evenly."""


@dataclass(frozen=True)
class Dataset:
    """Training and validation sources, disjoint, with their common info.

    `validation` has length 0 when nothing is held out; `skipped` says why files were left out, `notes` what else a
    person should know. `pairing` makes the pairs of a conditional task; `info` and `normaliser` are of what is diffused.
    `input_info` is of the "input" of the records, None where they have none.
    """

    train: Source
    validation: Source
    info: DataInfo
    map: Map | MapName
    """Monotone map of a normaliser that is fitted."""
    given: Normaliser | None = None
    """The normaliser of a run that goes on, or of pairs."""
    skipped: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    pairing: Pairing | None = None
    input_info: DataInfo | None = None
    recorded: tuple[Source, Source] | None = None
    """The two parts as they were read, before pairs were made of them."""
    levels: Levels | None = None
    """Grey levels of what is diffused; None where they were not measured (`with_levels`)."""

    @functools.cached_property
    def normaliser(self) -> Normaliser:
        """The one given, or fitted on the training part when it is first asked for."""
        if self.given is not None:
            return self.given
        return Normaliser.fit(ImagesOf(evenly(self.train, FITTED)), self.map)

    def validation_batches(self, patch: Sequence[int], batch_size: int, num: int, seed: int = 0) -> Iterator[Batch]:
        """`num` fixed patches of the validation images in turn, not augmented; the last batch may be smaller.

        Patch i depends on (seed, i) alone. Nothing is yielded when nothing is held out.
        """
        patch = check_patch(patch, self.info)

        def example(i: int) -> Batch:
            rng = np.random.default_rng([seed, i])
            record = cut(self.validation[i % len(self.validation)], patch, rng, self.pairing, augment=False)
            return as_network(record, self.normaliser, self.pairing, rng)

        for start in range(0, num if len(self.validation) else 0, batch_size):
            records = [example(i) for i in range(start, min(start + batch_size, num))]
            yield {name: np.stack([record[name] for record in records]) for name in records[0]}


def evenly(source: Source, most: int) -> Source:
    """The source, or of more than `most` records so many, spread evenly."""
    n = len(source)
    return source if n <= most else Subset(source, [i * n // most for i in range(most)])


def checked(
    source: Source, patch: Sequence[int], skip_unreadable: bool = False, allow_blank: bool = False
) -> tuple[Source, list[str], tuple[str, ...]]:
    """Read every image once; the source without damaged files, the file of each record, and why files were left out.

    Raises DataError for images smaller than the patch, for images and inputs with NaN or infinite pixels, or with one
    value in all pixels (unless `allow_blank`), and for inputs whose pixels the patch cuts; UnreadableError, with their
    number and the first few, for damaged files unless `skip_unreadable`.
    """
    patch = check_patch(patch, source.info)
    good: list[int] = []
    files: list[str] = []
    seen: list[Seen] = []
    single: set[int | None] = set()  # the label of masks with one label, None of others with objects
    lone: list[bool] = []  # of masks with objects with classes, whether each is the only one of its class
    skipped: list[UnreadableError] = []
    for i in tqdm(range(len(source)), desc="checking images", unit="image", leave=False, disable=None, delay=2):
        try:
            record = source[i]
        except UnreadableError as error:
            skipped.append(error)
            continue
        _check(record, source.info, patch, allow_blank)
        good.append(i)
        files.append(record.get("file", record["name"]))
        seen.append(Seen(files[-1], files[-1], digest(record)))
        if "mask" in record and record["mask"].any():
            most = int(record["mask"].max())
            single.add(most if np.isin(record["mask"], (0, most)).all() else None)
        if classes := record.get("classes"):
            lone.append(len(set(classes)) == len(classes))
    if skipped and not (skip_unreadable and good):
        raise unreadable("the data", skipped, len(source))
    if single == {255} or (len(single) == 1 and len(good) > 1 and None not in single):
        warnings.warn(
            f"label {max(one for one in single if one is not None)} is the only one in all masks, so that each has one "
            "object; are they masks of objects? --check counts",
            stacklevel=3,
        )
    if len(lone) > 1 and all(lone):
        warnings.warn(
            "no mask has two objects of one class; are they masks of objects? class_values= takes masks of kinds of pixels",
            stacklevel=3,
        )
    if not good:
        raise DataError("no image to read", "at least one", "give more images")
    return Subset(source, good, seen), files, tuple(map(str, skipped))


def hold_out(
    source: Source, names: Sequence[str], patch: Sequence[int], fraction: float, regex: str | None, seed: int
) -> tuple[Source, Source]:
    """Training and validation parts: by group of names, or by region when all images are of one file.

    Raises DataError for a fraction outside [0, 1), a regex that puts all in one group, and a single image too small
    for two regions.
    """
    if not 0 <= fraction < 1:
        raise DataError(f"validation={fraction}", "a fraction from 0 to below 1", "0.1 holds out a tenth")
    if fraction == 0:
        return source, Subset(source, ())
    group = groups(names, regex)
    if seen := getattr(source, "seen", None):
        source = Subset(source, range(len(source)), [one._replace(group=g) for one, g in zip(seen, group)])
    if len(set(group)) > 1:
        train, validation = split_groups(group, fraction, seed)
        return Subset(source, train), Subset(source, validation)
    if regex is not None:
        raise DataError(f"one group, {group[0]!r}, by {regex!r}", "two groups or more", "use another group_regex")
    shape = tuple(int(n) for n in patch)
    for i in range(len(source)):
        split_regions(source[i]["image"].shape[:-1], shape, fraction)
    return (
        Region(source, lambda spatial: split_regions(spatial, shape, fraction)[0]),
        Region(source, lambda spatial: split_regions(spatial, shape, fraction)[1]),
    )


def finish(
    train: Source,
    validation: Source,
    map: Map | MapName,
    normaliser: Normaliser | None = None,
    skipped: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    input_info: DataInfo | None = None,
) -> Dataset:
    """The data set, with the normaliser of a run where one is given.

    Raises DataError for one of other channels, and for parts that differ in axes, channels, dtype or pixel size.
    """
    for what, of in (
        ("axes and channels", lambda info: (info.axes, info.channels, info.colour)),
        ("dtype", lambda info: info.dtype),
        ("pixel size", lambda info: ({axis: _rounded(size) for axis, size in info.pixel_size.items()}, info.unit)),
    ):
        kinds = [of(part.info) for part in (train, validation)]
        if kinds[0] != kinds[1]:
            raise DataError(
                f"training images of {what} {kinds[0]} and images held out of {kinds[1]}",
                "one kind of image",
                "make them alike, or leave the others out",
            )
    if normaliser is not None and normaliser.channels != train.info.channels:
        raise DataError(
            f"a normaliser of {normaliser.channels} channels", f"{train.info.channels} channels", "use the run's data"
        )
    parts = (train, validation)
    return Dataset(*parts, train.info, map, normaliser, skipped, notes, input_info=input_info, recorded=parts)


def _rounded(size: float | None) -> float | None:
    return None if size is None else float(f"{size:.3e}")


def _check(record: Record, info: DataInfo, patch: tuple[int, ...], allow_blank: bool) -> None:
    image, name = record["image"], record["name"]
    if image.ndim != len(info.axes) or image.shape[-1] != info.channels:
        raise DataError(
            f"{name} of shape {image.shape}", f"axes {info.axes} with {info.channels} channels", "remove the image"
        )
    if any(n < p for n, p in zip(image.shape, patch)):
        raise DataError(
            f"{name} of {image.shape[:-1]} pixels (after binning)",
            f"at least the patch, {patch}",
            "use a smaller patch, less binning, or remove the image",
        )
    check_pixels(image, name, allow_blank)
    if "input" in record:
        check_whole(patch, common_factor(pixel_factors(record, len(patch))), name)
        check_pixels(record["input"], f"the input of {name}", allow_blank)


def has_one_value(image: np.ndarray) -> bool:
    """Whether all pixels have one value."""
    return bool(image.min() == image.max())


def check_pixels(image: np.ndarray, name: str, allow_blank: bool) -> None:
    """Raises DataError for NaN and infinite pixels, and for one value in all pixels unless `allow_blank`."""
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        bad = int(np.count_nonzero(~np.isfinite(image)))
        raise DataError(f"{name} with {bad} NaN or infinite pixels", "finite numbers", "repair or remove the image")
    if not allow_blank and has_one_value(image):
        raise DataError(
            f"{name} with the value {image.flat[0]} in every pixel",
            "an image",
            "remove it, or keep such images with allow_blank",
        )
