"""What `train.py CONFIG --check` shows: what is in a data set, before anything is trained on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdiff.data.dataset import Dataset
from jaxdiff.data.files.write import OME_DTYPES
from jaxdiff.data.loader import Loader
from jaxdiff.data.shown.mask_report import MaskReport, mask_lines
from jaxdiff.data.shown.picture import sheet
from jaxdiff.data.sources.source import Source
from jaxdiff.data.statistics import PERCENTILES, SAMPLES
from jaxdiff.terminal import one_line

ROWS = 40  # images listed one by one
PILE = 10  # pixels at the common maximum from which it is called saturation


@dataclass(frozen=True)
class _Row:
    part: str
    name: str
    shape: tuple[int, ...]
    quantiles: np.ndarray  # (5,) over all channels: minimum, 1 %, median, 99 %, maximum
    top: int  # pixels at the maximum of this image
    blank: bool

    def saturated(self, level: float | None) -> int:
        return self.top if self.quantiles[-1] == level and not self.blank else 0


def report(dataset: Dataset, patch: Sequence[int]) -> str:
    """A text of tables: what the files say, grey levels, saturation and blanks, masks, split, and the normaliser.

    Saturated pixels are those at the end of an integer dtype or, as cameras of 10 to 14 bits write 16-bit files, at
    the highest value of the data where at least ten pixels share it. Reads every image once.
    """
    rows: list[_Row] = []
    samples: list[np.ndarray] = []
    masks = MaskReport()
    for part, source in (("train", dataset.train), ("validation", dataset.validation)):
        for row, pixels in _rows(part, source, SAMPLES // (len(dataset.train) + len(dataset.validation)), masks):
            rows.append(row)
            if part == "train":
                samples.append(pixels)
    level = _saturation(rows, dataset.info.dtype)
    return "\n".join(
        one_line(line)
        for line in [
            *_facts(dataset, rows, patch),
            "",
            *_levels(dataset, np.concatenate(samples)),
            "",
            "saturation    " + _said(rows, level),
            "blank         " + _list([r.name for r in rows if r.blank], "images with one value in all pixels"),
            "left out      " + _list(list(dataset.skipped), "files that cannot be read"),
            *(mask_lines(masks.result()) if masks.masks else ()),
            *(f"note          {note}" for note in dataset.notes),
            "",
            *_files(rows, level),
        ]
    )


def patches_sheet(dataset: Dataset, patch: Sequence[int], path: str | Path, num: int = 16, seed: int = 0) -> Path:
    """PNG of `num` training patches as the network sees them: cut, turned, normalised; of pairs a second one, NAME_inputs.

    Black and white are the same for all: the 0.1th and 99.9th percentile of the normalised patches, by channel.
    """
    path = Path(path)
    batch = next(Loader(dataset.train, dataset.normaliser, patch, num, seed, threads=0, pairing=dataset.pairing))
    for name, file in (("input", path.with_stem(f"{path.stem}_inputs")), ("image", path)):
        if name in batch:
            low, high = np.percentile(batch[name].reshape(-1, batch[name].shape[-1]), (0.1, 99.9), axis=0)
            sheet(batch[name], file, low=low, high=high)
    return path


def _rows(part: str, source: Source, share: int, masks: MaskReport) -> Iterator[tuple[_Row, np.ndarray]]:
    for i in range(len(source)):
        record = source[i]
        image = record["image"]
        if "mask" in record:
            masks.add(record["mask"], record["name"], record.get("classes", ()))
        quantiles = np.percentile(image, (0, 1, 50, 99, 100), method="nearest")
        pixels = image.reshape(-1, image.shape[-1])
        if len(pixels) > share:
            pixels = pixels[np.random.default_rng(i).integers(len(pixels), size=max(1, share))]
        pixels = np.vstack([pixels, image.reshape(-1, image.shape[-1]).max(axis=0)])  # the highest is exact
        top = int(np.count_nonzero(image == quantiles[-1]))
        blank = bool(quantiles[0] == quantiles[-1])
        yield _Row(part, record["name"], shape=image.shape[:-1], quantiles=quantiles, top=top, blank=blank), pixels


def _saturation(rows: list[_Row], dtype: str) -> float | None:
    """The level at which pixels pile up, or None."""
    highest = float(max(row.quantiles[-1] for row in rows))
    end = np.iinfo(dtype).max if np.dtype(dtype).kind in "ui" else None
    return highest if highest == end or sum(row.saturated(highest) for row in rows) >= PILE else None


def _said(rows: list[_Row], level: float | None) -> str:
    counts = [n for row in rows if (n := row.saturated(level))]
    return f"{sum(counts)} pixels at {level:g}, in {len(counts)} images" if counts else "none seen"


def _list(names: list[str], what: str) -> str:
    shown = ": " + ", ".join(names[:3]) + (", …" if len(names) > 3 else "") if names else ""
    return f"{len(names)} {what}{shown}"


def _facts(dataset: Dataset, rows: list[_Row], patch: Sequence[int]) -> list[str]:
    info = dataset.info
    shapes = [row.shape for row in rows]
    small, large = np.min(shapes, axis=0), np.max(shapes, axis=0)
    shape = " x ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(small, large))
    kind = "colour samples" if info.colour else "channels" if info.channels > 1 else "channel"
    classes = f", classes {', '.join(info.class_names)}" if info.class_names else ""
    have = [name for name in ("mask", "label", "input") if name in dataset.train[0]]
    return [
        f"images        {len(dataset.train)} to train on, {len(dataset.validation)} held out{classes}",
        f"axes          {info.axes}, {shape} pixels, {info.channels} {kind} ({', '.join(info.channel_names)})",
        f"dtype         {info.dtype}{_unwritable(info.dtype)}",
        f"pixel size    {info.pixels}",
        f"with them     {', '.join(have) or 'neither masks, labels nor inputs'}",
        f"patch         {' x '.join(map(str, patch))}",
    ]


def _unwritable(dtype: str) -> str:
    """What is to be known of a dtype that results cannot have."""
    if dtype in OME_DTYPES:
        return ""
    exact = f"; whole numbers are exact up to 2^{np.finfo('float32').nmant + 1}" if np.dtype(dtype).kind in "ui" else ""
    return f", which OME-TIFF does not have: results need --dtype float32 (sample.py …){exact}"


def _levels(dataset: Dataset, pixels: np.ndarray) -> list[str]:
    """Percentiles of the training pixels of each channel, in data and in network units."""
    heads = "".join(f"{p:>10g}%" for p in PERCENTILES)
    lines = [f"grey levels   {'channel':<12}{heads}{'highest':>11}"]
    levels = np.vstack([np.percentile(pixels, PERCENTILES, axis=0), pixels.max(axis=0)])
    network = dataset.normaliser.forward(levels)
    for c, name in enumerate(dataset.info.channel_names):
        lines.append(f"{'':14}{name[:12]:<12}" + "".join(f"{v:>11.5g}" for v in levels[:, c]))
        lines.append(f"{'':14}{'  normalised':<12}" + "".join(f"{v:>11.2f}" for v in network[:, c]))
    return [*lines, f"normaliser    {dataset.normaliser.map_name}, fitted on the training images"]


def _files(rows: list[_Row], level: float | None) -> list[str]:
    width = min(48, max(len(row.name) for row in rows))
    heads = "".join(f"{h:>9}" for h in ("lowest", "1%", "50%", "99%", "highest")) + f"{'saturated':>11}"
    lines = [f"{'image':<{width}}  {'part':<10}  {'pixels':<14}{heads}"]
    for row in rows[:ROWS]:
        shape = "x".join(map(str, row.shape))
        levels = "".join(f"{q:>9.5g}" for q in row.quantiles)
        note = " blank" if row.blank else ""
        lines.append(
            f"{row.name[-width:]:<{width}}  {row.part:<10}  {shape:<14}{levels}{row.saturated(level):>11}{note}"
        )
    if len(rows) > ROWS:
        lines.append(f"… and {len(rows) - ROWS} more")
    return lines
