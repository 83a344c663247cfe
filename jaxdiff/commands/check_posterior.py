"""The table of a method of posterior sampling, from the command line."""

import functools
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from jaxdiff.commands.restoration.options import method_named
from jaxdiff.conformance import check_posterior


@dataclass(frozen=True)
class CheckPosterior:
    """Hold a method of posterior sampling beside posteriors in closed form, and print the table."""

    method: Annotated[str, tyro.conf.Positional]
    """A name such as mmps, or package.module:Class (or a function); a module in this folder is found."""
    iterations: int | None = None
    """Of mmps."""
    samples: int = 256
    """For each cell of a method that is not affine."""


def main(args: list[str], prog: str = "jaxdiff check-posterior") -> int:
    """The command: options from `args`; exit status 0, or 1 where the method is not right everywhere."""
    options = tyro.cli(CheckPosterior, prog=prog, args=args)
    method: Any = method_named(options.method)
    if options.iterations is not None:
        method = functools.partial(method, iterations=options.iterations)
    return 0 if check_posterior(method, samples=options.samples, verbose=True).passed else 1
