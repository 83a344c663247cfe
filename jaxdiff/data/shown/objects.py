"""The objects of a mask as a table, one row each, and the table as CSV."""

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.labels import checked_labels
from jaxdiff.durable import write_bytes

Table = dict[str, np.ndarray]
"""Columns of equal length, in the order of the CSV; `pandas.DataFrame(table)` reads it."""


def objects(
    mask: ArrayLike,
    image: ArrayLike | None = None,
    pixel_size: Mapping[str, float | None] | None = None,
    unit: str | None = None,
    classes: Mapping[int, Any] | None = None,
    *,
    channel_names: Sequence[str] | None = None,
    uncertainty: ArrayLike | None = None,
    class_probability: Mapping[int, float] | None = None,
) -> Table:
    """One row for each label of `mask` (*spatial), rising; background 0 has none. Lengths are in pixels where no unit is.

    label; class and class_probability, from `classes[label]` and `class_probability[label]`, if given; centroid_z (volumes),
    centroid_y, centroid_x; area_pixels (volumes: volume_voxels), and where `pixel_size` knows every axis area_um2 or
    volume_um3, in `unit`; first_z, first_y, first_x and last_z, …: the bounding box, both ends inside; mean_NAME and max_NAME
    for each channel of `image` (*spatial, C); mean_uncertainty, of `uncertainty` (*spatial); touches_border: a pixel lies on
    the edge of the image, so that the object may go on outside.

    channel_names: default 0, 1, …; of channels of one name each gets its number, too. Centroids are means of pixel
    indices, the first pixel being 0.

    Raises DataError for masks that are not integer labels, for arrays of other spatial shape, and for a label without
    class.
    """
    instances = checked_labels(mask, "a mask")
    if instances.ndim not in (2, 3):
        raise DataError(f"a mask of shape {instances.shape}", "(Y, X) or (Z, Y, X)", "give the mask of one image")
    axes = "zyx"[-instances.ndim :]
    places = np.nonzero(instances)
    labels, group, counts = np.unique(instances[places], return_inverse=True, return_counts=True)
    # With the pixels of an object side by side, sums and ends of all objects are one call each.
    order, first = np.argsort(group, kind="stable"), np.cumsum(counts) - counts

    def over(function: np.ufunc, values: np.ndarray) -> np.ndarray:
        return function.reduceat(values[order], first) if len(first) else np.zeros(0, values.dtype)

    def mean(values: np.ndarray) -> np.ndarray:
        return over(np.add, values.astype(np.float64)) / counts

    table: Table = {"label": labels}
    if classes is not None:
        table["class"] = np.array([_class(classes, int(label)) for label in labels], dtype=object)
    if class_probability is not None:
        table["class_probability"] = np.array([float(_class(class_probability, int(n))) for n in labels], np.float64)
    for axis, place in zip(axes, places):
        table[f"centroid_{axis}"] = mean(place)
    flat = instances.ndim == 2
    table["area_pixels" if flat else "volume_voxels"] = counts
    sizes = [(pixel_size or {}).get(axis.upper()) for axis in axes]
    if None not in sizes:
        length = (unit or "µm").replace("µ", "u")
        table[f"area_{length}2" if flat else f"volume_{length}3"] = counts * float(np.prod(np.array(sizes, np.float64)))
    ends = [(over(np.minimum, place), over(np.maximum, place)) for place in places]
    table |= {f"first_{axis}": low for axis, (low, _) in zip(axes, ends)}
    table |= {f"last_{axis}": high for axis, (_, high) in zip(axes, ends)}
    if image is not None:
        values = _matching(image, instances, "an image", channels=True)
        for name, channel in zip(_names(channel_names, values.shape[-1]), np.moveaxis(values, -1, 0)):
            table[f"mean_{name}"], table[f"max_{name}"] = mean(channel[places]), over(np.maximum, channel[places])
    if uncertainty is not None:
        table["mean_uncertainty"] = mean(_matching(uncertainty, instances, "an uncertainty")[places])
    at_edge = [(low == 0) | (high == size - 1) for (low, high), size in zip(ends, instances.shape)]
    table["touches_border"] = np.any(at_edge, axis=0)
    return table


def write_csv(path: str | Path, table: Table, overwrite: bool = False) -> None:
    """Write a table as CSV (UTF-8), numbers with all their digits; it appears whole or not at all.

    Raises DataError for a file that exists unless `overwrite`.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise DataError(f"{path}, which exists", "a new file", "choose another folder, or overwrite=True")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))
    write_bytes(path, text.getvalue().encode(), path.with_name(f".{path.name}.{os.getpid()}.partial"))


def _class(classes: Mapping[int, Any], label: int) -> Any:
    if label not in classes:
        raise DataError(f"object {label} without a class", "a class for every label", f"classes={{{label}: …}}")
    return classes[label]


def _names(names: Sequence[str] | None, channels: int) -> list[str]:
    """One name a channel; those that are not unique, or are another column's, get the channel's number."""
    if names is None:
        return [str(i) for i in range(channels)]
    if len(names) != channels:
        raise DataError(f"channel_names {tuple(names)}", f"{channels} names", "name every channel")
    number = Counter([*names, "uncertainty"])
    return [name if number[name] == 1 else f"{name}_{i}" for i, name in enumerate(names)]


def _matching(array: ArrayLike, mask: np.ndarray, what: str, channels: bool = False) -> np.ndarray:
    values = np.asarray(array)
    if values.shape[: mask.ndim] != mask.shape or values.ndim != mask.ndim + channels:
        expected = f"{mask.shape} and a channel axis" if channels else f"{mask.shape}"
        raise DataError(f"{what} of shape {values.shape}", f"{expected}, as the mask", "give what belongs to this mask")
    return values
