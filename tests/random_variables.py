"""Random variables of a network, which nothing is compiled for: `init` takes longer than most tests."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def random_variables(network: Any, x: Any, lam: Any, cond: Any = None, seed: int = 0) -> Any:
    """Those of `init` give a zero output, which hides most mistakes; these do not, and activations keep their size."""
    shapes = jax.eval_shape(network.init, jax.random.key(0), x, lam, cond)
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        name = path[-1].key
        spread = np.prod(leaf.shape[:-1]) ** -0.5 if name == "kernel" else 0.1
        return jnp.asarray((name == "scale") + spread * rng.standard_normal(leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)
