"""The command line of a benchmark: its parts by name, their options, and the status that the process ends with."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import tyro

from jaxdiff.data.errors import DataError
from jaxdiff.script import use_compilation_cache

Part = Callable[..., int | str | None]
"""A function of its options, a dataclass or plain arguments; it returns an exit status, or the words of a failure."""


def command(parts: Part | Mapping[str, Part], doc: str | None, cache: bool = False) -> NoReturn:
    """Runs the part that the command line asks for, and ends the process.

    Args:
        parts: one part, or parts by the names that the command line gives them.
        doc: the module's docstring, for `--help`.
        cache: whether compiled programs are kept from one run for the next; not where compilation is measured.

    Raises:
        SystemExit: always; with status 2 where the part refuses its data (DataError, FileNotFoundError).
    """
    if cache:
        use_compilation_cache()
    how: dict[str, Any] = {"description": doc, "config": (tyro.conf.OmitArgPrefixes,)}
    try:
        if isinstance(parts, Mapping):
            sys.exit(tyro.extras.subcommand_cli_from_dict(dict(parts), **how))
        sys.exit(tyro.cli(parts, **how))
    except (DataError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
