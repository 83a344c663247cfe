"""What a loss is to the training step, and the part of a config that makes one.

A loss says by its own parameters what else it reads: `average`, `teacher` or `step`, each by its name. One that names none
of them is called as ever, and nothing is passed, placed or gathered for it.
"""

import inspect
from typing import Any, Protocol

import jax
from jaxtyping import Array, PRNGKeyArray, PyTree

from jaxdiff.training.loss import Metrics

ASKED = ("average", "teacher", "step")
"""What a loss gets where its signature has a parameter of this name."""


class Loss(Protocol):
    """`loss(network, params, key, batch, train=, first=, total=) -> (scalar, metrics)`, means over the examples.

    batch: {"image": (B, *spatial, C) in model units, "cond": a condition with leading B, or absent}; train: False on
    held-out images; first, total: the B examples are `first` to `first + B` of the `total` of all devices, and example i
    should draw from `fold_in(key, i)`, so that the loss does not depend on how devices share the batch. metrics: arrays by
    name.

    With further parameters of these names it gets, as arrays without a gradient:
    `average`: the moving average of the parameters, a tree like `params`;
    `teacher`: the frozen pytree that the step is called with, of any structure;
    `step`: how many steps were taken, an int32 scalar.
    """

    def __call__(
        self, network: Any, params: Any, key: PRNGKeyArray, batch: Any, *, train: bool, first: Any, total: int
    ) -> tuple[Array, Metrics]: ...


class LossConfig(Protocol):
    """A loss as a part of a config: a frozen dataclass whose fields are plain values, and this method.

    A loss that reads a teacher has a field `teacher`, a run folder or the name of a model that comes with jaxdiff, whose
    denoiser it then gets (of the checkpoint `teacher_step`, if it has this field); or a second method, `load_teacher(config)
    -> pytree of arrays`. Both are called once in each session, before data are read. The tree is an argument of the compiled
    step, and lies on the devices as parameters do. Its checksum is kept with the checkpoints: a run goes on with the same
    teacher, or not at all.
    """

    def build(self, config: Any) -> Loss:
        """The loss of a run. config: the whole `TrainConfig`, such as `config.schedule` and `config.predicts`."""
        ...


def extras_of(loss: Any) -> frozenset[str]:
    """Which of `ASKED` a loss has as parameters. `**options` asks for nothing, so that wrappers pass on what they know."""
    try:
        parameters = inspect.signature(loss).parameters.values()
    except (TypeError, ValueError):  # a callable of another language tells nothing of itself
        return frozenset()
    return frozenset(one.name for one in parameters if one.name in ASKED and one.kind != one.VAR_KEYWORD)


def extras(loss: Any, average: PyTree, teacher: PyTree, step: Any) -> dict[str, Any]:
    """Those of the three that a loss asks for, as keyword arguments of it."""
    values = {"average": average, "teacher": teacher, "step": step}
    return {name: values[name] for name in ASKED if name in extras_of(loss)}


def check_teacher(loss: Any, teacher: PyTree, fix: str) -> None:
    """Raises ValueError for a teacher of a loss that reads none, and for none where it does."""
    if ("teacher" in extras_of(loss)) == (teacher is not None):
        return
    name = getattr(loss, "__name__", type(loss).__name__)
    if teacher is None:
        raise ValueError(
            f"got no teacher for the loss {name}; expected one, as it has a parameter `teacher`; to fix: {fix}"
        )
    raise ValueError(
        f"got a teacher for the loss {name}, which has no parameter `teacher`; expected none; to fix: leave it out, or "
        "def __call__(self, network, params, key, batch, *, teacher, ...)"
    )


def check_loss(loss: Any, network: Any, state: Any, batch: Any, teacher: PyTree) -> None:
    """Raises ValueError where a loss does not return a scalar and a dict of arrays; nothing is compiled or computed.

    state: a `TrainState`, or its shapes; batch: examples as the loss takes them.
    """
    size = jax.tree.leaves(batch)[0].shape[0]

    def called(params, average, step, teacher, key, batch):
        also = extras(loss, average, teacher, step)
        return loss(network, params, key, batch, train=True, first=0, total=size, **also)

    result = jax.eval_shape(called, state.params, state.ema, state.step, teacher, jax.random.key(0), batch)
    name = getattr(loss, "__name__", type(loss).__name__)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise ValueError(
            f"got {_shapes(result)} from the loss {name}; expected (scalar, dict of metrics); to fix: return both"
        )
    if getattr(result[0], "shape", None) != ():
        raise ValueError(
            f"got {_shapes(result[0])} from the loss {name}; expected a scalar; to fix: its mean over the examples"
        )


def _shapes(result: Any) -> str:
    return str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", result)).replace("'", "")
