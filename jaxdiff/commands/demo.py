"""The demonstration: what the shipped models do, as pictures, in two minutes on two CPU cores."""

import time
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
PHOTONS = 30.0


@dataclass(frozen=True)
class Demo:
    """64 new labelled images of nuclei, the segmentation of a real one, and what denoising makes of it with little light."""


def main(args: list[str], prog: str = "jaxdiff demo") -> int:
    """The command, which has no options; exit status."""
    tyro.cli(Demo, prog=prog, args=args)
    out, began = numbered(Path("samples") / "demo"), time.perf_counter()
    labelled_set(GenerateLabelled(out=out / "generated", num=64))
    image, info = read_image(EXAMPLE)

    segmentation = segment(jax.random.key(0), load(shipped("segment")), image, samples=8)
    overlay(image, segmentation.labels, out / "segmentation.png", segmentation.uncertainty)

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

    _together(out / "generated" / "masks.png", out / "segmentation.png", out / "denoising.png", path=out / "demo.png")
    print(
        f"Done in {time.perf_counter() - began:.0f} s; look at {out / 'demo.png'}, which shows\n"
        f"  {out / 'generated' / 'masks.png'}: new images of nuclei, with the outlines that they were made for\n"
        f"  {out / 'segmentation.png'}: {segmentation.labels.max()} nuclei of a real image, and where 8 samples disagree\n"
        f"  {out / 'denoising.png'}: {PHOTONS:.0f} photons at the peak, one sample, the mean of 8, and the truth"
    )
    return 0


def _together(left: Path, right: Path, below: Path, path: Path) -> None:
    """Three pictures as one: two side by side, and one as wide as both below them."""
    pictures = [Image.open(file).convert("RGB") for file in (left, right, below)]
    height = max(picture.height for picture in pictures[:2])
    top = [p.resize((round(p.width * height / p.height), height), Image.Resampling.NEAREST) for p in pictures[:2]]
    width = sum(picture.width for picture in top)
    bottom = pictures[2].resize(
        (width, round(pictures[2].height * width / pictures[2].width)), Image.Resampling.BICUBIC
    )
    canvas = Image.new("RGB", (width, height + bottom.height))
    canvas.paste(top[0], (0, 0))
    canvas.paste(top[1], (top[0].width, 0))
    canvas.paste(bottom, (0, height))
    canvas.save(path)
