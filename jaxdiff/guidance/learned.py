"""Guidance that a network has learned (`jaxdiff.training.mean_denoising`): it is told the scale, and called once."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.denoiser import Bound, Denoiser
from jaxdiff.nn.condition import size_of
from jaxdiff.representation import representation
from jaxdiff.solvers.base import array_leaf


class LearnedGuidance(eqx.Module):
    """A denoiser whose network is told the scale of guidance, 1 for none. Raises ValueError for a scale below 1."""

    denoise: Denoiser
    scale: np.ndarray = eqx.field(converter=array_leaf)

    __repr__ = representation

    def __check_init__(self):
        if isinstance(self.scale, np.ndarray) and not np.all(self.scale >= 1):
            raise ValueError(
                f"got guidance {self.scale} for a network that has learned scales from 1 on; expected 1, none, or more; to "
                "fix: 1, or jd.guidance.classifier_free of a network that was trained without"
            )

    @property
    def measurement(self) -> Any:
        """As of the denoiser."""
        return getattr(self.denoise, "measurement", None)

    def __call__(self, x, lam, cond=None):
        return self.denoise(x, lam, {**(cond or {}), "guidance": jnp.asarray(self.scale, jnp.float32) - 1})


def has_learned(denoise: Any) -> bool:
    """Whether the network of a denoiser is told the scale of guidance."""
    return isinstance(denoise, Bound) and size_of(denoise.network, "reads_guidance") > 0


def check_learned(scale: Any, learned: tuple[float, float] | None) -> None:
    """Raises ValueError for scales that the network was not trained for; learned: from and to, None where not known."""
    if learned is None or isinstance(scale, Tracer):
        return
    scales = np.asarray(scale, np.float64)
    low, high = learned
    if np.any((scales < low - 1e-5) | (scales > high + 1e-5)):
        raise ValueError(
            f"got guidance from {scales.min():.4g} to {scales.max():.4g}; expected {low:g} to {high:g}, which this model has "
            f"learned; to fix: guidance={low:g} or more up to that, or a model trained with --loss.guidance for others"
        )
