"""Counting what diffrax's statistics leave out: first stages that are not kept from the step before."""

from typing import Any

import diffrax
import jax.numpy as jnp


class CountFirstStages(diffrax.AbstractStepSizeController):
    """`controller`, which also counts the steps that began without a kept first stage.

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
