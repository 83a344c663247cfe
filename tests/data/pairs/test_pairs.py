"""Kinds of pairs: what they draw, how they are fitted and stored, and what the loader and a run make of them."""

import dataclasses
import json

import numpy as np
import pytest

from jaxdiff.data.config import Folder, open_data
from jaxdiff.data.dataset import finish
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.loader import Loader
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Pairing, as_network, spread
from jaxdiff.data.pairs import Denoising, Joint, LabelledGeneration, Segmentation, paired, signed_distance
from jaxdiff.data.patches import random_patch
from jaxdiff.data.sources.source import Memory, Subset
from jaxdiff.nn import UNet
from jaxdiff.training.batch import to_batch
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.run_folder import describe, read_pairing

KINDS = [Segmentation(), Denoising(), LabelledGeneration(), Joint()]


@pytest.fixture(scope="module")
def nuclei():
    """Twelve noisy fields with a few discs each: made by NumPy, so that nothing is compiled."""
    rng, rows = np.random.default_rng(0), np.arange(80)[:, None]
    masks = np.zeros((12, 80, 80), np.int32)
    for mask in masks:
        for number, (y, x, radius) in enumerate(rng.uniform((0, 0, 6), (80, 80, 12), (8, 3)), 1):
            mask[(mask == 0) & ((rows - y) ** 2 + (rows.T - x) ** 2 < radius**2)] = number
    images = rng.normal(200, 10, masks.shape) + rng.gamma(4, 200, masks.shape) * (masks > 0)
    source = Memory(images.clip(0, 65535).astype(np.uint16)[..., None], DataInfo(), masks)
    return finish(Subset(source, range(10)), Subset(source, range(10, 12)), "asinh")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_a_loader_gives_normalised_pairs(nuclei, kind):
    data = paired(nuclei, kind)
    loader = Loader(data.train, data.normaliser, (32, 32), 8, seed=1, pairing=data.pairing)
    batches = [next(loader) for _ in range(12)]
    for name in batches[0].keys() & {"image", "input"}:
        values = np.concatenate([batch[name] for batch in batches])
        assert values.dtype == np.float32
        assert values.shape[:3] == (96, 32, 32)
        # Patches are drawn less often at edges, and the normaliser saw whole images.
        assert abs(values.mean()) < 0.3
        assert abs(values.std() - 1) < 0.3
    info = data.pairing.inputs and data.pairing.inputs.info
    assert batches[0]["image"].shape[-1] == data.info.channels
    assert ("input" in batches[0]) == (info is not None)
    network = UNet(image_channels=info.channels if info else 0)
    batch = to_batch(batches[0], network)
    assert ("cond" in batch) == (info is not None)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_a_run_stores_its_fitted_pairs(nuclei, kind):
    data = paired(nuclei, kind)
    config = TrainConfig(name="x", steps=1, pairs=kind)
    stored = json.loads(json.dumps(describe(config, data.info, data.normaliser, data.pairing)))
    assert read_pairing(stored) == data.pairing
    assert TrainConfig.from_json(stored["config"]).pairs == kind
    again = paired(nuclei, kind, Normaliser.from_json(stored["normaliser"]), read_pairing(stored))
    rng = [np.random.default_rng(3) for _ in range(2)]
    first, second = (
        as_network(random_patch(d.train[0], (32, 32), r), d.normaliser, d.pairing, r)
        for d, r in zip((data, again), rng)
    )
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_runs_without_pairs_read_as_none(nuclei):
    stored = describe(TrainConfig(name="x", steps=1), nuclei.info, nuclei.normaliser)
    assert read_pairing(stored) is None
    del stored["pairing"]  # as runs of before there were pairs
    assert read_pairing(stored) is None


def test_segmentation_and_labelled_generation_are_each_other_reversed(nuclei):
    record = Segmentation().prepare(nuclei.train[0])
    rng = np.random.default_rng(0)
    there, back = (kind.draw(record, rng) for kind in (Segmentation(), LabelledGeneration()))
    np.testing.assert_array_equal(there["image"], back["input"])
    np.testing.assert_array_equal(there["input"], back["image"])
    np.testing.assert_array_equal(there["image"][..., 0], signed_distance(record["mask"]))
    both = Joint().draw(record, rng)["image"]
    np.testing.assert_array_equal(both, np.concatenate([there["input"], there["image"]], axis=-1))


def test_distances_are_those_of_the_whole_image_not_of_the_patch(nuclei):
    data = paired(nuclei, Segmentation())
    record = data.train[0]
    patch = random_patch(record, (32, 32), np.random.default_rng(5), augment=False)
    rows, columns = np.nonzero(
        (np.lib.stride_tricks.sliding_window_view(record["mask"], (32, 32)) == patch["mask"]).all((2, 3))
    )
    assert len(rows) == 1
    whole = signed_distance(record["mask"])[rows[0] : rows[0] + 32, columns[0] : columns[0] + 32]
    np.testing.assert_array_equal(patch["distance"][..., 0], whole)


def test_all_arrays_of_a_record_are_cut_and_turned_alike():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 1000, (12, 20, 2)).astype(np.float32)
    fine = spread(coarse, (48, 40))
    record = {"image": fine, "input": coarse, "mask": fine[..., 0].astype(np.int32), "name": "a", "label": 1}
    for i in range(20):
        patch = random_patch(record, (8, 8), np.random.default_rng(i), turn=False)
        assert patch["input"].shape == (2, 4, 2)
        np.testing.assert_array_equal(spread(patch["input"], (8, 8)), patch["image"])
        np.testing.assert_array_equal(patch["mask"], patch["image"][..., 0])
        assert patch["name"] == "a"


def test_denoising_draws_the_camera_of_its_numbers():
    clean = np.full((1, 200, 200, 1), 1100, np.uint16)
    source = Memory(clean, DataInfo())
    kind = Denoising(photons=(20, 20), read_noise=2.0, offset=100.0, peak=2000.0).fit(source)
    drawn = kind.draw(source[0], np.random.default_rng(0))
    assert drawn["image"] is clean[0] or np.array_equal(drawn["image"], clean[0])
    noisy = drawn["input"].astype(np.float64)
    # 1000 of 2000 grey levels are 10 of 20 photons: variance (100 levels a photon)² (10 + 2²).
    error = 4 / np.sqrt(noisy.size)
    assert abs(noisy.mean() - 1100) < error * np.sqrt(14) * 100
    assert abs(noisy.var() / (100**2 * 14) - 1) < 2 * error


def test_denoising_takes_offset_and_peak_from_the_training_images(nuclei):
    fitted = Denoising().fit(nuclei.train)
    pixels = np.concatenate([nuclei.train[i]["image"].ravel() for i in range(len(nuclei.train))])
    assert fitted.offset == pytest.approx(np.percentile(pixels, 1), rel=0.02)
    assert fitted.offset + fitted.peak == pytest.approx(np.percentile(pixels, 99.8), rel=0.1)
    assert dataclasses.replace(fitted, offset=None, peak=None) == Denoising()
    draws = [fitted.draw(nuclei.train[0], np.random.default_rng(i))["input"] for i in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_what_cannot_be_paired_is_refused(nuclei):
    images = Memory([nuclei.train[i]["image"] for i in range(3)], nuclei.info)
    bare = dataclasses.replace(nuclei, train=images, validation=images)
    with pytest.raises(DataError, match="image 0 without a mask"):
        paired(bare, Segmentation())
    with pytest.raises(DataError, match=r"photons=\(0, 10\)"):
        Denoising(photons=(0, 10))
    with pytest.raises(DataError, match="without offset and peak"):
        Denoising().draw(nuclei.train[0], np.random.default_rng(0))
    loaded = {"image": np.zeros((2, 8, 8, 1), np.float32), "input": np.zeros((2, 8, 8, 2), np.float32)}
    with pytest.raises(ValueError, match="image_channels=0; expected 2, the pairs' input"):
        to_batch(loaded, UNet())


def test_open_data_makes_pairs(images):
    folder, masks = images(), images("masks", high=5)
    data = open_data(Folder(path=folder, masks=masks), (32, 32), 0, pairs=Segmentation())
    assert isinstance(data.pairing, Pairing)
    assert data.info.channel_names == ("signed distance",)
    assert data.pairing.inputs.info == DataInfo()
    batch = next(data.validation_batches((32, 32), 2, 2))
    assert batch["input"].shape == batch["image"].shape == (2, 32, 32, 1)
