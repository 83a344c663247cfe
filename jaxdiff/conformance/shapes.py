"""Images of other shapes than those of the other properties: colours, volumes, many values."""

import jax
import numpy as np

from jaxdiff.analytic import GaussianMixture
from jaxdiff.conformance.march import march, shared_noise, silent
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.subject import Subject
from jaxdiff.process.gaussian import alpha, sigma

SHAPES = ((40, 36, 3), (12, 10, 9, 4))
"""A colour image and a volume of four channels, of thousands of values."""
LOW, HIGH, STEPS, NUM = -3.0, 1.0, 64, 2
STD = 0.5
CLOSE = 0.02
"""Of what is extrapolated from two grids, in float32, relative to the values; right solvers of order 1 reach 0.004."""
CHANCE = 5.0


def shapes(subject: Subject) -> Row:
    """Every value of images of other shapes, each Gaussian by itself, follows (★): the flow, or mean and spread."""
    off = {}
    for shape in SHAPES:
        name = " × ".join(map(str, shape))
        for what, (error, allowed) in (_spread if subject.noisy else _flow)(subject, shape).items():
            off[f"{what}{name}"] = error, allowed
    return Row.judged(
        "shapes",
        all(error <= allowed for error, allowed in off.values()),
        ", ".join(f"{error:.1e} ({what})" for what, (error, _) in off.items()),
        "; ".join(dict.fromkeys(f"≤ {allowed:.2g}" for _, allowed in off.values()))
        + " of the exact values, everywhere",
        "some axis, channel or size of image is treated in another way: write the update for x of any shape "
        "(*spatial, channels), without indices of channels, pixels or axes",
    )


def _means(shape) -> np.ndarray:
    """Of every value its own, from −3 to 3: no two channels, rows or planes are alike, and what is clipped to 1 shows."""
    return 3.0 * np.sin(np.arange(np.prod(shape)) * 0.7).reshape(shape)


def _reached(subject: Subject, shape, x: np.ndarray, noise, steps: int) -> np.ndarray:
    denoise = GaussianMixture(_means(shape)[None], np.array([STD]))
    with jax.enable_x64(False):
        grid = np.linspace(LOW, HIGH, steps + 1)
        return np.asarray(march(subject.rowed, denoise, grid, x.astype(np.float32), noise=noise), np.float64)


def _marginal(lam: float) -> float:
    return float(np.sqrt((alpha(lam) * STD) ** 2 + sigma(lam) ** 2))


def _start(shape, num: int) -> np.ndarray:
    z = np.random.default_rng(6).normal(size=(num, *shape))
    return alpha(LOW) * _means(shape) + _marginal(LOW) * z


def _flow(subject: Subject, shape) -> dict[str, tuple[float, float]]:
    x = _start(shape, 1)
    coarse, fine = (_reached(subject, shape, x, silent, steps) for steps in (STEPS, 2 * STEPS))
    expected = alpha(HIGH) * _means(shape) + (x - alpha(LOW) * _means(shape)) * _marginal(HIGH) / _marginal(LOW)
    return {"": (float(np.abs(2 * fine - coarse - expected).max() / np.abs(expected).max()), CLOSE)}


def _spread(subject: Subject, shape) -> dict[str, tuple[float, float]]:
    """Mean and variance over the values of a channel, whatever η is; of the extrapolated ones."""
    z = (_reached(subject, shape, _start(shape, NUM), shared_noise, STEPS) - alpha(HIGH) * _means(shape)) / _marginal(
        HIGH
    )
    by_channel = np.moveaxis(z, -1, 0).reshape(shape[-1], -1)
    chance = CHANCE / np.sqrt(by_channel.shape[1])
    return {
        "mean, ": (float(np.abs(by_channel.mean(axis=1)).max()), chance + CLOSE),
        "variance, ": (
            float(np.abs(by_channel.var(axis=1) - 1.0).max()),
            chance * np.sqrt(2.0) + 3 * (HIGH - LOW) / STEPS,
        ),
    }
