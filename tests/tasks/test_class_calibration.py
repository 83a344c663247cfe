"""Temperatures of classifiers: what a fit must find, and the file it is kept in."""

import json

import numpy as np
import pytest
from scipy.special import log_softmax

from jaxdiff.metrics import expected_calibration_error
from jaxdiff.tasks.class_calibration import NAME, Calibration, fitted, load_calibration, probabilities


def labelled(number, temperature, seed=0, classes=3):
    """Errors, and labels drawn from softmax(−errors/temperature)."""
    rng = np.random.default_rng(seed)
    errors = 500 + 40 * rng.normal(size=(number, classes))
    chance = rng.random((number, 1))
    return errors, (probabilities(errors, temperature).cumsum(axis=1) < chance).sum(axis=1)


def nll(errors, labels, temperature):
    return -log_softmax(-errors / temperature, axis=1)[np.arange(len(labels)), labels].mean()


def test_the_temperature_of_the_labels_is_found():
    errors, labels = labelled(4000, 25.0)
    found = fitted(errors, labels)
    assert found.temperature == pytest.approx(25, rel=0.08)  # its standard error is 2 %
    assert found.nll == pytest.approx(nll(errors, labels, found.temperature), rel=1e-12)
    for factor in (0.99, 1.01):
        assert nll(errors, labels, factor * found.temperature) > found.nll
    assert fitted(7 * errors, labels).temperature == pytest.approx(7 * found.temperature, rel=1e-4)
    assert fitted(errors + 1e4 * np.arange(4000)[:, None], labels).temperature == pytest.approx(
        found.temperature, rel=1e-4
    )
    assert (found.mean, found.std) == (errors.min(axis=1).mean(), errors.min(axis=1).std(ddof=1))
    assert found.accuracy == (errors.argmin(axis=1) == labels).mean()


def test_probabilities_are_calibrated_on_images_that_were_not_fitted():
    errors, labels = labelled(4000, 25.0)
    found = fitted(errors[:1000], labels[:1000])
    before, after = (
        expected_calibration_error(probabilities(errors[1000:], t), labels[1000:]) for t in (1.0, found.temperature)
    )
    assert before > 0.2
    assert after < 0.04
    np.testing.assert_allclose(probabilities(errors, found.temperature).sum(axis=1), 1)
    assert np.isfinite(probabilities(np.array([0.0, 1e6]), 1.0)).all()


def test_held_out_images_that_are_all_right_leave_the_temperature_open():
    errors, labels = labelled(20, 1e-6)
    with pytest.warns(UserWarning, match="all 20 held-out images are classified right"):
        found = fitted(errors, labels)
    assert found.nll == pytest.approx(np.log(22 / 21))
    assert found.accuracy == 1


def test_errors_that_say_nothing_are_refused():
    errors, labels = labelled(50, 25.0)
    with pytest.raises(ValueError, match=r"above the mean of all classes; expected below; to fix: are the labels"):
        fitted(-errors, labels)
    with pytest.raises(ValueError, match="the same error for all images"):
        fitted(np.tile(errors[:1], (50, 1)), labels)
    with pytest.raises(ValueError, match=r"labels 0 to 3; expected 0 to 2"):
        fitted(errors, np.append(labels[1:], 3) * (np.arange(50) > 0))
    for few in (labels[:1], labels.astype(float), labels[:, None]):
        with pytest.raises(ValueError, match="expected two images or more and an integer for each"):
            fitted(errors[: len(few)], few)


def test_the_file_keeps_every_bit_and_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"without classifier.json; .* to fix: jaxdiff calibrate"):
        load_calibration(tmp_path)
    found = fitted(*labelled(50, 25.0), settings={"draws": 8, "weighting": {"bias": 0.1}}, checkpoint=3)
    assert found.save(tmp_path) == tmp_path / NAME
    assert load_calibration(tmp_path) == found
    found.save(tmp_path)  # again
    values = json.loads((tmp_path / NAME).read_text())
    for broken in (values | {"format": 99}, values | {"more": 1}, [1], {"format": 1}):
        (tmp_path / NAME).write_text(json.dumps(broken))
        with pytest.raises(ValueError, match=r"got .*classifier.json: .*; expected .*; to fix: "):
            load_calibration(tmp_path)
    (tmp_path / NAME).write_text("{")
    with pytest.raises(ValueError, match=r"unreadable .*classifier.json"):
        load_calibration(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", value) for value in (0, -1, 1e-320, 1e-300, 1e308)),
        *(("std", value) for value in (0, 1e-300, 1e39)),
        *(("mean", value) for value in (1e308, -1e308)),
        ("images", 1),
        ("accuracy", 1.1),
        ("nll", -0.1),
    ],
)
def test_numbers_that_give_no_probabilities_are_refused_by_field(tmp_path, name, value):
    fitted(*labelled(50, 25.0)).save(tmp_path)
    values = {**json.loads((tmp_path / NAME).read_text()), name: value}
    (tmp_path / NAME).write_text(json.dumps(values))
    with pytest.raises(
        ValueError, match=rf"classifier.json: Calibration: {name} .*; expected .*; to fix: calibrate anew"
    ):
        load_calibration(tmp_path)


def test_settings_must_be_those_of_the_fit():
    found = Calibration(
        temperature=1.0, mean=0.0, std=1.0, images=2, accuracy=1.0, nll=0.1, settings={"draws": 8}, checkpoint=3
    )
    found.check({"draws": 8}, 3)
    with pytest.raises(ValueError, match="got draws 9 with a calibration of 8; expected the same; to fix"):
        found.check({"draws": 9}, 3)
    with pytest.warns(UserWarning, match="calibration is of checkpoint 3, not None"):
        found.check({"draws": 8}, None)
