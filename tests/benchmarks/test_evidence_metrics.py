"""The measures of benchmarks.evidence against cases with a known answer."""

import numpy as np
import pytest

from benchmarks.evidence import choose, controls, crops, distances, measures, neighbours, nuclei, report
from benchmarks.evidence.nuclei import PLANE, Segmentation
from jaxdiff.data.errors import DataError
from jaxdiff.data.normalise import Normaliser

RNG = np.random.default_rng


def ones(*values: np.ndarray) -> list[np.ndarray]:
    return [np.ones((1, len(v))) for v in values]


def test_w1_of_a_shift_is_the_shift():
    x = RNG(0).standard_normal(50)
    assert distances.wasserstein1(x, x + 3.5, *ones(x, x))[0] == pytest.approx(3.5, abs=1e-12)
    assert distances.wasserstein1(x, x[::-1], *ones(x, x))[0] == pytest.approx(0, abs=1e-12)


def test_w1_of_a_scale_is_the_mean_of_the_absolute_quantile_differences():
    x = np.sort(RNG(1).exponential(size=200))
    assert distances.wasserstein1(x, 2 * x, *ones(x, x))[0] == pytest.approx(x.mean(), rel=1e-12)


def test_w1_with_weights_is_w1_of_repeats():
    x, y = RNG(2).standard_normal((2, 6))
    times = np.array([0, 1, 3, 2, 0, 1])
    repeated = np.repeat(x, times)
    expected = distances.wasserstein1(repeated, y, *ones(repeated, y))
    assert distances.wasserstein1(x, y, times[None] * 2.0, np.ones((1, 6)))[0] == pytest.approx(expected[0], rel=1e-12)


def test_w1_is_not_a_number_without_weight():
    assert np.isnan(distances.wasserstein1(np.zeros(0), np.ones(2), np.ones((1, 0)), np.ones((1, 2))))[0]


def test_histogram_w1_equals_w1_of_the_pixels():
    levels = np.array([3.0, 4.0, 9.0, 20.0])
    a, b = RNG(3).integers(0, 4, (2, 100))
    x, y = (np.bincount(v, minlength=4)[None].astype(float) for v in (a, b))
    expected = distances.wasserstein1(levels[a], levels[b], *ones(a, b))
    assert distances.histogram_w1(x, y, levels)[0] == pytest.approx(expected[0], rel=1e-12)


def test_spectrum_of_a_wave_is_in_its_ring_and_in_its_height():
    """A Hann window spreads a wave of k cycles over k - 1 .. k + 1, and its mean square stays the wave's."""
    y = np.arange(32)
    wave = np.sqrt(2) * np.cos(2 * np.pi * (6 * y[:, None] + 0 * y[None]) / 32)
    power = distances.radial_power(wave[None])[0]
    ring = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(32) * 32, np.fft.fftfreq(32) * 32))).astype(int)
    members = np.bincount(ring.ravel())[1:17]
    assert (power * members)[4:7].sum() == pytest.approx((power * members).sum(), rel=1e-12)
    assert (power * members).sum() / 32**2 == pytest.approx(1.0, rel=1e-2)  # the window's mean square weighs the wave


def test_spectrum_of_white_noise_is_flat_and_a_gain_is_a_constant_in_decibels():
    power = distances.radial_power(RNG(4).standard_normal((400, 16, 16))).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(power, 1.0, atol=0.1)
    assert distances.log_spectrum_rms(100 * power, power)[0] == pytest.approx(20.0, rel=1e-12)


def test_phase_randomisation_keeps_the_spectrum_and_the_mean():
    z = RNG(5).standard_normal((3, 16, 16)) + 1.5
    big = controls.mirrored(z)
    np.testing.assert_array_equal(big[:, :16, :16], z)
    other = controls._scrambled(big, RNG(6))
    np.testing.assert_allclose(np.abs(np.fft.fft2(other)), np.abs(np.fft.fft2(big)), atol=1e-3)
    np.testing.assert_allclose(other.mean(axis=(1, 2)), z.mean(axis=(1, 2)), atol=1e-5)
    assert np.abs(other - big).max() > 0.5


def test_repeated_has_few_distinct_members_equally_often():
    _, times = np.unique(controls.repeated(1000, 64, RNG(0)), return_counts=True)
    assert len(times) == 64
    assert set(times) == {15, 16}


def test_bootstrap_draws_whole_groups_and_covers_the_mean():
    groups = np.repeat(np.arange(40), 5)
    inside = 0
    for k in range(200):
        rng = RNG([7, k])
        values = np.repeat(rng.standard_normal(40), 5) + 0.1 * rng.standard_normal(200)
        weights = distances.bootstrap_weights(groups, 200, rng)
        means = weights @ values / weights.sum(axis=1)
        low, high = np.percentile(means[1:], (2.5, 97.5))
        inside += low <= 0 <= high
    assert (weights.reshape(-1, 40, 5) == weights.reshape(-1, 40, 5)[..., :1]).all()
    assert (weights.sum(axis=1) == 200).all()
    assert 0.88 <= inside / 200 <= 0.99  # a bootstrap over crops would cover about 60 %


def test_quantile_of_weights():
    x = np.array([5.0, 1.0, 3.0, 2.0])
    weights = np.array([[1.0, 1, 1, 1], [0, 3, 0, 1]])
    np.testing.assert_array_equal(distances.quantile(x, weights, 0.5), [2, 1])


def fields(num: int, shape: tuple[int, int] = (96, 128), seed: int = 0) -> list[np.ndarray]:
    """Smooth bumps and noise: something to find."""
    from scipy import ndimage

    rng = RNG(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((num, *shape)), (0, 4, 4))
    return list((noise / noise.std() + 0.1 * rng.standard_normal(noise.shape)).astype(np.float32))


def test_a_copied_crop_is_found_at_any_place_and_in_any_orientation():
    train = fields(4)
    search = neighbours.Neighbours(train, list("abcd"), 32)
    places = [(0, 0), (13, 57), (64, 96), (31, 2)]
    copies = np.stack([train[f][y : y + 32, x : x + 32] for f, (y, x) in enumerate(places)])
    for turned in neighbours.orientations(copies):
        np.testing.assert_array_equal(search.nearest(turned), 0)
    noise = RNG(1).standard_normal(copies.shape)
    noise *= 0.05 / np.sqrt(np.mean(noise**2, axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(search.nearest((copies + noise).astype(np.float32)), 0.05, rtol=1e-3)
    assert (search.nearest(copies, np.array(list("abcd"))) > 0.2).all()  # without the field it came from


def test_the_search_bound_never_exceeds_the_distance():
    train = fields(2)
    search = neighbours.Neighbours(train, ["a", "b"], 32)
    z = np.stack([f[:32, :32] for f in fields(6, seed=9)])
    bound, place = search._coarse_search(neighbours.orientations(z))
    turned = neighbours.orientations(z)
    for o, i, f in np.ndindex(*bound.shape):
        y, x = (n * search.step for n in divmod(int(place[o, i, f]), search._coarse[f][1]))
        exact = np.sum((train[f][y : y + 32, x : x + 32] - turned[o, i]) ** 2)
        assert bound[o, i, f] <= exact * (1 + 1e-3)


def test_siblings_are_found_in_any_orientation():
    z = np.stack([f[:32, :32] for f in fields(3)])
    z = np.concatenate([z, z[:1].transpose(0, 2, 1)])
    np.testing.assert_allclose(neighbours.among(z)[[0, 3]], 0, atol=1e-3)
    assert (neighbours.among(z)[1:3] > 0.2).all()


def test_solidity_of_rectangles_and_of_an_l():
    block = np.zeros((12, 12), bool)
    block[2:9, 3:7] = True
    assert nuclei.solidity(block) == pytest.approx(1)
    block[2:6, 5:7] = False  # an L: 28 - 8 pixels, and a hull that leaves out a triangle of 2 x 4
    assert nuclei.solidity(block) == pytest.approx(20 / (28 - 4))
    assert nuclei.solidity(np.ones((1, 1), bool)) == pytest.approx(1)


def test_two_touching_discs_become_two_nuclei_with_their_area_and_intensity():
    pytest.importorskip("skimage", reason="needs scikit-image: pip install -r benchmarks/requirements.txt")
    y, x = np.mgrid[:64, :64]
    discs = [np.hypot(y - 32, x - c) < 11 for c in (22, 42)]
    image = np.where(discs[0], 900, np.where(discs[1], 500, 100))
    how = Segmentation(smooth=0, level=300, seed_smooth=1, seed_radius=5, min_area=20)
    stack = np.stack([image, np.full_like(image, 100), image.T])
    found = nuclei.measure(nuclei.segment(stack.astype(np.float32), how), stack)
    np.testing.assert_array_equal(found.crop, [0, 0, 2, 2])
    np.testing.assert_allclose(
        np.sort(found.area[:2]), np.sort([discs[0].sum(), (discs[1] & ~discs[0]).sum()]), rtol=0.1
    )
    np.testing.assert_allclose(np.sort(found.intensity[:2]), [500, 900], rtol=0.1)
    assert (found.solidity > 0.9).all()


def test_small_pieces_are_left_out_and_labels_stay_dense():
    labels = np.zeros((1, 4, 8), int)
    labels[0, :, :3], labels[0, 0, 4], labels[0, :, 6:] = 1, 2, 3
    assert set(np.unique(nuclei.without_small(labels, 2))) == {0, 1, 2}
    assert PLANE.sum() == 5


def test_average_precision_of_perfect_missed_and_split_nuclei():
    truth = np.zeros((2, 10, 10), int)
    truth[0, :4, :5], truth[1, 5:, :] = 1, 2
    np.testing.assert_allclose(choose.average_precision(truth, truth), 1)
    np.testing.assert_allclose(choose.average_precision(truth, np.where(truth == 1, 1, 0)), 1 / 2)
    half = np.where(truth == 2, 2, 0)
    half[0, :4, :3] = 1  # 12 of 20 pixels: a hit at 0.5, 0.55 and 0.6
    expected = np.where(choose.OVERLAPS < 0.6 - 1e-9, 1, 1 / 3)
    np.testing.assert_allclose(choose.average_precision(truth, half), expected)


def test_otsu_lies_between_two_levels():
    background, threshold = choose.background_and_otsu(
        np.concatenate([RNG(0).normal(0, 1, 900), RNG(1).normal(20, 1, 99)])
    )
    assert 3 < threshold < 17
    assert background == pytest.approx(0, abs=0.1)


def test_masks_of_two_crops_share_no_label():
    masks = np.array([[[0, 7, 7]], [[7, 0, 3]]])
    np.testing.assert_array_equal(choose.unique_labels(masks), [[[0, 1, 1]], [[3, 0, 2]]])


def test_drawn_crops_do_not_overlap_and_are_shared_out_evenly():
    image = np.arange(40 * 50).reshape(40, 50)
    split = crops.Fields([image, image + 10_000, image + 20_000], ["A01", "A01", "B02"])
    drawn, masks = crops.draw(split, 20, 10, RNG(0))
    assert masks is None
    assert len(np.unique(drawn.images)) == drawn.images.size
    assert sorted(np.bincount(drawn.images[:, 0, 0] // 10_000)) == [6, 7, 7]
    assert ((drawn.images[:, 0, 0] >= 20_000) == (drawn.groups == "B02")).all()
    with pytest.raises(DataError, match="at most 20"):
        crops.draw(split, 70, 10, RNG(0))


def test_samples_are_read_whole_or_refused(tmp_path):
    images = RNG(0).integers(120, 4000, (5, 16, 16)).astype(np.uint16)
    np.savez(tmp_path / "s.npz", images=images[..., None])
    np.testing.assert_array_equal(crops.load_samples(tmp_path / "s.npz", 5, 16).images, images)
    with pytest.raises(DataError, match="to fix: set --num"):
        crops.load_samples(tmp_path / "s.npz", 6, 16)
    np.save(tmp_path / "z.npy", RNG(0).standard_normal((5, 16, 16)))
    with pytest.raises(DataError, match="grey levels"):
        crops.load_samples(tmp_path / "z.npy", 5, 16)


def test_a_set_against_itself_is_at_zero_and_a_control_is_judged_by_the_floor():
    n = 12
    nucleus = nuclei.Nuclei(np.arange(n), *RNG(0).random((3, n)))
    z = RNG(1).standard_normal((n, 16, 16))
    x = measures.Features(
        groups=np.arange(n),
        grey=RNG(2).integers(1, 9, (n, 5)).astype(np.float32),
        levels=np.arange(5.0),
        network=np.arange(5.0),
        power=distances.radial_power(z),
        nuclei=nucleus,
        nearest=np.arange(n) + 1.0,
        sibling=np.arange(n) + 1.0,
    )
    table = measures.compare(x, x, 50, 0)
    assert all(row["value"] == pytest.approx(0, abs=1e-9) for row in table.values())
    far = {name: {"value": 1e9, "low": 1e9, "high": 1e9} for name in table}
    none = {name: {"value": None, "low": None, "high": None} for name in table}
    passed = measures.passed_by({"floor": table, "same": table, "far": far, "none": none}, ("same", "far", "none"))
    assert all(names == ["same"] for names in passed.values())
    twice = x.rows(np.array([3, 3, 5]))
    np.testing.assert_array_equal(twice.nuclei.area, nucleus.area[[3, 3, 5]])
    np.testing.assert_array_equal(twice.nuclei.crop, [0, 1, 2])
    np.testing.assert_array_equal(twice.sibling, [0, 0, x.sibling[5]])


def test_the_sheet_shows_samples_left_and_real_crops_right_in_one_range(tmp_path):
    from PIL import Image

    normaliser = Normaliser("linear", (0,), (1,), (0,), (1,))
    dark, bright = np.full((64, 8, 8), 100), np.full((64, 8, 8), 200)
    bright[:, 0] = 100
    report.side_by_side(dark, bright, normaliser, tmp_path / "s.png")
    picture = np.asarray(Image.open(tmp_path / "s.png").convert("L"))
    assert picture.shape == (8 * 18 + 2, 17 * 18 + 2)  # twice as large
    assert picture[10, 10] == 0
    assert picture[10, -10] == 255
