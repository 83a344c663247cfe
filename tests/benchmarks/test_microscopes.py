"""The rows of many microscopes: every method on images of its own sizes, chosen on dev and measured once on val."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from exact_models import exact

from benchmarks import store as results
from benchmarks.tasks import methods, microscopes, regression, report, segmentation_baselines, store
from jaxdiff.data.errors import DataError
from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.pairs import Segmentation
from jaxdiff.data.per_image import PerImage


class Cones(eqx.Module):
    """Inside where the grey level is above 1/2."""

    def __call__(self, x, lam, cond=None):
        return jnp.broadcast_to(16 * (cond["image"][..., :1] - 0.5), x.shape)


def write(folder, name, diameter, gain):
    """Soft round objects of a diameter, 8-bit."""
    grid, step = np.indices((90, 90)), 2.2 * diameter
    image, mask = np.zeros((90, 90)), np.zeros((90, 90), np.uint16)
    for number, place in enumerate(np.ndindex(*(int(90 / step),) * 2), 1):
        away = np.hypot(*(g - (p + 0.5) * step for g, p in zip(grid, place)))
        image = np.maximum(image, np.clip(1 - away / diameter, 0, 1))
        mask[away < diameter / 2] = number
    for part, values in (("images", np.rint(gain * image).astype(np.uint8)), ("masks", mask)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / part / name, values)


@pytest.fixture
def model(monkeypatch, tmp_path):
    pairs = Segmentation(per_image=PerImage(high=100.0, floor=0.0), size=ObjectSize(diameter=12.0))
    cones = exact(Cones(), pairs, window=(32, 32), units=(0.0, 1.0), input_units=(0.0, 1.0))
    monkeypatch.setattr(methods, "model_of", lambda run, task: cones)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(segmentation_baselines, "SWEEPS", (({"factor": 0.8}, {"factor": 1.0}),))
    for split in ("dev", "val"):
        for name, diameter, gain in (("a.tif", 10.0, 200), ("b.tif", 24.0, 90)):
            write(tmp_path / "nuclei" / split, name, diameter, gain)
    return cones


def test_each_method_has_a_row_and_val_is_measured_once(model, tmp_path):
    folder = tmp_path / "nuclei"
    options = microscopes.Microscopes(
        data=folder, run=tmp_path / "run", regression=tmp_path / "r", samples=1, calls=2, pieces=tmp_path / "pieces"
    )
    microscopes.measure(options)
    rows = store.read()["scores"]["microscopes"]["nuclei, dev, 2 images"]
    assert set(rows) == {"diffusion", "regression", "otsu_watershed"}
    assert rows["diffusion"]["scores"]["ap50"]["mean"] == 1
    assert rows["regression"]["scores"]["ap50"]["mean"] == 1
    val = microscopes.Microscopes(**{**vars(options), "split": "val"})
    microscopes.measure(val)
    with pytest.raises(DataError):
        microscopes.measure(val)
    text = "\n".join(report._microscopes(store.read()["scores"]["microscopes"]))
    assert "#### nuclei, val, 2 images" in text
    assert text.count("Otsu and watershed") == 2


def test_the_regression_of_a_resampled_field_has_its_pixels(model, tmp_path):
    image = np.random.default_rng(0).integers(0, 200, (40, 60)).astype(np.uint8)
    assert regression.predict(model, image, 0.5).shape == (20, 30, 1)
    with pytest.raises(DataError, match="0 images in"):
        microscopes.load(tmp_path / "nowhere", "dev")
