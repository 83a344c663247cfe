"""Autoguidance: the density it follows, its ends and interval, networks, and together with classifier-free guidance."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.analytic import Gaussian
from jaxdiff.guidance import autoguidance, classifier_free
from jaxdiff.predictions import from_x0
from jaxdiff.process.gaussian import alpha, sigma

MEAN = np.array([[0.4], [-0.3]])
GOOD, BAD = Gaussian(MEAN, 0.2), Gaussian(MEAN + 0.3, 0.9)
X = jnp.array([[0.3], [-0.7]])
OPTIMISED = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
"""Two programs whose bits are compared are compiled as a user's are, not as quickly as the tests' others."""


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("lam", [-1.0, 1.5])
def test_score_is_of_the_ratio_of_the_densities(scale, lam):
    """∇ log p_good^w p_bad^(1−w), both written out."""

    def score(mean, variance):
        return -(X - alpha(lam) * mean) / (alpha(lam) ** 2 * variance + sigma(lam) ** 2)

    got = from_x0("score", autoguidance(GOOD, BAD, scale)(X, lam), x=X, lam=lam)
    np.testing.assert_allclose(
        got, scale * score(MEAN, 0.2) + (1 - scale) * score(MEAN + 0.3, 0.9), rtol=1e-3, atol=1e-3
    )


def test_scale_one_and_the_outside_of_the_interval_are_the_denoiser_to_the_bit():
    np.testing.assert_array_equal(autoguidance(GOOD, BAD, 1.0)(X, 0.3), GOOD(X, 0.3))
    guided = autoguidance(GOOD, BAD, 3.0, interval=(-1.0, 1.0))
    for lam in (-1.5, 1.5):
        np.testing.assert_array_equal(guided(X, lam), GOOD(X, lam))
    for lam in (-1.0, 0.0, 1.0):
        np.testing.assert_array_equal(guided(X, lam), autoguidance(GOOD, BAD, 3.0)(X, lam))
        assert not np.allclose(guided(X, lam), GOOD(X, lam))


class Network(nn.Module):
    """Two convolutions that know λ."""

    @nn.compact
    def __call__(self, x, lam, cond):
        h = nn.tanh(nn.Conv(8, (3, 3))(x) + lam[:, None, None, None])
        return nn.Conv(x.shape[-1], (3, 3))(h)


def test_two_checkpoints_of_a_network_and_a_new_pair_is_no_new_trace():
    network, traces = Network(), []
    init = jax.jit(lambda key: network.init(key, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1), None))
    good, bad, worse = (jd.bind(network, init(jax.random.key(i))) for i in range(3))

    def uncompiled(guided, lam):
        traces.append(1)
        return jax.vmap(lambda x: guided(x, lam))(jnp.ones((2, 8, 8, 1)))

    call = eqx.filter_jit(uncompiled, compiler_options=OPTIMISED)
    plain, other = (np.asarray(call(denoise, 0.3)) for denoise in (good, bad))
    before = len(traces)
    np.testing.assert_allclose(call(autoguidance(good, bad, 3.0), 0.3), 3 * plain - 2 * other, atol=1e-4)
    outside = call(autoguidance(good, worse, 2.0, interval=(1.0, 2.0)), 0.3)
    np.testing.assert_array_equal(outside, plain)
    assert len(traces) == before + 1


def test_together_with_classifier_free():
    good = lambda x, lam, cond: GOOD(x, lam) + 0.3 * cond["label"]  # noqa: E731
    bad = lambda x, lam, cond: BAD(x, lam) - 0.1 * cond["label"]  # noqa: E731
    cond, null = {"label": jnp.asarray(1)}, {"label": jnp.asarray(-1)}
    got = autoguidance(classifier_free(good, 1.5), bad, 2.0)(X, 0.3, cond)
    free = good(X, 0.3, null) + 1.5 * (good(X, 0.3, cond) - good(X, 0.3, null))
    np.testing.assert_allclose(got, 2.0 * free - bad(X, 0.3, cond), atol=1e-5)


def test_an_empty_interval_is_refused():
    with pytest.raises(ValueError, match=r"got interval=\(1.0, -1.0\); expected \(low, high\)"):
        autoguidance(GOOD, BAD, interval=(1.0, -1.0))
