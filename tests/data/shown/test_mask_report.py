"""What `--check` says of masks: counts of scenes that are counted by hand, and which of them look semantic."""

import numpy as np
import pytest

from jaxdiff.data.config import Folder, open_data
from jaxdiff.data.shown.mask_report import MaskReport, facts, suspicions
from jaxdiff.data.shown.report import report

SCENE = np.zeros((20, 30), np.int32)
SCENE[0:4, 0:5] = 7  # 20 pixels, touches 9
SCENE[4:8, 0:5] = 9
SCENE[8:10, 5:7] = 11  # touches 9 at a corner alone
SCENE[15:20, 20:30] = 2**31 - 1
SCENE[12, 0] = SCENE[12, 3] = 5  # two pieces


def test_counts_of_a_scene():
    got = facts(SCENE, "a")
    assert (got.pixels, got.background) == (600, 600 - 20 - 20 - 4 - 50 - 2)
    assert (got.objects, got.pieces, got.touching, got.largest) == (5, 6, 2, 50)
    assert facts(np.stack([SCENE, np.zeros_like(SCENE), SCENE]), "volume").pieces == 12
    assert facts(np.zeros((3, 4), np.int32), "empty").objects == 0


def test_the_sums_of_a_set():
    masks = MaskReport()
    for i, mask in enumerate((SCENE, np.zeros_like(SCENE), np.where(SCENE == 7, 7, 0))):
        masks.add(mask, str(i))
    got = masks.result()
    assert got["objects"] == {"all": 6, "least": 0, "median": 1.0, "most": 5}
    assert got["without_objects"] == 1
    assert got["background_share"] == pytest.approx((504 + 600 + 580) / 1800)
    assert got["touching_share"] == pytest.approx(2 / 6)
    assert got["pieces_per_object"] == pytest.approx(7 / 6)
    assert not got["warnings"]


def blobs(*labels):
    mask = np.zeros((30, 30), np.int32)
    for i, label in enumerate(labels):
        mask[6 * i : 6 * i + 4, 3:12] = label
    return mask


@pytest.mark.parametrize(
    ("masks", "signs"),
    [
        ([blobs(1, 2, 3), blobs(4, 5)], {}),
        ([blobs(1)], {}),
        ([blobs(255, 255)], {"semantic": "255 is the only label, in 2 connected pieces"}),
        ([blobs(255)], {"semantic": "255 is the only label"}),
        ([blobs(1, 1, 1), blobs(1, 1), blobs()], {"semantic": "1 is the only label, in 5 connected pieces in 2 masks"}),
        ([blobs(1, 2, 1, 2, 1), blobs(2, 1, 2, 1)], {"semantic": "4 labels are in 9 connected pieces"}),
        ([blobs(1, 2, 1), blobs(4, 5)], {}),
        ([np.ones((5, 5), int)], {"cover": "one object covers all pixels of 1 mask"}),
        ([np.where(blobs(2, 3, 4) == 0, 1, blobs(2, 3, 4))], {"cover": "88% of 1 mask", "background": "no background"}),
        ([blobs(), blobs()], {"empty": "in 2 masks (0, 1)"}),
    ],
)
def test_signs_of_masks_that_are_not_of_objects(masks, signs):
    got = suspicions(facts(mask, str(i)) for i, mask in enumerate(masks))
    assert set(got) == set(signs)
    for kind, words in signs.items():
        assert words in got[kind]


def test_check_says_it(images, tmp_path):
    import tifffile

    folder, masks = images(num=2, shape=(30, 30)), tmp_path / "masks"
    masks.mkdir()
    for i in range(2):
        tifffile.imwrite(masks / f"field_{i:02}.tif", blobs(255, 255).astype(np.uint8))
    with pytest.warns(UserWarning, match="label 255 is the only one in all masks"):
        open_data(Folder(folder, masks=masks), (8, 8), seed=0)
    text = report(open_data(Folder(folder, masks=masks), (8, 8), seed=0), (8, 8))
    assert "objects       2 in 2 masks: 1 to 1 in one, median 1" in text
    assert "background    92.0% of the pixels" in text
    assert "touching      0.0% of the objects" in text
    assert "warning       the masks may be semantic: 255 is the only label, in 4 connected pieces in 2 masks" in text
