"""`sample.py generate-labelled`: a training set on disk that the training reads, and what goes wrong with its masks."""

import csv
import dataclasses
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import tifffile
from exact_models import IMAGE, Gaussian, exact
from PIL import Image

from jaxdiff import script, shipped
from jaxdiff.cli import COMMANDS
from jaxdiff.commands import generate_labelled as labelled_set
from jaxdiff.data.config import Folder, open_data
from jaxdiff.data.files.labels import write_labels
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.write import write_image
from jaxdiff.data.pairs import Joint, LabelledGeneration, signed_distance
from jaxdiff.data.sources.synthetic import Field, Microscope
from jaxdiff.lock import only_writer

WINDOW = (12, 12)
SHIFT = np.array([0.0, 5.0, 10.0, -5.0])
INFO = IMAGE.replace(class_names=("round", "long", "bright"))
MODEL = exact(
    Gaussian(1.0, SHIFT), LabelledGeneration(), window=WINDOW, classes=3, info=INFO, units=(1000.0, 40.0),
    input_units=(0.0, 1.0),
)  # fmt: skip
"""Images that are 1000 + 40 (distance + shift of the class)."""


def disc(*size, at=(5, 5)) -> np.ndarray:
    y, x = np.indices(size)
    return ((y - at[0]) ** 2 + (x - at[1]) ** 2 < 16).astype(np.uint16)


def two(*size) -> np.ndarray:
    return np.maximum(disc(*size), 5 * disc(*size, at=(11, 14)))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to stand in, with masks of two sizes, and `--run any`: the model above."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.setattr(labelled_set, "load", lambda run, step=None, **_: MODEL)
    write_labels("masks/a 1.ome.tif", disc(*WINDOW), IMAGE)
    write_labels("masks/b.v2.ome.tif", disc(*WINDOW, at=(6, 7)), IMAGE)
    write_labels("masks/c.ome.tif", two(17, 20), IMAGE)
    return tmp_path


def command(*args):
    fixed = ["generate-labelled", "--run", "any", "--calls", "4"]
    try:
        return script.run(COMMANDS["sample"], [*fixed, *map(str, args)], "sample.py")
    except SystemExit as stop:  # tyro's
        return stop.code


def rows(path):
    return list(csv.DictReader(path.open(encoding="utf-8")))


def test_the_training_reads_what_was_made(desk, capsys):
    assert command("--out", "out", "--masks", "masks") == 0
    out = desk / "out"
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == sorted(
        [f"{folder}/{n}{end}" for folder, end in (("images", ".ome.tif"), ("masks", ".ome.tif"), ("objects", ".csv"))
         for n in ("a 1", "b.v2", "c")] + ["labels.csv", "generate.json", "sheet.png", "masks.png"]
    )  # fmt: skip
    data = open_data(Folder(path=out / "images", masks=out / "masks", validation=0.0), (8, 8), seed=0)
    assert data.info.pixel_size == IMAGE.pixel_size
    assert data.info.synthetic
    wanted = [disc(*WINDOW), disc(*WINDOW, at=(6, 7)), two(17, 20)]
    for i, mask in enumerate(wanted):
        record = data.train[i]
        np.testing.assert_array_equal(record["mask"], mask)
        image = 1000 + 40 * (signed_distance(mask.astype(np.int32)) + SHIFT[i])  # classes in turn
        np.testing.assert_array_equal(record["image"][..., 0], np.rint(image))
        assert record["image"].dtype == np.uint16
    assert [tuple(row.values()) for row in rows(out / "labels.csv")] == [
        ("a 1", "0", "round"), ("b.v2", "1", "long"), ("c", "2", "bright")
    ]  # fmt: skip
    assert [(row["label"], row["area_pixels"]) for row in rows(out / "objects" / "c.csv")] == [
        ("1", str((two(17, 20) == 1).sum())), ("5", str((two(17, 20) == 5).sum()))
    ]  # fmt: skip
    told = json.loads((out / "generate.json").read_text())
    assert (told["images"], told["failed"], told["warnings"], told["saturated_values"]) == (3, {}, [], 0)
    for name in ("sheet.png", "masks.png"):
        with Image.open(out / name) as picture:
            assert min(picture.size) > 12
    assert "3 images with masks in out" in capsys.readouterr().out


def test_bad_masks_are_said_and_the_rest_is_made(desk, capsys):
    write_image("masks/blur.ome.tif", np.full((*WINDOW, 1), 0.5, np.float32), IMAGE.replace(dtype="float32"))
    tifffile.imwrite("masks/colour.tif", np.zeros((*WINDOW, 3), np.uint8), photometric="rgb")
    (desk / "masks" / "damaged.tif").write_bytes(b"II*\0 no more")
    tifffile.imwrite("masks/negative.tif", np.full(WINDOW, -1, np.int16))
    tifffile.imwrite("masks/yes_no.tif", np.maximum(disc(*WINDOW, at=(0, 0)), disc(*WINDOW, at=(11, 11))) > 0)
    tifffile.imwrite("masks/vast.tif", two(17, 20).astype(np.uint64) << 32)
    write_labels("masks/large.ome.tif", disc(*WINDOW), IMAGE.replace(pixel_size={"Y": 0.25, "X": 0.25}))
    write_labels("masks/small.ome.tif", disc(12, 9), IMAGE)
    assert command("--out", "out", "--masks", "masks", "--label", 1) == 1
    printed = capsys.readouterr()
    told = json.loads((desk / "out" / "generate.json").read_text())
    made = ["a 1", "b.v2", "c", "large", "small", "vast", "yes_no"]
    assert told["images"] == len(made)
    assert [row["name"] for row in rows(desk / "out" / "labels.csv")] == made
    for name, words in {
        "blur": "blur.ome.tif with values of type float32 that are no whole numbers, such as 0.5; expected integer labels",
        "colour": "colour.tif with 3 colour samples; expected one label for each pixel",
        "damaged": "damaged.tif, which cannot be read",
        "negative": "negative.tif with 144 pixels below 0, down to -1",
    }.items():
        assert words in told["failed"].pop(name)
        assert f"failed: {name}: got" in printed.out
    assert not told["failed"]
    assert any("0.5 times in Y" in text for text in told["warnings"])
    assert any("12 x 9 pixels is smaller" in text for text in told["warnings"])
    assert "0.5 times in Y" in printed.err
    assert "1 is the only label, in 2 connected pieces in 1 mask (yes_no.tif)" in printed.err
    np.testing.assert_array_equal(
        read_image(desk / "out" / "masks" / "vast.ome.tif")[0][..., 0], two(17, 20) // 5 + (two(17, 20) > 0)
    )
    assert read_image(desk / "out" / "images" / "small.ome.tif")[0].shape == (12, 9, 1)


def test_a_folder_of_bad_masks_alone(desk):
    for path in (desk / "masks").iterdir():
        path.write_bytes(b"II*\0 no more")
    assert command("--out", "out", "--masks", "masks") == 1
    assert rows(desk / "out" / "labels.csv") == []
    assert len(json.loads((desk / "out" / "generate.json").read_text())["failed"]) == 3


def test_real_images_are_varied(desk, capsys):
    for name, size in (("a 1", WINDOW), ("b.v2", WINDOW), ("c", (17, 21))):
        write_image(f"real/{name}.ome.tif", np.full((*size, 1), 1200, np.uint16), IMAGE)
    assert command("--out", "out", "--masks", "masks", "--start", "real", "--start-lam", -1, "--label", 0) == 1
    told = json.loads((desk / "out" / "generate.json").read_text())
    for name in ("a 1", "b.v2"):
        assert f"{name}: blank: every pixel has the value 1200; it is varied all the same" in told["warnings"]
    reason = told["failed"]["c"]
    assert "c.ome.tif of (17, 21) pixels; expected (17, 20), as its mask" in reason
    made = read_image(desk / "out" / "images" / "a 1.ome.tif")[0]  # this model has no spread, whatever the start
    np.testing.assert_array_equal(made[..., 0], np.rint(1000 + 40 * signed_distance(disc(*WINDOW).astype(np.int32))))
    (desk / "real" / "b.v2.ome.tif").unlink()
    capsys.readouterr()
    assert command("--out", "out2", "--masks", "masks", "--start", "real") == 2
    assert "1 masks without a start image in real: b.v2" in capsys.readouterr().err
    assert not (desk / "out2").exists()


def test_shapes_are_drawn_where_no_masks_are_given(desk, monkeypatch):
    sizes = []

    def fields(self, key, num, size, chunk=64):
        sizes.append((self.pixel_size_um, num, size))
        masks = np.stack([disc(*size, at=(5, 4 + i % 3)) for i in range(num)])
        return Field(masks, masks, masks, masks, masks)

    monkeypatch.setattr(Microscope, "fields", fields)  # its program takes long to compile
    assert command("--out", "out", "--num", 2, "--label", 0, "--pixel-size", 0.3) == 0
    assert sizes == [(0.3, 64, WINDOW)]
    assert [row["name"] for row in rows(desk / "out" / "labels.csv")] == ["image_00000", "image_00001"]
    for i in range(2):
        mask, info = read_image(desk / "out" / "masks" / f"image_0000{i}.ome.tif")
        np.testing.assert_array_equal(mask[..., 0], disc(*WINDOW, at=(5, 4 + i)))
        assert info.pixel_size == IMAGE.pixel_size


def test_a_joint_model_makes_masks_too(desk, monkeypatch):
    joint = exact(Gaussian(std=1.0), Joint(), window=WINDOW, units=((1000.0, 3.0), (50.0, 4.0)))
    monkeypatch.setattr(labelled_set, "load", lambda run, step=None, **_: joint)
    assert command("--out", "out", "--num", 2) == 0
    image, info = read_image(desk / "out" / "images" / "image_00001.ome.tif")
    assert info == IMAGE.replace(synthetic=True)  # without the distance
    assert 800 < image.mean() < 1200
    assert read_image(desk / "out" / "masks" / "image_00001.ome.tif")[0].any()
    assert {row["label"] for row in rows(desk / "out" / "labels.csv")} == {"-1"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--masks", "masks", "--label", 3), "label 3..3; expected 0 to 2 (0 round, 1 long, 2 bright)"),
        (("--masks", "none"), "none, which does not exist"),
        (("--start", "masks"), "--start without --masks"),
        (("--num", 0), "num=0; expected at least 1"),
        (("--masks", "masks", "--solver", "ddmi"), "expected one of ddim"),
        (("--masks", "masks", "--start", "masks", "--start-lam", 9), "start_lam=9; expected"),
    ],
)
def test_wrong_options_write_nothing(desk, capsys, args, words):
    assert command("--out", "out", *args) == 2
    assert words in capsys.readouterr().err
    assert not (desk / "out").exists()


def test_nothing_is_overwritten(desk, capsys):
    tifffile.imwrite("masks/C.tif", disc(*WINDOW))
    assert command("--out", "out", "--masks", "masks") == 2
    assert "C.tif and c.ome.tif; expected files of different names" in capsys.readouterr().err
    assert command("--out", "masks") == 2
    assert "--out masks, which is not empty" in capsys.readouterr().err


class Killed(BaseException):
    """What no handler takes."""


def everything(out):
    """Pixels, tables and pictures of a set; not the metadata, which hold dates and identifiers."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != "generate.json")
    return {
        str(path.relative_to(out)): read_image(path)[0].tobytes() if path.suffix == ".tif" else path.read_bytes()
        for path in files
    }


@pytest.mark.parametrize("written", [0, 1, 3, 4])
def test_a_set_that_was_cut_short_is_gone_on_with(desk, monkeypatch, capsys, written):
    monkeypatch.setattr(labelled_set, "IMAGES_TOGETHER", 2)
    for i in range(3):
        write_labels(f"masks/d{i}.ome.tif", disc(*WINDOW, at=(4 + i, 7)), IMAGE)
    assert command("--out", "whole", "--masks", "masks") == 0
    write, done = labelled_set.write_csv, []

    def cut(path, table, **how):
        if len(done) == written:
            raise Killed
        done.append(path)
        write(path, table, **how)

    monkeypatch.setattr(labelled_set, "write_csv", cut)
    with pytest.raises(Killed):
        command("--out", "cut", "--masks", "masks")
    monkeypatch.setattr(labelled_set, "write_csv", write)
    assert not json.loads((desk / "cut" / "generate.json").read_text())["complete"]
    assert command("--out", "cut", "--masks", "masks") == 2
    assert "--resume to go on" in capsys.readouterr().err
    assert command("--out", "cut", "--masks", "masks", "--label", 1, "--resume") == 2
    assert "label: None before, 1 now" in capsys.readouterr().err
    assert command("--out", "cut", "--masks", "masks", "--resume") == 0
    assert everything(desk / "cut") == everything(desk / "whole")
    assert json.loads((desk / "cut" / "generate.json").read_text())["complete"]
    assert json.loads((desk / "cut" / "generate.json").read_text())["images"] == 6
    before = (desk / "cut" / "images" / "a 1.ome.tif").stat().st_mtime_ns
    assert command("--out", "cut", "--masks", "masks", "--resume") == 0
    assert (desk / "cut" / "images" / "a 1.ome.tif").stat().st_mtime_ns == before
    (desk / "masks" / "a 1.ome.tif").unlink()
    write_labels("masks/a 1.ome.tif", disc(*WINDOW, at=(3, 3)), IMAGE)
    assert command("--out", "cut", "--masks", "masks", "--resume") == 2
    assert "other masks or start images" in capsys.readouterr().err


def test_pictures_of_a_set_that_is_gone_on_with_are_those_of_an_undisturbed_one(desk, monkeypatch):
    """Also where an image of the sheet comes late, behind others of another size."""
    monkeypatch.setattr(labelled_set, "IMAGES_TOGETHER", 2)
    write_labels("masks/A.ome.tif", two(17, 20), IMAGE)
    assert command("--out", "out", "--masks", "masks") == 0
    before = everything(desk / "out")
    with Image.open(desk / "out" / "sheet.png") as picture:
        assert picture.width > 2 * 20
    for name in ("sheet.png", "masks.png", "labels.csv"):
        (desk / "out" / name).unlink()
    assert command("--out", "out", "--masks", "masks", "--resume") == 0
    assert everything(desk / "out") == before


@pytest.mark.parametrize("broken", ["images/b.v2.ome.tif", "masks/a 1.ome.tif", "objects/c.csv"])
def test_files_of_a_set_that_are_gone_or_of_another_size_are_made_again(desk, broken):
    assert command("--out", "out", "--masks", "masks") == 0
    before, told = everything(desk / "out"), json.loads((desk / "out" / "generate.json").read_text())
    for damage in (lambda path: path.write_bytes(b""), lambda path: path.unlink()):
        damage(desk / "out" / broken)
        assert command("--out", "out", "--masks", "masks", "--resume") == 0
        assert everything(desk / "out") == before
    again = json.loads((desk / "out" / "generate.json").read_text())
    for values in (told, again):
        del values["seconds"], values["groups"]  # TIFF files have a date, whose length in bytes may differ
    assert again == told


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"groups": 3}', '{"groups": [{"names": ["a"]}], "seconds": 1, "warnings": []}'),
        '{"groups": [], "seconds": 1' + 400 * "0" + ', "warnings": []}',
        '{"groups": [], "seconds": 1, "warnings": "one"}',
    ],
)
def test_a_damaged_record_of_a_set_is_said(desk, capsys, text):
    assert command("--out", "out", "--masks", "masks") == 0
    (desk / "out" / "generate.json").write_text(text)
    assert command("--out", "out", "--masks", "masks", "--resume") == 2
    said = capsys.readouterr().err
    assert "generate.json" in said
    assert "to fix: " in said
    assert "Traceback" not in said


def test_another_model_of_the_same_name_is_refused(desk, capsys, monkeypatch):
    assert command("--out", "out", "--masks", "masks") == 0
    other = dataclasses.replace(MODEL, denoise=jax.tree.map(lambda leaf: leaf * 1.01, MODEL.denoise))
    monkeypatch.setattr(labelled_set, "load", lambda run, step=None, **_: other)
    assert command("--out", "out", "--masks", "masks", "--resume") == 2
    assert "parameters: " in capsys.readouterr().err


def test_another_process_on_the_same_set_is_refused(desk, capsys):
    with only_writer("out"):
        assert command("--out", "out", "--masks", "masks") == 2
        assert command("--out", "out", "--masks", "masks", "--resume") == 2
    assert capsys.readouterr().err.count("another process is writing") == 2
    assert not (desk / "out").exists()


def test_models_that_cannot(desk, monkeypatch, capsys):
    plain = dataclasses.replace(MODEL, pairing=None)
    monkeypatch.setattr(labelled_set, "load", lambda run, step=None, **_: plain)
    assert command("--out", "out", "--masks", "masks") == 2
    assert "trained on images alone" in capsys.readouterr().err
    monkeypatch.setitem(shipped.SHIPPED, "generate-labelled", desk / "models" / "nuclei_generation")
    assert script.run(COMMANDS["sample"], ["generate-labelled", "--out", "out"], "sample.py") == 2
    assert "no shipped model" in capsys.readouterr().err
    assert not (desk / "out").exists()


@pytest.mark.parametrize("place", ["images", "masks", "objects", "labels.csv", "sheet.png", "images/b.v2.ome.tif"])
def test_something_else_in_the_place_of_a_file_or_folder_is_said_first(desk, monkeypatch, capsys, place):
    assert command("--out", "out", "--masks", "masks", "--num", 2) == 0
    monkeypatch.setattr(labelled_set, "generate_labelled", None)
    path = desk / "out" / place
    if path.is_dir():
        shutil.rmtree(path)
        makers = {
            "a pipe": os.mkfifo,
            "a file": Path.touch,
            "a link that leads nowhere": lambda p: p.symlink_to("gone"),
        }
    else:
        path.unlink()
        makers = {"a pipe": os.mkfifo, "a folder": Path.mkdir}
    for kind, make in makers.items():
        make(path)
        assert command("--out", "out", "--masks", "masks", "--num", 2, "--resume") == 2
        assert f"got out/{place}, which is {kind}; expected a fo" in capsys.readouterr().err.replace(
            "a file, or", "a fo"
        )
        path.rmdir() if kind == "a folder" else path.unlink()
