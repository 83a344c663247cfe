"""diffusers' multistep schedulers as tables of our kernel, so that the same method on the same grid can be compared.

Where a scheduler and our solver of the same name are two methods, the twin is the scheduler's, built here from its
published code, and `why` says what differs.
"""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import numpy as np

import jaxdiff as jd
from jaxdiff.solvers import LinearMultistep, Weights
from jaxdiff.solvers.base import Point
from jaxdiff.solvers.multistep import history

LOWER_BELOW = 15  # diffusers' schedulers lower the order of the last steps of runs shorter than this


class CommonDPMpp3(LinearMultistep):
    """DPM-Solver++(3M) with the weights in common use: the second difference counts half, so that the order is 2."""

    order: ClassVar[int] = 2

    def weights(self, at: Point, to: Point) -> Weights:
        table = jd.DPMpp(2).weights(at, to)
        h = to.lam - at.lam
        for k in range(2, len(h)):
            nodes = history(at, k, 3)
            r0, r1 = -nodes[1] / h[k], (nodes[1] - nodes[2]) / h[k]
            shrink = -np.expm1(-h[k])
            slope, bend = 1 - shrink / h[k], 0.5 - (h[k] - shrink) / h[k] ** 2
            # of (m0 − m1)/r0 and (m1 − m2)/r1
            near = slope * (1 + r0 / (r0 + r1)) + bend / (r0 + r1)
            far = -slope * r0 / (r0 + r1) - bend / (r0 + r1)
            weights = [shrink + near / r0, far / r1 - near / r0, -far / r1]
            table.predictor_v[k] = 0.0
            table.predictor_v[k, :3] = to.alpha[k] * np.array(weights)
        return table


class LastLower(LinearMultistep):
    """`solvers[0]`, but step n − k from the last taken by `solvers[k]` (k = 1 for the last, …)."""

    solvers: tuple[LinearMultistep, ...]
    from_end: tuple[int, ...] = eqx.field(static=True)
    order: ClassVar[int] = 1

    def weights(self, at: Point, to: Point) -> Weights:
        tables = [solver.weights(at, to) for solver in self.solvers]
        steps = len(at.lam)
        for table, k in zip(tables[1:], self.from_end):
            row = steps - k
            if row < 0:
                continue
            for name in ("predictor_y", "predictor_v", "predictor_z"):
                getattr(tables[0], name)[row] = getattr(table, name)[row]
            if k > 1:  # the correction of this step is made in the row after it
                for name in ("corrector_x", "corrector_y", "corrector_v"):
                    getattr(tables[0], name)[row + 1] = getattr(table, name)[row + 1]
        return tables[0]


class Twin(NamedTuple):
    """Our solver with the method of a scheduler, and what our own of that name does otherwise."""

    solver: Any
    why: str | None = None


LOWERED = "diffusers takes the last steps of short runs with lower order (lower_order_final)"


def dpmpp(order: int, steps: int, returns_state: bool) -> Twin:
    """Of `DPMSolverMultistepScheduler(algorithm_type="dpmsolver++")`; `steps` with the one that returns."""
    own: Any = jd.DPMpp(2) if order == 2 else CommonDPMpp3()
    lowered: dict[int, Any] = {}
    if returns_state and steps < LOWER_BELOW:
        lowered[1] = jd.DPMpp(1)
    if order == 3 and steps < LOWER_BELOW:
        lowered[2] = jd.DPMpp(2)
    why = (
        "the 3M weights in common use give the second difference half its weight: order 2, not 3"
        if order == 3
        else None
    )
    return _lowered(own, lowered, returns_state, f"{why}; {LOWERED}" if why and lowered else why)


def unipc(order: int, variant: Any, returns_state: bool) -> Twin:
    """Of `UniPCMultistepScheduler`, which lowers the last steps of all runs."""
    own = jd.UniPC(order, variant=variant)  # pyright: ignore[reportArgumentType]
    lowered: dict[int, Any] = {1: jd.DPMpp(1)} if returns_state else {}
    if order == 3:
        lowered[2] = jd.UniPC(2, variant=variant)
    return _lowered(own, lowered, returns_state, LOWERED if order == 3 else None)


def deis(order: int, steps: int) -> Twin:
    """Of `DEISMultistepScheduler`, which always returns a state, not D."""
    lowered: dict[int, Any] = {}
    if steps < LOWER_BELOW:
        lowered = {1: jd.DEIS(1)} | ({2: jd.DEIS(2)} if order == 3 else {})
    why = "the last step goes to the first trained noise level and returns x there, noise and all, not D"
    return _lowered(jd.DEIS(order), lowered, True, why)  # pyright: ignore[reportArgumentType]


def _lowered(own: Any, lowered: dict[int, Any], returns_state: bool, why: str | None) -> Twin:
    if not lowered:
        return Twin(own, why)
    # A run that returns D has one more row, whose step is not taken: the last step that is, is one before.
    return Twin(LastLower((own, *lowered.values()), tuple(lowered)), why)
