"""The loop over a folder: every image its results, faults one by one, and a killed run that is gone on with."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxdiff.data.errors import DataError
from jaxdiff.data.files import read_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.objects import write_csv
from jaxdiff.data.write import write_image
from jaxdiff.tasks.over_folder import over_folder

MODEL = DataInfo("YXC", ("DAPI",), pixel_size={"Y": 0.5, "X": 0.5}, unit="µm", dtype="uint16")
SUFFIXES = (".ome.tif", ".csv")


def tiff(path: Path, array, axes="YX", size=0.5, **metadata):
    """OME-TIFF as other programs write it."""
    sizes = {f"PhysicalSize{a}": size for a in "YX"} | {f"PhysicalSize{a}Unit": "µm" for a in "YX"}
    tifffile.imwrite(path, array, ome=True, metadata={"axes": axes, **(sizes if size else {}), **metadata})


@pytest.fixture
def inputs(tmp_path) -> Path:
    """Three good images, 'a' to 'c'."""
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        tiff(folder / f"{name}.ome.tif", rng.integers(1, 4000, (9, 12)).astype(np.uint16))
    return folder


class Invert:
    """A task: one image and one table out, one number."""

    def __init__(self, out: Path):
        self.out, self.seen = out, []

    def __call__(self, image, info, name):
        self.seen.append(name)
        write_image(self.out / f"{name}.ome.tif", 4095 - image, info)
        write_csv(self.out / f"{name}.csv", {"mean": np.array([image.mean()])})
        return {"mean": image.mean(dtype=np.float32), "note": "inverted"}


def run(inputs, out, work=None, **options):
    options = {"suffixes": SUFFIXES, "resume": False, "expected": MODEL, "describe": {"calls": 4}} | options
    return over_folder(inputs, out, work or Invert(out), **options)


def summary(out):
    return json.loads((out / "summary.json").read_text())


def test_every_image_has_its_results_with_axes_and_pixel_size(inputs, tmp_path, capsys):
    out, (inputs / "notes.txt").touch() or "" = tmp_path / "out", ""
