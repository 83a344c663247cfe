"""How a network becomes a denoiser: batch axis, prediction, foreign scale and time, doubled channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.denoiser import Denoiser, bind
from jaxdiff.predictions import PREDICTIONS, to_x0
from jaxdiff.process.gaussian import alpha
from jaxdiff.process.schedules import DiscreteBetas


class Affine:
    """A 'network' that shows what it was given: output = w x + lam + the condition."""

    def __init__(self, channels=1):
        self.channels = channels

    def apply(self, params, x, lam, cond):
        assert x.ndim == 4
        assert lam.shape == (x.shape[0],)
        shift = lam if cond is None else lam + cond["label"]
        return jnp.concatenate([params["w"] * x + shift[:, None, None, None]] * self.channels, -1)


PARAMS = {"w": jnp.asarray(0.5)}
X = np.random.default_rng(0).normal(size=(3, 5, 4, 2)).astype(np.float32)


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_converts_what_the_network_predicts(kind):
    denoise = bind(Affine(), PARAMS, kind, sigma_data=0.5)
    assert isinstance(denoise, Denoiser)
    lam = jnp.float32(0.3)
    np.testing.assert_allclose(
        denoise(X[0], lam), to_x0(kind, 0.5 * X[0] + 0.3, x=X[0], lam=lam, sigma_data=0.5), rtol=1e-5
    )


def test_vmap_is_one_batched_call():
    lams, labels = jnp.array([-1.0, 0.0, 2.0]), jnp.array([4, 0, 7])
    denoise = bind(Affine(), PARAMS, "x0")
    got = jax.vmap(denoise)(X, lams, {"label": labels})
    np.testing.assert_allclose(got, 0.5 * X + (lams + labels)[:, None, None, None], rtol=1e-6)


def test_foreign_scale_and_time():
    """A variance-exploding network reads x/α, one of 1000 betas reads its step 0 … 999."""
    schedule = DiscreteBetas(np.linspace(1e-4, 0.02, 1000))
    time = lambda lam: 1000 * schedule.to_time(lam) - 1  # noqa: E731
    denoise = bind(Affine(), PARAMS, "x0", input_scale=lambda lam: 1 / alpha(lam), time=time)
    lam = schedule.lams[400]
    np.testing.assert_allclose(denoise(X[0], lam), 0.5 * X[0] / alpha(lam) + 400, rtol=1e-5)


def test_learned_variance_channels_are_dropped():
    denoise = bind(Affine(channels=2), PARAMS, "x0")
    np.testing.assert_array_equal(denoise(X[0], 0.0), 0.5 * X[0])


def test_state_type_is_kept_for_a_bfloat16_network():
    class Half(Affine):
        def apply(self, params, x, lam, cond):
            return super().apply(params, x, lam, cond).astype(jnp.bfloat16)

    assert bind(Half(), PARAMS, "eps")(jnp.asarray(X[0]), 0.0).dtype == jnp.float32


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_parameters_keep_their_type(dtype):
    seen = []

    class Notes(Affine):
        def apply(self, params, x, lam, cond):
            seen.append((params["w"].dtype, x.dtype))
            return super().apply(params, x, lam, cond)

    with jax.enable_x64(dtype == "float64"):
        denoise = bind(Notes(), {"w": jnp.asarray(0.5, dtype)}, "x0")
        options = dict(shape=(2, 2, 1), num=1, solver=jd.DDIM(), grid=[-1.0, 1.0])
        jd.sample(jax.random.key(0), denoise, **options)
    state = "float64" if dtype == "float64" else "float32"
    assert {tuple(map(str, types)) for types in seen} == {(dtype, state)}


def test_digits_that_jax_drops_are_said():
    with pytest.warns(UserWarning, match=r"got 1 arrays of parameters in float64.*to fix"):
        bind(Affine(), {"w": np.array(0.5)}, "x0")


def test_refusals():
    with pytest.raises(ValueError, match="expected one of x0"):
        bind(Affine(), PARAMS, "noise")
    with pytest.raises(ValueError, match=r"got a float; expected a network with apply"):
        bind(0.5, PARAMS)
    with pytest.raises(ValueError, match=r"network output of shape \(5, 4, 6\).*to fix"):
        bind(Affine(channels=3), PARAMS)(X[0], 0.0)
