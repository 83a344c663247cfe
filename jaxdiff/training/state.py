"""Everything a training step reads and writes, as one pytree."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from jaxdiff.network import Network, initialised
from jaxdiff.seeds import check_key


@flax.struct.dataclass
class TrainState:
    """Parameters, their average, optimiser state and counters; the network itself is static."""

    step: Int[Array, ""]
    """Steps taken, applied or skipped."""
    params: Any
    """The network's variables, {"params": ...}, float32."""
    ema: Any
    """Moving average of `params`."""
    power_ema: tuple[Any, ...]
    """Power-function averages of `params` (`jaxdiff.training.power_ema`); mostly none."""
    opt_state: Any
    skipped: Int[Array, ""]
    """Steps that were not applied because the loss or a gradient was not finite."""
    skipped_in_row: Int[Array, ""]
    """The same, since the last applied step."""
    network: Network = flax.struct.field(pytree_node=False)

    @classmethod
    def create(
        cls,
        key: PRNGKeyArray,
        network: Network,
        optimizer: optax.GradientTransformation,
        example: dict,
        shardings: "TrainState | None" = None,
        tracked: int = 0,
    ) -> "TrainState":
        """A fresh state.

        Args:
            key: of the parameters.
            network: whose `init` is called.
            optimizer: of Optax.
            example: a batch as the loss takes it, {"image": (B, *spatial, C), "cond": optional}.
            shardings: where its arrays shall lie (`jaxdiff.training.sharding`), from the start; default on one device.
            tracked: how many power-function averages it holds.

        Returns:
            The state before the first step.
        """
        check_key(key)
        # Every kernel is a random program of its own; optimising them takes three times as long as running them once.
        options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
        init = cls._init(network, optimizer, example, tracked)
        return jax.jit(init, out_shardings=shardings, compiler_options=options)(key)

    @classmethod
    def shapes(
        cls,
        key: PRNGKeyArray,
        network: Network,
        optimizer: optax.GradientTransformation,
        example: dict,
        tracked: int = 0,
    ) -> "TrainState":
        """What `create` would return, as `jax.ShapeDtypeStruct`s; nothing is compiled or computed.

        Args:
            key: as in `create`.
            network: as in `create`.
            optimizer: as in `create`.
            example: as in `create`.
            tracked: as in `create`.

        Returns:
            A state of shapes.
        """
        check_key(key)
        return jax.eval_shape(cls._init(network, optimizer, example, tracked), key)

    @classmethod
    def _init(cls, network: Network, optimizer: optax.GradientTransformation, example: dict, tracked: int):
        image = jnp.asarray(example["image"][:1], jnp.float32)
        cond = jax.tree.map(lambda a: jnp.asarray(a[:1]), example.get("cond"))

        def init(key):
            params = initialised(network, key, image, jnp.zeros(1), cond)
            # Copies: a donated state must not hold one buffer twice.
            zero = lambda: jnp.zeros((), jnp.int32)  # noqa: E731
            ema, *power_ema = (_average(params) for _ in range(1 + tracked))
            return cls(zero(), params, ema, tuple(power_ema), optimizer.init(params), zero(), zero(), network)

        return init

    def with_params(self, params: Any) -> "TrainState":
        """This state starting from other parameters (parameters and averages replaced, optimiser untouched)."""
        copy = jax.tree.map(lambda a: jnp.array(a, copy=True), params)
        averages = [_average(params) for _ in range(1 + len(self.power_ema))]
        return self.replace(params=copy, ema=averages[0], power_ema=tuple(averages[1:]))  # type: ignore[attr-defined]


def _average(params: Any) -> Any:
    """An average that begins with `params`: a copy, in float32 where in their own few digits it would stand still."""

    def start(leaf):
        few = jnp.issubdtype(leaf.dtype, jnp.floating) and jnp.finfo(leaf.dtype).bits < 32
        return jnp.array(leaf, jnp.float32 if few else leaf.dtype, copy=True)

    return jax.tree.map(start, params)
