"""`jaxdiff prepare FOLDER --out DIR --name NAME`: a folder of images as records that training reads fast."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from jaxdiff.commands.reader_options import ReaderOptions
from jaxdiff.data.info import DataInfo
from jaxdiff.data.shown.mask_report import mask_lines as of_masks
from jaxdiff.data.sources.class_fields import ClassFields
from jaxdiff.durable import read_json
from jaxdiff.terminal import one_line


@dataclass(frozen=True, kw_only=True)
class Options(ClassFields, ReaderOptions):
    """Images of a folder as array_record files, for training on large data and on several hosts."""

    folder: tyro.conf.Positional[Path]
    """Folder of TIFF, OME-TIFF or PNG images, or one file."""
    out: Path
    """Folder of data sets; this one becomes OUT/NAME."""
    name: str
    """Name of the data set."""
    tile: tuple[int, ...] | None = None
    """Pixels along Y X (or Z Y X) into which larger images are cut; default whole images."""
    masks: Path | None = None
    """Folder of instance masks of the same names."""
    inputs: Path | None = None
    """Folder of the same fields recorded otherwise, of the same names."""
    classes: bool = False
    """Each sub-folder holds the images of one class."""
    axes: str | None = None
    """Axes of the files where their metadata do not say, such as ZYX, CYX, TCYX or YXS."""
    input_axes: str | None = None
    """Axes of the inputs, where they are others."""
    pixel_size: tuple[float, ...] | None = None
    """Micrometres along Y X, or Z Y X, in place of what the files say."""
    channel_names: tuple[str, ...] | None = None
    """Names of the channels, in place of what the files say."""
    skip_unreadable: bool = False
    """Leave out damaged files (the report names them) where otherwise nothing is made."""
    allow_blank: bool = False
    """Keep images and tiles that have one value in all pixels."""
    file_format: Literal["array_record", "parquet"] = "array_record"
    """Of the records; parquet on Windows."""


def main(args: Sequence[str], prog: str) -> int:
    """The command."""
    options = tyro.cli(Options, prog=prog, args=list(args), description=Options.__doc__)
    from jaxdiff.data.prepared.prepare import REPORT, prepare

    prepared = prepare(
        options.folder,
        options.out,
        name=options.name,
        file_format=options.file_format,
        masks=options.masks,
        axes=options.axes,
        classes=options.classes,
        skip_unreadable=options.skip_unreadable,
        tile=options.tile,
        allow_blank=options.allow_blank,
        pixel_size=options.pixel_size,
        channel_names=options.channel_names,
        inputs=options.inputs,
        input_axes=options.input_axes,
        readers=options.all_readers,
        mask_classes=options.class_truth(options.masks),
    )
    print(text(read_json(prepared / REPORT)))
    print(f"\nmade: {prepared}; report: {prepared / REPORT}")
    name, folder = (json.dumps(str(text), ensure_ascii=False) for text in (options.name, options.out))
    data_options = f"--data.name {shlex.quote(options.name)} --data.data-dir {shlex.quote(str(options.out))}"
    print(f"next: data=Tfds({name}, {folder}) in a config, then train.py CONFIG --check")
    print(f"or, with a config that has a Tfds: train.py CONFIG {data_options} --check")
    return 0


def text(report: dict[str, Any]) -> str:
    """The report for people."""
    info, left = DataInfo.from_json(report["info"]), report["left_out"]
    tile = "whole" if report["tile"] is None else f"tiles of {' x '.join(map(str, report['tile']))}"
    others = ", ".join(f"{n} {suffix}" for suffix, n in sorted(left["files_of_other_kinds"].items()))
    lines = [
        f"read          {report['images']} images, {report['pixels'] / 1e6:.1f} million pixels, in {report['seconds']:g} s",
        f"written       {report['records']} records, {tile}, read back and found the same",
        f"axes          {info.axes}, {info.dtype}, pixel size {info.pixels}",
        f"left out      {len(left['damaged_files'])} files that cannot be read, {left['blank']} blank images or tiles",
        *(f"              {reason}" for reason in left["damaged_files"]),
        *(f"              blank: {name}" for name in left["blank_first"]),
        *([f"not images    {others}"] if others else []),
        *(f"note          {note}" for note in report["notes"]),
        *([] if report.get("masks") is None else of_masks(report["masks"])),
        "",
        f"{'channel':<14}"
        + "".join(f"{head:>11}" for head in ("lowest", "1%", "50%", "99%", "highest", "mean", "std")),
    ]
    for channel in report["channels"]:
        levels = [channel["lowest"], *(channel["percentiles"][p] for p in ("1", "50", "99")), channel["highest"]]
        row = "".join(f"{value:>11.5g}" for value in (*levels, channel["mean"], channel["std"]))
        lines.append(f"{channel['name'][:13]:<14}{row}   {channel['pixels_at_highest']} pixels at the highest")
    return "\n".join(map(one_line, lines))
