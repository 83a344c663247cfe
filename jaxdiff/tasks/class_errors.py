r"""How badly a class-conditional denoiser denoises one image under each class: a likelihood of the image, class by class.

With x = α x0 + σ ε and ε̂ = (x − α D(x, λ, c))/σ, so that ε − ε̂ = (α/σ)(D − x0), let

    e_c(λ) = E_ε |ε − ε̂|²        summed over the d values of the image

and let p_λ(x | c) be the density of x. On (★)'s clock, where λ is *half* the log-SNR, the heat equation gives

    d/dλ E_ε log p_λ(x | c) = α² d − e_c(λ),

in which only e_c knows the class. So for every interval, and in the limit of an infinite one (Kingma et al. 2021, arXiv
2107.00630; Kong et al. 2023, arXiv 2302.03792; their ½ is gone because their log-SNR is 2λ)

    E[log p_λ1(x | a)/p_λ1(x | b)] − E[log p_λ0(x | a)/p_λ0(x | b)] = ∫ (e_b − e_a) dλ  from λ0 to λ1             (1)
    log p(x0 | a) − log p(x0 | b) = ∫ (e_b − e_a) dλ  over all λ                                                  (2)

exactly, not as a bound, where D is exact. A weighting w(λ) that falls from 1 to 0 is (1) averaged over a noise
level with density −w'(λ): the expected log-likelihood ratio of the image with so much noise added (Kingma and Gao 2023,
arXiv 2303.00848). The error of class c is the estimate of ∫ w e_c dλ, in nats.

Draws (λ, ε) are shared by all classes, so that most of their noise leaves the differences (Li et al. 2023, "Your diffusion
model is secretly a zero-shot classifier", arXiv 2303.16203), and a class is dropped once it is surely not the best (Clark
and Jaini 2023, "Text-to-image diffusion models are zero-shot classifiers", arXiv 2303.15233).
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.special import ndtr, stdtrit

from jaxdiff.denoiser import Denoiser
from jaxdiff.nn import condition
from jaxdiff.plain import to_plain
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.programs import kept_programs
from jaxdiff.seeds import check_key
from jaxdiff.training.lam_sampler import LamSampler
from jaxdiff.training.weighting import Sigmoid, Weighting

LEAST = 8
"""Draws before a class may be dropped: fewer do not tell a standard error."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How errors are estimated. Raises ValueError for numbers that cannot be."""

    lam_sampler: LamSampler
    """Draws λ: `Stratified(schedule)`."""
    draws: int = 64
    """Pairs (λ, ε) for each class that is not dropped."""
    weighting: Weighting = field(default_factory=Sigmoid)
    """Of the error of ε, with `per` as in `jaxdiff.training.weighting`."""
    standard_errors: float | None = 4.0
    """A class is dropped once its paired difference to the best so far is above so many standard errors, or
    with few draws as many more as Student's t asks for; None: never."""
    batch: int = 32
    """Images in one network call: all classes for as many draws as fit, but at least one draw."""

    def __post_init__(self):
        for name, value, least in (("draws", self.draws, 2), ("batch", self.batch, 1)):
            if value < least:
                raise ValueError(f"got {name}={value}; expected at least {least}; to fix: raise it")
        limit = self.standard_errors
        if limit is not None and not 0 < limit < math.inf:
            raise ValueError(f"got standard_errors={limit}; expected above 0; to fix: 4, or None for never")

    @property
    def settings(self) -> dict[str, Any]:
        """What changes the errors, plain values; the batch changes rounding, and when a class may be dropped."""
        return {name: value for name, value in to_plain(self).items() if name not in ("type", "batch")}


class ClassErrors(NamedTuple):
    """What `class_errors` returns."""

    error: Float[np.ndarray, " classes"]
    """∫ w e_c dλ, nats; of a dropped class that of the class it lost to plus their mean paired difference."""
    draws: Int[np.ndarray, " classes"]
    """Draws made for each class."""
    terms: Float[np.ndarray, "classes draws"]
    """The weighted error of each draw, whose mean is the error; NaN where a class was dropped before."""


def class_errors(
    key: PRNGKeyArray,
    denoise: Denoiser,
    windows: Float[np.ndarray, "windows *spatial channels"],
    classes: int,
    how: Draws,
) -> ClassErrors:
    """The denoising error of one image under the labels 0 … classes − 1, the mean over its windows (model units).

    Draw i is a function of (key, i, how.draws): λ lies in stratum (g i mod draws) of as many, g near draws/φ, so that all
    draws fill every stratum once and the first few are spread evenly, too; ε is the same for all windows and classes.
    Where differences are normal, the best class is dropped at one look, in favour of one other, with probability below
    Φ(−standard_errors), 3e-5 at 4; with C classes and k looks, one after each network call's worth of draws, that is below
    k (C − 1) times as much. Standard errors are those of stratified λ, rather too large than too small where the
    difference depends on λ between neighbours.
    All network calls are one program of one shape.
    """
    check_key(key)
    key_lam, key_eps = jax.random.split(key)
    lam, inverse_density = _lams(how)(key_lam)
    weight = np.asarray(how.weighting(lam), np.float64)
    if how.weighting.per == "lam":
        weight = weight * np.asarray(inverse_density, np.float64)
    size = classes * max(1, how.batch // classes)
    lams, number = np.asarray(lam), len(windows)
    terms, alive, done = np.full((classes, how.draws), np.nan), np.arange(classes), 0
    lost: list[tuple[int, int, float]] = []
    while done < how.draws:
        more = min(how.draws - done, max(1, size // (len(alive) * number)))
        index, window, label = (
            rows.ravel() for rows in np.meshgrid(np.arange(done, done + more), np.arange(number), alive, indexing="ij")
        )
        errors = _in_calls(denoise, key_eps, size, windows, window, label, lams, index)
        if not np.isfinite(errors).all():
            raise ValueError(
                "got errors that are not finite; expected finite ones; to fix: look at the image and the run"
            )
        terms[alive, done : done + more] = weight[done : done + more] * errors.reshape(more, number, -1).mean(axis=1).T
        done += more
        means = terms[:, :done].mean(axis=1)
        best, close = alive[np.argmin(means[alive])], _kept(terms[alive, :done], lams[:done], how.standard_errors)
        lost += [(c, best, means[c] - means[best]) for c in alive[~close]]
        alive = alive[close]
    error = terms.mean(axis=1)
    for c, better, difference in reversed(lost):  # so that what it lost to has its error, and no dropped class is best
        error[c] = error[better] + difference
    return ClassErrors(error, np.count_nonzero(~np.isnan(terms), axis=1), terms)


def _lams(how: Draws) -> Callable[[PRNGKeyArray], Any]:
    """key -> λ of every draw and the inverse of their density, compiled once where the schedule has no table."""
    try:
        hash(how.lam_sampler)
    except TypeError:
        return _lams_of.__wrapped__(how.lam_sampler, how.draws)
    return _lams_of(how.lam_sampler, how.draws)


@functools.lru_cache(maxsize=8)
def _lams_of(lam_sampler: LamSampler, draws: int) -> Callable[[PRNGKeyArray], Any]:
    order = jnp.asarray(visiting_order(draws))
    return jax.jit(lambda key: jax.vmap(lambda i: lam_sampler(key, i, draws))(order))


def visiting_order(number: int) -> Int[np.ndarray, " number"]:
    """All of 0 … number − 1 once, such that every beginning is spread evenly over them."""
    golden = number * (math.sqrt(5) - 1) / 2
    step = min((g for g in range(1, number + 1) if math.gcd(g, number) == 1), key=lambda g: abs(g - golden))
    return np.arange(number) * step % number


def _kept(terms: np.ndarray, lams: np.ndarray, standard_errors: float | None) -> np.ndarray:
    """Which classes, of these draws at these λ, are not surely worse than the best of them.

    The variance between neighbours in λ is half the mean square of the steps from a draw to the next in λ (von Neumann 1941,
    doi:10.1214/aoms/1177731677, with the degrees of freedom of normal draws): how much an error depends on λ is no
    uncertainty of a mean over evenly spread λ.
    """
    number = terms.shape[1]
    if number < LEAST or standard_errors is None:
        return np.ones(len(terms), bool)
    difference = terms - terms[np.argmin(terms.mean(axis=1))]
    steps = np.diff(difference[:, np.argsort(lams)], axis=1)
    error = np.sqrt((steps**2).sum(axis=1) / (2 * (number - 1) * number))
    freedom = 2 * (number - 1) ** 2 / (3 * number - 4)
    limit = -stdtrit(freedom, ndtr(-standard_errors))  # Student's t of the same probability
    return difference.mean(axis=1) <= limit * error


def _in_calls(denoise, key, size, windows, window, label, lams, index) -> np.ndarray:
    """|ε − ε̂|² of rows (window, label, draw), in calls of `size` rows; the last row fills the last call up."""
    rows = np.arange(-(-len(index) // size) * size).clip(max=len(index) - 1).reshape(-1, size)
    parts = [
        squared_errors(denoise, key, windows[window[r]], condition(label=label[r]), lams[index[r]], index[r])
        for r in rows
    ]
    return np.concatenate([np.asarray(part, np.float64) for part in parts])[: len(index)]


@kept_programs
def squared_errors(
    denoise: Denoiser, key: PRNGKeyArray, x0: Any, cond: Any, lam: Any, draw: Any
) -> Float[Array, " rows"]:
    """|ε − ε̂|² of rows x0 (rows, *spatial, C), each with its cond and λ, and with ε a function of (key, draw)."""

    def one(x0, cond, lam, draw):
        lam = lam.astype(x0.dtype)
        a, s = alpha(lam), sigma(lam)
        eps = jax.random.normal(jax.random.fold_in(key, draw), x0.shape, x0.dtype)
        return jnp.sum(((denoise(a * x0 + s * eps, lam, cond) - x0) * (a / s)) ** 2)

    return jax.vmap(one)(x0, cond, lam, draw)
