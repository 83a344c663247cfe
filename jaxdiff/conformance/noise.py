"""How noise enters a step that leads on: N(0, I) as it is, not normed, clipped or rounded.

On Gaussian data the step of (★) is linear in its noise z. What norms or clips it may still have the right mean and
covariance, or tend to them over many steps, while the images of a few are no samples.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.conformance.march import quick_jit
from jaxdiff.conformance.problems import IMAGE, asked
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import Solver, tabulate

GRID = np.array([-0.7, 0.4])
UNBENT = 0.01
"""Share of the noise that may enter otherwise: of updates that bend in x."""


@quick_jit
def _of_multiples(kernel, denoise, row, x, noises):
    def update(z):
        return kernel.update(asked(denoise), x, row.at, row.to, z, kernel.memory(x))[0]

    return jax.lax.map(update, noises)


def bent_noise(subject: Subject) -> float | None:
    """Largest relative distance of steps that lead on from linear ones in z; None without noise of the kit's own."""
    solver = subject.rowed
    if not isinstance(solver, Solver) or not solver.stochastic:
        return None
    rng, off = np.random.default_rng(8), 0.0
    with jax.enable_x64(True):
        rows = tabulate(solver, GRID, "state")
        x = rng.normal(size=IMAGE.shape)
        z = rng.normal(size=IMAGE.shape if solver.noises == 1 else (solver.noises, *IMAGE.shape))
        noises = jnp.asarray(np.stack([z, -z, 2 * z, -2 * z]))
        for k in np.flatnonzero(rows.to.lam > rows.at.lam):
            row = jax.tree.map(lambda leaf, k=k: jnp.asarray(leaf[k]), rows)
            ahead, back, twice, twice_back = np.asarray(
                _of_multiples(solver.kernel, IMAGE.denoise, row, jnp.asarray(x), noises)
            )
            once = np.linalg.norm(ahead - back)
            if once > 0:
                odd = np.linalg.norm(twice - twice_back - 2 * (ahead - back)) / 2
                even = np.linalg.norm(twice + twice_back - ahead - back)
                off = max(off, float((odd + even) / once))
    return off
