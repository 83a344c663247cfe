"""Where training images come from: one frozen dataclass a kind, read by the command line as it stands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from jaxdiff.data.dataset import Dataset, checked, finish, hold_out
from jaxdiff.data.decoded import Decoded, Normalised
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.readers import Reader, Readers
from jaxdiff.data.fingerprint import Fingerprint, as_held_out
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Pairing, Pairs
from jaxdiff.data.pairs import Parallel, paired
from jaxdiff.data.sources.class_fields import ClassFields
from jaxdiff.data.sources.folder import list_folder
from jaxdiff.data.sources.shift import pair_shift
from jaxdiff.data.sources.source import Memory, Source, Subset


class DataConfig(Protocol):
    """A kind of data: `open` checks everything and returns the data set. A new kind is a dataclass with this method."""

    def open(self, patch: Sequence[int], seed: int, normaliser: Normaliser | None = None) -> Dataset: ...


def open_data(
    config: DataConfig,
    patch: Sequence[int],
    seed: int,
    normaliser: Normaliser | None = None,
    pairs: Pairs | None = None,
    pairing: Pairing | None = None,
    before: Fingerprint | None = None,
) -> Dataset:
    """The checked data set of a config, for patches (Y, X) or (Z, Y, X), as `pairs` where they are given.

    `seed` chooses what is held out. `normaliser` and `pairing` are those of a run that goes on; without them they are
    fitted on the training part. Reads every image once, but those that `jaxdiff prepare` checked only to fit; raises
    DataError for all that cannot be trained on.

    before: of a run that goes on with other data: what it held out stays held out (`jaxdiff.data.fingerprint`).
    """
    data = config.open(tuple(patch), seed, normaliser if pairs is None else None)
    if before is not None and data.recorded is not None:
        parts = as_held_out(*data.recorded, before)
        data = replace(data, train=parts[0], validation=parts[1], recorded=parts)
    if data.input_info is not None and not isinstance(pairs, Parallel):
        data = replace(data, notes=(*data.notes, "inputs beside the images are read by pairs=Parallel(...) alone"))
    if pairs is not None:
        return paired(data, pairs, normaliser, pairing, patch=patch)
    _ = data.normaliser  # fitted now: what it refuses is refused before any work
    return data


@dataclass(frozen=True)
class Synthetic(Normalised):
    """Nuclei from the built-in microscope, rendered once, with instance masks and classes.

    With `pairs`, the image is what the camera's recordings have as their mean, and the input is one recording of it.
    """

    num: int = 4096
    """Number of images, each of the size of the patch."""
    seed: int = 0
    """Seed of the images (that of the training is another)."""
    validation: float = 0.1
    """Fraction of the images held out."""
    pairs: bool = False
    """Images without noise, and one noisy recording of each as its input."""

    def open(self, patch: Sequence[int], seed: int, normaliser: Normaliser | None = None) -> Dataset:

        from jaxdiff.data.sources.synthetic import ABSENT, Microscope
        from jaxdiff.seeds import key_of

        if self.num < 2:
            raise DataError(f"num={self.num}", "2 or more", "raise it")
        microscope = Microscope()
        field = microscope.fields(key_of(self.seed), self.num, tuple(patch))
        across = microscope.pixel_size_um
        info = DataInfo(
            axes="YXC" if len(patch) == 2 else "ZYXC",
            channel_names=("nuclei",),
            pixel_size={"Y": across, "X": across} | ({"Z": microscope.slice_spacing_um} if len(patch) == 3 else {}),
            unit="µm",
            dtype="uint16",
            synthetic=True,
            class_names=microscope.class_names,
            object_classes=microscope.class_names,
        )
        images, inputs = np.asarray(field.image), None
        if self.pairs:
            images, inputs = np.asarray(field.clean), images
        names = microscope.class_names
        classes = [[names[kind] for kind in kinds if kind != ABSENT] for kinds in np.asarray(field.classes)]
        source = Memory(
            images,
            info.replace(dtype=images.dtype.name),
            np.asarray(field.mask),
            np.asarray(field.label),
            inputs,
            classes=classes,
        )
        names = [str(i) for i in range(self.num)]
        train, validation = hold_out(source, names, patch=patch, fraction=self.validation, regex=None, seed=seed)
        return finish(train, validation, self.map, normaliser, input_info=info if self.pairs else None)


@dataclass(frozen=True)
class Folder(ClassFields, Decoded):
    """Your own images: a folder of TIFF, OME-TIFF or PNG files, perhaps with masks, classes, or inputs for pairs."""

    path: Path
    """Folder of images (or one image file)."""
    masks: Path | None = None
    """Folder of instance masks: integer label images of the same names."""
    axes: str | None = None
    """Axes of the files where their metadata do not say, such as ZYX, CYX, TCYX or YXS (S = RGB samples)."""
    classes: bool = False
    """Each sub-folder holds the images of one class."""
    validation: float = 0.1
    """Fraction of the files (or groups) held out; of a single image, a region. 0 holds out nothing."""
    group_regex: str | None = None
    """Files in whose names this finds the same text (well, stack, patient) stay together in the split."""
    skip_unreadable: bool = False
    """Leave out damaged files (their number is reported) where otherwise the run refuses to start."""
    allow_blank: bool = False
    """Train on images that have one value in all their pixels, too."""
    pixel_size: tuple[float, ...] | None = None
    """Micrometres along Y X, or Z Y X, in place of what the files say."""
    channel_names: tuple[str, ...] | None = None
    """Names of the channels, in place of what the files say."""
    inputs: Path | None = None
    """Folder of the same fields recorded otherwise (noisy, coarser, another modality), with files of the same names."""
    input_axes: str | None = None
    """Axes of the inputs, where they are not those of `axes`."""
    readers: tuple[Reader, ...] = ()
    """Of files of other formats, your own (`jaxdiff.data.files.readers`)."""

    def __post_init__(self):
        super().__post_init__()
        Readers(self.readers)
        _ = self.class_truth(self.masks)

    def open(self, patch: Sequence[int], seed: int, normaliser: Normaliser | None = None) -> Dataset:
        listing = list_folder(
            self.path,
            self.masks,
            axes=self.axes,
            classes=self.classes,
            skip_unreadable=self.skip_unreadable,
            pixel_size=self.pixel_size,
            channel_names=self.channel_names,
            inputs=self.inputs,
            input_axes=self.input_axes,
            readers=Readers(self.readers),
            mask_classes=self.class_truth(self.masks),
        )
        source, files, skipped = checked(self.cached(listing.source), patch, self.skip_unreadable, self.allow_blank)
        input_info = None if listing.input_info is None else listing.input_info.binned(self.binning)
        train, validation = hold_out(
            source, files, patch=patch, fraction=self.validation, regex=self.group_regex, seed=seed
        )
        ignored = ", ".join(f"{n} {suffix}" for suffix, n in sorted(listing.ignored.items()))
        shift = None if input_info is None else pair_shift(source).note
        notes = (f"files of other kinds, not read: {ignored}",) if ignored else ()
        notes += listing.notes + (() if shift is None else (shift,))
        return finish(
            train,
            validation,
            map=self.map,
            normaliser=normaliser,
            skipped=listing.skipped + skipped,
            notes=notes,
            input_info=input_info,
        )


@dataclass(frozen=True)
class BBBC039(Decoded):
    """Fluorescent nuclei of the Broad Bioimage Benchmark Collection, with instance masks; split by well."""

    path: Path
    """Folder with {train,dev}/{images,masks}, or {images,masks} as `download` makes them."""
    download: bool = False
    """Fetch the collection into `path` from the Broad's site if it is not there."""
    validation: float = 0.1
    """Fraction of the wells held out, where `path` has no parts train and dev (which are used as they are)."""
    skip_unreadable: bool = False
    """Leave out damaged files (their number is reported) where otherwise the run refuses to start."""

    def open(self, patch: Sequence[int], seed: int, normaliser: Normaliser | None = None) -> Dataset:
        from jaxdiff.data.sources import bbbc039

        path = Path(self.path)
        parts = all((path / part / "images").is_dir() for part in ("train", "dev"))
        if not parts and self.download:
            bbbc039.download(path)
        if not parts and not (path / "images").is_dir():
            raise DataError(
                f"{path} without BBBC039",
                "train/images and dev/images, or images and masks",
                "correct the path, or set download to fetch it",
            )
        if not parts:
            source, files, skipped = self._part(path, patch)
            train, validation = hold_out(
                source, files, patch=patch, fraction=self.validation, regex=bbbc039.WELL, seed=seed
            )
            return finish(train, validation, self.map, normaliser, skipped)
        train, _, skipped = self._part(path / "train", patch)
        validation, _, also = self._part(path / "dev", patch)
        return finish(train, validation, self.map, normaliser, skipped + also)

    def _part(self, folder: Path, patch: Sequence[int]) -> tuple[Source, list[str], tuple[str, ...]]:
        listing = list_folder(
            folder / "images", folder / "masks", skip_unreadable=self.skip_unreadable, channel_names=("Hoechst",)
        )
        source, files, skipped = checked(self.cached(listing.source), patch, self.skip_unreadable, allow_blank=False)
        return source, files, listing.skipped + skipped


@dataclass(frozen=True)
class Tfds(Decoded):
    """A TFDS data set prepared on disk as array_record or parquet: from the catalog, or a folder of yours."""

    name: str
    """Name of the data set, as name or name/config."""
    data_dir: Path
    """The folder it was prepared in."""
    split: str = "train"
    """Split (or part of one, such as train[:80%]) to train on."""
    validation_split: str | None = None
    """Split to validate on; without it a fraction of `split` is held out."""
    validation: float = 0.1
    """Fraction of the files (or groups) held out, without a validation_split."""
    group_regex: str | None = None
    """Records in whose file names this finds the same text stay together."""
    image: str = "image"
    """Name of the image feature."""
    label: str | None = "label"
    """Name of the class feature, where there is one."""
    mask: str | None = "mask"
    """Name of the mask feature, where there is one."""
    allow_blank: bool = False
    """Train on images that have one value in all their pixels, too."""

    def open(self, patch: Sequence[int], seed: int, normaliser: Normaliser | None = None) -> Dataset:
        train, files, input_info = self._split(self.split, patch)
        if self.validation_split is not None:
            validation, _, _ = self._split(self.validation_split, patch)
        else:
            train, validation = hold_out(
                train, files, patch=patch, fraction=self.validation, regex=self.group_regex, seed=seed
            )
        return finish(train, validation, self.map, normaliser, input_info=input_info)

    def _split(self, split: str, patch: Sequence[int]) -> tuple[Source, list[str], DataInfo | None]:
        """The split, the file of each record, and the info of its inputs; what `prepare` checked is not read again."""
        from jaxdiff.data.prepared.tfds import TfdsSource

        prepared = TfdsSource(self.name, self.data_dir, split=split, image=self.image, label=self.label, mask=self.mask)
        input_info = None if prepared.input_info is None else prepared.input_info.binned(self.binning)
        source: Source = self.cached(prepared)
        files = prepared.files(patch, self.binning, self.allow_blank)
        if files is None:
            source, files, _ = checked(source, patch, allow_blank=self.allow_blank)
        else:
            source = Subset(source, range(len(source)), prepared.seen())
        return source, files, input_info
