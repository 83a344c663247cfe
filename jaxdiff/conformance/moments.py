"""Moments of stochastic solvers: from the marginal of Gaussian data at one λ to that at another.

There the denoiser is affine. Where the update is too, its matrices come from `jax.jacobian` and mean and covariance
follow by recursion, with no tolerance but rounding. Else (a step size that looks at x) they are those of samples, in units
of the marginal's standard deviations along its principal axes, and over all axes, so that few samples say much.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdiff.conformance.march import march, quick_jit
from jaxdiff.conformance.problems import GAUSSIAN, IMAGE, GaussianProblem
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import RowSolver, tabulate

LOW, HIGH = -2.0, 2.0
CALLS = (64, 128, 256)
SAMPLES = 512
SLACK = 0.15
EXACT = 1e-13


@quick_jit
def _affine(solver, denoise, rows, shape):
    """Of each row the matrices of the flat (x, memory) and of z, the constant and how far the update is from them.

    Then the matrix from x to the first (x, memory).
    """
    zero = jnp.zeros(shape)
    flat, unravel = ravel_pytree((zero, solver.memory(zero)))
    probe, z = (jax.random.normal(jax.random.key(i), (size,)) for i, size in enumerate((flat.size, zero.size)))

    def update(row, state, z):
        x, memory = unravel(state)
        called = lambda x, lam: denoise(x, lam, None)  # noqa: E731
        return ravel_pytree(solver.update(called, x, row.at, row.to, z.reshape(shape), memory))[0]

    def matrices(row):
        keep, fresh = jax.jacobian(update, (1, 2))(row, flat, z * 0)
        constant = update(row, flat, z * 0)
        rest = update(row, probe, z) - (keep @ (probe - flat) + fresh @ z + constant)
        return keep, fresh, constant - keep @ flat, jnp.abs(rest).max()

    begin = jax.jacobian(lambda x: ravel_pytree((x, solver.memory(x)))[0])(zero)
    return jax.vmap(matrices)(rows), begin.reshape(flat.size, zero.size)


def recursion(solver: RowSolver, problem: GaussianProblem, grids, mean, cov):
    """Mean and covariance (flat) of x after each of `grids`, from those at their first value; float64.

    Raises `ValueError` where the update is not affine in (x, memory, z).
    """
    tables = [tabulate(solver, grid, "state") for grid in grids]
    rows = jax.tree.map(lambda *leaves: jnp.asarray(np.concatenate(leaves)), *tables)
    maps, begin = jax.tree.map(np.asarray, _affine(solver.kernel, problem.denoise, rows, problem.shape))
    *maps, rest = maps
    if not rest.max() < 1e-9:
        raise ValueError(f"got an update that is {rest.max():.1e} from affine; expected an affine one")
    ends, low = [], 0
    for table in tables:
        m, c = begin @ mean, begin @ cov @ begin.T
        high = low + len(table.last)
        for keep, fresh, shift in zip(*(leaf[low:high] for leaf in maps)):
            m, c = keep @ m + shift, keep @ c @ keep.T + fresh @ fresh.T
        ends.append((m[: mean.size], c[: mean.size, : mean.size]))
        low = high
    return ends


class Measured(NamedTuple):
    """Errors of mean and covariance at `HIGH`, and what sampling may add to them."""

    calls: tuple[int, ...]
    errors: np.ndarray
    """(calls, 2): the largest of mean and of covariance; of samples, root mean square and mean over standardised axes."""
    chance: np.ndarray
    """(2,): five standard errors; 0 for exact recursions."""


@functools.lru_cache(maxsize=1)
def measured(subject: Subject) -> Measured:
    """From the marginal at `LOW`, which every η of (★) brings to that at `HIGH`."""
    wanted = GAUSSIAN.marginal(HIGH)
    with jax.enable_x64(True):
        try:
            if not subject.own:
                raise ValueError("a foreign solver's noise is its own")
            grids = [np.linspace(LOW, HIGH, n + 1) for n in CALLS]
            reached = recursion(subject.rowed, GAUSSIAN, grids, *GAUSSIAN.marginal(LOW))
        except (TypeError, ValueError):  # not affine, or a memory that is not of numbers
            reached = None
    if reached is None:
        return _sampled(subject)
    errors = [[np.abs(got - right).max() for got, right in zip(end, wanted)] for end in reached]
    return Measured(CALLS, np.array(errors), np.zeros(2))


def _sampled(subject: Subject) -> Measured:
    mean, cov = IMAGE.marginal(LOW)
    z = np.random.default_rng(2).normal(size=(SAMPLES, mean.size))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T  # start moments are exact
    x = (mean + z @ np.linalg.cholesky(cov).T).reshape(-1, *IMAGE.shape)
    grid = np.linspace(LOW, HIGH, CALLS[-1] + 1)
    with jax.enable_x64(False):
        states = march(subject.rowed, IMAGE.denoise, grid, x.astype(np.float32))
    mean, cov = IMAGE.marginal(HIGH)
    rest = np.asarray(states, np.float64).reshape(SAMPLES, -1) - mean
    standard = np.linalg.solve(np.linalg.cholesky(cov), rest.T)  # (axes, samples), N(0, I) where the solver is right
    errors = [np.sqrt(np.mean(standard.mean(1) ** 2)), np.abs(standard.var(1, ddof=1).mean() - 1.0)]
    axes = len(mean)
    chance = [(1.0 + 5.0 / np.sqrt(2.0 * axes)) / np.sqrt(SAMPLES), 5.0 * np.sqrt(2.0 / (axes * SAMPLES))]
    return Measured(CALLS[-1:], np.array([errors]), np.array(chance))


def is_affine(subject: Subject) -> bool:
    """Whether the recursion holds for this solver."""
    return len(measured(subject).calls) > 1


def moments(subject: Subject) -> Row:
    """Mean and covariance converge to the marginal's with the first power of the step."""
    expected = f"weak order ≥ {1 - SLACK:.2f}, or exact"
    if not subject.noisy:
        return Row("moments", "not checked", "no noise: see order", expected)
    calls, errors, _ = measured(subject)
    if not is_affine(subject):
        return Row("moments", "not checked", "update not affine: limit by samples", expected)
    orders = -np.polyfit(np.log(calls), np.log(np.maximum(errors, 1e-300)), 1)[0]
    exact = errors[-1] < EXACT
    told = ["exact" if is_exact else f"{value:.2f}" for value, is_exact in zip(orders, exact, strict=True)]
    return Row.judged(
        "moments",
        np.all((orders >= 1 - SLACK) | exact),
        f"{told[0]} (mean), {told[1]} (covariance)",
        expected,
        "the spread of the samples does not converge to the marginal's: check the scale of the noise, "
        "σ_s √(1 − e^(−2η²h)) for (★) at η, against what the drift takes away",
    )


def limit(subject: Subject) -> Row:
    """At many steps mean and covariance are the marginal's."""
    calls, errors, chance = measured(subject)
    allowed = chance + 3.0 * (HIGH - LOW) / calls[-1]
    how = f", of {SAMPLES} samples" if chance.any() else ""
    return Row.judged(
        "limit",
        np.all(errors[-1] <= allowed),
        f"{errors[-1, 0]:.1e} (mean), {errors[-1, 1]:.1e} (covariance)",
        f"≤ {allowed[0]:.2g}, {allowed[1]:.2g} from the marginal at {calls[-1]} steps{how}",
        "the samples' mean or spread is not the marginal's: check the scale of the noise, σ_s √(1 − e^(−2η²h)) for (★) "
        "at η, against what the drift takes away, and that each step's noise is used once",
    )
