"""What `jd.check_solver` overlooks: solvers of ours, each spoiled in one place, and which of them it passes.

    python -m benchmarks.mutations [--solvers DDIM DPMpp(2)]

A mutant is one of our solvers with one coefficient of its table times 1.01 or 0.99 in every row, dropped, or taken from the
row before; with α and σ exchanged or those of `at` in the place of those of `to`; with a wrong step, or none longer than
0.3; with its history dropped or one step late; with a denoiser, an image or a noise that is spoiled on its way into the
update, everywhere or on a part of the clock; with a channel that is left out; with its result clipped; or with drift or
noise of a Langevin step changed. A mutant whose states and result are bitwise those of the solver, on three grids and with
noise, is no mutant. The others must fail.

The table of a mutant is another argument of the solver's own program, so nothing is compiled for it.
"""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from tqdm import tqdm

import jaxdiff as jd
from benchmarks.machine import RESULTS, describe, write
from jaxdiff.analytic import GaussianMixture
from jaxdiff.conformance.accuracy import limit, order
from jaxdiff.conformance.ends import ends
from jaxdiff.conformance.march import march
from jaxdiff.conformance.moments import frozen
from jaxdiff.conformance.problems import UNIT
from jaxdiff.conformance.shapes import shapes
from jaxdiff.conformance.steps import consistent, long
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import Point, Solver
from jaxdiff.solvers.multistep import Kernel, LinearMultistep
from jaxdiff.solvers.predictor_corrector import PredictorCorrector

SOLVERS: dict[str, Solver] = {
    "DDIM": jd.DDIM(),
    "DDIM(eta=0.5)": jd.DDIM(eta=0.5),
    "DDIM(eta=1)": jd.DDIM(eta=1.0),
    "DDPM": jd.DDPM(),
    **{f"DPMpp({p}, eta={eta:g})": jd.DPMpp(order=p, eta=eta) for p in (1, 2, 3) for eta in (0.0, 0.5, 1.0)},
    **{f"UniPC({p})": jd.UniPC(order=p) for p in (2, 3)},
    "UniPC(2, bh1)": jd.UniPC(order=2, variant="bh1"),
    "UniPC(3, no corrector)": jd.UniPC(order=3, corrector=False),
    **{f"DEIS({p})": jd.DEIS(order=p) for p in (1, 2, 3)},
    **{f"IPNDM({p})": jd.IPNDM(order=p) for p in (2, 3, 4)},
    **{f"IPNDM({p}, variable)": jd.IPNDM(order=p, variable=True) for p in (2, 3, 4)},
    **{f"SASolver({p}, eta={eta:g})": jd.SASolver(order=p, eta=eta) for p in (1, 2, 3) for eta in (0.0, 0.7, 1.0)},
    "SASolver(2, eta=1, no corrector)": jd.SASolver(order=2, corrector=False),
    "EDMHeun": jd.EDMHeun(),
    "EDMHeun(churn=20)": jd.EDMHeun(churn=20.0),
    "PredictorCorrector": PredictorCorrector(),
}
GRIDS = (np.linspace(-1.5, 0.5, 9), np.array([-2.0, -1.7, -0.8, -0.7, 0.1, 0.4, 1.3]))
WHOLE = np.linspace(-9.0, 5.0, 15)
COLOURS = np.random.default_rng(4).normal(0.0, 10.0, size=(1, 2, 2, 3))


class Mutant(Solver):
    """A solver whose table is changed, and perhaps its update."""

    solver: Solver
    table: Callable[[Solver, Point, Point], Any] = eqx.field(static=True)
    spoiled: Solver | None = None
    """The kernel with another update, or None."""

    evaluations = property(lambda self: self.solver.evaluations)  # type: ignore[assignment]
    order = property(lambda self: self.solver.order)
    stochastic = property(lambda self: self.solver.stochastic)  # type: ignore[assignment]
    noises = property(lambda self: self.solver.noises)  # type: ignore[assignment]
    exponential = property(lambda self: self.solver.exponential)  # type: ignore[assignment]
    keeps_history = property(lambda self: self.solver.keeps_history)
    convergence_order = property(lambda self: self.solver.convergence_order)  # type: ignore[assignment]
    uniform_order = property(lambda self: self.solver.uniform_order)  # type: ignore[assignment]
    kernel = property(lambda self: self.solver.kernel if self.spoiled is None else self.spoiled)  # type: ignore[assignment]

    def memory(self, x):
        return self.kernel.memory(x)

    def nodes(self, grid):
        return self.solver.nodes(grid)

    def weights(self, at: Point, to: Point):
        return self.table(self.solver, at, to)

    def update(self, denoise, x, at, to, noise, memory):
        return self.kernel.update(denoise, x, at, to, noise, memory)


remembered: dict[tuple[int, bytes, bytes], Any] = {}


def right(solver: Solver, at: Point, to: Point):
    """The solver's own table."""
    key = id(solver), at.lam.tobytes(), to.lam.tobytes()
    if key not in remembered:
        remembered[key] = solver.weights(at, to)
    return remembered[key]


def of_column(name: str, column: int | None, change: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """The table with one coefficient, its values in all rows, changed."""

    def table(solver, at, to):
        weights = right(solver, at, to)
        values = np.array(getattr(weights, name))
        where = slice(None) if column is None else (slice(None), column)
        values[where] = change(values[where])
        return weights._replace(**{name: values})

    return table


def of_points(change: Callable[[Point, Point], tuple[Point, Point]]) -> Callable:
    """The table made from other points."""
    return lambda solver, at, to: solver.weights(*change(at, to))


def of_history(change: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """The table with all weights of values, newest first, changed."""

    def table(solver, at, to):
        weights = right(solver, at, to)
        return weights._replace(**{name: change(getattr(weights, name)) for name in ("predictor_v", "corrector_v")})

    return table


def of_corrector(by: float) -> Callable:
    """The table with what the corrector adds of values times a number; 0: no corrector."""

    def table(solver, at, to):
        weights = right(solver, at, to)
        if by:
            return weights._replace(corrector_v=by * weights.corrector_v)
        none = {name: np.zeros_like(getattr(weights, name)) for name in ("corrector_y", "corrector_v")}
        return weights._replace(corrector_x=np.ones_like(weights.corrector_x), **none)

    return table


def folded(values: np.ndarray) -> np.ndarray:
    """All weight on the newest."""
    return np.concatenate([values.sum(1, keepdims=True), np.zeros_like(values[:, 1:])], 1)


COLUMNS = {
    "x 1.01": lambda values: 1.01 * values,
    "x 0.99": lambda values: 0.99 * values,
    "dropped": np.zeros_like,
    "of the row before": lambda values: np.roll(values, 1),
}
exchanged = lambda point: point._replace(alpha=point.sigma, sigma=point.alpha)  # noqa: E731
stretched = lambda at, to, by: Point.of(at.lam + by * (to.lam - at.lam))  # noqa: E731
POINTS = {
    "alpha and sigma exchanged": lambda at, to: (exchanged(at), exchanged(to)),
    "alpha and sigma of `at` exchanged": lambda at, to: (exchanged(at), to),
    "alpha and sigma of `to` exchanged": lambda at, to: (at, exchanged(to)),
    "alpha of `at` for that of `to`": lambda at, to: (at, to._replace(alpha=at.alpha)),
    "sigma of `at` for that of `to`": lambda at, to: (at, to._replace(sigma=at.sigma)),
    "alpha of `to` for that of `at`": lambda at, to: (at._replace(alpha=to.alpha), to),
    "sigma of `to` for that of `at`": lambda at, to: (at._replace(sigma=to.sigma), to),
    "step x 1.01": lambda at, to: (at, to._replace(lam=at.lam + 1.01 * (to.lam - at.lam))),
    "step x 0.99": lambda at, to: (at, to._replace(lam=at.lam + 0.99 * (to.lam - at.lam))),
    "step at most 0.3": lambda at, to: (at, to._replace(lam=at.lam + np.minimum(to.lam - at.lam, 0.3))),
}
HISTORY = {
    "history dropped": folded,
    "history one step late": lambda values: np.roll(values, 1, axis=1),
    "all history x 1.01": lambda values: 1.01 * values,
}


class SpoiledCorrector(PredictorCorrector):
    """The predictor-corrector with its Langevin step x + 2 q² r + 2 q σ z spoiled."""

    how: str = eqx.field(static=True, default="")

    def update(self, denoise, x, at, to, noise, memory):
        w, x0 = at.weights, denoise(x, at.lam)
        change, fresh, scale = {
            "drift x 1.01": lambda r: (1.01 * r, noise, 1.0),
            "drift x 0.99": lambda r: (0.99 * r, noise, 1.0),
            "drift dropped": lambda r: (0.0 * r, noise, 1.0),
            "drift backwards": lambda r: (-r, noise, 1.0),
            "drift one pixel on": lambda r: (jnp.roll(r, 1, axis=0), noise, 1.0),
            "noise x 1.01": lambda r: (r, 1.01 * noise, 1.0),
            "noise x 0.99": lambda r: (r, 0.99 * noise, 1.0),
            "noise dropped": lambda r: (r, 0.0 * noise, 1.0),
            "noise without sqrt(2)": lambda r: (r, 0.5**0.5 * noise, 1.0),
            "noise of the first row": lambda r: (r, noise.at[1:].set(0.0), 1.0),
            "sigma of the noise for alpha": lambda r: (r, noise, at.alpha / at.sigma),
            "sigma of the noise dropped": lambda r: (r, noise, 1.0 / at.sigma),
            "D x 1.001 in the score": lambda r: (r + 0.001 * at.alpha * x0, noise, 1.0),
            "alpha of the score for sigma": lambda r: (r + (at.sigma - at.alpha) * x0, noise, 1.0),
            "x x 1.01 in the score": lambda r: (r - 0.01 * x, noise, 1.0),
        }[self.how](at.alpha * x0 - x)
        square = jnp.sum((at.alpha * x0 - x) ** 2)
        q = w.corrects * at.sigma * jnp.sqrt(jnp.sum(noise**2) / jnp.where(square > 0, square, jnp.inf))
        corrected = 2.0 * q**2 * change + 2.0 * q * at.sigma * scale * fresh
        return w.keep * x + w.pull * x0 + w.fresh * noise + corrected, memory


SPOILED_CORRECTOR = (
    *("drift x 1.01", "drift x 0.99", "drift dropped", "drift backwards", "drift one pixel on", "noise x 1.01"),
    *(
        "noise x 0.99",
        "noise dropped",
        "noise without sqrt(2)",
        "noise of the first row",
        "sigma of the noise for alpha",
    ),
    *("sigma of the noise dropped", "D x 1.001 in the score", "alpha of the score for sigma", "x x 1.01 in the score"),
)


class Spoiled(Kernel):
    """The kernel of linear multistep methods, with what enters its update spoiled."""

    how: str = eqx.field(static=True, default="")
    order: ClassVar[int] = 1
    kernel = property(lambda self: self)

    def memory(self, x):
        return Kernel(self.depth).memory(x), jnp.zeros_like(x)

    def update(self, denoise, x, at, to, noise, memory):
        inner, before = memory
        image, z = self._enters(denoise, x, at, to), self._drawn(noise, before, at)
        kept = jnp.where(before == 0, noise, before) if self.how == "noise of the first step" else noise
        before, (x, inner) = x, Kernel(self.depth).update(image, x, at, to, z, inner)
        if self.how == "third channel left as it is":
            x = x.at[..., 2:3].set(before[..., 2:3])
        return x, (inner, kept)

    def result(self, x0):
        return jnp.clip(x0, -3.5, 3.5) if self.how == "result clipped to 3.5" else x0

    def _enters(self, denoise, x, at, to):
        changes = {
            "lambda + 0.01": lambda x, lam: denoise(x, lam + 0.01),
            "lambda of `to`": lambda x, lam: denoise(x, to.lam),
            "D clipped to 3": lambda x, lam: jnp.clip(denoise(x, lam), -3.0, 3.0),
            "D x 1.001": lambda x, lam: 1.001 * denoise(x, lam),
            "D less a hundredth of its mean": lambda x, lam: (lambda d: d - 0.01 * d.mean())(denoise(x, lam)),
            "D through 10 tanh(D/10)": lambda x, lam: 10.0 * jnp.tanh(denoise(x, lam) / 10.0),
            "D one pixel on": lambda x, lam: jnp.roll(denoise(x, lam), 1, axis=0),
            "D x 0.9 beyond 1.5": lambda x, lam: jnp.where(lam > 1.5, 0.9, 1.0) * denoise(x, lam),
            "D x 0.9 before -6": lambda x, lam: jnp.where(lam < -6.0, 0.9, 1.0) * denoise(x, lam),
            "x without its last channel": lambda x, lam: denoise(x.at[..., -1].set(0.0), lam),
        }
        return changes.get(self.how, denoise)

    def _drawn(self, noise, before, at):
        return {
            "noise of the step before": before,
            "noise of the first step": jnp.where(before == 0, noise, before),
            "noise, half of the step before": (noise + before) * 0.5**0.5,
            "noise x 1.1 beyond 1.2": jnp.where(at.lam > 1.2, 1.1, 1.0) * noise,
            "noise of one channel": noise.at[..., 1:].set(0.0),
            "one noise for all pixels": jnp.broadcast_to(noise[:1, :1], noise.shape),
        }.get(self.how, noise)


SPOILED = (
    *("lambda + 0.01", "lambda of `to`", "D clipped to 3", "D x 1.001", "D less a hundredth of its mean"),
    *("D through 10 tanh(D/10)", "D one pixel on", "x without its last channel", "noise of the step before"),
    *("D x 0.9 beyond 1.5", "D x 0.9 before -6", "noise x 1.1 beyond 1.2", "third channel left as it is"),
    *(
        "result clipped to 3.5",
        "noise of the first step",
        "noise, half of the step before",
        "noise of one channel",
        "one noise for all pixels",
    ),
)


def mutants(solver: Solver, spoiled: tuple[str, ...] = SPOILED) -> Iterator[tuple[str, Mutant]]:
    """Every mutant of a solver, by what was done to it; those that are the solver itself among them."""
    weights = solver.weights(Point.of(GRIDS[0][:-1]), Point.of(GRIDS[0][1:]))
    for name, values in weights._asdict().items():
        for column in [None] if np.ndim(values) == 1 else range(values.shape[1]):
            for what, change in COLUMNS.items():
                where = name if column is None else f"{name}[{column}]"
                yield f"{where} {what}", Mutant(solver, of_column(name, column, change))
    for what, change in POINTS.items():
        yield what, Mutant(solver, of_points(change))
    if isinstance(solver, LinearMultistep):
        for what, change in HISTORY.items():
            yield what, Mutant(solver, of_history(change))
        for by in (1.01, 0.99, 0.0):
            yield f"corrector x {by}", Mutant(solver, of_corrector(by))
        for what in spoiled:
            yield what, Mutant(solver, right, Spoiled(solver.depth, how=what))
    if isinstance(solver, PredictorCorrector):
        for what in SPOILED_CORRECTOR:
            kernel = solver.kernel
            yield what, Mutant(solver, right, SpoiledCorrector(kernel.corrections, kernel.snr, kernel.eta, how=what))


def states(solver: Solver) -> list[np.ndarray]:
    """Where the solver leads on two grids, and what it returns of wide colour images on all of the clock, bitwise."""
    colours = GaussianMixture(COLOURS, np.ones(1))
    with jax.enable_x64(True):
        reached = [march(solver, UNIT.denoise, grid, UNIT.states(grid[0], 4)) for grid in GRIDS]
        return [np.asarray(x) for x in (*reached, march(solver, colours, WHOLE, COLOURS, "denoise"))]


def is_other_setting(mutant: Mutant, reached: list[np.ndarray]) -> bool:
    """Whether it is the solver with another of its numbers: the corrector's step of `PredictorCorrector`."""
    if not isinstance(mutant.solver, PredictorCorrector):
        return False
    others = [dataclasses.replace(mutant.solver, snr=by * float(mutant.solver.snr)) for by in (1.01, 0.99, 0.0)]
    return any(all(map(np.array_equal, reached, states(other))) for other in others)


def failed_by(mutant: Mutant) -> str | None:
    """The first property that it fails; None: it survives."""
    subject = Subject(mutant, 0.0)
    for measure in (frozen, limit, order, ends, consistent, long, shapes):
        try:
            if measure(subject).result == "failed":
                return measure.__name__
        except Exception as error:  # what `check_solver` counts as failed too
            return f"{measure.__name__} ({type(error).__name__})"
    return None


def trial(solver: Solver, spoiled: tuple[str, ...] = SPOILED, every: int = 1) -> dict[str, Any]:
    """How many mutants there are, which property each fails first, and the names of those that survive.

    every: only each so-many-th mutant.
    """
    own, result = states(solver), {"mutants": 0, "same": 0, "other_setting": 0, "survivors": []}
    by: Counter[str] = Counter()
    for what, mutant in list(mutants(solver, spoiled))[::every]:
        with np.errstate(all="ignore"):
            reached = states(mutant)
            if all(map(np.array_equal, reached, own)):
                result["same"] += 1
                continue
            if is_other_setting(mutant, reached):
                result["other_setting"] += 1
                continue
            result["mutants"] += 1
            if (name := failed_by(mutant)) is None:
                result["survivors"].append(what)
            else:
                by[name] += 1
    remembered.clear()
    return {**result, "failed_first": dict(by)}


def share(results: dict[str, dict[str, Any]]) -> str:
    """The surviving share, in words."""
    number = sum(result["mutants"] for result in results.values())
    survivors = sum(len(result["survivors"]) for result in results.values())
    return f"{survivors} of {number} mutants survive ({survivors / max(number, 1):.2%})"


@dataclasses.dataclass(frozen=True)
class Options:
    """Which solvers; the results of the others stay as they are."""

    solvers: tuple[str, ...] = tuple(SOLVERS)


def main(options: Options) -> int:
    """Exit status: 1 where a mutant survives."""
    machine, results = describe(("scipy",)), {}
    for name in (bar := tqdm(options.solvers)):
        bar.set_description(name)
        start = time.perf_counter()
        results[name] = trial(SOLVERS[name])
        results[name]["seconds"] = round(time.perf_counter() - start, 1)
        for survivor in results[name]["survivors"]:
            tqdm.write(f"{name}: survives: {survivor}")
    print(share(results))
    path = RESULTS / "mutations.json"
    known = json.loads(path.read_text(encoding="utf-8"))["solvers"] if path.is_file() else {}
    every = {name: (known | results).get(name) for name in SOLVERS}
    every = {name: result for name, result in every.items() if result}
    print(f"written: {write('mutations', {'machine': machine, 'summary': share(every), 'solvers': every})}")
    return int(any(result["survivors"] for result in results.values()))


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options)))
