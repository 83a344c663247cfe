"""Power-function averages of the parameters, from whose snapshots an average of any length is made after the run.

Karras et al. 2024, "EDM2", arXiv 2312.02696, section 3 and appendix C. The average of exponent γ weights the parameters
after step τ of t by (γ + 1) τ^γ / t^(γ+1): its memory grows with the run and forgets the start. Its length σ_rel is the
standard deviation of that weight in units of t. Averages of other lengths, or of other times, are linear in those that
were kept, to the accuracy with which the weights of the kept ones span theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

LONGEST = 12**-0.5
"""σ_rel of γ = 0, the plain mean of all steps."""


@dataclass(frozen=True)
class PowerEMA:
    """Averages that are tracked beside the parameters, and how often they are kept. Each is one more copy of them."""

    lengths: tuple[float, ...] = (0.05, 0.10)
    """σ_rel of each; the paper's two span lengths from 0.02 to 0.2."""
    every: int = 1000
    """Steps from one snapshot to the next; 50 to 100 in a run are plenty."""
    dtype: Literal["float32", "float16"] = "float32"
    """Of the snapshots on disk."""

    def __post_init__(self):
        object.__setattr__(self, "lengths", tuple(self.lengths))
        if not self.lengths or len(set(self.lengths)) < len(self.lengths) or self.every < 1:
            raise ValueError(
                f"got power_ema lengths={self.lengths}, every={self.every}; expected different lengths and at least one "
                "step; to fix: lengths 0.05 0.1, every 1000"
            )
        for length in self.lengths:
            exponent(length)

    def update(self, averages: tuple[Any, ...], params: Any, n: Any) -> tuple[Any, ...]:
        """The averages with the parameters after applied step `n` (from 1) taken in."""
        n = jnp.asarray(n, jnp.float32)

        def one(average, length):
            # β = (1 − 1/n)^(γ+1); 1 − β by expm1, which keeps its digits in long runs, and is 1 at n = 1
            new = -jnp.expm1((exponent(length) + 1) * jnp.log1p(-1 / n))
            return jax.tree.map(lambda e, p: e + (new * (p - e)).astype(e.dtype), average, params)

        return tuple(map(one, averages, self.lengths))


def exponent(length: float) -> float:
    """γ of the power function whose length is σ_rel: (γ + 1) = σ_rel² (γ + 2)² (γ + 3) (equation 123)."""
    if not 0 < length < LONGEST:
        raise ValueError(
            f"got an average of length {length}; expected more than 0 and less than {LONGEST:.4f}; to fix: 0.05 to 0.2"
        )
    roots = np.roots([1, 7, 16 - length**-2, 12 - length**-2])
    return float(roots.real.max())


def combination(
    times: Sequence[float], lengths: Sequence[float], time: float, length: float
) -> tuple[np.ndarray, float]:
    """The combination of averages (time, length) whose weights are nearest to those wanted, and the relative rms misfit.

    Least squares between the weights as functions of τ (algorithm 3 of the paper), float64.
    """
    gammas = np.array([exponent(one) for one in lengths])
    at = np.asarray(times, np.float64)
    products = _product(at[:, None], gammas[:, None], at, gammas)
    target = _product(at, gammas, time, exponent(length))
    solution = np.linalg.lstsq(products, target, rcond=1e-14)[0]
    norm = float(_product(time, exponent(length), time, exponent(length)))
    left = norm - 2 * solution @ target + solution @ products @ solution
    return solution, float(np.sqrt(max(left, 0.0) / norm))


def _product(t1: Any, g1: Any, t2: Any, g2: Any) -> np.ndarray:
    """∫ p₁ p₂ dτ of two weights, in ratios of times so that nothing overflows."""
    low = np.minimum(t1, t2)
    return (g1 + 1) * (g2 + 1) / (g1 + g2 + 1) * (low / t1) ** g1 * (low / t2) ** g2 / np.maximum(t1, t2)
