"""Where a training state and its batches lie: a mesh of all devices of all hosts with the axes "data" and "fsdp".

Examples are shared by all devices, over both axes. Along "fsdp", every large array of the state (parameters, average,
optimiser) is cut into equal parts, one a device (Rajbhandari et al. 2020, "ZeRO", arXiv 1910.02054, stage 3); along "data"
it is repeated. With fsdp=1 that is data-parallel training.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

AXES = ("data", "fsdp")
SMALLEST = 2**14
"""Elements below which an array stays whole on every device: its collective would take longer than it saves."""


def device_mesh(fsdp: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """All devices (default those of all hosts) as (data, fsdp); neighbours on "fsdp" are of one host where they fit.

    Raises ValueError where the number of devices is no multiple of `fsdp`.
    """
    devices = sorted(devices or jax.devices(), key=lambda device: (device.process_index, device.id))
    if fsdp < 1 or len(devices) % fsdp:
        raise ValueError(
            f"got fsdp={fsdp} for {len(devices)} devices; expected a divisor of their number; to fix: --fsdp "
            f"{max(n for n in range(1, len(devices) + 1) if not len(devices) % n and n <= max(fsdp, 1))}"
        )
    return Mesh(np.asarray(devices).reshape(-1, fsdp), AXES)


def cut(shape: Sequence[int], fsdp: int, smallest: int = SMALLEST) -> int | None:
    """The axis along which an array of `shape` is cut into `fsdp` parts: its longest that divides; None for whole."""
    fitting = [axis for axis, n in enumerate(shape) if n % fsdp == 0]
    if fsdp == 1 or not fitting or np.prod(shape) < smallest:
        return None
    return max(fitting, key=lambda axis: (shape[axis], axis))


def spec(leaf: Any, mesh: Mesh, smallest: int = SMALLEST) -> P:
    """How an array of the state lies on the mesh; a function of its shape alone."""
    axis = cut(leaf.shape, mesh.shape["fsdp"], smallest)
    return P() if axis is None else P(*[None] * axis, "fsdp")


def shardings(tree: Any, mesh: Mesh, smallest: int = SMALLEST) -> Any:
    """The sharding of every array (or shape) of a state."""
    return jax.tree.map(lambda leaf: NamedSharding(mesh, spec(leaf, mesh, smallest)), tree)


def place(tree: Any, to: Any) -> Any:
    """Arrays, the same on every host, on the devices of a tree of shardings; those that lie there stay."""

    def one(leaf, sharding):
        if getattr(leaf, "sharding", None) == sharding:
            return leaf
        if sharding.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        return jax.make_array_from_callback(np.shape(leaf), sharding, np.asarray(leaf).__getitem__)

    return jax.tree.map(one, tree, to)


def place_batch(batch: Any, mesh: Mesh) -> Any:
    """A host's own examples (NumPy, leading axis) as its part of the global batch, over all devices."""
    by_example = NamedSharding(mesh, P(AXES))
    if jax.process_count() == 1:
        return jax.device_put(batch, by_example)
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(by_example, np.asarray(a)), batch)


def on_one_device(tree: Any) -> Any:
    """Whole arrays on this host's first device. Every host calls it: parts on others are gathered."""
    leaves = jax.tree.leaves(tree)
    if not all(isinstance(leaf, jax.Array) and leaf.is_fully_replicated for leaf in leaves):
        mesh = next(leaf.sharding.mesh for leaf in leaves if not leaf.is_fully_replicated)
        tree = jax.jit(lambda t: t, out_shardings=NamedSharding(mesh, P()))(tree)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
