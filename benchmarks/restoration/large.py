"""A whole large image by the command itself: a wall of real fields, blurred, recorded, and restored into OME-Zarr."""

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from benchmarks.restoration import store
from benchmarks.restoration.baselines import METHODS
from benchmarks.restoration.problems import SIGMA, Problem, Truth, blur, problem
from benchmarks.tasks import fields
from jaxdiff.durable import read_json
from jaxdiff.metrics import data_range, psnr

PHOTONS = 100


@dataclass(frozen=True, kw_only=True)
class Large:
    """Run `sample.py deconvolve` on one large image, as a process of its own."""

    data: Path
    """The BBBC039 folder."""
    size: int = 4096
    """Side of the image."""
    samples: int = 2
    """Samples of it."""
    calls: int = 20
    """For each."""
    keep: Path | None = None
    """Folder for the recording and what became of it, to be looked at."""


def wall(images: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Images (Y, X) side by side, again from the first where they are too few, cut to (size, size)."""
    down, across = (math.ceil(size / n) for n in images[0].shape)
    chosen = [images[i % len(images)] for i in range(down * across)]
    return np.block([chosen[row * across : (row + 1) * across] for row in range(down)])[:size, :size]


def measure(options: Large) -> None:
    """Writes seconds, memory and distances from the truth."""
    nuclei = problem("nuclei", options.data, "dev", 1)
    images = [field.image.astype(np.float64) for field in fields.load(options.data, "dev", None)]
    around = wall(images, options.size + 32)
    truth = Truth("wall", "wall", fields.middle(around, options.size), around)
    with tempfile.TemporaryDirectory() as scratch:
        entry = _restored(options, nuclei, truth, Path(scratch) if options.keep is None else options.keep)
    store.put(["large", f"{options.size} x {options.size}"], entry)


def _restored(options: Large, nuclei: Problem, truth: Truth, folder: Path) -> dict[str, Any]:
    camera, recording = nuclei.camera(PHOTONS), nuclei.recording(truth, PHOTONS, options.size)
    (folder / "in").mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / "in" / "wall.tif", recording[..., 0])
    arguments = {
        "--input": folder / "in",
        "--out": folder / "out",
        "--psf-sigma": SIGMA,
        "--gain": camera.gain,
        "--offset": camera.offset,
        "--read-noise": camera.read_noise,
        "--samples": options.samples,
        "--calls": options.calls,
        "--format": "ome-zarr",
    }
    command = [sys.executable, "sample.py", "deconvolve", *(str(part) for pair in arguments.items() for part in pair)]
    began = time.perf_counter()
    # GNU time would be another program to install: the child says its own largest resident size.
    code = (
        "import resource, runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    ran = subprocess.run([command[0], "-c", code, *command[1:]], stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - began
    setting = tuple(
        store.get(["chosen", "nuclei", "photons", str(PHOTONS)], "choose first")["richardson_lucy_tv"]["chosen"][
            "setting"
        ]
    )
    classical = METHODS["richardson_lucy_tv"](recording, camera, blur(1.0), setting)
    peak = data_range([truth.image])
    restored = np.moveaxis(np.asarray(zarr.open_group(folder / "out" / "wall.ome.zarr", mode="r")["0"]), 0, -1)
    (record,) = read_json(folder / "out" / "summary.json")["files"]
    return {
        "photons": PHOTONS,
        "samples": options.samples,
        "calls": options.calls,
        "seconds": seconds,
        "peak_resident_gb": int(ran.stdout.split()[-1]) / 2**20,
        "misfit": record["numbers"]["misfit"],
        "psnr": {
            name: psnr(truth.image, image[..., 0].astype(np.float64), peak)
            for name, image in (("recording", recording), ("richardson_lucy_tv", classical), ("diffusion", restored))
        },
    }
