"""The whole run can be differentiated, forwards and backwards, and the derivatives are right."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.conformance.march import march, padded, quick_jit, shared_noise, take_step
from jaxdiff.conformance.problems import IMAGE
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import tabulate

GRID = np.array([-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.5, 6.0])
START = np.random.default_rng(5).normal(size=(4, *IMAGE.shape))
STEP = 1e-5
CLOSE = 1e-6


def _loss(images):
    weights = np.cos(np.arange(START.size).reshape(START.shape))
    return jnp.sum(weights * jnp.sin(images))


@quick_jit
def _slopes(kernel, denoise, rows, values, direction, forwards):
    """Slope of the loss of the states after all rows along `direction`, backwards and forwards; and a finite gradient."""

    def loss(values):
        start, mean = values
        moved = eqx.tree_at(lambda d: d.mean, denoise, mean)

        def one(index, x):
            key = jax.random.fold_in(jax.random.key(0), index)
            body = lambda carry, k: (take_step(kernel, moved, rows, shared_noise, key, k, *carry), None)  # noqa: E731
            first, _ = body((x, None), 0)
            return jax.lax.scan(body, first, jnp.arange(1, len(rows.last)))[0][0]

        return _loss(jax.vmap(one)(jnp.arange(len(start)), start))

    gradient = jax.grad(loss)(values)
    slopes = [sum(jnp.vdot(g, d) for g, d in zip(gradient, direction, strict=True))]
    if forwards:
        slopes.append(jax.jvp(loss, (values,), (direction,))[1])
    return slopes, jnp.all(jnp.array([jnp.isfinite(g).all() for g in gradient]))


def gradients(subject: Subject) -> Row:
    """With respect to the start and a parameter of the denoiser: finite, vjp = jvp = central differences.

    diffrax's Runge-Kutta steps have no jvp of their own.
    """
    solver = subject.rowed
    with jax.enable_x64(True):
        exact = IMAGE.denoise
        values = jnp.asarray(START), exact.mean
        direction = jnp.sin(3.0 * START), jnp.cos(exact.mean)
        rows = padded(tabulate(solver, GRID, "state"), jnp.float64, 1)
        slopes, finite = _slopes(solver.kernel, exact, rows, values, direction, subject.own)

        def moved(step):
            start, mean = (value + step * to for value, to in zip(values, direction, strict=True))
            return _loss(march(solver, eqx.tree_at(lambda d: d.mean, exact, mean), GRID, start))

        slopes = np.array([*slopes, (moved(STEP) - moved(-STEP)) / (2 * STEP)], np.float64)
    slopes_text = ", ".join(
        f"{how} {slope:.6g}" for how, slope in zip((*("vjp", "jvp")[: len(slopes) - 1], "differences"), slopes)
    )
    spread = float(np.ptp(slopes) / np.abs(slopes).max()) if np.all(np.isfinite(slopes)) and np.any(slopes) else np.nan
    return Row.judged(
        "gradients",
        bool(finite) and spread <= CLOSE,
        slopes_text + ("" if finite else ", gradient not finite"),
        f"finite, equal within {CLOSE:.0e}",
        "tuning and training go through the run: no stop_gradient, rounding, integer casts or while loops on the way of x, "
        "and no square root or norm of what may be 0 (NaN times 0 in the backward pass)",
    )
