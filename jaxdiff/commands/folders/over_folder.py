"""The loop of `sample.py TASK --input FOLDER --out FOLDER [--resume]`: images in, results out, one image at a time.

`jaxdiff.commands.folders.results_folder` says what is in the folder, and how a killed run is gone on with.
"""

import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxdiff.commands.folders.as_read import AsRead, Stamp, stamp
from jaxdiff.commands.folders.results_folder import ResultsFolder
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.read import check_image, info_of, inspect, read, refusal
from jaxdiff.data.files.readers import BUILT_IN, Readers
from jaxdiff.data.info import DataInfo, check_kind
from jaxdiff.data.names import key, printable
from jaxdiff.data.sources.find import find_images, stem
from jaxdiff.durable import is_full
from jaxdiff.lock import only_writer
from jaxdiff.plain import to_plain
from jaxdiff.tasks.scale import BLANK
from jaxdiff.terminal import one_line

ImageWork = Callable[[np.ndarray, DataInfo, str], Mapping[str, str | float]]
"""(image (*spatial, C) in data units, what is known of it, its name) -> numbers for the summary.

It writes the image's results as NAME + each suffix, with the writers of `jaxdiff.data`, whole or not at all.
"""


@dataclass(frozen=True)
class Item:
    """One image of a file, or why the file has none."""

    name: str
    file: Path
    image: ImageFile | None = None
    index: int = 0
    problem: Exception | None = None
    stamp: Stamp = ()
    """Of the file when it was looked at."""

    def readable(self) -> ImageFile:
        """The image. Raises what is wrong with the file where there is none."""
        if self.image is None:
            raise self.problem or DataError(f"{self.file} without images", "at least one", "leave it out")
        return self.image


Look = Callable[[Path], list[Item]]
"""What `items_of` is, with its options."""


def over_folder(
    inputs: Path,
    out: Path,
    work: ImageWork,
    *,
    suffixes: Sequence[str],
    resume: bool,
    expected: DataInfo,
    axes: str | None = None,
    readers: Readers = BUILT_IN,
    describe: Mapping[str, Any],
    numbers: Mapping[str, Any] | None = None,
    complete: Callable[[list[dict[str, Any]]], None] = lambda records: None,
) -> int:
    """Calls `work` for every image of a folder (or one file); returns the exit status: 0, or 1 if any image failed.

    suffixes: of the files that `work` writes for each image. expected: what the model's inputs are (see
        `jaxdiff.data.info.check_kind`). axes: letters for files whose metadata do not say. readers: of files of other
        formats, too. describe: the options that the results depend on, plain values. numbers: kinds (`jaxdiff.schema`)
        of those of `work` that `complete` needs.
        complete: called with the records of all images, in their order, in the end.
    resume: go on in `out`. An image is made again unless its record, all its results and the same input file are there.

    Images are named after their files; those of a file of several (T, P, series) NAME_0000, NAME_0001, …. What goes wrong
    with one image is said, and the rest is done; then the summary says what failed and why. Warnings are said once and
    kept in the summary.
    Raises DataError before any work where there are no images, results of two would have one name, `out` is not empty
    without `resume`, or was begun with other options; LockedError where another process writes to it; OSError where it
    cannot be written to or the disk is full; KeyboardInterrupt, which says how far it came.
    """
    with only_writer(out):
        items, ignored = listed(Path(inputs), axes, readers)
        folder = ResultsFolder(Path(out), tuple(suffixes), to_plain(describe), numbers or {})
        _check_names(items, folder)
        folder.claim(resume)
        if ignored:
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(ignored.items()))
            print(one_line(f"no images, left alone: {kinds}"))
        look = partial(items_of, axes=axes, readers=readers)
        if gone := folder.others([item.name for item in items]):
            print(one_line(f"results without an image in {inputs}, left alone: {', '.join(gone)}"))
        began, before = time.perf_counter(), {}
        for item in items:
            if resume and item.image is not None and (record := folder.finished(item.name, item.file)):
                before[item.name] = record
        records = _records(items, before, out, lambda item: _made(item, folder, work, expected, look))
        status = _summarised(folder, records, len(before), gone, time.perf_counter() - began)
        complete(records)
    return status


def _records(
    items: list[Item],
    before: Mapping[str, dict[str, Any]],
    out: Path,
    make: Callable[[Item], dict[str, Any]],
) -> list[dict[str, Any]]:
    """The records of all images: those of `before`, by name, and of the others what `make` gives."""
    records, printed = [], set()
    with tqdm(total=len(items), initial=len(before), unit="image", dynamic_ncols=True) as bar:
        for item in items:
            if item.name in before:
                records.append(before[item.name])
                continue
            bar.set_description(one_line(item.name), refresh=False)
            try:
                records.append(make(item))
            except KeyboardInterrupt as stop:
                done = sum(record["status"] == "done" for record in records)
                stop.args = (f"{done} of {len(items)} images are done in {out}; --resume goes on",)
                raise
            for text in (*records[-1]["warnings"], records[-1].get("reason")):
                if text and text not in printed:
                    tqdm.write(one_line(f"{item.name}: {text}"), file=sys.stderr)
                    printed.add(text)
            bar.update()
    return records


def _summarised(
    folder: ResultsFolder, records: list[dict[str, Any]], before: int, gone: list[str], seconds: float
) -> int:
    """Writes and prints what became of all images, `before` of which were done by an earlier call; the exit status.

    gone: names of results that an earlier call made of images that are no longer there.
    """
    failed = [record for record in records if record["status"] == "failed"]
    totals = {"images": len(records), "done": len(records) - len(failed), "failed": len(failed), "before": before}
    if blank := sum("blank" in record for record in records):
        totals["blank"] = blank
    without_input = {"without_input": gone} if gone else {}
    folder.summarise(complete=True, **totals, **without_input, seconds=round(seconds, 3), files=records)
    earlier = f", {before} of them before" if before else ""
    earlier += f", {blank} of them blank" if blank else ""
    done = f"{totals['done']} of {len(records)} images done{earlier}"
    print(f"{done}, in {folder.out} ({seconds:.1f} s); {folder.summary}")
    for record in failed:
        print(one_line(f"failed: {record['name']}: {record['reason']}"))
    return 1 if failed else 0


def listed(inputs: Path, axes: str | None = None, readers: Readers = BUILT_IN) -> tuple[list[Item], Counter[str]]:
    """The images of a folder or file, by name, from the headers; and the other files by suffix.

    A file that cannot be read is an item with its problem.
    """
    files, ignored = find_images(inputs, readers=readers)
    items: list[Item] = []
    for file in files:
        items += items_of(file, axes, readers)
    return items, ignored


def items_of(file: Path, axes: str | None = None, readers: Readers = BUILT_IN) -> list[Item]:
    """The images of one file, or its problem."""
    name = stem(file, readers)
    try:
        if readers.of(file) is None:
            raise refusal(file, readers)
        at = stamp(file)
        images = [(image, index) for image in inspect(file, axes, readers) for index in range(image.layout.number)]
    except (DataError, OSError) as error:
        return [Item(name, file, problem=error)]
    several = len(images) > 1
    return [
        Item(f"{name}_{number:04}" if several else name, file, image, index, stamp=at)
        for number, (image, index) in enumerate(images)
    ]


def _check_names(items: list[Item], folder: ResultsFolder) -> None:
    """Raises DataError where two images would have results or records of one name."""
    first: dict[str, Item] = {}
    for item in items:
        for path in {*folder.results(item.name), folder.record(item.name)}:
            other = first.setdefault(key(str(path)).lower(), item)  # some disks know no capitals
            if other is not item:
                raise DataError(
                    f"{other.file.name} and {item.file.name}, which would both have {path.name} as a result",
                    "results of different names",
                    "rename one of them",
                )


def _made(item: Item, folder: ResultsFolder, work: ImageWork, expected: DataInfo, look: Look) -> dict[str, Any]:
    """Makes the results of one image and then its record; of one that failed nothing is left, its record not kept."""
    began = time.perf_counter()
    record: dict[str, Any] = {"name": item.name, "file": printable(item.file.name), "status": "failed", "warnings": []}
    folder.clear(item.name)
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            source = AsRead(item.file)
            image = _now(item, source, look).readable()
            check_image(image)
            info = info_of(image)
            record["warnings"] += list(image.notes)
            record["warnings"] += check_kind(info, expected, str(item.file))
            pixels = read(image, item.index)
            source.check()
            numbers = to_plain(dict(work(pixels, info, item.name)))
        record["warnings"] += _texts(caught)
        if any(text.startswith(BLANK) for text in record["warnings"]):
            record["blank"] = True
        # A number that is none, as of an empty image, is text: JSON has none of those.
        record["numbers"] = {
            k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in numbers.items()
        }
        record |= {"status": "done", "seconds": round(time.perf_counter() - began, 3)}
        return folder.finish(item.name, source, record)
    except Exception as error:
        folder.clear(item.name)
        if is_full(error):
            raise OSError(
                f"got a full disk at {item.name} ({error}); to fix: free some space, then --resume"
            ) from error
        text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        record["warnings"] += [text for text in _texts(caught) if text not in record["warnings"]]
        record |= {"status": "failed", "reason": text, "seconds": round(time.perf_counter() - began, 3)}
        return record
    except BaseException:  # told to stop
        folder.clear(item.name)
        raise


def _texts(caught: list[warnings.WarningMessage]) -> list[str]:
    """Of warnings, each once."""
    return list(dict.fromkeys(str(warning.message) for warning in caught))


def _now(item: Item, source: AsRead, look: Look) -> Item:
    """The image as its file says now, where that changed since the folder was listed."""
    if source.stamp == item.stamp or not item.stamp:
        return item
    for other in look(item.file):
        if other.name == item.name:
            return other
    raise DataError(f"{item.file}, which changed: {item.name} is no longer in it", "the same images", "--resume")
