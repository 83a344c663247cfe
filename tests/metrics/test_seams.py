"""The phase statistic: its definition, images without seams that pass, and images with seams that do not."""

import numpy as np
import pytest
from scipy import ndimage

from jaxdiff import metrics

PERIOD = 32


def smooth(seed, shape=(192, 224), sigma=2.0):
    """Smooth noise of standard deviation 1, as (*spatial, 1)."""
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma, mode="wrap")
    return (image / image.std())[..., None]


def seamed(image, size, start=0, seed=0):
    """The image with its own offset in each window that begins at `start` + k `PERIOD`."""
    places = [(np.arange(n) - start) // PERIOD for n in image.shape[:-1]]
    offsets = size * np.random.default_rng(seed).normal(size=[p.max() - p.min() + 1 for p in places])
    return image + offsets[np.ix_(*(p - p.min() for p in places))][..., None]


def test_definition_pixel_by_pixel():
    """Of 22 and 18 differences, the middle 20 and 16: four whole periods."""
    image = np.random.default_rng(0).normal(size=(23, 19, 2))
    found = metrics.seam_statistic(image, (5, 4), (3, 1))
    for axis, (period, start, lines) in enumerate(((5, 3, range(2, 22)), (4, 1, range(2, 18)))):
        x = np.moveaxis(image, axis, 0)
        phases = [
            np.median([abs(x[i] - x[i - 1]) for i in lines if (i - start) % period == phase]) for phase in range(period)
        ]
        assert found.border[axis] == phases[0]
        assert found.others[axis].tolist() == phases[1:]
        assert found.quantile[axis] == np.mean(np.array(phases[1:]) < phases[0])
    assert found.axes.tolist() == [0, 1]


@pytest.mark.parametrize("seed", range(10))
def test_without_seams_passes_and_with_seams_fails(seed):
    image = smooth(seed)
    start = (0, 7, 16)[seed % 3]
    assert not metrics.has_seam(metrics.seam_statistic(image, PERIOD, start))
    control = metrics.seam_statistic(seamed(image, 0.5, start, seed), PERIOD, start)
    assert metrics.has_seam(control)
    assert (control.quantile == 1).any()


def test_a_seam_is_found_at_its_own_phase_only():
    control = seamed(smooth(0), 1.0, start=5)
    found = [metrics.has_seam(metrics.seam_statistic(control, PERIOD, start)) for start in range(PERIOD)]
    assert found == [start == 5 for start in range(PERIOD)]


def test_repeated_pixels_are_a_seam_too():
    image = smooth(1)
    image[PERIOD::PERIOD] = image[PERIOD - 1 : -1 : PERIOD]
    found = metrics.seam_statistic(image, PERIOD)
    assert metrics.has_seam(found)
    assert found.quantile[0] == 0


def test_false_alarms_are_as_rare_as_asked():
    """Of white noise, whose phases are nearly independent, 300 images at a level of 5 %: 15 ± 4."""
    rng = np.random.default_rng(2)
    seams = [metrics.seam_statistic(rng.normal(size=(64, 64, 1)), 16) for _ in range(300)]
    assert sum(metrics.has_seam(each, 0.05) for each in seams) <= 15 + 3 * 4
    assert not any(metrics.has_seam(each, 1e-5) for each in seams)


def test_volumes_whose_depth_one_window_spans():
    """At a level of 1e-3, of 20 volumes none or, once in fifty times, one."""
    found = [metrics.seam_statistic(smooth(seed, (6, 96, 96), 1.0), (None, 16, 16)) for seed in range(20)]
    assert found[0].axes.tolist() == [1, 2]
    assert sum(metrics.has_seam(each) for each in found) <= 1


def test_blank_image_has_no_seam_and_a_single_step_has():
    blank = np.zeros((64, 64, 1))
    assert not metrics.has_seam(metrics.seam_statistic(blank, 16))
    steps = np.broadcast_to((np.arange(64) // 16)[:, None, None], (64, 64, 1))
    found = metrics.seam_statistic(steps, 16)
    assert found.border.tolist() == [1, 0]
    assert metrics.has_seam(found)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: metrics.seam_statistic(x, 64),
        lambda x: metrics.seam_statistic(x, 2),
        lambda x: metrics.seam_statistic(x[..., 0], (16, 16)),
        lambda x: metrics.seam_statistic(x, (16, 16, 16)),
        lambda x: metrics.seam_statistic(x, (None, None)),
        lambda x: metrics.seam_statistic(x, 16, (0, 0, 0)),
    ],
)
def test_refused(call):
    with pytest.raises(ValueError, match=r"got .*; expected .*; to fix: "):
        call(smooth(0, (64, 64)))
