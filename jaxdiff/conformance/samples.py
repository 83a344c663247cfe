"""Moments of samples, for stochastic solvers whose update is not affine (a step size that looks at x).

In units of the marginal's standard deviations along its principal axes, and over all axes, so that few samples say much.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np

from jaxdiff.conformance.expansion import LENGTHS, expansion
from jaxdiff.conformance.march import march
from jaxdiff.conformance.problems import COLOURED, IMAGE, WIDTH, GaussianProblem
from jaxdiff.conformance.recursion import AFFINE, row_maps
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import tabulate

LOW, HIGH = -2.0, 2.0
STEPS = 256
SAMPLES = 512
SHIFT = float(np.log(WIDTH))
FAR = GaussianProblem(WIDTH * (IMAGE.mean + 2.0), WIDTH**2 * IMAGE.cov)
KINDS = {"unit": (IMAGE, 0.0), "wide": (FAR, -SHIFT)}
START, LONGEST = -0.7, 0.5


class Sampled(NamedTuple):
    """Errors of mean and variance at the end, and what is allowed."""

    errors: np.ndarray
    allowed: np.ndarray
    """(2,): five standard errors, and three times the step."""


@functools.lru_cache(maxsize=1)
def sampled(subject: Subject) -> dict[str, Sampled]:
    """From the marginal at `LOW`, which every η of (★) brings to that at `HIGH`."""
    return {kind: _sampled(subject, problem, shift) for kind, (problem, shift) in KINDS.items()}


def _sampled(subject: Subject, problem: GaussianProblem, shift: float) -> Sampled:
    mean, cov = problem.marginal(LOW + shift)
    z = np.random.default_rng(2).normal(size=(SAMPLES, mean.size))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T  # start moments are exact
    x = (mean + z @ np.linalg.cholesky(cov).T).reshape(-1, *problem.shape)
    grid = np.linspace(LOW, HIGH, STEPS + 1) + shift
    with jax.enable_x64(False):
        states = march(subject.rowed, problem.denoise, grid, x.astype(np.float32))
    mean, cov = problem.marginal(HIGH + shift)
    rest = np.asarray(states, np.float64).reshape(SAMPLES, -1) - mean
    standard = np.linalg.solve(np.linalg.cholesky(cov), rest.T)  # (axes, samples), N(0, I) where the solver is right
    errors = [np.sqrt(np.mean(standard.mean(1) ** 2)), np.abs(standard.var(1, ddof=1).mean() - 1.0)]
    axes = len(mean)
    chance = [(1.0 + 5.0 / np.sqrt(2.0 * axes)) / np.sqrt(SAMPLES), 5.0 * np.sqrt(2.0 / (axes * SAMPLES))]
    return Sampled(np.array(errors), np.array(chance) + 3.0 * (HIGH - LOW) / STEPS)


def step_error(subject: Subject, problem: GaussianProblem, lam: float, h: float) -> np.ndarray | None:
    """What the one row that leads from λ to λ + h does to the marginal: errors of mean and covariance at its end.

    None where the update looks back, where another row leads on too, or where this one is not affine. Float64.
    """
    solver = subject.rowed
    if not subject.own or solver.keeps_history:
        return None
    rows = tabulate(solver, np.array([lam, lam + h]), "state")
    leads = np.flatnonzero(rows.to.lam > rows.at.lam)
    maps, begin = row_maps(solver, problem, rows)  # type: ignore[arg-type]
    if len(leads) != 1 or not maps.rest[leads[0]] < AFFINE or begin.shape[0] != begin.shape[1]:
        return None
    keep, fresh, shift = maps.keep[leads[0]], maps.fresh[leads[0]], maps.shift[leads[0]]
    mean, cov = problem.marginal(rows.at.lam[leads[0]])
    wanted_mean, wanted_cov = problem.marginal(rows.to.lam[leads[0]])
    off = keep @ mean + shift - wanted_mean, keep @ cov @ keep.T + fresh @ fresh.T - wanted_cov
    return np.concatenate([part.reshape(-1) for part in off])


def local_error(subject: Subject) -> float | None:
    """The part of first order in the step of `step_error`: 0 where single steps are consistent."""
    with jax.enable_x64(True):
        errors = [step_error(subject, COLOURED, START, h) for h in LONGEST * LENGTHS[0] / LENGTHS]
    if any(error is None for error in errors):
        return None
    series = expansion(np.array(errors))
    return float(max(series.terms[0], series.terms[1] / LONGEST))
