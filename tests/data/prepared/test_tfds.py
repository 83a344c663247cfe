"""Real TFDS files in both formats that work without TensorFlow, built and read here."""

import io
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tifffile
from PIL import Image

from jaxdiff.data.config import Folder, Tfds, open_data
from jaxdiff.data.errors import DataError
from jaxdiff.data.loader import Loader
from jaxdiff.data.prepared.prepare import prepare
from jaxdiff.data.prepared.tfds import TfdsSource

FORMATS = ["array_record", "parquet"]
ZYX = {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 0.5}}


@pytest.fixture(autouse=True)
def quiet():
    tfds.disable_progress_bar()


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_folder_with_masks_is_the_same_after_tfds(images, tmp_path, file_format):
    folder, masks = images(num=6), images("masks", num=6, high=300)
    where = prepare(folder, tmp_path / "tfds", "nuclei", file_format, masks=masks)
    assert any(file_format in path.name for path in where.iterdir())
    options = {"validation": 0.34}
    ours = open_data(Tfds("nuclei", tmp_path / "tfds", **options), (16, 16), 0)
    files = open_data(Folder(folder, masks=masks, **options), (16, 16), 0)
    assert ours.info == files.info
    for a, b in ((ours.train, files.train), (ours.validation, files.validation)):
        records = {b[i]["name"]: b[i] for i in range(len(b))}
        assert {a[i]["name"] for i in range(len(a))} == set(records)  # the same split, by file
        for i in range(len(a)):
            for part in ("image", "mask"):
                np.testing.assert_array_equal(a[i][part], records[a[i]["name"]][part])
                assert a[i][part].dtype == records[a[i]["name"]][part].dtype
    batch = next(Loader(ours.train, ours.normaliser, (16, 16), 4))
    assert {k: v.shape for k, v in batch.items()} == {
        "image": (4, 16, 16, 1),
        "mask": (4, 16, 16),
        "augmentation": (4, 3),
    }


def test_stacks_classes_and_units_survive(images, tmp_path):
    for name in ("a", "b"):
        images(f"classes/{name}", num=2, shape=(6, 40, 48), dtype="float32", **ZYX)
    prepare(tmp_path / "classes", tmp_path, "stacks", classes=True)
    source = TfdsSource("stacks", tmp_path)
    assert source.info.class_names == ("a", "b")
    assert source.info.pixel_size == {"Z": 0.5, "Y": 0.1, "X": 0.1}
    assert sorted(source[i]["label"] for i in range(4)) == [0, 0, 1, 1]
    assert (source[0]["image"].shape, source[0]["image"].dtype) == ((6, 40, 48, 1), np.float32)


class Histology(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Stands for a set of the TFDS catalog: PNG images, classes, two splits."""

    name = "histology"
    VERSION = tfds.core.Version("2.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(24, 30, 3)),
            "label": tfds.features.ClassLabel(names=["stroma", "tumour"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0), "test": self._generate_examples(1)}

    def _generate_examples(self, split):
        for i in range(8):
            file = io.BytesIO()
            Image.fromarray(self.picture(split, i)).save(file, "PNG")
            file.seek(0)
            yield i, {"image": file, "label": i % 2}

    @staticmethod
    def picture(split, i):
        return np.random.default_rng([split, i]).integers(0, 255, (24, 30, 3)).astype(np.uint8)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_catalog_set_is_read(tmp_path, file_format):
    Histology(data_dir=str(tmp_path), file_format=file_format).download_and_prepare()
    data = open_data(Tfds("histology", tmp_path, validation_split="test"), (16, 16), 0)
    assert (len(data.train), len(data.validation)) == (8, 8)
    assert (data.info.axes, data.info.dtype, data.info.colour) == ("YXC", "uint8", True)
    assert data.info.class_names == ("stroma", "tumour")
    assert data.info.pixel_size == {"Y": None, "X": None}
    pictures = {Histology.picture(0, i).tobytes(): i % 2 for i in range(8)}
    assert all(pictures[data.train[i]["image"].tobytes()] == data.train[i]["label"] for i in range(8))
    part = Tfds("histology", tmp_path, split="train[:50%]", validation_split="train[50%:]")
    halves = open_data(part, (16, 16), 0)  # TFDS alone gives all of train, twice, of parquet files
    seen = [half[i]["image"].tobytes() for half in (halves.train, halves.validation) for i in range(len(half))]
    assert len(halves.train) == 4
    assert sorted(seen) == sorted(pictures)
    for change, word in (({"split": "val"}, "train, test"), ({"image": "picture"}, "image, label")):
        with pytest.raises(DataError, match=word):
            open_data(Tfds("histology", tmp_path, **change), (16, 16), 0)


def test_refusals(images, tmp_path):
    with pytest.raises(DataError, match="tf"):
        TfdsSource("colorectal_histology", tmp_path)
    folder = images(num=2)
    prepare(folder, tmp_path, "twice")
    with pytest.raises(DataError, match="exists"):
        prepare(folder, tmp_path, "twice")
    tifffile.imwrite(folder / "field_01.tif", np.full((40, 48), np.nan, np.float32))
    tifffile.imwrite(folder / "field_00.tif", np.full((40, 48), np.nan, np.float32))
    with pytest.raises(DataError, match="NaN"):
        prepare(folder, tmp_path, "bad")
    assert not (tmp_path / "bad").exists()


def test_neither_tensorflow_nor_tfds_is_imported_without_need():
    code = (
        "import sys, jaxdiff.data.config, jaxdiff.data.shown.report; print([m for m in sys.modules if m in sys.argv])"
    )
    heavy = ["tensorflow", "tensorflow_datasets", "matplotlib", "jaxdiff.data.sources.synthetic"]
    run = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    assert "tensorflow" not in sys.modules
