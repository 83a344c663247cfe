"""Inputs beside images, from real TIFFs to the batches of a loader: binned, split, checked, registered."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from jaxdiff.data.config import Folder, Synthetic, open_data
from jaxdiff.data.dataset import hold_out
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.loader import Loader
from jaxdiff.data.pairing import spread
from jaxdiff.data.pairs import Denoising, Parallel
from jaxdiff.data.sources.source import Binned, Memory
from jaxdiff.data.sources.synthetic import Field, Microscope
from jaxdiff.physics.binning import area_binning

OME = {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}}


@pytest.fixture
def folders(tmp_path):
    """Fields of smooth blobs, and their inputs: binned, shifted by `shift`, with an offset, as uint16 TIFFs."""

    def make(num=4, shape=(48, 56), factor=(1, 1), shift=(0, 0)):
        rng = np.random.default_rng(0)
        for name in ("images", "inputs"):
            (tmp_path / name).mkdir()
        for i in range(num):
            field = 2e4 * ndimage.gaussian_filter(rng.random(shape), 2)
            shifted = ndimage.shift(field, shift, order=1, mode="nearest")[..., None]
            coarse = area_binning(shifted, factor)[..., 0] + 500
            tifffile.imwrite(tmp_path / "images" / f"{i}.ome.tif", field.astype(np.uint16), **OME)
            tifffile.imwrite(tmp_path / "inputs" / f"{i}.tif", coarse.astype(np.uint16))
        return tmp_path / "images", tmp_path / "inputs"

    return make


@pytest.mark.parametrize("factor", [(1, 1), (2, 2), (4, 2)])
def test_parallel_folders_come_as_pairs_in_one_place_and_orientation(folders, factor):
    path, inputs = folders(factor=factor)
    data = open_data(Folder(path=path, inputs=inputs), (16, 16), 0, pairs=Parallel("super-resolve"))
    assert not data.notes
    assert data.pairing.inputs.factor == factor
    assert data.pairing.inputs.info.pixel_size == {"Y": 0.5 * factor[0], "X": 0.5 * factor[1]}
    loader = Loader(data.train, data.normaliser, (16, 16), 3, seed=0, pairing=data.pairing)
    for _ in range(4):
        batch = next(loader)
        grey = data.normaliser.inverse(batch["image"])
        given = data.pairing.inputs.normaliser.inverse(batch["input"]) - 500
        for one, other in zip(grey, given):
            np.testing.assert_allclose(spread(area_binning(one, factor), (16, 16)), other, atol=3)
    held = next(data.validation_batches((16, 16), 2, 2))
    assert held["input"].shape == held["image"].shape == (2, 16, 16, 1)


def test_a_shift_between_the_folders_is_noted_with_its_number(folders):
    path, inputs = folders(shape=(96, 96), shift=(3, -2))
    data = open_data(Folder(path=path, inputs=inputs), (16, 16), 0, pairs=Parallel("denoise"))
    (note,) = data.notes
    assert "shifted by (dy, dx) = (-3.0" in note
    assert "2.0" in note


def test_inputs_that_nothing_reads_are_noted(folders):
    path, inputs = folders()
    for pairs in (None, Denoising()):
        data = open_data(Folder(path=path, inputs=inputs), (16, 16), 0, pairs=pairs)
        assert any("read by pairs=Parallel(...) alone" in note for note in data.notes)


def test_one_image_is_held_out_by_region_where_pixels_of_its_input_begin(folders):
    path, inputs = folders(num=1, shape=(48, 120), factor=(1, 8))
    data = open_data(Folder(path=path, inputs=inputs, validation=0.3), (16, 16), 0, pairs=Parallel("super-resolve"))
    # The last 36 of 120 pixels are held out, after a gap of 16: both bounds lie within a pixel of the input.
    shapes = [(part[0]["image"].shape[1], part[0]["input"].shape[1]) for part in (data.train, data.validation)]
    assert shapes == [(64, 8), (32, 4)]
    for part in (data.train, data.validation):
        record = part[0]
        np.testing.assert_allclose(area_binning(record["image"], (1, 8)), record["input"] - 500.0, atol=2)


def test_masks_move_with_the_region():
    numbers = np.arange(8 * 60).reshape(1, 8, 60)
    source = Memory(numbers[..., None], DataInfo(), numbers, inputs=numbers[..., ::6, None])
    for part in hold_out(source, ["a"], (6, 12), 0.3, None, 0):
        record = part[0]
        np.testing.assert_array_equal(record["image"][..., 0], record["mask"])
        np.testing.assert_array_equal(record["input"], record["image"][:, ::6])


def test_binning_keeps_the_factor_or_refuses():
    rng = np.random.default_rng(0)
    fine = rng.random((1, 16, 24, 1)).astype(np.float32)
    coarse = np.stack([area_binning(one, (2, 2)) for one in fine])
    record = Binned(Memory(fine, DataInfo(), inputs=coarse), 4)[0]
    assert (record["image"].shape, record["input"].shape) == ((4, 6, 1), (2, 3, 1))
    np.testing.assert_allclose(area_binning(record["image"], (2, 2)), record["input"], rtol=1e-6)
    equal = Binned(Memory(fine[:, :15], DataInfo(), inputs=fine[:, :15]), 4)[0]
    np.testing.assert_array_equal(equal["image"], equal["input"])
    with pytest.raises(DataError, match=r"image 0 with an input of \(8, 12\) pixels and binning=3"):
        Binned(Memory(fine, DataInfo(), inputs=coarse), 3)[0]


def test_binned_folders_have_larger_pixels_in_both(folders):
    path, inputs = folders(shape=(64, 64), factor=(2, 2))
    data = open_data(Folder(path=path, inputs=inputs, binning=2), (8, 8), 0, pairs=Parallel("super-resolve"))
    assert data.info.pixel_size == {"Y": 1.0, "X": 1.0}
    assert data.pairing.inputs.info.pixel_size == {"Y": 2.0, "X": 2.0}
    assert data.pairing.inputs.factor == (2, 2)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, "float32", "the input of 1.ome.tif with 2688 NaN"),
        (7, "uint16", "the input of 1.ome.tif with the value 7"),
    ],
)
def test_blank_and_broken_inputs_are_refused(folders, value, dtype, message):
    path, inputs = folders()
    for file in inputs.iterdir():
        pixels = tifffile.imread(file).astype(dtype)
        tifffile.imwrite(file, np.full_like(pixels, value) if file.name == "1.tif" else pixels)
    with pytest.raises(DataError, match=message):
        open_data(Folder(path=path, inputs=inputs), (16, 16), 0)
    if dtype == "uint16":
        assert open_data(Folder(path=path, inputs=inputs, allow_blank=True), (16, 16), 0)


def test_what_does_not_fit_is_refused_at_once(folders):
    path, inputs = folders(factor=(4, 4))
    with pytest.raises(DataError, match=r"patch \(16, 18\) of .*covers \(4, 4\)"):
        open_data(Folder(path=path, inputs=inputs), (16, 18), 0)
    with pytest.raises(DataError, match=r"\(4, 4\) times fewer pixels; .*super-resolve"):
        open_data(Folder(path=path, inputs=inputs), (16, 16), 0, pairs=Parallel("denoise"))
    with pytest.raises(DataError, match=r"data without inputs .*name the folder of the inputs"):
        open_data(Folder(path=path), (16, 16), 0, pairs=Parallel())
    two = DataInfo(channel_names=("a", "b"))
    with pytest.raises(DataError, match="inputs of 2 channels to denoise, for images of 1"):
        Parallel("denoise").infos(DataInfo(), two)
    assert Parallel("translate").infos(DataInfo(), two) == (DataInfo(), two)


def test_the_synthetic_microscope_gives_clean_images_and_their_recordings(monkeypatch):
    rng = np.random.default_rng(
        0
    )  # of fields that need no compilation; tests/data/sources/test_synthetic_pairs.py has real ones
    field = Field(
        image=rng.integers(100, 900, (6, 24, 32, 1)).astype(np.uint16),
        clean=rng.uniform(100, 900, (6, 24, 32, 1)).astype(np.float32),
        mask=rng.integers(0, 4, (6, 24, 32)),
        classes=np.array([[2, 0, 3, -1]] * 6),
        label=np.zeros(6, int),
    )
    monkeypatch.setattr(Microscope, "fields", lambda *_: field)
    plain, data = (Synthetic(num=6, pairs=pairs).open((24, 32), 0) for pairs in (False, True))
    assert (data.info.dtype, data.input_info.dtype, plain.input_info) == ("float32", "uint16", None)
    assert "input" not in plain.train[0]
    assert plain.train[0]["classes"] == data.train[0]["classes"] == ("mitotic", "interphase", "apoptotic")
    assert plain.info.object_classes == ("interphase", "elongated", "mitotic", "apoptotic")
    for i in range(len(plain.train)):
        one, both = plain.train[i], data.train[i]
        np.testing.assert_array_equal(both["input"], one["image"])
        np.testing.assert_array_equal(both["mask"], one["mask"])
        assert (both["image"] == field.clean[int(both["name"].split()[1])]).all()
