"""What a bulk run writes, read by others: the `zarr` package and TFDS."""

import json

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
import zarr
from array_record.python.array_record_module import ArrayRecordReader
from bulk_jobs import CLASSES, INFO, data_files, rounded, small_job
from tensorflow_datasets.proto import tf_example_pb2

from jaxdiff.bulk import bulk
from jaxdiff.bulk.record_store import RecordStore
from jaxdiff.bulk.shards import Filled, ShardRecord, shard_of
from jaxdiff.bulk.zarr_store import ZarrStore
from jaxdiff.data.info import DataInfo
from jaxdiff.data.prepared.tfds import TfdsSource

NUM = 27


def test_zarr_holds_the_images_of_sample(undisturbed, images):
    group = zarr.open_group(undisturbed("zarr") / "images.zarr", mode="r")
    image, label = group["image"], group["label"]
    assert image.shape == (NUM, 8, 8, 1)
    assert image.dtype == np.uint16
    assert image.shards == (8, 8, 8, 1)
    np.testing.assert_array_equal(image[:], rounded(images(4)))
    np.testing.assert_array_equal(image[13], rounded(images(4))[13])
    np.testing.assert_array_equal(label[:], np.arange(NUM) % CLASSES)


def test_zarr_says_what_its_images_are(undisturbed):
    group = zarr.open_group(undisturbed("zarr") / "images.zarr", mode="r")
    image, attributes = group["image"], dict(group.attrs)
    assert image.metadata.dimension_names == ("n", "y", "x", "c")
    for said in (attributes, dict(image.attrs)):
        assert said["axes"] == "nyxc"
        assert said["pixel_size"] == {"Y": 0.65, "X": 0.65}
        assert said["unit"] == "µm"
        assert said["channel_names"] == ["DAPI"]
        assert said["dtype"] == "uint16"
        assert said["synthetic"] is True
    assert attributes["complete"] is True
    assert list(group["label"].attrs["class_names"]) == list(INFO.class_names)


def test_a_flipped_byte_is_found_by_the_reader(model, build, tmp_path):
    out = tmp_path / "out"
    bulk(small_job(model, out), build)
    path = out / "images.zarr/image/c/1/0/0/0"
    data = bytearray(path.read_bytes())
    data[40] ^= 4
    path.write_bytes(data)
    image = zarr.open_group(out / "images.zarr", mode="r")["image"]
    np.testing.assert_array_equal(image[7].shape, (8, 8, 1))
    with pytest.raises(Exception, match=r"(?i)checksum|crc"):
        image[8]


def test_tfds_reads_the_same_images(undisturbed, images):
    out = undisturbed("array_record")
    builder = tfds.builder_from_directory(str(out))
    data = builder.as_data_source("train")
    assert len(data) == NUM
    for i in (0, 7, 8, 26):
        assert data[i]["image"].dtype == np.uint16
        np.testing.assert_array_equal(data[i]["image"], rounded(images(4))[i])
        assert data[i]["label"] == i % CLASSES
        assert data[i]["index"] == i
    assert builder.info.features["label"].names == list(INFO.class_names)


def test_records_are_the_same_bytes_in_every_process(undisturbed):
    """The fields of a record have no order of their own, and protobuf draws one anew for each process."""
    [file, *_] = sorted(undisturbed("array_record").glob("*.array_record-*"))
    reader = ArrayRecordReader(str(file))
    for data in reader.read_all():
        assert tf_example_pb2.Example.FromString(data).SerializeToString(deterministic=True) == data


def test_our_own_loader_reads_it_for_training(model, build, images, tmp_path):
    out = tmp_path / "synthetic" / "1.0.0"
    bulk(small_job(model, out, num=5, format="array_record"), build)
    source = TfdsSource("synthetic", tmp_path)
    assert source.info == INFO.replace(synthetic=True)
    assert len(source) == 5
    np.testing.assert_array_equal(source[3]["image"], rounded(images(4))[3])


@pytest.mark.parametrize("format", ["zarr", "array_record"])
def test_float32_keeps_all_digits(model, build, images, tmp_path, format):
    bulk(small_job(model, tmp_path / "out", num=5, format=format, dtype="float32"), build)
    if format == "zarr":
        stored = zarr.open_group(tmp_path / "out/images.zarr", mode="r")["image"][:]
    else:
        data = tfds.builder_from_directory(str(tmp_path / "out")).as_data_source("train")
        stored = np.stack([data[i]["image"] for i in range(5)])
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, images(4)[:5])


@pytest.mark.parametrize("format", ["zarr", "array_record"])
def test_an_image_that_is_not_finite_is_said_and_left_out(model, build, images, tmp_path, format):
    class Spoiled:
        """The program, with NaN in image 9."""

        def __init__(self, program):
            self.program, self.batch, self.size, self.calls = program, program.batch, program.size, program.calls

        def __call__(self, first, cond):
            drawn, finite = (np.array(value) for value in self.program(first, cond))
            if first <= 9 < first + self.size:
                drawn[9 - first, 0] = np.nan
                finite[9 - first] = False
            return drawn, finite

    out = tmp_path / "out"
    assert bulk(small_job(model, out, format=format), lambda batch: Spoiled(build(batch))) == 1
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["totals"]["not_finite"] == [9]
    if format == "zarr":
        group = zarr.open_group(out / "images.zarr", mode="r")
        assert group.attrs["not_finite"] == [9]
        assert not group["image"][9].any()
        np.testing.assert_array_equal(group["image"][10], rounded(images(4))[10])
    else:
        data = tfds.builder_from_directory(str(out)).as_data_source("train")
        assert [data[i]["index"] for i in range(len(data))] == [i for i in range(NUM) if i != 9]


@pytest.mark.parametrize("store", [ZarrStore, RecordStore])
def test_volumes_of_two_channels_without_classes(tmp_path, store):
    """(n, z, y, x, c); three images in shards of two."""
    volumes = np.random.default_rng(0).integers(0, 60000, (3, 4, 6, 8, 2)).astype(np.uint16)
    info = DataInfo(axes="ZYXC", channel_names=("a", "b"), pixel_size={"Z": 2.0, "Y": 0.5, "X": 0.5}, unit="µm")
    files, finished = store(tmp_path, 3, 2, volumes.shape[1:], info, 0), []
    files.prepare()
    for i in range(2):
        shard = shard_of(i, 3, 2)
        own = volumes[shard.first : shard.first + shard.num]
        written, payload = files.write(Filled(shard, own, None, np.ones(shard.num, bool)), tmp_path / "aside")
        finished.append(ShardRecord(i, shard.first, shard.num, 1, written, payload=payload))
        assert all((tmp_path / file.path).stat().st_size == file.bytes for file in written)
    files.complete(finished)
    if store is ZarrStore:
        group = zarr.open_group(files.path, mode="r")
        assert group["image"].metadata.dimension_names == ("n", "z", "y", "x", "c")
        assert group.attrs["pixel_size"] == {"Z": 2.0, "Y": 0.5, "X": 0.5}
        assert "label" not in group
        stored = group["image"][:]
    else:
        data = tfds.builder_from_directory(str(files.path)).as_data_source("train")
        stored = np.stack([data[i]["image"] for i in range(3)])
        assert "label" not in data[0]
    np.testing.assert_array_equal(stored, volumes)


def test_the_manifest_tells_what_was_run(undisturbed):
    out = undisturbed("zarr")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["calls_per_image"] == 3
    assert manifest["totals"]["images"] == NUM
    assert manifest["versions"]["jax"] == jax.__version__
    assert [section["batch"] for section in manifest["sections"]] == [4]
    assert [(shard["first"], shard["num"]) for shard in manifest["shards"]] == [(0, 8), (8, 8), (16, 8), (24, 3)]
    request = manifest["request"]
    assert request["seed"] == 0
    assert request["grid"] == [-4.0, -1.0, 2.0]
    assert request["labels"] == "0 to 2 in turn"
    assert request["solver"]["class"].endswith("DPMpp")
    listed = {file["path"] for shard in manifest["shards"] for file in shard["files"]}
    described = {"images.zarr/zarr.json", "images.zarr/image/zarr.json", "images.zarr/label/zarr.json", "sheet.png"}
    assert set(data_files(out)) == listed | described
