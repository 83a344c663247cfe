"""Pairs of many microscopes: patches of one size of objects, on the grey scale of their field, changed at random."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from jaxdiff.data.augment import Blur, CameraNoise, Gain, Gamma, Inverted, Offset, UnevenLight
from jaxdiff.data.dataset import finish
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.loader import Loader
from jaxdiff.data.object_size import ObjectSize, median_diameter
from jaxdiff.data.pairs import Denoising, Parallel, Segmentation, SuperResolution, paired
from jaxdiff.data.per_image import PerImage
from jaxdiff.data.sources.source import Memory, Subset
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.run_folder import describe, read_pairing

CHANGES = (
    *(Gain(), Offset(), Gamma(), Blur(), CameraNoise(), UnevenLight(), Inverted()),
    *(Gamma(powers=(0.5, 0.5)), Blur(sigmas=(0.0, 0.0001)), CameraNoise(photons=(1e6, 1e6), read_noise=0.0)),
)


@dataclass(frozen=True)
class Squared:
    """A person's own change."""

    def drawn(self, rng):
        return lambda u, places: u**2


def fields(diameters, shape=(120, 130), gain=1.0, offset=0.0):
    """Noisy fields of discs, one diameter each, and their masks."""
    rng, grid = np.random.default_rng(0), np.indices(shape)
    masks = np.zeros((len(diameters), *shape), np.int32)
    for mask, diameter in zip(masks, diameters):
        step = 1.5 * diameter
        for number, (y, x) in enumerate(np.ndindex(*(int(n / step) for n in shape)), 1):
            mask[(grid[0] - (y + 0.5) * step) ** 2 + (grid[1] - (x + 0.5) * step) ** 2 < diameter**2 / 4] = number
    images = 200 + 1000 * (masks > 0) + rng.normal(0, 20, masks.shape)
    return Memory((gain * images + offset).astype(np.float32)[..., None], DataInfo(dtype="float32"), masks)


def dataset(diameters=(12, 20, 40), **options):
    source = fields(diameters, **options)
    return finish(Subset(source, range(len(source))), Subset(source, range(1)), "asinh")


def batches(pairs, number=2, **options):
    data = paired(dataset(**options), pairs)
    loader = Loader(data.train, data.normaliser, (32, 32), 6, seed=1, pairing=data.pairing)
    return [next(loader) for _ in range(number)]


def test_fields_are_brought_to_one_size_and_keep_their_own_in_store():
    pairs = Segmentation(size=ObjectSize(diameter=20.0))
    data = paired(dataset(), pairs)
    for i, factor in enumerate((20 / 12, 1, 0.5)):
        record = data.train[i]
        assert median_diameter(record["mask"]) == pytest.approx(20, rel=0.03)
        assert record["image"].shape[0] == pytest.approx(120 * factor, rel=0.03)
        assert record["distance"].shape == record["image"].shape
        assert record["distance"].max() == pytest.approx(8)
        inside = record["distance"][..., 0] > 0
        assert record["image"][inside].mean() > 1100
        assert record["image"][~inside].mean() < 260
    assert data.pairing.inputs.info.pixel_size == {"Y": None, "X": None}


def test_patches_have_objects_of_the_drawn_sizes():
    pairs = Segmentation(size=ObjectSize(diameter=16.0, factors=(0.75, 1.33)))
    data = paired(dataset(), pairs)
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        patch = data.pairing.pairs.cut(data.train[seed % 3], (64, 64), rng)
        assert patch["image"].shape == patch["distance"].shape == (64, 64, 1)
        inside = patch["distance"][..., 0] > 0
        np.testing.assert_array_equal(inside, patch["mask"] > 0)
        assert patch["image"][inside].mean() > patch["image"][~inside].mean() + 700
        areas = np.unique(patch["mask"], return_counts=True)[1][1:]
        found.append(2 * np.sqrt(areas.max() / np.pi))
    found = np.array(found)
    assert found.min() > 0.7 * 16
    assert found.max() < 1.42 * 16  # pixels of discs count by their centres
    assert found.max() / found.min() > 1.4


def test_gain_and_offset_of_a_camera_leave_no_trace_in_training():
    pairs = Segmentation(
        per_image=PerImage(), size=ObjectSize(diameter=16.0, factors=(0.8, 1.2)), augmentation=CHANGES[:7]
    )
    first, second = (batches(pairs, **options) for options in ({}, {"gain": 0.01, "offset": 30.0}))
    for one, other in zip(first, second):
        np.testing.assert_allclose(one["image"], other["image"], atol=1e-5)
        np.testing.assert_allclose(one["input"], other["input"], atol=5e-3)


@pytest.mark.parametrize("size", [None, ObjectSize(diameter=16.0, factors=(0.8, 1.2))], ids=["as recorded", "resized"])
def test_draws_repeat_and_go_on_where_they_were(size):
    pairs = Segmentation(per_image=PerImage(), size=size, augmentation=CHANGES[:7])
    data = paired(dataset(), pairs)
    loaders = [Loader(data.train, data.normaliser, (32, 32), 4, seed=3, pairing=data.pairing) for _ in range(2)]
    undisturbed = [next(loaders[0]) for _ in range(5)]
    state = None
    for _ in range(3):
        next(loaders[1])
    state = loaders[1].get_state()
    next(loaders[1])
    loaders[1].set_state(state)
    for expected in undisturbed[3:]:
        got = next(loaders[1])
        for name, values in expected.items():
            np.testing.assert_array_equal(values, got[name])


def test_one_change_is_made_to_a_patch_and_to_its_field():
    pairs = Segmentation(per_image=PerImage(), size=ObjectSize(diameter=16.0), augmentation=(Gamma(), UnevenLight()))
    data = paired(dataset((16,)), pairs)
    record = data.train[0]
    patch = data.pairing.pairs.cut(record, (64, 64), np.random.default_rng(9))
    assert (patch["blocks"].values[0] != record["blocks"].values[0]).any()
    # The dark level of 200 stays where it was in both, up to the haze; the patch is as bright as its field.
    levels = np.concatenate([values.ravel() for values in patch["blocks"].values])
    for percent in (5, 50, 95):
        assert abs(np.percentile(patch["image"], percent) - np.percentile(levels, percent)) < 250


def test_changes_do_what_they_say():
    rng = np.random.default_rng
    u = np.linspace(-0.2, 1.5, 64, dtype=np.float32).reshape(8, 8, 1)
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, 8, dtype=np.float32)] * 2, indexing="ij"), -1)
    np.testing.assert_allclose(Gain(factors=(3.0, 3.0)).drawn(rng(0))(u, places), 3 * u, rtol=1e-6)
    np.testing.assert_allclose(Offset(levels=(0.25, 0.25)).drawn(rng(0))(u, places), u + 0.25, rtol=1e-6)
    np.testing.assert_allclose(Inverted(chance=1.0).drawn(rng(0))(u, places), 1 - u)
    gamma = Gamma(powers=(0.5, 0.5)).drawn(rng(0))
    ends = gamma(np.array([[0.0, 1.0, 0.5, -0.5]], np.float32)[..., None], places)
    np.testing.assert_allclose(ends[0, :2, 0], [0, 1], atol=1e-6)
    assert ends[0, 2, 0] > 0.55
    assert ends[0, 3, 0] == -ends[0, 2, 0]
    assert (np.diff(gamma(u, places).ravel()) > 0).all()
    flat = np.full((64, 64, 1), 0.5, np.float32)
    blurred = Blur(sigmas=(1.0, 1.0)).drawn(rng(0))(rng(1).normal(size=(64, 64, 1)).astype(np.float32), flat)
    assert abs(blurred.std() * 2 * np.sqrt(np.pi) - 1) < 0.1  # of unit noise a Gaussian of 1 pixel leaves 1/(2 sqrt π)
    noisy = CameraNoise(photons=(100.0, 100.0), read_noise=2.0).drawn(rng(0))(flat, flat)
    assert abs(noisy.mean() - 0.5) < 4 * np.sqrt(54) / 100 / 64
    assert abs(noisy.std() / (np.sqrt(50 + 4) / 100) - 1) < 0.05
    uneven = UnevenLight(light=1.0, haze=0.0).drawn(rng(0))(np.ones((8, 8, 1), np.float32), places)
    assert 1 < uneven.max() / uneven.min() <= np.exp(2)
    assert UnevenLight(chance=0.0).drawn(rng(0)) is None
    assert 0.35 < np.mean([Blur(chance=0.5).drawn(rng(i)) is None for i in range(200)]) < 0.65


def test_a_run_stores_them_and_a_persons_own_with_permission():
    pairs = Segmentation(
        per_image=PerImage(low=2.0), size=ObjectSize(diameter=16.0), augmentation=(*CHANGES, Squared())
    )
    data = paired(dataset(), pairs)
    config = TrainConfig(name="x", steps=1, pairs=pairs)
    stored = json.loads(json.dumps(describe(config, data.info, data.normaliser, data.pairing)))
    assert read_pairing(stored, allow=(Squared,)) == data.pairing
    assert data.pairing.pairs.per_image.span is not None
    with pytest.raises(ValueError, match=r"Squared.*you allow"):
        read_pairing(stored)
    assert TrainConfig.from_json(stored["config"], allow=(Squared,)) == config


def test_runs_of_before_know_none_of_this():
    data = paired(dataset(), Segmentation())
    stored = json.loads(
        json.dumps(
            describe(TrainConfig(name="x", steps=1, pairs=Segmentation()), data.info, data.normaliser, data.pairing)
        )
    )
    for name in ("per_image", "size", "augmentation"):
        del stored["pairing"]["pairs"][name], stored["config"]["pairs"][name]
    assert read_pairing(stored) == data.pairing
    assert "blocks" not in data.train[0]


def test_a_field_smaller_than_the_patch_is_mirrored():
    pairs = Segmentation(size=ObjectSize(diameter=10.0, factors=(0.75, 1.33)))
    data = paired(dataset((40,)), pairs)
    patch = data.pairing.pairs.cut(data.train[0], (64, 64), np.random.default_rng(0))
    assert data.train[0]["image"].shape[0] < 64
    assert patch["image"].shape == (64, 64, 1)
    assert np.isfinite(patch["distance"]).all()


def test_what_cannot_be_resized_or_changed_is_refused():
    volume = Memory(
        np.random.default_rng(0).normal(size=(2, 4, 20, 20, 1)), DataInfo("ZYXC"), np.ones((2, 4, 20, 20), np.int32)
    )
    with pytest.raises(DataError, match=r"image 0, a volume; expected planes"):
        paired(finish(volume, volume, "linear"), Segmentation(size=ObjectSize(diameter=20.0)))
    for wrong in (
        lambda: Gamma(chance=2.0),
        lambda: Gamma(powers=(2.0, 1.0)),
        lambda: CameraNoise(photons=(0, 1)),
        lambda: CameraNoise(read_noise=-1.0),
        lambda: UnevenLight(light=-1.0),
        lambda: Gain(factors=(0.0, 1.0)),
        lambda: Offset(levels=(-np.inf, 0.0)),
        lambda: Segmentation(per_image=True),
        lambda: Segmentation(size=20.0),
        lambda: Segmentation(augmentation=Gamma()),
        lambda: Segmentation(augmentation=(Gamma,)),
        lambda: Parallel(per_image=True),
        lambda: Parallel(task="colourise"),
        lambda: Segmentation(truncation=np.inf),
        lambda: Denoising(size=ObjectSize(diameter=20.0)),
        lambda: Denoising(photons=(10.0, np.inf)),
        lambda: Denoising(read_noise=-1.0),
        lambda: Denoising(offset=np.nan),
        lambda: Denoising(peak=0.0),
        lambda: SuperResolution(read_noise=np.nan),
    ):
        with pytest.raises(DataError, match="expected"):
            wrong()


@dataclass(frozen=True)
class Wrong:
    """A person's own change that is none."""

    how: str

    def drawn(self, rng):
        changes = {
            "cut": lambda u: u[1:],
            "flat": lambda u: u[..., 0],
            "nan": lambda u: u + np.nan,
            "none": lambda u: None,
        }
        return lambda u, places: changes[self.how](u)


@pytest.mark.parametrize("size", [None, ObjectSize(diameter=16.0)], ids=["as recorded", "resized"])
@pytest.mark.parametrize("how", ["cut", "flat", "nan", "none"])
def test_a_change_of_ones_own_gives_finite_numbers_of_the_shape_it_got(how, size):
    with pytest.raises(DataError, match=r"from the augmentation Wrong; expected those of u, \(32, 32, 1\)"):
        batches(Segmentation(size=size, augmentation=(Gamma(), Wrong(how))), 1)
