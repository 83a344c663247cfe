"""Classes of objects from tables, folders and values: one truth in every form, and every fault by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from jaxdiff.config import load_config, override
from jaxdiff.data.config import Folder, Tfds, open_data
from jaxdiff.data.errors import DataError
from jaxdiff.data.pairs import Segmentation
from jaxdiff.data.prepared.prepare import REPORT, prepare
from jaxdiff.data.shown.report import report
from jaxdiff.data.sources.class_tables import ClassTables
from jaxdiff.data.split_folders import SplitFolders

MASK = np.zeros((24, 28), np.uint16)
MASK[2:9, 2:9], MASK[2:9, 14:21], MASK[14:21, 2:9], MASK[14:21, 14:21] = 7, 3, 900, 12
CLASSES = {3: "long", 7: "round", 12: "round", 900: "long"}
ROWS = "".join(f"{label},{name}\n" for label, name in CLASSES.items())


@pytest.fixture
def folder(tmp_path):
    """Two images with masks."""
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for i in range(2):
        image = np.random.default_rng(i).integers(0, 900, MASK.shape).astype(np.uint16)
        tifffile.imwrite(tmp_path / "images" / f"f{i}.tif", image)
        tifffile.imwrite(tmp_path / "masks" / f"f{i}.tif", MASK)
    return tmp_path


def opened(folder, classes=("long", "round"), **options):
    options = {"masks": folder / "masks", "axes": "YX", "validation": 0.0} | options
    return open_data(Folder(folder / "images", **options), (16, 16), 0, pairs=Segmentation(4.0, classes=classes))


def table(folder, header="image,label,class", name="classes.csv", rows=None):
    body = "".join(f"f{i}.tif,{row}\n" for i in range(2) for row in ROWS.split()) if rows is None else rows
    (folder / name).write_text(f"{header}\n{body}", encoding="utf-8")
    return folder / name


def by_class(folder):
    for name in ("long", "round"):
        (folder / "split" / name).mkdir(parents=True)
        own = np.where(np.isin(MASK, [label for label, kind in CLASSES.items() if kind == name]), MASK, 0)
        for i in range(2):
            tifffile.imwrite(folder / "split" / name / f"f{i}.tif", own)
    return {"masks": folder / "split", "class_folders": True}


def by_value(folder):
    (folder / "values").mkdir()
    of_label = np.zeros(1000, np.uint16)
    for label, name in CLASSES.items():
        of_label[label] = {"long": 128, "round": 255}[name]
    for i in range(2):
        tifffile.imwrite(folder / "values" / f"f{i}.tif", of_label[MASK])
    return {"masks": folder / "values", "class_values": ("128=long", "255=round")}


def one_each(folder):
    (folder / "tables").mkdir()
    for i in range(2):
        text = "class;more;label\n" + "".join(f"{name};x;{label}\n" for label, name in CLASSES.items())
        (folder / "tables" / f"f{i}{'_objects' * i}.csv").write_text("\ufeff" + text, encoding="utf-8")
    return {"mask_classes": folder / "tables"}


FORMS = {"table": lambda f: {"mask_classes": table(f)}, "one each": one_each, "folders": by_class, "values": by_value}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_distances(folder, form):
    data = opened(folder, **FORMS[form](folder))
    assert data.info.object_classes == ("long", "round")
    for i in range(2):
        record = data.train[i]
        kind = np.array([-1, *(("long", "round").index(name) for name in record["classes"])])[record["mask"]]
        truth = np.zeros(1000, int) - 1
        for label, name in CLASSES.items():
            truth[label] = ("long", "round").index(name)
        np.testing.assert_array_equal(kind, truth[MASK])
        assert record["mask"].max() == 4
        np.testing.assert_array_equal(record["distance"][..., 2], truth[MASK] == 1)
    assert ("connected pieces" in " ".join(data.notes)) == (form == "values")


def test_binning_keeps_the_classes_and_without_classes_all_objects_are_one_kind(folder):
    options = FORMS["table"](folder) | {"masks": folder / "masks", "axes": "YX", "validation": 0.0, "binning": 2}
    pairs = Segmentation(4.0, classes=("long", "round"))
    data = open_data(Folder(folder / "images", **options), (8, 8), 0, pairs=pairs)
    assert data.train[0]["distance"].shape == (12, 14, 3)
    inside = (data.train[0]["distance"] > 0).sum(axis=(0, 1))
    assert inside.tolist() == [60, 30, 30]  # a half of a pixel counts
    plain = open_data(
        Folder(folder / "images", masks=folder / "masks", axes="YX", mask_classes=folder / "classes.csv"),
        (8, 8),
        0,
        pairs=Segmentation(4.0),
    )
    assert plain.info.channels == 1


def test_prepared_sets_and_split_folders_have_the_same_classes(folder):
    truth = opened(folder, **FORMS["table"](folder))
    made = prepare(
        folder / "images",
        folder / "prepared",
        "cells",
        masks=folder / "masks",
        axes="YX",
        mask_classes=ClassTables(folder / "classes.csv"),
    )
    assert json.loads((made / REPORT).read_text())["masks"]["classes"] == {"long": 4, "round": 4}
    (folder / "train").mkdir()
    for part in ("images", "masks"):
        (folder / "dev" / part).mkdir(parents=True)
        (folder / part / "f1.tif").rename(folder / "dev" / part / "f1.tif")
        (folder / part).rename(folder / "train" / part)
    pairs = Segmentation(4.0, classes=("long", "round"))
    split = SplitFolders(folder, axes="YX", mask_classes=folder / "classes.csv")
    for config in (Tfds("cells", folder / "prepared", validation=0.0), split):
        data = open_data(config, (16, 16), 0, pairs=pairs)
        assert data.info.channel_names == truth.info.channel_names
        record = next(data.train[i] for i in range(len(data.train)) if data.train[i]["name"] == "f0.tif")
        np.testing.assert_array_equal(record["distance"], truth.train[0]["distance"])


def test_the_report_counts_the_objects_of_each_class(folder):
    options = {"masks": folder / "masks", "axes": "YX", "validation": 0.0} | FORMS["table"](folder)
    data = open_data(Folder(folder / "images", **options), (16, 16), 0)
    assert "classes       4 long, 4 round" in report(data, (16, 16))


def test_rows_of_other_images_are_said_and_names_go_without_endings_and_folders(folder):
    rows = "".join(f"some/f{i},{row}\nother.png,1,round\n" for i in range(2) for row in ROWS.split())
    data = opened(folder, mask_classes=table(folder, rows=rows))
    assert any("1 images of the table that are not there, not read (other)" in note for note in data.notes)


def test_masks_of_kinds_in_folders_are_said(folder):
    options = by_class(folder)
    for path in (folder / "split").rglob("*.tif"):
        tifffile.imwrite(path, 255 * (tifffile.imread(path) > 0).astype(np.uint8))
    with pytest.warns(UserWarning, match="no mask has two objects of one class"):
        opened(folder, **options)


def test_tables_of_floats_are_read_and_class_names_are_options(folder):
    rows = "".join(f"f{i},{row.replace(',', '.0,')}\n" for i in range(2) for row in ROWS.split())
    assert opened(folder, mask_classes=table(folder, rows=rows)).info.channels == 3
    config = load_config(Path(__file__).parents[3] / "configs" / "object_classes.py")
    given = [
        "--pairs.classes",
        "long",
        "round",
        "--data.class-values",
        "128=long",
        "255=round",
        "--data.no-class-folders",
    ]
    config = override(config, given)
    assert config.pairs.classes == ("long", "round")
    assert config.data.class_values == ("128=long", "255=round")


def write(folder, part, mask, name="f0.tif"):
    tifffile.imwrite(folder / part / name, mask)


def overlapping(folder):
    options = by_class(folder)
    write(folder, "split/round", np.where(MASK == 7, 1, np.where(MASK == 3, 2, 0)).astype(np.uint16))
    return options


def lacking(folder):
    options = by_class(folder)
    (folder / "split" / "round" / "f1.tif").unlink()
    return options


def stray(folder):
    options = by_class(folder)
    write(folder, "split", MASK)
    return options


def other_value(folder):
    return by_value(folder) | {"class_values": ("128=long",)}


def floats(folder):
    write(folder, "masks", MASK * np.float32(0.5))
    return {"mask_classes": table(folder)}


def one_table_less(folder):
    options = one_each(folder)
    (folder / "tables" / "f0.csv").unlink()
    return options


def two_tables(folder):
    options = one_each(folder)
    (folder / "tables" / "f0_objects.csv").write_text("label,class\n", encoding="utf-8")
    return options


FAULTS = {
    "ids without class": (
        lambda f: {"mask_classes": table(f, rows="f0,7,round\nf1,3,long\n")},
        r"f0\.tif with objects 3, 12, 900 \(3 of 4\) of no class in .*classes\.csv",
    ),
    "unknown class": (
        lambda f: {"mask_classes": table(f), "classes": ("long", "square")},
        "objects of class round in the data; expected one of long, square",
    ),
    "image without rows": (
        lambda f: {"mask_classes": table(f, rows="".join(f"f0,{row}\n" for row in ROWS.split()))},
        r"f1\.tif with objects 3, 7, 12, 900 \(4 of 4\) of no class",
    ),
    "image without table": (one_table_less, r"1 images without a table of classes in .*f0\.tif"),
    "two classes of a pixel": (
        overlapping,
        r"f0\.tif with 49 pixels in two classes, long and round, such as \(2, 14\)",
    ),
    "no mask of a class": (lacking, r"1 images without round mask: .*f1\.tif"),
    "files beside folders": (stray, r"files \(f0\.tif\); expected one folder of masks for each class"),
    "unnamed value": (other_value, r"f0\.tif with pixels of value 255; expected 0 or one of 128 \(long\)"),
    "floats": (floats, "no whole numbers, such as 3.5"),
    "two classes of an object": (
        lambda f: {"mask_classes": table(f, rows="f0,7,round\nf0.tif,7,long\n")},
        "line 3, object 7 as long and as round",
    ),
    "columns": (
        lambda f: {"mask_classes": table(f, header="image,id,kind")},
        "columns image, id, kind; expected image, label, class among them; to fix: name the columns label, class",
    ),
    "label": (lambda f: {"mask_classes": table(f, rows="f0,-1,round\n")}, "line 2, with label '-1'"),
    "no image name": (lambda f: {"mask_classes": table(f, rows=",7,round\n")}, "line 2, object 7 of no image"),
    "two tables": (two_tables, "f0.csv and .*f0_objects.csv; expected one table for each image"),
    "no class name": (lambda f: {"mask_classes": table(f, rows="f0,7,\n")}, "line 2, object 7 without a class"),
    "one name twice": (
        lambda f: {"mask_classes": table(f, rows="a/f0,7,round\nb/f0,3,long\n")},
        "rows of a/f0, b/f0, any of which may be",
    ),
    "wrong table": (lambda f: {"mask_classes": table(f, rows="g,7,round\n")}, "without a class of these images"),
    "no file": (lambda f: {"mask_classes": f / "none.csv"}, "none.csv, which cannot be read"),
    "two places": (lambda f: {"mask_classes": table(f), "class_folders": True}, "from one place"),
    "no masks": (lambda f: {"mask_classes": table(f), "masks": None}, "from one place, and masks"),
    "value": (
        lambda f: by_value(f) | {"class_values": ("nucleus",)},
        "class_values with 'nucleus'; expected VALUE=NAME",
    ),
    "value 0": (lambda f: by_value(f) | {"class_values": ("0=dark",)}, "the value above 0"),
    "value twice": (lambda f: by_value(f) | {"class_values": ("1=a", "1=b")}, "each once"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused_by_name(folder, fault):
    make, message = FAULTS[fault]
    with pytest.raises(DataError, match=message):
        opened(folder, **make(folder))
