import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.nn.embed import Embedding, fourier


def test_fourier_tells_noise_levels_apart_over_the_whole_range():
    lam = jnp.linspace(-12, 12, 241)
    features = np.asarray(jax.vmap(lambda lam: fourier(lam, 64))(lam))
    distances = np.linalg.norm(features[:, None] - features[None], axis=-1)
    steps = np.diagonal(distances, 1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)  # equally fine everywhere
    assert distances[~np.eye(241, dtype=bool)].min() > 0.9 * steps.min()  # and no level looks like another


def test_absent_conditions_add_nothing_and_bad_labels_show():
    embed = Embedding(16, num_classes=3, vector_size=2)
    lam = jnp.float32(0.5)
    params = jax.jit(embed.init)(jax.random.key(0), lam, jnp.int32(0), jnp.zeros(3))
    missing = embed.apply(params, lam)
    np.testing.assert_array_equal(embed.apply(params, lam, jnp.int32(-1), jnp.zeros(3)), missing)
    assert not np.allclose(embed.apply(params, lam, jnp.int32(2)), missing)
    assert not np.allclose(embed.apply(params, lam, None, jnp.array([0.0, 0, 1])), missing)  # presence
    assert np.isnan(embed.apply(params, lam, jnp.int32(3))).all()
