"""Descriptions of a prepared set are data: they import nothing, open no file elsewhere, promise no more than is there."""

import contextlib
import json
import re
import shutil
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxdiff.data.errors import DataError
from jaxdiff.data.prepared.description import FEATURES
from jaxdiff.data.prepared.prepare import prepare
from jaxdiff.data.prepared.tfds import TfdsSource

EVIL = "planted_by_a_data_set"
CLEAN = r"(?s)^got .*; expected .*; to fix: "


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Four images with masks in two classes, as array_record."""
    import tifffile

    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    for kind, high in (("images", 999), ("masks", 3)):
        for name in ("a/0", "a/1", "b/2", "b/3"):
            path = folder / kind / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, rng.integers(0, high, (12, 14)).astype(np.uint16), metadata={"axes": "YX"})
    return prepare(folder / "images", folder / "sets", "small", masks=folder / "masks", classes=True)


@pytest.fixture
def made(whole, tmp_path):
    """A copy to break."""
    return shutil.copytree(whole, tmp_path / "small" / whole.name)


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A module on the path that says when it was imported."""
    package = tmp_path / "path" / EVIL
    package.mkdir(parents=True)
    mark = tmp_path / "imported"
    code = (
        f"open({str(mark)!r}, 'w').close()\nimport tensorflow_datasets as tfds\nclass Image(tfds.features.Image): ...\n"
    )
    (package / "__init__.py").write_text(code)
    (package / "feature.py").write_text(code)
    monkeypatch.syspath_prepend(str(package.parent))
    yield mark
    for name in [name for name in sys.modules if name.startswith(EVIL)]:
        del sys.modules[name]


def changed(path, change):
    values = json.loads(path.read_text())
    result = change(values)
    path.write_text(json.dumps(values if result is None else result))


def at(values, path):
    for name in path[:-1]:
        values = values[name]
    return values, path[-1]


IMAGE = ("featuresDict", "features", "image")
PYTHON = f"{EVIL}.feature.Image"
FORMS = {
    "of a field": lambda v: v["featuresDict"]["features"].update(more={"pythonClassName": PYTHON, "image": {}}),
    "of the image": lambda v: v["featuresDict"]["features"]["image"].update(pythonClassName=PYTHON),
    "of the whole": lambda v: v.update(pythonClassName=f"{EVIL}.feature.FeaturesDict"),
    "in a sequence": lambda v: v["featuresDict"]["features"].update(
        more={
            "pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
            "sequence": {"feature": {"pythonClassName": PYTHON, "image": {}}},
        }
    ),
    "of a label image": lambda v: v["featuresDict"]["features"].update(
        more={
            "pythonClassName": "tensorflow_datasets.core.features.image_feature.Image",
            "image": {"label": {"pythonClassName": PYTHON, "image": {}}},
        }
    ),
    "in other spelling": lambda v: v["featuresDict"]["features"].update(
        more={"python_class_name": PYTHON, "image": {}}
    ),
    "in the old form": lambda v: {"type": PYTHON, "content": {}},
    "old inside": lambda v: v["featuresDict"]["features"].update(more={"type": PYTHON, "content": {}}),
    "as text": lambda v: v["featuresDict"]["features"].update(
        more={
            "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
            "jsonFeature": {"json": json.dumps({"a": {"type": PYTHON, "content": {}}})},
        }
    ),
    "behind TFDS's name": lambda v: v["featuresDict"]["features"]["image"].update(
        pythonClassName=f"tensorflow_datasets.core.features.{PYTHON}"
    ),
    "of another of TFDS": lambda v: v["featuresDict"]["features"].update(
        more={"pythonClassName": "tensorflow_datasets.core.features.video_feature.Video", "video": {}}
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_class_is_imported_by_the_name_in_a_description(made, planted, form):
    changed(made / "features.json", FORMS[form])
    with pytest.raises(ValueError, match=CLEAN) as error:
        TfdsSource("small", made.parents[1])
    assert "features.json" in str(error.value)
    assert not planted.exists()
    assert EVIL not in sys.modules


def test_the_module_would_have_been_imported(made, planted):
    changed(made / "features.json", FORMS["of a field"])
    with contextlib.suppress(Exception):
        tfds.builder_from_directory(str(made))
    assert planted.exists()


def test_the_module_that_wrote_a_set_is_not_imported(made, planted):
    changed(made / "dataset_info.json", lambda values: values.update(moduleName=f"{EVIL}.feature"))
    assert len(TfdsSource("small", made.parents[1])) == 4
    assert not planted.exists()


def test_the_features_that_are_read_are_tfdss_own():
    for name in FEATURES:
        module, _, cls = f"tensorflow_datasets.core.features.{name}".rpartition(".")
        assert issubclass(getattr(sys.modules[module], cls), tfds.features.FeatureConnector)


@pytest.mark.parametrize(
    ("file", "path", "to", "message"),
    [
        ("dataset_info.json", ("splits",), {}, "splits .*expected a list"),
        ("dataset_info.json", ("splits", 0, "shardLengths"), ["1000000000000"], "1000000000000 records"),
        ("dataset_info.json", ("splits", 0, "shardLengths"), ["5"], "index.json of 4 records; expected 5"),
        ("dataset_info.json", ("splits", 0, "shardLengths"), ["-4"], "shardLengths '-4'"),
        ("dataset_info.json", ("splits", 0, "shardLengths"), "4", "shardLengths '4'; expected a list"),
        ("dataset_info.json", ("splits", 0, "filepathTemplate"), "../other/{DATASET}", "filepathTemplate"),
        ("dataset_info.json", ("splits", 0, "filepathTemplate"), "/etc/passwd", "filepathTemplate"),
        ("dataset_info.json", ("splits", 0, "filepathTemplate"), "a" * 5000, "filepathTemplate"),
        ("dataset_info.json", ("splits", 0, "filepathTemplate"), "{SHARD_X_OF_YARD_X_OF_Y}", "filepathTemplate"),
        ("dataset_info.json", ("splits", 0, "filepathTemplate"), "{DATASET}-{", "filepathTemplate"),
        ("dataset_info.json", ("splits", 0, "name"), "a" * 5000, r"splits\[0\]\.name"),
        ("dataset_info.json", ("name",), "a" * 5000, "name 'aaa"),
        ("dataset_info.json", ("version",), "1." * 5000 + "1", "version '1.1"),
        ("dataset_info.json", ("splits", 0, "name"), "../train", r"splits\[0\]\.name"),
        ("dataset_info.json", ("name",), "../other", "name '../other'"),
        ("dataset_info.json", ("version",), "one", "version 'one'"),
        ("dataset_info.json", ("fileFormat",), "exe", "dataset_info|description"),
        ("dataset_info.json", ("features",), {}, "features .*expected them in features.json alone"),
        ("dataset_info.json", ("odd",), 1, "description"),
        ("features.json", (*IMAGE, "tensor", "shape", "dimensions"), ["-2"], "dimensions '-2'"),
        ("features.json", (*IMAGE, "tensor", "shape", "dimensions"), ["9" * 30], "dimensions"),
        ("features.json", (*IMAGE, "tensor", "dtype"), "complex64", "dtype 'complex64'"),
        ("features.json", (*IMAGE, "tensor"), [], r"image\.tensor .*expected a dict"),
        ("features.json", ("featuresDict", "features", "label", "classLabel", "numClasses"), "9999999", "numClasses"),
        ("features.json", ("featuresDict",), None, "featuresDict None"),
        ("metadata.json", ("jaxdiff", "axes"), "XYC", "metadata.json: data: axes 'XYC'"),
        ("metadata.json", ("jaxdiff",), 3, "metadata.json: data info with 3"),
        ("index.json", ("file_of",), [0, 1, 2, 4], "file_of 4; expected a number from 0 to 3"),
        ("index.json", ("file_of",), [0, 1, 2, True], r"file_of\[3\] True; expected an integer"),
        ("index.json", ("shapes",), [[12, 14]] * 3, "shapes 'of 3 records'"),
        ("index.json", ("shapes", 0), [12, -14], "shapes .*1 or more"),
        ("index.json", ("blank",), [4], "blank 4"),
        ("index.json", ("files",), {"a": 1}, "files .*expected a list"),
    ],
)
def test_descriptions_that_cannot_be(made, file, path, to, message):
    def change(values):
        place, name = at(values, path)
        place[name] = to

    changed(made / file, change)
    with pytest.raises(ValueError, match=message) as error:
        TfdsSource("small", made.parents[1])
    assert re.search(CLEAN, str(error.value))
    assert str(made) in str(error.value)


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json", "metadata.json", "index.json"])
@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b'{"a": 1, "a": 2}', b"\xff\xfe", b"[]", b"null"])
def test_files_that_are_no_description(made, file, content):
    (made / file).write_bytes(content)
    if (file, content) == ("metadata.json", b"null"):
        pytest.skip("an empty description is one")
    with pytest.raises(ValueError, match=CLEAN):
        TfdsSource("small", made.parents[1])


@pytest.mark.parametrize("name", ["../small", "/small", "sm*ll", "small/../small", "", "small\0"])
def test_names_that_are_no_data_sets(made, name):
    with pytest.raises(DataError, match="expected that of a data set"):
        TfdsSource(name, made.parents[1])


def test_folders_that_are_no_versions_are_left_out(made):
    shutil.copytree(made, made.with_name("backup"))
    assert len(TfdsSource("small", made.parents[1])) == 4


def test_files_that_are_missing_or_elsewhere(made):
    (file,) = made.glob("*.array_record*")
    file.rename(file.with_name("moved"))
    with pytest.raises(DataError, match=r"array_record.*, missing; expected 4 records"):
        TfdsSource("small", made.parents[1])


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
@pytest.mark.parametrize("put", [lambda path: None, lambda path: path.symlink_to(path.name)], ids=["missing", "loop"])
def test_a_description_that_is_not_there_is_said(made, name, put):
    (made / name).unlink()
    put(made / name)
    with pytest.raises(ValueError, match=r"(?s)^got .*; expected .*; to fix: "):
        TfdsSource("small", made.parents[1])


def test_damaged_records_are_refused_by_number(made):
    (file,) = made.glob("*.array_record*")
    data = bytearray(file.read_bytes())
    filled = np.flatnonzero(np.frombuffer(data, np.uint8))
    middle = int(filled[len(filled) // 2])
    data[middle : middle + 40] = bytes(40)
    file.write_bytes(data)
    source = TfdsSource("small", made.parents[1])
    with pytest.raises(DataError, match=r"record \d of .*small.*which cannot be read"):
        [source[i] for i in range(len(source))]
