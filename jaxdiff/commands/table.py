"""What a list of commands is made of; nothing is imported before a command is called."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from jaxdiff.script import use_compilation_cache

WIDTH = 54
"""Columns of what is typed."""


class Command(NamedTuple):
    """One line of the list: what is typed after the name, what it is for, and the module whose `main(args, prog)` does it."""

    arguments: str
    purpose: str
    module: str
    """Below `jaxdiff.commands`."""

    def __call__(self, args: Sequence[str], prog: str) -> int:
        use_compilation_cache()
        return import_module(f"jaxdiff.commands.{self.module}").main(list(args), prog)


def lines(commands: Mapping[str, Command], before: str = "") -> list[str]:
    """The list, with `before` in front of every name."""
    return [
        f"  {f'{before}{name} {command.arguments}'.ljust(WIDTH)}  {command.purpose}"
        for name, command in commands.items()
    ]
