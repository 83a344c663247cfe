"""Shifts found again: of images shifted by the Fourier theorem, of crops at known places, and none where none is."""

import numpy as np
import pytest
from scipy import ndimage

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.sources.shift import CONFIDENT, PairShift, estimate_shift, pair_shift


def texture(shape, width, seed=0):
    """A periodic, band-limited random image, no negative values."""
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), width, mode="wrap")
    return image / image.std() + 5


def shifted(image, pixels):
    return np.fft.ifftn(ndimage.fourier_shift(np.fft.fftn(image), pixels)).real


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        ((128, 128), (0.0, 0.0)),
        ((128, 128), (3.37, -5.21)),
        ((97, 130), (-0.25, 20.5)),
        ((32, 48, 56), (1.3, -2.44, 0.07)),
        ((1, 64, 72), (0.0, 1.25, -7.4)),
    ],
)
def test_known_shifts_are_found_to_two_thousandths_of_a_pixel(shape, pixels):
    image = texture(shape, (0, 1.5, 1.5)[-len(shape) :] if shape[0] == 1 else 1.5)
    shift = estimate_shift(image[..., None], shifted(image, pixels)[..., None])
    np.testing.assert_allclose(shift.pixels, pixels, atol=0.002)
    assert shift.confidence > 0.8


def test_it_agrees_with_scikit_image():
    registration = pytest.importorskip("skimage.registration")
    image = texture((128, 128), 1.0)
    for pixels in ((4.3, -7.8), (-11.45, 0.6)):
        moved = shifted(image, pixels)
        reference = registration.phase_cross_correlation(image, moved, upsample_factor=100, normalization=None)[0]
        np.testing.assert_allclose(estimate_shift(image[..., None], moved[..., None]).pixels, -reference, atol=0.02)


def crops(pixels, seed, pixel=4, size=64):
    """Two images of one scene from cameras `pixels` apart, integrating over pixels; they do not share their edges."""
    scene = np.maximum(texture((10 * size, 10 * size), 8, seed) - 5, 0)
    start, far = np.array([3 * size] * 2), np.rint(pixel * np.array(pixels)).astype(int)
    part = [scene[tuple(slice(s, s + pixel * size) for s in corner)] for corner in (start, start - far)]
    return [p.reshape(size, pixel, size, pixel).mean((1, 3))[..., None] for p in part]


@pytest.mark.parametrize("pixels", [(0.5, 0.25), (2.25, -4.75), (10.5, 6.25)])
def test_shifts_of_crops_with_pixels_of_finite_size(pixels):
    for seed in range(3):
        shift = estimate_shift(*crops(pixels, seed))
        np.testing.assert_allclose(shift.pixels, pixels, atol=0.02)
        assert shift.confidence > CONFIDENT


def test_noise_moves_the_estimate_little():
    a, b = crops((2.25, -4.75), 0, size=96)
    noisy = np.random.default_rng(0).poisson(10 * a / a.max())
    np.testing.assert_allclose(estimate_shift(noisy, b).pixels, (2.25, -4.75), atol=0.5)


def test_gain_offset_and_order_of_channels_do_not_matter():
    a, b = crops((2.25, -4.75), 1)
    plain = estimate_shift(a, b)
    scaled = estimate_shift(np.rint(1000 * a + 300).astype(np.uint16), np.concatenate([0 * b + 7, b], -1))
    np.testing.assert_allclose(scaled.pixels, plain.pixels, atol=0.01)
    np.testing.assert_allclose(estimate_shift(b, a).pixels, [-s for s in plain.pixels], atol=0.02)


def test_images_that_share_nothing_have_low_confidence():
    values = [estimate_shift(crops((0, 0), seed)[0], crops((0, 0), seed + 100)[0]).confidence for seed in range(20)]
    assert np.mean(np.array(values) > CONFIDENT) <= 0.1
    blank, image = np.full((32, 32, 1), 4.0), texture((32, 32), 1)[..., None]
    assert estimate_shift(blank, image).confidence == estimate_shift(blank, blank).confidence == 0


def test_opposite_contrast_has_low_confidence():
    a, b = crops((2.25, -4.75), 2)
    assert estimate_shift(a, -b).confidence < CONFIDENT


def test_different_shapes_are_refused():
    with pytest.raises(DataError, match=r"got .*\(8, 8\).*; expected .*; to fix: "):
        estimate_shift(np.zeros((8, 8, 1)), np.zeros((8, 4, 1)))


class Pairs:
    info = DataInfo()

    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        given, image = self.pairs[index]
        return {"image": image, "input": given, "name": f"field {index}"}


def test_the_median_over_pairs_makes_a_note():
    found = pair_shift(Pairs([crops((2.25, -4.75), seed) for seed in range(5)]), samples=3)
    np.testing.assert_allclose(found.pixels, (2.25, -4.75), atol=0.05)
    assert (found.confident, found.samples) == (3, 3)
    assert found.note is not None
    assert found.note.startswith("pairs are shifted by (dy, dx) = (2.2")
    assert pair_shift(Pairs([crops((0.25, 0.25), seed) for seed in range(3)])).note is None


def test_low_resolution_inputs_are_compared_at_their_own_pixels():
    pairs = [crops((4, -6), seed) for seed in range(3)]
    low = [(a.reshape(32, 2, 32, 2, 1).mean((1, 3)), b) for a, b in pairs]
    np.testing.assert_allclose(pair_shift(Pairs(low)).pixels, (4, -6), atol=0.1)


def test_pairs_shifted_differently_are_told_from_unrelated_ones():
    differing = pair_shift(Pairs([crops((3 * seed - 3, 4 * seed - 4), seed) for seed in range(4)]))
    assert differing.note is not None
    assert "differing" in differing.note
    unrelated = pair_shift(Pairs([(crops((0, 0), s)[0], crops((0, 0), s + 100)[0]) for s in range(4)]))
    assert unrelated.note is None


def test_few_confident_pairs_make_no_note():
    assert PairShift((3.0, 0.0), (0.0, 0.0), confident=2, samples=5).note is None
    assert PairShift((3.0, 0.0), (0.0, 0.0), confident=3, samples=5).note is not None
    assert PairShift((), (), confident=0, samples=5).note is None


def test_sources_without_pairs_are_refused():
    image = np.zeros((8, 8, 1))
    for pairs, word in (
        ([], "0 pairs"),
        ([(np.zeros((3, 8, 1)), image)], "field 0"),
        ([(np.zeros((9, 9, 1)), image)], "field 0"),
    ):
        with pytest.raises(DataError, match=word):
            pair_shift(Pairs(pairs))
