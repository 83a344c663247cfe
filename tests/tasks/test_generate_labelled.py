"""Labelled generation: images of given masks and classes, images with their own masks, and images that are varied."""

import jax
import numpy as np
import pytest
from exact_models import Always, Gaussian, exact

import jaxdiff as jd
from jaxdiff.data.pairs import Denoising, Joint, LabelledGeneration, signed_distance
from jaxdiff.guidance import Guidance
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.tasks.generate_labelled import generate_labelled

KEY = jax.random.key(0)
WINDOW = (12, 12)
SHIFT = np.array([0.0, 1.0, -1.0, 0.5], np.float32)
"""Of three classes, and last of none."""
GAIN, STD = 0.7, 0.8
CALLS = 20
"""The same in all tests, which so share compiled programs."""


@pytest.fixture(scope="module")
def model():
    """Images that are 100 + 20 (0.7 distance + shift of the class)."""
    return exact(Gaussian(GAIN, SHIFT), LabelledGeneration(), window=WINDOW, classes=3, input_units=(0.0, 1.0))


def discs(num, *size) -> np.ndarray:
    masks, places = np.zeros((num, *size), np.int32), np.indices(size)
    for i, mask in enumerate(masks):
        mask[((places - np.array([5, 5 + i])[:, None, None]) ** 2).sum(0) < 16] = 7
    return masks


def distances(masks):
    return np.stack([signed_distance(mask) for mask in masks])[..., None]


def of(masks, shift):
    return 100 + 20 * (GAIN * distances(masks) + np.reshape(shift, (-1, 1, 1, 1)))


@pytest.mark.filterwarnings("ignore:an image of 9 x 11")
@pytest.mark.parametrize("size", [(12, 12), (17, 20), (9, 11)], ids=["a window", "windows", "smaller"])
def test_images_of_masks_of_any_size(model, size):
    masks = discs(2, *size)
    made = generate_labelled(KEY, model, masks.astype(np.uint8), calls=CALLS)
    np.testing.assert_allclose(made.images, of(masks, SHIFT[-1]), rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(made.masks, masks)
    assert made.masks.dtype == np.int32
    assert made.images.dtype == np.float32
    assert made.labels is None


def test_images_of_classes(model):
    masks = discs(2, *WINDOW)
    made = generate_labelled(KEY, model, masks, labels=[2, 0], calls=CALLS)
    np.testing.assert_allclose(made.images, of(masks, SHIFT[[2, 0]]), rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(made.labels, [2, 0])
    same = generate_labelled(KEY, model, masks, labels=1, num=2, calls=CALLS)
    np.testing.assert_allclose(same.images, of(masks, SHIFT[1]), rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(same.labels, [1, 1])


def test_guidance_goes_through_the_null(model):
    masks = discs(2, 17, 20)
    made = generate_labelled(KEY, model, masks, labels=[2, 0], calls=CALLS, guidance=3.0)
    null, given = 100 + 20 * SHIFT[-1], of(masks, SHIFT[[2, 0]])  # the null knows neither mask nor class
    np.testing.assert_allclose(made.images, null + 3 * (given - null), rtol=1e-5, atol=2e-3)
    late = Guidance(3.0, interval=(50.0, 60.0))  # acts nowhere on the grid
    unguided = generate_labelled(KEY, model, masks, labels=[2, 0], calls=CALLS, guidance=late)
    np.testing.assert_allclose(unguided.images, given, rtol=1e-5, atol=1e-3)
    # Its contrast is that of the whole image, not of a window: each goes back to the condition's about its own mean.
    made = generate_labelled(KEY, model, masks, labels=[2, 0], calls=CALLS, guidance=Guidance(3.0, rescale=1.0)).images
    brighter = (2 * (given - null)).mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(made, given + brighter, rtol=1e-5, atol=2e-3)


def test_a_joint_model_makes_its_own_masks():
    mask = discs(1, *WINDOW)[0]
    brightness = np.random.default_rng(0).normal(size=(*WINDOW, 1))
    both = np.concatenate([brightness, signed_distance(mask)[..., None] / 4], axis=-1).astype(np.float32)
    model = exact(Always(both), Joint(), window=WINDOW, units=((100.0, 0.0), (20.0, 4.0)))
    made = generate_labelled(KEY, model, num=3, calls=CALLS)
    np.testing.assert_allclose(made.images, np.stack([100 + 20 * brightness] * 3), rtol=1e-5)
    np.testing.assert_array_equal(made.masks, np.stack([mask > 0] * 3))
    assert made.masks.dtype == np.int32
    none = generate_labelled(KEY, model, num=3, calls=CALLS, least=100)
    assert not none.masks.any()


@pytest.fixture(scope="module")
def wide():
    """Images around 100 + 20 · 0.7 distance, with a spread of 16."""
    return exact(Gaussian(GAIN, np.zeros(4), STD), LabelledGeneration(), window=WINDOW, input_units=(0.0, 1.0))


@pytest.mark.parametrize("start_lam", [-1.0, 3.3])
def test_a_start_is_noised_and_followed(wide, start_lam):
    """The flow of a Gaussian: x/√(α²s² + σ²) around the mean stays what it was; the last call returns D."""
    masks = discs(2, *WINDOW)
    start = np.random.default_rng(1).normal(100, 20, (2, *WINDOW, 1)).astype(np.float32)
    made = generate_labelled(KEY, wide, masks, start=start, start_lam=start_lam, calls=CALLS)
    grid = jd.grids.uniform_lam(wide.schedule, CALLS, lam_min=start_lam)
    state = np.asarray(jd.noise(KEY, (start - 100) / 20, grid[0]))
    (a0, s0), (a1, s1) = ((alpha(lam), sigma(lam)) for lam in (grid[0], grid[-1]))
    mean = GAIN * distances(masks)
    kept = (state - a0 * mean) / np.sqrt((a0 * STD) ** 2 + s0**2)
    wanted = mean + a1 * STD**2 / np.sqrt((a1 * STD) ** 2 + s1**2) * kept
    np.testing.assert_allclose((made.images - 100) / 20, wanted, atol=0.02 * STD)
    if start_lam > 3:  # hardly any noise: the start itself, but for that noise and what D takes off again
        np.testing.assert_allclose(made.images, start, atol=20 * 5 * sigma(start_lam))


def test_a_joint_model_varies_images_with_their_masks():
    mask = discs(2, *WINDOW)
    model = exact(Gaussian(std=30.0), Joint(), window=WINDOW, units=((100.0, 0.0), (20.0, 4.0)))
    start = np.random.default_rng(1).normal(100, 20, (2, *WINDOW, 1)).astype(np.float32)
    made = generate_labelled(KEY, model, mask, start=start, start_lam=3.3, calls=CALLS)
    np.testing.assert_allclose(made.images, start, atol=20 * 5 * sigma(3.3))
    # The distance is 1/2 at outlines: a noise of 4 sigma(3.3) = 0.15 moves them by chance only.
    assert np.mean((made.masks > 0) == (mask > 0)) > 0.99


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (np.ones((2, 12, 12)), "values of type float64; expected integer labels"),
        (np.ones((2, 12, 12), bool), "values of type bool; .* scipy.ndimage.label"),
        (np.full((2, 12, 12), -1), "labels from -1 to -1; expected labels from 0"),
        (np.full((2, 12, 12), 2**31), "labels up to 2147483648; expected 31 bits"),
        (np.ones((12, 12), int), r"shapes \(12,\); expected \(num, y, x\)"),
        (np.ones((2, 12, 12, 1), int), r"shapes \(12, 12, 1\); expected \(num, y, x\)"),
        ([np.ones((12, 12), int), np.ones((12, 13), int)], r"\(12, 12\), \(12, 13\); .* one call for each size"),
        (np.ones((0, 12, 12), int), r"shapes \(\)"),
        (None, "no masks for a model that makes images of given masks"),
    ],
    ids=["floats", "bool", "negative", "large", "one", "channels", "sizes", "none", "left out"],
)
def test_masks_that_do_not_fit_are_refused(model, masks, words):
    with pytest.raises(ValueError, match=f"got .*{words}"):
        generate_labelled(KEY, model, masks)


def test_more_is_refused(model, wide):
    masks, start = discs(2, *WINDOW), np.zeros((2, *WINDOW, 1))
    for options, words in [
        ({"labels": 3}, r"label 3..3; expected 0 to 2.* to fix: choose one"),
        ({"labels": 0.5}, "integers"),
        ({"num": 3}, "num=3 for 2 masks"),
        ({"start": start[:1]}, r"1 start images of \(12, 12\) pixels for 2 masks"),
        ({"start": start[:, :5]}, r"2 start images of \(5, 12\) pixels for 2 masks of \(12, 12\)"),
        ({"start": np.full_like(start, np.nan)}, "NaN"),
        ({"start": start, "start_lam": 9.0}, r"start_lam=9; expected .* to below 3.5, where 20 calls end"),
        ({"start": start, "start_lam": -99.0}, "start_lam=-99"),
    ]:
        with pytest.raises(ValueError, match=words):
            generate_labelled(KEY, model, masks, **options)
    with pytest.raises(ValueError, match="the model knows no classes"):
        generate_labelled(KEY, wide, masks, labels=0)
    joint = exact(Always(np.zeros((*WINDOW, 2))), Joint(), window=WINDOW, units=(0.0, 1.0))
    with pytest.raises(ValueError, match="masks without start images"):
        generate_labelled(KEY, joint, masks)
    with pytest.raises(ValueError, match="num=None; expected at least 1"):
        generate_labelled(KEY, joint)
    with pytest.raises(ValueError, match="guidance without a condition"):
        generate_labelled(KEY, joint, num=2, guidance=2.0)
    with pytest.raises(ValueError, match=r"trained on images alone; .* to fix: model.sample"):
        generate_labelled(KEY, exact(Gaussian()), masks)
    with pytest.raises(ValueError, match="trained to denoise; expected one to generate"):
        generate_labelled(KEY, exact(Gaussian(), Denoising()), masks)
