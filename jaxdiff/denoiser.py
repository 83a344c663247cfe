"""Denoisers: D(x, λ, cond) = E[x0 | x] for one example, and how a network becomes one."""

import sys
import warnings
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxdiff.network import applied, check_network
from jaxdiff.numbers import cast, with_leaves
from jaxdiff.predictions import PredictionKind, kind_of
from jaxdiff.representation import representation


@runtime_checkable
class Denoiser(Protocol):
    """A pure function of one example; `jax.vmap` makes the batch.

    x: (*spatial, channels) in variance-preserving coordinates; lam: scalar half log-SNR; cond: any pytree or None.
    Returns E[x0 | x], of x's shape.
    """

    def __call__(self, x: Float[Array, " *shape"], lam, cond: PyTree = None, /) -> Float[Array, " *shape"]: ...


class Bound(eqx.Module):
    """A network with its parameters, read as a denoiser; made by `bind`."""

    params: PyTree
    network: Any = eqx.field(static=True)
    predicts: PredictionKind
    input_scale: Callable | None
    time: Callable | None

    __repr__ = representation

    def __call__(self, x, lam, cond=None):
        lam = jnp.asarray(lam, jnp.promote_types(x.dtype, jnp.float32))
        label = lam if self.time is None else self.time(lam)
        scaled = x if self.input_scale is None else self.input_scale(lam) * x
        batched = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], cond)
        output = applied(self.network, self.params, scaled[None].astype(x.dtype), jnp.asarray(label)[None], batched)[0]
        if output.shape[:-1] != x.shape[:-1] or output.shape[-1] not in (x.shape[-1], 2 * x.shape[-1]):
            raise ValueError(
                f"got a network output of shape {output.shape} for an image of shape {x.shape}; expected the same "
                "shape, or twice the channels (learned variance); to fix: bind a network built for these images"
            )
        output = output[..., : x.shape[-1]].astype(x.dtype)
        return cast(self.predicts, lam.dtype).to_x0(output, x=x, lam=lam)


def bind(
    network: Any,
    params: PyTree = None,
    predicts: str | PredictionKind = "v",
    *,
    sigma_data: float = 1.0,
    input_scale: Callable | None = None,
    time: Callable | None = None,
) -> Denoiser:
    """A denoiser from a Flax network and its parameters.

    Doubled channels (learned variance) are dropped.

    Args:
        network: a Flax Linen module, a Flax NNX module, or what else is a `jaxdiff.network.Network`, which says what is asked
            of one. An NNX module is split and called in `eval()` mode, and left as it is.
        params: the whole variables of `network.init`; of an NNX module an `nnx.State` of its parameters, or None for those
            that it has. New parameters, no new trace. They keep their type, and what it is computed in is the network's
            choice: Flax's layers promote to the wider of parameters and x, `jd.UNet` computes in its `dtype`. float64 where
            JAX has none is warned about.
        predicts: one of `predictions.PREDICTIONS`, or an object of a `predictions.PredictionKind` of your own. Other numbers
            of it, no new trace.
        sigma_data: EDM's, for "F". Another number, no new trace.
        input_scale: for foreign networks, a function of λ that gives the factor from x to their input (1/α for
            variance-exploding).
        time: likewise, their time label (`lambda lam: 1000 * schedule.to_time(lam) - 1` for discrete steps).

    Returns:
        D(x, λ, cond) of one image.

    Raises:
        ValueError: for an unknown kind of prediction, a network that cannot be called, and parameters that are missing.
    """
    kind = with_leaves(kind_of(predicts, sigma_data))
    nnx = sys.modules.get("flax.nnx")  # loaded wherever there is a module of it
    if nnx is not None and isinstance(network, nnx.Module):
        from jaxdiff.nnx import from_nnx, variables_of

        network = from_nnx(network)
        params = variables_of(network, params)
    elif params is None and hasattr(network, "init"):
        raise ValueError(
            f"got no parameters for a {type(network).__name__}; expected its variables; to fix: bind(network, variables)"
        )
    check_network(network)
    _warn_of_lost_digits(params)
    return Bound(params, network, kind, input_scale, time)


def _warn_of_lost_digits(params: PyTree) -> None:
    wide = [leaf for leaf in jax.tree.leaves(params) if isinstance(leaf, np.ndarray) and leaf.dtype == np.float64]
    if wide and jnp.result_type(float) != jnp.float64:
        warnings.warn(
            f"got {len(wide)} arrays of parameters in float64; expected types that JAX computes in, which takes them as "
            'float32 here; to fix: jax.config.update("jax_enable_x64", True), or cast them to float32',
            stacklevel=3,
        )
