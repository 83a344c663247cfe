"""AdamW with warm-up, cosine or constant rate, and clipping of the gradient's global norm."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from jaxdiff.schema import INFINITE


class OptimizerConfig(Protocol):
    """An optimiser in a config: a dataclass whose `build` gives the optax transformation.

    Its `update` gets `progress`, the used part of the budget from 0 to 1, where it takes such an argument. With a method
    `rate(count, progress)`, as `AdamW` has it, the metrics have a learning rate.
    """

    def build(self) -> optax.GradientTransformation: ...


class RateState(NamedTuple):
    """State of the learning rate: applied steps."""

    count: Int[Array, ""]


@dataclass(frozen=True)
class AdamW:
    """Loshchilov and Hutter 2019, arXiv 1711.05101; matrices and kernels decay, biases and scales do not."""

    learning_rate: float = 3e-4
    """Rate after the warm-up."""
    warmup: int = 100
    """Steps of linear warm-up."""
    decay: Literal["cosine", "constant"] = "cosine"
    """Rate after the warm-up: a half cosine down to `final` of it over the budget (steps or minutes), or constant."""
    final: float = 0.01
    """Fraction of the rate left at the end of the cosine."""
    weight_decay: float = 0.01
    """Decoupled weight decay, times the rate."""
    clip: Annotated[float, INFINITE] = 1.0
    """Largest global norm of the gradient; longer ones are scaled down."""
    b1: float = 0.9
    """Memory of the mean of gradients."""
    b2: float = 0.99
    """Memory of the mean of squared gradients."""

    def __post_init__(self):
        positive = {"learning_rate": self.learning_rate, "clip": self.clip}
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"got {name}={value}; expected a number above 0; to fix: set optimizer.{name}")
        if self.warmup < 0 or self.weight_decay < 0:
            raise ValueError(
                f"got warmup={self.warmup}, weight_decay={self.weight_decay}; expected numbers of 0 or more; "
                "to fix: set optimizer.warmup and optimizer.weight_decay"
            )

    def rate(self, count, progress) -> jax.Array:
        """Learning rate after `count` applied steps, `progress` (0..1) of the budget used."""
        rate = self.learning_rate * jnp.minimum(1.0, (count + 1) / max(self.warmup, 1))
        if self.decay == "cosine":
            rate = rate * (self.final + (1 - self.final) * 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1))))
        return rate

    def build(self) -> optax.GradientTransformationExtraArgs:
        """The optax chain; `update(..., progress=)` takes the used fraction of the budget.

        Progress is an input and not a function of the count, so that the same program follows a budget of steps
        (exactly repeatable) or of wall-clock minutes.
        """

        def init(params):
            return RateState(jnp.zeros((), jnp.int32))

        def update(updates, state, params=None, *, progress=0.0, **_):
            rate = self.rate(state.count, progress)
            return jax.tree.map(lambda u: -rate * u, updates), RateState(state.count + 1)

        return optax.chain(
            optax.clip_by_global_norm(self.clip),
            optax.scale_by_adam(self.b1, self.b2),
            optax.add_decayed_weights(self.weight_decay, mask=lambda p: jax.tree.map(lambda a: a.ndim > 1, p)),
            optax.GradientTransformationExtraArgs(init, update),
        )
