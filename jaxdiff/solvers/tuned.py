"""Learned samplers: a grid and a table of weights that belong together."""

from typing import Any, ClassVar

import equinox as eqx
import numpy as np
from jax.core import Tracer

from jaxdiff.malformed import malformed
from jaxdiff.schema import fields, numbers
from jaxdiff.solvers.base import Point, array_leaf
from jaxdiff.solvers.multistep import LinearMultistep, Weights


class Tuned(LinearMultistep):
    """x_{k+1} = `state`_k x_k + Σ_j `values`_kj D_{k−j}, D_k called at `grid`_k; the last row gives the image.

    Explicit linear methods of `calls` calls without a corrector, found for one model by `jaxdiff.tuning.fit`. grid: (calls,)
    rising λ; state: (calls,); values: (calls, depth), newest first. It runs on its own grid and with `final="denoise"`
    only; anything else raises `ValueError`.
    """

    grid: np.ndarray = eqx.field(converter=array_leaf)
    state: np.ndarray = eqx.field(converter=array_leaf)
    values: np.ndarray = eqx.field(converter=array_leaf)
    order: ClassVar[int] = 1
    ends_itself: ClassVar[bool] = True

    def __check_init__(self):
        calls = np.shape(self.grid)[0] if np.ndim(self.grid) == 1 else 0
        if not calls or np.shape(self.state) != (calls,) or np.ndim(self.values) != 2 or len(self.values) != calls:
            raise ValueError(
                f"got grid {np.shape(self.grid)}, state {np.shape(self.state)}, values {np.shape(self.values)}; expected "
                "(calls,), (calls,), (calls, depth)"
            )

    @property
    def calls(self) -> int:
        """Network calls of an image."""
        return len(self.grid)

    @property
    def depth(self) -> int:
        return self.values.shape[1]

    def weights(self, at: Point, to: Point) -> Weights:
        traced = isinstance(at.lam, Tracer) or isinstance(self.grid, Tracer)
        if len(at.lam) != self.calls or not (traced or np.array_equal(at.lam, self.grid)):
            raise ValueError(
                f"got {len(at.lam)} rows on another grid; expected this sampler's own {self.calls} calls, ending with the "
                'image; to fix: leave out grid, and final="denoise"'
            )
        return Weights.of(at, "x0", self.depth).filled(predictor_y=self.state, predictor_v=self.values)

    def to_json(self) -> dict[str, Any]:
        """Numbers that `from_json` reads back to the last bit."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in ("grid", "state", "values")}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Tuned":
        """From `to_json`. Raises `ValueError`, naming the field, for anything else: numbers are finite, λ rises."""
        stored = fields(stored, dict.fromkeys(("grid", "state", "values"), list))
        grid, state, values = (numbers(stored[name], f"sampler.{name}", 1 + (name == "values")) for name in stored)
        if not (np.diff(grid) > 0).all():
            raise malformed("sampler.grid", grid.tolist(), "rising λ")
        return cls(grid, state, values)
