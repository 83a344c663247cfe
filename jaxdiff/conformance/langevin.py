"""Whether steps that stay at one λ (Langevin correctors) leave the marginal there as it is, told without sampling.

x + M s + √(2 M) z with the score s leaves it, to first order in M, for every positive M (Song et al. 2021, arXiv 2011.13456,
algorithms 4 and 5). What a step makes of ±z gives both parts: their mean is the drift M s, half of their difference √(2 M) z;
put in place of z, s goes through the noise twice and comes out as 2 M s.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.conformance.march import quick_jit
from jaxdiff.conformance.problems import IMAGE, GaussianProblem, asked
from jaxdiff.conformance.subject import Subject
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.solvers.base import Solver, tabulate

GRID = np.array([-0.7, 0.4])
FAR = 1e3
"""Size of states and of the one image that is data: there steps that look at the score (the SNR rule) are short."""
PROBLEM = GaussianProblem(FAR * IMAGE.mean, 0.0 * IMAGE.cov)
UNBALANCED = 1e-6


@quick_jit
def _parts(kernel, row, x, z):
    """Drift and noise of one step."""
    denoise = asked(PROBLEM.denoise)
    ahead, back = (kernel.update(denoise, x, row.at, row.to, noise, None)[0] for noise in (z, -z))
    return (ahead + back) / 2 - x, (ahead - back) / 2


def imbalance(subject: Subject) -> float | None:
    """Relative distance of twice the drift from what goes through the noise twice, beyond the length of the step.

    The largest over the rows that stay at a λ; None where there is none, or where the update looks back or takes several
    noises. Steps that are exact for data without correlation (Ornstein-Uhlenbeck) differ by half their length, and pass.
    """
    solver = subject.rowed
    if not isinstance(solver, Solver) or solver.keeps_history or not solver.stochastic or solver.noises != 1:
        return None
    with jax.enable_x64(True):
        rows = tabulate(solver, GRID, "state")
        off = [_off(solver.kernel, jax.tree.map(lambda leaf, k=k: jnp.asarray(leaf[k]), rows)) for k in _staying(rows)]
    return max((each for each in off if each is not None), default=None)


def _staying(rows) -> np.ndarray:
    return np.flatnonzero(rows.at.lam == rows.to.lam)


def _off(kernel, row) -> float | None:
    """Of one row; None where it does nothing."""
    lam, rng = float(row.at.lam), np.random.default_rng(0)
    x = FAR * rng.normal(size=PROBLEM.shape)
    score = (alpha(lam) * PROBLEM.mean - x) / sigma(lam) ** 2
    length = np.sqrt(score.size)  # a step's size may look at that of its noise: it stays what it is

    def through(direction):
        size = np.linalg.norm(direction)
        drift, noise = (np.asarray(part) for part in _parts(kernel, row, x, direction * (length / size)))
        return drift, noise * (size / length)

    drift, once = through(score)
    if not np.any(drift) and not np.any(once):
        return None
    if not np.any(once):
        return float("inf")
    twice = through(once)[1]
    step = np.linalg.norm(drift) / (sigma(lam) ** 2 * np.linalg.norm(score))
    distance = np.linalg.norm(2 * drift - twice) / max(np.linalg.norm(2 * drift), np.linalg.norm(twice))
    return max(0.0, float(distance - step))
