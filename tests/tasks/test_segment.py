"""Segmentation: instances, probability and uncertainty of samples whose distances are known; the command on files."""

import csv
import json

import jax
import numpy as np
import pytest
import tifffile
from exact_models import IMAGE, Gaussian, TwoModes, exact
from PIL import Image
from scipy import stats

from jaxdiff import script, shipped
from jaxdiff.cli import COMMANDS
from jaxdiff.commands.folders import options as folder_options
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.write import write_image
from jaxdiff.data.pairs import Denoising, Segmentation, signed_distance
from jaxdiff.tasks.segment import entropy, fused, segment

WINDOW, SIZE = (24, 24), (40, 30)
KEY = jax.random.key(0)


def objects() -> np.ndarray:
    """Two squares that touch, a disc alone, and one that the edge cuts."""
    mask = np.zeros(SIZE, np.int32)
    mask[3:15, 2:14], mask[3:15, 14:26] = 1, 2
    y, x = np.indices(SIZE)
    mask[(y - 26) ** 2 + (x - 9) ** 2 < 49] = 3
    mask[(y - 33) ** 2 + (x - 29) ** 2 < 64] = 4
    return mask


def as_image(distance):
    """An image that holds the distance of its own objects, uint16."""
    return np.round(1000 + 100 * distance).astype(np.uint16)[..., None]


@pytest.fixture(scope="module")
def knowing():
    """A model that returns the distance in the image."""
    return exact(Gaussian(), Segmentation(), window=WINDOW, units=(0.0, 1.0), input_units=(1000.0, 100.0))


def same_partition(labels, mask) -> bool:
    pairs = np.unique(np.stack([labels.ravel(), mask.ravel()]), axis=1).T
    return ((pairs == 0).sum(1) != 1).all() and all(len(np.unique(column)) == len(pairs) for column in pairs.T)


def test_a_known_distance_gives_its_instances_and_no_doubt(knowing):
    distance = signed_distance(objects())
    result = segment(KEY, knowing, as_image(distance), samples=2, calls=2)
    assert result.labels.dtype == np.int32
    assert sorted(np.unique(result.labels)) == [0, 1, 2, 3, 4]
    assert same_partition(result.labels, objects())
    np.testing.assert_array_equal(result.probability, objects() > 0)
    np.testing.assert_array_equal(result.uncertainty, 0)
    np.testing.assert_allclose(result.distance, distance, atol=0.006)


def test_blank_images_have_no_objects(knowing):
    with pytest.warns(UserWarning, match="^blank: every pixel has the value"):
        result = segment(KEY, knowing, as_image(np.full(SIZE, -8.0)), samples=2, calls=2)
    assert result.labels.shape == SIZE
    for values in (result.labels, result.probability, result.uncertainty):
        assert not values.any()


def test_one_sample_has_no_uncertainty(knowing, desk):
    result = segment(KEY, knowing, as_image(signed_distance(objects())), samples=1, calls=2)
    assert np.isnan(result.uncertainty).all()
    assert same_partition(result.labels, objects())
    assert command("--input", "in/field 1.ome.tif", "--out", "one", *GIVEN, "--samples", 1) == 0
    maps, info = read_image(desk / "one" / "field 1_probability.ome.tif")
    assert info.channel_names == ("probability",)
    np.testing.assert_array_equal(maps[..., 0], objects() > 0)
    files = summary(desk / "one")[1]
    assert files["field 1"]["numbers"] == {"objects": 4}
    assert any("one sample has no uncertainty" in text for text in files["field 1"]["warnings"])
    assert "uncertainty" not in (desk / "one" / "field 1_objects.csv").read_text(encoding="utf-8")


def test_two_modes_are_one_bit_of_doubt():
    model = exact(TwoModes(), Segmentation(), window=WINDOW, units=(0.0, 6.0))
    k = 32
    result = segment(KEY, model, np.indices(WINDOW).sum(0) + 90.0, samples=k, calls=16)
    pixels = result.probability.size
    assert abs(result.probability.mean() - 0.5) < 4.5 * 0.5 / np.sqrt(k * pixels)
    inside = np.arange(k + 1)
    chance, bits = stats.binom.pmf(inside, k, 0.5), stats.entropy([inside / k, 1 - inside / k], base=2)
    mean = (chance * bits).sum()
    spread = np.sqrt((chance * (bits - mean) ** 2).sum())
    assert mean > 0.97
    assert abs(result.uncertainty.mean() - mean) < 4.5 * spread / np.sqrt(pixels)
    np.testing.assert_array_equal(np.unique(np.round(result.probability * k, 4) % 1), 0)


def test_samples_are_fused_by_mean_or_by_vote():
    far, near = -8.0, 1.0
    left = np.stack([np.full((12, 6), v) for v in (near, near, far)])  # two of three say inside, the mean outside
    right = np.stack([np.full((12, 6), v) for v in (-near, -near, -far)])
    distances = np.concatenate([left, right], axis=2).astype(np.float32)
    mean, vote = (fused(distances, fuse, 2.5, 20) for fuse in ("mean", "vote"))
    halves = np.repeat([[True, False]], 6, axis=1)
    np.testing.assert_array_equal(mean.labels > 0, np.broadcast_to(~halves, (12, 12)))
    np.testing.assert_array_equal(vote.labels > 0, np.broadcast_to(halves, (12, 12)))
    for result in (mean, vote):
        np.testing.assert_allclose(result.probability, np.where(halves, 2 / 3, 1 / 3) * np.ones((12, 1)), rtol=1e-6)
        np.testing.assert_allclose(result.uncertainty, stats.entropy([1 / 3, 2 / 3], base=2), rtol=1e-6)
    assert not fused(distances, "mean", 2.5, least=73).labels.any()


def test_entropy_is_that_of_scipy():
    p = np.linspace(0, 1, 33, dtype=np.float32)
    np.testing.assert_allclose(entropy(p), stats.entropy(np.stack([p, 1 - p]), base=2), rtol=1e-5, atol=1e-7)


def test_refused_before_any_work(knowing):
    with pytest.raises(ValueError, match="fuse='median'; expected 'mean' or 'vote'"):
        segment(KEY, knowing, np.zeros(SIZE), fuse="median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="trained to denoise; expected one to segment"):
        segment(KEY, exact(Gaussian(), Denoising()), np.zeros(SIZE))


@pytest.fixture
def desk(tmp_path, monkeypatch, knowing):
    """A folder to stand in, with images, and `--run any`: the knowing model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.setattr(folder_options, "load", lambda run, step=None, **_: knowing)
    distance = signed_distance(objects())
    write_image("in/field 1.ome.tif", as_image(distance), IMAGE)
    write_image("in/blank.ome.tif", as_image(np.full(SIZE, -8.0)), IMAGE)
    write_image("in/small.ome.tif", as_image(distance[:20, :16]), IMAGE.replace(pixel_size={"Y": 0.25, "X": 0.25}))
    return tmp_path


def command(*args):
    return script.run(COMMANDS["sample"], ["segment", *map(str, args)], "sample.py")


def summary(out):
    told = json.loads((out / "summary.json").read_text())
    return told, {record["name"]: record for record in told["files"]}


GIVEN = ("--run", "any", "--samples", 2, "--calls", 2)


def test_a_folder_of_good_and_bad_images(desk, capsys):
    write_image("in/two.ome.tif", np.zeros((*SIZE, 2), np.uint16), IMAGE.replace(channel_names=("DAPI", "GFP")))
    stack = np.zeros((3, *SIZE, 1), np.uint16)
    write_image("in/stack.ome.tif", stack, IMAGE.replace(axes="ZYXC", pixel_size={}))
    (desk / "in" / "broken.tif").write_bytes(b"II*\0 no more")
    broken = np.full((*SIZE, 1), np.nan, np.float32)
    write_image("in/nan.ome.tif", broken, IMAGE.replace(dtype="float32"))
    assert command("--input", "in", "--out", "out", *GIVEN) == 1
    printed = capsys.readouterr()
    told, files = summary(desk / "out")
    assert {name: record["status"] for name, record in files.items()} == {
        "blank": "done", "field 1": "done", "small": "done",
        "broken": "failed", "nan": "failed", "stack": "failed", "two": "failed",
    }  # fmt: skip
    assert (told["done"], told["failed"]) == (3, 4)
    for name, words in {
        "broken": "broken.tif",
        "nan": "NaN or infinite",
        "stack": "axes ZYX and 1 channel(s); expected axes YX",
        "two": "two.ome.tif with axes YX and 2 channel(s); expected axes YX and 1 channel(s)",
    }.items():
        assert words in files[name]["reason"]
        assert f"failed: {name}: " in printed.out
    said = " ".join(files["small"]["warnings"])
    assert "0.5 times in Y, 0.5 times in X; to fix: resize" in said
    assert "20 x 16 pixels is smaller than the model's window of 24 x 24 and was reflected" in said
    assert "was reflected" in printed.err

    labels, info = read_image(desk / "out" / "field 1_labels.ome.tif")
    assert same_partition(labels[..., 0], objects())
    assert (labels.dtype, info.pixel_size, info.unit) == (np.uint16, IMAGE.pixel_size, "µm")
    maps, info = read_image(desk / "out" / "field 1_probability.ome.tif")
    assert info.channel_names == ("probability", "uncertainty")
    np.testing.assert_array_equal(maps[..., 0], objects() > 0)
    np.testing.assert_array_equal(maps[..., 1], 0)
    numbers = files["field 1"]["numbers"]
    assert numbers == {"objects": 4, "mean_uncertainty": 0, "doubt": 0, "contrast": numbers["contrast"]}
    assert 0.5 < numbers["contrast"] < 1  # of an image that is its distance
    rows = list(csv.DictReader((desk / "out" / "field 1_objects.csv").open(encoding="utf-8")))
    areas = np.bincount(labels.ravel())[1:]
    assert [float(row["area_um2"]) for row in rows] == pytest.approx(areas * 0.25)
    with Image.open(desk / "out" / "field 1_overlay.png") as picture:
        assert min(picture.size) >= 300

    assert not read_image(desk / "out" / "blank_labels.ome.tif")[0].any()
    header, *none = (desk / "out" / "blank_objects.csv").read_text(encoding="utf-8").splitlines()
    assert header.split(",") == list(rows[0])
    assert none == []
    assert (desk / "out" / "blank_overlay.png").is_file()
    assert read_image(desk / "out" / "small_labels.ome.tif")[0].shape == (20, 16, 1)


def test_resume_goes_on_also_where_the_folder_has_moved(desk, capsys):
    tifffile.imwrite(desk / "in" / "late.tif", np.zeros((*SIZE, 2, 2), np.uint16), metadata=None)
    assert command("--input", "in", "--out", "out", *GIVEN) == 1
    before = (desk / "out" / "field 1_labels.ome.tif").read_bytes()
    assert command("--input", "in", "--out", "out", *GIVEN) == 2
    assert "--resume" in capsys.readouterr().err
    (desk / "in").rename(desk / "moved")
    (desk / "moved" / "late.tif").unlink()
    write_image("moved/late.ome.tif", as_image(signed_distance(objects())), IMAGE)
    assert command("--input", "moved", "--out", "out", *GIVEN, "--resume") == 0
    told, files = summary(desk / "out")
    assert (told["images"], told["before"]) == (4, 3)
    assert (desk / "out" / "field 1_labels.ome.tif").read_bytes() == before
    assert files["late"]["numbers"]["objects"] == 4
    assert command("--input", "moved", "--out", "out", *GIVEN, "--resume", "--fuse", "vote") == 2
    assert "fuse: mean before, vote now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--input", "none", *GIVEN), "none, which does not exist"),
        (("--input", "in", *GIVEN, "--samples", "0"), "samples=0; expected at least 1"),
        (("--input", "in", *GIVEN, "--solver", "ddmi"), "expected one of ddim"),
        (("--input", "in", *GIVEN, "--solver", "tuned", "--order", "2"), "without options"),
    ],
)
def test_wrong_options_write_nothing(desk, capsys, args, words):
    try:
        status = command(*args, "--out", "out")
    except SystemExit as stop:  # tyro's
        status = stop.code
    assert status == 2
    assert words in capsys.readouterr().err
    assert not (desk / "out").exists()


def test_a_model_for_something_else_is_refused(desk, monkeypatch, capsys):
    monkeypatch.setattr(folder_options, "load", lambda run, step=None, **_: exact(Gaussian(), Denoising()))
    assert command("--input", "in", "--out", "out", *GIVEN) == 2
    assert "trained to denoise" in capsys.readouterr().err


def test_without_a_run_where_no_model_is_shipped(desk, monkeypatch, capsys):
    monkeypatch.setitem(shipped.SHIPPED, "segment", desk / "models" / "nuclei_segmentation")
    assert command("--input", "in", "--out", "out") == 2
    error = capsys.readouterr().err
    assert "no shipped model" in error
    assert "train.py configs/nuclei_segmentation.py" in error
    assert "--run runs/nuclei_segmentation" in error
    with pytest.raises(ValueError, match=r"no --run for classify, for which no model is shipped.* train a config"):
        shipped.shipped("classify")
