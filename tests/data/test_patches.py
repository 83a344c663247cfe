import numpy as np
import pytest

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.patches import bin_image, bin_mask, check_patch, random_patch, turnable
from jaxdiff.physics.binning import area_binning


def test_binning_is_the_mean_and_drops_the_rest():
    image = np.arange(2 * 5 * 6 * 1, dtype=np.uint16).reshape(2, 5, 6, 1)
    binned = bin_image(image, 2)
    assert binned.shape == (2, 2, 3, 1)
    assert binned.dtype == np.float32
    assert binned[1, 0, 2, 0] == image[1, 0:2, 4:6].mean()
    assert bin_image(image, 1) is image
    bright = np.full((4, 4, 1), 65535, np.uint16)
    assert (bin_image(bright, 4) == 65535).all()


def test_binned_masks_hold_the_most_frequent_label():
    mask = np.array([[0, 0, 7, 7, 1, 2], [0, 5, 7, 0, 2, 3], [0, 9, 1, 1, 0, 0], [9, 0, 1, 1, 4, 4]], np.int32)
    assert bin_mask(mask, 2).tolist() == [[0, 7, 2], [9, 1, 4]]
    volume = np.stack([mask, mask[::-1]])
    np.testing.assert_array_equal(bin_mask(volume, 2)[0], bin_mask(mask, 2))
    rng = np.random.default_rng(0)
    random = rng.integers(0, 4, (9, 12)).astype(np.int32)
    for i in range(3):
        for j in range(4):
            counts = np.bincount(random[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].ravel(), minlength=4)
            assert counts[bin_mask(random, 3)[i, j]] == counts.max()


def positions(shape):
    """An image whose channels are its own coordinates, with the mask that numbers the pixels."""
    image = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return {"image": image, "mask": np.arange(np.prod(shape)).reshape(shape).astype(np.int32), "name": "x"}


def test_all_eight_orientations_and_all_places_occur():
    record = positions((5, 6))
    seen, corners = set(), set()
    for i in range(600):
        patch = random_patch(record, (3, 3), np.random.default_rng(i))
        image, mask = patch["image"], patch["mask"]
        np.testing.assert_array_equal(mask, image[..., 0] * 6 + image[..., 1])
        seen.add(tuple(map(tuple, (image[1, 0] - image[0, 0], image[0, 1] - image[0, 0]))))
        corners.add(tuple(image.reshape(-1, 2).min(axis=0)))
    assert len(seen) == 8
    assert corners == {(y, x) for y in range(3) for x in range(4)}


def test_what_was_done_is_told_and_can_be_undone():
    told = set()
    for i in range(200):
        patch = random_patch(positions((4, 5, 6)), (3, 3, 3), np.random.default_rng(i))
        *flipped, exchanged = patch["augmentation"]
        back = np.flip(patch["image"], [axis for axis, one in enumerate(flipped) if one])
        back = back.swapaxes(1, 2) if exchanged else back
        corner = back[0, 0, 0]
        np.testing.assert_array_equal(back, positions((3, 3, 3))["image"] + corner)
        told.add((*flipped, exchanged))
    assert len(told) == 16
    assert not random_patch(positions((5, 6)), (3, 3), np.random.default_rng(0), augment=False)["augmentation"].any()


def test_without_augmentation_nothing_is_turned():
    for i in range(20):
        image = random_patch(positions((5, 6)), (3, 3), np.random.default_rng(i), augment=False)["image"]
        assert (image[1, 0] - image[0, 0]).tolist() == [1, 0]


def test_unequal_axes_are_flipped_but_never_turned():
    seen = set()
    for i in range(200):
        image = random_patch(positions((4, 5, 6)), (2, 3, 3), np.random.default_rng(i), turn=False)["image"]
        steps = [image[1, 0, 0] - image[0, 0, 0], image[0, 1, 0] - image[0, 0, 0], image[0, 0, 1] - image[0, 0, 0]]
        assert [int(np.flatnonzero(step)[0]) for step in steps] == [0, 1, 2]
        seen.add(tuple(int(step.sum()) for step in steps))
    assert len(seen) == 8


def test_long_patches_turn_only_where_they_fit():
    for shape, turns in (((4, 9), False), ((9, 9), True)):
        patches = [random_patch(positions(shape), (3, 8), np.random.default_rng(i))["image"] for i in range(60)]
        assert all(patch.shape == (3, 8, 2) for patch in patches)
        assert any((patch[1, 0] - patch[0, 0])[0] == 0 for patch in patches) == turns


def test_pixel_sizes_decide_on_turns():
    size = {"unknown": {}, "equal": {"Y": 0.5, "X": 0.5}, "unequal": {"Y": 0.5, "X": 0.6}, "half known": {"Y": 0.5}}
    allowed = {name: turnable(DataInfo(pixel_size=s, unit="µm")) for name, s in size.items()}
    assert allowed == {"unknown": True, "equal": True, "unequal": False, "half known": False}


def test_patches_have_the_rank_of_the_data():
    assert check_patch([4, 5], DataInfo()) == (4, 5)
    for patch in ((4,), (4, 4, 4), (0, 4)):
        with pytest.raises(DataError, match="patch"):
            check_patch(patch, DataInfo())


def beside(shape, factor):
    """An image of its own coordinates, and their means over the pixels of an input."""
    record = positions(shape)
    return {**record, "input": area_binning(record["image"], factor)}


@pytest.mark.parametrize(
    ("shape", "patch", "factor"),
    [((12, 12), (4, 6), (2, 2)), ((12, 24), (6, 4), (3, 1)), ((8, 12, 12), (4, 4, 4), (4, 1, 1))],
)
def test_inputs_of_larger_pixels_are_cut_and_turned_with_their_image(shape, patch, factor):
    along_last = set()
    for i in range(100):
        cut = random_patch(beside(shape, factor), patch, np.random.default_rng(i))
        assert cut["image"].shape[:-1] == patch
        np.testing.assert_array_equal(cut["input"], area_binning(cut["image"], factor))
        first, second = cut["image"].reshape(-1, len(shape))[:2]
        along_last.add(int(np.argmax(np.abs(second - first))))
    y, x = len(shape) - 2, len(shape) - 1
    assert along_last == ({y, x} if factor[y] == factor[x] else {x}), "turned where the input's pixels allow it"


def test_patches_that_cut_pixels_of_the_input_are_refused():
    with pytest.raises(DataError, match=r"patch \(4, 5\) of x, .* covers \(2, 2\).* patch \(4, 4\)"):
        random_patch(beside((12, 12), (2, 2)), (4, 5), np.random.default_rng(0))
    record = beside((12, 12), (2, 2))
    record["input"] = record["input"][:5]
    with pytest.raises(DataError, match=r"x of \(12, 12\) pixels with its input of \(5, 6\)"):
        random_patch(record, (4, 4), np.random.default_rng(0))
