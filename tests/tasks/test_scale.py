"""Images of another scale, and blank ones: said by file with numbers, in the terminal and in summary.json."""

import dataclasses
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from exact_models import IMAGE, Gaussian, exact

from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.data.levels import Levels
from jaxdiff.data.pairing import Inputs, Pairing
from jaxdiff.data.pairs import Denoising, LabelledGeneration, Parallel, Segmentation, SuperResolution
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Bin, Diagonal
from jaxdiff.tasks.classify import classify
from jaxdiff.tasks.denoise import denoise
from jaxdiff.tasks.generate_labelled import generate_labelled
from jaxdiff.tasks.restoration.direct import denoise_directly
from jaxdiff.tasks.restoration.restore import restore
from jaxdiff.tasks.segment import segment
from jaxdiff.tasks.super_resolve import super_resolve
from jaxdiff.tasks.translate import translate
from jaxdiff.training.run_folder import read_levels, read_pairing, read_run

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
SIZE = (8, 8)
LEVELS = Levels(((60.0, 80.0),), ((90.0, 110.0),), ((130.0, 300.0),))
RIGHT = RNG.normal(100, 20, (*SIZE, 1))
FLAT = np.full((*SIZE, 1), 137.0)
FEW = {"samples": 2, "calls": 2}


def conditional(pairs, factor=(1, 1), levels=LEVELS):
    model = exact(Gaussian(0.0), pairs, window=SIZE, input_info=IMAGE)
    inputs = Inputs(IMAGE, model.inputs.normaliser, factor, levels)
    return dataclasses.replace(model, pairing=Pairing(pairs, inputs))


def unconditional(**options):
    return dataclasses.replace(exact(Gaussian(std=1.0), window=SIZE, **options), levels=LEVELS)


CONDITIONAL = {
    "segment": (segment, Segmentation(), (1, 1)),
    "denoise": (denoise, Denoising(offset=0.0, peak=500.0), (1, 1)),
    "super_resolve": (super_resolve, SuperResolution(), (2, 2)),
    "translate": (translate, Parallel(), (1, 1)),
}
OTHERS = {"0 to 1": RIGHT / 255, "z-scored": (RIGHT - 100) / 20, "inverted": 255 - RIGHT, "16 times": RIGHT * 16}


def said(call):
    """The texts of its warnings, and its result."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        result = call()
    return [str(one.message) for one in caught], result


@pytest.mark.parametrize("task", CONDITIONAL)
def test_functions_say_what_is_of_another_scale(task):
    function, pairs, factor = CONDITIONAL[task]
    model = conditional(pairs, factor)
    texts, _ = said(lambda: function(KEY, model, RIGHT, **FEW))
    assert not [text for text in texts if "grey levels" in text]
    for name, image in OTHERS.items():
        texts, _ = said(lambda image=image: function(KEY, model, image, **FEW))
        (text,) = [text for text in texts if "grey levels" in text]
        assert f"median {np.median(image):.4g} (training: 90 to 110)" in text, name
        assert "to fix: give pixels as the camera wrote them" in text
    eight = RIGHT.astype(np.uint8)
    texts, _ = said(lambda: function(KEY, model, eight, **FEW))
    assert "uint8 pixels, which end at 255 (training: up to 300)" in " ".join(texts)
    old = conditional(pairs, factor, None)
    texts, _ = said(lambda: function(KEY, old, OTHERS["16 times"], **FEW))
    assert "the run does not say, these follow from its normaliser" in " ".join(texts)


@pytest.mark.parametrize("task", CONDITIONAL)
def test_functions_give_a_blank_result_of_a_blank_image(task):
    function, pairs, factor = CONDITIONAL[task]
    model = conditional(pairs, factor)
    model = dataclasses.replace(model, levels=Levels(((1.0, 1.0),), ((5.0, 9.0),), ((20.0, 30.0),)))
    texts, result = said(lambda: function(KEY, model, FLAT, **FEW))
    assert texts == ["blank: every pixel has the value 137; nothing is computed, and the result is blank, too"]
    if task == "segment":
        assert not any(values.any() for values in (result.labels, result.probability, result.uncertainty))
        assert (result.distance == -8).all()
        return
    value = 5 if task == "translate" else 137
    np.testing.assert_array_equal(result.image, np.full((8 * factor[0], 8 * factor[1], 1), value))
    assert not result.std.any()
    assert result.samples.shape == (2, *result.image.shape)
    with pytest.raises(ValueError, match="samples=0"):
        said(lambda: function(KEY, model, FLAT, samples=0))


def test_restorations_say_it_too():
    model, camera = unconditional(), Camera(gain=1.0, offset=50.0, read_noise=1.0)
    texts, _ = said(lambda: restore(KEY, model, RIGHT / 255, None, camera, **FEW))
    assert any("median 0.39" in text and "(training: 90 to 110)" in text for text in texts)
    texts, _ = said(lambda: restore(KEY, model, RIGHT, None, camera, **FEW))
    assert not any("grey levels" in text for text in texts)
    holes = np.where(RIGHT > 120, np.nan, FLAT)
    texts, got = said(lambda: restore(KEY, model, holes, Bin((2, 2)), None, size=(16, 16), **FEW))
    assert texts[0].startswith("blank: every pixel has the value 137")
    np.testing.assert_array_equal(got.image, np.full((16, 16, 1), 137))
    assert np.isnan([got.misfit, got.bias]).all()
    assert got.camera is None
    assert got.left_out == int((RIGHT > 120).sum())
    # An operator that takes half of the light does not make this recording of an image of its value.
    _, got = said(lambda: restore(KEY, model, FLAT, Diagonal(jnp.full((), 0.5)), Camera(offset=0.0), **FEW))
    assert np.ptp(got.image) > 0
    texts, got = said(lambda: denoise_directly(KEY, model, FLAT))
    assert texts[0].startswith("blank:")
    np.testing.assert_array_equal(got.image, FLAT)


def test_light_that_cannot_be_measured_is_said_by_restore():
    dark = 50 + RNG.normal(0, 1.0, (*SIZE, 1))
    texts, got = said(
        lambda: restore(KEY, unconditional(), dark, None, Camera(gain=1.0, offset=50.0, read_noise=1.0), **FEW)
    )
    assert any("above the offset of 50: too little to measure the bias" in text for text in texts)
    assert np.isnan(got.bias)
    assert np.isfinite(got.image).all()


def test_start_images_are_said_by_their_number():
    model = dataclasses.replace(exact(Gaussian(1.0), LabelledGeneration(), window=SIZE), levels=LEVELS)
    masks = np.zeros((3, *SIZE), np.int32)
    masks[:, 2:6, 2:6] = 1
    start = [RIGHT, RIGHT * 16, FLAT]
    texts, _ = said(lambda: generate_labelled(KEY, model, masks, start=start, calls=2))
    assert [text.split(":")[0] for text in texts] == ["start image 1", "start image 2"]
    assert "it is varied all the same" in texts[1]


def test_blank_images_have_no_class():
    model = unconditional(classes=2)
    texts, got = said(lambda: classify(KEY, model, np.stack([RIGHT, FLAT, RIGHT / 255]), draws=2))
    assert [text.split(":")[0] for text in texts] == ["image 1", "image 2"]
    assert got.label[1] == -1
    assert (got.label[[0, 2]] >= 0).all()
    assert np.isnan([*got.probability[1], got.score[1]]).all()
    assert np.isfinite(got.probability[[0, 2]]).all()


@pytest.fixture(scope="module")
def scales(tmp_path_factory):
    """Files of other scales, and one of the shipped models' own."""
    folder = tmp_path_factory.mktemp("scales")
    image = RNG.integers(100, 1000, (48, 48)).astype(np.uint16)
    own = 130 + RNG.normal(30, 8, (48, 48)) + 900 * (np.hypot(*(np.indices((48, 48)) - 24.0)) < 12)
    for name, values in {
        "uint8": (image / 4).astype(np.uint8),
        "float01": (image / 1000).astype(np.float32),
        "zscored": ((image - image.mean()) / image.std()).astype(np.float32),
        "counts": RNG.poisson(40, (48, 48)).astype(np.uint16),
        "black": np.zeros((48, 48), np.uint16),
        "flat": np.full((48, 48), 300, np.uint16),
        "own": own.astype(np.uint16),
    }.items():
        tifffile.imwrite(folder / f"{name}.tif", values)
    return folder


@pytest.mark.parametrize("task", ["segment", "denoise"])
def test_the_shipped_models_on_files(scales, tmp_path, capsys, task):
    out = tmp_path / "out"
    run = {"segment": "nuclei_segmentation", "denoise": "nuclei_denoising"}[task]
    args = [task, "--run", run, "--input", str(scales), "--out", str(out), "--samples", "2", "--calls", "1"]
    assert script.run(COMMANDS["sample"], args, "sample.py") == 0
    printed = capsys.readouterr()
    assert "7 of 7 images done, 2 of them blank" in printed.out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["blank"] == 2
    records = {record["name"]: record for record in summary["files"]}
    for name, number in {"uint8": "255", "float01": "0.9", "zscored": "percentile 1.", "counts": "40"}.items():
        (text,) = [text for text in records[name]["warnings"] if text.startswith("grey levels are not those")]
        assert number in text
        assert "(training: " in text
        assert f"{name}: {text}" in printed.err
    assert not [text for text in records["own"]["warnings"] if "grey levels" in text]
    for name, value in {"black": 0, "flat": 300}.items():
        assert records[name]["blank"] is True
        assert f"{name}: blank: every pixel has the value {value};" in printed.err
        suffix = "_labels.ome.tif" if task == "segment" else ".ome.tif"
        assert (tifffile.imread(out / f"{name}{suffix}") == (0 if task == "segment" else value)).all()
    if task == "segment":
        assert records["black"]["numbers"]["objects"] == 0
    else:
        for name in ("float01", "zscored", "counts"):
            assert records[name]["numbers"]["bias_before_correction"] == "not measurable"
            assert "too little to measure" in " ".join(records[name]["warnings"])


def test_old_runs_load_and_shipped_ones_know_their_levels():
    from jaxdiff.shipped import SHIPPED

    for task, folder in SHIPPED.items():
        stored = read_run(folder)
        levels = read_levels(stored)
        assert levels is not None
        assert levels.known
        if task in ("segment", "denoise"):
            pairing = read_pairing(stored)
            assert pairing is not None
            assert pairing.inputs is not None
            assert pairing.inputs.levels is not None
            del stored["pairing"]["inputs"]["levels"]
            old = read_pairing(stored)
            assert old is not None
            assert old.inputs is not None
            assert old.inputs.levels is None
        del stored["levels"]
        assert read_levels(stored) is None
