"""`check_posterior` holds a method of posterior sampling beside posteriors in closed form."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.conformance.posterior.harsh import bounded
from jaxdiff.conformance.posterior.moments import Moments, moments_of, of_the_solver
from jaxdiff.conformance.posterior.problems import NOISES, OPERATORS, PRIORS, SHAPE, Problem, denoiser_of
from jaxdiff.conformance.posterior.report import Cell, PosteriorConformance, region
from jaxdiff.conformance.report import Row
from jaxdiff.guidance.posterior import Measurement, Method
from jaxdiff.physics.operators import LinearOperator

CALLS = (10, 20, 100)
FEWEST = 16
"""Samples whose spread says anything."""


def check_posterior(
    method: Method,
    *,
    operators: tuple[str, ...] = tuple(OPERATORS),
    noises: tuple[float, ...] = NOISES,
    calls: tuple[int, ...] = CALLS,
    samples: int = 256,
    verbose: bool = False,
) -> PosteriorConformance:
    """How far the samples of a method are from the posterior, and where; about a minute.

    Two correlated Gaussian priors (8 × 6 pixels) × {denoising, blur, binning, mask, slices} × noise × calls: the posterior is
    Gaussian in closed form. Each cell has the distance of the samples' mean in standard deviations of the posterior and their
    spread over the posterior's; beside it what the exact denoiser gets in the same solver (`DPMpp(eta=1)` on the default
    grid), since few calls are too few for any method. Then 30 harsher runs (noise 0, operators × 10⁴, 3 and 1000 calls, λ
    from −12 to 12, other solvers), in which nothing may diverge. `passed` needs all of it; `region` says where a method is
    right.

    Args:
        method: a class or function of a denoiser and a measurement (`jaxdiff.guidance.posterior.AbstractMeasurement`) that
            returns a denoiser, such as `jaxdiff.guidance.posterior.MMPS` or `functools.partial(MMPS, iterations=3)`.
        operators: of the suite, or some of them, by name.
        noises: standard deviations of the suite, or some of them.
        calls: network calls of the suite, or some of them.
        samples: for each cell of a method that is not affine in x; of one that is, at all of 48 states that sampling may
            meet, mean and covariance come by recursion, without any chance.
        verbose: print the table.

    Returns:
        The table, `passed` and `region`; `print` shows it.

    Raises:
        ValueError: for what is no function, for an operator that the suite does not have, and where nothing is left to look
            at: no operator, noise or number of calls, fewer than 16 samples; what the method itself raises is told in the
            table.
    """
    if not callable(method):
        raise ValueError(
            f"got {method!r}; expected a class or function of (denoise, measurement); to fix: check_posterior(MMPS)"
        )
    _check_suite(operators, noises, calls, samples)
    name = _described(method)
    rows, cells = [_measured("shapes", lambda: shapes_kept(method, operators))], []
    if rows[0].result == "ok":
        for operator in operators:
            own: list[Cell] = []
            rows.append(
                _measured(
                    operator,
                    lambda operator=operator, own=own: _right(
                        method, operator, noises=noises, calls=calls, samples=samples, cells=own
                    ),
                )
            )
            cells += own
        rows.append(_measured("bounded", lambda: bounded(method)))
    else:
        rows += [Row(other, "not checked", "it does not run") for other in (*operators, "bounded")]
    result = PosteriorConformance(name, tuple(cells), tuple(rows))
    if verbose:
        print(result)
    return result


def _check_suite(operators, noises, calls, samples) -> None:
    """Raises ValueError unless there is something to measure, and all of it can be."""
    for name, values in (("operators", operators), ("noises", noises), ("calls", calls)):
        if isinstance(values, str) or not len(values):
            raise ValueError(f"got {name}={values!r}; expected a tuple of one or more; to fix: leave {name} out")
    if unknown := [name for name in operators if name not in OPERATORS]:
        raise ValueError(f"got operators {unknown}; expected some of {', '.join(OPERATORS)}; to fix: leave it out")
    if wrong := [noise for noise in noises if not 0 < noise < np.inf]:
        raise ValueError(f"got noises {wrong}; expected standard deviations above 0; to fix: noises=(0.1,)")
    if wrong := [n for n in calls if n != int(n) or n < 2]:
        raise ValueError(f"got calls {wrong}; expected whole numbers from 2 on; to fix: calls=(20,)")
    if samples != int(samples) or samples < FEWEST:
        raise ValueError(f"got samples={samples}; expected {FEWEST} or more, for a spread; to fix: samples=256")


def shapes_kept(method: Method, operators: tuple[str, ...]) -> Row:
    """On the operators themselves, whose recordings have other shapes than the image, D_y has x's shape and dtype."""
    wrong, x = [], jax.ShapeDtypeStruct(SHAPE, jnp.float32)
    for name in operators:
        operator: LinearOperator = jax.tree.map(jnp.asarray, OPERATORS[name])
        y = np.zeros(jax.eval_shape(operator, x).shape)
        with jax.enable_x64(False):
            denoise = denoiser_of(method, PRIORS["rough"].denoise, Measurement(operator=operator, y=y, noise=0.1))
            image = jax.eval_shape(lambda x, denoise=denoise: denoise(x, jnp.asarray(0.3, jnp.float32), None), x)
        if (image.shape, image.dtype) != (x.shape, x.dtype):
            wrong.append(f"{image.dtype}{list(image.shape)} ({name})")
    return Row.judged(
        "shapes",
        not wrong,
        ", ".join(wrong) or f"float32{list(SHAPE)}",
        f"float32{list(SHAPE)}, as x",
        "a denoiser returns E[x0 | x, y] of x's shape and dtype, whatever the shape of y",
    )


def _right(method, operator, noises, calls, samples, cells: list[Cell]) -> Row:
    for prior in PRIORS:
        for noise in noises:
            problem = Problem(operator, prior, noise)
            measured = moments_of(problem, method, calls, samples)
            for n, own, solver in zip(calls, measured, of_the_solver(problem, calls), strict=True):
                cells.append(cell(problem, n, own, solver))
    where = region(cells)
    return Row.judged(
        operator,
        where == "all",
        f"{where} of {len(cells)} cells" if where in ("all", "none") else f"{where} cells",
        "mean and spread of the posterior",
        "the samples are not of the posterior where the table has a mark: the method's approximation of p(y | x), or a wrong "
        "factor in it",
    )


def cell(problem: Problem, calls: int, own: Moments, solver: Moments) -> Cell:
    """The distance of both from the posterior; what a mean adds by chance is taken away."""
    mean, cov = problem.posterior
    variance = np.maximum(np.diag(cov), 1e-12)
    correlations = cov / np.sqrt(np.outer(variance, variance))
    # Of a mean square over pixels that are correlated: 2/axes is the square of its relative error.
    axes = len(mean) ** 2 / np.sum(correlations**2)

    def distances(of: Moments) -> tuple[float, float]:
        square, spread = np.mean((of.mean - mean) ** 2 / variance), np.mean(np.diag(of.cov) / variance)
        if of.samples:
            square = max(square - spread / of.samples, 0.0)
        return float(np.sqrt(square)), float(np.sqrt(spread))

    chances = (0.0, 0.0)
    if own.samples:
        chances = (float(np.sqrt(3 * np.sqrt(2 / axes) / own.samples)), float(3 / np.sqrt(2 * own.samples * axes)))
    one, other = distances(own), distances(solver)
    return Cell(problem.operator, problem.prior, problem.noise, calls, *one, *other, *chances)


def _measured(name: str, measure) -> Row:
    """The row; an exception, of whatever kind the person's code raises, is a failed one."""
    try:
        return measure()
    except Exception as error:
        text = " ".join(str(error).split())
        return Row(name, "failed", f"raised {type(error).__name__}", "", f"{type(error).__name__}: {text}")


def _described(method) -> str:
    inner = getattr(method, "func", None)
    if inner is None:
        return getattr(method, "__name__", type(method).__name__)
    settings = [repr(a) for a in method.args] + [f"{k}={v}" for k, v in method.keywords.items()]
    return f"{getattr(inner, '__name__', inner)}({', '.join(settings)})"
