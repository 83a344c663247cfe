"""A folder of images as a TFDS data set: tiles, checked, written aside, read back, with an index and a report."""

import contextlib
import io
import math
import os
import re
import shutil
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tensorflow_datasets.core.utils import tqdm_utils
from tqdm import tqdm

from jaxdiff.data.dataset import check_pixels, has_one_value
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.labels import renumbered, too_large
from jaxdiff.data.files.read import Files
from jaxdiff.data.files.readers import BUILT_IN, Readers
from jaxdiff.data.fingerprint import digest
from jaxdiff.data.patches import Record
from jaxdiff.data.prepared.build import VERSION, FileFormat, RecordsBuilder
from jaxdiff.data.prepared.index import Index
from jaxdiff.data.prepared.tfds import TfdsSource
from jaxdiff.data.prepared.tiles import number, tiles
from jaxdiff.data.shown.mask_report import MaskReport
from jaxdiff.data.sources.class_tables import ClassTruth
from jaxdiff.data.sources.folder import Listing, list_folder
from jaxdiff.data.statistics import Statistics
from jaxdiff.durable import crc32, with_number, write_json
from jaxdiff.lock import only_writer_of

REPORT = "report.json"
SHOWN = 20  # blank tiles that the report names


def prepare(
    path: str | Path,
    data_dir: str | Path,
    name: str,
    file_format: FileFormat = "array_record",
    masks: str | Path | None = None,
    axes: str | None = None,
    classes: bool = False,
    skip_unreadable: bool = False,
    *,
    tile: Sequence[int] | None = None,
    allow_blank: bool = False,
    pixel_size: Sequence[float] | None = None,
    channel_names: Sequence[str] | None = None,
    inputs: str | Path | None = None,
    input_axes: str | None = None,
    readers: Readers = BUILT_IN,
    mask_classes: ClassTruth | None = None,
) -> Path:
    """Turn a folder of images (as `list_folder` reads it) into data_dir/name/1.0.0.

    All images go into the split "train", with their file names, so that `Tfds(name, data_dir)` splits them by file.
    One image at a time is decoded, large ones into a file beside the data set. The folder appears whole or not at all:
    records are written aside, read back and compared, and get an index (training then starts without reading them) and
    report.json: what was read and left out, and grey levels by channel.

    Args:
        path: folder of the images.
        data_dir: folder of data sets.
        name: of the data set.
        file_format: "array_record", which is not to be had on Windows, or "parquet".
        masks: folder of instance masks of the same names, or None.
        axes: of files that do not say theirs.
        classes: each sub-folder holds the images of one class.
        skip_unreadable: damaged files are left out and said.
        tile: (Y, X) or (Z, Y, X) into which larger images are cut (`data/prepared/tiles.py`).
        allow_blank: images and tiles with one value in all pixels are kept.
        pixel_size: micrometres along each spatial axis, in place of what the files say.
        channel_names: in place of what the files say.
        inputs: folder of the same fields recorded otherwise, of the same names, or None.
        input_axes: of inputs that do not say theirs.
        readers: of files of other formats, too.
        mask_classes: where the classes of the masks' objects come from (`jaxdiff.data.sources.class_tables`), or None.

    Returns:
        The new folder.

    Raises:
        DataError: for bad input and for a data set that is there already.
        LockedError: for one that another process is preparing.
        UnreadableError: for a damaged file unless `skip_unreadable`.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise DataError(f"name {name!r}", "a folder's name", "letters, digits, - and _")
    target = Path(data_dir) / name / VERSION
    _check_new(target)
    listing = list_folder(
        path,
        masks,
        axes=axes,
        classes=classes,
        skip_unreadable=skip_unreadable,
        pixel_size=pixel_size,
        channel_names=channel_names,
        inputs=inputs,
        input_axes=input_axes,
        readers=readers,
        mask_classes=mask_classes,
    )
    info = listing.source.info
    if tile is not None and (len(tile) != len(info.spatial) or min(tile) < 1):
        raise DataError(f"tile {tuple(tile)}", f"pixels along {' '.join(info.spatial)}", "one size for each axis")
    with _aside(target, name) as aside:
        work = _Preparation(listing, aside, tile, allow_blank, skip_unreadable)
        builder = RecordsBuilder(
            work.records,
            info,
            name=name,
            data_dir=aside,
            file_format=file_format,
            masks=masks is not None,
            input_info=listing.input_info,
        )
        with _silent():
            try:
                builder.download_and_prepare()
            except RuntimeError as error:
                raise with_number(error) from error
        version_folder = aside / name / VERSION
        work.read_back(name, aside).write(version_folder)
        write_json(version_folder / REPORT, {"folder": str(path), **work.report()})
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(version_folder, target)
    return target


class _Preparation:
    """The records of a listing, and what is learned of them on their way."""

    def __init__(
        self, listing: Listing, aside: Path, tile: Sequence[int] | None, allow_blank: bool, skip_unreadable: bool
    ):
        self.info, self.entries, self.ignored = listing.source.info, listing.source.entries, listing.ignored
        self.notes = listing.notes
        self.source = Files(self.entries, self.info, scratch=aside / "decoded")
        self.tile, self.allow_blank, self.skip_unreadable = tile, allow_blank, skip_unreadable
        self.unreadable, self.blank, self.started = list(listing.skipped), [], time.monotonic()
        spatial = [entry.image.layout.image_shape[:-1] for entry in self.entries]
        self.expected = sum(number(shape, tile) for shape in spatial)
        self.statistics = Statistics(self.info.channels, sum(map(math.prod, spatial)))
        self.masks = MaskReport()
        self.images, self.written = 0, {}  # name of each record -> checksum

    def records(self) -> Iterator[Record]:
        """All tiles of all images, checked."""
        rank = len(self.info.spatial)
        bar = tqdm(total=self.expected, desc="writing tiles", unit="tile", disable=None, delay=1)
        for i in range(len(self.source)):
            try:
                record = self.source[i]
            except UnreadableError as error:
                if not self.skip_unreadable:
                    raise error.skippable() from error
                self.unreadable.append(str(error))
                continue
            self.images += 1
            labels = too_large(record["mask"], f"the mask of {record['name']}") if "mask" in record else None
            for one in tiles(record, self.tile, rank):
                bar.update()
                for kind in ("image", "input"):
                    if kind in one:
                        check_pixels(one[kind], f"{kind} of {one['name']}", allow_blank=True)
                image = one["image"]
                if not self.allow_blank and has_one_value(image):
                    self.blank.append(one["name"])
                    continue
                if "mask" in one:
                    one["mask"] = renumbered(one["mask"], labels)
                    self.masks.add(one["mask"], one["name"], one.get("classes", ()))
                self.statistics.add(image)
                self.written[one["name"]] = _checksum(one)
                yield one
            del record  # before the next one is decoded
        bar.close()
        if not self.written:
            raise DataError(
                f"no image to write ({len(self.unreadable)} damaged, {len(self.blank)} blank)",
                "at least one",
                "see above",
            )

    def read_back(self, name: str, folder: Path) -> Index:
        """Compares what was written with what was read. Raises DataError for a record that is not the same."""
        source, files = TfdsSource(name, folder), {}
        file_of, shapes, empty, digests = [], [], [], []
        for i in tqdm(range(len(source)), desc="reading back", unit="record", disable=None, delay=1):
            record = source[i]
            if self.written.get(record["name"]) != _checksum(record):
                raise DataError(
                    f"{record['name']}, written and read back as other values",
                    "the same",
                    "check the disk and try again",
                )
            file_of.append(files.setdefault(record["file"], len(files)))
            shapes.append(record["image"].shape[:-1])
            digests.append(digest(record))
            if self.allow_blank and has_one_value(record["image"]):
                empty.append(i)
        if len(source) != len(self.written):
            raise DataError(f"{len(source)} records of {len(self.written)}", "all", "check the disk and try again")
        return Index(tuple(files), tuple(file_of), tuple(shapes), tuple(empty), tuple(digests))

    def report(self) -> dict[str, Any]:
        """JSON values for people and programs."""
        return {
            "images": self.images,
            "records": len(self.written),
            "tile": None if self.tile is None else list(self.tile),
            "pixels": self.statistics.moments.count,
            "info": self.info.to_json(),
            "left_out": {
                "damaged_files": self.unreadable,
                "blank": len(self.blank),
                "blank_first": self.blank[:SHOWN],
                "files_of_other_kinds": dict(self.ignored),
            },
            "notes": list(self.notes),
            "channels": self.statistics.result(self.info.channel_names),
            "masks": self.masks.result() if self.masks.masks else None,
            "seconds": round(time.monotonic() - self.started, 1),
        }


def _checksum(record: Record) -> int:
    crc = 0
    for name in ("image", "mask", "input"):
        if name in record:
            crc = crc32(record[name], crc)
    others = (record.get("label"), record["file"], record["image"].shape, *record.get("classes", ()))
    return zlib.crc32(repr(others).encode(), crc)


@contextlib.contextmanager
def _aside(target: Path, name: str) -> Iterator[Path]:
    """A folder beside the data set `name` for its only writer, which goes away again, with those that killed ones left."""
    data_dir = target.parents[1]
    with only_writer_of(data_dir / name):
        _check_new(target)  # another process may have made it since
        prefix = f".{name}.preparing-"
        for left in data_dir.glob(f"{prefix}*"):
            warnings.warn(f"removing {left}, which an interrupted preparation left", stacklevel=4)
            shutil.rmtree(left)
        aside = data_dir / f"{prefix}{os.getpid()}"
        aside.mkdir()
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _check_new(target: Path) -> None:
    if target.exists():
        raise DataError(f"{target}, which exists", "a new data set", "remove it or choose another name")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what TFDS prints, and its progress bars, which know no total."""
    before = tqdm_utils._active
    tqdm_utils.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tqdm_utils.display_progress_bar(before)
