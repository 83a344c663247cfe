"""One image by diffrax's step size control: λ goes as far a step as the solver's own error allows."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdiff.sampling.solve import Solved
from jaxdiff.solvers.stepped import cost, terms


class Adaptive(eqx.Module):
    """diffrax drives λ itself, each image at its own pace."""

    solver: diffrax.AbstractSolver
    controller: diffrax.AbstractStepSizeController
    ends: np.ndarray
    eta: np.ndarray
    final: str = eqx.field(static=True)
    sde: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    adjoint: diffrax.AbstractAdjoint = eqx.field(static=True)

    def __call__(self, denoise: Callable, key: Array, x: Array, memory: None = None) -> Solved:
        start, end = jnp.asarray(self.ends, x.dtype)
        brownian = None
        if self.sde:
            like = jax.ShapeDtypeStruct(x.shape, x.dtype)
            tolerance = 2.0**-14 * (end - start)
            brownian = diffrax.VirtualBrownianTree(
                start, end, tolerance, like, key, levy_area=diffrax.SpaceTimeLevyArea
            )
        solution = diffrax.diffeqsolve(
            terms(denoise, jnp.asarray(self.eta, x.dtype), brownian),
            self.solver,
            t0=start,
            t1=end,
            # A first step is given, since choosing one costs two calls.
            dt0=0.02 * (end - start),
            y0=x,
            saveat=diffrax.SaveAt(t1=True, controller_state=True),
            stepsize_controller=CountFirstStages(self.controller),
            adjoint=self.adjoint,
            max_steps=self.max_steps,
            throw=False,
        )
        assert solution.ys is not None
        assert solution.controller_state is not None
        step, once = cost(self.solver)
        calls = solution.stats["num_steps"] * step + solution.controller_state[-1] * once
        # A run that did not reach the end is not an image.
        x = jnp.where(solution.result == diffrax.RESULTS.successful, solution.ys[-1], jnp.nan)
        if self.final == "denoise":
            x, calls = denoise(x, end), calls + 1
        return Solved(x, calls, None, None)


class CountFirstStages(diffrax.AbstractStepSizeController):
    """`controller`, which also counts the steps that began without a kept first stage: diffrax's statistics leave them out.

    A method whose last stage is the first of the next step (FSAL) evaluates one at the start, again in every further try
    of the first step, and after a jump. State: (the controller's own, whether the coming step evaluates one, count).
    """

    controller: diffrax.AbstractStepSizeController

    def wrap(self, direction):
        return CountFirstStages(self.controller.wrap(direction))

    def init(self, *args: Any, **kwargs: Any):
        end, state = self.controller.init(*args, **kwargs)
        return end, (state, jnp.array(True), jnp.array(0))

    def adapt_step_size(self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state):
        state, fresh, count = controller_state
        keep, start, end, jumped, state, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, state
        )
        return keep, start, end, jumped, (state, (fresh & ~jnp.asarray(keep)) | jumped, count + fresh), result
