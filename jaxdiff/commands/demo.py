"""The demonstration: what the shipped models do, as pictures, in two minutes on two CPU cores."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
import tyro
from PIL import Image

from jaxdiff.commands.generate_labelled import GenerateLabelled, labelled_set
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.write import write_image
from jaxdiff.data.pairs import Denoising
from jaxdiff.data.shown.overlay import overlay
from jaxdiff.data.shown.picture import sheet
from jaxdiff.loading import load
from jaxdiff.lock import numbered
from jaxdiff.shipped import FOLDER, shipped
from jaxdiff.tasks.denoise import denoise
from jaxdiff.tasks.segment import segment

EXAMPLE = FOLDER / "example.ome.tif"
OTHER = FOLDER / "example_large_nuclei.tif"
PHOTONS = 30.0


@dataclass(frozen=True)
class Demo:
    """64 new labelled images of nuclei, segmentations of real ones of two microscopes, and what denoising makes of little
    light."""


def main(args: list[str], prog: str = "jaxdiff demo") -> int:
    """The command, which has no options; exit status."""
    tyro.cli(Demo, prog=prog, args=args)
    out, began = numbered(Path("samples") / "demo"), time.perf_counter()
    labelled_set(GenerateLabelled(out=out / "generated", num=64))
    image, info = read_image(EXAMPLE)

    segmented = []
    for name, own in {"segmentation.png": image, "other_microscope.png": read_image(OTHER)[0]}.items():
        segmented.append(segment(jax.random.key(0), load(shipped("segment")), own))
        overlay(own, segmented[-1].labels, out / name, segmented[-1].uncertainty)

    model = load(shipped("denoise"))
    pairs = model.pairing.pairs if model.pairing is not None else None
    assert isinstance(pairs, Denoising)
    noisy = pairs.record(np.random.default_rng(0), image, PHOTONS)
    result = denoise(jax.random.key(1), model, noisy, samples=8)
    parts = [noisy, result.samples[0], result.image, image.astype(np.float32)]
    low, high = np.percentile(image, (0.1, 99.9))
    sheet(np.stack(parts), out / "denoising.png", columns=4, low=low, high=high)
    sheet(result.std[None], out / "denoising_std.png")
    write_image(out / "denoised.ome.tif", result.image, replace(info, dtype="float32"))

    top = (out / "generated" / "masks.png", out / "segmentation.png", out / "other_microscope.png")
    _together(top, out / "denoising.png", path=out / "demo.png")
    print(
        f"Done in {time.perf_counter() - began:.0f} s; look at {out / 'demo.png'}, which shows\n"
        f"  {out / 'generated' / 'masks.png'}: new images of nuclei, with the outlines that they were made for\n"
        + "".join(
            f"  {path}: {found.labels.max()} nuclei of a real image, of {found.diameter:.0f} pixels as estimated, and where "
            "samples disagree\n"
            for path, found in zip(top[1:], segmented)
        )
        + f"  {out / 'denoising.png'}: {PHOTONS:.0f} photons at the peak, one sample, the mean of 8, and the truth"
    )
    return 0


def _together(above: Sequence[Path], below: Path, path: Path) -> None:
    """Pictures as one: some side by side, of one height, and one as wide as all of them below."""
    pictures = [Image.open(file).convert("RGB") for file in (*above, below)]
    height = max(picture.height for picture in pictures[:-1])
    top = [p.resize((round(p.width * height / p.height), height), Image.Resampling.NEAREST) for p in pictures[:-1]]
    width = sum(picture.width for picture in top)
    bottom = pictures[-1].resize(
        (width, round(pictures[-1].height * width / pictures[-1].width)), Image.Resampling.BICUBIC
    )
    canvas, left = Image.new("RGB", (width, height + bottom.height)), 0
    for picture in top:
        canvas.paste(picture, (left, 0))
        left += picture.width
    canvas.paste(bottom, (0, height))
    canvas.save(path)
