"""The variance of whole grey levels, beside the Poisson law summed level by level, and cameras that rounding leaves alone."""

import numpy as np
import pytest
from scipy import stats

from jaxdiff.physics.camera import Camera
from jaxdiff.physics.rounding import rounded_variance


def by_levels(gain, offset, read, electrons):
    """Mean and variance of the rounded grey level, from the chance of each level."""
    counts = np.arange(stats.poisson.ppf(1 - 1e-15, electrons) + 2)
    chances = stats.poisson.pmf(counts, electrons)
    grey = offset + gain * counts
    if read:
        levels = np.arange(np.floor(offset - 10 * gain * read) - 1, grey[-1] + 10 * gain * read + 2)
        edges = stats.norm.cdf((levels[:, None] + [[[-0.5]], [[0.5]]] - grey) / (gain * read))
        chances = (edges[1] - edges[0]) @ chances
    else:
        levels = np.round(grey)
    mean = chances @ levels
    return mean, chances @ (levels - mean) ** 2


@pytest.mark.parametrize(
    ("gain", "offset", "read"),
    [(0.4, 100.0, 0.0), (0.3, 0.0, 0.0), (1.7, 100.0, 0.0), (0.9, 0.37, 0.0), (0.2, 0.0, 1.0), (0.8, 0.25, 0.5)],
)
def test_the_poisson_law_level_by_level(gain, offset, read):
    means, variances = np.transpose([by_levels(gain, offset, read, e) for e in (0.3, 0.7, 1.0, 2.0, 5.0, 9.0)])
    found = rounded_variance(Camera(gain=gain, offset=offset, read_noise=read), means)
    np.testing.assert_allclose(found, variances, rtol=0.02, atol=0.006)


def test_where_rounding_does_nothing_and_where_it_is_smooth():
    light = np.array([0.5, 2.0, 30.0, 4000.0])
    for gain in (1.0, 5.0):  # the levels are whole already
        np.testing.assert_allclose(
            rounded_variance(Camera(gain=gain, offset=100.0), 100 + gain * light), gain**2 * light, rtol=1e-5
        )
    smooth = Camera(gain=0.5, offset=100.0, read_noise=2.0)  # read noise of one grey level: Sheppard's 1/12
    np.testing.assert_allclose(
        rounded_variance(smooth, 100 + 0.5 * light), smooth.variance(100 + 0.5 * light) + 1 / 12, rtol=1e-3
    )
    fine = Camera(gain=0.02)  # photons that span many steps of far less than a grey level
    np.testing.assert_allclose(rounded_variance(fine, 0.02 * 4000), 0.02**2 * 4000 + 1 / 12, rtol=1e-3)
