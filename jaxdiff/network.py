"""What the library asks of a network, and the only two places that call one."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

FLAGS = {"train": False, "training": False, "is_training": False, "deterministic": True}
"""Names under which a network is told that it is being trained; the value: whether the name means the opposite."""


class Network(Protocol):
    """A function of noisy images, noise level and condition with parameters: what `bind`, training and `load` take.

    A Flax Linen module is one if its `__call__` can be called as `(x, lam, cond)`:

    * x: (B, *spatial, channels), noisy images in variance-preserving coordinates.
    * lam: (B,), half log-SNR. The second argument, whatever its name (`bind(time=…)` gives another label than λ).
    * cond: the condition, a pytree with leading B, or None. The third argument, whatever its name. A network of no more than
      two arguments, or whose third is a flag (its default is True or False), reads no condition.
    * `train`: False while sampling, True in the training step, passed by name where the signature has it (or `training`,
      `is_training`, or, turned round, `deterministic`). Other flags keep their defaults.

    It returns (B, *spatial, channels), or twice the channels where it learned a variance, which sampling drops. What the
    signature takes is asked once for each program, while it is traced. All other arguments need defaults.

    What it reads of conditions it says by fields or properties, and 0 is meant where it has none: `num_classes` (of the
    label), `vector_size`, `image_channels`, `augmentation_size` (`nn.condition`). With `patch_multiple` it says that spatial
    sizes have to be multiples of that, one number or one for each axis; without it any size is taken, as `jd.UNet` does. In
    a config it is a dataclass of its settings, as Linen modules are.

    Its variables are parameters only, the collection "params" of Linen: what changes while it runs (the statistics of
    `nn.BatchNorm`) would belong to a batch, and D is a function of one image. Randomness is drawn with `make_rng` of any
    name. Anything else with these two methods is a network as well; `jd.from_nnx` makes one of a Flax NNX
    module.
    """

    def init(self, key: PRNGKeyArray, x: Array, lam: Array, cond: PyTree = None, /) -> PyTree:
        """The variables."""
        ...

    def apply(self, variables: PyTree, x: Array, lam: Array, cond: PyTree = None, /) -> Any:
        """The output."""
        ...


class _Reads(NamedTuple):
    """What a function takes besides x and λ: the condition and the flag by their names, and a Linen-like `rngs`."""

    condition: str | None
    """None where it reads none; "" where it is passed by place."""
    flag: str | None
    rngs: bool


def applied(
    network: Any,
    variables: PyTree,
    x: Float[Array, "b *shape"],
    lam: Float[Array, " b"],
    cond: PyTree,
    *,
    train: bool = False,
    rngs: dict[str, PRNGKeyArray] | None = None,
) -> Any:
    """The network's output, given those of condition, `train` and `rngs` that it takes (see `Network`).

    Raises ValueError for a condition that it does not read, and where it changes other variables than its parameters.
    """
    reads = _reads(network, "apply")
    places, options = _arguments(network, reads, x, lam, cond, train)
    if rngs is not None and reads.rngs:
        options["rngs"] = rngs
    try:
        return network.apply(variables, *places, **options)
    except Exception as error:
        if type(error).__name__ != "ModifyScopeVariableError":
            raise
        raise ValueError(
            f"got {_named(network)}, which changes variables while it runs ({error}); {_CONSTANT}"
        ) from error


def initialised(network: Any, key: PRNGKeyArray, x: Array, lam: Array, cond: PyTree) -> PyTree:
    """The network's variables for training. Raises ValueError where there are other collections than "params"."""
    places, options = _arguments(network, _reads(network, "init"), x, lam, cond, train=False)
    variables = network.init(key, *places, **options)
    others = sorted(set(variables) - {"params"}) if isinstance(variables, Mapping) and "params" in variables else []
    if others:
        raise ValueError(f"got {_named(network)} with the collection {', '.join(others)}; {_CONSTANT}")
    return variables


_CONSTANT = (
    "expected parameters only, the collection 'params', since D is a function of one image and nothing else; to fix: "
    "nn.GroupNorm or nn.LayerNorm in the place of nn.BatchNorm, and constants computed in __call__"
)


def check_network(network: Any) -> None:
    """Raises ValueError for what has no `apply`, or cannot be called as `Network` says."""
    if not callable(getattr(network, "apply", None)):
        raise ValueError(f"got a {_named(network)}; expected a network with apply(params, x, lam, cond)")
    _reads(network, "apply")


def check_call(owner: Any, function: Callable) -> None:
    """Raises ValueError, naming the owner, for a function (self, x, lam, …) that cannot be called as `Network` says."""
    _taken(owner, list(_parameters(function).values())[1:], rngs=False)


def arguments(owner: Any, function: Callable, x: Any, lam: Any, cond: PyTree, train: bool) -> tuple[list, dict]:
    """What a bound function (x, lam, …) takes of these, by place and by name.

    Raises ValueError, naming the owner, for a condition that it has no place for.
    """
    reads = _taken(owner, list(_parameters(function).values()), rngs=False)
    return _arguments(owner, reads, x, lam, cond, train)


def _reads(network: Any, method: str) -> _Reads:
    """What `method` of the network passes on: its own parameters, or where it takes any, those of `__call__`."""
    parameters = list(_parameters(getattr(network, method)).values())[1:]
    rngs = any(p.name == "rngs" or p.kind is p.VAR_KEYWORD for p in parameters)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) and callable(network):
        parameters = list(_parameters(type(network).__call__).values())[1:]
    return _taken(network, parameters, rngs)


def _taken(network: Any, parameters: list[inspect.Parameter], rngs: bool) -> _Reads:
    """Which of the parameters after the variables is what. Raises ValueError where some can be nothing."""
    named = {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    any_place, any_name = (any(p.kind is kind for p in parameters) for kind in (_VAR_POSITIONAL, _VAR_KEYWORD))
    flag = next((name for name in FLAGS if name in named), "train" if any_name else None)
    places = [p for p in named.values() if p.kind is not p.KEYWORD_ONLY and p.name != flag]
    third = places[2] if len(places) > 2 and not isinstance(places[2].default, bool) else named.get("cond")
    if third is not None:
        condition = "" if third.kind is third.POSITIONAL_ONLY else third.name
    else:
        condition = "" if any_place else "cond" if any_name else None
    used = {flag, "rngs", *(p.name for p in places[:2]), *([] if third is None else [third.name])}
    missing = [p.name for p in named.values() if p.default is p.empty and p.name not in used]
    if (len(places) < 2 and not any_place) or missing:
        takes = ", ".join(str(p) for p in parameters)
        raise ValueError(
            f"got {_named(network)}, called as ({takes}); expected (x, lam, cond=None, train=False), of which the last two "
            f"may be missing; to fix: {'give ' + ', '.join(missing) + ' a default' if missing else 'take x and lam'}"
        )
    return _Reads(condition, flag, rngs)


_VAR_POSITIONAL, _VAR_KEYWORD = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


def _parameters(function: Callable) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def _arguments(network: Any, reads: _Reads, x: Any, lam: Any, cond: PyTree, train: bool) -> tuple[list, dict]:
    """By place and by name."""
    places, names = [x, lam], {}
    if reads.condition == "":
        places.append(cond)
    elif reads.condition is not None:
        names[reads.condition] = cond
    elif jax.tree.leaves(cond):
        what = ", ".join(cond) if isinstance(cond, dict) else type(cond).__name__
        raise ValueError(
            f"got a condition ({what}) for {_named(network)}, whose signature has no place for one; expected none; to fix: "
            "a third argument, __call__(x, lam, cond), or leave the condition out"
        )
    if reads.flag is not None:
        names[reads.flag] = train is not FLAGS[reads.flag]
    return places, names


def _named(network: Any) -> str:
    return type(network).__name__


def differentiable(network: Any) -> Any:
    """The network in float32 and with plain attention, of which there are exact forward derivatives; itself if it is that.

    Flash attention has none, and those of bfloat16 have three digits.
    """
    plain = {"dtype": "float32", "attention_implementation": None}
    if not dataclasses.is_dataclass(network) or isinstance(network, type):
        return network
    fields = {field.name for field in dataclasses.fields(network)}
    other = {name: value for name, value in plain.items() if name in fields and not _is(getattr(network, name), value)}
    return dataclasses.replace(network, **other) if other else network


def _is(value: Any, plain: str | None) -> bool:
    """Whether a field's value is the plain one, whatever dtypes are written as."""
    if plain is None:
        return value in (None, "xla")
    return value is None or np.dtype(value) == np.dtype(plain)
