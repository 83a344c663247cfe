"""The config of a run as its folder holds it: that of `train`, or of one's own loop only what sampling needs."""

import json
from dataclasses import dataclass
from typing import Any

from jaxdiff.malformed import malformed, within
from jaxdiff.parts import Allow, Parts
from jaxdiff.plain import different_fields, from_plain, own_parts, to_plain
from jaxdiff.predictions import stored_form
from jaxdiff.training.config import CLASSES, AnyPairs, AnySchedule, TrainConfig


@dataclass(frozen=True, kw_only=True)
class OwnLoop:
    """The parts of a run that `jd.save_run` wrote; how it was trained is the person's own and not recorded."""

    network: Any
    """The Linen module."""
    schedule: AnySchedule
    """The noise levels of training."""
    predicts: Any
    """What the network's output means: a name or a `PredictionKind`."""
    sigma_data: float = 1.0
    """Standard deviation of the data in model units; read by the prediction F only."""
    patch: tuple[int, ...]
    """Size in pixels of what the network sees: y x, or z y x."""
    pairs: AnyPairs | None = None
    """What is diffused under which condition, for conditional tasks."""

    def __post_init__(self):
        predicts, sigma_data = stored_form(self.predicts, self.sigma_data)
        object.__setattr__(self, "predicts", predicts)
        object.__setattr__(self, "sigma_data", sigma_data)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return to_plain(self, "config")


def config_of(values: dict[str, Any], allow: Allow = ()) -> TrainConfig | OwnLoop:
    """The config of a run that `train` made, or the parts of one that `jd.save_run` wrote, from its run.json.

    allow: packages, .py files and classes of the person's own that its parts may be of, as for `jd.load`. Raises ValueError,
    naming the field, for what this version does not know.
    """
    config = from_plain(values, Parts((TrainConfig, OwnLoop, *CLASSES), allow), "config")
    if not isinstance(config, TrainConfig | OwnLoop):
        raise malformed("config", values, "the fields of a TrainConfig or an OwnLoop")
    return config


def check_round_trip(config: TrainConfig | OwnLoop) -> None:
    """Raises ValueError, naming the field, for a config that its own run folder could not give back."""
    values = json.loads(json.dumps(config.to_json()))
    with within("config"):
        back = config_of(values, own_parts(config))
    if names := different_fields(config, back, "config"):
        raise ValueError(
            f"got {', '.join(names)}, which a run folder does not give back as they are; expected numbers, text, tuples, "
            "dicts by text, and dataclasses of these, each as the field is annotated; to fix: annotate the field with its "
            "type (a path as Path), or let it hold one of these"
        )
