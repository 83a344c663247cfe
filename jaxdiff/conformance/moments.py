"""Moments of stochastic solvers on Gaussian data: limits of mean and covariance, exactly, and of one possible image."""

import copy
import functools
from typing import NamedTuple

import jax
import numpy as np

from jaxdiff.conformance.expansion import FACTORS, Expansion, expansion, grids
from jaxdiff.conformance.langevin import UNBALANCED, imbalance
from jaxdiff.conformance.noise import UNBENT, bent_noise
from jaxdiff.conformance.problems import COLOURED, DISTANT, ENDS, SINGLE, STEPPED, WIDTH, GaussianProblem, scaled
from jaxdiff.conformance.recursion import recursion, row_maps
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.samples import local_error, samples_by_kind, step_error
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import RowSolver, tabulate

LOW, HIGH = -1.5, 1.0
SHIFT = float(np.log(WIDTH))
LIMIT = 1e-6
EXACT = 1e-10
HOPELESS = 0.1
CLOSE = 0.005
"""Of the errors at the longest grids, where they are no power series."""
OTHER_ETA = 0.6
OFFSET = np.array([1.0, -2.0, 0.5, 0.3, -0.4, 1.5, 0.2, -1.0])
COARSE = np.array([-3.0, -2.2, -1.9, -0.5, 0.0, 1.2]) - SHIFT


class Limits(NamedTuple):
    """How mean and covariance approach what they should, in units of the marginal's size."""

    mean: Expansion
    covariance: Expansion
    last: np.ndarray
    """(2,): largest errors where what falls as the step is taken away, from the longest grid and that of half its steps."""
    doubt: float = 0.0
    """What the moments are known to, beside rounding: how far the update is from affine."""

    @property
    def off(self) -> float:
        """The larger distance of the limits from what they should be."""
        series = zip((self.mean, self.covariance), self.last, strict=True)
        return max(float(s.terms[0] if s.resolved else last) for s, last in series)

    @property
    def are_right(self) -> bool:
        series = zip((self.mean, self.covariance), self.last, strict=True)
        return all(
            s.terms[0] <= LIMIT + self.doubt or s.vanishes(0) if s.resolved else last <= CLOSE for s, last in series
        )


def limits(
    solver: RowSolver, problem: GaussianProblem, pattern: str, *starts, targets=None, low=LOW, high=HIGH
) -> list[Limits]:
    """From each of `starts`, pairs of mean and covariance, to those `targets`; default: from marginal to marginal."""
    marginal = problem.marginal(high)
    size = float(np.sqrt(marginal[0] @ marginal[0] / len(marginal[0]) + np.diag(marginal[1]).mean()))
    starts = starts or (problem.marginal(low),)
    targets = targets or (marginal,)
    for factor in FACTORS[:2]:
        reached = recursion(solver, problem, grids(pattern, low, high, 1, factor), *starts)  # type: ignore[arg-type]
        by_start = []
        both = [reached] if len(starts) == 1 else reached
        for ends, (mean, cov) in zip(both, targets, strict=True):
            off = [np.array([(m - mean) / size for m, _ in ends])]
            off.append(np.array([((c - cov) / size**2).reshape(-1) for _, c in ends]))
            last = np.array([np.abs(2 * errors[-1] - errors[-3]).max() for errors in off])  # of n and n/2 steps
            by_start.append(Limits(expansion(off[0]), expansion(off[1]), last, ends.doubt / min(1.0, size)))
        if all(each.mean.resolved and each.covariance.resolved for each in by_start) or not all(
            np.all(each.last <= HOPELESS) for each in by_start
        ):
            break
    return by_start


@functools.lru_cache(maxsize=1)
def marginals(subject: Subject) -> dict[str, Limits] | None:
    """From the marginal at one λ to that at another, where every η of (★) leads; None where the update is not affine."""
    if not subject.own:
        return None
    with jax.enable_x64(True):
        try:
            return {
                "uniform": limits(subject.rowed, COLOURED, "uniform")[0],
                "alternating": limits(subject.rowed, COLOURED, "alternating")[0],
                "wide": limits(subject.rowed, DISTANT, "uniform", low=LOW - SHIFT, high=HIGH - SHIFT)[0],
                **{
                    name: limits(subject.rowed, scaled(COLOURED, width), "uniform", low=low, high=high)[0]
                    for name, (width, low, high) in ENDS.items()
                },
            }
        except (TypeError, ValueError):  # not affine, or a memory that is not of numbers
            return None


def is_affine(subject: Subject) -> bool:
    """Whether the recursion holds for this solver."""
    return marginals(subject) is not None


SPREAD = (
    "the samples' mean or spread does not tend to the marginal's: check the scale of the noise, σ_s √(1 − e^(−2η²h)) for "
    "(★) at η, against what the drift takes away, that every value of an image has noise of its own, and that each step's "
    "noise is used once; where only the wide data are wrong, D is clipped or rescaled on its way; where `bent noise` is "
    "not 0, the noise is normed, clipped or rounded on its way; where `drift for noise` is "
    "not 0, a step that stays at a λ is not x + M s + √(2 M) z with the score s = (α D − x)/σ²"
)


def limit_of_moments(subject: Subject) -> Row:
    """As the steps grow shorter, mean and covariance tend to the marginal's."""
    exact = marginals(subject)
    if exact is not None:
        return Row.judged(
            "limit",
            all(each.are_right for each in exact.values()),
            ", ".join(f"{each.off:.1e} ({kind})" for kind, each in exact.items()),
            f"mean and covariance ≤ {LIMIT:.0e} from the marginal, extrapolated",
            SPREAD,
        )
    by_kind, local, off, bent = samples_by_kind(subject), local_error(subject), imbalance(subject), bent_noise(subject)
    cells = [f"{each.errors[0]:.1e}, {each.errors[1]:.1e} ({kind})" for kind, each in by_kind.items()]
    cells += [
        f"{value:.1e} ({what})"
        for value, what in ((local, "one step"), (off, "drift for noise"), (bent, "bent noise"))
        if value is not None
    ]
    allowed = np.max([each.allowed for each in by_kind.values()], axis=0)
    return Row.judged(
        "limit",
        all(np.all(each.errors <= each.allowed) for each in by_kind.values())
        and (local is None or local <= LIMIT)
        and (off is None or off <= UNBALANCED)
        and (bent is None or bent <= UNBENT),
        ", ".join(cells),
        f"mean, variance ≤ {allowed[0]:.2g}, {allowed[1]:.2g} from the marginal, of samples",
        SPREAD,
    )


def moments(subject: Subject) -> Row:
    """From a start off the marginal, mean and covariance tend to those of (★) at the solver's η; and at another η."""
    expected = f"mean and covariance ≤ {LIMIT:.0e} from those of (★), extrapolated"
    eta = getattr(subject.given, "eta", None)
    if not subject.own or not getattr(subject.rowed, "stochastic", False) or eta is None or np.ndim(eta):
        return Row(
            "moments", "not checked", "no number eta: see limit" if subject.own else "no eta of its own", expected
        )
    if not is_affine(subject):
        return Row("moments", "not checked", "update not affine: see limit", expected)
    if not _steady(subject.rowed):
        return Row("moments", "not checked", "no noise in some steps: see limit", expected)
    cells, right = [], True
    with jax.enable_x64(True):
        for value in dict.fromkeys((float(eta), OTHER_ETA)):
            solver = subject.rowed if value == float(eta) else with_field(subject.rowed, "eta", value)
            try:
                both = _transition(solver, value)
            except ValueError:  # an η that this solver refuses
                continue
            cells.append(f"{max(each.off for each in both):.1e} (eta={value:g})")
            right = right and all(each.are_right for each in both)
    return Row.judged(
        "moments",
        right,
        ", ".join(cells),
        expected,
        "`eta` is (★)'s: noise √2 η σ dW, drift (1 + η²) α D − (α² + η²) x; where only another η than the solver's own is "
        "wrong, the formula holds for its special values alone; a number that is something else has another name",
    )


def _transition(solver: RowSolver, eta: float) -> list[Limits]:
    """Of the marginal, and of one image away from its mean."""
    marginal = COLOURED.marginal(LOW)
    away = marginal[0] + OFFSET, np.zeros_like(marginal[1])
    targets = [COLOURED.transition(*start, LOW, HIGH, eta) for start in (marginal, away)]
    return limits(solver, COLOURED, "uniform", marginal, away, targets=tuple(targets))


def _steady(solver: RowSolver) -> bool:
    """Whether all steps have noise, or none has."""
    with jax.enable_x64(True):
        fresh = row_maps(solver, COLOURED, tabulate(solver, np.linspace(LOW, HIGH, 33), "state"))[0].fresh  # type: ignore
    return len(set(np.any(fresh != 0, axis=(1, 2)).tolist())) == 1


def with_field(solver, name: str, value):
    """The solver with another value in a field; frozen, and a converter saw the first one."""
    other = copy.copy(solver)
    object.__setattr__(other, name, np.asarray(value, np.float64))
    return other


def spans(subject: Subject) -> Row:
    """With the mean of D over its steps, every step from a marginal leads to the next exactly; of solvers that ask for it."""
    expected = f"≤ {EXACT:.0e} from the marginal, after {len(COARSE) - 1} steps"
    if not subject.rowed.reads_span:
        return Row("spans", "not checked", "no `reads_span` solver", expected)
    with jax.enable_x64(True):
        ((mean, cov),) = reached = recursion(subject.rowed, STEPPED, [COARSE], STEPPED.marginal(COARSE[0]))  # type: ignore[arg-type]
        off = [np.abs(got - right).max() for got, right in zip((mean, cov), STEPPED.marginal(COARSE[-1]), strict=True)]
    return Row.judged(
        "spans",
        max(off) <= EXACT + reached.doubt,
        f"{max(off):.1e}",
        expected,
        "DDIM's step with the mean of D is exact where the span is that of the step: t − t' with t = σ/(α + σ)",
    )


def frozen(subject: Subject) -> Row:
    """Where D is constant, every step from a marginal leads to the next exactly, however long; of exponential solvers."""
    expected = f"≤ {EXACT:.0e} from the marginal of one image, after {len(COARSE) - 1} steps"
    if not getattr(subject.rowed, "exponential", False):
        return Row("frozen", "not checked", "no `exponential` solver", expected)
    with jax.enable_x64(True):
        try:
            reached = recursion(subject.rowed, SINGLE, [COARSE], SINGLE.marginal(COARSE[0]))  # type: ignore[arg-type]
            ((mean, cov),) = reached
            off = [got - right for got, right in zip((mean, cov), SINGLE.marginal(COARSE[-1]), strict=True)]
            doubt = reached.doubt
            measured = float(max(np.abs(each).max() for each in off))
            cells = f"{measured:.1e}"
        except (TypeError, ValueError):  # not affine: then those single steps that are
            off = step_error(subject, SINGLE, COARSE[0], COARSE[1] - COARSE[0])
            if off is None:
                return Row("frozen", "not checked", "update not affine", expected)
            measured, doubt = float(np.abs(off).max()), 0.0
            cells = f"{measured:.1e} (one step)"
    return Row.judged(
        "frozen",
        measured <= EXACT + doubt,
        cells,
        expected,
        "with D frozen the step of (★) is known, (3) of process/gaussian.py; this one differs from it by more than rounding: "
        "check which of `at` and `to` each coefficient takes, or leave `exponential` out",
    )
