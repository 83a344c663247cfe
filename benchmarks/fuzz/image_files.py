"""Image files for the fuzzer, a small whole one of each kind, and what its reader makes of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from jaxdiff.data.files.read import inspect, read, read_image
from jaxdiff.physics.psf import gaussian_psf, measured_psf


@dataclass(frozen=True)
class Format:
    """How a format is made, damaged and read."""

    make: Callable[[Path], None]
    """Fills an empty folder with what is whole."""
    read: Callable[[Path], Any]
    """What is in the folder: arrays and plain values. Raises for what cannot be."""
    damage: Sequence[str]
    """Patterns of the files that are damaged, one at a time."""
    checksum: str | None = None
    """What covers the bytes of these files, so that damage cannot give other values."""
    quick: bool = True
    """Whether it is a part of the test suite's sample."""


def images(folder: Path) -> list[Any]:
    """All images of a file, and what is known of them."""
    (path,) = (path for path in folder.iterdir() if path.suffix in (".tif", ".png"))
    contents: list[Any] = []
    for series in inspect(path):
        contents += [series.dtype, series.channel_names, dict(series.pixel_size), series.unit, series.layout.axes]
        contents += [read(series, i) for i in range(series.layout.number)]
    return contents


def picture(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def tiff(shape: tuple[int, ...], axes: str, name: str = "a.tif", **options: Any) -> Format:
    def make(folder: Path) -> None:
        tifffile.imwrite(folder / name, picture(shape), metadata={"axes": axes}, **options)

    return Format(make, images, [f"*{name}"])


def pyramid(folder: Path) -> None:
    with tifffile.TiffWriter(folder / "a.ome.tif", ome=True) as file:
        file.write(picture((64, 64)), subifds=1, tile=(16, 16), metadata={"axes": "YX"})
        file.write(picture((32, 32)), subfiletype=1, tile=(16, 16))


def png(mode: str, shape: tuple[int, ...], dtype: str) -> Format:
    from PIL import Image

    def make(folder: Path) -> None:
        Image.fromarray(picture(shape, dtype), mode).save(folder / "a.png")

    return Format(make, images, ["*.png"], "CRC-32 of every chunk")


def psf(folder: Path) -> None:
    values = gaussian_psf((1.0, 1.0)).astype(np.float32)
    tifffile.imwrite(folder / "a.tif", values, metadata={"axes": "YX"})


def measured(folder: Path) -> list[Any]:
    image, info = read_image(folder / "a.tif")
    return [measured_psf(image[..., 0]), info]


YX = (24, 31)
IMAGES: dict[str, Format] = {
    "TIFF": tiff(YX, "YX"),
    "TIFF, zlib": tiff(YX, "YX", compression="zlib"),
    "TIFF, LZW": tiff(YX, "YX", compression="lzw"),
    "TIFF, zlib, predictor": tiff(YX, "YX", compression="zlib", predictor=True),
    "TIFF, tiles": tiff((40, 40), "YX", tile=(16, 16)),
    "TIFF, RGB": tiff((24, 31, 3), "YXS", photometric="rgb"),
    "BigTIFF": tiff(YX, "YX", bigtiff=True),
    "ImageJ stack": tiff((3, 24, 31), "ZYX", imagej=True),
    "OME-TIFF stack": tiff((3, 24, 31), "ZYX", "a.ome.tif", ome=True),
    "OME-TIFF, channels and time": tiff((2, 2, 24, 31), "TCYX", "a.ome.tif", ome=True, compression="zlib"),
    "OME-TIFF pyramid": Format(pyramid, images, ["*.tif"]),
    "PNG, 8 bits": png("L", (24, 31), "uint8"),
    "PNG, 16 bits": png("I;16", (24, 31), "uint16"),
    "PNG, RGB": png("RGB", (24, 31, 3), "uint8"),
    "PSF (TIFF)": Format(psf, measured, ["*.tif"]),
}
