"""Calibrated intervals: too narrow by a known factor, the promise on new images, the file, and a model in closed form."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from exact_models import Gaussian, exact

import jaxdiff as jd
from jaxdiff.data.pairs import Denoising, Segmentation
from jaxdiff.tasks.calibrate_intervals import calibrate_intervals, task_settings
from jaxdiff.tasks.denoise import denoise
from jaxdiff.tasks.estimate import Estimate
from jaxdiff.tasks.interval_calibration import (
    FLOORS,
    IntervalCalibration,
    expected_factor,
    fitted_intervals,
    floor_part,
    scored,
)
from jaxdiff.tasks.risk_control import RiskControl

KEY = jax.random.key(0)
OF = {"task": "denoise", "settings": {"samples": 8}, "checkpoint": 3, "parameters": "f00"}


def pairs(number, narrow=1.0, noise=0.0, size=(20, 25, 1), seed=0):
    """Estimates of 8 samples whose spread is `narrow` times too small, with their truths, to which noise is added."""
    rng = np.random.default_rng(seed)
    for i in range(number):
        spread = (1 + i % 3) * rng.uniform(0.5, 2.0, size)  # images and pixels of different difficulty
        truth = rng.normal(100.0, spread)
        samples = 100 + rng.normal(0.0, spread / narrow, (8, *size))
        yield Estimate.of(samples.astype(np.float32)), truth + noise * rng.normal(size=size)


def covered(calibration, estimates, coverage):
    shares = []
    for estimate, truth in estimates:
        low, high = calibration.interval(estimate, coverage)
        shares.append(np.mean((low <= truth) & (truth <= high)))
    return np.mean(shares)


def test_spread_as_it_should_be_has_the_factor_of_student():
    losses = [scored(estimate, truth).losses[FLOORS.index(0)] for estimate, truth in pairs(60)]
    for percent in (50, 90, 99):
        assert RiskControl(losses).plain(percent) == pytest.approx(expected_factor(8, percent), rel=0.05)
    found = fitted_intervals(pairs(60), **OF)
    assert found.covered == pytest.approx(7 / 9, abs=0.01)
    assert found.nominal == 7 / 9
    # What the guarantee costs: the one more image counts as lost, 1 of 41.
    assert found.coverage == pytest.approx(0.9 + 0.9 / 40, abs=0.005)


def test_a_spread_too_narrow_by_a_known_factor_is_widened_by_it():
    """The mean of the samples is nearer to 100, too: errors have √(1 + 1/8/3²), not √(1 + 1/8), of the truth's spread."""
    losses = [scored(estimate, truth).losses[FLOORS.index(0)] for estimate, truth in pairs(60, 3.0)]
    wider = 3 * np.sqrt((1 + 1 / 72) / (1 + 1 / 8))
    assert RiskControl(losses).plain(90) == pytest.approx(wider * expected_factor(8, 90), rel=0.05)
    found = fitted_intervals(pairs(60, 3.0), **OF)
    assert found.covered < 0.5
    for coverage in (0.5, 0.9, 0.945):
        share = covered(found, pairs(30, 3.0, seed=1), coverage)
        assert coverage - 0.01 < share < coverage + 0.035


def test_where_samples_agree_more_than_the_truth_a_floor_makes_intervals_narrower():
    noisy = list(pairs(40, noise=6.0))
    found = fitted_intervals(noisy, **OF)
    assert found.floor > 1
    assert found.floor_images == 13
    assert found.images == 27
    without = fitted_intervals(noisy[:9], **OF)
    assert (without.floor, without.floor_images, without.images) == (0, 0, 9)
    new = list(pairs(20, noise=6.0, seed=1))
    widths = [np.mean([np.ptp(c.interval(e, 0.9), axis=0).mean() for e, _ in new]) for c in (found, without)]
    assert widths[0] < widths[1]
    assert covered(found, new, 0.9) == pytest.approx(0.9 + 0.9 / 27, abs=0.025)


def test_gain_and_offset_leave_no_trace():
    images = list(pairs(20))
    other = [(Estimate.of(7 + 16 * e.samples), 7 + 16 * truth) for e, truth in images]
    found, scaled = fitted_intervals(images, **OF), fitted_intervals(other, **OF)
    assert found.floor == scaled.floor
    np.testing.assert_allclose(scaled.factors, found.factors, rtol=1e-3)


def test_the_floor_leaves_as_many_images_as_ninety_percent_need():
    for number in range(2, 200):
        chosen, others = floor_part(number)
        assert sorted([*chosen, *others]) == list(range(number))
        assert len(others) >= min(number, 9)
        assert len(chosen) == (0 if number < 10 else min(20, number // 3, number - 9))


def test_coverages_are_as_high_as_the_images_allow():
    found = fitted_intervals(pairs(12), **OF)
    assert found.images == 9
    assert len(found.factors) == 41  # 0.50 to 0.90
    with pytest.raises(
        ValueError,
        match=r"coverage=0.95 of a calibration on 9 images; expected at most 0.9; to fix: calibrate on 28 images or more",
    ):
        found.interval(next(pairs(1))[0], 0.95)
    for number in (2, 9, 19, 45, 99):  # as many as are said to be needed are enough, and one less is not
        assert len(floor_part(found.in_all(number))[1]) >= number > len(floor_part(found.in_all(number) - 1)[1])
    (estimate, _), *_ = found_on = list(pairs(28, size=(4, 5, 1)))
    fitted_intervals(found_on, **OF).interval(estimate, 0.95)


def test_what_cannot_be_calibrated_is_refused():
    (estimate, truth), *_ = pairs(1)
    with pytest.raises(ValueError, match="got 1 images; expected 2, better 20 or more; to fix: hold more images out"):
        fitted_intervals([(estimate, truth)], **OF)
    with pytest.raises(ValueError, match=r"a truth of shape \(3, 3\) for an estimate of \(20, 25, 1\)"):
        fitted_intervals([(estimate, np.zeros((3, 3)))], **OF)
    with pytest.raises(ValueError, match="a truth with NaN or infinite pixels"):
        fitted_intervals([(estimate, truth * np.nan)], **OF)
    with pytest.raises(ValueError, match="one sample, which has no spread"):
        fitted_intervals([(Estimate.of(estimate.samples[:1]), truth)], **OF)
    with pytest.raises(ValueError, match="an estimate with NaN or infinite pixels"):
        fitted_intervals([(Estimate.of(estimate.samples * np.nan), truth)], **OF)
    agreeing = Estimate.of(np.repeat(estimate.samples[:1], 2, axis=0))
    with pytest.raises(ValueError, match="samples that all agree where the truth is another, in half of all pixels"):
        fitted_intervals([(agreeing, truth)] * 3, **OF)


def test_the_file_keeps_every_bit_and_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"without intervals.json; .* to fix: jaxdiff calibrate"):
        IntervalCalibration.load(tmp_path)
    found = fitted_intervals(pairs(14), **OF)
    path = found.save(tmp_path)
    assert path == tmp_path / "intervals.json"
    assert IntervalCalibration.load(tmp_path) == found
    values = json.loads(path.read_text())
    for broken in (
        values | {"format": 99},
        values | {"more": 1},
        [1],
        {"format": 1},
        *(values | {name: value} for name, value in (
            ("factors", []), ("factors", [1.0, 0.5]), ("factors", [-1.0]), ("factors", [1.0] * 42), ("factors", [1e31]),
            ("factors", ["1"]), ("floor", -1.0), ("floor", 1e9), ("images", 0), ("percent", 100), ("coverage", 1.1),
            ("covered", -0.1), ("nominal", 2.0), ("floor_images", -1), ("task", "../x"), ("settings", [1]),
        )),
    ):  # fmt: skip
        path.write_text(json.dumps(broken))
        with pytest.raises(ValueError, match=r"got .*intervals.json: .*; expected .*; to fix: "):
            IntervalCalibration.load(tmp_path)
    path.write_text(json.dumps(values).replace('"floor":', '"floor": NaN, "other":'))
    with pytest.raises(ValueError, match=r"intervals\.json"):
        IntervalCalibration.load(tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"unreadable .*intervals.json"):
        IntervalCalibration.load(tmp_path)
    own = dataclasses.replace(found, task="unmixing")
    assert own.save(tmp_path).name == "intervals_unmixing.json"
    assert IntervalCalibration.load(tmp_path, "unmixing") == own


@pytest.fixture(scope="module")
def narrow():
    """A model of N(input, 2²) pixels that draws with a standard deviation of 1."""
    return exact(Gaussian(1.0, 0.0, 1.0 / 20), Denoising())


def held_out(number, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(80, 120, (number, 12, 12, 1)).astype(np.float32)
    return images, images + rng.normal(0.0, 2.0, images.shape)


def test_a_model_is_calibrated_for_its_settings(narrow):
    images, truths = held_out(10)
    found = calibrate_intervals(KEY, narrow, images, truths, samples=8, calls=16)
    assert found.images == 9
    assert found.covered < 0.7 < found.nominal
    assert found.settings == task_settings(narrow, denoise, 8, calls=16, solver=jd.DPMpp(2))
    assert found.unlike(narrow, "denoise", task_settings(narrow, denoise, 8, calls=16, correct=True)) is None
    for options, word in (
        ({"samples": 9}, "samples 9, it is of 8"),
        ({"calls": 4}, "calls 4, it is of 16"),
        ({"correct": False}, "correct False, it is of True"),
        ({"solver": jd.DPMpp(1)}, "solver .*, it is of .*"),
    ):
        changed = {"samples": 8, "calls": 16} | options
        reason = found.unlike(narrow, "denoise", task_settings(narrow, denoise, **changed))
        assert reason is not None
        assert reason.startswith(word.split()[0])
    assert "checkpoint 5" in str(found.unlike(dataclasses.replace(narrow, step=5), "denoise", found.settings))
    other = exact(Gaussian(1.0, 0.0, 1.0 / 10), Denoising())
    assert found.unlike(other, "denoise", found.settings) == "the model has other parameters, it was trained anew"

    result = denoise(KEY, narrow, held_out(1, seed=1)[0][0], samples=8, calls=16)
    low, high = found.interval(result, 0.9)
    truth = held_out(1, seed=1)[1][0]
    assert np.mean((low <= truth) & (truth <= high)) > 0.8
    assert low.dtype == high.dtype == np.float32


def test_images_that_say_nothing_are_refused_before_their_samples(narrow):
    images, truths = held_out(3)
    with pytest.raises(ValueError, match="got image 0, which is blank"):
        calibrate_intervals(KEY, narrow, images * 0, truths, samples=2, calls=2)
    with pytest.raises(ValueError, match="got more images than the 1 truths; expected one truth for each image"):
        calibrate_intervals(KEY, narrow, images, truths[:1], samples=2, calls=2)
    with pytest.raises(ValueError, match="samples=1; expected 2 or more"):
        calibrate_intervals(KEY, narrow, images, truths, samples=1)
    with pytest.raises(ValueError, match="trained to segment; expected one to denoise, super-resolve, translate"):
        calibrate_intervals(KEY, exact(Gaussian(), Segmentation()), images, truths)
