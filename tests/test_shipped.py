"""The models that come with the package: small enough, and good for what their cards say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.commands.demo import EXAMPLE
from jaxdiff.commands.generate import Generate, generate
from jaxdiff.data.files.read import read_image
from jaxdiff.metrics import data_range, psnr
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Convolution
from jaxdiff.physics.psf import gaussian_psf
from jaxdiff.shipped import FOLDER, SHIPPED, shipped

KEY = jax.random.key(0)


def test_all_models_together_are_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 16e6
    for folder in SHIPPED.values():
        model = jd.load(folder)
        assert sum(leaf.size for leaf in jax.tree.leaves(model.denoise)) <= 4e6
        assert "/" not in str(model.pairing), "no folder of the machine of training"
        assert '": "/' not in (folder / "run.json").read_text(encoding="utf-8")


def test_cards_name_every_model():
    cards = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(folder.name in cards for folder in SHIPPED.values())


def test_the_segmentation_finds_the_nuclei_of_a_real_field():
    image, _ = read_image(EXAMPLE)
    result = jd.tasks.segment(KEY, jd.load(shipped("segment")), image, samples=1, calls=2)
    light = image[..., 0].astype(float)
    inside, outside = light[result.labels > 0], light[result.labels == 0]
    assert inside.mean() > 3 * outside.mean()
    areas = np.bincount(result.labels.ravel())[1:]
    assert 20 <= len(areas) <= 45
    assert 300 < np.median(areas) < 1000


def test_the_denoiser_removes_most_of_the_noise():
    image, _ = read_image(EXAMPLE)
    image = image[64:192, 64:192]
    model = jd.load(shipped("denoise"))
    noisy = model.pairing.pairs.record(np.random.default_rng(0), image, 10.0)
    result = jd.tasks.denoise(KEY, model, noisy, samples=2, calls=2)
    span = data_range([image])
    assert psnr(image, result.image, span) > psnr(image, noisy, span) + 10
    assert (result.std > 0).all()


def test_the_prior_undoes_a_blur_that_it_was_not_trained_for():
    image, _ = read_image(EXAMPLE)
    image = image[64:128, 64:128].astype(np.float64)
    operator = Convolution(jnp.asarray(gaussian_psf((2.0, 2.0)), jnp.float32))
    camera = Camera(gain=12.0, offset=120.0, read_noise=2.0)
    light = np.maximum(np.asarray(operator(jnp.asarray(image - 120, jnp.float32))), 0)
    recording = camera.record(np.random.default_rng(0), light / 12)
    result = jd.tasks.restore(KEY, jd.load(shipped("restoration")), recording, operator, camera, 2, calls=8)
    span = data_range([image])
    assert psnr(image, result.image, span) > psnr(image, recording, span) + 4
    assert 0.8 < result.misfit < 1.2


def test_the_generator_fills_its_masks():
    rows, columns = np.indices((64, 64))
    mask = ((rows - 20) ** 2 + (columns - 20) ** 2 < 150) + 2 * ((rows - 45) ** 2 + (columns - 42) ** 2 < 150)
    made = jd.tasks.generate_labelled(KEY, jd.load(shipped("generate-labelled")), np.stack([mask] * 4), calls=4)
    assert made.masks is not None
    assert made.images[made.masks > 0].mean() > 2 * made.images[made.masks == 0].mean()


def test_a_conditional_model_is_not_sampled_without_its_condition(tmp_path):
    with pytest.raises(ValueError, match=r"to segment; expected one of images alone.*sample.py segment --run"):
        generate(Generate(run=shipped("segment"), out=tmp_path / "new"))


def test_tasks_without_a_model_say_so():
    with pytest.raises(ValueError, match="no model is shipped"):
        shipped("translate")
