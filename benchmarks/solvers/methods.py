"""The solvers and grids that are compared."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import numpy as np

import jaxdiff as jd
from jaxdiff.process import grids
from jaxdiff.process.schedules import DiscreteBetas, Schedule


class Method(NamedTuple):
    """A solver, and how many grid values `calls` network calls allow (below 2: none)."""

    solver: Any
    values: Callable[[int], int] = lambda calls: calls


def _halved(calls: int) -> int:
    return (calls + 1) // 2


METHODS: dict[str, Method] = {
    "DDIM": Method(jd.DDIM()),
    "DPMpp(2)": Method(jd.DPMpp(2)),
    "DPMpp(3)": Method(jd.DPMpp(3)),
    "UniPC(2, bh1)": Method(jd.UniPC(2, variant="bh1")),
    "UniPC(2, bh2)": Method(jd.UniPC(2)),
    "UniPC(2, bh1, no corrector)": Method(jd.UniPC(2, variant="bh1", corrector=False)),
    "UniPC(3)": Method(jd.UniPC(3)),
    "DEIS(2)": Method(jd.DEIS(2)),
    "DEIS(3)": Method(jd.DEIS(3)),
    "IPNDM(2)": Method(jd.IPNDM(2)),
    "IPNDM(3)": Method(jd.IPNDM(3)),
    "IPNDM(4)": Method(jd.IPNDM(4)),
    "SASolver(2, eta=0)": Method(jd.SASolver(2, eta=0.0)),
    "SASolver(3, eta=0)": Method(jd.SASolver(3, eta=0.0)),
    "EDMHeun": Method(jd.EDMHeun(), _halved),
    "diffrax.Heun": Method(diffrax.Heun(), _halved),
    "diffrax.Tsit5": Method(diffrax.Tsit5(), lambda calls: (calls - 2) // 6 + 1),
}
"""Of the probability-flow ODE. Left out because they are the same method: DPMpp(1), DEIS(1) and IPNDM(1) are DDIM,
UniPC(2, bh2) and UniPC(3) without corrector are DPMpp(2) and DPMpp(3); the variants of UniPC(3) differ in its first steps
only."""

STOCHASTIC: dict[str, Any] = {
    "DDPM": jd.DDPM(),
    "DPMpp(2, eta=1)": jd.DPMpp(2, eta=1.0),
    "SASolver(2, eta=1)": jd.SASolver(2, eta=1.0),
    "SASolver(3, eta=1)": jd.SASolver(3, eta=1.0),
    "SASolver(3, eta=0.5)": jd.SASolver(3, eta=0.5),
    "DPMpp(2)": jd.DPMpp(2),
}
"""Scored by the moments of what they draw; the last one, which adds no noise, for comparison. DDIM(eta=1) is DDPM."""

FREE: dict[str, Callable[[Schedule, int, float | None], np.ndarray]] = {
    "uniform_lam": lambda schedule, n, end: grids.uniform_lam(schedule, n, lam_max=end),
    "uniform_time": lambda schedule, n, end: grids.uniform_time(schedule, n, lam_max=end),
    "quadratic": lambda schedule, n, end: grids.quadratic(schedule, n, lam_max=end),
    "karras": lambda schedule, n, end: grids.karras(schedule, n, lam_max=end),
}
"""Grids with an end to choose; None is the default end."""

FIXED: dict[str, Callable[[DiscreteBetas, int], np.ndarray]] = {
    "discrete leading": lambda schedule, n: grids.discrete(schedule, n, "leading"),
    "discrete linspace": lambda schedule, n: grids.discrete(schedule, n, "linspace"),
    "discrete trailing": lambda schedule, n: grids.discrete(schedule, n, "trailing"),
}
"""Grids of the trained steps, with one end."""


def lay(kind: str, schedule: Any, n: int, end: float | None = None) -> np.ndarray:
    """The grid `kind` of `n` values; `end` only where there is one to choose."""
    return FIXED[kind](schedule, n) if kind in FIXED else FREE[kind](schedule, n, end)
