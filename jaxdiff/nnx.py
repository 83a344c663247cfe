"""Flax NNX modules as networks: what they are made of, split from their parameters."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, PRNGKeyArray, PyTree

from jaxdiff.network import arguments, check_call

SAID = (
    *("num_classes", "vector_size", "image_channels", "augmentation_size", "reads_span", "reads_guidance"),
    "patch_multiple",
)
"""Fields by which a network says what it reads."""


@dataclass(frozen=True)
class NNXNetwork:
    """A `jaxdiff.network.Network` from an NNX module, made by `from_nnx`; equal where the modules are built alike.

    What the module says that it reads, such as `reads_span`, it says as well.
    """

    graph: Any
    structures: tuple[Any, ...]
    """Of parameters, other variables and random streams."""
    streams: tuple[jax.ShapeDtypeStruct, ...]
    variables: PyTree = field(compare=False, repr=False)
    """{"params": nested dicts of arrays}, and what else the module held, by the names of its types."""
    said: tuple[tuple[str, Any], ...] = ()
    """Those of `SAID` that the module has."""

    def __getattr__(self, name: str) -> Any:
        if name in SAID and name in (said := dict(self.said)):
            return said[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")

    def init(self, key: PRNGKeyArray, x: Array, lam: Array, cond: PyTree = None, train: bool = False) -> PyTree:
        """The variables that the module had: an NNX module brings its own."""
        return self.variables

    def apply(
        self, variables: PyTree, x: Array, lam: Array, cond: PyTree = None, train: bool = False, rngs: Any = None
    ) -> Array:
        """The output, of a copy of the module in `train()` or `eval()` mode; what changes in the copy is left behind."""
        module = self.module(variables, rngs)
        module.train() if train else module.eval()
        places, names = arguments(module, module.__call__, x, lam, cond, train)
        return module(*places, **names)

    def module(self, variables: PyTree, rngs: dict[str, PRNGKeyArray] | None = None) -> Any:
        """An NNX module with these variables, such as a state's `ema`."""
        rest = [leaf for name, leaves in variables.items() if name != "params" for leaf in leaves]
        key = jax.random.key(0) if not rngs else rngs.get("dropout", next(iter(rngs.values())))
        streams = [
            jax.random.split(jax.random.fold_in(key, i), like.shape)
            if jnp.issubdtype(like.dtype, jax.dtypes.prng_key)
            else jnp.zeros(like.shape, like.dtype)
            for i, like in enumerate(self.streams)
        ]
        parts = [jax.tree.leaves(variables["params"]), rest, streams]
        states = [jax.tree.unflatten(structure, leaves) for structure, leaves in zip(self.structures, parts)]
        return nnx.merge(self.graph, *states, copy=True)


def from_nnx(module: Any) -> NNXNetwork:
    """An NNX module as a network for `jd.TrainState.create` and `jd.bind`, with the parameters that it has now.

    The module is left as it is. `network.variables` are its values as plain arrays, which train, and
    `network.module(state.ema)` is a module again. Random streams are drawn anew in training; a module with other variables
    than `nnx.Param` (`nnx.BatchStat`) can be sampled from, as it stands, and not trained. Raises `ValueError` for a module
    that cannot be called as `jaxdiff.network.Network` says.
    """
    check_call(module, type(module).__call__)
    graph, params, streams, rest = nnx.split(module, nnx.Param, nnx.RngState, ...)
    kinds = {type(v).__name__ for v in jax.tree.leaves(rest, is_leaf=lambda part: isinstance(part, nnx.Variable))}
    others = {", ".join(sorted(kinds)): jax.tree.leaves(rest)} if kinds else {}
    variables = {"params": nnx.to_pure_dict(params), **others}
    likes = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(streams))
    said = tuple((name, getattr(module, name)) for name in SAID if hasattr(module, name))
    return NNXNetwork(graph, tuple(map(jax.tree.structure, (params, rest, streams))), likes, variables, said)


def variables_of(network: NNXNetwork, state: Any) -> PyTree:
    """The network's variables with those of an `nnx.State` of its module, or themselves; None are the module's own.

    Raises ValueError for a state of another module.
    """
    if state is None:
        return network.variables
    if not isinstance(state, nnx.State):
        return state
    params = nnx.to_pure_dict(nnx.filter_state(state, nnx.Param))
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (params, network.variables["params"])]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "got an nnx.State whose parameters are not those of the module; expected the same names and shapes; to fix: "
            "nnx.state(module, nnx.Param) of a module that was built alike"
        )
    return {**network.variables, "params": params}
