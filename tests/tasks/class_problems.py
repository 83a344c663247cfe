"""Classes whose densities, denoisers and denoising errors are known exactly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

import jaxdiff as jd
from jaxdiff.analytic import Gaussian
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.model import Model
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.training.lam_sampler import Stratified

SHAPE = (2, 2, 1)
UNIFORM_IN_LAM = Stratified(jd.VarianceExploding(sigma_min=np.exp(-6.0), sigma_max=np.exp(5.0)))


class ByClass:
    """The exact denoiser of the class that the condition names."""

    def __init__(self, denoisers):
        self.classes = jax.tree.map(lambda *leaves: jnp.stack(leaves), *denoisers)
        self.traces = []

    def __call__(self, x, lam, cond=None):
        self.traces.append(x.shape)
        return jax.tree.map(lambda leaf: leaf[cond["label"]], self.classes)(x, lam)


MEANS = np.random.default_rng(0).normal(size=(4, *SHAPE))
STDS = np.array([0.6, 0.8, 1.0, 0.5])


@functools.cache
def gaussians(classes=4, apart=1.0):
    """The same object each time, for its program is compiled once."""
    return ByClass([Gaussian(apart * m, np.full(SHAPE, s**2)) for m, s in zip(MEANS[:classes], STDS)])


def log_density(x0, apart=1.0, classes=4):
    """log p(x0 | class) of `gaussians`."""
    return np.array([norm.logpdf(x0, apart * m, s).sum() for m, s in zip(MEANS[:classes], STDS)])


def exact_error(x0, mean, std, lam):
    """E|ε − ε̂|² of a Gaussian class: D − x0 = (1 − g α)(m − x0) + g σ ε with gain g."""
    a, s = (np.expand_dims(f(lam), (1, 2, 3)) for f in (alpha, sigma))
    gain = a * std**2 / ((a * std) ** 2 + s**2)
    return ((a / s) ** 2 * ((1 - gain * a) ** 2 * (mean - x0) ** 2 + (gain * s) ** 2)).sum(axis=(1, 2, 3))


def exact_log_density(x0, mean, std, lam):
    """E_ε log p_λ(x | class), x0 given."""
    a, s = (np.expand_dims(f(lam), (1, 2, 3)) for f in (alpha, sigma))
    variance = (a * std) ** 2 + s**2
    square = (a * (x0 - mean)) ** 2 + s**2
    return (-0.5 * np.log(2 * np.pi * variance) - 0.5 * square / variance).sum(axis=(1, 2, 3))


def model(denoise, classes=4, **options):
    """A model of images of SHAPE in units of 10 about 50."""
    values = {
        "denoise": denoise,
        "network": jd.UNet(num_classes=classes),
        "schedule": jd.Cosine(),
        "shape": SHAPE,
        "normaliser": Normaliser("linear", (0.0,), (1.0,), (50.0,), (10.0,)),
        "info": DataInfo(class_names=tuple("abcd"[:classes])),
        "step": 7,
    }
    return Model(**(values | options))


def drawn(num, seed=0, apart=1.0, classes=4):
    """Images in data units, and their classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=num)
    return 50 + 10 * (apart * MEANS[labels] + STDS[labels, None, None, None] * rng.normal(size=(num, *SHAPE))), labels
