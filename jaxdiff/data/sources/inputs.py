"""Inputs beside images: the same fields recorded otherwise (noisier, coarser, in another modality), file by file."""

from collections.abc import Sequence

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.read import Entry, check_image, info_of
from jaxdiff.data.files.units import MICROMETRES
from jaxdiff.data.info import DataInfo


def check_input(input_file: ImageFile, image: ImageFile) -> tuple[int, ...]:
    """Pixels of `image` along each spatial axis for one of its input. Raises DataError unless these are whole numbers.

    Also raises DataError for other spatial axes, another number of images in the file, and pixels that are no
    intensities.
    """
    check_image(input_file)
    have, want = input_file.layout, image.layout
    if have.image_axes != want.image_axes or have.number != want.number:
        raise DataError(
            f"input {_shape(input_file)} for {_shape(image)}",
            "the same spatial axes, one input for each image",
            "make both from the same fields, or name the axes of the inputs with input_axes",
        )
    coarse, fine = have.image_shape[:-1], want.image_shape[:-1]
    if any(n % m for n, m in zip(fine, coarse)):
        raise DataError(
            f"input {_shape(input_file)} for {_shape(image)}",
            "as many pixels along each axis, or whole times fewer",
            "crop both to the same field, of a multiple of the input's pixels",
        )
    return tuple(n // m for n, m in zip(fine, coarse))


def factor_of_all(entries: Sequence[Entry], factors: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The factor of all entries. Raises DataError, naming two files, where they differ."""
    for entry, factor in zip(entries, factors):
        if factor != factors[0]:
            raise DataError(
                f"{entry.file} of {factor} times the pixels of its input, {entries[0].file} of {factors[0]} times",
                "one factor for all files",
                "move one kind elsewhere",
            )
    return factors[0]


def input_info(entries: Sequence[Entry], info: DataInfo, factor: tuple[int, ...], stated: bool) -> DataInfo:
    """What the inputs of images of `info` are; their pixels are `factor` times as large.

    Raises DataError, naming the files, where sizes that both files know contradict that, unless the sizes of the
    images are `stated` by the user and come before those of the files.
    """
    pairs = [(entry.image, entry.input) for entry in entries if entry.input is not None]
    if not stated:
        for image, input_file in pairs:
            _check_size(image, input_file, factor)
    result = info_of(pairs[0][1]).replace(synthetic=any(input_file.synthetic for _, input_file in pairs))
    sizes = {a: None if s is None else s * f for (a, s), f in zip(info.pixel_size.items(), factor)}
    return result if None in sizes.values() else result.replace(pixel_size=sizes, unit=info.unit)


def _check_size(image: ImageFile, input_file: ImageFile, factor: tuple[int, ...]) -> None:
    units = [MICROMETRES.get(one.unit or "") for one in (image, input_file)]
    if units[0] is None or units[1] is None:
        return
    for axis, times in zip(image.layout.image_axes, factor):
        fine, coarse = image.pixel_size.get(axis), input_file.pixel_size.get(axis)
        if fine is None or coarse is None:
            continue
        fine, coarse = fine * units[0], coarse * units[1]
        if not np.isclose(coarse, times * fine, rtol=0.01, atol=0):
            raise DataError(
                f"input {input_file.path} with pixels of {coarse:g} µm along {axis} for {image.path} with {fine:g} µm and "
                f"{times} times as many",
                f"the same field, so {times * fine:g} µm",
                "make both from the same field, or state pixel_size if the files are wrong",
            )


def _shape(image: ImageFile) -> str:
    return f"{image.path} of shape {image.layout.shape} ({image.layout.axes})"
