"""Pairs with classes: a distance and a channel a class, cut and turned with the image; names that do not fit are refused."""

import numpy as np
import pytest
from scipy import ndimage

from jaxdiff.data.augment import Blur, Gain
from jaxdiff.data.dataset import finish
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.pairing import as_network, cut
from jaxdiff.data.pairs import Segmentation, paired, signed_distance
from jaxdiff.data.per_image import PerImage
from jaxdiff.data.sources.source import Memory

INFO = DataInfo(object_classes=("round", "long"))


def tissue(shape=(48, 56), seed=0):
    """Objects that fill half of the field, many of them touching; the class of each."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros(shape, int)
    places = [tuple(rng.integers(0, shape)) for _ in range(14)]
    for label, place in enumerate(places, 1):
        seeds[place] = label
    away, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    mask = np.where(away < 8, seeds[tuple(nearest)], 0)
    labels = np.unique(mask)
    labels = labels[labels > 0]
    mask = np.where(mask > 0, np.searchsorted(labels, mask) + 1, 0).astype(np.int32)
    return mask, [("round", "long")[i] for i in rng.integers(0, 2, len(labels))]


@pytest.mark.parametrize("shape", [(48, 56), (9, 24, 30)])
def test_the_distance_is_that_of_all_objects_and_each_pixel_is_of_one_class(shape):
    mask, classes = tissue(shape)
    record = {"image": mask[..., None], "mask": mask, "classes": classes, "name": "a"}
    pair = Segmentation(5.0, classes=("round", "long")).prepare(record)["distance"]
    np.testing.assert_array_equal(pair[..., 0], signed_distance(mask, 5.0))
    for number, name in enumerate(("round", "long"), 1):
        own = np.isin(mask, [label for label, kind in enumerate(classes, 1) if kind == name])
        np.testing.assert_array_equal(pair[..., number], own)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"per_image": PerImage(), "augmentation": (Gain(), Blur())},
        {"per_image": PerImage(), "size": ObjectSize(diameter=12.0, factors=(0.7, 1.5)), "augmentation": (Blur(),)},
    ],
)
def test_all_channels_are_cut_turned_and_resized_with_the_image(options):
    """The image is its own truth: 100 background, 200 where round, 300 where long."""
    mask, classes = tissue((70, 80))
    kind = np.array([0, *(1 + ("round", "long").index(name) for name in classes)])[mask]
    image = (100 + 100 * kind)[..., None].astype(np.float32)
    pairs = Segmentation(4.0, classes=("round", "long"), **options)
    source = Memory([image], INFO, [mask], classes=[classes])
    pairs = pairs.fit(source)
    record = pairs.prepare(source[0])
    for seed in range(6):
        rng = np.random.default_rng(seed)
        plain = {**vars(pairs), "augmentation": (), "per_image": None}
        piece = cut(record, (32, 40), rng, Pairing(Segmentation(**plain)))
        pair = Segmentation(**plain).draw(piece, rng)
        shown = np.where(pair["image"][..., 0] > 0, 1 + pair["image"][..., 1:].argmax(axis=-1), 0)
        level = np.rint(pair["input"][..., 0] / 100 - 1)
        # Between pixels the image is interpolated, the mask is not: away from outlines they say the same.
        clear = np.abs(pair["image"][..., 0]) > 1.5
        np.testing.assert_array_equal(shown[clear], level[clear])
        assert pair["image"].shape == (32, 40, 3)
    changed = as_network(cut(record, (32, 40), np.random.default_rng(0), Pairing(pairs)), Same(), Pairing(pairs))
    assert changed["image"].shape == (32, 40, 3)


class Pairing:
    """Pairs alone."""

    def __init__(self, pairs):
        self.pairs, self.inputs = pairs, None


class Same:
    """No normaliser."""

    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (("round",), "objects of class long in the data; expected one of round"),
        (("round", "long", "blue"), "classes blue without an object in the data; expected some of round, long"),
        (("round", "round"), "names, each once"),
        (("round", ""), "names, each once"),
    ],
)
def test_classes_that_are_not_those_of_the_data_are_refused(declared, message):
    mask, classes = tissue()
    source = Memory([mask[..., None]], INFO, [mask], classes=[classes])
    with pytest.raises(DataError, match=message):
        paired(finish(source, source, "linear"), Segmentation(classes=declared))


def test_objects_without_a_class_and_unknown_ones_are_refused_by_image():
    mask, classes = tissue()
    pairs = Segmentation(classes=("round", "long"))
    for some, message in (
        (None, "image 0 with objects of no class"),
        (classes[:-1], "image 0 with objects of no class"),
        ([*classes[:-1], "blue"], "objects of class blue in image 0"),
    ):
        source = Memory([mask[..., None]], INFO, [mask], classes=None if some is None else [some])
        with pytest.raises(DataError, match=message):
            pairs.prepare(source[0])
    with pytest.raises(DataError, match="classes round, long without an object"):
        pairs.fit(Memory([mask[..., None]], INFO.replace(object_classes=()), [mask]))
