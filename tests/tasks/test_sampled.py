"""Samples given an image: their distribution, images of all sizes, what they depend on, and seams."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_models import IMAGE, TRACES, Gaussian, exact

import jaxdiff as jd
from jaxdiff.data.pairs import Denoising, LabelledGeneration, Segmentation
from jaxdiff.metrics.seams import has_seam, seam_statistic
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.tasks.sampled import check_task, conditional_samples, reflected

GAIN, SHIFT, STD = 0.5, -0.8, 0.6
MEAN, SCALE = 300.0, 50.0
"""Of the target's units; the input's are 100 and 20."""
DENOISE = Gaussian(GAIN, SHIFT, STD)
CALLS = 64
"""The same in all tests, which so share compiled programs."""


@pytest.fixture(scope="module")
def model():
    return exact(DENOISE, Denoising(), units=(MEAN, SCALE))


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


def expected(inputs):
    return MEAN + SCALE * (GAIN * (inputs - 100) / 20 + SHIFT)


@pytest.mark.parametrize(
    ("size", "samples"),
    [((8, 8), 1), ((8, 8), 40), ((19, 30), 40)],
    ids=["one sample", "a window", "windows"],
)
def test_samples_are_of_the_posterior(model, size, samples):
    inputs = image(*size, 1)
    draws = conditional_samples(jax.random.key(1), model, inputs, samples, calls=CALLS)
    assert draws.shape == (samples, *size, 1)
    assert draws.dtype == np.float32
    # The last call returns D: of the variance, what is still under the noise at the grid's end is left out.
    end = model.grid(CALLS)[-1]
    left = alpha(end) ** 2 * STD**2 / (alpha(end) ** 2 * STD**2 + sigma(end) ** 2)
    rest = (draws - expected(inputs)) / (SCALE * STD * np.sqrt(left))
    # 4.5 standard errors: one of 150,000 correct programs fails a line.
    assert abs(rest.mean()) < 4.5 / np.sqrt(rest.size)
    assert abs(rest.var() - 1) < 4.5 * np.sqrt(2 / rest.size)
    ranks = np.argsort(np.argsort(inputs.ravel()))  # no more of the input is left in what the mean does not explain
    assert abs(np.corrcoef(ranks, rest.mean(axis=0).ravel())[0, 1]) < 4.5 / np.sqrt(inputs.size)


def test_windows_of_a_pixelwise_model_change_nothing(model):
    whole = dataclasses.replace(model, shape=(19, 30, 1))
    inputs, key = image(19, 30, 1), jax.random.key(2)
    np.testing.assert_allclose(
        conditional_samples(key, model, inputs, 3, calls=CALLS),
        conditional_samples(key, whole, inputs, 3, calls=CALLS),
        rtol=1e-4,
        atol=1e-2,
    )


def test_what_is_smaller_than_a_window_is_reflected_and_said(model):
    small, key = image(5, 3, 1), jax.random.key(3)
    mirrored = np.pad(small, [(0, 3), (0, 5), (0, 0)], mode="symmetric")
    np.testing.assert_array_equal(reflected(small[None], (8, 8))[0], mirrored)
    with pytest.warns(UserWarning, match=r"5 x 3 pixels is smaller than the model's window of 8 x 8 and was reflected"):
        draws = conditional_samples(key, model, small, 40, calls=CALLS)
    np.testing.assert_array_equal(draws, conditional_samples(key, model, mirrored, 40, calls=CALLS)[:, :5, :3])
    tiny = np.full((1, 1, 1), 7.0, np.float32)
    np.testing.assert_array_equal(reflected(tiny[None], (8, 8)), np.full((1, 8, 8, 1), 7.0))


def test_sample_k_depends_on_the_key_and_k(model):
    inputs = image(8, 8, 1)
    many = conditional_samples(jax.random.key(4), model, inputs, 40, calls=CALLS)  # in two batches
    one = conditional_samples(jax.random.key(4), model, inputs, 1, calls=CALLS)
    np.testing.assert_allclose(one, many[:1], rtol=1e-4, atol=1e-2)
    assert len(np.unique(many[:, 0, 0, 0])) == 40
    assert (one != conditional_samples(jax.random.key(5), model, inputs, 1, calls=CALLS)).all()


def test_one_channel_and_integers_are_as_good(model):
    inputs, key = np.round(image(8, 8, 1)), jax.random.key(5)
    wanted = conditional_samples(key, model, inputs, 1, calls=CALLS)
    for same in (inputs[..., 0], inputs.astype(np.uint16), inputs.astype(np.float64)):
        np.testing.assert_array_equal(conditional_samples(key, model, same, 1, calls=CALLS), wanted)


@pytest.mark.parametrize(("size", "samples"), [((8, 8), 1), ((19, 30), 3)], ids=["a window", "windows"])
def test_another_image_or_key_is_no_new_trace(model, size, samples):
    conditional_samples(jax.random.key(0), model, image(*size, 1), samples, calls=CALLS)
    before = len(TRACES)
    assert before > 0
    conditional_samples(jax.random.key(1), model, image(*size, 1, seed=1), samples, calls=CALLS)
    # Other weights, too, as those of the next checkpoint.
    other = eqx.tree_at(lambda d: d.gain, DENOISE, np.float32(0.1))
    conditional_samples(
        jax.random.key(1), dataclasses.replace(model, denoise=other), image(*size, 1, seed=1), samples, calls=CALLS
    )
    assert len(TRACES) == before


def test_several_channels_and_volumes():
    info = IMAGE.replace(axes="ZYXC", channel_names=("DAPI", "GFP"), pixel_size={})
    denoise = Gaussian(np.array([1.0, -1.0]))
    model = exact(denoise, Denoising(), window=(4, 8, 8), info=info, input_units=((0.0, 50.0), (1.0, 2.0)))
    inputs = image(5, 9, 8, 2)
    draws = conditional_samples(jax.random.key(0), model, inputs, 1, calls=2)
    np.testing.assert_allclose(draws[0, ..., 0], 100 + 20 * inputs[..., 0], rtol=1e-5)
    np.testing.assert_allclose(draws[0, ..., 1], 100 - 20 * (inputs[..., 1] - 50) / 2, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((8, 8, 2)), r"shape \(8, 8, 2\); expected axes YXC with 1 channels \(DAPI\)"),
        (np.zeros((2, 8, 8, 1)), r"expected axes YXC"),
        (np.zeros(8), r"expected axes YXC"),
        (np.zeros((0, 8, 1)), r"shape \(0, 8, 1\)"),
        (np.full((8, 8, 1), np.nan), "NaN or infinite"),
    ],
)
def test_images_that_do_not_fit_are_refused(model, bad, words):
    with pytest.raises(ValueError, match=rf"got .*{words}.*to fix"):
        conditional_samples(jax.random.key(0), model, bad, 1, calls=2)


def test_no_samples_and_no_condition_are_refused(model):
    with pytest.raises(ValueError, match="samples=0; expected at least 1"):
        conditional_samples(jax.random.key(0), model, image(8, 8, 1), 0, calls=2)
    with pytest.raises(ValueError, match="without an image condition"):
        conditional_samples(jax.random.key(0), exact(DENOISE), image(8, 8, 1), 1, calls=2)


def test_samples_that_are_not_finite_are_refused():
    model = exact(lambda x, lam, cond=None: x / 0, Denoising())
    with pytest.raises(ValueError, match="samples that are not finite"):
        conditional_samples(jax.random.key(0), model, image(8, 8, 1), 1, calls=2)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (Denoising(), r"trained to denoise; expected one to segment; to fix: use jd.tasks.denoise"),
        (LabelledGeneration(), r"trained to generate; .* jd.tasks.generate_labelled"),
        (None, r"trained to generate; .* model.sample,"),
    ],
)
def test_a_model_for_something_else_is_refused(pairs, words):
    with pytest.raises(ValueError, match=words):
        check_task(exact(DENOISE, pairs), "segment")
    check_task(exact(DENOISE, Segmentation()), "segment")


class Levels(eqx.Module):
    """Pixels around the input and around a level that a whole window shares: N(c, s² I + t² 1 1ᵀ).

    Windows that are sampled apart have levels of their own, as a network invents what it cannot see.
    """

    s: float = 0.5
    t: float = 1.5

    def __call__(self, x, lam, cond=None):
        lam = jnp.asarray(lam, x.dtype)
        mean = 0.0 if cond is None else cond["image"][..., :1]
        a, noise = alpha(lam), sigma(lam) ** 2
        rest = x - a * mean
        level = rest.mean()
        own, shared = self.s**2, self.s**2 + x.size * self.t**2
        return mean + a * own / (a**2 * own + noise) * (rest - level) + a * shared / (a**2 * shared + noise) * level


def test_windows_leave_no_seams_where_cut_ones_do():
    window, overlap = 16, 4
    model = exact(Levels(), Denoising(), window=(window, window), units=(0.0, 1.0), input_units=(0.0, 1.0))
    inputs = np.zeros((100, 112, 1), np.float32)
    joined = conditional_samples(jax.random.key(0), model, inputs, 2, calls=12)
    for draw in joined:
        for start in (0, window):  # where windows begin, and where they end
            assert not has_seam(seam_statistic(draw, window - overlap, start))
    # The control: the same samples of the same model, each window on its own, side by side.
    tiles = conditional_samples(jax.random.key(0), model, inputs[:window, :window], 36, calls=12).reshape(
        6, 6, window, window
    )
    apart = tiles.swapaxes(1, 2).reshape(6 * window, 6 * window, 1)
    assert has_seam(seam_statistic(apart, window))
    # Both have the contrast of the model: seams were not avoided by making everything grey.
    pixels = np.concatenate([np.diff(d, axis=a).ravel() for d in joined for a in (0, 1)])
    assert abs(pixels.std() / (np.sqrt(2) * 0.5) - 1) < 0.15


def test_the_default_solver_is_dpm_plus_plus(model):
    inputs, key = image(8, 8, 1), jax.random.key(6)
    named = conditional_samples(key, model, inputs, 1, calls=CALLS, solver=jd.DPMpp(2))
    np.testing.assert_array_equal(conditional_samples(key, model, inputs, 1, calls=CALLS), named)
    assert (conditional_samples(key, model, inputs, 1, calls=CALLS, solver=jd.DDPM()) != named).any()


def test_the_spread_of_a_narrow_posterior_needs_a_grid_that_ends_later():
    """Pixels of N(input, 0.1²) in model units: 8 calls on the default grid lose a third of it."""
    model = exact(Gaussian(1.0, 0.0, 0.1), Denoising())
    image = np.random.default_rng(0).uniform(80, 120, (8, 8, 1)).astype(np.float32)
    default, moved = (
        conditional_samples(jax.random.key(0), model, image, 64, calls=8, posterior_std=std).std(axis=0, ddof=1).mean()
        for std in (1.0, 0.1)
    )
    assert default == pytest.approx(0.7 * 0.1 * 20, rel=0.05)
    assert moved == pytest.approx(0.1 * 20, rel=0.05)
    for wrong in (0.0, 2.0, float("nan")):
        with pytest.raises(ValueError, match=r"posterior_std=.*; expected 0\.001 to 1"):
            conditional_samples(jax.random.key(0), model, image, 2, calls=2, posterior_std=wrong)
