"""The gradient of a loss over a batch: in parts one after the other, and over the devices of a mesh."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from jaxdiff.training.objective import Loss, Metrics
from jaxdiff.training.sharding import AXES, cut, spec

Gradients = Callable[..., tuple[Array, Metrics, Any]]


def gradients_of(loss: Loss, accumulate: int) -> Gradients:
    """(network, params, key, batch, also, first, total) -> loss, metrics, gradient: means over the examples of `batch`.

    also: further keyword arguments of the loss.
    """

    def part(network, params, key, batch, also, first, total):
        def objective(params):
            return loss(network, params, key, batch, train=True, first=first, total=total, **also)

        (value, metrics), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        return value, metrics, gradient

    def gradients(network, params, key, batch, also, first=0, total=None):
        size = jax.tree.leaves(batch)[0].shape[0]
        total = size if total is None else total
        if accumulate == 1:
            return part(network, params, key, batch, also, first, total)
        each = size // accumulate
        parts = jax.tree.map(lambda a: a.reshape(accumulate, each, *a.shape[1:]), batch)

        def add(sums, of):
            number, batch = of
            more = part(network, params, key, batch, also, first + number * each, total)
            return jax.tree.map(jnp.add, sums, more), None

        like = jax.eval_shape(
            lambda b: part(network, params, key, b, also, first, total), jax.tree.map(lambda a: a[0], parts)
        )
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)
        sums, _ = jax.lax.scan(add, zeros, (jnp.arange(accumulate), parts))
        return jax.tree.map(lambda a: a / accumulate, sums)

    return gradients


def gradients_over(loss: Loss, accumulate: int, mesh: Mesh, smallest: int) -> Gradients:
    """The same for a batch shared by all devices and parameters cut along "fsdp"; the gradient is cut like them.

    Collectives are written out, so that the compiled program holds these and no others: an all-gather for each cut
    array, for its gradient a reduce-scatter and an all-reduce over "data", an all-reduce for all else.
    """
    fsdp = mesh.shape["fsdp"]
    gradients = gradients_of(loss, accumulate)

    def gather(axis, leaf):
        return leaf if axis is None else jax.lax.all_gather(leaf, "fsdp", axis=axis, tiled=True)

    def scatter(axis, leaf):
        if axis is None:
            return jax.lax.pmean(leaf, AXES)
        part = jax.lax.psum_scatter(leaf, "fsdp", scatter_dimension=axis, tiled=True) / fsdp
        return jax.lax.pmean(part, "data")

    def whole(network, params, key, batch, also):
        def over(function, tree, like):
            leaves, structure = jax.tree.flatten(tree)
            axes = [cut(leaf.shape, fsdp, smallest) for leaf in jax.tree.leaves(like)]
            return structure.unflatten(map(function, axes, leaves))

        def share(own, batch, key):
            first, total = place_in(batch, AXES, mesh.size)
            whole_params, whole_also = over(gather, own, (params, also))
            value, metrics, gradient = gradients(network, whole_params, key, batch, whole_also, first, total)
            return *jax.lax.pmean((value, metrics), AXES), over(scatter, gradient, params)

        cuts = jax.tree.map(lambda leaf: spec(leaf, mesh, smallest), (params, also))
        # Without varying-axes checks: with them gradients of whole parameters would be summed a second time.
        return jax.shard_map(
            share, mesh=mesh, in_specs=(cuts, P(AXES), P()), out_specs=(P(), P(), cuts[0]), check_vma=False
        )((params, also), batch, key)

    return whole


def place_in(batch: Any, axis: Any, devices: int) -> tuple[Array, int]:
    """Global index of the first example that this device holds, and the number of all."""
    size = jax.tree.leaves(batch)[0].shape[0]
    return jax.lax.axis_index(axis) * size, size * devices
