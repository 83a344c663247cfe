"""Config files and the command line: `configs/x.py` holds `config = TrainConfig(...)`, options override its fields."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from jaxdiff.parts import run_file
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
        found = "no `config`" if config is None else f"a `config` of type {type(config).__name__}"
        raise ValueError(
            f"got {path} with {found}; expected a TrainConfig; to fix: config = TrainConfig(name=..., ...)"
        )
    return config


def override(config: TrainConfig, options: Sequence[str], prog: str | None = None) -> TrainConfig:
    """`config` with command-line options such as `--steps 100 --data.path images`; tyro checks them.

    Which class a field holds (data, schedule, weighting) is the config file's choice; its fields are options. Exits
    with status 2 and a suggestion for an unknown option. Raises ValueError for values that contradict each other.
    """
    return tyro.cli(TrainConfig, prog=prog, default=config, args=list(options), config=(tyro.conf.AvoidSubcommands,))
