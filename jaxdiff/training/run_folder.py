"""A run folder: run.json says what the run is, and whether a config is that of the run."""

import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdiff.data.info import DataInfo
from jaxdiff.data.levels import Levels
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Inputs, Pairing
from jaxdiff.durable import read_json
from jaxdiff.malformed import malformed, shown, within
from jaxdiff.parts import Allow, Allowed, Parts, allowed, is_ours, place_of
from jaxdiff.plain import fields_of, flat, from_plain, own_parts, to_plain
from jaxdiff.schema import fields
from jaxdiff.terminal import one_line
from jaxdiff.training.config import CLASSES, MAY_CHANGE, PAIRS, PARTS_OF_PAIRS, TrainConfig
from jaxdiff.training.stored_config import OwnLoop, config_of

FORMAT = 1
PLACES = frozenset(f"data.{name}" for name in ("path", "masks", "mask_classes", "inputs", "data_dir", "name"))
"""Where data are: what they are is known by data.json."""


def describe(
    config: TrainConfig | OwnLoop,
    info: Any,
    normaliser: Any,
    pairing: Pairing | None = None,
    levels: Levels | None = None,
) -> dict[str, Any]:
    """The contents of run.json: all that sampling needs besides parameters; plain data."""
    return {
        "format": FORMAT,
        "jaxdiff": importlib.metadata.version("jaxdiff"),
        "config": config.to_json(),
        "network": fields_of(config.network),
        "predicts": to_plain(config.predicts, "predicts"),
        "sigma_data": config.sigma_data,
        "schedule": {"name": place_of(type(config.schedule)), **fields_of(config.schedule)},
        "shape": [*config.patch, info.channels],
        "normaliser": normaliser.to_json(),
        "levels": None if levels is None else levels.to_json(),
        "data": info.to_json(),
        "pairing": None if pairing is None else _of_pairing(pairing),
    }


def check_class_names(network: Any, info: DataInfo, field: str = "class_names of the data") -> None:
    """Raises Malformed where classes have names, and a network that reads labels has another number of classes.

    network: the module, or its fields in a file.
    """
    named = network.get("num_classes") if isinstance(network, Mapping) else getattr(network, "num_classes", 0)
    classes = named if isinstance(named, int) else 0
    if classes and info.class_names and len(info.class_names) != classes:
        raise malformed(
            field,
            info.class_names,
            f"{classes} names, the network's num_classes, or none",
            f"--network.num-classes {len(info.class_names)} when training",
        )


def _of_pairing(pairing: Pairing) -> dict[str, Any]:
    inputs = pairing.inputs
    return {
        "pairs": to_plain(pairing.pairs),
        "inputs": None
        if inputs is None
        else {
            "data": inputs.info.to_json(),
            "normaliser": inputs.normaliser.to_json(),
            "factor": list(inputs.factor),
            "levels": None if inputs.levels is None else inputs.levels.to_json(),
        },
    }


def read_pairing(stored: Mapping[str, Any], allow: Allow = ()) -> Pairing | None:
    """The fitted pairs of a run that `read_run` returned; None where it diffuses images alone.

    allow: as for `read_run`.
    """
    values = stored.get("pairing")  # runs of before there were pairs have no such entry
    if values is None:
        return None
    values = fields(values, {"inputs": dict[str, Any] | None, "pairs": dict[str, Any]}, "pairing")
    pairs, inputs = (
        from_plain(values["pairs"], Parts((*PAIRS, *PARTS_OF_PAIRS), allow), "pairing.pairs"),
        values["inputs"],
    )
    if is_ours(type(pairs)) and not isinstance(pairs, PAIRS):
        raise malformed("pairing.pairs", values["pairs"], "a kind of pairs")
    if inputs is None:
        return Pairing(pairs)
    kinds = {"data": dict[str, Any], "normaliser": dict[str, Any], "factor": tuple[int, ...]}
    inputs = fields(inputs, kinds, "pairing.inputs")
    with within("pairing.inputs"):
        info, normaliser = DataInfo.from_json(inputs["data"]), Normaliser.from_json(inputs["normaliser"], allow)
    if normaliser.channels != info.channels:
        raise malformed("pairing.inputs.normaliser channels", normaliser.channels, f"{info.channels}, as in its data")
    if len(inputs["factor"]) != len(info.spatial) or min(inputs["factor"]) < 1:
        raise malformed("pairing.inputs.factor", inputs["factor"], f"a whole number for each of {info.spatial}")
    return Pairing(pairs, Inputs(info, normaliser, inputs["factor"], read_levels(inputs, "pairing.inputs.levels")))


def read_levels(stored: Mapping[str, Any], field: str = "levels") -> Levels | None:
    """The grey levels in run.json, or those of its inputs; None where an older version wrote it."""
    if stored.get("levels") is None:
        return None
    levels, channels = Levels.from_json(stored["levels"]), DataInfo.from_json(stored["data"]).channels
    if levels.channels != channels:
        raise malformed(f"{field} of channels", levels.channels, f"{channels}, as in its data")
    return levels


def read_run(folder: str | Path, allow: Allow = ()) -> dict[str, Any]:
    """run.json of a run folder. Raises FileNotFoundError where there is none, ValueError where it cannot be read.

    allow: packages, .py files and classes of a person's own that its parts may be of. Others are neither imported nor looked
    at: of a config that names them it is only checked that it does not contradict the rest.
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        near = (
            sorted(p.parent.name for p in Path(folder).parent.glob("*/run.json"))
            if Path(folder).parent.is_dir()
            else []
        )
        raise FileNotFoundError(
            f"got {folder}, which holds no run.json; expected a run folder"
            + (f", such as {', '.join(near[:8])} beside it" if near else "")
            + "; to fix: train a run first (jaxdiff train CONFIG), or name another folder"
        )
    allow = allowed(allow)
    with within(path):
        values = read_json(path)
        if not isinstance(values, Mapping) or type(values.get("format")) is not int or values["format"] != FORMAT:
            raise ValueError(
                f"got {path} of another format; expected format {FORMAT}; to fix: use the jaxdiff that wrote it"
            )
        _check(values, allow)
    return dict(values)


FIELDS = {
    "config": dict[str, Any],
    "network": dict[str, Any],
    "predicts": str | dict[str, Any],
    "sigma_data": float,
    "schedule": dict[str, Any],
    "shape": tuple[int, ...],
    "normaliser": dict[str, Any],
    "data": dict[str, Any],
    "levels": dict[str, Any] | None,
    "pairing": dict[str, Any] | None,
    "step": int,
    "length": float,
}


def _check(stored: Mapping[str, Any], allow: Allowed) -> None:
    """Raises ValueError, naming the field, for contents that `describe` cannot have written."""
    values = fields(
        stored, FIELDS, optional=("levels", "pairing", "step", "length", "network", "schedule", "sigma_data")
    )
    info, config = DataInfo.from_json(values["data"]), stored["config"]
    rebuilt = config_of(config, allow) if allow or _types(config) <= _OURS else None
    agree: list[tuple[str, Any, str, Any]] = []
    if allow or not _types(values["normaliser"]):  # but for a person's own map, which is theirs to allow
        channels = Normaliser.from_json(values["normaliser"], allow).channels
        agree.append(("normaliser", channels, "the channels of data", info.channels))
    check_class_names(config.get("network") or {}, info, "data.class_names")
    if values.get("step", 0) < 0:
        raise malformed("step", values["step"], "0 or more")
    read_levels(stored)
    if allow or _types(stored.get("pairing")) <= _OURS:
        read_pairing(stored, allow)
    if rebuilt is not None:
        agree.append(
            ("shape", values["shape"], "config.patch and the channels of data", (*rebuilt.patch, info.channels))
        )
        agree.append(("shape", len(values["shape"]), "the axes of data", len(info.axes)))
    for name, of_config in (("predicts", config.get("predicts")), ("sigma_data", config.get("sigma_data"))):
        agree.append((name, stored.get(name, of_config), f"config.{name}", of_config))
    for name in ("network", "schedule"):
        own = {n: v for n, v in stored.get(name, {}).items() if n != "name"}
        of_config = config.get(name) or {}
        if own and rebuilt is not None:  # as objects: what an older jaxdiff did not know has its default on either side
            part = getattr(rebuilt, name)
            own = fields_of(from_plain({**own, "type": place_of(type(part))}, (*CLASSES, type(part)), name))
            of_config = fields_of(part)
        agree += [(f"{name}.{n}", own[n], f"config.{name}", of_config[n]) for n in sorted({*own} & {*of_config})]
    if isinstance(stored.get("schedule"), Mapping):
        kind = (config.get("schedule") or {}).get("type")
        agree.append(("schedule.name", stored["schedule"].get("name"), "config.schedule.type", kind))
    if isinstance(stored.get("pairing"), Mapping):
        pairs, of_config = ((one or {}).get("type") for one in (stored["pairing"]["pairs"], config.get("pairs")))
        agree.append(("pairing.pairs.type", pairs, "config.pairs.type", of_config))
    for name, value, other, expected in agree:
        if value != expected:
            raise malformed(f"{name} {shown(value)} beside {other}", expected, "them to agree")


_OURS = frozenset(cls.__name__ for cls in (TrainConfig, OwnLoop, *CLASSES))


def _types(value: Any) -> set[str]:
    """What plain values name as their types."""
    if isinstance(value, Mapping):
        own = {value["type"]} if isinstance(value.get("type"), str) else set()
        return own.union(*map(_types, value.values()))
    return set().union(*map(_types, value)) if isinstance(value, list | tuple) else set()


def check_config(config: TrainConfig, stored: Mapping[str, Any], folder: Path) -> None:
    """Raises ValueError where the run in `folder` was made by another config, with every field that differs.

    Fields that the jaxdiff which made it did not know have their defaults there.
    """
    now, before = config.to_json(), dict(stored["config"])
    if before.get("type") == OwnLoop.__name__:
        raise ValueError(
            f"got the run in {folder}, which a loop of one's own made (jd.save_run); expected one that a config began; to "
            "fix: another --name, with --init-from to start from its parameters"
        )
    parts = Parts((TrainConfig, *CLASSES), own_parts(config))
    lines = []
    for name in sorted({*now} & {*before}):  # of other classes, which nothing is to be made of
        if others := sorted(kind for kind in _types(before[name]) - _types(now[name]) if ":" in kind):
            lines += [] if name in MAY_CHANGE else [f"{name}: {', '.join(others)} in the run, {_kind(now[name])} now"]
            before[name] = now[name]
    with within(folder / "run.json"):
        rebuilt = from_plain(before, parts, "config")
    old, new = (flat(json.loads(json.dumps(values))) for values in (rebuilt.to_json(), now))
    free = PLACES if config.other_data else frozenset()
    lines += [
        f"{n}: {old.get(n)} in the run, {new.get(n)} now"
        for n in sorted({*old, *new})
        if n.split(".")[0] not in MAY_CHANGE and n not in free and old.get(n) != new.get(n)
    ]
    if lines:
        listing = "\n".join(one_line(f"  {line}") for line in lines)
        raise ValueError(
            f"got a config that is not that of the run in {folder}:\n{listing}\nexpected the same fields (only "
            "budget and cadences may change); to fix: choose another --name, or set these fields back"
        )


def _kind(value: Any) -> Any:
    return value["type"] if isinstance(value, Mapping) and "type" in value else value
