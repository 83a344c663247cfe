"""Several folders as one data set: their shares, what is known of them all, and what is held out."""

import shutil

import numpy as np
import pytest
import tifffile

from jaxdiff.config import override
from jaxdiff.data.config import Folder, open_data
from jaxdiff.data.errors import DataError
from jaxdiff.data.fingerprint import Fingerprint
from jaxdiff.data.info import DataInfo
from jaxdiff.data.mixed import Mixed, common_info, repeats
from jaxdiff.data.pairs import Segmentation
from jaxdiff.data.split_folders import SplitFolders
from jaxdiff.training.config import TrainConfig


@pytest.fixture
def two(tmp_path):
    """A: 3 + 2 uint16 images of level 1000; B: 6 + 1 uint8 images of level 50, in files of the same names."""
    rng = np.random.default_rng(0)
    for name, level, dtype, train, dev in (("A", 1000, "uint16", 3, 2), ("B", 50, "uint8", 6, 1)):
        for part, number in (("train", train), ("dev", dev)):
            for i in range(number):
                for kind, values in (
                    ("images", rng.integers(level, level + 9, (24, 30))),
                    ("masks", rng.integers(0, 3, (24, 30))),
                ):
                    folder = tmp_path / name / part / kind
                    folder.mkdir(parents=True, exist_ok=True)
                    tifffile.imwrite(folder / f"{part}_{i}.tif", values.astype(dtype if kind == "images" else "uint16"))
    return SplitFolders(path=tmp_path / "A"), SplitFolders(path=tmp_path / "B")


def test_parts_keep_their_split_and_are_drawn_by_weight(two):
    data = open_data(Mixed(parts=two, weights=(1.0, 1.0)), (16, 16), 0)
    levels = [data.train[i]["image"].mean() > 500 for i in range(len(data.train))]
    assert (levels.count(True), levels.count(False)) == (6, 6)
    assert len(data.validation) == 3
    assert [data.validation[i]["image"].mean() > 500 for i in range(3)] == [True, True, False]
    plain = open_data(Mixed(parts=two), (16, 16), 0)
    assert len(plain.train) == 9
    assert (data.info.dtype, data.info.channel_names) == ("uint16", ("0",))


def test_files_of_one_name_in_two_folders_are_two(two):
    data = open_data(Mixed(parts=two), (16, 16), 0)
    known = Fingerprint.of(*data.recorded)
    assert len(known.files) == 12
    assert {file.part for file in known.files.values()} == {"train", "validation"}


def test_pairs_are_made_of_both(two):
    data = open_data(Mixed(parts=two), (16, 16), 0, pairs=Segmentation())
    assert {data.train[i]["image"].dtype.name for i in range(9)} == {"uint8", "uint16"}
    batch = next(data.validation_batches((16, 16), 3, 3))
    assert batch["input"].shape == (3, 16, 16, 1)


def test_options_reach_the_parts_and_a_run_stores_them(two):
    config = TrainConfig(name="x", steps=1, data=Mixed(parts=(two[0], Folder(path="b")), weights=(1.0, 2.0)))
    changed = override(config, ["--data.parts.1.path", "elsewhere", "--data.weights", "2", "1"])
    assert str(changed.data.parts[1].path) == "elsewhere"
    assert changed.data.parts[0] == config.data.parts[0]
    assert changed.data.weights == (2.0, 1.0)
    assert TrainConfig.from_json(changed.to_json()) == changed


@pytest.mark.parametrize(
    ("numbers", "weights", "counts"),
    [
        ((3, 6), (), (3, 6)),
        ((3, 6), (1, 1), (6, 6)),
        ((10, 5), (1, 2), (10, 20)),
        ((7, 9), (3, 1), (27, 9)),
    ],
)
def test_every_record_is_drawn_and_shares_are_those_asked_for(numbers, weights, counts):
    indices = np.array(repeats(numbers, weights))
    assert set(indices) == set(range(sum(numbers)))
    assert (np.count_nonzero(indices < numbers[0]), np.count_nonzero(indices >= numbers[0])) == counts


def test_only_what_all_agree_on_is_known():
    one = DataInfo(pixel_size={"Y": 0.5, "X": 0.5}, unit="µm", channel_names=("DAPI",))
    assert common_info([one, one]) == one
    other = one.replace(pixel_size={"Y": 0.25, "X": 0.25}, channel_names=("Hoechst",), dtype="uint8", synthetic=True)
    assert common_info([one, other]) == DataInfo(synthetic=True)
    with pytest.raises(DataError, match="parts with"):
        common_info([one, DataInfo("ZYXC")])


def test_what_is_no_mixture_is_refused(two, tmp_path):
    with pytest.raises(DataError, match=r"parts=\(\)"):
        Mixed(parts=())
    with pytest.raises(DataError, match=r"weights=\(1.0,\); expected 2 numbers"):
        Mixed(parts=two, weights=(1.0,))
    with pytest.raises(DataError, match="without train/images"):
        SplitFolders(path=tmp_path).open((16, 16), 0)
    with pytest.raises(DataError, match=r"each image of a part is drawn 2e\+09 times .*; expected at most 1000"):
        repeats((3, 6), (1e9, 1.0))
    with pytest.raises(DataError, match=r"\[3, 0\] images of the parts; expected one or more of each"):
        repeats((3, 0), (1.0, 1.0))


def test_classes_are_known_by_their_names(two, tmp_path):
    images = [path / "train" / "images" for path in (two[0].path, two[1].path)]
    for part, names in (("one", "yx"), ("other", "xz")):
        for source, name in zip(images, names):
            shutil.copytree(source, tmp_path / part / name)
    one, other = (Folder(path=tmp_path / part, classes=True, skip_unreadable=True) for part in ("one", "other"))
    for part in ("one", "other"):
        for path in (tmp_path / part).rglob("*.tif"):
            tifffile.imwrite(path, tifffile.imread(path).astype("uint16"))
    data = open_data(Mixed(parts=(one, other)), (16, 16), 0)
    assert data.info.class_names == ("x", "y", "z")
    found = {
        (record["name"].split("/")[0], record["label"])
        for record in map(data.train.__getitem__, range(len(data.train)))
    }
    assert found == {("x", 0), ("y", 1), ("z", 2)}
    with pytest.raises(DataError, match="parts with classes and parts without"):
        open_data(Mixed(parts=(one, two[0])), (16, 16), 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pixels: pixels.astype("uint8"), "dtype uint16 and images held out of uint8"),
        (
            lambda pixels: np.stack([pixels, pixels]),
            r"axes and channels .* 1, False\) and images held out of .* 2, False",
        ),
    ],
)
def test_images_held_out_are_of_the_kind_of_the_others(two, change, said):
    for path in (two[0].path / "dev" / "images").iterdir():
        pixels = change(tifffile.imread(path))
        tifffile.imwrite(path, pixels, metadata={"axes": "CYX"[-pixels.ndim :]}, photometric="minisblack")
    with pytest.raises(DataError, match=said):
        two[0].open((16, 16), 0)
