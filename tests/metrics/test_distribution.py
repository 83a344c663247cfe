"""Distances between sets: closed forms, the definitions written out, and how they answer to known changes."""

import numpy as np
import pytest
from scipy import linalg, ndimage

from jaxdiff import metrics


def with_moments(mean, covariance, number, seed=0):
    """Samples whose empirical mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(number, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return mean + x @ np.linalg.cholesky(covariance).T


def test_frechet_of_diagonal_gaussians_is_exact():
    mean, other = np.array([0.0, 1, -2]), np.array([1.0, 1, 0])
    std, wide = np.array([1.0, 2, 3]), np.array([2.0, 0.5, 3])
    x, y = with_moments(mean, np.diag(std**2), 50), with_moments(other, np.diag(wide**2), 80, 1)
    found = metrics.frechet_distance(x, y)
    assert found.distance == pytest.approx(np.sum((mean - other) ** 2) + np.sum((std - wide) ** 2), rel=1e-12)
    assert (found.reference, found.generated) == (50, 80)
    assert metrics.frechet_distance(x, x).distance == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 40, 5), (6, 9, 20)])  # the second with singular covariances
def test_frechet_is_that_of_the_matrix_root(n, m, d):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)), 0.3 + rng.normal(size=(m, d))
    one, two = np.cov(x.T), np.cov(y.T)
    ridge = 1e-9 * np.eye(d) if min(n, m) < d else 0
    root = np.asarray(linalg.sqrtm((one + ridge) @ (two + ridge)))
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(one + two) - 2 * np.trace(root).real
    assert metrics.frechet_distance(x, y).distance == pytest.approx(expected, rel=1e-3 if min(n, m) < d else 1e-8)


def mmd2(x, y):
    """The unbiased estimate, pair by pair."""
    k = lambda a, b: (a @ b / len(a) + 1) ** 3  # noqa: E731
    n, m = len(x), len(y)
    within = [sum(k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j) for z in (x, y)]
    between = sum(k(a, b) for a in x for b in y)
    return within[0] / (n * (n - 1)) + within[1] / (m * (m - 1)) - 2 * between / (n * m)


def test_kernel_distance_and_its_jackknife_pair_by_pair():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(13, 3)), 0.5 + rng.normal(size=(11, 3))
    found = metrics.kernel_distance(x, y, blocks=4)
    assert found.distance == pytest.approx(mmd2(x, y), rel=1e-12)
    parts = [np.array_split(np.arange(len(z)), 4) for z in (x, y)]
    without = np.array([mmd2(np.delete(x, parts[0][b], 0), np.delete(y, parts[1][b], 0)) for b in range(4)])
    assert found.standard_error == pytest.approx(np.sqrt(3 / 4 * np.sum((without - without.mean()) ** 2)), rel=1e-10)
    assert (found.reference, found.generated) == (13, 11)


@pytest.mark.parametrize(("shift", "slack"), [(0.0, (0.5, 4)), (0.7, (0.7, 1.5))])
def test_kernel_distance_is_unbiased_and_its_standard_error_right(shift, slack):
    """Expectation by the moments of N(0, 1) and N(shift, 1) in one dimension: E (xy + 1)³ = 1 + 3 m₁ + 3 m₂ + m₃."""
    rng = np.random.default_rng(3)
    found = [metrics.kernel_distance(rng.normal(size=(40, 1)), shift + rng.normal(size=(40, 1))) for _ in range(400)]
    x, y = np.array([0.0, 1, 0]), np.array([shift, 1 + shift**2, shift**3 + 3 * shift])
    expected = np.array([3.0, 3, 1]) @ (x - y) ** 2
    values = np.array([each.distance for each in found])
    assert values.mean() == pytest.approx(expected, abs=4 * values.std() / 20)
    error = np.sqrt(np.mean([each.standard_error**2 for each in found]))
    assert slack[0] < error / values.std() < slack[1]


def test_precision_and_recall_by_hand():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(30, 2)), 0.5 + 0.6 * rng.normal(size=(25, 2))

    def inside(point, centres):
        return any(
            np.linalg.norm(point - c) <= sorted(np.linalg.norm(centres - c, axis=1))[3]  # [0] is the centre itself
            for c in centres
        )

    found = metrics.precision_recall(x, generated=y)
    assert found.precision == np.mean([inside(p, x) for p in y])
    assert found.recall == np.mean([inside(p, y) for p in x])
    assert 0 < found.recall < 1
    assert found[2:] == (30, 25)


def test_precision_and_recall_of_missing_and_invented_modes():
    rng = np.random.default_rng(5)
    left, right = rng.uniform(size=(300, 2)), 10 + rng.uniform(size=(300, 2))
    both = np.concatenate([left, right])
    assert metrics.precision_recall(both, generated=both)[:2] == (1, 1)
    missing = metrics.precision_recall(both, generated=rng.uniform(size=(600, 2)))
    assert missing.recall == pytest.approx(0.5, abs=0.02)
    assert missing.precision > 0.95
    invented = metrics.precision_recall(left, generated=np.concatenate([rng.uniform(size=(300, 2)), right]))
    assert invented.precision == pytest.approx(0.5, abs=0.02)
    assert metrics.precision_recall(left, generated=right)[:2] == (0, 0)


def textures(seed, number=120, sigma=1.5, gain=1.0, shape=(24, 20)):
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.normal(size=shape), sigma, mode="wrap") for _ in range(number)]
    return 5 + gain * np.array(smooth)[..., None]


def test_default_features_see_sharpness_and_contrast():
    reference = textures(0)
    alike, blurred, bright = (
        metrics.compare_sets(reference, generated=images)
        for images in (textures(1), textures(2, sigma=2.0), textures(3, gain=1.3))
    )
    for other in (blurred, bright):
        assert other.frechet.distance > 3 * alike.frechet.distance
        assert other.kernel.distance > alike.kernel.distance + 5 * alike.kernel.standard_error
        assert other.precision_recall.precision < alike.precision_recall.precision
    assert abs(alike.kernel.distance) < 4 * alike.kernel.standard_error
    for result in (*alike, *blurred):
        assert (result.reference, result.generated) == (120, 120)


def test_spectrum_is_that_of_a_known_signal():
    """White noise of standard deviation s has power s² in every ring; a wave has its peak in its own ring."""
    rng = np.random.default_rng(6)
    white = metrics.spectrum_and_quantiles(3 * rng.normal(size=(300, 32, 40, 2)))
    assert white.shape == (300, 2 * (16 + 9))
    power = (10 ** (white[:, :16] / 10)).mean(axis=0)
    assert power[1:] == pytest.approx(9, rel=0.12)  # subtracting the mean takes from the first
    wave = np.cos(2 * np.pi * 5 / 32 * np.arange(32))[None, :, None, None] * np.ones((1, 32, 32, 1))
    features = metrics.spectrum_and_quantiles(wave)[0]
    assert features[:16].argmax() == 4
    assert features[16:] == pytest.approx(np.quantile(wave, (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)))


def test_features_of_each_image_alone_and_finite_where_blank():
    images = textures(7, 4)
    together = metrics.spectrum_and_quantiles(images)
    assert (together[2] == metrics.spectrum_and_quantiles(images[2:3])[0]).all()
    blank = np.stack([np.zeros((12, 12, 1)), np.full((12, 12, 1), 300.1)])
    assert np.isfinite(metrics.spectrum_and_quantiles(blank)).all()
    assert metrics.spectrum_and_quantiles(np.ones((2, 8, 9, 10, 1))).shape == (2, 4 + 9)


def test_standardised_by_the_reference():
    rng = np.random.default_rng(8)
    x, y = rng.normal(3, 2, (50, 4)), rng.normal(3, 4, (70, 4))
    x[:, 1], x[:, 2], y[:, 2] = 5.0, 7.0, 7.0
    one, two = metrics.standardise(x, y)
    assert one[:, [0, 3]].mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert one[:, [0, 3]].std(axis=0) == pytest.approx(1)
    assert two[:, [0, 3]].std(axis=0) == pytest.approx(2, rel=0.5)
    assert two[:, 1].std() > 0.5  # constant in the reference only: the difference is still seen
    assert (one[:, 2] == 0).all()
    assert (two[:, 2] == 0).all()


def test_any_feature_function_serves():
    images = textures(9, 40)
    found = metrics.compare_sets(images, generated=images + 1, features=lambda x: x.mean(axis=(1, 2)))
    assert found.frechet.distance == pytest.approx(1 / images.mean(axis=(1, 2)).var(), rel=1e-6)


X = np.random.default_rng(0).normal(size=(30, 3))


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.frechet_distance(X, X[:, :2]),
        lambda: metrics.frechet_distance(X, X[:1]),
        lambda: metrics.frechet_distance(X, X * np.nan),
        lambda: metrics.kernel_distance(X, X[:19]),
        lambda: metrics.kernel_distance(X, X, blocks=1),
        lambda: metrics.precision_recall(X, generated=X[:3]),
        lambda: metrics.precision_recall(X, generated=X, neighbours=0),
        lambda: metrics.spectrum_and_quantiles(np.ones((3, 16, 16))),
        lambda: metrics.compare_sets(np.ones((3, 16, 16, 1)), generated=np.ones((3, 20, 20, 1))),
    ],
)
def test_refused(call):
    with pytest.raises(ValueError, match=r"got .*; expected .*; to fix: "):
        call()
