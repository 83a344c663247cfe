"""Runs that are harsher than any recording: a method may be wrong there, but may not diverge."""

from collections.abc import Iterator
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.conformance.march import march
from jaxdiff.conformance.posterior.moments import SOLVER, at_all, grid_of, probes
from jaxdiff.conformance.posterior.problems import SHAPE, Problem
from jaxdiff.conformance.report import Row
from jaxdiff.guidance.posterior import Method
from jaxdiff.solvers import DPMpp
from jaxdiff.solvers.base import RowSolver
from jaxdiff.solvers.stepped import Stepped

SAMPLES = 8
FAR = 4.0
"""Root mean square distance from the prior's mean, in its standard deviations, from which samples are no images."""


class HarshRun(NamedTuple):
    """A problem, and how it is sampled."""

    name: str
    problem: Problem
    solver: RowSolver
    grid: np.ndarray


def runs() -> Iterator[HarshRun]:
    """Of smooth images, where neighbours share the most."""
    for operator in ("mask", "blur", "binning"):
        usual = Problem(operator, "smooth", 0.1)
        solver, grid = SOLVER, grid_of(20)
        for noise in (0.0, 1e-3):
            yield HarshRun(f"{operator}, noise {noise:g}", Problem(operator, "smooth", noise), solver, grid)
        for scale in (1e-4, 1e4):
            yield HarshRun(f"{operator} × {scale:g}", Problem(operator, "smooth", 0.1, scale), solver, grid)
        for calls in (3, 1000):
            yield HarshRun(f"{operator}, {calls} calls", usual, SOLVER, grid_of(calls))
        for low, high in ((-12.0, 12.0), (-1.0, 1.0)):
            yield HarshRun(f"{operator}, λ {low:g} to {high:g}", usual, solver, np.linspace(low, high, 20))
        yield HarshRun(f"{operator}, η = 0", usual, DPMpp(2), grid)
        yield HarshRun(f"{operator}, diffrax Heun", usual, Stepped(diffrax.Heun(), 0.0), grid)


def bounded(method: Method) -> Row:
    """No sample leaves the images' range by far, or is not finite; a method may refuse a recording by ValueError.

    Nor is D_y of a state that sampling may meet, up to three times as large as usual ones, at any λ.
    """
    wrong, refused, number = [], 0, 0
    start = np.random.default_rng(3).normal(size=(SAMPLES, *SHAPE)).astype(np.float32)
    with jax.enable_x64(False):
        for run in runs():
            number += 1
            try:
                denoise = run.problem.guided(method)
            except ValueError:
                refused += 1
                continue
            images = np.asarray(march(run.solver, denoise, run.grid, start, "denoise"), np.float64)
            rest = (images - run.problem.images.mean).reshape(SAMPLES, -1)
            far = float(np.sqrt(np.mean(rest**2 / np.diag(run.problem.images.cov))))
            if not far <= FAR:
                wrong.append(f"{run.name}: {far:.1e}")
        left_out = _not_finite(method)
    if left_out:
        wrong.append(f"D_y is not finite at {left_out}")
    text = f"{number - refused - len(wrong) + bool(left_out)} of {number} runs" + (
        f", {refused} refused" if refused else ""
    )
    return Row.judged(
        "bounded",
        not wrong,
        text,
        f"≤ {FAR:g} prior deviations from its mean",
        "diverged at "
        + "; ".join(wrong[:6])
        + ("; …" if len(wrong) > 6 else "")
        + ". The data step's gain is not bounded: "
        "divide by the noise's variance and that of what x0 may be, or keep |y − A D_y| ≤ |y − A D| (`Linearised.bounded`)",
    )


def _not_finite(method: Method) -> str:
    """At how many of the probes, in words; empty where all is finite."""
    try:
        denoise = Problem("mask", "smooth", 0.1).guided(method)
    except ValueError:
        return ""
    states, lams = probes().reshape(-1, *SHAPE).astype(np.float32), grid_of(20).astype(np.float32)
    values = np.asarray(at_all(denoise, jnp.asarray(states), jnp.asarray(lams))).reshape(len(lams), len(states), -1)
    wrong = np.count_nonzero(~np.isfinite(values).all(axis=(0, 2)))
    return f"{wrong} of {len(states)} states" if wrong else ""
