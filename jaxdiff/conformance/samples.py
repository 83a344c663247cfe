"""Moments of samples, for stochastic solvers whose update is not affine (a step size that looks at x), and for diffrax's.

In units of the marginal's standard deviations along its principal axes, and over all axes, so that few samples say much. A
reference that is driven by the same noise, and whose moments are known exactly, takes most of the chance away (a control
variate); two lengths of step take away what falls as the step.
"""

import functools
from typing import NamedTuple

import diffrax
import jax
import numpy as np

from jaxdiff.conformance.expansion import LENGTHS, expansion
from jaxdiff.conformance.march import march
from jaxdiff.conformance.problems import COLOURED, IMAGE, WIDTH, GaussianProblem, scaled
from jaxdiff.conformance.recursion import AFFINE, row_maps
from jaxdiff.conformance.subject import Subject
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.solvers.base import RowSolver, tabulate
from jaxdiff.solvers.dpmpp import DPMpp
from jaxdiff.solvers.stepped import Stepped

LOW, HIGH = -2.0, 2.0
STEPS = 128
STAYING = 256
"""Steps where a control variate is of no use: solvers with steps that stay at a λ, whose noise is another."""
SAMPLES, CONTROLLED = 512, 256
"""Without and with a control variate."""
CHANCE = 5.0
"""Standard errors that are allowed."""
SHIFT, CLEAN = float(np.log(WIDTH)), 4.0
FAR = GaussianProblem(WIDTH * (IMAGE.mean + 2.0), WIDTH**2 * IMAGE.cov)
KINDS = {"unit": (IMAGE, 0.0), "wide": (FAR, -SHIFT), "clean": (scaled(IMAGE, float(np.exp(-CLEAN))), CLEAN)}
START, LONGEST = -0.7, 0.5


class Sampled(NamedTuple):
    """Errors of mean and variance at the end, and what is allowed."""

    errors: np.ndarray
    allowed: np.ndarray
    """(2,): five standard errors, and what the steps' length explains."""


@functools.lru_cache(maxsize=1)
def samples_by_kind(subject: Subject) -> dict[str, Sampled]:
    """From the marginal at `LOW`, which every η of (★) brings to that at `HIGH`."""
    return {kind: _sampled(subject, problem, shift) for kind, (problem, shift) in KINDS.items()}


def _sampled(subject: Subject, problem: GaussianProblem, shift: float) -> Sampled:
    grid = lambda steps: np.linspace(LOW, HIGH, steps + 1) + shift  # noqa: E731
    if _stays(subject.rowed):
        values, step = _standard(subject.rowed, problem, grid(STAYING), SAMPLES), (HIGH - LOW) / STAYING
        return _judged(values, values**2 - 1.0, 3.0 * step)
    values = [_controlled(subject, problem, grid(steps)) for steps in (STEPS // 2, STEPS)]
    mean, square = (2.0 * fine - coarse for coarse, fine in zip(*values, strict=True))
    return _judged(mean, square, 12.0 * ((HIGH - LOW) / STEPS) ** 2)


def _judged(values: np.ndarray, squares: np.ndarray, of_steps: float) -> Sampled:
    """From (samples, axes) whose means should be 0: values, and squares less what they should be."""
    errors = [np.sqrt(np.mean(values.mean(0) ** 2)), np.abs(squares.mean())]
    axes = values.shape[1]
    by_axis = np.sqrt(np.mean(values.var(0, ddof=1)))
    chance = [(1.0 + CHANCE / np.sqrt(2.0 * axes)) * by_axis, CHANCE * squares.mean(1).std(ddof=1)]
    return Sampled(np.array(errors), np.array(chance) / np.sqrt(len(values)) + of_steps)


def _stays(solver: RowSolver) -> bool:
    with jax.enable_x64(True):
        rows = tabulate(solver, np.linspace(LOW, HIGH, 4), "state")
    return len(rows.last) != 3 or bool(np.any(rows.at.lam == rows.to.lam))


def _standard(solver: RowSolver, problem: GaussianProblem, grid: np.ndarray, number: int) -> np.ndarray:
    """(samples, axes) along the principal axes, N(0, I) where the solver is right; from a start of exact moments."""
    mean, cov = problem.marginal(grid[0])
    z = np.random.default_rng(2).normal(size=(number, mean.size))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T, bias=True))).T
    x = (mean + z @ np.linalg.cholesky(cov).T).reshape(-1, *problem.shape)
    with jax.enable_x64(False):
        states = march(solver, problem.denoise, grid, x.astype(np.float32))
    mean, cov = problem.marginal(grid[-1])
    variances, basis = np.linalg.eigh(cov)
    return (np.asarray(states, np.float64).reshape(number, -1) - mean) @ basis / np.sqrt(variances)


def _controlled(subject: Subject, problem: GaussianProblem, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each sample and axis what is left of value and square beside the reference, whose expected ones are added."""
    values = _standard(subject.rowed, problem, grid, CONTROLLED)
    solver, mean, square = _reference(subject, problem, grid)
    control = _standard(solver, problem, grid, CONTROLLED)
    return values - control + mean, values**2 - control**2 + square - 1.0


def _reference(
    subject: Subject, problem: GaussianProblem, grid: np.ndarray
) -> tuple[RowSolver, np.ndarray, np.ndarray]:
    """A solver that draws the same noise, and expected value and square along each axis of what it makes of the marginal.

    Its step is x → a x + b D + c z: of (★) with D frozen, or Euler's in λ, as diffrax takes it.
    """
    lam, to, h = grid[:-1], grid[1:], np.diff(grid)
    if subject.own:
        eta = getattr(subject.given, "eta", None)
        eta = 1.0 if eta is None or np.ndim(eta) or not float(eta) > 0 else float(eta)
        solver: RowSolver = DPMpp(order=1, eta=eta)
        a = sigma(to) / sigma(lam) * np.exp(-(eta**2) * h)
        b, c = -alpha(to) * np.expm1(-(1 + eta**2) * h), sigma(to) * np.sqrt(-np.expm1(-2 * eta**2 * h))
    else:
        eta, solver = subject.eta, Stepped(diffrax.Euler(), subject.eta)
        a, b, c = 1 - h * (alpha(lam) ** 2 + eta**2), h * (1 + eta**2) * alpha(lam), np.sqrt(2 * h) * eta * sigma(lam)
    variances, basis = np.linalg.eigh(problem.cov)
    centre = problem.mean.reshape(-1) @ basis
    mean, cov = alpha(grid[0]) * centre, alpha(grid[0]) ** 2 * variances + sigma(grid[0]) ** 2
    for k, at in enumerate(lam):
        gain = alpha(at) * variances / (alpha(at) ** 2 * variances + sigma(at) ** 2)
        mean = a[k] * mean + b[k] * (centre + gain * (mean - alpha(at) * centre))
        cov = (a[k] + b[k] * gain) ** 2 * cov + c[k] ** 2
    std = np.sqrt(alpha(grid[-1]) ** 2 * variances + sigma(grid[-1]) ** 2)
    off = (mean - alpha(grid[-1]) * centre) / std
    return solver, off, cov / std**2 + off**2


def step_error(subject: Subject, problem: GaussianProblem, lam: float, h: float) -> np.ndarray | None:
    """What the one row that leads from λ to λ + h does to the marginal: errors of mean and covariance at its end.

    None where the update looks back, where another row leads on too, or where this one is not affine. Float64.
    """
    solver = subject.rowed
    if not subject.own or solver.keeps_history:
        return None
    rows = tabulate(solver, np.array([lam, lam + h]), "state")
    leads = np.flatnonzero(rows.to.lam > rows.at.lam)
    maps, (begin, _) = row_maps(solver, problem, rows)  # type: ignore[arg-type]
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
