"""Linear operators: adjoints by inner products, values beside SciPy's, norms beside dense singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdiff.physics import area_binning
from jaxdiff.physics.operators import (
    Bin,
    Convolution,
    Crop,
    Diagonal,
    LinearOperator,
    Mask,
    Product,
    Slices,
    operator_norm,
)

RNG = np.random.default_rng


def psf(*shape):
    """Lopsided, so that a kernel that is not turned, or turned once too often, is seen."""
    values = RNG(1).random(shape)
    return jnp.asarray(values / values.sum())


def blur(boundary, *shape):
    return Convolution(psf(*shape), boundary)


PLANE, STACK = (12, 10, 2), (6, 8, 10, 1)
CASES = {
    "reflect": (blur("reflect", 5, 3), PLANE),
    "zero": (blur("zero", 5, 3), PLANE),
    "periodic": (blur("periodic", 5, 3), PLANE),
    "a PSF wider than the image": (blur("reflect", 15, 13), PLANE),
    "a PSF wider than the image, periodic": (blur("periodic", 15, 13), PLANE),
    "reflect 3-D": (blur("reflect", 3, 5, 3), STACK),
    "bin": (Bin((3, 2)), PLANE),
    "mask": (Mask(jnp.asarray(RNG(2).random((12, 10, 1)) < 0.7)), PLANE),
    "diagonal": (Diagonal(jnp.asarray(RNG(2).normal(size=(12, 10, 2)))), PLANE),
    "crop": (Crop((7, 10), (12, 10)), PLANE),
    "slices": (Slices((0, 2, 5), 6), STACK),
    "slices across": (Slices((9, 1), 10, axis=1), PLANE),
    "product": (Bin((1, 2, 2)) @ blur("zero", 3, 3, 3), STACK),
    "product of three": (Slices((1, 4), 6) @ (Bin((1, 2, 2)) @ blur("reflect", 3, 3, 3)), STACK),
}
every = pytest.mark.parametrize(("operator", "shape"), CASES.values(), ids=CASES.keys())


@every
def test_the_adjoint_is_exact(operator: LinearOperator, shape):
    with jax.enable_x64(True):
        x, seen = jnp.asarray(RNG(3).normal(size=shape)), jax.tree.map(jnp.asarray, operator)
        y = jnp.asarray(RNG(4).normal(size=jax.eval_shape(seen, x).shape))
        left, right = jnp.vdot(seen(x), y), jnp.vdot(x, seen.adjoint(y))
        assert seen.adjoint(y).shape == shape
        np.testing.assert_allclose(left, right, rtol=1e-11)


def dense(operator, shape):
    size = int(np.prod(shape))
    rows = jax.vmap(operator)(jnp.eye(size).reshape(size, *shape))
    return np.asarray(rows.reshape(size, -1), np.float64).T


@every
def test_norms_are_the_largest_singular_values(operator, shape):
    largest = np.linalg.svd(dense(operator, shape), compute_uv=False)[0]
    assert float(jax.jit(lambda: operator_norm(operator, shape, 300))()) == pytest.approx(largest, rel=1e-3)


@pytest.mark.parametrize(("boundary", "mode"), [("reflect", "reflect"), ("zero", "constant"), ("periodic", "wrap")])
def test_convolution_is_scipys(boundary, mode):
    x = RNG(5).normal(size=PLANE).astype(np.float32)
    operator = blur(boundary, 5, 3)
    want = ndimage.convolve(x.astype(np.float64), np.asarray(operator.psf)[..., None], mode=mode)
    np.testing.assert_allclose(operator(jnp.asarray(x)), want, atol=2e-6)


def test_light_is_kept():
    x = jnp.asarray(RNG(6).random(PLANE))
    for boundary in ("reflect", "periodic"):
        np.testing.assert_allclose(blur(boundary, 5, 3)(jnp.ones(PLANE)), 1, rtol=1e-5)
    np.testing.assert_allclose(blur("periodic", 5, 3)(x).sum(), x.sum(), rtol=1e-5)


@pytest.mark.parametrize("name", ["bin", "mask", "slices", "slices across", "periodic"])
def test_pseudo_inverses_are_those_of_moore_and_penrose(name):
    operator, shape = CASES[name]
    y_shape = jax.eval_shape(operator, jnp.zeros(shape)).shape
    found = dense(operator.pseudo_inverse, y_shape)
    np.testing.assert_allclose(found, np.linalg.pinv(dense(operator, shape), rcond=1e-5), atol=2e-4)


def test_what_has_no_cheap_inverse_says_so():
    with pytest.raises(NotImplementedError, match="Convolution"):
        blur("zero", 3, 3).pseudo_inverse(jnp.zeros(PLANE))
    with pytest.raises(NotImplementedError, match="Product"):
        CASES["product"][0].pseudo_inverse(jnp.zeros(PLANE))


def test_binning_is_that_of_pairs():
    x = RNG(7).random(PLANE).astype(np.float32)
    np.testing.assert_allclose(Bin((3, 2))(jnp.asarray(x)), area_binning(x, (3, 2)), rtol=1e-6)


def test_another_psf_or_mask_is_no_new_trace():
    traces = []

    @jax.jit
    def run(operator, x):
        traces.append(1)
        return operator.adjoint(operator(x))

    for seed in range(3):
        values = jnp.asarray(RNG(seed).random((3, 3)))
        mask = Mask(jnp.asarray(RNG(seed).random((12, 10, 1)) < 0.5))
        run(Product(mask, Convolution(values)), jnp.ones(PLANE))
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Convolution(jnp.ones((4, 3))), "odd sizes"),
        (lambda: Convolution(jnp.ones((3, 3)), "edge"), "'periodic'"),  # type: ignore[arg-type]
        (lambda: Convolution(jnp.ones((3, 3)))(jnp.ones((5, 5))), "spatial axes"),
        (lambda: Convolution(jnp.ones((13, 3)))(jnp.ones((5, 5, 1))), "crop the PSF"),
        (lambda: Bin((2, 0)), "1 or more"),
        (lambda: Bin((5, 2))(jnp.ones(PLANE)), "multiples"),
        (lambda: Slices((0, 0), 3), "at most once"),
        (lambda: Slices((3,), 3), "from 0 to 2"),
        (lambda: Slices((0,), 3)(jnp.ones(PLANE)), "expected 3 slices"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
