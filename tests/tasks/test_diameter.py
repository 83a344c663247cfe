"""Any size of objects: the diameter found by the model, and results on the pixels of the image."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_models import IMAGE, TRACES, exact

from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.commands.folders import options as folder_options
from jaxdiff.commands.length import length_of
from jaxdiff.data.files.write import write_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.object_size import ObjectSize, median_diameter
from jaxdiff.data.pairs import Segmentation
from jaxdiff.data.per_image import PerImage
from jaxdiff.tasks.diameter import estimate_diameter, structured_places
from jaxdiff.tasks.segment import segment

KEY = jax.random.key(0)
D = 12.0


class Cones(eqx.Module):
    """Knows the distance in bright cones of its own size: inside where the grey level is above 1/2, at most `reach` deep."""

    def __call__(self, x, lam, cond=None):
        u = cond["image"][..., :1]
        return jnp.broadcast_to(16 * (u - 0.5), x.shape)


def field(diameter, shape=(150, 170), gain=1.0, offset=0.0):
    """Soft round objects of one diameter, and their mask."""
    grid, step = np.indices(shape), 2.2 * diameter
    image, mask = np.zeros(shape), np.zeros(shape, np.int32)
    for number, place in enumerate(np.ndindex(*(int(n / step) for n in shape)), 1):
        y, x = ((p + 0.5) * step for p in place)
        away = np.hypot(grid[0] - y, grid[1] - x)
        image = np.maximum(image, np.clip(1 - away / diameter, 0, 1))
        mask[away < diameter / 2] = number
    return (offset + gain * image)[..., None], mask


@pytest.fixture(scope="module")
def model():
    pairs = Segmentation(per_image=PerImage(low=1.0, high=100.0, floor=0.0), size=ObjectSize(diameter=D))
    return exact(Cones(), pairs, window=(32, 32), units=(0.0, 1.0), input_units=(0.0, 1.0))


@pytest.mark.parametrize("diameter", [10.0, 48.0])
def test_objects_of_any_size_are_found_and_their_diameter(model, diameter):
    image, mask = field(diameter, gain=300.0, offset=90.0)
    assert estimate_diameter(KEY, model, image) == pytest.approx(diameter, rel=0.1)
    result = segment(KEY, model, image, samples=1, calls=2)
    assert result.diameter == pytest.approx(diameter, rel=0.1)
    assert result.labels.shape == mask.shape
    assert result.labels.max() == mask.max()
    both = ((result.labels > 0) & (mask > 0)).sum() / ((result.labels > 0) | (mask > 0)).sum()
    assert both > 0.93


class Second(eqx.Module):
    """`Cones`, all of the second of two classes."""

    def __call__(self, x, lam, cond=None):
        distance = 16 * (cond["image"][..., :1] - 0.5)
        inside = (distance > 0).astype(distance.dtype)
        return jnp.concatenate([distance, 0 * inside, inside], axis=-1)


def test_objects_of_any_class_tell_the_diameter():
    size = ObjectSize(diameter=D)
    pairs = Segmentation(classes=("a", "b"), per_image=PerImage(low=1.0, high=100.0, floor=0.0), size=size)
    model = exact(Second(), pairs, window=(32, 32), units=(0.0, 1.0), input_units=(0.0, 1.0))
    assert estimate_diameter(KEY, model, field(24.0)[0]) == pytest.approx(24, rel=0.1)


def test_a_given_diameter_overrules_and_distances_are_in_pixels_of_the_image(model):
    image, mask = field(24.0)
    result = segment(KEY, model, image, samples=1, calls=2, diameter=24.0)
    assert result.diameter == 24.0
    assert result.distance.max() == pytest.approx(16 * 0.5 * 24 / D, rel=0.15)
    assert median_diameter(result.labels) == pytest.approx(median_diameter(mask), rel=0.03)


class Traced(Cones):
    """`Cones` that notes the shapes with which JAX looks at it."""

    def __call__(self, x, lam, cond=None):
        TRACES.append(x.shape)
        return super().__call__(x, lam, cond)


def test_images_of_nearly_one_size_of_objects_share_a_program():
    pairs = Segmentation(per_image=PerImage(low=1.0, high=100.0, floor=0.0), size=ObjectSize(diameter=D))
    model = exact(Traced(), pairs, window=(32, 32), units=(0.0, 1.0), input_units=(0.0, 1.0))
    image, mask = field(24.0)
    results = [segment(KEY, model, image, samples=1, calls=2, diameter=24.0)]
    before = len(TRACES)
    results += [segment(KEY, model, image, samples=1, calls=2, diameter=other) for other in (23.3, 24.6)]
    assert len(TRACES) == before > 0
    for result in results:
        assert result.labels.shape == mask.shape
        assert result.labels.max() == mask.max()
        assert median_diameter(result.labels) == pytest.approx(median_diameter(mask), rel=0.04)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_one_scene_in_any_type_has_one_segmentation(model, dtype):
    image, _ = field(24.0)
    top = np.iinfo(dtype).max if dtype.startswith("u") else 1.0
    stored = (np.rint(image * top) if top > 1 else image).astype(dtype)
    expected = segment(KEY, model, image, samples=1, calls=2, diameter=24.0)
    got = segment(KEY, model, stored, samples=1, calls=2, diameter=24.0)
    np.testing.assert_allclose(got.distance, expected.distance, atol=0.1)
    assert ((got.labels > 0) != (expected.labels > 0)).mean() < 0.003
    assert got.labels.max() == expected.labels.max()


def test_an_image_without_objects_has_the_models_own_diameter(model):
    image = np.random.default_rng(0).normal(100, 1, (60, 60, 1))
    noisy = exact(
        Cones(),
        Segmentation(per_image=PerImage(floor=50.0), size=ObjectSize(diameter=D)),
        window=(32, 32),
        units=(0.0, 1.0),
        input_units=(0.0, 1.0),
    )
    with pytest.warns(
        UserWarning, match="no whole objects were found at any size from 6 to 96 pixels: 12 pixels, the model"
    ):
        assert estimate_diameter(KEY, noisy, image) == D
    with pytest.warns(UserWarning, match="no whole objects"):
        assert segment(KEY, noisy, image, samples=1, calls=2).diameter_from == "model"
    assert segment(KEY, noisy, image, samples=1, calls=2, diameter=D).diameter_from == "given"


def test_crops_are_where_the_image_varies():
    image = np.zeros((300, 300, 1))
    image[40:60, 240:260] = 1
    image[200:220, 30:50] = 0.5
    (y, x), (yy, xx) = structured_places(image, 2)
    assert abs(y - 50) < 45
    assert abs(x - 250) < 45
    assert abs(yy - 210) < 45
    assert abs(xx - 40) < 45


def test_the_command_tells_the_diameter_and_takes_it(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.setattr(folder_options, "load", lambda run, step=None, **_: model)
    info = IMAGE.replace(pixel_size={"Y": 0.5, "X": 0.5})
    write_image("in/field.ome.tif", np.rint(field(24.0, gain=900.0)[0]).astype(np.uint16), info)
    common = ["segment", "--input", "in", "--run", "any", "--samples", "1", "--calls", "2", "--out"]
    for out, more, diameter, source in (
        ("estimated", [], pytest.approx(24, rel=0.1), "estimate"),
        ("given", ["--diameter", "12um"], 24.0, "--diameter"),
    ):
        assert script.run(COMMANDS["sample"], [*common, out, *more], "sample.py") == 0
        numbers = json.loads((tmp_path / out / "summary.json").read_text())["files"][0]["numbers"]
        assert (numbers["diameter"], numbers["diameter_from"]) == (diameter, source)
        assert numbers["objects"] == field(24.0)[1].max()
    told = capsys.readouterr()
    assert (told.out + told.err).count("pixels, estimated; --diameter overrules") == 1
    assert script.run(COMMANDS["sample"], [*common, "wrong", "--diameter", "wide"], "sample.py") == 2


def test_diameters_without_sense_are_refused(model):
    image = field(24.0)[0]
    with pytest.raises(ValueError, match="diameter=0; expected pixels"):
        segment(KEY, model, image, diameter=0)
    with pytest.raises(
        ValueError, match="diameter=12000 pixels for an image of 150 x 170; expected at most 4 times its longer"
    ):
        segment(KEY, model, image, diameter=12e3)
    plain = exact(Cones(), Segmentation(), window=(32, 32))
    with pytest.raises(ValueError, match="takes pixels as they come"):
        segment(KEY, plain, image, diameter=10.0)
    with pytest.raises(ValueError, match="takes pixels as they come"):
        estimate_diameter(KEY, plain, image)


def test_lengths_are_pixels_or_micrometres_of_known_pixels():
    info = DataInfo(pixel_size={"Y": 0.5, "X": 0.5}, unit="µm")
    for text, pixels in (("18", 18), ("18.5 px", 18.5), ("12um", 24), ("12 µm", 24), ("1e1", 10)):
        assert length_of(text).pixels(info) == pytest.approx(pixels)
    assert length_of("12um").pixels(info.replace(pixel_size={"Y": 500, "X": 500}, unit="nm")) == pytest.approx(24)
    for text in ("12 m", "-3", "0", "big", ""):
        with pytest.raises(ValueError, match=r"expected 18 \(pixels\), or 12um"):
            length_of(text)
    for sizes in ({}, {"Y": 0.5, "X": 0.4}):
        with pytest.raises(ValueError, match="expected one known size in y and x"):
            length_of("12um").pixels(info.replace(pixel_size=sizes))
