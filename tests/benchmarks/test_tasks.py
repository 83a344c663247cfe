"""The harness of benchmarks.tasks against cases with a known answer; its networks are tiny and its data are made up."""

import math
from pathlib import Path

import jax
import numpy as np
import pytest
import tifffile

import jaxdiff as jd
from benchmarks import machine
from benchmarks import store as results
from benchmarks.tasks import calls, evaluate, exposure, fields, predictions, regression, scores, store, uncertainty
from benchmarks.tasks import denoising_baselines as denoisers
from benchmarks.tasks import segmentation_baselines as segmenters
from benchmarks.tasks.fields import Field
from jaxdiff.data.config import Folder
from jaxdiff.data.errors import DataError
from jaxdiff.data.pairs import Denoising, Segmentation
from jaxdiff.metrics import nrmse
from jaxdiff.nn import condition
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.restore import restore_params

RNG = np.random.default_rng
PAIRS = Denoising(offset=130.0, peak=1250.0)


def discs(*centres: tuple[int, int], radius: int = 9, shape: tuple[int, int] = (64, 80)) -> np.ndarray:
    """Labels 1..n of discs, a later one on top."""
    mask = np.zeros(shape, np.int32)
    y, x = np.indices(shape)
    for label, (cy, cx) in enumerate(centres, 1):
        mask[np.hypot(y - cy, x - cx) <= radius] = label
    return mask


def field_of(mask: np.ndarray, name: str = "f", well: str = "A01", noise: float = 5.0) -> Field:
    """A field of nuclei 600 grey levels above a background of 150."""
    image = 150 + 600 * (mask > 0) + RNG(0).normal(0, noise, mask.shape)
    return Field(name, well, np.rint(image).astype(np.uint16), mask)


def test_fields_are_spread_over_wells_before_any_well_gives_a_second_one():
    wells = ["A01", "A01", "B02", "C03", "C03", "D04"]
    assert fields.spread(wells, 2) == [0, 3]
    assert fields.spread(wells, 4) == [0, 2, 3, 5]
    assert fields.spread(wells, 5) == [0, 1, 2, 3, 5]
    assert fields.spread(wells, 6) == list(range(6))


def test_fields_are_read_with_their_masks_and_missing_ones_are_named(tmp_path):
    mask = discs((20, 20))
    for part in ("images", "masks"):
        (tmp_path / "dev" / part).mkdir(parents=True)
    for name in ("x_B04_s2.tif", "x_A01_s1.tif"):
        tifffile.imwrite(tmp_path / "dev" / "images" / name, field_of(mask).image)
        tifffile.imwrite(tmp_path / "dev" / "masks" / name, mask.astype(np.uint16))
    read = fields.load(tmp_path, "dev", None)
    assert [(f.name, f.well) for f in read] == [("x_A01_s1", "A01"), ("x_B04_s2", "B04")]
    np.testing.assert_array_equal(read[0].mask, mask)
    with pytest.raises(DataError, match="3 fields of dev; expected 1 to 2"):
        fields.load(tmp_path, "dev", 3)
    with pytest.raises(DataError, match="without images"):
        fields.load(tmp_path, "val", None)


def test_a_crop_is_the_middle():
    field = field_of(discs((32, 40)))
    np.testing.assert_array_equal(fields.crop(field, 16).image, field.image[24:40, 32:48])
    with pytest.raises(DataError, match="at least 65 x 65"):
        fields.crop(field, 65)


def test_the_plate_has_one_exposure_from_all_pixels_of_train():
    ramp = Field("f", "A01", np.arange(1001).reshape(7, 143).astype(np.uint16), np.zeros((7, 143), np.int32))
    pairs = exposure.plate([ramp])
    assert (pairs.offset, pairs.peak) == pytest.approx((10.0, 988.0))
    assert exposure.camera(pairs, 10).gain == pytest.approx(98.8)


def test_a_recording_has_the_mean_and_variance_of_its_photons_and_is_the_same_every_time():
    flat = Field("f", "A01", np.full((300, 300), 130 + 625, np.uint16), np.zeros((300, 300), np.int32))
    seen = exposure.noisy(PAIRS, flat, 100)
    electrons = (seen.astype(np.float64) - 130) / 12.5
    variance = 50 + exposure.READ_NOISE**2
    assert electrons.mean() == pytest.approx(50, abs=5 * math.sqrt(variance / electrons.size))
    assert electrons.var() == pytest.approx(variance, rel=5 * math.sqrt(2.1 / electrons.size))
    np.testing.assert_array_equal(exposure.noisy(PAIRS, flat, 100), seen)
    other = exposure.noisy(PAIRS, Field("g", "A01", flat.image, flat.mask), 100)
    assert not np.array_equal(other, seen)


def test_touching_discs_become_two_and_a_field_without_nuclei_stays_empty():
    pytest.importorskip("skimage")
    touching = field_of(discs((30, 25), (30, 42)))
    for seeds, apart in (("distance", 6.0), ("height", 1.0)):
        labels = segmenters.OtsuWatershed(smooth=0.5, seeds=seeds, apart=apart)(touching.image)
        assert labels.max() == 2
        assert scores.segmentation(touching, labels)["ap50"] == 1
    blank = field_of(discs())
    assert segmenters.OtsuWatershed()(blank.image).max() == 0
    assert scores.segmentation(blank, blank.mask)["ap"] == 1


def test_small_objects_are_left_out():
    pytest.importorskip("skimage")
    image = field_of(np.maximum(discs((30, 25)), 2 * discs((30, 60), radius=2))).image
    assert segmenters.OtsuWatershed(smooth=0.0, min_area=0)(image).max() == 2
    assert segmenters.OtsuWatershed(smooth=0.0, min_area=30)(image).max() == 1


def test_the_chosen_segmentation_is_the_best_of_those_tried(monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setattr(segmenters, "SWEEPS", (({"min_area": 5000}, {"min_area": 10}), ({"smooth": 0.5},)))
    field = field_of(discs((20, 20), (40, 50)))
    best, top, tried = segmenters.choose([field], lambda mask, labels: scores.segmentation(field, labels)["ap50"])
    assert (best.min_area, top, len(tried)) == (10, 1.0, 3)


@pytest.mark.parametrize("method", [denoisers.NonLocalMeans(0.8, 7, 11), denoisers.TotalVariation(2.0)])
def test_the_mean_light_of_a_dim_field_is_kept(method):
    """The algebraic inverse would lose (1/4) of a photon of 5: 5 %."""
    pytest.importorskip("skimage")
    camera = exposure.camera(PAIRS, 100)
    seen = camera.record(RNG(0), np.full((96, 96), 5.0))
    light = (denoisers.denoise(method, camera, seen) - 130) / camera.gain
    assert light.mean() == pytest.approx(5, rel=0.02)
    assert light.std() < 0.25 * (seen.std() / camera.gain)


def test_scores_of_a_shifted_image_are_what_the_shift_makes_them():
    field = field_of(discs((30, 30)), noise=0)
    row = scores.denoising(field, field.image + 20.0, offset=130, data_range=1000)
    assert row["psnr"] == pytest.approx(20 * math.log10(1000 / 20))
    light = np.mean(field.image - 130.0)
    summary = scores.summary([row], ["A01"])
    assert summary["bias_percent"]["mean"] == pytest.approx(100 * 20 / light)
    assert summary["nuclei_bias_percent"]["mean"] == pytest.approx(100 * 20 / (750 - 130))
    assert summary["nrmse"]["mean"] == pytest.approx(nrmse(field.image - 130.0, image=field.image - 110.0))
    assert "excess" not in summary


def test_the_bootstrap_draws_wells_and_pairs_methods():
    rows = [{"ap": value} for value in (0.2, 0.4, 0.9)]
    alone = scores.summary(rows, ["A01", "A01", "A01"])["ap"]
    assert alone == pytest.approx({"mean": 0.5, "low": 0.5, "high": 0.5})
    apart = scores.summary(rows, ["A01", "B01", "C01"])["ap"]
    assert apart["low"] < 0.5 < apart["high"]
    better = [{"ap": row["ap"] + 0.1} for row in rows]
    lead = scores.ahead(better, rows, ["A01", "B01", "C01"])["ap"]
    assert lead == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1})


def test_a_piece_that_was_cut_short_goes_on_where_it_was(tmp_path):
    made = []

    def predict(field):
        made.append(field.name)
        return {"x0": field.image}

    method = predictions.Method("copy", {"a": 1}, predict)
    two = [field_of(discs(), "f"), field_of(discs((20, 20)), "g")]
    predictions.Pieces(tmp_path, 1).of(method, two[:1], "dev")
    with pytest.raises(SystemExit) as stopped:
        predictions.Pieces(tmp_path, 0).of(method, two, "dev")
    assert stopped.value.code == 75
    found = predictions.Pieces(tmp_path, 1).of(method, two, "dev")
    assert made == ["f", "g"]
    np.testing.assert_array_equal(found[1].arrays["x0"], two[1].image)
    predictions.Pieces(tmp_path, 1).of(predictions.Method("copy", {"a": 2}, predict), two[:1], "dev")
    assert made == ["f", "g", "f"]


def test_what_is_stored_stays_and_val_is_looked_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(machine, "describe", lambda packages: {"date": "2026-01-01"})
    store.put(("scores", "segmentation", "val, 8 fields", "x"), {"scores": 1})
    store.put(("scores", "segmentation", "dev, 8 fields", "x"), {"scores": 2})
    assert store.get(("scores", "segmentation", "val, 8 fields", "x", "scores"), "") == 1
    with pytest.raises(DataError, match="one look at val"):
        store.check_new(("scores", "segmentation", "val, 8 fields", "x"), again=False)
    store.check_new(("scores", "segmentation", "val, 8 fields", "x"), again=True)
    store.check_new(("scores", "segmentation", "val, 8 fields", "y"), again=False)
    with pytest.raises(DataError, match="run dev first"):
        store.get(("choices",), "run dev first")


def test_methods_of_val_that_are_measured_stay_and_new_ones_are_added(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(machine, "describe", lambda packages: {"date": "2026-01-01"})
    options = evaluate.Evaluate("denoising", tmp_path, split="val")
    chosen, (old, new) = (
        [field_of(discs())],
        (predictions.Method(n, {"photons": 10}, dict) for n in ("tv", "diffusion")),
    )
    store.put(("scores", "denoising", "val, 1 fields", "10", "tv"), {})
    assert evaluate.pending(options, chosen, [old, new]) == [
        (("scores", "denoising", "val, 1 fields", "10", "diffusion"), new)
    ]
    with pytest.raises(DataError, match="one look at val"):
        evaluate.pending(options, chosen, [old])
    again = evaluate.Evaluate("denoising", tmp_path, split="val", again=True)
    assert len(evaluate.pending(again, chosen, [old, new])) == 2


def test_the_fewest_calls_near_the_best_are_chosen():
    ap = {1: 0.5, 2: 0.7, 4: 0.798, 8: 0.802, 16: 0.801, 32: 0.8}
    rows = [{"method": "diffusion", "samples": 8, "calls": c, "ap": v} for c, v in ap.items()]
    rows += [{**row, "samples": 1, "ap": 1.0} for row in rows]
    assert calls.choose(rows, "segmentation") == 4


def test_samples_that_are_like_the_truth_cover_it_and_say_how_large_the_error_is():
    scale = RNG(0).uniform(1, 5, (60, 60))
    every = RNG(1).normal(size=(20, 60, 60)) * scale
    table = uncertainty.table([every[0]], [every[1:]], None)
    assert table["nominal"] == pytest.approx(0.9)
    assert table["coverage"] == pytest.approx(0.9, abs=5 * math.sqrt(0.09 / 3600))
    ratio = np.array(table["error"]) / np.array(table["std"]) / math.sqrt(1 + 1 / 19)
    np.testing.assert_allclose(ratio.mean(), 1, atol=0.1)


def test_of_a_segmentation_only_pixels_near_an_outline_count():
    truth = np.array([[-8.0, -3.0], [2.0, 8.0]])
    draws = np.stack([truth - 1, truth + 1] * 5)
    draws[:, 0, 0] = -8.0
    table = uncertainty.table([np.repeat(truth, 5, axis=0)], [np.repeat(draws, 5, axis=1)], 8.0)
    assert (table["pixels"], table["coverage"], table["ece"]) == (10, 1.0, 0.0)


class Constant:
    """A network whose output is its parameter everywhere, and which sees neither noise nor noise level."""

    def apply(self, params, x, lam, cond, train=False, rngs=None):
        assert not isinstance(x, jax.core.Tracer)
        assert not np.any(x)
        assert not np.any(lam)
        return np.full(x.shape, params)


def test_the_regression_loss_is_the_squared_error_of_the_image():
    image = RNG(0).normal(size=(3, 4, 4, 1)).astype(np.float32)
    batch = {"image": image, "cond": condition(image=image)}
    loss, metrics = regression.RegressionLoss()(Constant(), 0.3, jax.random.key(0), batch)
    assert float(loss) == pytest.approx(np.mean((image - 0.3) ** 2), rel=1e-6)
    assert float(metrics["loss"]) == float(loss)


@pytest.fixture
def compiled_once(tmp_path):
    """Equal programs of one test are compiled once."""
    options = {"jax_compilation_cache_dir": str(tmp_path / "xla"), "jax_persistent_cache_min_compile_time_secs": 0}
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def tiny(folder: Path, out: str) -> TrainConfig:
    """A segmentation of two fields, in two steps."""
    for part in ("images", "masks"):
        (folder / part).mkdir(exist_ok=True)
    for i, centre in enumerate(((20, 20), (24, 28))):
        field = field_of(discs(centre, shape=(40, 48)))
        tifffile.imwrite(folder / "images" / f"{i}.tif", field.image)
        tifffile.imwrite(folder / "masks" / f"{i}.tif", field.mask.astype(np.uint16))
    return TrainConfig(
        name="tiny",
        out=str(folder / out),
        data=Folder(folder / "images", masks=folder / "masks", axes="YX", validation=0.0),
        pairs=Segmentation(),
        patch=(16, 16),
        network=jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), patch_size=4, image_channels=1),
        batch_size=2,
        steps=2,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_once")
def test_a_regression_that_is_cut_short_ends_as_one_that_is_not_and_predicts_whole_fields(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        regression.train(tiny(tmp_path, "a"), minutes=0)
    assert stopped.value.code == 75
    run, other = (regression.train(tiny(tmp_path, out), minutes=5) for out in ("a", "b"))
    assert run.name == "tiny_regression"
    jax.tree.map(np.testing.assert_array_equal, restore_params(run), restore_params(other))

    model = jd.load(run)
    patch = tifffile.imread(tmp_path / "images" / "0.tif")[:16, :16]
    seen = model.pairing.inputs.normaliser.forward(patch[None, ..., None])
    zero = np.zeros((1, 16, 16, 1), np.float32)
    output = model.network.apply(restore_params(run), zero, np.zeros(1), condition(image=seen))
    expected = model.normaliser.inverse(np.asarray(output))[0]
    np.testing.assert_allclose(regression.predict(model, patch), expected, rtol=1e-4, atol=1e-4)
    whole = regression.predict(model, tifffile.imread(tmp_path / "images" / "0.tif"))
    assert whole.shape == (40, 48, 1)
    assert np.isfinite(whole).all()


def test_a_regression_needs_pairs_and_steps():
    config = TrainConfig(name="x", minutes=1.0)
    with pytest.raises(DataError, match="without pairs"):
        regression.as_regression(config)
