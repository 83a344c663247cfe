"""The table of a method of posterior sampling, from the command line."""

import functools
import importlib
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from jaxdiff.conformance import check_posterior
from jaxdiff.tasks.restoration.restore import METHODS


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
    method = _named(options.method)
    if options.iterations is not None:
        method = functools.partial(method, iterations=options.iterations)
    return 0 if check_posterior(method, samples=options.samples, verbose=True).passed else 1


def _named(name: str) -> Any:
    """The method called `name`, or what `package.module:attribute` is. Raises ValueError for an unknown one."""
    if name in METHODS:
        return METHODS[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(
            f"got method {name!r}; expected one of {', '.join(METHODS)}, or package.module:Class; to fix: choose one"
        )
    sys.path.insert(0, "")  # a module of the person's own, in the folder they stand in
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"got method {name!r}, which cannot be imported ({error}); expected package.module:Class; to fix: name an "
            "importable module"
        ) from error
    finally:
        sys.path.remove("")
