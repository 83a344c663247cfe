"""Models whose answers are known in closed form: what a trained network only estimates."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Inputs, Pairing
from jaxdiff.data.pairs import Joint, LabelledGeneration, Segmentation
from jaxdiff.data.pairs.distance import distance_info
from jaxdiff.model import Model
from jaxdiff.nn import UNet
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.process.schedules import Cosine

IMAGE = DataInfo(channel_names=("DAPI",), pixel_size={"Y": 0.5, "X": 0.5}, unit="µm")


TRACES = []
"""The shapes of x with which JAX has looked at the code of `Gaussian`."""


class Gaussian(eqx.Module):
    """Pixels of the target, given the input c: N(gain c + shift[label], std²), in model units; D in closed form.

    A null condition, presence 0 and label −1, leaves N(shift[-1], std²).
    """

    gain: np.ndarray
    shift: np.ndarray
    std: np.ndarray

    def __init__(self, gain=1.0, shift=0.0, std=0.0):
        self.gain, self.std = np.asarray(gain, np.float32), np.asarray(std, np.float32)
        self.shift = np.atleast_1d(np.asarray(shift, np.float32))

    def mean(self, x, cond):
        image, label = (cond or {}).get("image"), (cond or {}).get("label", jnp.asarray(-1))
        mean = jnp.broadcast_to(jnp.asarray(self.shift)[label], x.shape)
        return mean if image is None else mean + image[..., -1:] * self.gain * image[..., : x.shape[-1]]

    def __call__(self, x, lam, cond=None):
        TRACES.append(x.shape)
        lam = jnp.asarray(lam, x.dtype)
        a, s, mean = alpha(lam), sigma(lam), self.mean(x, cond)
        return mean + a * self.std**2 / (a**2 * self.std**2 + s**2) * (x - a * mean)


class TwoModes(eqx.Module):
    """Every pixel is +level or −level, each with probability ½, whatever the condition."""

    level: float = 1.0

    def __call__(self, x, lam, cond=None):
        lam = jnp.asarray(lam, x.dtype)
        return self.level * jnp.tanh(alpha(lam) * self.level * x / sigma(lam) ** 2)


class Always(eqx.Module):
    """The one image (*window, C) that all samples are."""

    image: np.ndarray

    def __call__(self, x, lam, cond=None):
        return jnp.asarray(self.image, x.dtype)


def exact(denoise, pairs=None, *, window=(8, 8), info=IMAGE, input_info=None, classes=0, units=None, input_units=None):
    """A model of `denoise`. units, input_units: (mean, std) of the linear normalisers; default 100, 20 for both."""
    channels = info.channels
    pairing = None
    if pairs is not None and not isinstance(pairs, Joint):
        if isinstance(pairs, Segmentation):
            info, input_info = distance_info(info, pairs.classes), input_info or info
        elif isinstance(pairs, LabelledGeneration):
            input_info = distance_info(info)
        input_info = input_info or info
        given = _linear(input_units, input_info.channels)
        pairing = Pairing(pairs, Inputs(input_info, given, (1,) * len(window)))
    elif pairs is not None:
        pairing, info = Pairing(pairs), pairs.infos(info)[0]
        channels += 1
    return Model(
        denoise=denoise,
        network=UNet(num_classes=classes),
        schedule=Cosine(),
        shape=(*window, info.channels),
        normaliser=_linear(units, info.channels),
        info=info,
        pairing=pairing,
    )


def _linear(units, channels):
    mean, std = (100.0, 20.0) if units is None else units
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    return Normaliser(
        "linear", zeros, ones, tuple(np.broadcast_to(mean, channels)), tuple(np.broadcast_to(std, channels))
    )
