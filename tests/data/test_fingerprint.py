"""Data sets are known again by file: what is no difference, and the name and kind of every one that is."""

import os
import shutil

import numpy as np
import pytest
import tifffile

from jaxdiff.data.config import Folder, Tfds, open_data
from jaxdiff.data.errors import DataError
from jaxdiff.data.fingerprint import Fingerprint
from jaxdiff.data.pairs import Parallel
from jaxdiff.data.prepared.prepare import prepare

RNG = np.random.default_rng(0)


def known(config, pairs=None, before=None):
    data = open_data(config, (8, 8), 0, pairs=pairs, before=before)
    assert data.recorded is not None
    return Fingerprint.of(*data.recorded)


def tiff(path, *shape, like=None, **options):
    array = RNG.integers(1, 500, shape).astype(np.uint16) if like is None else like
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, **options)
    return array


@pytest.fixture
def folder(tmp_path):
    """Ten images with masks and inputs."""
    for i in range(10):
        for kind in ("images", "masks", "inputs"):
            tiff(tmp_path / kind / f"{i}.tif", 16, 20)
    return tmp_path


def whole(folder, **options):
    return Folder(folder / "images", masks=folder / "masks", inputs=folder / "inputs", **options)


def test_touched_moved_and_packed_files_are_the_same(folder, tmp_path):
    before = known(whole(folder))
    assert len(before.files) == 10
    assert before.read
    assert sorted(f.part for f in before.files.values()) == ["train"] * 9 + ["validation"]
    assert Fingerprint.from_json(before.to_json()) == before
    os.utime(folder / "images" / "3.tif", (1, 1))
    array = tifffile.imread(folder / "masks" / "4.tif")
    tiff(folder / "masks" / "4.tif", like=array, compression="zlib", byteorder=">")
    (folder / "masks" / "5.tif").rename(folder / "masks" / "5.ome.tif")
    (folder / "notes.txt").write_text("nothing")
    shutil.move(folder / "images", folder / "elsewhere")
    (folder / "elsewhere").rename(folder / "images")
    assert before.differences(known(whole(folder))) == []


@pytest.mark.parametrize(
    ("kind", "shape", "words"),
    [
        ("images", (16, 20), "4.tif has another image"),
        ("masks", (16, 20), "4.tif has another mask"),
        ("inputs", (16, 20), "4.tif has another input"),
    ],
)
def test_other_pixels_of_the_same_size_are_named(folder, kind, shape, words):
    before = known(whole(folder), Parallel())
    tiff(folder / kind / "4.tif", *shape)
    assert before.differences(known(whole(folder), Parallel())) == [words]


def test_files_more_and_less_and_of_another_size(folder):
    images = Folder(folder / "images")
    before = known(images)
    tiff(folder / "images" / "2.tif", 16, 24)
    (folder / "images" / "7.tif").unlink()
    tiff(folder / "images" / "a.tif", 16, 20)
    assert before.differences(known(images)) == [
        "2.tif has 16x24x1 pixels, before 16x20x1",
        "7.tif, which was trained on, is missing",
        "a.tif is new",
    ]


def test_classes_and_files_of_several_images(tmp_path):
    for name in ("one", "two"):
        tiff(tmp_path / "in" / name / f"{name}.tif", 3, 16, 20, metadata={"axes": "TYX"}, ome=True)
    config = Folder(tmp_path / "in", classes=True, axes="TYX", validation=0.5)
    before = known(config)
    assert before.files["one/one.tif"].parts["images"] == "3"
    stack = tifffile.imread(tmp_path / "in" / "one" / "one.tif")
    stack[2, 3, 4] += 1
    tiff(tmp_path / "in" / "one" / "one.tif", like=stack, metadata={"axes": "TYX"}, ome=True)
    assert before.differences(known(config)) == ["one/one.tif has another image"]
    tiff(tmp_path / "in" / "one" / "one.tif", like=stack[:2], metadata={"axes": "TYX"}, ome=True)
    assert before.differences(known(config)) == ["one/one.tif has 2 images, before 3"]


def test_held_out_images_stay_held_out(folder):
    config = Folder(folder / "images", validation=0.3)
    before = known(config)
    held = {name for name, file in before.files.items() if file.part == "validation"}
    assert len(held) == 3
    for i in range(8):
        tiff(folder / "images" / f"new_{i}.tif", 16, 20)
    moved = known(config)
    assert {n for n, f in moved.files.items() if f.part == "validation"} != held, "by chance alone they move"
    data = open_data(config, (8, 8), 0, before=before)
    assert {data.validation[i]["name"] for i in range(len(data.validation))} == held
    assert len(data.train) == 15
    assert known(config, before=before).held_out == before.held_out
    for name in sorted(held)[1:]:
        (folder / "images" / name).unlink()
    assert known(config, before=before).held_out == {min(held)}
    (folder / "images" / min(held)).unlink()
    with pytest.raises(DataError, match="of which nothing was held out before"):
        known(config, before=before)


def test_groups_stay_together_when_files_come(tmp_path):
    for well in "ABCDEF":
        for site in (1, 2):
            tiff(tmp_path / f"w{well}_s{site}.tif", 16, 20)
    config = Folder(tmp_path, validation=0.2, group_regex="w([A-F])")
    before = known(config)
    (held,) = before.held_out
    for well in "ABCDEF":
        tiff(tmp_path / f"w{well}_s3.tif", 16, 20)
    after = known(config, before=before)
    assert {n for n, f in after.files.items() if f.part == "validation"} == {f"w{held}_s{s}.tif" for s in (1, 2, 3)}


def test_regions_of_one_image_do_not_become_files(tmp_path):
    tiff(tmp_path / "a.tif", 16, 80)
    config = Folder(tmp_path)
    before = known(config)
    assert [f.part for f in before.files.values()] == ["both"]
    assert before.differences(known(config)) == []
    tiff(tmp_path / "b.tif", 16, 80)
    with pytest.raises(DataError, match="regions of one"):
        known(config, before=before)


def test_prepared_sets_are_known_without_reading_them(folder, monkeypatch):
    prepare(folder / "images", folder / "sets", "one", masks=folder / "masks", tile=(16, 10))
    config = Tfds("one", folder / "sets", cache_gb=0.0)
    with monkeypatch.context() as patch:
        patch.setattr("jaxdiff.data.prepared.tfds.TfdsSource.__getitem__", lambda *_: pytest.fail("read"))
        data = config.open((8, 8), 0)
    assert data.recorded is not None
    before = Fingerprint.of(*data.recorded)
    assert before.read
    assert before.files["3.tif"].parts["images"] == "2"
    assert before.differences(known(Folder(folder / "images", masks=folder / "masks"))) != [], "tiles are other images"
    shutil.rmtree(folder / "sets")
    prepare(folder / "images", folder / "sets", "one", masks=folder / "masks", tile=(16, 10))
    assert before.differences(known(config)) == []
    tiff(folder / "masks" / "3.tif", 16, 20)
    shutil.rmtree(folder / "sets")
    prepare(folder / "images", folder / "sets", "one", masks=folder / "masks", tile=(16, 10))
    assert before.differences(known(config)) == ["3.tif has another mask"]


def test_statistics_where_nothing_was_read():
    one = Fingerprint({}, {"map": "linear", "offset": [0.0], "scale": [1.0], "mean": [100.0], "std": [5.0]})
    same = Fingerprint({}, {**one.normaliser, "mean": [100.0001]})
    other = Fingerprint({}, {**one.normaliser, "mean": [100.1]})
    assert one.differences(same) == []
    assert one.differences(other) == ["the normaliser of the training images has mean [100.1], before [100.0]"]
