"""What is of the transformer alone; `test_networks.py` has what holds of every network."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro
from networks_inputs import inputs

import jaxdiff as jd
from jaxdiff.guidance.posterior import DPS, Measurement
from jaxdiff.nn.transformer import hidden_size
from jaxdiff.physics.operators import Diagonal

LAM_FEATURES = 64


def counted(network, channels):
    """Parameters by hand: embedding, tokens, blocks, skips, head."""
    w, hidden, patch = network.width, hidden_size(network.width), network.patch_size**2 * channels
    embedding = (LAM_FEATURES + 1) * w + (w + 1) * w
    block = 6 * (w + 1) * w + 4 * w * w + 2 * network.head_size + 3 * w * hidden
    skips = (network.blocks - 1) // 2 * 2 * w * w
    return embedding + (patch + 1) * w + network.blocks * block + skips + 2 * (w + 1) * w + (w + 1) * patch


@pytest.mark.parametrize(
    ("network", "width", "blocks", "millions"),
    [(jd.DiT.S(), 384, 12, 33.8), (jd.DiT.B(), 768, 12, 135.2), (jd.DiT.L(patch_size=2), 1024, 24, 476.3)],
)
def test_sizes_have_the_parameters_that_their_layers_have(network, width, blocks, millions):
    assert (network.width, network.blocks, network.width % network.head_size) == (width, blocks, 0)
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs((1, 64, 64, 3)))
    number = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert number == counted(network, 3)
    assert number / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize(
    ("spatial", "patch"), [((32, 32), 1), ((33, 32), 2), ((64, 64), 2), ((16, 64, 64), 4), ((1024, 1024), 32)]
)
def test_the_smallest_patch_of_no_more_than_1024_tokens(spatial, patch):
    assert jd.DiT.patch_for(spatial) == patch
    assert math.prod(-(-size // patch) for size in spatial) <= 1024


def test_a_size_without_pixels_has_no_patch():
    with pytest.raises(ValueError, match=r"got spatial=\(0, 4\)"):
        jd.DiT.patch_for((0, 4))


@pytest.mark.parametrize(("fields", "narrow"), [({"patch_size": 16}, 128), ({}, None), ({"bottleneck": 6}, 6)])
def test_large_patches_are_embedded_through_few_channels(fields, narrow):
    network = jd.DiT(width=16, blocks=1, head_size=8, **fields)
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs((1, 32, 32, 1)))["params"]
    assert ("bottleneck" in shapes) == (narrow is not None)
    assert shapes["tokens"]["kernel"].shape == (narrow or network.patch_size**2, 16)
    with pytest.raises(ValueError, match="got DiT bottleneck=-1"):
        jd.DiT(bottleneck=-1)


def test_long_skips_are_read(perturbed, quick_jit):
    x, lam = inputs((2, 4, 4, 1))
    network = jd.DiT(width=8, blocks=5, head_size=4, patch_size=2)
    variables = perturbed(network, x, lam)
    names = {name for name in variables["params"] if name.startswith("skip")}
    assert names == {"skip3", "skip4"}
    apply = quick_jit(network.apply)
    kernel = variables["params"]["skip4"]["kernel"]
    without = jax.tree.map(lambda leaf: leaf, variables)
    without["params"]["skip4"]["kernel"] = kernel.at[8:].set(0)  # of what the first block hands over
    assert float(jnp.abs(apply(variables, x, lam) - apply(without, x, lam)).max()) > 1e-3
    plain = jd.DiT(width=8, blocks=5, head_size=4, patch_size=2, skips=False)
    assert not [n for n in jax.eval_shape(plain.init, jax.random.key(0), x, lam)["params"] if n.startswith("skip")]


def test_a_constant_image_has_no_places(perturbed, run):
    """Positions are relative: all tokens of an image without structure are the same, whatever its size."""
    network = jd.DiT(width=16, blocks=2, head_size=8, patch_size=2)
    images = [jnp.ones((1, *size, 1)) for size in ((4, 6), (6, 12))]
    variables = perturbed(network, images[0], jnp.zeros(1))
    small, large = (run(network, variables, x, jnp.zeros(1)) for x in images)
    np.testing.assert_allclose(large, jnp.tile(small[:, :2, :2], (1, 3, 6, 1)), atol=1e-5)
    x, lam = inputs((1, 4, 6, 1))
    rolled = jnp.roll(x, 2, axis=2)  # other neighbours: places do count
    difference = run(network, variables, rolled, lam) - jnp.roll(run(network, variables, x, lam), 2, axis=2)
    assert float(jnp.abs(difference).max()) > 1e-4


def test_sampled_by_a_posterior_method_whose_gradients_are_vmapped(perturbed):
    network = jd.DiT(width=8, blocks=1, head_size=4, patch_size=2)
    x, lam = inputs((2, 4, 4, 1))
    prior = jd.bind(network, perturbed(network, x, lam), "x0")
    guided = DPS(prior, Measurement(Diagonal(jnp.ones(())), x[0], 0.1))
    options = dict(shape=(4, 4, 1), num=2, solver=jd.DDIM(), grid=jd.grids.uniform_lam(jd.Cosine(), 2))
    free, held = (jd.sample(jax.random.key(0), denoise, **options) for denoise in (prior, guided))
    assert free.finite.all()
    assert held.finite.all()
    assert float(jnp.abs(held.images - free.images).max()) > 1e-3


def test_read_by_tyro():
    args = ["--width", "64", "--head-size", "32", "--patch-size", "8", "--no-skips", "--bottleneck", "None"]
    assert tyro.cli(jd.DiT, args=args) == jd.DiT(width=64, head_size=32, patch_size=8, skips=False)
