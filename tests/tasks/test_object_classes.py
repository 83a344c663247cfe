"""Classes of segmented objects: known channels give known classes, samples that disagree a probability; train to table."""

import csv
import json

import jax
import numpy as np
import pytest
import tifffile
from exact_models import IMAGE, Gaussian, exact

import jaxdiff as jd
from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.commands.folders import options as folder_options
from jaxdiff.data.config import Folder
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.write import write_image
from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.pairs import Segmentation, signed_distance
from jaxdiff.data.pairs.distance import class_channels
from jaxdiff.data.sources.class_tables import ClassTables
from jaxdiff.tasks.object_classes import of_objects
from jaxdiff.tasks.segment import segment
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.loop import train

KEY, NAMES = jax.random.key(0), ("round", "long")
THREE = IMAGE.replace(channel_names=("distance", "a", "b"))
KINDS = [0, 1, 1, 0]
"""Of the objects below."""


def objects(shape=(40, 30)):
    """Two squares of two classes that touch, a square alone, and one that the edge cuts."""
    mask = np.zeros(shape, np.int32)
    mask[..., 3:15, 2:14], mask[..., 3:15, 14:26] = 1, 2
    mask[..., 20:32, 3:15], mask[..., 27:, 20:] = 3, 4
    return mask


def channels(mask, kinds=KINDS):
    """What is diffused of a mask."""
    return np.concatenate([signed_distance(mask)[..., None], class_channels(mask, kinds, 2)], axis=-1)


def as_image(mask):
    """An image that holds the distance and the classes of its own objects."""
    return np.round(1000 + 100 * channels(mask)).astype(np.uint16)


def knowing(window=(24, 24), info=THREE, **options):
    """A model that returns what is in the image."""
    pairs = Segmentation(classes=NAMES, **options)
    return exact(
        Gaussian(), pairs, window=window, info=info, input_info=info, units=(0.0, 1.0), input_units=(1000.0, 100.0)
    )


@pytest.fixture(scope="module")
def model():
    return knowing()


@pytest.mark.parametrize("fuse", ["mean", "vote"])
def test_known_distances_give_the_objects_and_their_classes_without_overlap(model, fuse):
    mask = objects()
    result = segment(KEY, model, as_image(mask), samples=2, calls=2, fuse=fuse)
    np.testing.assert_array_equal(result.labels > 0, mask > 0)
    assert len(np.unique(np.stack([result.labels.ravel(), mask.ravel()]), axis=1).T) == 5
    for label in range(1, 5):
        true = mask[result.labels == label][0]
        assert result.classes.of_label[label] == NAMES[KINDS[true - 1]]
    np.testing.assert_array_equal(result.classes.probability.max(axis=1), 1)
    assert result.classes.names == NAMES


def test_volumes_and_models_of_one_size_have_classes_too():
    mask = objects((6, 40, 30))
    volume = THREE.replace(axes="ZYXC", pixel_size={})
    result = segment(KEY, knowing((6, 24, 24), volume), as_image(mask), samples=1, calls=1)
    assert sorted(result.classes.of_label.values()) == ["long", "long", "round", "round"]
    np.testing.assert_array_equal(result.labels > 0, mask > 0)
    sized = knowing(size=ObjectSize(diameter=20.0))
    flat = as_image(objects())
    result = segment(KEY, sized, flat, samples=2, calls=2, diameter=12.0)
    assert result.labels.shape == (40, 30)
    assert sorted(result.classes.of_label.values()) == ["long", "long", "round", "round"]
    assert segment(KEY, sized, flat, samples=1, calls=2).diameter > 0  # estimated


def test_the_probability_is_the_share_of_the_samples_pixels_within_the_object():
    labels = np.repeat([[1], [1], [2], [0]], 6, axis=1)
    draws = np.zeros((4, 4, 6, 3), np.float32)
    draws[..., 0] = -3.0
    draws[:, :2, :, 0] = 2.0
    draws[:3, :2, :, 1] = 1.0  # three of four samples: round
    draws[3, :2, :, 2] = 1.0
    draws[:, 2, :4, 0] = 1.0  # two thirds of an object: long
    draws[:, 2, :, 2] = 1.0
    draws[0, 2, 4:] = 1.0, 0.9, 0.2  # the rest in one sample, nearer to round, in the others outside
    draws[:, 3] = 5.0  # outside of all objects
    result = of_objects(labels, draws, NAMES)
    np.testing.assert_allclose(result.probability, [[3 / 4, 1 / 4], [2 / 18, 16 / 18]])
    assert result.of_label == {1: "round", 2: "long"}
    assert result.probability_of_label == pytest.approx({1: 0.75, 2: 16 / 18})


def test_equally_probable_classes_are_settled_by_their_order_and_no_objects_have_none():
    draws = np.zeros((2, 3, 3, 3), np.float32)
    draws[..., 0], draws[0, ..., 2], draws[1, ..., 1] = 1.0, 1.0, 1.0
    result = of_objects(np.ones((3, 3), int), draws, NAMES)
    assert result.probability.tolist() == [[0.5, 0.5]]
    assert result.of_label == {1: "round"}
    equal = np.ones((1, 3, 3, 3), np.float32)
    assert of_objects(np.ones((3, 3), int), equal, NAMES).of_label == {1: "round"}
    none = of_objects(np.zeros((3, 3), int), draws, NAMES)
    assert none.probability.shape == (0, 2)
    assert none.of_label == none.probability_of_label == {}


def command(*args):
    return script.run(COMMANDS["sample"], ["segment", *map(str, args)], "sample.py")


def rows_of(path):
    return list(csv.DictReader(path.open(encoding="utf-8")))


def test_the_command_writes_classes_that_are_read_again(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder_options, "load", lambda run, step=None, **_: model)
    write_image("in/a.ome.tif", as_image(objects()), THREE)
    write_image("in/blank.ome.tif", np.full((40, 30, 3), 200, np.uint16), THREE)
    assert command("--input", "in", "--out", "out", "--run", "any", "--samples", 2, "--calls", 2) == 0
    rows = rows_of(tmp_path / "out" / "a_objects.csv")
    assert sorted(row["class"] for row in rows) == ["long", "long", "round", "round"]
    assert {row["class_probability"] for row in rows} == {"1.0"}
    header, *none = (tmp_path / "out" / "blank_objects.csv").read_text(encoding="utf-8").splitlines()
    assert header.split(",") == list(rows[0])
    assert none == []
    files = {
        one["name"]: one["numbers"] for one in json.loads((tmp_path / "out" / "summary.json").read_text())["files"]
    }
    assert (files["a"]["objects of round"], files["a"]["objects of long"]) == (2, 2)
    assert files["blank"]["objects of round"] == 0
    images = {("", name): tmp_path / "in" / f"{name}.ome.tif" for name in ("a", "blank")}
    known = ClassTables(tmp_path / "out").known(tmp_path, images)
    assert known.names == ("long", "round")
    labels = read_image(tmp_path / "out" / "a_labels.ome.tif")[0][..., 0].astype(np.int32)
    _, classes = known.of_image["", "a"].objects([labels], "a")
    assert list(classes) == [row["class"] for row in rows]


def test_a_run_of_classes_trains_loads_and_keeps_their_names(tmp_path):
    for part in ("images", "masks/long", "masks/round"):
        (tmp_path / part).mkdir(parents=True)
    mask = objects()
    for i in range(2):
        image = np.random.default_rng(i).integers(0, 400, mask.shape).astype(np.uint16)
        tifffile.imwrite(tmp_path / "images" / f"{i}.tif", image)
        for number, name in enumerate(NAMES):
            own = np.where(np.isin(mask, [o for o, k in enumerate(KINDS, 1) if k == number]), mask, 0)
            tifffile.imwrite(tmp_path / "masks" / name / f"{i}.tif", own.astype(np.uint8))
    config = TrainConfig(
        name="tissue",
        out=str(tmp_path),
        data=Folder(tmp_path / "images", masks=tmp_path / "masks", axes="YX", class_folders=True, validation=0.0),
        pairs=Segmentation(4.0, classes=NAMES),
        patch=(16, 16),
        network=jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), patch_size=4, image_channels=1),
        batch_size=2,
        steps=2,
        previews=0,
    )
    model = jd.load(train(config))
    assert model.pairing.pairs.classes == model.info.object_classes == NAMES
    assert model.info.channel_names == ("signed distance", "class round", "class long")
    stored = json.loads((tmp_path / "tissue" / "run.json").read_text())
    assert stored["data"]["object_classes"] == list(NAMES)
    result = segment(KEY, model, tifffile.imread(tmp_path / "images" / "0.tif"), samples=2, calls=1, least=1)
    assert result.classes.probability.shape == (result.labels.max(), 2)
    np.testing.assert_allclose(result.classes.probability.sum(axis=1), 1)
