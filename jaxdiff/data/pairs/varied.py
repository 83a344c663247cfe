"""What conditional pairs share that serve many microscopes: grey scale of each image, size of objects, random changes."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from jaxdiff.data.augment import Change, Changed
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.patches import Record, random_patch
from jaxdiff.data.per_image import Blocks, GreyScale, PerImage
from jaxdiff.data.resample import resampled, resampled_mask, resampled_size, window_of, window_of_mask
from jaxdiff.data.sources.source import Source
from jaxdiff.schema import conform

UNIT = PerImage()
"""Whose 0 and 1 the random changes take for dark and bright."""


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """The field of conditional pairs whose inputs may be normalised one by one.

    A prepared record then has "blocks" of the field, by which it is; no array, so that nothing cuts them.
    """

    per_image: PerImage | None = None
    """Normalise each image by its own grey levels; none: by those of the training images alone."""

    def __post_init__(self):
        conform(self)
        if not isinstance(self.per_image, PerImage | None):
            raise DataError(f"per_image={self.per_image!r}", "PerImage() or None", "per_image=PerImage()")

    def _fitted(self, source: Source, name: str = "image") -> Self:
        """With the numbers of `per_image` taken from the images of a source, or from what else has that name."""
        if self.per_image is None:
            return self
        return replace(self, per_image=self.per_image.fit(source[i][name] for i in range(len(source))))

    def _seen(self, info: DataInfo) -> DataInfo:
        """What images of `info` are to the network: of any type where they are normalised by their own grey levels."""
        return info if self.per_image is None else info.replace(dtype="float32")


@dataclass(frozen=True, kw_only=True)
class Varied(Scaled):
    """Fields of conditional pairs; without them a patch is cut and normalised as it was recorded.

    A prepared record is at the size of objects that the network knows. Its "original" and "blocks" are what patches are cut
    from and their grey scale is taken from; no array, so that nothing cuts them.
    """

    size: ObjectSize | None = None
    """Resample fields to one size of objects, and at random; none: they keep their pixels."""
    augmentation: tuple[Change, ...] = ()
    """Random changes of grey levels, ours (`jaxdiff.data.augment`) or your own, in this order."""

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.size, ObjectSize | None):
            raise DataError(f"size={self.size!r}", "ObjectSize(...) or None", "size=ObjectSize(diameter=20)")
        if not isinstance(self.augmentation, tuple):
            fix = "a comma after a single one: augmentation=(Gamma(),)"
            raise DataError(f"augmentation={self.augmentation!r}", "a tuple of changes", fix)
        for one in self.augmentation:
            if isinstance(one, type) or not callable(getattr(one, "drawn", None)):
                fix = "augmentation=(Gamma(), Blur(chance=0.3)), or one of your own with drawn(rng)"
                raise DataError(f"augmentation with {one!r}", "changes of grey levels", fix)

    def _prepared(self, record: Record) -> Record:
        """The record at its size, with what patches are made of."""
        if self.per_image is None and self.size is None and not self.augmentation:
            return record
        image, mask = record["image"], record.get("mask")
        prepared = {**record, "blocks": Blocks.of(image)}
        if self.augmentation:
            channels = image.shape[-1]
            unit = replace(UNIT, offset=(0.0,) * channels, span=(1.0,) * channels)
            prepared |= {"unit": unit.scale(image), "field": image.shape[:-1]}
        if self.size is None:
            return prepared
        if image.ndim != 3:
            raise DataError(f"{record['name']}, a volume", "planes (y, x), which are resampled", "leave out size")
        if "input" in record:
            raise DataError(f"{record['name']} with an input", "images alone, which are resampled", "leave out size")
        factor = self.size.factor(mask)
        size = resampled_size(image.shape[:2], factor)
        prepared |= {"original": _Original(image, mask, factor), "image": resampled(image, size)}
        return prepared if mask is None else {**prepared, "mask": resampled_mask(mask, size)}

    def cut(
        self,
        record: Record,
        patch: tuple[int, ...],
        rng: np.random.Generator,
        augment: bool = True,
        turn: bool = True,
    ) -> Record:
        """A random patch of a prepared record, as `random_patch` cuts it; with `augment` resized and changed at random."""
        drawn = [(one, one.drawn(rng)) for one in self.augmentation] if augment else []
        changes = [_Named(type(one).__name__, change) for one, change in drawn if change is not None]
        if self.size is None:
            spatial = record["image"].shape[:-1]
            # Views, of which only the patch becomes an array.
            along = _along((0,) * len(spatial), spatial, spatial) if changes else []
            names = [f"places {axis}" for axis in range(len(along))]
            views = dict(zip(names, np.broadcast_arrays(*np.ix_(*along)) if along else []))
            piece = random_patch(record | views, patch, rng, augment, turn)
            if changes:
                piece["places"] = np.stack([piece.pop(name) for name in names], axis=-1)
        else:
            piece = self._cut(record, patch, rng, augment, turn)
        return _changed(piece, changes) if changes else piece

    def _cut(
        self, record: Record, patch: tuple[int, ...], rng: np.random.Generator, augment: bool, turn: bool
    ) -> Record:
        original: _Original = record["original"]
        assert self.size is not None
        field = original.image.shape[:2]
        factor = original.factor * (self.size.drawn(rng) if augment else 1.0)
        exchange = augment and turn and bool(rng.integers(2))
        inner = (patch[1], patch[0]) if exchange else patch
        resized = [n * factor for n in field]
        room = [n - p for n, p in zip(resized, inner)]
        # What is smaller than the patch is mirrored on both sides of it.
        start = [rng.uniform(0, r) if r > 0 else r / 2 for r in room]
        margin = self._margin
        size = tuple(p + 2 * margin for p in inner)
        grid = (factor, factor), [s - margin for s in start], size
        piece = {name: value for name, value in record.items() if not isinstance(value, np.ndarray)}
        piece["image"] = window_of(original.image, *grid)
        if original.mask is not None:
            piece["mask"] = window_of_mask(original.mask, *grid)
        piece["places"] = _places([s - margin for s in start], size, resized)
        piece = self._with_margin(piece)
        flipped = tuple(augment and bool(rng.integers(2)) for _ in patch)
        for name in [n for n, array in piece.items() if isinstance(array, np.ndarray) and array.ndim >= 2]:
            array = piece[name][tuple(slice(margin, margin + p) for p in inner)]
            array = array.swapaxes(0, 1) if exchange else array
            piece[name] = array[tuple(slice(None, None, -1 if one else 1) for one in flipped)]
        return {**piece, "augmentation": np.array([*flipped, exchange], np.float32)}

    @property
    def _margin(self) -> int:
        """Pixels around a patch that what is made of it depends on."""
        return 0

    def _with_margin(self, piece: Record) -> Record:
        """What is made of a patch and its margin, added to its record."""
        return piece

    def _seen(self, info: DataInfo) -> DataInfo:
        """As `Scaled._seen`; of no one pixel size where they are resampled to one size of objects."""
        info = super()._seen(info)
        return info.replace(pixel_size={}) if self.size is not None and self.size.diameter is not None else info

    def _scaled(self, image: np.ndarray, blocks: Any) -> GreyScale | None:
        """The grey scale by which an image is normalised, that of its field's `blocks` where there are such."""
        if self.per_image is None:
            return None
        return self.per_image.scale(image) if blocks is None else self.per_image.scale_of(blocks.values)


@dataclass(frozen=True)
class _Original:
    """A field as recorded, and the pixels of the resampled one for one of it."""

    image: np.ndarray
    mask: np.ndarray | None
    factor: float

    @property
    def nbytes(self) -> int:
        return self.image.nbytes + (0 if self.mask is None else self.mask.nbytes)


def _along(start: Any, size: Any, field: Any) -> list[np.ndarray]:
    """Where the pixels of a window lie along each axis of the field, from -1 to 1, float32."""
    return [(2 * (s + np.arange(m) + 0.5) / n - 1).astype(np.float32) for s, m, n in zip(start, size, field)]


def _places(start: Any, size: Any, field: Any) -> np.ndarray:
    """(*size, axes) float32: where the pixels of a window lie in the field."""
    return np.stack(np.meshgrid(*_along(start, size, field), indexing="ij"), axis=-1)


class _Named(NamedTuple):
    """A change, and of which class it is one."""

    name: str
    change: Changed

    def __call__(self, u: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Raises DataError where a person's change does not give u, changed."""
        changed = np.asarray(self.change(u, places))
        number = changed.dtype.kind in "fiu"
        if changed.shape != u.shape or not number or not np.isfinite(changed).all():
            what = "of other values than finite numbers" if changed.shape == u.shape else f"of shape {changed.shape}"
            raise DataError(
                f"a result {what} from the augmentation {self.name}", f"those of u, {u.shape}", "return u, changed"
            )
        return changed


def _changed(piece: Record, changes: list[_Named]) -> Record:
    """A patch and its field's blocks, both changed alike."""
    unit: GreyScale = piece["unit"]
    blocks: Blocks = piece["blocks"]
    spatial = piece["field"]
    parts = [(piece["image"], piece["places"])]
    parts += [
        (values, _places(start, values.shape[:-1], spatial)) for values, start in zip(blocks.values, blocks.starts)
    ]
    changed = []
    for values, places in parts:
        u = unit.forward(values)
        for change in changes:
            u = change(u, places)
        changed.append(unit.inverse(u).astype(np.float32))
    return {**piece, "image": changed[0], "blocks": blocks.with_values(changed[1:])}
