"""How runs are differentiated unless the caller says otherwise."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.interpreters.ad import JVPTracer
from jaxtyping import PyTree


class AlongRows(diffrax.AbstractAdjoint):
    """A loop over all of `max_steps` rows as one `lax.scan`, which both modes of differentiation go through.

    What the loop's body needs again backwards is kept for each row: the state and what the solver remembers, and of the
    denoiser only what is called through `jax.checkpoint`, nothing. diffrax's `RecursiveCheckpointAdjoint` keeps fewer
    states, computes rows again up to several times, and refuses forward mode; its `DirectAdjoint` takes the next power of 16
    rows. For solvers that never end early and `SaveAt` without times.
    """

    def loop(self, *, throw: Any, passed_solver_state: Any, passed_controller_state: Any, **kwargs: Any):
        del throw, passed_solver_state, passed_controller_state
        return self._loop(inner_while_loop=None, outer_while_loop=_scan, **kwargs)


def _scan(cond_fun: Any, body_fun: Any, init: Any, *, max_steps: int, buffers: Any) -> Any:
    del cond_fun, buffers
    init = jax.tree.map(jnp.asarray, init)

    def body(state, _):
        new = body_fun(state)
        return jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype), new, state), None

    return jax.lax.scan(body, init, length=max_steps)[0]


def of_inputs(*inputs: PyTree) -> diffrax.AbstractAdjoint:
    """For loops of unknown length, which no adjoint differentiates in both modes: forward mode where `inputs` carry tangents.

    A program that was traced before (`jax.jvp(jax.jit(f), …)`) shows none: there `adjoint=diffrax.ForwardMode()`.
    """
    return (
        diffrax.ForwardMode()
        if any(map(_has_tangent, jax.tree.leaves(inputs)))
        else diffrax.RecursiveCheckpointAdjoint()
    )


def _has_tangent(leaf: Any) -> bool:
    """Whether forward mode looks at a leaf, through whatever else does; reverse mode on the way wins."""
    while isinstance(leaf, Tracer):
        if isinstance(leaf, JVPTracer):
            return True
        leaf = getattr(leaf, "val", None)  # of `jax.vmap`
    return False
