"""Replacement of known pixels at every step, and steps taken again after going back: RePaint, as wrappers of solvers."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdiff.solvers.base import Point, Solver, array_leaf
from jaxdiff.solvers.multistep import LinearMultistep


class _Wrapper(Solver):
    """A wrapper of a solver of one call a step that carries nothing from step to step."""

    solver: Any
    stochastic: ClassVar[bool] = True
    order: ClassVar[int] = 1

    def __check_init__(self):
        if not isinstance(self.solver, _Wrapper | LinearMultistep) or self.solver.order != 1:
            raise ValueError(
                f"got {type(self.solver).__name__} in {type(self).__name__}; expected a solver of order 1, which needs no "
                "step before; to fix: jd.DDPM(), jd.DDIM(eta), jd.DPMpp(order=1, eta=...)"
            )

    @property
    def noises(self) -> int:  # type: ignore[override]
        """Those of the solver, and one more."""
        return self.solver.noises + 1

    @property
    def kernel(self):
        """With that of the solver, whose numbers are in the table."""
        return dataclasses.replace(self, solver=self.solver.kernel)

    def memory(self, x):
        return self.solver.memory(x)

    def split(self, noise: Array | None) -> tuple[Array, Array]:
        """The solver's noise, and this wrapper's."""
        assert noise is not None
        return (noise[0] if self.solver.noises == 1 else noise[:-1]), noise[-1]

    def nodes(self, grid):
        return self.solver.nodes(grid)

    def weights(self, at: Point, to: Point) -> Any:
        return self.solver.weights(at, to)

    def result(self, x0):
        return self.solver.result(x0)


class Replaced(_Wrapper):
    """After each step, α y + σ ε in the place of x where pixels are `known`: y as it would be at this λ, by fresh noise.

    known: booleans (*spatial, C), or of a shape that broadcasts against it. y: model units, anything where it is not known.
    The result is y where it is known. Known pixels are taken for noise-free. What is unknown learns of them only by the next
    call, which is why RePaint goes back: `Renoised(Replaced(jd.DDPM(), known, y), 10)`.
    Song et al. 2021, arXiv 2011.13456, appendix I.2; Lugmayr et al. 2022, "RePaint", arXiv 2201.09865.
    """

    known: Any = eqx.field(converter=np.asarray)
    y: Float[Array, "*shape"] = eqx.field(converter=array_leaf)

    def result(self, x0):
        return jnp.where(self.known, self.y.astype(x0.dtype), self.solver.result(x0))

    def update(self, denoise, x, at, to, noise, memory):
        own, fresh = self.split(noise)
        y = jnp.where(self.known, self.y, 0).astype(x.dtype)
        x, memory = self.solver.update(lambda x, lam: jnp.where(self.known, y, denoise(x, lam)), x, at, to, own, memory)
        return jnp.where(self.known, to.alpha * y + to.sigma * fresh, x), memory


class Renoised(_Wrapper):
    """Each step `repeats` times: after it back to where it began, by noise, and again; the marginals stay what they are.

    From λ_s back to λ_t: x_t = (α_t/α_s) x_s + √(σ_t² − (α_t/α_s)² σ_s²) ε, the process forwards. A grid of n values costs
    (n − 1) · repeats + 1 calls.
    Lugmayr et al. 2022, "RePaint", arXiv 2201.09865, algorithm 1 with jumps of one step; as Restart, Xu et al. 2023,
    arXiv 2306.14878, does over longer ones.
    """

    repeats: int = eqx.field(static=True, default=10)

    def __check_init__(self):
        super().__check_init__()
        if self.repeats < 1:
            raise ValueError(f"got repeats={self.repeats}; expected 1 or more; to fix: 10")

    def nodes(self, grid):
        return tuple(np.repeat(values, self.repeats) for values in self.solver.nodes(grid))

    def weights(self, at: Point, to: Point) -> Any:
        """Of the solver, and of the way back in rows that the row before has made already: x is where that led."""
        again = np.append(False, (at.lam[1:] == at.lam[:-1])) & (np.asarray(to.lam) > at.lam)
        ratio = np.where(again, at.alpha / to.alpha, 1.0)
        # σ_t² − (α_t/α_s)² σ_s² = σ_t² (1 − e^(−2h))
        back = np.where(again, at.sigma * np.sqrt(-np.expm1(-2 * (to.lam - at.lam))), 0.0)
        return ratio, back, self.solver.weights(at, to)

    def update(self, denoise, x, at, to, noise, memory):
        own, fresh = self.split(noise)
        ratio, back, weights = at.weights
        return self.solver.update(denoise, ratio * x + back * fresh, at._replace(weights=weights), to, own, memory)
