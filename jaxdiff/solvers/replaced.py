"""Replacement of known pixels at every step, and steps taken again after going back: RePaint, as wrappers of solvers."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from jaxdiff.process.gaussian import namespace
from jaxdiff.solvers.base import Point, Solver, array_leaf
from jaxdiff.solvers.multistep import Kernel, Weights


class _Wrapper(Solver):
    """A wrapper of a solver that needs nothing of the steps before, and leaves the end of the run to its last call."""

    solver: Any
    stochastic: ClassVar[bool] = True
    order: ClassVar[int] = 1

    def __check_init__(self):
        solver = self.solver
        if isinstance(solver, Kernel):
            return  # of a wrapper that was asked when it was made
        why = None
        if not isinstance(solver, Solver):
            why = "is not written as a jd.Solver"
        elif solver.ends_itself:
            why = "ends the run itself (ends_itself)"
        elif solver.reads_span:
            why = "leads to the clean end at once, where known pixels are not seen (reads_span)"
        elif solver.keeps_history:
            why = "needs the steps before (keeps_history)"
        if why is not None:
            raise ValueError(self._refusal(why))

    def _refusal(self, why: str) -> str:
        return (
            f"got {type(self.solver).__name__} in {type(self).__name__}, which {why}; expected a solver whose steps stand "
            "alone; to fix: jd.DDPM(), jd.DDIM(eta), jd.DPMpp(order=1, eta=...)"
        )

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return self.solver.evaluations

    @property
    def keeps_history(self) -> bool:
        return False

    @property
    def noises(self) -> int:  # type: ignore[override]
        """Those of the solver, and one more."""
        return (self.solver.noises if self.solver.stochastic else 0) + 1

    @property
    def kernel(self):
        """With that of the solver, whose numbers are in the table."""
        return dataclasses.replace(self, solver=self.solver.kernel)

    def memory(self, x):
        return self.solver.memory(x)

    def split(self, noise: Array | None) -> tuple[Array | None, Array]:
        """The solver's noise, and this wrapper's."""
        assert noise is not None
        if self.noises == 1:
            return None, noise
        return (noise[0] if self.solver.noises == 1 else noise[:-1]), noise[-1]

    def check_shape(self, shape):
        self.solver.check_shape(shape)

    def nodes(self, grid):
        return self.solver.nodes(grid)

    def weights(self, at: Point, to: Point) -> Any:
        table = self.solver.weights(at, to)
        # What was declared, held to the numbers; those of a trace cannot be looked at.
        if isinstance(table, Weights) and not any(isinstance(leaf, Tracer) for leaf in table) and table.reach_back:
            raise ValueError(self._refusal("has weights of the steps before, though it says keeps_history = False"))
        return table

    def result(self, x0):
        return self.solver.result(x0)


class Replaced(_Wrapper):
    """After each step, α y + σ ε in the place of x where pixels are `known`: y as it would be at this λ, by fresh noise.

    known: booleans (*spatial, C), or of a shape that broadcasts against it. y: model units, anything where it is not known.
    The result is y where it is known. Known pixels are taken for noise-free. What is unknown learns of them only by the next
    call, which is why RePaint goes back: `Renoised(Replaced(jd.DDPM(), known, y), 10)`.
    Song et al. 2021, arXiv 2011.13456, appendix I.2; Lugmayr et al. 2022, "RePaint", arXiv 2201.09865.
    """

    known: Any = eqx.field(converter=lambda known: known if isinstance(known, Tracer) else np.asarray(known))
    y: Float[Array, "*shape"] = eqx.field(converter=array_leaf)

    def result(self, x0):
        return jnp.where(self.known, self.y.astype(x0.dtype), self.solver.result(x0))

    def update(self, denoise, x, at, to, noise, memory):
        own, fresh = self.split(noise)
        y = jnp.where(self.known, self.y, 0).astype(x.dtype)
        x, memory = self.solver.update(lambda x, lam: jnp.where(self.known, y, denoise(x, lam)), x, at, to, own, memory)
        return jnp.where(self.known, to.alpha * y + to.sigma * fresh, x), memory


class Renoised(_Wrapper):
    """`jump` steps `repeats` times: after them back to where they began, by noise, and again; marginals stay as they are.

    From λ_s back to λ_t: x_t = (α_t/α_s) x_s + √(σ_t² − (α_t/α_s)² σ_s²) ε, the process forwards. A grid of n values costs
    (n − 1) · repeats + 1 calls, whatever the jump.
    Lugmayr et al. 2022, "RePaint", arXiv 2201.09865, where jump and repeats are 10; Restart, Xu et al. 2023, arXiv
    2306.14878.
    """

    repeats: int = eqx.field(static=True, default=10)
    jump: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        super().__check_init__()
        if self.repeats < 1 or self.jump < 1:
            raise ValueError(f"got repeats={self.repeats}, jump={self.jump}; expected 1 or more; to fix: 10 and 1")
        inner = self.solver
        while isinstance(inner, _Wrapper):
            if isinstance(inner, Renoised):
                raise ValueError(
                    f"got Renoised({inner.repeats}) in Renoised({self.repeats}); expected one; to fix: "
                    f"repeats={inner.repeats * self.repeats}"
                )
            inner = inner.solver

    def nodes(self, grid):
        values = self.solver.nodes(grid)
        order = self._order(len(values[0]))
        return tuple(of[order] for of in values)

    def _order(self, number: int) -> np.ndarray:
        """Which of the solver's `number` rows each row here is."""
        rows = np.arange(number)
        blocks = [np.tile(rows[i : i + self.jump], self.repeats) for i in rows[:: self.jump]]
        return np.concatenate([rows[:0], *blocks])

    def weights(self, at: Point, to: Point) -> Any:
        """Of the solver, and of the way back in rows that begin before where the row before has led."""
        xp = namespace(at.lam, to.lam)
        lam, alpha = (xp.append(starts[:1], ends[:-1]) for starts, ends in ((at.lam, to.lam), (at.alpha, to.alpha)))
        again = lam > at.lam
        ratio = xp.where(again, at.alpha / alpha, 1.0)
        # σ_t² − (α_t/α_s)² σ_s² = σ_t² (1 − e^(−2h))
        back = xp.where(again, at.sigma * xp.sqrt(-xp.expm1(-2 * xp.where(again, lam - at.lam, 1.0))), 0.0)
        # The solver tabulates its own rows, each once, as it would alone; then they are repeated.
        number, ending = divmod(len(at.lam), self.repeats) if self.repeats > 1 else (len(at.lam), 0)
        order = np.append(self._order(number), number + np.arange(ending))
        first = np.unique(order, return_index=True)[1]
        once = jax.tree.map(lambda leaf: leaf[first], (at, to))
        return ratio, back, jax.tree.map(lambda leaf: leaf[order], super().weights(*once))

    def update(self, denoise, x, at, to, noise, memory):
        own, fresh = self.split(noise)
        ratio, back, weights = at.weights
        return self.solver.update(denoise, ratio * x + back * fresh, at._replace(weights=weights), to, own, memory)
