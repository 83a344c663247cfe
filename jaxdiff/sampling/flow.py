"""The probability-flow ODE backwards, from images to noise, with or without the change of log-density along it.

(★) at η = 0: dx/dλ = α D − α² x, and along it d log p/dλ = −α tr ∂D/∂x + α² d (d values). The time of the solver is −λ.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from jaxdiff.process.gaussian import alpha, on_host
from jaxdiff.programs import kept_programs
from jaxdiff.sampling.adjoint import of_inputs

CONTROLLER = diffrax.PIDController(rtol=1e-6, atol=1e-6)
MAX_STEPS = 4096
Trace = Callable[[Callable[[Array], Array], Array, Array], tuple[Array, Array]]
"""(function, its argument, the image's key) -> (its value, the trace of its Jacobian)."""


class Backwards(NamedTuple):
    """One image at the noisy end, its log p there, what was added on the way from there, and steps; NaN if not reached."""

    x: Array
    log_noise: Array
    gained: Array
    steps: Array


def backwards(
    denoise: Callable[[Array, Array], Array],
    x: Array,
    ends: Array,
    key: Array,
    trace: Trace | None,
    solver: diffrax.AbstractAdaptiveSolver,
    controller: diffrax.AbstractStepSizeController,
    max_steps: int,
    adjoint: diffrax.AbstractAdjoint,
) -> Backwards:
    """x, at λ = ends[1] (the clean end), brought to λ = ends[0]."""

    def field(time, state, _):
        x, lam = state[0], -time
        a = alpha(lam)
        if trace is None:
            x0, divergence = denoise(x, lam), jnp.zeros(())
        else:
            x0, divergence = trace(lambda x: denoise(x, lam), x, key)
        return -(a * x0 - a**2 * x), (a * divergence - a**2 * x.size).astype(x.dtype)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        solver,
        t0=-ends[1],
        t1=-ends[0],
        dt0=0.02 * (ends[1] - ends[0]),
        y0=(x, jnp.zeros((), x.dtype)),
        stepsize_controller=controller,
        adjoint=adjoint,
        max_steps=max_steps,
        throw=False,
    )
    assert solution.ys is not None
    reached = solution.result == diffrax.RESULTS.successful
    x, gained = jax.tree.map(lambda leaf: jnp.where(reached, leaf[-1], jnp.nan), solution.ys)
    # N(α E[x0], I) but for α²; D is E[x0] but for α.
    rest = x - alpha(ends[0]) * denoise(x, ends[0]) if trace is not None else x
    log_noise = -0.5 * (jnp.sum(rest**2) + x.size * jnp.log(2 * jnp.pi))
    return Backwards(x, log_noise.astype(x.dtype), -gained, solution.stats["num_steps"])


def exact_trace(chunk: int = 64) -> Trace:
    """The trace from one gradient for each value, `chunk` of them at a time."""

    def trace(function, x, key):
        value, pull = jax.vjp(function, x)

        def part(index):
            unit = jnp.zeros(x.size, x.dtype).at[index].set(1, mode="drop").reshape(x.shape)
            return pull(unit)[0].reshape(-1).at[index].get(mode="fill", fill_value=0)

        numbers = jnp.arange(-(-x.size // chunk) * chunk)
        return value, jnp.sum(jax.lax.map(part, numbers, batch_size=min(chunk, x.size)))

    return trace


def hutchinson_trace(probes: int) -> Trace:
    """An estimate without bias from `probes` random signs, the same all the way (Hutchinson 1989; Grathwohl et al. 2019)."""

    def trace(function, x, key):
        value, pull = jax.vjp(function, x)

        def part(index):
            sign = jax.random.rademacher(jax.random.fold_in(key, index), x.shape, x.dtype)
            return jnp.vdot(sign, pull(sign)[0])

        return value, jnp.mean(jax.lax.map(part, jnp.arange(probes)))

    return trace


@kept_programs
def batched(denoise: Any, images: Array, ends: Array, keys: Array, cond: Any, options: tuple) -> Backwards:
    """`backwards` of all images (num, *shape); options: trace, solver, controller, max_steps, adjoint."""
    return jax.vmap(
        lambda x, key, cond: backwards(lambda x, lam: denoise(x, lam, cond), x, ends, key, *options),
        in_axes=(0, 0, None if cond is None else 0),
    )(images, keys, cond)


def start_states(images: ArrayLike, ends: tuple[float, float]) -> tuple[Array, Array]:
    """The states at the clean end, and the ends. Raises ValueError for ends that do not rise, unless they are traced."""
    low, high = (on_host(end) for end in ends)
    traced = isinstance(low, Tracer) or isinstance(high, Tracer)
    if not (traced or (np.isfinite([low, high]).all() and low < high)):
        raise ValueError(f"got ends={ends}; expected the least and the greatest λ; to fix: (schedule.lam_min, 5.0)")
    x = jnp.asarray(images)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.asarray(alpha(high), x.dtype) * x, jnp.stack([jnp.asarray(low, x.dtype), jnp.asarray(high, x.dtype)])


def keys_of(key: Array, num: int) -> Array:
    """One key for each image."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(num))


def options(trace: Any, solver: Any, controller: Any, *inputs: Any) -> tuple:
    """Of `batched`, for these inputs."""
    solver = diffrax.Tsit5() if solver is None else solver
    controller = CONTROLLER if controller is None else controller
    return trace, solver, controller, MAX_STEPS, of_inputs(solver, controller, *inputs)
