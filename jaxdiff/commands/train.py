"""`train.py CONFIG [--check] [--option value …]`: trains the run that a config file describes, or shows what its data are."""

from pathlib import Path

from jaxdiff.config import TrainConfig, load_config, override
from jaxdiff.data.config import open_data
from jaxdiff.data.pairs import paired
from jaxdiff.data.shown.report import patches_sheet, report
from jaxdiff.nn.widths import unfilled
from jaxdiff.parts import is_ours, place_of
from jaxdiff.plain import own_classes
from jaxdiff.training import hosts
from jaxdiff.training.loop import train


def main(args: list[str], prog: str = "train.py") -> int:
    """The command: a config and options from `args`; exit status."""
    if not args or args[0] in ("-h", "--help"):
        print(f"usage: {prog} CONFIG [--check] [--option value …]; `{prog} CONFIG --help` lists the options")
        if args:
            return 0
        configs = sorted(str(path) for path in Path("configs").glob("*.py"))
        raise ValueError(
            "got no CONFIG; expected a Python file" + (f", such as {', '.join(configs)}" if configs else "")
        )
    check = "--check" in args
    config = override(load_config(args[0]), [arg for arg in args[1:] if arg != "--check"], f"{prog} {args[0]}")
    if check:
        _check(config)
        return 0
    with hosts.joined(hosts.described(config)):
        folder = train(config)
        if not hosts.leader():
            return 0
    images = "" if config.pairs is None or config.pairs.task == "generate" else " --input IMAGES"
    allow = _allow(config, args[0])
    print(
        f"trained: {folder}; next: python sample.py {_task(config)} --run {folder}{images} --out samples/{config.name}{allow}"
    )
    return 0


def _check(config: TrainConfig) -> None:
    """Says what the data are, and shows patches of them."""
    data = open_data(config.data, config.patch, config.seed)
    print(report(data, config.patch))
    if config.pairs is not None:
        data = paired(data, config.pairs, patch=config.patch)
        print(f"pairs         {data.pairing.pairs if data.pairing else ''}")
    if getattr(config.network, "dtype", None) == "bfloat16":
        for sentence in unfilled(config.network):
            print(f"on a TPU      {sentence}")
    picture = Path(config.out) / f"{config.name}_check.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    print(f"16 patches as the network sees them: {patches_sheet(data, config.patch, picture, seed=config.seed)}")


def _task(config: TrainConfig) -> str:
    """The task of `sample.py` that a run of this config is for."""
    if config.pairs is None:
        return "generate"
    if not is_ours(type(config.pairs)):
        return "translate"
    return "generate-labelled" if config.pairs.task == "generate" else config.pairs.task


def _allow(config: TrainConfig, file: str) -> str:
    """The options that let other commands load a run with parts of a person's own; empty where there are none."""
    places = {place_of(cls).partition(":")[0] for cls in own_classes(config)}
    names = {file if place == Path(file).name else place.partition(".")[0] for place in places}
    allow = f" --allow {' '.join(sorted(names))}" if names else ""
    readers = [place_of(type(reader)) for reader in getattr(config.data, "readers", ())]
    name = Path(file).name
    of_file = [f"{file}{place.removeprefix(name)}" if place.startswith(f"{name}:") else place for place in readers]
    return allow + (f" --readers {' '.join(of_file)}" if readers else "")
