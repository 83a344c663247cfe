"""Parallel folders of images and inputs on real TIFFs: what is read, and every fault with the name of its file."""

import numpy as np
import pytest
import tifffile

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.sources.folder import list_folder

RNG = np.random.default_rng(0)


def write(folder, name, shape, dtype="uint16", **options):
    folder.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 4000, shape).astype(dtype)
    tifffile.imwrite(folder / name, pixels, **options)
    return pixels


def sized(axes, **micrometres):
    sizes = {f"PhysicalSize{a}": s for a, s in micrometres.items()}
    return {"ome": True, "metadata": {"axes": axes, **sizes, **{f"{key}Unit": "µm" for key in sizes}}}


@pytest.fixture
def pair(tmp_path):
    """Write `num` images and inputs of the given shapes; returns the two folders."""

    def make(image=(40, 48), given=(40, 48), num=3, image_options=None, given_options=None, dtype="uint16"):
        for i in range(num):
            write(tmp_path / "images", f"field_{i}.tif", image, **(image_options or {}))
            write(tmp_path / "inputs", f"field_{i}.ome.tif", given, dtype, **(given_options or {}))
        return tmp_path / "images", tmp_path / "inputs"

    return make


def test_records_hold_both_and_the_listing_says_what_the_inputs_are(pair):
    images, inputs = pair(
        (40, 48),
        (2, 20, 24),
        image_options=sized("YX", X=0.1, Y=0.1),
        given_options=sized("CYX", X=0.2, Y=0.2)
        | {"metadata": sized("CYX", X=0.2, Y=0.2)["metadata"] | {"Channel": {"Name": ["DAPI", "GFP"]}}},
        dtype="float32",
    )
    listing = list_folder(images, inputs=inputs)
    info = listing.input_info
    assert info is not None
    assert (info.axes, info.channel_names, info.dtype, info.unit) == ("YXC", ("DAPI", "GFP"), "float32", "µm")
    assert info.pixel_size == pytest.approx({"Y": 0.2, "X": 0.2})
    assert listing.factor == (2, 2)
    assert (listing.source.info.channels, listing.source.info.dtype) == (1, "uint16")
    for i in range(3):
        record = listing.source[i]
        np.testing.assert_array_equal(record["image"][..., 0], tifffile.imread(images / f"field_{i}.tif"))
        expected = tifffile.imread(inputs / f"field_{i}.ome.tif")
        np.testing.assert_array_equal(record["input"], np.moveaxis(expected, 0, -1))
    assert "input" not in list_folder(images).source[0]
    assert list_folder(images).input_info is None


def test_stacks_may_be_coarser_along_one_axis_alone(pair):
    images, inputs = pair(
        (12, 20, 24), (3, 20, 24), image_options=sized("ZYX", Z=0.5, Y=0.1, X=0.1), given_options=sized("ZYX")
    )
    listing = list_folder(images, inputs=inputs)
    assert listing.factor == (4, 1, 1)
    assert listing.source[1]["input"].shape == (3, 20, 24, 1)
    assert listing.input_info is not None
    assert listing.input_info.pixel_size == {"Z": 2.0, "Y": 0.1, "X": 0.1}  # follows from the images' own


def test_every_time_of_a_file_has_its_input_and_masks_stay(tmp_path):
    for i in range(2):
        write(tmp_path / "images", f"{i}.tif", (5, 16, 20), imagej=True, metadata={"axes": "TYX"})
        noisy = write(tmp_path / "inputs", f"{i}.tif", (5, 16, 20), imagej=True, metadata={"axes": "TYX"})
        write(tmp_path / "masks", f"{i}.tif", (5, 16, 20), imagej=True, metadata={"axes": "TYX"})
    listing = list_folder(tmp_path / "images", tmp_path / "masks", inputs=tmp_path / "inputs")
    assert len(listing.source) == 10
    np.testing.assert_array_equal(listing.source[8]["input"][..., 0], noisy[3])
    assert listing.source[8]["mask"].shape == (16, 20)


def test_classes_are_matched_folder_by_folder(tmp_path):
    for label in ("healthy", "sick"):
        write(tmp_path / "images" / label, "0.tif", (16, 20))
        noisy = write(tmp_path / "inputs" / label, "0.tif", (16, 20))
    listing = list_folder(tmp_path / "images", classes=True, inputs=tmp_path / "inputs")
    np.testing.assert_array_equal(listing.source[1]["input"][..., 0], noisy)
    assert listing.source[1]["label"] == 1


def test_axes_hold_for_inputs_unless_these_have_their_own(pair):
    images, inputs = pair((3, 40, 48), (40, 48, 2))
    with pytest.raises(DataError, match="input_axes"):
        list_folder(images, axes="CYX", input_axes="YXC")
    listing = list_folder(images, axes="CYX", inputs=inputs, input_axes="YXC")
    assert listing.source[0]["input"].shape == (40, 48, 2)
    assert listing.source[0]["image"].shape == (40, 48, 3)


def test_a_stated_pixel_size_is_that_of_the_images(pair):
    wrong = sized("YX", X=0.7, Y=0.7)
    images, inputs = pair((40, 48), (20, 24), image_options=wrong, given_options=wrong)
    info = list_folder(images, inputs=inputs, pixel_size=(0.1, 0.2)).input_info
    assert info is not None
    assert (info.pixel_size, info.unit) == ({"Y": 0.2, "X": 0.4}, "µm")


def test_units_are_compared_and_not_only_numbers(pair):
    nanometres = {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 200.0, "PhysicalSizeY": 200.0}}
    nanometres["metadata"] |= {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm"}
    images, inputs = pair((40, 48), (20, 24), image_options=sized("YX", X=0.1, Y=0.1), given_options=nanometres)
    info = list_folder(images, inputs=inputs).input_info
    assert info is not None
    assert info.pixel_size == pytest.approx({"Y": 0.2, "X": 0.2})


def fault(folders, *words, error=DataError, **options):
    with pytest.raises(error) as raised:
        list_folder(folders[0], inputs=folders[1], **options)
    message = str(raised.value)
    assert message.startswith("got ")
    assert "; expected " in message
    assert "; to fix: " in message
    for word in words:
        assert word in message, message


def test_images_without_inputs_and_inputs_without_images(pair):
    folders = pair()
    (folders[1] / "field_1.ome.tif").rename(folders[1] / "other.tif")
    fault(folders, "1 images without input", "field_1.tif")
    (folders[0] / "field_1.tif").unlink()
    fault(folders, "1 inputs without image", "other.tif")
    fault((folders[0], folders[0]), "as images and as inputs")
    fault((folders[0], folders[0] / "nowhere"), "nowhere", "does not exist")


def test_two_inputs_of_one_name(pair):
    folders = pair()
    write(folders[1], "field_1.tif", (40, 48))
    fault(folders, "field_1.tif", "field_1.ome.tif", "beside inputs")


def test_inputs_that_are_not_a_whole_fraction(pair):
    fault(pair((40, 48), (40, 36)), "field_0.ome.tif", "field_0.tif", "(40, 36)", "whole times")


def test_inputs_of_more_pixels_than_the_image(pair):
    fault(pair((40, 48), (80, 96)), "field_0.ome.tif", "whole times")


def test_factors_that_differ_between_files(pair):
    folders = pair((40, 48), (20, 24))
    write(folders[1], "field_2.ome.tif", (10, 12))
    fault(folders, "field_2.tif", "(4, 4)", "(2, 2)", "one factor")


def test_channels_dtypes_and_names_that_differ_between_inputs(pair):
    folders = pair((40, 48), (40, 48))
    write(folders[1], "field_2.ome.tif", (2, 40, 48), **sized("CYX"))
    fault(folders, "field_0.ome.tif", "field_2.ome.tif", "2 channel(s)")
    write(folders[1], "field_2.ome.tif", (40, 48), "float32")
    fault(folders, "field_2.ome.tif", "float32")


def test_another_number_of_images_or_other_axes_in_a_file(pair):
    folders = pair((40, 48), (40, 48))
    write(folders[1], "field_1.ome.tif", (3, 40, 48), imagej=True, metadata={"axes": "TYX"})
    fault(folders, "field_1.ome.tif", "one input for each image")
    write(folders[1], "field_1.ome.tif", (3, 40, 48), imagej=True, metadata={"axes": "ZYX"})
    fault(folders, "field_1.ome.tif", "same spatial axes")
    with tifffile.TiffWriter(folders[1] / "field_1.ome.tif", ome=True) as file:
        for _ in range(2):
            file.write(np.zeros((40, 48), np.uint16), metadata={"axes": "YX"})
    fault(folders, "2 series in the input of", "field_1.tif")


def test_pixel_sizes_that_contradict_the_factor(pair):
    same = sized("YX", X=0.1, Y=0.1)
    folders = pair((40, 48), (20, 24), image_options=same, given_options=same)
    fault(folders, "field_0.ome.tif", "0.1", "0.2", "pixel_size")


def test_inputs_that_are_no_intensities(pair):
    folders = pair()
    write(folders[1], "field_1.ome.tif", (40, 48), "bool")
    fault(folders, "field_1.ome.tif", "bool")


def test_masks_beside_inputs_must_be_integer_labels(pair):
    folders = pair()
    for i in range(3):
        write(folders[0].parent / "masks", f"field_{i}.tif", (40, 48), "float32")
    tifffile.imwrite(folders[0].parent / "masks" / "field_0.tif", np.full((40, 48), 0.5, np.float32))
    source = list_folder(folders[0], inputs=folders[1], masks=folders[0].parent / "masks").source
    with pytest.raises(DataError, match=r"field_0\.tif .*such as 0\.5; expected integer labels"):
        source[0]


def test_a_damaged_input_leaves_out_its_image(pair):
    folders = pair()
    path = folders[1] / "field_1.ome.tif"
    path.write_bytes(path.read_bytes()[:200])
    fault(folders, "field_1.ome.tif", "skip_unreadable", error=UnreadableError)
    listing = list_folder(folders[0], inputs=folders[1], skip_unreadable=True)
    assert [listing.source[i]["name"] for i in range(2)] == ["field_0.tif", "field_2.tif"]
    assert len(listing.source) == 2
    assert "field_1.ome.tif" in listing.skipped[0]
