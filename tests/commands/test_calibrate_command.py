"""`jaxdiff calibrate` of runs on pairs, on real files, and what `sample.py TASK` then writes."""

import dataclasses
import json
import multiprocessing
import shlex

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from exact_models import IMAGE, Gaussian, exact
from tiny_run import tiny_run

from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.commands import calibrate as calibrate_command
from jaxdiff.commands import held_out
from jaxdiff.commands.folders import options as folder_options
from jaxdiff.data.files.labels import write_labels
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.write import write_image
from jaxdiff.data.object_size import ObjectSize
from jaxdiff.data.pairs import Denoising, Segmentation, signed_distance
from jaxdiff.data.per_image import PerImage
from jaxdiff.lock import only_writer_of
from jaxdiff.tasks.interval_calibration import IntervalCalibration
from jaxdiff.tasks.margin_calibration import MarginCalibration

SIZE = (12, 10)
FLOAT = IMAGE.replace(dtype="float32")
HOW = ("--samples", "4", "--calls", "2")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to stand in with RUN, whose model draws N(input, 1²), and ten pairs whose truth is N(input, 3²)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    loads(monkeypatch, tmp_path, exact(Gaussian(1.0, 0.0, 1.0 / 20), Denoising()))
    rng = np.random.default_rng(0)
    for i in range(10):
        pixels = rng.uniform(60, 140, (*SIZE, 1)).astype(np.float32)
        write_image(f"in/{i}.ome.tif", pixels, FLOAT)
        write_image(f"truth/{i}.ome.tif", pixels + rng.normal(0, 3, pixels.shape).astype(np.float32), FLOAT)
    return tmp_path


def loads(monkeypatch, folder, model):
    """RUN, whose model that is."""
    (folder / "RUN").mkdir(exist_ok=True)
    (folder / "RUN" / "run.json").write_text("{}")
    model = dataclasses.replace(model, run=folder / "RUN")
    for module in (folder_options, held_out):
        monkeypatch.setattr(module, "load", lambda run, step=None, **_: model)
    for module in (folder_options, calibrate_command):
        monkeypatch.setattr(module, "read_run", lambda run: {"pairing": "pairs"})


def calibrate(*args):
    return script.run(COMMANDS["calibrate"], ["RUN", "--input", "in", *HOW, *args], "jaxdiff calibrate")


def sample(task, *args):
    fixed = [task, "--run", "RUN", "--input", "in", *HOW, "--out", *args]
    return script.run(COMMANDS["sample"], fixed, "sample.py")


def test_held_out_pairs_give_intervals_that_the_task_writes(desk, capsys):
    assert sample("denoise", "before") == 0
    assert "intervals are not calibrated, there is no" in capsys.readouterr().out
    assert not list((desk / "before").glob("*_low*"))
    assert sample("denoise", "out", "--coverage", "0.8") == 2
    assert "--coverage 0.8, where there is no" in capsys.readouterr().err

    assert calibrate("--truth", "truth") == 0
    printed = capsys.readouterr().out
    calibration = IntervalCalibration.load("RUN")
    assert (calibration.images, calibration.floor_images) == (9, 1)
    for words in (
        "intervals.json: 9 images",
        f"before: {100 * calibration.covered:.1f} % of true pixels lie between the least and the greatest of 4 samples",
        "(60.0 % if the truth were one more)",
        "% lie in the intervals for 88 %, of each image by the factor of all others",
        "guarantee: over new images from where these 9 came, on average at least",
        "the guarantee costs 10 % with 9 images, by which intervals hold more than asked for; to fix: 65 images or more cost",
        "use: python sample.py denoise --run RUN --samples 4 --calls 2 --input",
    ):
        assert words in printed
    assert calibrate("--truth", "truth") == 2
    assert "--replace" in capsys.readouterr().err
    assert calibrate("--truth", "truth", "--replace") == 0
    assert IntervalCalibration.load("RUN") == calibration
    capsys.readouterr()

    assert sample("denoise", "out") == 0
    shares = []
    for path in (desk / "truth").iterdir():
        truth = read_image(path)[0]
        low, high = (read_image(desk / "out" / path.name.replace(".ome", f"_{side}.ome")) for side in ("low", "high"))
        assert low[1] == read_image(path)[1]
        shares.append(np.mean((low[0] <= truth) & (truth <= high[0])))
    assert np.mean(shares) >= 0.9
    summary = json.loads((desk / "out" / "summary.json").read_text())
    assert summary["options"]["intervals"]["factors"] == list(calibration.factors)
    assert summary["files"][0]["numbers"]["mean_interval_width"] > 0
    assert sample("denoise", "narrow", "--coverage", "0.5", "--format", "ome-zarr") == 0
    assert (desk / "narrow" / "0_low.ome.zarr").is_dir()
    assert sample("denoise", "plain", "--no-calibrated") == 0
    assert not list((desk / "plain").glob("*_low*"))
    assert "not calibrated" not in capsys.readouterr().out

    for args, words in {
        ("--coverage", "0.95"): "coverage=0.95 of a calibration on 9 images; expected at most 0.9",
        ("--coverage", "95"): "coverage=95.0; expected a share above 0",
        ("--coverage", "0.5", "--no-calibrated"): "--coverage with --no-calibrated",
        ("--coverage", "0.5", "--no-correct"): "is of other results: correct False, it is of True",
    }.items():
        assert sample("denoise", "none", *args) == 2
        assert words in capsys.readouterr().err
    assert sample("denoise", "other", "--seed", "1", "--order", "1") == 0
    assert "intervals.json is of other results: solver {" in capsys.readouterr().out
    assert not list((desk / "other").glob("*_low*"))
    (desk / "RUN" / "intervals.json").write_text("{")
    assert sample("denoise", "none") == 2
    assert "intervals.json" in capsys.readouterr().err
    assert not (desk / "none").exists()


def test_pairs_that_do_not_fit_are_refused_by_name_before_any_work(desk, capsys, monkeypatch):
    monkeypatch.setattr("jaxdiff.commands.calibrate_pairs.calibrate_intervals", lambda *_, **__: pytest.fail("work"))

    def refused(*args):
        assert calibrate(*args) == 2
        assert not (desk / "RUN" / "intervals.json").exists()
        assert not list((desk / "RUN").glob(".*"))
        return capsys.readouterr().err.replace("\\", "/")

    assert "got no --truth for RUN" in refused()
    assert "--draws with RUN, which is trained on pairs; expected options of intervals" in refused("--draws", "8")
    assert "samples=1; expected at least 2" in refused("--truth", "truth", "--samples", "1")
    assert "got --diameter with a run trained to denoise; expected one to segment" in refused(
        "--truth", "truth", "--diameter", "18"
    )
    assert "got the length '-18'" in refused("--truth", "truth", "--diameter=-18")
    assert "as images and as inputs" in refused("--truth", "in")
    (desk / "truth" / "3.ome.tif").rename(desk / "truth" / "x.ome.tif")
    assert "1 images without input: truth/x.ome.tif" in refused("--truth", "truth")
    (desk / "truth" / "x.ome.tif").rename(desk / "truth" / "3.ome.tif")
    (desk / "truth" / "3.tif").write_bytes((desk / "truth" / "3.ome.tif").read_bytes())
    assert "one file of a name" in refused("--truth", "truth")
    (desk / "truth" / "3.tif").unlink()
    truth = read_image(desk / "truth" / "3.ome.tif")[0]
    write_image("truth/3.ome.tif", truth[:7], FLOAT, overwrite=True)
    assert "in/3.ome.tif" in refused("--truth", "truth")
    write_image("truth/3.ome.tif", np.repeat(truth, 2, axis=0).repeat(2, axis=1), FLOAT, overwrite=True)
    assert "3.ome.tif of (2, 2) times" in refused("--truth", "truth")
    write_image("truth/3.ome.tif", truth * np.nan, FLOAT, overwrite=True)
    assert "3.ome.tif, a truth with NaN or infinite pixels" in refused("--truth", "truth")
    write_image("truth/3.ome.tif", truth, FLOAT, overwrite=True)
    write_image("in/4.ome.tif", truth * 0, FLOAT, overwrite=True)
    assert "4.ome.tif, a blank image" in refused("--truth", "truth")
    (desk / "in" / "5.ome.tif").write_bytes(b"no image")
    assert "in/5.ome.tif" in refused("--truth", "truth")


def test_what_cannot_be_used_may_be_left_out(desk, capsys):
    write_image("in/4.ome.tif", np.zeros((*SIZE, 1)), FLOAT, overwrite=True)
    (desk / "in" / "5.ome.tif").write_bytes(b"no image")
    assert calibrate("--truth", "truth", "--skip-unreadable") == 0
    printed = capsys.readouterr().out
    assert printed.count("left out: ") == 2
    assert "got 8 images: intervals of up to 88 % can be had; to fix: 9 or more for 90 %" in printed
    assert IntervalCalibration.load("RUN").images == 8
    assert sample("denoise", "none", "--coverage", "0.9") == 2
    assert "expected at most 0.88" in capsys.readouterr().err
    for name in ("4", "5"):
        (desk / "in" / f"{name}.ome.tif").unlink()
    assert sample("denoise", "out") == 0
    assert "intervals are of 88 %, as much as 8 held-out images allow" in capsys.readouterr().out
    assert (desk / "out" / "0_low.ome.tif").is_file()


def _hold(path, ready, done):
    with only_writer_of(path):
        ready.set()
        done.wait(60)


def test_one_process_calibrates_a_run_and_a_killed_one_keeps_nobody_out(desk, capsys):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(desk / "RUN" / "intervals.json", ready, done))
    holder.start()
    try:
        assert ready.wait(60)
        assert calibrate("--truth", "truth") == 2
        assert "to which another process is writing" in capsys.readouterr().err
    finally:
        holder.kill()
        holder.join()
    assert calibrate("--truth", "truth") == 0


def test_a_run_of_images_alone_takes_no_truths(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_run(tmp_path / "RUN")
    args = ["RUN", "--input", "in", "--truth", "truth", "--samples", "4"]
    assert script.run(COMMANDS["calibrate"], args, "jaxdiff calibrate") == 2
    assert "got --truth, --samples with RUN, which is one of images alone; expected" in capsys.readouterr().err
    assert script.run(COMMANDS["calibrate"], ["none", *args[1:]], "jaxdiff calibrate") == 2
    assert "expected a run folder" in capsys.readouterr().err


def test_label_masks_give_the_margins_of_a_segmentation(desk, capsys, monkeypatch):
    """A model that sees objects two pixels larger than they are."""
    knowing = exact(Gaussian(), Segmentation(), window=(24, 24), units=(0.0, 1.0), input_units=(1000.0, 100.0))
    loads(monkeypatch, desk, knowing)
    rng = np.random.default_rng(0)
    truths = {}
    for i in range(10):
        y, x = np.indices((24, 24))
        mask = (((y - 12) ** 2 + (x - 12) ** 2) < rng.integers(30, 60)).astype(np.int32)
        larger = signed_distance(mask) + 2
        write_image(
            f"in/{i}.ome.tif", np.round(1000 + 100 * larger).astype(np.uint16)[..., None], IMAGE, overwrite=True
        )
        write_labels(desk / "masks" / f"{i}.ome.tif", mask, IMAGE)
        truths[str(i)] = mask > 0
    assert calibrate("--truth", "masks") == 0
    printed = capsys.readouterr().out
    found = MarginCalibration.load("RUN")
    assert found.outer_before == 1
    assert found.inner_before < 0.8
    assert found.outer[-1] == 0
    assert found.inner[-1] == pytest.approx(1.5, abs=0.02)  # the nearest pixel outside was at −½
    assert "% of the true foreground lie in the segmentation, and false pixels are" in printed
    assert "use: python sample.py segment --run RUN --samples 4 --calls 2" in printed
    assert sample("segment", "out") == 0
    for name, truth in truths.items():
        maps, info = read_image(desk / "out" / f"{name}_probability.ome.tif")
        assert info.channel_names == ("probability", "uncertainty", "inner", "outer")
        np.testing.assert_array_equal(maps[..., 2], truth)
        assert maps[..., 3][truth].all()
        assert maps[..., 3].sum() > truth.sum()

    assert calibrate("--truth", "masks", "--no-correct", "--replace") == 2
    assert "got --no-correct with a run trained to segment" in capsys.readouterr().err


class Thresholded(eqx.Module):
    """Sees a distance of ±4 pixels where a normalised image is above ½ or below, of samples that agree."""

    def __call__(self, x, lam, cond=None):
        return jnp.broadcast_to(jnp.where(cond["image"][..., :1] > 0.5, 4.0, -4.0), x.shape)


def test_margins_are_for_diameters_that_are_given_or_estimated_alike(desk, capsys, monkeypatch):
    pairs = Segmentation(per_image=PerImage(low=0.0, high=100.0, floor=0.0), size=ObjectSize(diameter=8.0))
    loads(monkeypatch, desk, exact(Thresholded(), pairs, window=(16, 16), units=(0.0, 1.0), input_units=(0.0, 1.0)))
    mask = ((np.indices((24, 24)) - 11.5) ** 2).sum(0) < 16
    for i in range(10):
        pixels = (1000 + (50 + i) * mask).astype(np.uint16)[..., None]
        write_image(f"in/{i}.ome.tif", pixels, IMAGE, overwrite=True)
        write_labels(desk / "masks" / f"{i}.ome.tif", mask.astype(np.int32), IMAGE)
    assert calibrate("--truth", "masks", "--diameter", "4um", "--order", "1", "--solver-fields", "eta=0.5") == 0
    (use,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("use: ")]
    told = shlex.split(use.partition("--run RUN ")[2].partition(" --input")[0])
    assert told == ["--samples", "4", "--calls", "2", "--order", "1", "--solver-fields", "eta=0.5", "--diameter", "4um"]
    assert MarginCalibration.load("RUN").settings["diameter"] == "given"
    assert sample("segment", "same", *told[4:], "--coverage", "0.9") == 0
    assert sample("segment", "other", *told[4:-2], "--coverage", "0.9") == 2
    assert "is of other results: diameter estimated, it is of given" in capsys.readouterr().err
