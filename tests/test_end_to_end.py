"""A folder in, 20 training steps, OME-TIFFs out: axes, channels, units and dtype as they came."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import tifffile

import jaxdiff as jd
from jaxdiff.commands.generate import Generate, generate
from jaxdiff.data.config import Folder
from jaxdiff.data.files.read import read_image
from jaxdiff.nn import UNet
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.loop import train


def blobs(shape, channels, seed):
    """Smooth bright spots on a dark background, uint16, channels first."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    image = rng.normal(200.0, 5.0, (channels, *shape))
    for channel in range(channels):
        for _ in range(5):
            square = sum((axis - rng.uniform(0, n)) ** 2 for axis, n in zip(axes, shape))
            image[channel] += 1500.0 * np.exp(-square / 18.0)
    return np.clip(image.round(), 0, 65535).astype(np.uint16)


def write_folder(folder: Path, kind: str) -> Path:
    folder.mkdir()
    for i in range(6):
        if kind == "CYX":
            pixels, axes = blobs((40, 52), 2, i), "CYX"
            metadata = {"Channel": {"Name": ["DAPI", "GFP"]}}
        else:
            pixels, axes = blobs((6, 28, 36), 1, i)[0], "ZYX"
            metadata = {"PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm"}
        sizes = {"PhysicalSizeX": 0.325, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.325, "PhysicalSizeYUnit": "µm"}
        tifffile.imwrite(folder / f"w{i}.ome.tif", pixels, ome=True, metadata={"axes": axes, **sizes, **metadata})
    return folder


@pytest.mark.parametrize(("kind", "patch"), [("CYX", (16, 16)), ("ZYX", (4, 16, 16))])
def test_folder_to_training_to_ome_tiff(tmp_path, kind, patch):
    folder = write_folder(tmp_path / "images", kind)
    config = TrainConfig(
        name="run",
        data=Folder(path=folder, validation=0.2),
        patch=patch,
        network=UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), patch_size=2),
        batch_size=4,
        steps=20,
        previews=0,
        validation_images=4,
        out=str(tmp_path / "runs"),
    )
    run = train(config)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses
    assert np.all(np.isfinite(losses))

    out = tmp_path / "new"
    status = generate(Generate(run=run, num=3, calls=4, batch=3, out=out))
    assert status == 0
    files = sorted(out.glob("*.ome.tif"))
    assert len(files) == 3
    assert (out / "sheet.png").exists()
    first, info = read_image(files[0])
    original, expected = read_image(folder / "w0.ome.tif")
    assert first.dtype == original.dtype == np.uint16
    assert first.shape == (*patch, original.shape[-1])
    assert info == expected.replace(synthetic=True)
    assert info.pixel_size["X"] == pytest.approx(0.325)

    # the same image from Python, in data units
    model = jd.load(run)
    again = model.sample(jax.random.key(0), num=3, calls=4, batch=3)
    low, high = np.iinfo(np.uint16).min, np.iinfo(np.uint16).max
    np.testing.assert_array_equal(np.clip(np.rint(np.asarray(again.images[0])), low, high).astype(np.uint16), first)

    record = json.loads((out / "generate.json").read_text())
    assert record["calls_per_image"] == 4
    assert len(record["grid"]) == 4
