"""Restoration by models of images alone: posteriors that are known, checks, and the commands on real files."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from exact_models import Gaussian, exact
from tiny_run import INFO, tiny_run

from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.commands.restoration import folder
from jaxdiff.commands.sample import TASKS
from jaxdiff.commands.sample import main as command
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.write import write_image
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairs import Denoising
from jaxdiff.guidance import Planes
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Bin, Convolution
from jaxdiff.physics.psf import gaussian_psf
from jaxdiff.tasks import restore, volume

MEAN, STD = 100.0, 20.0
EVEN = Camera(gain=1e-6, read_noise=10e6)
"""Noise of 10 grey levels everywhere."""
WHITE = exact(Gaussian(0.0, 0.0, 1.0))
"""Pixels of N(100, 20²) in windows of 8 x 8, for which PiGDM is exact."""


def field(*size, seed=0):
    return np.random.default_rng(seed).normal(MEAN, STD, (*size, 1))


def noisy(image, seed=1):
    return image + np.random.default_rng(seed).normal(0, 10, image.shape)


@pytest.mark.parametrize("size", [(8, 8), (19, 30), (5, 11)], ids=["a window", "windows", "less than a window"])
@pytest.mark.filterwarnings("ignore:an image of")
def test_samples_are_of_the_posterior_in_grey_levels(size):
    y = noisy(field(*size))
    got = restore(jax.random.key(0), WHITE, y, None, EVEN, 64, method="pigdm", calls=32, correct=False)
    weight = STD**2 / (STD**2 + 10**2)
    rest = (got.samples - (MEAN + weight * (y - MEAN))) / (10 * np.sqrt(weight))
    assert got.samples.shape == (64, *size, 1)
    assert abs(rest.mean()) < 4.5 / np.sqrt(rest.size) + 0.02
    assert 0.9 < rest.std() < 1.03
    np.testing.assert_allclose(got.image, got.samples.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(got.std, got.samples.std(axis=0, ddof=1, dtype=np.float64), rtol=1e-6)
    assert 0.7 < got.misfit < 1.1  # of an exact posterior: what a sample and y share beside the truth
    assert got.left_out == 0


def test_samples_of_large_images_may_lie_in_a_file(tmp_path):
    y = noisy(field(19, 30))
    here, there = (
        restore(jax.random.key(0), WHITE, y, None, EVEN, 3, method="pigdm", calls=4, scratch=scratch)
        for scratch in (None, tmp_path / "samples.npy")
    )
    assert isinstance(there.samples, np.memmap)
    jax.tree.map(np.testing.assert_array_equal, vars(here), vars(there))
    np.testing.assert_array_equal(np.load(tmp_path / "samples.npy"), here.samples)


def test_pixels_that_are_not_seen_are_left_to_the_prior_and_counted():
    y = noisy(field(8, 8))
    y[2:4] = np.nan
    got = restore(jax.random.key(0), WHITE, y, None, EVEN, 64, method="pigdm", calls=32)
    assert got.left_out == 16
    assert abs(got.samples[:, 2:4].mean() - MEAN) < 5
    assert abs(got.samples[:, 2:4].std() / STD - 1) < 0.1
    assert got.std[4:].mean() < 10


def test_the_method_is_chosen_by_what_was_recorded():
    y, seen = noisy(field(8, 8)), np.arange(64).reshape(8, 8, 1) % 2 == 0
    assert restore(jax.random.key(0), WHITE, y, None, EVEN, 2, calls=4).method == "diffpir"
    got = restore(jax.random.key(0), WHITE, y, None, EVEN, 2, calls=4, seen=seen)
    assert got.method == "mmps"
    assert not got.diverged.any()
    np.testing.assert_allclose(got.misfit, got.misfits.mean())
    assert restore(jax.random.key(0), WHITE, y, None, EVEN, 2, calls=4, seen=seen, method="dps").method == "dps"


def test_a_sample_that_did_diverge_is_said():
    """A method that adds a thousand standard deviations to a sample, or not."""
    y = noisy(field(8, 8))

    def broken(denoise, measurement):
        return lambda x, lam, cond=None: denoise(x, lam, cond) + jnp.where(x[0, 0, 0] > 0, 1e3, 0.0)

    with pytest.warns(UserWarning, match="of 8 samples diverged: they leave up to"):
        got = restore(jax.random.key(0), WHITE, y, None, EVEN, 8, calls=1, method=broken, correct=False)
    far = np.abs(got.samples - MEAN).reshape(8, -1).max(axis=1) > 1e4
    assert 0 < far.sum() < 8
    np.testing.assert_array_equal(got.diverged, far)
    assert got.method == "broken"


@pytest.mark.filterwarnings("ignore:the samples leave")
def test_the_gain_of_a_given_offset_comes_with_its_interval():
    camera = Camera(gain=0.05, offset=90.0, read_noise=2.0)
    rows = np.linspace(1.0, 400.0, 64)[:, None, None] * np.ones((64, 64, 1))
    y = camera.record(np.random.default_rng(0), rows)
    got = restore(jax.random.key(0), WHITE, y, None, None, 1, calls=1, offset=90.0, read_noise=2.0)
    assert got.camera.offset == 90.0
    assert got.camera.read_noise == 2.0
    assert abs(got.camera.gain / 0.05 - 1) < max(0.1, got.gain.half_width)
    flat = camera.record(np.random.default_rng(0), np.full((64, 64, 1), 100.0))
    with pytest.warns(UserWarning, match=r"the gain is .* \(.* to .*\) grey levels per electron, no better known"):
        restore(jax.random.key(0), WHITE, flat, None, None, 1, calls=1, offset=90.0)


def test_light_is_kept():
    """A prior that is 20 grey levels too bright pulls the samples up; the light of the recording says otherwise."""
    y = noisy(np.full((16, 16, 1), 80.0))
    for correct in (True, False):
        got = restore(jax.random.key(0), WHITE, y, None, EVEN, 4, method="pigdm", calls=16, correct=correct)
        assert got.bias > 0.02
        assert bool(abs(got.image.mean() / y.mean() - 1) < 1e-3) is correct


def test_a_blur_and_larger_pixels_and_the_noise_of_one_recording():
    operator = Bin((2, 2)) @ Convolution(jnp.ones((3, 3)) / 9)
    truth = field(32, 32)
    y = noisy(np.asarray(operator(jnp.asarray(truth))))
    got = restore(jax.random.key(0), WHITE, y, operator, None, 4, method="pigdm", calls=16, size=(32, 32))
    assert got.image.shape == (32, 32, 1)
    noise = np.sqrt(got.camera.variance([MEAN]))
    np.testing.assert_allclose(
        noise, np.hypot(10, 20 * 0.14), rtol=0.25
    )  # what is left of white texture counts as noise
    assert np.mean((got.image - truth) ** 2) < 0.94 * STD**2 * (1 + 1 / 4)


def test_few_calls_still_tell_more_than_the_prior():
    """With steps of order 2 the error of the mean would be 1.2 of the prior's deviation."""
    normaliser = Normaliser("anscombe", (0.0,), (1.0,), (30.0,), (10.0,))
    z = np.random.default_rng(0).normal(size=(8, 8, 1))
    blur = Convolution(jnp.asarray(gaussian_psf((1.0, 1.0)), jnp.float32))
    camera = Camera(gain=1.0, read_noise=2.0)
    light = np.maximum(np.asarray(blur(jnp.asarray(normaliser.inverse(z), jnp.float32))), 0)
    y, model = camera.record(np.random.default_rng(1), light), dataclasses.replace(WHITE, normaliser=normaliser)
    got = restore(jax.random.key(0), model, y, blur, camera, 16, calls=6)
    assert np.sqrt(np.mean((normaliser.forward(got.image) - z) ** 2)) < 0.9


def test_contradictions_are_said_with_numbers():
    y = noisy(field(24, 24))
    with pytest.warns(
        UserWarning, match=r"variance of the noise in the image is .* times that of the camera \(gain 1,"
    ):
        restore(jax.random.key(0), WHITE, y, None, Camera(gain=1.0, offset=90.0), 1, calls=4)
    with pytest.warns(UserWarning, match="times the variance of the noise between them"):
        restore(jax.random.key(0), WHITE, field(8, 8) + 300, None, EVEN, 2, calls=4, correct=False)


def test_a_model_of_planes_restores_volumes():
    thick = Bin((4, 1, 1))
    y = noisy(np.asarray(thick(jnp.asarray(field(16, 8, 9)))))
    model = volume(WHITE)
    assert isinstance(model.denoise, Planes)
    got = restore(
        jax.random.key(0),
        model,
        y,
        thick,
        EVEN,
        2,
        method="pigdm",
        calls=12,
        size=(16, 8, 9),
        together=1,
        correct=False,
    )
    assert got.image.shape == (16, 8, 9, 1)
    weight = (STD**2 / 4) / (STD**2 / 4 + 100)
    expected = MEAN + weight * np.repeat(y - MEAN, 4, axis=0)
    assert np.sqrt(np.mean((got.image - expected) ** 2)) < 1.2 * STD
    # Around the posterior mean, of variance 50, the mean of two samples has variance 350 / 2.
    np.testing.assert_allclose(np.corrcoef(got.image.ravel(), expected.ravel())[0, 1], 0.47, atol=0.15)


def test_what_does_not_fit_is_refused_before_any_work():
    y = noisy(field(8, 8))
    with pytest.raises(ValueError, match="trained to denoise with pairs; expected an unconditional one"):
        restore(jax.random.key(0), exact(Gaussian(), Denoising()), y, None, EVEN)
    with pytest.raises(ValueError, match=r"an operator that makes \(4, 4, 1\)"):
        restore(jax.random.key(0), WHITE, y, Bin((2, 2)), EVEN)
    with pytest.raises(ValueError, match="axes YXC with 1 channel"):
        restore(jax.random.key(0), WHITE, np.zeros((8, 8, 2)), None, EVEN)
    with pytest.raises(ValueError, match="without a pixel to see"):
        restore(jax.random.key(0), WHITE, np.full((8, 8, 1), np.nan), None, EVEN)
    with pytest.raises(ValueError, match="square planes"):
        volume(exact(Gaussian(), window=(8, 16)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("runs") / "prior")


@pytest.fixture
def images(tmp_path):
    """Recordings of 24 x 20 pixels of known and of unknown size, one with saturated pixels."""
    rng = np.random.default_rng(0)
    grey = rng.poisson(300, (24, 20, 1)).astype(np.uint16)
    grey[:2, :3] = 65535
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "known.ome.tif", grey, INFO.replace(class_names=()))
    return tmp_path


FEW = ["--samples", "2", "--calls", "2"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("task", "more", "size"),
    [
        ("deconvolve", ["--psf-sigma", "0.6"], (24, 20)),
        ("deconvolve", ["--numerical-aperture", "0.3", "--emission", "0.52"], (24, 20)),
        ("denoise", ["--gain", "1", "--offset", "0", "--exposure", "2", "--solver", "unipc"], (24, 20)),
        ("super-resolve", ["--factor", "2"], (48, 40)),
        ("inpaint", ["--missing", "MISSING"], (24, 20)),
    ],
)
def test_commands_write_mean_spread_and_checks(run, images, task, more, size):
    missing = images / "missing.tif"
    tifffile.imwrite(missing, (np.arange(480).reshape(24, 20) < 60).astype(np.float32))
    more = [str(missing) if m == "MISSING" else m for m in more]
    args = [task, "--run", str(run), "--input", str(images / "in"), "--out", str(images / "out"), *FEW, *more]
    assert command(args) == 0
    made, info = read_image(images / "out" / "known.ome.tif")
    assert made.shape == (*size, 1)
    assert info.pixel_size["Y"] == pytest.approx(0.65 * 24 / size[0])
    summary = json.loads((images / "out" / "summary.json").read_text())
    numbers = summary["files"][0]["numbers"]
    assert numbers["left_out"] == 6 + (54 if task == "inpaint" else 0)
    assert {"misfit", "gain", "offset", "read_noise", "bias_before_correction"} <= set(numbers)
    # The 6 saturated pixels are 1.25 % of the image: more than 1 % that nothing sees, unless a blur spreads their light.
    assert numbers["method"] == ("diffpir" if task == "deconvolve" else "mmps")
    assert numbers["diverged_samples"] >= 0
    assert len(numbers["misfit_of_samples"].split()) == 2
    assert ("gain_low" in numbers) == ("--gain" not in more)


@pytest.mark.parametrize(
    ("task", "option", "pixels", "tags", "words"),
    [
        ("deconvolve", "--psf", np.ones((3, 3), "u1"), "palette", "palette"),
        ("deconvolve", "--psf", np.ones((3, 3), bool), "minisblack", "type bool"),
        ("deconvolve", "--psf", np.ones((3, 3, 3), "u1"), "rgb", "3 channels"),
        ("inpaint", "--missing", np.eye(24, 20, dtype="u1"), "miniswhite", "white is zero"),
        ("inpaint", "--missing", np.ones((24, 20, 3), "u1"), "rgb", "3 channels"),
        (
            "inpaint",
            "--missing",
            -np.eye(24, 20, dtype="i2"),
            "minisblack",
            "20 pixels below 0 (such as -1, -1, -1) of 480",
        ),
        (
            "inpaint",
            "--missing",
            np.eye(24, 20, dtype="f4") / 2,
            "minisblack",
            "20 pixels no whole numbers (such as 0.5",
        ),
        ("inpaint", "--missing", np.where(np.eye(24, 20), np.nan, -np.inf), "minisblack", "480 pixels NaN or infinite"),
    ],
)
def test_psf_and_missing_pixels_mean_what_their_tags_say(run, images, task, option, pixels, tags, words):
    colours = {"colormap": np.zeros((3, 256), "u2")} if tags == "palette" else {}
    tifffile.imwrite(images / "given.tif", pixels, photometric=tags, **colours)
    args = [task, "--run", str(run), "--input", str(images / "in"), "--out", str(images / "out"), *FEW]
    args += [option, str(images / "given.tif")]
    try:
        assert command(args) == 1  # of another form than the image
        said = json.loads((images / "out" / "summary.json").read_text())["files"][0]["reason"]
    except DataError as error:
        said = str(error)
    assert words in said


@pytest.mark.filterwarnings("ignore")
def test_what_is_said_of_other_files_is_in_the_summary(run, images, monkeypatch):
    def fails(*_, **__):
        raise ValueError("got enough")

    monkeypatch.setattr(folder, "restore", fails)
    spot = np.where(np.arange(9).reshape(3, 3) == 4, 55, 255).astype(np.uint8)
    tifffile.imwrite(images / "psf.tif", spot, photometric="miniswhite")
    tifffile.imwrite(images / "missing.tif", (np.arange(480).reshape(24, 20) < 300).astype(np.uint8))
    args = ["inpaint", "--run", str(run), "--input", str(images / "in"), "--out", str(images / "out"), *FEW]
    args += ["--psf", str(images / "psf.tif"), "--missing", str(images / "missing.tif")]
    assert command(args) == 1
    said = json.loads((images / "out" / "summary.json").read_text())["files"][0]["warnings"]
    assert any(f"{images / 'psf.tif'}: white is zero in the file" in one for one in said)
    assert any("missing.tif says that 300 of 480 pixels are missing" in one for one in said)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_large_images_may_be_zarr_and_go_on(run, images):
    args = ["denoise", "--run", str(run), "--input", str(images / "in"), "--out", str(images / "out"), *FEW]
    args += ["--format", "ome-zarr", "--gain", "1", "--offset", "0"]
    assert command(args) == 0
    made = images / "out" / "known.ome.zarr"
    assert (made / "zarr.json").is_file()
    assert not list((images / "out").glob(".*"))
    assert (images / "out" / "known_std.ome.zarr" / "0" / "zarr.json").is_file()
    before = made.stat().st_mtime_ns
    assert command([*args, "--resume"]) == 0
    assert made.stat().st_mtime_ns == before
    (images / "out" / "records" / "known.json").unlink()  # killed before the record
    assert command([*args, "--resume"]) == 0
    assert made.stat().st_mtime_ns > before


@pytest.mark.filterwarnings("ignore")
def test_a_stack_becomes_isotropic_by_its_pixel_size(run, tmp_path):
    (tmp_path / "in").mkdir()
    stack = np.random.default_rng(0).poisson(300, (5, 9, 8, 1)).astype(np.uint16)
    info = INFO.replace(axes="ZYXC", pixel_size={"Z": 1.3, "Y": 0.65, "X": 0.65}, class_names=())
    write_image(tmp_path / "in" / "stack.ome.tif", stack, info)
    args = ["isotropic", "--run", str(run), "--input", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *FEW]
    assert command(args) == 0
    made, info = read_image(tmp_path / "out" / "stack.ome.tif")
    assert made.shape == (10, 9, 8, 1)
    assert info.pixel_size["Z"] == pytest.approx(0.65)


def test_wrong_options_say_what_to_do(run, images, capsys):
    start = ["--run", str(run), "--input", str(images / "in"), "--out", str(images / "out"), *FEW]

    def said(task, *more):
        try:
            status = script.run(COMMANDS["sample"], [task, *start, *more], "sample.py")
        except SystemExit as stop:
            status = stop.code
        assert status
        said = capsys.readouterr()
        for path in (images / "out").glob("*"):
            path.unlink() if path.is_file() else [*map(lambda p: p.unlink(), path.iterdir()), path.rmdir()]
        return " ".join((said.out + said.err).replace("│", " ").split())

    assert "got no PSF" in said("deconvolve")
    assert "no more pixels; to fix: crop the PSF" in said("deconvolve", "--psf-sigma", "4")
    assert "got several PSFs" in said(
        "deconvolve", "--psf-sigma", "1", "--numerical-aperture", "0.3", "--emission", "0.5"
    )
    assert "--gain without --offset" in said("denoise", "--gain", "2")
    assert "misses no pixel" in said("inpaint")
    write_image(images / "in" / "known.ome.tif", np.ones((24, 20, 1)), INFO.replace(pixel_size={}), overwrite=True)
    assert "give --pixel-size" in said("deconvolve", "--numerical-aperture", "0.3", "--emission", "0.5")


def test_every_restoration_is_a_command():
    assert {"deconvolve", "denoise", "super-resolve", "inpaint", "isotropic"} <= set(TASKS)
