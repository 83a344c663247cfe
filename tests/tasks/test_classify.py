"""Classification by denoising errors, on classes that are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from class_problems import UNIFORM_IN_LAM, drawn, gaussians, log_density, model
from scipy.special import log_softmax

import jaxdiff as jd
from jaxdiff.data.info import DataInfo
from jaxdiff.tasks.classify import calibrate, classify
from jaxdiff.training.weighting import Likelihood, SNRPlusOne


def test_dropping_classes_saves_work_and_changes_no_answer():
    images, labels = drawn(24)
    classifier = model(gaussians())
    options = {"draws": 64, "batch": 64}
    early = classify(jax.random.key(0), classifier, images, **options)
    full = classify(jax.random.key(0), classifier, images, standard_errors=None, **options)
    np.testing.assert_array_equal(early.label, full.label)
    assert np.all(full.draws == 64)
    assert early.draws.mean() < 0.8 * 64
    rows = np.arange(24), full.label
    np.testing.assert_array_equal(early.draws[rows], 64)
    np.testing.assert_allclose(early.error[rows], full.error[rows], rtol=1e-5)
    np.testing.assert_allclose(early.score, full.score, rtol=1e-5)
    assert (full.label == labels).mean() > 0.6


def test_decisions_and_probabilities_are_those_of_bayes(x64):
    images, _ = drawn(8, seed=6)
    result = classify(
        jax.random.key(1),
        model(gaussians()),
        images,
        2000,
        weighting=Likelihood(),
        lam_sampler=UNIFORM_IN_LAM,
        batch=4000,
    )
    wanted = np.array([log_density((image - 50) / 10) for image in images])
    sure = np.sort(wanted, axis=1)[:, -1] - np.sort(wanted, axis=1)[:, -2] > 0.5
    np.testing.assert_array_equal(result.label[sure], wanted.argmax(axis=1)[sure])
    np.testing.assert_allclose(result.probability, np.exp(log_softmax(wanted, axis=1)), atol=0.1)
    np.testing.assert_allclose(result.probability.sum(axis=1), 1, rtol=1e-12)
    assert sure.sum() >= 4


def test_images_keys_and_sizes_are_one_program():
    denoise = gaussians.__wrapped__()
    classifier, rng = model(denoise), np.random.default_rng(7)
    for seed, size in enumerate([(2, 2), (2, 2), (4, 6), (3, 2)]):
        classify(jax.random.key(seed), classifier, 50 + 10 * rng.normal(size=(*size, 1)), 16)
    assert len(denoise.traces) == 1


def test_one_image_is_the_first_of_a_stack_and_depends_on_its_key_only():
    images, _ = drawn(3)
    classifier, key = model(gaussians()), jax.random.key(2)
    stack, one = classify(key, classifier, images, 16), classify(key, classifier, images[0], 16)
    for many, single in zip(stack, one):
        np.testing.assert_array_equal(many[0], single)
    without_channel = classify(key, classifier, [image[..., 0] for image in images], 16)
    np.testing.assert_array_equal(without_channel.error, stack.error)
    assert stack.error.shape == stack.probability.shape == stack.draws.shape == (3, 4)
    assert one.label.shape == one.score.shape == ()
    assert not np.allclose(classify(jax.random.key(3), classifier, images[0], 16).error, one.error)


def test_a_large_image_has_the_mean_of_its_windows_and_a_small_one_is_reflected():
    classifier, key = model(gaussians()), jax.random.key(0)
    large = 50 + 10 * np.random.default_rng(8).normal(size=(4, 5, 1))
    corners = [large[y : y + 2, x : x + 2] for y in (0, 2) for x in (0, 2, 3)]
    got = classify(key, classifier, large, 16, standard_errors=None)
    apart = [classify(key, classifier, window, 16, standard_errors=None).error for window in corners]
    np.testing.assert_allclose(got.error, np.mean(apart, axis=0), rtol=1e-5)
    with pytest.warns(UserWarning, match=r"image of 1 x 2 pixels is smaller than the model's window of 2 x 2"):
        small = classify(key, classifier, large[:1, :2], 16)
    np.testing.assert_array_equal(small.error, classify(key, classifier, large[[0, 0], :2], 16).error)


def test_the_score_tells_images_of_no_class():
    images, labels = drawn(60, seed=9, apart=0.5)
    classifier, key = model(gaussians(apart=0.5)), jax.random.key(0)
    calibration = calibrate(key, classifier, images[:40], labels[:40], 16)
    again = classify(key, classifier, images[:40], 16, calibration=calibration)
    assert again.score.mean() == pytest.approx(0, abs=1e-9)
    assert again.score.std(ddof=1) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(again.score, (again.error.min(axis=1) - calibration.mean) / calibration.std)
    known = classify(jax.random.key(1), classifier, images[40:], 16, calibration=calibration)
    unknown = classify(jax.random.key(1), classifier, images[40:] + 60, 16, calibration=calibration)
    assert abs(known.score.mean()) < 1
    assert unknown.score.min() > known.score.max() > 0
    assert (calibration.images, calibration.checkpoint) == (40, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": jd.UNet(num_classes=0)}, "a model of 0 classes; expected one of images by two classes or more"),
        ({"network": jd.UNet(num_classes=1)}, "a model of 1 classes"),
        ({"pairing": object()}, "a model trained with pairs; expected one of images"),
        ({"info": DataInfo(class_names=("a", "b"))}, r"4 classes with 2 names \(a, b\); expected a name for each"),
        ({"info": DataInfo(class_names=tuple("abcde"))}, "4 classes with 5 names"),
        (
            {"info": DataInfo(channel_names=("r", "g"))},
            r"shape \(2, 2, 1\); expected axes YXC with 2 channels \(r, g\)",
        ),
    ],
)
def test_models_that_cannot_classify_this_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        classify(jax.random.key(0), model(gaussians(), **options), drawn(1)[0][0])


def test_bad_input_is_refused():
    classifier, key, (images, labels) = model(gaussians()), jax.random.key(0), drawn(4)
    for bad, message in [
        (images[0] * np.nan, "NaN or infinite pixels"),
        (np.concatenate([images, images], axis=-1), "expected axes YXC with 1 channels"),
        ([], "got no images"),
    ]:
        with pytest.raises(ValueError, match=message):
            classify(key, classifier, bad)
    for options, message in [
        ({"draws": 1}, "draws=1; expected at least 2"),
        ({"batch": 0}, "batch=0; expected at least 1"),
        ({"standard_errors": 0.0}, "standard_errors=0.0; expected above 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            classify(key, classifier, images[0], **options)
    broken = lambda x, lam, cond: x * jnp.where(cond["label"] == 2, jnp.nan, 1.0)  # noqa: E731
    with pytest.raises(ValueError, match="errors that are not finite"):
        classify(key, model(broken), images[0])
    with pytest.raises(ValueError, match=r"4 image\(s\) and 3 labels"):
        calibrate(key, classifier, images, labels[:3])
    with pytest.raises(ValueError, match=r"got blank images \(1\), which have no class; expected none"):
        calibrate(key, classifier, [images[0], 0 * images[1]], labels[:2])
    calibration = calibrate(key, classifier, drawn(30)[0], drawn(30)[1], 16)
    with pytest.raises(ValueError, match="got draws 64 with a calibration of 16; expected the same"):
        classify(key, classifier, images[0], calibration=calibration)
    with pytest.raises(
        ValueError, match=r"got weighting \{'type': 'SNRPlusOne'\} with a calibration of \{'type': 'Sigmoid'"
    ):
        classify(key, classifier, images[0], 16, weighting=SNRPlusOne(), calibration=calibration)
    with pytest.warns(UserWarning, match="calibration is of checkpoint 7, not 8"):
        classify(key, model(gaussians(), step=8), images[0], 16, calibration=calibration)
