"""What `restore` chooses by itself beside what it leaves: its method by operator, its solver's order by calls; on dev.

Settings are chosen by this, so val has no part in it. The recordings are those of the other parts, or the same without blur.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from benchmarks.restoration import store
from benchmarks.restoration.problems import SIZE, Problem, blur, problem
from benchmarks.tasks import fields, scores
from jaxdiff.data.errors import DataError
from jaxdiff.guidance.posterior import MMPS, DiffPIR, Method
from jaxdiff.loading import load
from jaxdiff.metrics import data_range, psnr
from jaxdiff.model import Model
from jaxdiff.solvers import DPMpp
from jaxdiff.tasks import Restored, restore

SIDE, HOLE = 64, 16
"""Of the middle of a field whose pixels are left out or blurred, and of a hole in it."""
FOUR_ITERATIONS = partial(MMPS, iterations=4)


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """Measure the methods and the orders that `restore` chooses between."""

    data: Path
    """The BBBC039 folder."""
    run: Path
    """Run folder of the prior."""
    num: int = 6
    """Fields."""
    cases: tuple[str, ...] = ()
    """By their names in the results, such as "blur" "8 calls"; default all. The others stay as they were."""


@dataclass(frozen=True)
class Way:
    """One way to sample a posterior."""

    method: Method
    order: int = 2
    eta: float = 1.0
    """Of DPMpp, as the order."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What ways are compared on; the first of them is what the others are compared with."""

    ways: Mapping[str, Way]
    photons: int
    samples: int
    calls: int
    size: int = SIDE
    """Of the middle of a field."""
    blurred: bool = False
    left_out: Callable[[int], np.ndarray] | None = None
    """Pixels (size, size) that are not seen."""
    only_there: bool = False
    """Scores are of the pixels that are left out."""


def half(size: int) -> np.ndarray:
    """Every pixel with probability ½, the same ones every time."""
    return np.random.default_rng(0).random((size, size)) < 0.5


def holes(size: int) -> np.ndarray:
    """Squares in the middles of the four quarters."""
    inside = np.abs(np.arange(size) % (size // 2) - (size // 2 - 1) / 2) < HOLE / 2
    return np.outer(inside, inside)


def rows(size: int) -> np.ndarray:
    """Every second one."""
    return np.broadcast_to(np.arange(size)[:, None] % 2 == 1, (size, size))


METHODS = {"diffpir": Way(DiffPIR), "mmps": Way(MMPS)}
HARSH = METHODS | {"mmps, 4 iterations, eta 0": Way(FOUR_ITERATIONS, eta=0.0)}
ORDERS = {"order 1": Way(DiffPIR, 1), "order 2": Way(DiffPIR)}
AT_8 = ORDERS | {"order 1, eta 0": Way(DiffPIR, 1, 0.0), "order 2, eta 0": Way(DiffPIR, eta=0.0)}
_at_20_calls = partial(Case, photons=100, samples=8, calls=20)
OPERATORS = {
    "half of the pixels": _at_20_calls(ways=HARSH, left_out=half),
    "four holes": _at_20_calls(ways=METHODS, left_out=holes, only_there=True),
    "every second row": _at_20_calls(ways=METHODS, left_out=rows),
    "blur": _at_20_calls(ways=HARSH, blurred=True),
}
CALLS = {
    f"{calls} calls": Case(ways=AT_8 if calls == 8 else ORDERS, photons=300, samples=4, calls=calls, blurred=True)
    for calls in (12, 8, 6)
} | {"8 calls, nine windows": Case(ways=ORDERS, photons=300, samples=4, calls=8, size=SIZE, blurred=True)}


def measure(options: Defaults) -> None:
    """Writes scores, and differences from the first way, with intervals over wells; each case when it is done.

    Raises DataError for the name of a case that there is not.
    """
    cases = {**OPERATORS, **CALLS}
    if unknown := set(options.cases) - set(cases):
        raise DataError(f"--cases {', '.join(sorted(unknown))}", f"some of {', '.join(cases)}", "one of these names")
    nuclei, model = problem("nuclei", options.data, "dev", options.num), load(options.run)
    for name in options.cases or cases:
        store.put(["defaults", "dev", name], compared(nuclei, model, cases[name], name))


def compared(of: Problem, model: Model, case: Case, name: str) -> dict[str, Any]:
    """The entry of a case."""
    peak, wells = data_range([truth.image for truth in of.truths]), [truth.group for truth in of.truths]
    left_out = np.zeros((case.size, case.size), bool) if case.left_out is None else case.left_out(case.size)
    scored = left_out if case.only_there else np.ones_like(left_out)
    result: dict[str, list[scores.Row]] = {way: [] for way in case.ways}
    for truth in tqdm(of.truths, desc=name):
        recording = of.recording(truth, case.photons, case.size, case.blurred)
        recording[left_out] = np.nan  # what is not finite is not seen
        for way, how in case.ways.items():
            restored = restore(
                jax.random.key(0),
                model,
                recording,
                blur(1.0) if case.blurred else None,
                of.camera(case.photons),
                case.samples,
                method=how.method,
                calls=case.calls,
                solver=DPMpp(how.order, eta=how.eta),  # type: ignore[arg-type]
            )
            result[way].append(score(fields.middle(truth.around, case.size), restored, scored, peak))
    first, *others = result
    return {
        "fields": [truth.name for truth in of.truths],
        **{key: getattr(case, key) for key in ("photons", "samples", "calls", "size")},
        "scores": {way: scores.summary(values, wells) for way, values in result.items()},
        f"ahead of {first}": {way: scores.ahead(result[way], result[first], wells) for way in others},
    }


def score(truth: np.ndarray, restored: Restored, scored: np.ndarray, peak: float) -> scores.Row:
    """PSNR of the mean, misfit, diverged samples, and error over spread, 1 for samples of the posterior itself.

    Of them the mean of k is off from the truth by (1 + 1/k) times the variance. scored: pixels (Y, X) that count.
    """
    truth, samples = truth[scored], restored.samples[..., 0].astype(np.float64)[:, scored]
    mean = restored.image[..., 0].astype(np.float64)[scored]
    expected = (1 + 1 / len(samples)) * samples.var(axis=0, ddof=1).mean()
    return {
        "psnr": psnr(truth, mean, peak),
        "misfit": restored.misfit,
        "error_over_spread": float(np.sqrt(np.mean((mean - truth) ** 2) / expected)),
        "diverged": float(np.count_nonzero(restored.diverged)),
    }
