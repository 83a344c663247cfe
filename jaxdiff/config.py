"""Config files and the command line: `configs/x.py` holds `config = TrainConfig(...)`, options override its fields."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import equinox as eqx
import flax.linen as nn
import tyro

from jaxdiff.parts import is_ours, run_file
from jaxdiff.schema import is_protocol
from jaxdiff.training.config import TrainConfig as TrainConfig


def load_config(path: str | Path) -> TrainConfig:
    """The `config` of a Python file. Raises FileNotFoundError or ValueError that say what to write instead."""
    path = Path(path)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path("configs")
        names = sorted(str(p) for p in folder.glob("*.py"))
        raise FileNotFoundError(
            f"got the config {path}, which does not exist; expected a Python file; "
            f"to fix: {'one of ' + ', '.join(names) if names else 'write one: config = TrainConfig(name=..., ...)'}"
        )
    module = run_file(path, "config")
    config = getattr(module, "config", None)
    if not isinstance(config, TrainConfig):
        problem = "no `config`" if config is None else f"a `config` of type {type(config).__name__}"
        raise ValueError(
            f"got {path} with {problem}; expected a TrainConfig; to fix: config = TrainConfig(name=..., ...)"
        )
    return config


def override(config: TrainConfig, options: Sequence[str], prog: str | None = None) -> TrainConfig:
    """`config` with command-line options such as `--steps 100 --data.path images`; tyro checks them.

    Which class a field holds (data, network, schedule, your own among them) is the config file's choice; its fields are
    options. Exits with status 2 and a suggestion for an unknown option. Raises ValueError for values that contradict each
    other.
    """
    default = _narrowed(config)
    chosen = tyro.cli(
        type(default), prog=prog, default=default, args=list(options), config=(tyro.conf.AvoidSubcommands,)
    )
    return _widened(chosen)


def _narrowed(part: Any) -> Any:
    """A part of which each field that holds a part is annotated with the class of that one alone.

    tyro makes options of the fields of an annotated class; of alternatives it knows the listed ones only, and no protocols.
    """
    if _is_tuple_of_ours(part):
        return tuple(map(_narrowed, part))
    if not dataclasses.is_dataclass(part) or isinstance(part, type | nn.Module | eqx.Module):
        return part
    hints = get_type_hints(type(part), include_extras=True)
    values = {one.name: _narrowed(getattr(part, one.name)) for one in dataclasses.fields(part) if one.init}
    kinds = {name: _kind_of(hints.get(name), value) for name, value in values.items()}
    other = {name: kind for name, kind in kinds.items() if kind is not hints.get(name)}
    if not other:
        return part
    field = lambda value: dataclasses.field(default_factory=lambda: value, kw_only=True)  # noqa: E731
    fields = [(name, kind, field(values[name])) for name, kind in other.items()]
    cls: Any = type(part)
    kind = dataclasses.make_dataclass(
        cls.__name__,
        fields,
        bases=(cls,),
        namespace={"narrowed_from": cls, "__module__": cls.__module__},
        frozen=cls.__dataclass_params__.frozen,
    )
    return kind(**values)


def _kind_of(hint: Any, value: Any) -> Any:
    """The annotation of a field that holds a value: a part's own class; of a name beside parts, the names."""
    if _is_tuple_of_ours(value):
        kinds: Any = tuple(type(one) for one in value)
        return tuple[kinds]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)
    inner = [kind for kind in get_args(hint) if kind is not Ellipsis]
    if get_origin(hint) is tuple and inner and all(map(is_protocol, inner)):
        return tyro.conf.Fixed[hint]  # objects of a person's own, which options cannot make
    plain = tuple(kind for kind in get_args(hint) if not (dataclasses.is_dataclass(kind) or is_protocol(kind)))
    named = isinstance(value, str) or (value is None and len(plain) > 1)
    several = get_origin(hint) in (Union, UnionType) and len(plain) < len(get_args(hint))
    return Union[plain] if named and several else hint  # noqa: UP007 - of a tuple


def _is_tuple_of_ours(value: Any) -> bool:
    """Whether a field holds several parts of this package, whose fields are options by their number."""
    parts = value if isinstance(value, tuple) else ()
    return bool(parts) and all(dataclasses.is_dataclass(one) and is_ours(_plain_class(one)) for one in parts)


def _plain_class(part: Any) -> type:
    return getattr(type(part), "narrowed_from", type(part))


def _widened(part: Any) -> Any:
    """The inverse of `_narrowed`."""
    if _is_tuple_of_ours(part):
        return tuple(map(_widened, part))
    if not hasattr(type(part), "narrowed_from"):
        return part
    values = {one.name: _widened(getattr(part, one.name)) for one in dataclasses.fields(part) if one.init}
    return type(part).narrowed_from(**values)
