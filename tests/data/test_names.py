"""Names in folders: hidden ones, links to nothing, one letter in two forms, and bytes that are no UTF-8."""

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile

from jaxdiff.commands.folders.masks_of_folder import MasksOfFolder
from jaxdiff.commands.folders.over_folder import listed, over_folder
from jaxdiff.data.config import Folder, Tfds, open_data
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.write import write_image
from jaxdiff.data.fingerprint import Fingerprint
from jaxdiff.data.info import DataInfo
from jaxdiff.data.prepared.prepare import prepare
from jaxdiff.data.shown.report import report
from jaxdiff.data.sources.find import find_images
from jaxdiff.data.sources.folder import list_folder

RNG = np.random.default_rng(0)
NFC, NFD = (unicodedata.normalize(form, "zürich_é") for form in ("NFC", "NFD"))
BYTES = os.fsdecode(b"caf\xe9")
"""A name that is no UTF-8, as an older Windows wrote it."""


def write(path, shape=(24, 24), high=4000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = RNG.integers(0, high, shape).astype(np.uint16)
    tifffile.imwrite(path, array, **options)
    return array


def named(folder, name):
    """A folder in which a file may have this name; skips where the disk knows UTF-8 alone."""
    try:
        write(folder / name)
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")


def test_what_is_hidden_is_no_image_and_no_class(tmp_path):
    for name in ("one", "two", ".ipynb_checkpoints", ".git", "__MACOSX", "@eaDir"):
        write(tmp_path / "classes" / name / "a.tif")
        write(tmp_path / "classes" / name / "._a.tif")
    data = open_data(Folder(tmp_path / "classes", classes=True, validation=0), (16, 16), 0)
    assert data.info.class_names == ("one", "two")
    assert len(data.train) == 2
    write(tmp_path / "flat" / "a.tif")
    for name in ("._a.tif", ".hidden.png"):
        (tmp_path / "flat" / name).write_bytes(b"no image")
    assert [item.name for item in listed(tmp_path / "flat")[0]] == ["a"]


def test_links_to_nothing_pipes_and_folders_are_named_and_counted(tmp_path):
    write(tmp_path / "in" / "a.tif")
    (tmp_path / "in" / "b.tif").symlink_to("not_there.tif")
    (tmp_path / "in" / "c.tif").symlink_to("c.tif")
    (tmp_path / "in" / "d.tif").mkdir()
    os.mkfifo(tmp_path / "in" / "e.png")
    with pytest.raises(UnreadableError, match=r"b\.tif, a link to not_there\.tif"):
        list_folder(tmp_path / "in")
    data = open_data(Folder(tmp_path / "in", skip_unreadable=True, validation=0), (16, 16), 0)
    assert len(data.train) == 1
    assert [next(n for n in "bcde" if f"{n}." in reason) for reason in data.skipped] == list("bcde")
    assert "4 files that cannot be read" in report(data, (16, 16))
    items = listed(tmp_path / "in")[0]
    assert [(item.name, item.problem is None) for item in items] == [(name, name == "a") for name in "abcde"]
    status = over_folder(
        tmp_path / "in", tmp_path / "out", lambda *_: {}, suffixes=(), resume=False, expected=DataInfo("YXC", ("0",)),
        describe={},
    )  # fmt: skip
    assert status == 1
    records = json.loads((tmp_path / "out" / "summary.json").read_text())["files"]
    words = ("a link to not_there.tif", "cannot be opened", "a folder", "a pipe")
    for record, word in zip(records[1:], words, strict=True):
        assert word in record["reason"]


def test_a_link_to_a_file_is_that_file(tmp_path):
    array = write(tmp_path / "elsewhere" / "a.tif")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.tif").symlink_to(tmp_path / "elsewhere" / "a.tif")
    np.testing.assert_array_equal(list_folder(tmp_path / "in").source[0]["image"][..., 0], array)


@pytest.mark.parametrize("where", ["masks", "inputs"])
def test_one_letter_in_two_forms_is_one_name(where, tmp_path):
    array = write(tmp_path / "images" / f"{NFC}.tif")
    other = write(tmp_path / where / f"{NFD}.ome.tif", high=5, metadata={"axes": "YX"})
    listing = list_folder(tmp_path / "images", **{where: tmp_path / where})
    np.testing.assert_array_equal(listing.source[0]["image"][..., 0], array)
    np.testing.assert_array_equal(np.squeeze(listing.source[0][where[:-1]]), other)


def test_classes_and_starts_in_two_forms(tmp_path):
    write(tmp_path / "images" / NFC / f"{NFD}.tif")
    write(tmp_path / "images" / "b" / "a.tif")
    write(tmp_path / "masks" / NFD / f"{NFC}.tif", high=5)
    write(tmp_path / "masks" / "b" / "a.tif", high=5)
    listing = list_folder(tmp_path / "images", tmp_path / "masks", classes=True)
    assert listing.source.info.class_names == ("b", NFC)
    assert [listing.source[i]["label"] for i in range(2)] == [0, 1]

    write(tmp_path / "labels" / f"{NFC}.tif", high=5)
    write(tmp_path / "starts" / f"{NFD}.tif")
    masks = MasksOfFolder(tmp_path / "labels", tmp_path / "starts", DataInfo("YXC", ("0",), dtype="uint16"))
    assert sum(len(group.names) for group in masks.groups(4)) == 1
    assert not masks.failed


def test_a_folder_copied_to_a_disk_of_the_other_form_is_the_same(tmp_path):
    """Order, split, names of results (and with them their noise), and what a run knows of its data."""
    (tmp_path / "NFD").mkdir()
    for name in ("cafa", "caf\u00e9", "cafz", "\u00e9t\u00e9", "z"):
        write(tmp_path / "NFC" / f"{name}.tif")
        shutil.copy(tmp_path / "NFC" / f"{name}.tif", tmp_path / "NFD" / f"{unicodedata.normalize('NFD', name)}.tif")
    one, other = (open_data(Folder(tmp_path / form, validation=0.4), (16, 16), 0) for form in ("NFC", "NFD"))
    for mine, its in ((one.train, other.train), (one.validation, other.validation)):
        assert [mine[i]["name"] for i in range(len(mine))] == [its[i]["name"] for i in range(len(its))]
    before, now = (Fingerprint.of(*data.recorded) for data in (one, other))
    assert not before.differences(now)
    assert list(before.files) == list(now.files)
    old = before.to_json()
    old["files"] = {unicodedata.normalize("NFD", name): values for name, values in old["files"].items()}
    assert not Fingerprint.from_json(old).differences(now)
    assert [item.name for item in listed(tmp_path / "NFC")[0]] == [item.name for item in listed(tmp_path / "NFD")[0]]


def test_images_beside_the_folders_of_classes_are_counted(tmp_path):
    write(tmp_path / "round" / "a.tif")
    write(tmp_path / "b.tif")
    assert find_images(tmp_path, classes=True)[1] == {"image beside the folders of classes": 1}


def test_two_forms_beside_each_other_are_one_name_too_many(tmp_path):
    write(tmp_path / "images" / f"{NFC}.tif")
    write(tmp_path / "images" / f"{NFD}.tif")
    if len(list((tmp_path / "images").iterdir())) < 2:
        pytest.skip("this disk has one form alone")
    with pytest.raises(DataError, match="one file of a name"):
        list_folder(tmp_path / "images", inputs=tmp_path)
    with pytest.raises(DataError, match="NFC, NFD"):
        list_folder(tmp_path / "images")
    with pytest.raises(DataError, match="results of different names"):
        over_folder(
            tmp_path / "images", tmp_path / "out", lambda *_: {}, suffixes=(".csv",), resume=False,
            expected=DataInfo("YXC", ("0",)), describe={},
        )  # fmt: skip


def test_bytes_that_are_no_utf8_from_the_folder_to_the_prepared_set(tmp_path):
    named(tmp_path / "images" / BYTES, f"{BYTES}.tif")
    write(tmp_path / "images" / "b" / "a.tif")
    write(tmp_path / "masks" / BYTES / f"{BYTES}.tif", high=5)
    write(tmp_path / "masks" / "b" / "a.tif", high=5)
    folder = Folder(tmp_path / "images", tmp_path / "masks", classes=True, validation=0)
    data = open_data(folder, (16, 16), 0)
    assert data.info.class_names == ("b", r"caf\xe9")
    report(data, (16, 16)).encode()
    json.dumps(data.info.to_json(), ensure_ascii=False).encode()
    prepare(tmp_path / "images", tmp_path / "sets", "names", masks=tmp_path / "masks", classes=True)
    again = open_data(Tfds("names", tmp_path / "sets", validation=0), (16, 16), 0)
    assert sorted(again.train[i]["name"] for i in range(2)) == ["b/a.tif", r"caf\xe9/caf\xe9.tif"]
    (tmp_path / "images" / BYTES / f"{BYTES}.tif").write_bytes(b"")
    with pytest.raises(UnreadableError) as error:
        open_data(folder, (16, 16), 0)
    assert r"caf\xe9.tif" in str(error.value)
    str(error.value).encode()


def test_bytes_that_are_no_utf8_through_a_task(tmp_path):
    named(tmp_path / "in", f"{BYTES}.tif")
    (tmp_path / "in" / f"{BYTES}2.tif").write_bytes(b"")
    out = tmp_path / "out"

    def work(image, info, name):
        write_image(out / f"{name}.ome.tif", image, info)
        return {}

    options = {"suffixes": (".ome.tif",), "expected": DataInfo("YXC", ("0",), dtype="uint16"), "describe": {}}
    assert over_folder(tmp_path / "in", out, work, resume=False, **options) == 1
    records = json.loads((out / "summary.json").read_text())["files"]
    assert [(r["name"], r["file"], r["status"]) for r in records] == [
        (r"caf\xe9", r"caf\xe9.tif", "done"), (r"caf\xe92", r"caf\xe92.tif", "failed")
    ]  # fmt: skip
    assert over_folder(tmp_path / "in", out, work, resume=True, **options) == 1
    assert json.loads((out / "summary.json").read_text())["before"] == 1


def test_a_terminal_takes_names_of_any_bytes(tmp_path):
    named(tmp_path / "in", f"{BYTES}.tif")
    code = "import sys\nfrom jaxdiff.script import run\nsys.exit(run(lambda a, p: print(a[0]) or 0, sys.argv[1:], 'x'))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "in" / f"{BYTES}.tif")],
        capture_output=True, text=True, env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert r"caf\udce9.tif" in done.stdout


def test_ome_zarr_is_refused_by_its_name(tmp_path):
    for name in ("a.ome.zarr", "b.zarr"):
        (tmp_path / "in" / name / "0").mkdir(parents=True)
        for folder in (tmp_path / "in" / name, tmp_path / "in"):
            with pytest.raises(DataError, match=rf"{name}.*OME-Zarr is written here, but not read yet"):
                list_folder(folder)
        with pytest.raises(DataError, match="OME-Zarr"):
            listed(tmp_path / "in" / name)
        (item,) = listed(tmp_path / "in")[0]
        assert "OME-Zarr" in str(item.problem)
        Path(tmp_path / "in" / name / "0").rmdir()
        (tmp_path / "in" / name).rmdir()


def test_notes_are_told_once_with_the_number_of_files(tmp_path, capsys):
    for name in "abc":
        write(tmp_path / "in" / f"{name}.tif", photometric="miniswhite")
    data = open_data(Folder(tmp_path / "in", validation=0), (16, 16), 0)
    (note,) = data.notes
    assert note.startswith("a.tif and 2 more files: white is zero")
    assert note in report(data, (16, 16))
    made = prepare(tmp_path / "in", tmp_path / "sets", "notes")
    assert json.loads((made / "report.json").read_text())["notes"] == [note]

    def work(image, info, name):
        write_image(tmp_path / "out" / f"{name}.ome.tif", image, info)
        return {}

    options = {"suffixes": (".ome.tif",), "expected": DataInfo("YXC", ("0",), dtype="uint16"), "describe": {}}
    assert over_folder(tmp_path / "in", tmp_path / "out", work, resume=False, **options) == 0
    assert capsys.readouterr().err.count("white is zero") == 1
    for record in json.loads((tmp_path / "out" / "summary.json").read_text())["files"]:
        assert any("white is zero" in text for text in record["warnings"])


def test_a_link_to_nothing_among_the_classes_is_said(tmp_path):
    write(tmp_path / "in" / "one" / "a.tif")
    (tmp_path / "in" / "two").symlink_to("not_there")
    listing = list_folder(tmp_path / "in", classes=True)
    assert listing.source.info.class_names == ("one",)
    assert dict(listing.ignored) == {"link to nothing (two)": 1}
