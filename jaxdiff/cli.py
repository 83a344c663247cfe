"""The commands of `jaxdiff`, and the list of them that it prints; `train.py` and `sample.py` call the same ones."""

import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from jaxdiff import script
from jaxdiff.commands.sample import TASKS
from jaxdiff.commands.table import Command, lines

COMMANDS: Mapping[str, Command] = {
    "train": Command(
        "CONFIG [--check] [--option value …]",
        "train the run that a config file describes; the same command resumes it",
        "train",
    ),
    "sample": Command("TASK [--option …]", "what trained models do with images", "sample"),
    "calibrate": Command(
        "RUN --input DIR [--truth DIR]",
        "intervals and classes as sure as they say, from held-out images and their truths",
        "calibrate",
    ),
    "usual": Command(
        "RUN --segmented DIR", "what known images look like to a run, so that sample segment says which do not", "usual"
    ),
    "prepare": Command(
        "DIR --out DATA --name NAME",
        "a folder of images as records that training reads fast, large ones in tiles",
        "prepare",
    ),
    "pack": Command("RUN --out DIR", "a run as two small files, for shipping", "pack"),
    "tune": Command("RUN [--nfe 4 5 6 8]", "learn samplers of few calls for a trained run: --solver tuned:5", "tune"),
    "check-solver": Command(
        "NAME|package.module:Class",
        "hold a solver to what the library promises, and print the table",
        "check_solver",
    ),
    "check-posterior": Command(
        "NAME|package.module:Class",
        "hold a method of posterior sampling beside posteriors in closed form",
        "check_posterior",
    ),
    "export": Command(
        "RUN [--out FILE.zip]",
        "the sampler as one file that runs without jaxdiff, on CPU, CUDA and TPU",
        "export",
    ),
    "plan": Command(
        "CONFIG|RUN --on v5e:16x16",
        "whether a training step or sampler fits a slice that is not here, and how fast",
        "plan",
    ),
    "demo": Command("", "what the models that come with jaxdiff do, as pictures", "demo"),
    "demo-train": Command(
        "[--option value …]",
        "train a small model on synthetic microscope images and sample from it",
        "demo_train",
    ),
}


def usage() -> str:
    """The list of all commands, with the tasks of `sample` in its place."""
    listed = []
    for name, command in COMMANDS.items():
        listed += lines(TASKS, "sample ") if name == "sample" else lines({name: command})
    more = "`jaxdiff COMMAND --help` lists the options of a command, such as `jaxdiff sample generate --help`."
    return "\n".join(["usage: jaxdiff COMMAND …", "", *listed, "", more])


def main() -> NoReturn:
    """The `jaxdiff` command, for `jaxdiff.__main__`."""
    name, args = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if name in COMMANDS:
        script.script(COMMANDS[name], args, f"jaxdiff {name}")
    script.script(_listed, [name] if name else [], "jaxdiff")


def _listed(args: Sequence[str], prog: str) -> int:
    """Prints the list of commands, which is asked for or all there is to say; the exit status."""
    if args and args[0] in ("-h", "--help"):
        print(usage())
        return 0
    error = f"{prog}: error: got command {args[0]!r}; expected one of {', '.join(COMMANDS)}\n\n" if args else ""
    print(f"{error}{usage()}", file=sys.stderr)
    return 2
