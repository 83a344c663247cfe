"""Fourier ring and shell correlation: the definition, and signals and noise whose correlation is known."""

import numpy as np
import pytest

from jaxdiff import metrics
from jaxdiff.metrics.rings import rings, taper


def noise(shape, number, seed=0):
    return np.random.default_rng(seed).normal(size=(number, *shape, 1))


def test_definition_coefficient_by_coefficient():
    a, b = noise((12, 10), 2)
    x, y = (np.fft.fft2(v[..., 0]) for v in (a, b))
    top = np.zeros(5, complex)
    one, two, counts = np.zeros(5), np.zeros(5), np.zeros(5, int)
    for i, fy in enumerate(np.fft.fftfreq(12)):
        for j, fx in enumerate(np.fft.fftfreq(10)):
            ring = round(np.hypot(fy, fx) * 10)  # ten pixels: the shortest axis sets the width
            if 1 <= ring <= 5:
                k = ring - 1
                top[k] += x[i, j] * np.conj(y[i, j])
                one[k] += abs(x[i, j]) ** 2
                two[k] += abs(y[i, j]) ** 2
                counts[k] += 1
    frc = metrics.fourier_ring_correlation(a, b, taper_share=0)
    assert frc.correlation == pytest.approx((top / np.sqrt(one * two)).real, abs=1e-12)
    assert frc.counts.tolist() == counts.tolist()
    assert frc.frequency == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert frc.unit == "pixel"


@pytest.mark.parametrize("shape", [(32, 32), (33, 48), (16, 20, 24)])
def test_equal_images_correlate_fully(shape):
    a = noise(shape, 1)[0]
    frc = metrics.fourier_ring_correlation(a, 5 + 3 * a, 0.2, "µm")
    assert frc.correlation == pytest.approx(1, abs=1e-12)
    assert metrics.fourier_ring_correlation(a, -a).correlation == pytest.approx(-1, abs=1e-12)
    assert metrics.resolution(frc) == (pytest.approx(1 / frc.frequency[-1]), "µm", False)


def expected_spread(shape, share):
    """Standard deviation times √counts in each ring, of white noise under a window w with transform C of w²:
    √(Σ |C(k − k')|² / n) / C(0) over all pairs of the ring's n coefficients. 1 without a window."""
    ring = rings(shape, (1.0,) * len(shape))
    tie = np.abs(np.fft.fftn(taper(shape, share) ** 2))
    spread = []
    for r in range(1, len(ring.counts) + 1):
        place = np.argwhere(ring.index == r)
        apart = (place[:, None] - place) % shape
        spread.append(np.sqrt(np.sum(tie[tuple(apart.T)] ** 2) / len(place)) / tie.flat[0])
    return np.array(spread)


@pytest.mark.parametrize(("share", "documented"), [(0, 1.0), (0.25, 1.02), (1, 1.36)])
def test_independent_noise_spreads_as_one_over_root_counts(share, documented):
    expected = expected_spread((32, 32), share)[2:]
    assert expected.mean() == pytest.approx(documented, abs=0.015)
    runs = noise((32, 32), 400)
    frcs = [metrics.fourier_ring_correlation(a, b, taper_share=share) for a, b in zip(runs[::2], runs[1::2])]
    scaled = np.array([frc.correlation * np.sqrt(frc.counts) for frc in frcs])[:, 2:] / expected
    assert scaled.mean() == pytest.approx(0, abs=4 * 1.5 / np.sqrt(scaled.size))
    assert scaled.std() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("shape", "snr"), [((128, 128), 0.5), ((128, 128), 4.0), ((32, 32, 32), 2.0)])
def test_signal_with_white_noise(shape, snr):
    signal, one, two = noise(shape, 3, seed=3)
    frc = metrics.fourier_ring_correlation(np.sqrt(snr) * signal + one, np.sqrt(snr) * signal + two)
    assert np.average(frc.correlation, weights=frc.counts) == pytest.approx(snr / (1 + snr), abs=0.015)
    assert np.abs(frc.correlation[10:] - snr / (1 + snr)).max() < 5 * 1.2 / np.sqrt(frc.counts[10])


@pytest.mark.parametrize("band", [0.1, 0.25])
def test_band_limited_signal_crosses_at_its_band(band):
    """White up to `band` cycles a pixel and nothing beyond; pixels of 65 nm."""
    signal, one, two = noise((128, 128), 3, seed=4)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    signal = np.fft.ifft2(np.fft.fft2(signal[..., 0]) * (frequency <= band)).real[..., None]
    frc = metrics.fourier_ring_correlation(signal + 0.5 * one, signal + 0.5 * two, 65.0, "nm")
    found = metrics.resolution(frc)
    assert found.crossed
    assert found.unit == "nm"
    ring = 1 / 128 / 65
    assert 1 / found.length == pytest.approx(band / 65, abs=2 * ring)
    assert 1 / metrics.resolution(frc, smooth=1).length == pytest.approx(band / 65, abs=ring)


def test_crossing_is_interpolated():
    frc = metrics.FRC(np.array([0.1, 0.2, 0.3]), np.array([0.9, 0.5, 0.1]), np.array([8, 8, 8]), "µm")
    assert metrics.resolution(frc, threshold=0.3, smooth=1).length == pytest.approx(1 / 0.25)
    assert metrics.resolution(frc, threshold=0.95, smooth=1) == (float("inf"), "µm", True)
    assert metrics.resolution(frc, threshold=0.05, smooth=1) == (pytest.approx(1 / 0.3), "µm", False)


def test_unequal_pixels_end_at_the_coarser_nyquist_frequency():
    a, b = noise((16, 64, 64), 2)
    frc = metrics.fourier_ring_correlation(a, b, (1.0, 0.25, 0.25), "µm")
    assert frc.frequency[-1] == 0.5
    assert len(frc.frequency) == 8
    ring = rings((16, 64, 64), (1.0, 0.25, 0.25))
    assert ring.index[1, 0, 0] == ring.index[0, 1, 0] == 1  # one cycle over the 16 µm of either axis
    scaled = metrics.fourier_ring_correlation(a, b, (1000.0, 250.0, 250.0), "nm")
    assert scaled.frequency == pytest.approx(frc.frequency / 1000)
    assert (scaled.counts == frc.counts).all()


def test_blank_images_correlate_nowhere():
    blank = np.full((17, 16, 1), 300.1)
    for other in (blank, noise((17, 16), 1)[0]):
        frc = metrics.fourier_ring_correlation(blank, other)
        assert (frc.correlation == 0).all()
        assert metrics.resolution(frc) == (float("inf"), "pixel", True)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: metrics.fourier_ring_correlation(x[..., 0], x[..., 0]),
        lambda x: metrics.fourier_ring_correlation(x, x[1:]),
        lambda x: metrics.fourier_ring_correlation(x[:4], x[:4]),
        lambda x: metrics.fourier_ring_correlation(np.repeat(x, 2, -1), np.repeat(x, 2, -1)),
        lambda x: metrics.fourier_ring_correlation(x, x, (0.1, 0.1, 0.1)),
        lambda x: metrics.fourier_ring_correlation(x, x, 0.0),
        lambda x: metrics.fourier_ring_correlation(x, x, unit="µm"),
        lambda x: metrics.fourier_ring_correlation(x, x, taper_share=2),
        lambda x: metrics.resolution(metrics.fourier_ring_correlation(x, x), threshold=1.5),
        lambda x: metrics.resolution(metrics.fourier_ring_correlation(x, x), smooth=2),
    ],
)
def test_refused(call):
    with pytest.raises(ValueError, match=r"got .*; expected .*; to fix: "):
        call(noise((16, 16), 1)[0])
