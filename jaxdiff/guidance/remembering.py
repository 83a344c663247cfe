"""Guidance with a memory, or that knows the step: D of a run, and no longer of one point."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, Int, PyTree

from jaxdiff.numbers import as_leaves
from jaxdiff.representation import representation


class Remembering(eqx.Module):
    """A denoiser that `jd.sample` hands what it left behind at its last call, and the number of the step.

    A subclass writes `update`, and `memory` if it needs one. Its number fields (`scale: float = 2.0`) are array leaves. It
    goes around denoisers and other guidance, and nothing goes around it: only the sampler's loop can carry a memory on.

    * Memory is of one image: each begins with its own, and no batch mate or device sees it.
    * Every call of the solver passes it on, in the solver's order: a solver of several evaluations a step (`evaluations`)
      updates it as often, with the same step number, and `final="denoise"` calls once more after the last step.
    * Any `jd.Solver` runs it, along a grid. diffrax's own solvers, which call D inside loops of theirs and try steps again,
      do not, nor do `jd.encode` and `jd.log_likelihood`, which follow an equation.
    """

    __repr__ = representation

    def __check_init__(self):
        as_leaves(self)

    def memory(self, x: Float[Array, " *shape"]) -> PyTree:
        """What the first call is handed, arrays of fixed shape; None for guidance that only asks for the step."""
        return None

    @abstractmethod
    def update(
        self, x: Float[Array, " *shape"], lam: Any, cond: PyTree, memory: PyTree, step: Int[Array, ""]
    ) -> tuple[Float[Array, " *shape"], PyTree]:
        """D of one image, and what the next call is handed.

        Args:
            x: (*spatial, channels), variance-preserving coordinates.
            lam: half log-SNR, a scalar.
            cond: the condition of the image, or None.
            memory: what the call before has returned, or `memory(x)`.
            step: the solver's row, 0 in the first.

        Returns:
            E[x0 | x], of x's shape, and the memory.
        """

    def __call__(self, x, lam, cond=None):
        """Raises ValueError: without the memory of a run there is no answer."""
        raise ValueError(
            f"got {type(self).__name__} called as a function of one point; expected it outermost, in jd.sample along a grid, "
            "since it remembers the calls before; to fix: put other guidance inside it, and leave out encode and "
            "log_likelihood"
        )
