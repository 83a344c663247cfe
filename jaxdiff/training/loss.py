"""The denoising loss: noise an image, ask the network, weigh the error."""

from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from jaxdiff.network import applied
from jaxdiff.nn.condition import null
from jaxdiff.numbers import cast
from jaxdiff.predictions import PredictionKind, kind_of
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.seeds import check_key
from jaxdiff.training.lam_sampler import LamSampler
from jaxdiff.training.weighting import Sigmoid, Weighting

Metrics = dict[str, Array]
BINS = tuple(float(edge) for edge in range(-5, 6))
"""Edges in lam between which errors are reported."""


@dataclass(frozen=True, kw_only=True)
class DenoisingLoss:
    """E[ w(lam) mean((eps - eps_hat)²) ], whatever the network predicts; float32.

    `loss(network, params, key, batch) -> (scalar, metrics)` with batch {"image": (B, *spatial, C) in model units,
    "cond": a condition with leading B, or absent}. Weighting: see `weighting`; it is stated for the error of eps and is
    converted exactly, so that all kinds of prediction have the same gradient with respect to the x0 they stand for.

    Example i of the global batch takes its noise from `fold_in(key, i)` and its lam from (key, i, total): a device that
    holds examples `first` to `first + B` of `total` computes exactly its share. (Dropout masks are drawn for what one
    device holds.) Metrics are means over the examples and so average over devices too; `binned` turns them into errors.
    """

    lam_sampler: LamSampler
    predicts: str | PredictionKind = "v"
    weighting: Weighting = field(default_factory=Sigmoid)
    sigma_data: float = 1.0
    """EDM's, read by the prediction "F" only."""
    drop_condition: float = 0.1
    """Probability that an example is trained with the null condition (classifier-free guidance, arXiv 2207.12598)."""

    def __post_init__(self):
        kind_of(self.predicts)
        if not 0 <= self.drop_condition <= 1:
            raise ValueError(
                f"got drop_condition={self.drop_condition}; expected 0 to 1; to fix: the usual value is 0.1"
            )

    def __call__(
        self,
        network: nn.Module,
        params: Any,
        key: PRNGKeyArray,
        batch: dict[str, Any],
        *,
        train: bool = True,
        first: Any = 0,
        total: int | None = None,
    ) -> tuple[Float[Array, ""], Metrics]:
        check_key(key)
        x0 = jnp.asarray(batch["image"], jnp.float32)
        size = x0.shape[0]
        index = first + jnp.arange(size)
        key_lam, key_example, key_dropout = jax.random.split(key, 3)

        draw = lambda i: self.lam_sampler(key_lam, i, total or size)  # noqa: E731
        lam, inverse_density = jax.vmap(draw)(index)
        keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(key_example, i)))(index)
        eps = jax.vmap(lambda k: jax.random.normal(k, x0.shape[1:]))(keys[:, 0])
        x = jax.vmap(lambda x0, eps, lam: alpha(lam) * x0 + sigma(lam) * eps)(x0, eps, lam)

        cond = batch.get("cond")
        if train and cond is not None and self.drop_condition > 0:
            cond = dropped(cond, jax.vmap(lambda k: jax.random.bernoulli(k, self.drop_condition))(keys[:, 1]))

        rngs = randomness(key_dropout, first) if train else None
        output = applied(network, params, x, lam, cond, train=train, rngs=rngs)
        if output.shape != x0.shape:
            raise ValueError(f"got a network output of shape {output.shape}; expected that of the image, {x0.shape}")

        kind = cast(kind_of(self.predicts, self.sigma_data), jnp.float32)
        errors, eps_scale = jax.vmap(lambda output, x0, eps, lam: kind.error(output, x0=x0, eps=eps, lam=lam))(
            output.astype(jnp.float32), x0, eps, lam
        )
        error = jnp.mean(errors**2, axis=tuple(range(1, x0.ndim)))
        weight = self.weighting(lam)
        if self.weighting.per == "lam":
            weight = weight * inverse_density
        loss = jnp.mean(weight * eps_scale**2 * error)

        v_error = (eps_scale / alpha(lam)) ** 2 * error
        chosen = jnp.searchsorted(jnp.asarray(BINS), lam)[:, None] == jnp.arange(len(BINS) + 1)
        bins = {"bin_error": jnp.mean(chosen * v_error[:, None], 0), "bin_share": jnp.mean(chosen, 0)}
        return loss, {"loss": loss, "v_error": jnp.mean(v_error), **bins}


def dropped(cond: Any, drop: Bool[Array, " b"]) -> Any:
    """A batch's condition, the null where an example drops it."""
    return jax.tree.map(lambda c, n: jnp.where(drop.reshape(-1, *[1] * (c.ndim - 1)), n, c), cond, null(cond))


def randomness(key: PRNGKeyArray, first: Any) -> dict[str, PRNGKeyArray]:
    """`rngs` of a network that is trained on the examples from number `first` on."""
    key = jax.random.fold_in(key, jnp.asarray(first))
    # "params" is where Linen draws for names that are not given.
    return {"dropout": key, "params": jax.random.fold_in(key, 1)}


def binned(metrics: dict[str, Any]) -> dict[str, float]:
    """{"v_error/lam<-4": ..., ...}: mean squared error of v in each interval of lam that was drawn, from averaged
    metrics. Nothing of those of another loss, which has no bins.

    The error of v is near 1 for a network that returns 0, at every lam; so intervals compare.
    """
    if not {"bin_error", "bin_share"} <= {*metrics}:
        return {}
    names = [f"lam<{b:g}" for b in BINS] + [f"lam>{BINS[-1]:g}"]
    pairs = zip(names, metrics["bin_error"], metrics["bin_share"])
    return {f"v_error/{name}": float(error / share) for name, error, share in pairs if share > 0}
