"""Folder -> data set -> batch -> file, on real files; and every fault of a folder with its message."""

import os
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from jaxdiff.config import TrainConfig, override
from jaxdiff.data.config import BBBC039, Folder, Synthetic, Tfds, open_data
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.read import inspect, read_image
from jaxdiff.data.files.write import write_image
from jaxdiff.data.loader import Loader

RNG = np.random.default_rng(0)
CYX = {"ome": True, "metadata": {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}}
CYX["metadata"] |= {"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
ZYX = {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 0.5}}


def check(folder, patch=(16, 16), **changes):
    return open_data(Folder(folder, **changes), patch, seed=0)


@pytest.mark.parametrize(
    ("shape", "options", "patch", "axes"),
    [((2, 40, 48), CYX, (16, 16), "YXC"), ((6, 40, 48), ZYX, (4, 16, 16), "ZYXC")],
)
def test_a_folder_goes_in_and_comes_out_the_same(images, tmp_path, shape, options, patch, axes):
    data = check(images(num=10, shape=shape, **options), patch)
    assert (len(data.train), len(data.validation), data.info.axes) == (9, 1, axes)
    batch = next(Loader(data.train, data.normaliser, patch, 4))
    assert batch["image"].shape == (4, *patch, data.info.channels)

    whole = data.train[0]["image"]
    grey = data.normaliser.inverse(data.normaliser.forward(whole))
    assert write_image(tmp_path / "out.ome.tif", grey, data.info.replace(synthetic=True)) == 0
    again, info = read_image(tmp_path / "out.ome.tif")
    np.testing.assert_array_equal(again, whole)
    assert info == data.info.replace(synthetic=True)
    assert info.pixel_size["X"] == 0.1
    assert info.unit == "µm"


def test_masks_classes_and_binning(tmp_path):
    for label, name in enumerate(("healthy", "sick")):
        for part in ("images", "masks"):
            (tmp_path / part / name).mkdir(parents=True)
        for i in range(3):
            mask = RNG.integers(0, 300, (20, 20)).repeat(2, 0).repeat(2, 1).astype(np.uint16)
            tifffile.imwrite(tmp_path / "images" / name / f"{i}.tif", mask * 2 + label)
            tifffile.imwrite(tmp_path / "masks" / name / f"{i}.ome.tif", mask)
    data = check(
        tmp_path / "images", masks=tmp_path / "masks", classes=True, binning=2, validation=0.34, pixel_size=(1, 1)
    )
    assert data.info.class_names == ("healthy", "sick")
    assert data.info.pixel_size == {"Y": 2.0, "X": 2.0}
    batch = next(Loader(data.train, data.normaliser, (16, 16), 8))
    grey = np.rint(data.normaliser.inverse(batch["image"]))[..., 0]
    np.testing.assert_array_equal(grey, 2 * batch["mask"] + batch["label"][:, None, None])


def test_validation_patches_are_fixed_and_of_held_out_files(images):
    data = check(images(num=6), validation=0.3)
    names = [{part[i]["name"] for i in range(len(part))} for part in (data.train, data.validation)]
    assert not names[0] & names[1]
    first, again = (list(data.validation_batches((16, 16), 4, 10)) for _ in range(2))
    assert [len(batch["image"]) for batch in first] == [4, 4, 2]
    other_size = np.concatenate([b["image"] for b in data.validation_batches((16, 16), 5, 10)])
    np.testing.assert_array_equal(np.concatenate([b["image"] for b in again]), other_size)
    grey = np.rint(data.normaliser.inverse(other_size[0]))
    held = np.lib.stride_tricks.sliding_window_view(data.validation[0]["image"][..., 0], (16, 16))
    assert (held == grey[..., 0]).all(axis=(-1, -2)).any()
    assert list(check(images("more"), validation=0).validation_batches((16, 16), 4, 10)) == []


def test_the_normaliser_knows_the_training_files_only_and_a_given_one_is_kept(images):
    folder = images(num=6)
    data = check(folder)
    tifffile.imwrite(
        folder / data.validation[0]["name"],
        np.full((40, 48), 60000, np.uint16) + RNG.integers(0, 9, (40, 48)).astype(np.uint16),
    )
    assert check(folder).normaliser == data.normaliser
    other = replace(data.normaliser, mean=(5.0,))
    assert open_data(Folder(folder), (16, 16), 0, other).normaliser is other


def test_times_of_one_file_stay_together_and_one_file_is_split_by_region(images):
    options = {"shape": (5, 40, 60), "imagej": True, "metadata": {"axes": "TYX"}}
    data = check(images(num=4, **options), validation=0.25)
    assert (len(data.train), len(data.validation)) == (15, 5)
    assert len({data.validation[i]["file"] for i in range(5)}) == 1
    single = check(images("single", num=1, **options) / "field_00.tif", validation=0.25)
    assert (len(single.train), len(single.validation)) == (5, 5)
    assert (single.train[0]["image"].shape, single.validation[0]["image"].shape) == ((40, 28, 1), (40, 16, 1))


def test_what_the_user_states_wins(images):
    data = check(images(shape=(6, 40, 48)), (4, 16, 16), axes="zyx", pixel_size=(0.5, 0.1, 0.1), channel_names=("DNA",))
    assert (data.info.axes, data.info.channel_names, data.info.unit) == ("ZYXC", ("DNA",), "µm")
    assert data.info.pixel_size == {"Z": 0.5, "Y": 0.1, "X": 0.1}
    for bad in ({"pixel_size": (0.1, 0.1)}, {"pixel_size": (0, 1, 1)}, {"channel_names": ("a", "b")}):
        with pytest.raises(DataError, match="to fix"):
            check(images(shape=(6, 40, 48)), (4, 16, 16), axes="ZYX", **bad)


def fault(folder, *words, **changes):
    with pytest.raises(DataError) as error:
        check(folder, **changes)
    message = str(error.value)
    assert message.startswith("got ")
    assert "; expected " in message
    assert "; to fix: " in message
    for word in words:
        assert word in message, message


def test_missing_empty_and_wrong_folders(images, tmp_path):
    fault(tmp_path / "nowhere", "nowhere", "does not exist")
    (tmp_path / "empty").mkdir()
    fault(tmp_path / "empty", "holds nothing")
    (tmp_path / "empty" / "a.jpg").touch()
    fault(tmp_path / "empty", "1 .jpg", ".png")
    images("nested/inside")
    fault(tmp_path / "nested", "sub-folders", "classes=True")
    fault(images(), "named after classes", classes=True)


def test_unreadable_folders(images):
    folder = images("locked/inside")
    folder.chmod(0)
    if os.access(folder, os.R_OK):
        pytest.skip("this user (root, or on Windows) may read everything")
    fault(folder, "cannot be listed", "rights")
    folder.parent.chmod(0)
    fault(folder, "cannot be listed", "rights")
    folder.parent.chmod(0o700)
    folder.chmod(0o700)


def test_damaged_files_are_named_or_left_out_with_a_count(images):
    folder = images(num=5, compression="zlib")
    for name in ("field_01.tif", "field_03.tif"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
    (folder / "field_04.tif").write_bytes(b"")
    fault(folder, "3 of 5", "field_01.tif", "field_03.tif", "field_04.tif", "skip_unreadable")
    data = check(folder, skip_unreadable=True)
    assert len(data.train) + len(data.validation) == 2
    assert [f"field_0{i}.tif" in reason for i, reason in zip((1, 3, 4), sorted(data.skipped))] == [True] * 3
    for path in folder.iterdir():
        path.write_bytes(b"II*\0")
    for skip in (True, False):
        fault(folder, "5 of 5 files that cannot be read", "field_04.tif", "at least one image", skip_unreadable=skip)
    shutil.copy(folder / "field_00.tif", folder / "field_09.tif")
    fault(folder, "field_04.tif", "\n  and 1 more\n")


def test_files_that_are_no_images_here_are_left_out_as_damaged_ones_are(images):
    folder = images(num=3)
    for name, pixels, tags in (
        ("row", np.arange(9, dtype=np.uint16), {}),
        ("inks", np.zeros((40, 48, 4), np.uint8), {"photometric": "separated"}),
        ("lab", np.zeros((40, 48, 3), np.uint8), {"photometric": "cielab"}),
        ("waves", np.zeros((40, 48), np.complex64), {}),
        ("white", np.zeros((40, 48), np.float32), {"photometric": "miniswhite"}),
        ("palette", np.zeros((40, 48), np.uint8), {"photometric": "palette", "colormap": np.eye(3, 256, dtype="u2")}),
        ("bits", np.zeros((40, 48), bool), {}),
        ("spectrum", np.zeros((5, 40, 48), np.uint16), {"metadata": {"axes": "HYX"}}),
    ):
        tifffile.imwrite(folder / f"x_{name}.tif", pixels, **tags)
    names = {"bits", "inks", "lab", "palette", "row", "spectrum", "waves", "white"}
    skipped = check(folder, skip_unreadable=True).skipped
    assert len(skipped) == len(names)
    assert {reason.partition("x_")[2].partition(".tif")[0] for reason in skipped} == names
    fault(folder, "8 of 11 files that cannot be read", "x_row.tif", "and 3 more")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1e300, -1e300, 1e39, 2.0**64 * 1.001, np.float32(3e38), 1.0])
def test_values_beyond_the_range_of_float32_are_said(images, value):
    folder = images(num=3, dtype="float64" if isinstance(value, float) else "float32")
    pixels = tifffile.imread(folder / "field_01.tif")
    pixels[3, 4:6] = value, np.nan
    tifffile.imwrite(folder / "field_01.tif", pixels)
    fault(folder, "field_01.tif", "1 NaN" if value == 1 else f"{min(value, np.nanmin(pixels)):.4g}", "to fix")
    if value != 1:
        assert len(check(folder, skip_unreadable=True).skipped) == 1


def test_damage_inside_the_pixels_is_found_before_training(images):
    folder = images(num=3, compression="zlib")
    data = bytearray((folder / "field_01.tif").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    (folder / "field_01.tif").write_bytes(data)
    fault(folder, "field_01.tif", "cannot be read")
    assert len(check(folder, skip_unreadable=True).skipped) == 1
    (folder / "field_02.tif").write_bytes(data)
    fault(folder, "the data with 2 of 3 files", "field_01.tif", "field_02.tif")


def test_mixed_folders_name_both_files(images):
    def mixed(name, **second):
        folder = images(name, num=2)
        shutil.move(folder / "field_01.tif", folder / "field_99.tif")
        images(name, num=1, seed=1, **{"shape": (40, 48), **second})
        return folder

    fault(mixed("channels", **{**CYX, "shape": (2, 40, 48)}), "field_00.tif", "field_99.tif", "2 channel(s)")
    fault(mixed("dtype", dtype="float32"), "float32", "uint16")
    fault(mixed("colour", shape=(40, 48, 3), photometric="rgb", dtype="uint8"), "colour samples")
    fault(mixed("depth", **{**ZYX, "shape": (6, 40, 48)}), "ZYX", "axes YX")
    sized = mixed("size", ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    fault(sized, "pixel size", "pixel_size")
    assert check(sized, pixel_size=(0.5, 0.5)).info.pixel_size["X"] == 0.5


def test_images_that_cannot_be_trained_on(images):
    fault(images("small"), "field_00.tif", "(40, 48)", "patch", patch=(41, 16))
    fault(images("binned"), "(20, 24)", "binning", patch=(24, 24), binning=2)
    fault(images("rank"), "patch (4, 16, 16)", "YX", patch=(4, 16, 16))

    folder = images("constant")
    tifffile.imwrite(folder / "field_02.tif", np.full((40, 48), 7, np.uint16))
    fault(folder, "field_02.tif", "7", "allow_blank")
    assert len(check(folder, allow_blank=True, validation=0).train) == 4
    fault(images("all constant", high=1), "training pixel", allow_blank=True)

    for bad in (np.nan, np.inf):
        folder = images(f"{bad}", dtype="float32")
        pixels = np.ones((40, 48), np.float32)
        pixels[3, 4:6] = bad
        tifffile.imwrite(folder / "field_02.tif", pixels)
        fault(folder, "field_02.tif", "2 NaN or infinite")

    fault(images("axes", shape=(6, 40, 48)), "(6, 40, 48)", 'axes="ZYX"')
    fault(images("bool", dtype="bool", high=2), "bool")
    fault(images("binning"), "binning=0", binning=0)
    fault(images("regex"), "group_regex", group_regex="well(.)")


def test_masks_that_do_not_fit(images, tmp_path):
    folder, masks = images(num=3), images("masks", num=3, high=9)
    assert "mask" in check(folder, masks=masks).train[0]
    (masks / "field_01.tif").rename(masks / "other.tif")
    fault(folder, "1 images without mask", "field_01.tif", masks=masks)
    (folder / "field_01.tif").unlink()
    fault(folder, "1 masks without image", "other.tif", masks=masks)
    fault(folder, "does not exist", masks=tmp_path / "nowhere")
    twice = images("twice", num=3, seed=5)
    shutil.copy(twice / "field_01.tif", twice / "field_01.ome.tif")
    fault(folder, "one file of a name", masks=twice)
    halves = images("b", dtype="float32")
    tifffile.imwrite(halves / "field_02.tif", np.full((40, 48), 0.5, np.float32))
    fault(images("a"), "field_02.tif", "float32", "such as 0.5", "integer labels", masks=halves)
    fault(images("c"), "one label for each pixel", masks=images("d", shape=(40, 47)))
    fault(images("e"), "no channels", masks=images("f", shape=(40, 48, 3), photometric="rgb", dtype="uint8"))


def test_configs_are_read_from_the_command_line(tmp_path, capsys):
    def read(data, *options):
        return override(TrainConfig(name="run", steps=1, data=data), options).data

    folder = read(Folder(Path("x")), "--data.path", str(tmp_path), "--data.pixel-size", "0.5", "0.1", "0.1")
    assert folder == Folder(tmp_path, pixel_size=(0.5, 0.1, 0.1))
    for data in (Folder(tmp_path), Synthetic(), Tfds("images", tmp_path), BBBC039(tmp_path)):
        with pytest.raises(SystemExit):
            read(data, "--help")
        text = capsys.readouterr().out
        for field in fields(data):
            if field.name == "readers":  # objects, which only a config file makes
                continue
            assert f"--data.{field.name.replace('_', '-')}" in text


def test_to_leave_a_file_out_is_advised_where_that_can_be_asked_for(images):
    folder = images(num=2)
    (folder / "field_01.tif").write_bytes(b"no image")
    with pytest.raises(UnreadableError, match=r"to fix: copy it again or remove it$"):
        inspect(folder / "field_01.tif")
    fault(folder, "field_01.tif", "to fix: copy it again or remove it, or leave such files out with skip_unreadable")
