"""PSNR, NRMSE, Pearson and SSIM against scikit-image, and what they say at their limits."""

import numpy as np
import pytest

from jaxdiff import metrics

SHAPES = [(40, 33, 1), (32, 41, 3), (12, 21, 17, 1)]


def pair(shape, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.gamma(2, 300, shape)
    return truth, truth + rng.normal(0, 100, shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_to_scikit_image(shape):
    reference = pytest.importorskip("skimage.metrics")
    measure = pytest.importorskip("skimage.measure")
    truth, image = pair(shape)
    assert metrics.psnr(truth, image, 900.0) == pytest.approx(
        reference.peak_signal_noise_ratio(truth, image, data_range=900.0), rel=1e-12
    )
    for ours, theirs in (("rms", "euclidean"), ("mean", "mean"), ("range", "min-max")):
        expected = reference.normalized_root_mse(truth, image, normalization=theirs)
        assert metrics.nrmse(truth, image=image, by=ours) == pytest.approx(expected, rel=1e-12)
    assert metrics.pearson(truth, image) == pytest.approx(measure.pearson_corr_coeff(truth, image)[0], rel=1e-12)
    expected = reference.structural_similarity(
        truth, image, gaussian_weights=True, use_sample_covariance=False, data_range=900.0, channel_axis=-1
    )
    assert metrics.ssim(truth, image, 900.0) == pytest.approx(expected, rel=1e-10)


def test_ssim_of_one_window_is_the_published_formula():
    x, y = (v[..., 0] for v in pair((11, 11, 1)))
    place = np.arange(-5, 6)
    weight = np.exp(-(place[:, None] ** 2 + place**2) / (2 * 1.5**2))
    weight /= weight.sum()
    mx, my = np.sum(weight * x), np.sum(weight * y)
    vx, vy, c = (np.sum(weight * a * b) for a, b in ((x - mx, x - mx), (y - my, y - my), (x - mx, y - my)))
    c1, c2 = (0.01 * 800) ** 2, (0.03 * 800) ** 2
    expected = (2 * mx * my + c1) * (2 * c + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert metrics.ssim(x[..., None], y[..., None], 800.0) == pytest.approx(expected, rel=1e-12)


def test_equal_images():
    truth, _ = pair((20, 20, 1))
    assert metrics.psnr(truth, truth, 1.0) == float("inf")
    assert metrics.nrmse(truth, image=truth) == 0
    assert metrics.pearson(truth, 7 - 3 * truth) == pytest.approx(-1, abs=1e-14)
    assert metrics.ssim(truth, truth, 1000.0) == pytest.approx(1, abs=1e-14)
    assert np.isnan(metrics.pearson(truth, np.ones_like(truth)))


def test_integers_do_not_wrap():
    truth, image = np.full((20, 20, 1), 10, np.uint8), np.full((20, 20, 1), 14, np.uint8)
    truth[0, 0] = 11
    assert metrics.psnr(truth, image, 4.0) == pytest.approx(10 * np.log10(16 / ((399 * 16 + 9) / 400)))
    assert metrics.psnr(image, truth, 4.0) == metrics.psnr(truth, image, 4.0)


def test_range_comes_from_all_truths_together():
    truths = [
        np.arange(1001, dtype=np.uint16).reshape(7, 143, 1),
        np.arange(1001, 2001, dtype=np.uint16)[:, None, None],
    ]
    assert metrics.data_range(truths) == pytest.approx(0.998 * 2000)
    assert metrics.data_range(truths, 0, 100) == 2000
    truths[0][0, 0] = 65535  # one hot pixel of 2001: beyond the 99.9th percentile lie two
    assert metrics.data_range(truths) < 2000


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.psnr(np.zeros((3, 4)), np.zeros((4, 3)), 1.0),
        lambda: metrics.psnr(np.zeros((3, 4)), np.zeros((3, 4)), 0.0),
        lambda: metrics.pearson(np.array([1.0, np.nan]), np.ones(2)),
        lambda: metrics.pearson(np.ones(0), np.ones(0)),
        lambda: metrics.nrmse(np.zeros(3), image=np.ones(3)),
        lambda: metrics.nrmse(np.ones(3), image=np.ones(3), by="std"),  # type: ignore[arg-type]
        lambda: metrics.ssim(np.ones((20, 20)), np.ones((20, 20)), 1.0),
        lambda: metrics.ssim(np.ones((10, 20, 1)), np.ones((10, 20, 1)), 1.0),
        lambda: metrics.data_range([]),
        lambda: metrics.data_range([np.ones((5, 5, 1))]),
        lambda: metrics.psnr(np.ones(3), np.ones(3) * 1j, 1.0),
    ],
)
def test_refused(call):
    with pytest.raises(ValueError, match=r"got .*; expected .*; to fix: "):
        call()
