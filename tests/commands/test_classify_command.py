"""`sample.py classify` on a folder, with a real network."""

import csv
import dataclasses
import json

import jax
import numpy as np
import pytest
from tiny_run import INFO, tiny_run

import jaxdiff as jd
from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.commands import calibrate_classes as calibrate_run
from jaxdiff.commands.classify import main
from jaxdiff.commands.folders.results_folder import _seal
from jaxdiff.data.files.write import write_image
from jaxdiff.tasks.class_calibration import fitted, load_calibration
from jaxdiff.tasks.classify import calibrate, classify, draws_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def inputs(tmp_path):
    """Images 'a', 'b' (larger than a window) and 'c' (smaller), and one of two channels."""
    rng = np.random.default_rng(0)
    for name, size in {"a": (8, 8), "b": (9, 12), "c": (6, 8)}.items():
        write_image(tmp_path / "in" / f"{name}.ome.tif", rng.gamma(2, 200, (*size, 1)), INFO)
    two = INFO.replace(channel_names=("DAPI", "GFP"))
    write_image(tmp_path / "in" / "two.ome.tif", rng.gamma(2, 200, (8, 8, 2)), two)
    return tmp_path / "in"


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_folder_is_classified_and_gone_on_with(run, inputs, tmp_path, capsys):
    out = tmp_path / "out"
    args = ["--run", str(run), "--input", str(inputs), "--out", str(out), "--draws", "8", "--batch", "12"]
    assert main(args) == 1
    printed = capsys.readouterr().out
    assert "not calibrated, there is no" in printed
    assert "3 of 4 images done" in printed
    assert "failed: two: got " in printed
    table = rows(out / "classes.csv")
    assert [row["image"] for row in table] == ["a", "b", "c"]
    one = rows(out / "a_classes.csv")
    assert [row["name"] for row in one] == ["round", "long", "bright"]
    assert sum(float(row["probability"]) for row in one) == pytest.approx(1)
    best = min(one, key=lambda row: float(row["error"]))
    assert (best["class"], best["name"]) == (table[0]["class"], table[0]["name"])
    assert table[0]["score"] == best["error"]
    told = {record["name"]: record for record in json.loads((out / "summary.json").read_text())["files"]}
    assert "6 x 8 pixels is smaller than the model's window of 8 x 8" in told["c"]["warnings"][0]

    before, record = (out / "classes.csv").read_bytes(), out / "records" / "b.json"
    (inputs / "two.ome.tif").unlink()
    without = json.loads(record.read_text()) | {"numbers": {"class": 1}}  # with a checksum that holds
    record.write_text(json.dumps(without | {"crc32": _seal(without)}))
    for done in (2, 3):
        assert main([*args, "--resume"]) == 0
        assert (out / "classes.csv").read_bytes() == before
        assert f"3 of 3 images done, {done} of them before" in capsys.readouterr().out

    model = jd.load(run)
    errors = np.array([[float(row["error"]) for row in rows(out / f"{name}_classes.csv")] for name in "abc"])
    labels = errors.argmin(axis=1)
    labels[0] = np.argsort(errors[0])[1]
    calibration = fitted(errors, labels, settings=draws_of(model, 8).settings, checkpoint=model.step)
    calibration.save(run)
    try:
        with pytest.raises(ValueError, match=r"--resume in .* with other options:\n  calibration"):
            main([*args, "--resume"])
        assert main([*args, "--out", str(tmp_path / "calibrated")]) == 0
        again = rows(tmp_path / "calibrated" / "classes.csv")
        assert np.mean([float(row["score"]) for row in again]) == pytest.approx(0, abs=1e-6)
        assert [row["class"] for row in again] == [row["class"] for row in table]
        with pytest.raises(ValueError, match="got draws 9 with a calibration of 8"):
            main([*args, "--draws", "9", "--out", str(tmp_path / "other")])
        assert not (tmp_path / "other").exists()
    finally:
        (run / "classifier.json").unlink()


def test_labels_reach_the_network(run):
    model = jd.load(run)
    image = np.random.default_rng(1).gamma(2, 200, (8, 8, 1))
    error = classify(jax.random.key(0), model, image, 8, batch=12).error
    assert len(np.unique(error)) == 3


def test_a_run_is_calibrated_from_folders_by_class(run, tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(2)
    held, stored = tmp_path / "held", run / "classifier.json"
    args = [str(run), "--input", str(held), "--draws", "8", "--batch", "12"]

    def command(*more):
        return script.run(COMMANDS["calibrate"], [*args, *more], "jaxdiff calibrate")

    model, images = jd.load(run), []
    for name in model.info.class_names:
        assert command() == 2
        assert f"without a folder {name}" in capsys.readouterr().err
        for i in range(3):
            images.append(np.rint(rng.gamma(2, 200, (8, 8, 1))).astype(np.uint16))
            write_image(held / name / f"{i}.ome.tif", images[-1], INFO)
    try:
        # Random weights know nothing of labels: those that they give are put in their stead.
        errors = classify(jax.random.key(0), model, images, 8, batch=12).error
        own = [int(error.argmin()) for error in errors]
        own[0] = int(np.argsort(errors[0])[1])
        want = calibrate(jax.random.key(0), model, images, own, 8, batch=12)
        np.testing.assert_allclose(want.nll, fitted(errors, np.array(own)).nll, rtol=1e-12)
        monkeypatch.setattr(calibrate_run, "_images", lambda *_: (images, own, [3, 3, 3]))
        assert command() == 0
        assert load_calibration(run) == want
        assert "images right" in capsys.readouterr().out
        assert command() == 2
        assert "--replace" in capsys.readouterr().err
        assert command("--replace") == 0
        monkeypatch.undo()
        (held / "long" / "0.ome.tif").write_bytes(b"no image")
        assert command("--replace") == 2
        assert "long/0.ome.tif" in capsys.readouterr().err.replace("\\", "/")
    finally:
        stored.unlink(missing_ok=True)


def test_held_out_images_are_read_with_their_classes(run, tmp_path, capsys):
    model = jd.load(run)
    for label, name in enumerate(model.info.class_names):
        for i in range(label + 1):
            pixels = np.zeros((8, 8, 1), np.uint16)
            pixels[i, i] = 100 * (label + 1) + i
            write_image(tmp_path / name / f"{i}.ome.tif", pixels, INFO)
    images, labels, numbers = calibrate_run._images(calibrate_run.CalibrateClasses(run=run, input=tmp_path), model)
    assert labels == [0, 1, 1, 2, 2, 2]
    assert numbers == [1, 2, 3]
    assert [int(image.max()) for image in images] == [100, 200, 201, 300, 301, 302]

    damaged = tmp_path / model.info.class_names[1] / "0.ome.tif"
    damaged.write_bytes(b"no image")
    options = calibrate_run.CalibrateClasses(run=run, input=tmp_path)
    with pytest.raises(ValueError, match=r"0\.ome\.tif.*skip_unreadable"):
        calibrate_run._images(options, model)
    left_out = dataclasses.replace(options, skip_unreadable=True)
    assert calibrate_run._images(left_out, model)[1:] == ([0, 1, 2, 2, 2], [1, 1, 3])
    assert "left out: got" in capsys.readouterr().out
    write_image(damaged, np.full((8, 8, 1), 7, np.uint16), INFO, overwrite=True)
    with pytest.raises(ValueError, match=r"0\.ome\.tif, a blank image; expected one of long; .*skip_unreadable"):
        calibrate_run._images(options, model)
    assert calibrate_run._images(left_out, model)[1:] == ([0, 1, 2, 2, 2], [1, 1, 3])
    damaged.with_name("1.ome.tif").unlink()
    with pytest.raises(ValueError, match=f"without a readable image of {model.info.class_names[1]}"):
        calibrate_run._images(left_out, model)
