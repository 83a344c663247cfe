"""Tasks from image to image: super-resolution and translation by models with known answers, and by commands on real files."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import tifffile
from exact_models import IMAGE, Gaussian, exact
from tiny_run import tiny_run

import jaxdiff as jd
from jaxdiff.commands.estimates import result_info
from jaxdiff.commands.super_resolve import main as super_resolve_command
from jaxdiff.commands.translate import main as translate_command
from jaxdiff.data.config import Folder, open_data
from jaxdiff.data.files.read import read_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.pairing import spread
from jaxdiff.data.pairs import Denoising, Parallel, SuperResolution
from jaxdiff.tasks.estimate import Estimate
from jaxdiff.tasks.super_resolve import super_resolve
from jaxdiff.tasks.translate import translate

GAIN, SHIFT, STD = 0.5, -0.8, 0.6
TWO = DataInfo(channel_names=("phase", "DIC"), pixel_size={"Y": 0.5, "X": 0.5}, unit="µm", dtype="uint8")


def model(pairs, factor=(1, 1), **options):
    made = exact(Gaussian(GAIN, SHIFT, STD), pairs, units=(300.0, 50.0), **options)
    inputs = dataclasses.replace(made.pairing.inputs, factor=factor)
    return dataclasses.replace(made, pairing=dataclasses.replace(made.pairing, inputs=inputs))


@pytest.mark.parametrize(("size", "factor"), [((9, 13), (2, 2)), ((2, 8, 8), (4, 1, 1))], ids=["x2", "along z"])
def test_super_resolution_is_the_posterior_on_the_finer_pixels(size, factor):
    info = IMAGE.replace(axes="ZYXC"[-len(size) - 1 :])
    finer = model(SuperResolution(), factor, window=(8,) * len(size), info=info)
    coarse = np.random.default_rng(0).normal(100, 20, (*size, 1)).astype(np.float32)
    result = super_resolve(jax.random.key(0), finer, coarse, samples=16, calls=16)
    fine = (*(n * f for n, f in zip(size, factor)), 1)
    assert result.image.shape == result.std.shape == fine
    assert result.samples.shape == (16, *fine)
    np.testing.assert_allclose(result.image, result.samples.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(result.std, result.samples.std(axis=0, ddof=1), rtol=1e-5)
    expected = 300 + 50 * (GAIN * (spread(coarse, fine[:-1]) - 100) / 20 + SHIFT)
    rest = (result.samples - expected) / (50 * STD)
    # 4.5 standard errors; the last call returns D, without the little variance that is left there
    assert abs(rest.mean()) < 4.5 / np.sqrt(rest.size)
    assert 0.9 < rest.std() < 1 + 4.5 / np.sqrt(2 * rest.size)


@pytest.mark.parametrize("k", [2, 3, 8])
def test_the_variance_of_few_samples_is_right_in_the_mean(k):
    draws = np.random.default_rng(0).normal(5, 3, (k, 200, 200, 1)).astype(np.float32)
    result = Estimate.of(draws)
    # The variance of a variance over K − 1 is 2 σ⁴ / (K − 1).
    assert np.mean(result.std**2, dtype=np.float64) == pytest.approx(9, abs=4.5 * 9 * np.sqrt(2 / (k - 1)) / 200)
    np.testing.assert_allclose(result.std, draws.std(axis=0, ddof=1, dtype=np.float64), rtol=1e-6)


def test_a_translation_is_in_the_units_and_channels_of_the_other_modality():
    given = np.random.default_rng(0).normal(100, 20, (8, 8, 2)).astype(np.float32)
    result = translate(jax.random.key(0), model(Parallel(), input_info=TWO), given, samples=1, calls=16)
    assert result.image.shape == (8, 8, 1)
    assert np.isnan(result.std).all()  # one sample has no spread, not a spread of 0
    rest = (result.image - (300 + 50 * (GAIN * (given[..., :1] - 100) / 20 + SHIFT))) / (50 * STD)
    assert abs(rest.mean()) < 4.5 / np.sqrt(rest.size)


def test_a_model_for_something_else_is_refused_with_the_function_to_use():
    image = np.zeros((8, 8, 1))
    with pytest.raises(
        ValueError, match=r"trained to super-resolve; expected one to translate; .*jd\.tasks\.super_resolve"
    ):
        translate(jax.random.key(0), model(SuperResolution(), (2, 2)), image)
    with pytest.raises(ValueError, match="trained to translate; expected one to super-resolve"):
        super_resolve(jax.random.key(0), model(Parallel()), image)


def test_what_a_result_is():
    info = DataInfo(channel_names=("DAPI",), pixel_size={"Y": 1.0}, unit="µm", dtype="uint8")
    fine = result_info(info, model(SuperResolution(), (2, 4)))
    assert fine == info.replace(pixel_size={"Y": 0.5})
    assert result_info(info, model(Denoising())) == info
    assert result_info(info, model(Parallel("super-resolve"), (2, 2))).dtype == IMAGE.dtype == "uint16"
    stain = model(Parallel(), info=IMAGE.replace(channel_names=("H", "E", "B"), colour=True), input_info=TWO)
    made = result_info(TWO, stain)
    assert (made.channel_names, made.colour, made.dtype, made.synthetic) == (("H", "E", "B"), True, "uint16", True)
    assert (made.pixel_size, made.unit) == (TWO.pixel_size, TWO.unit)


def ome(path, pixels, axes, size):
    path.parent.mkdir(exist_ok=True)
    sizes = {"PhysicalSizeX": size, "PhysicalSizeY": size, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata={"axes": axes, **sizes})


def summary(out):
    return json.loads((out / "summary.json").read_text())


def test_the_command_writes_finer_images_from_a_run(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for i in range(3):
        ome(tmp_path / "sharp" / f"{i}.ome.tif", rng.integers(100, 4000, (20, 24)).astype(np.uint16), "YX", 0.25)
    data = open_data(Folder(path=tmp_path / "sharp"), (8, 8), 0, pairs=SuperResolution())
    run = tiny_run(tmp_path / "runs" / "tiny", data=data)
    assert jd.load(run).pairing == data.pairing

    ome(tmp_path / "coarse" / "a.ome.tif", rng.integers(100, 4000, (6, 4)).astype(np.uint16), "YX", 0.5)
    ome(tmp_path / "coarse" / "b.ome.tif", np.full((6, 4), 200, np.uint16), "YX", 0.5)  # blank
    ome(tmp_path / "coarse" / "c.ome.tif", rng.integers(0, 9, (2, 6, 4)).astype(np.uint16), "CYX", 0.5)
    unsized = rng.integers(100, 4000, (6, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "coarse" / "d.ome.tif", unsized, ome=True, metadata={"axes": "YX"})
    out = tmp_path / "fine"
    args = ["--run", run, "--input", tmp_path / "coarse", "--out", out, "--samples", 2, "--calls", 2, "--keep-samples"]
    assert super_resolve_command([str(a) for a in args]) == 1  # of c, which has other channels
    assert "c.ome.tif with axes YX and 2 channel(s)" in capsys.readouterr().out
    for name in "ab":
        for suffix, dtype in (("", "uint16"), ("_std", "float32"), ("_sample0", "uint16"), ("_sample1", "uint16")):
            image, info = read_image(out / f"{name}{suffix}.ome.tif")
            assert (image.shape, info.dtype) == ((12, 8, 1), dtype)
            assert info.pixel_size == {"Y": 0.25, "X": 0.25}
        assert (out / f"{name}_overlay.png").is_file()
    told = summary(out)["files"]
    assert not told[0]["warnings"], "0.5 µm is the pixel size of the model's inputs"
    assert told[0]["numbers"]["mean_std"] > 0
    assert [one["numbers"]["pixel_size"] for one in told if one["status"] == "done"] == [
        *["Y 0.25 µm, X 0.25 µm"] * 2,
        "Y unknown, X unknown",
    ]
    assert "does not say its pixel size" in told[3]["warnings"][0]
    assert set(read_image(out / "d.ome.tif")[1].pixel_size.values()) == {None}
    (tmp_path / "coarse" / "c.ome.tif").unlink()
    assert super_resolve_command([str(a) for a in [*args, "--resume"]]) == 0
    assert summary(out)["before"] == 3


def test_the_command_writes_another_modality_marked_as_no_recording(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        ome(tmp_path / "stain" / f"{i}.ome.tif", rng.integers(0, 255, (20, 24)).astype(np.uint8), "YX", 0.25)
        ome(tmp_path / "phase" / f"{i}.ome.tif", rng.integers(0, 4000, (2, 20, 24)).astype(np.uint16), "CYX", 0.25)
    folder = Folder(path=tmp_path / "stain", inputs=tmp_path / "phase", channel_names=("DAPI",))
    run = tiny_run(tmp_path / "runs" / "tiny", data=open_data(folder, (8, 8), 0, pairs=Parallel()))
    args = ["--run", run, "--input", tmp_path / "phase" / "0.ome.tif", "--out", tmp_path / "out", "--samples", 1]
    assert translate_command([*map(str, args), "--calls", "2"]) == 0
    assert not (tmp_path / "out" / "0_std.ome.tif").exists()
    told = summary(tmp_path / "out")["files"][0]
    assert "mean_std" not in told["numbers"]
    assert any("one sample has no spread" in text for text in told["warnings"])
    assert translate_command([*map(str, args), "--calls", "2", "--resume"]) == 0
    assert summary(tmp_path / "out")["before"] == 1  # and nothing is missing
    image, info = read_image(tmp_path / "out" / "0.ome.tif")
    assert image.shape == (20, 24, 1)
    assert (info.channel_names, info.dtype, info.synthetic) == (("DAPI",), "uint8", True)
    assert info.pixel_size == {"Y": 0.25, "X": 0.25}
