"""Solvers by name, for the command line only: inside Python, pass the object."""

import importlib
import inspect
import sys
from typing import Any

import diffrax

from jaxdiff import solvers

NAMES = {
    "ddim": solvers.DDIM,
    "ddpm": solvers.DDPM,
    "dpmpp": solvers.DPMpp,
    "unipc": solvers.UniPC,
    "deis": solvers.DEIS,
    "ipndm": solvers.IPNDM,
    "edm-heun": solvers.EDMHeun,
}


def solver_named(name: str, **options: Any) -> diffrax.AbstractSolver:
    """The solver called `name`, or of class `package.module:Class`, made with those options that are not None.

    Raises `ValueError` for an unknown name or module, a class that is no solver, or an option that it does not take.
    """
    if ":" in name:
        module, _, attribute = name.partition(":")
        sys.path.insert(0, "")  # a module of the person's own, in the folder they stand in
        try:
            cls = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"got solver {name!r}, which cannot be imported ({error}); expected package.module:Class; to fix: name "
                "an importable module, such as diffrax:Tsit5"
            ) from error
        finally:
            sys.path.remove("")
    elif name in NAMES:
        cls = NAMES[name]
    else:
        raise ValueError(
            f"got solver {name!r}; expected one of {', '.join(NAMES)}, or package.module:Class; to fix: choose one"
        )
    if not (inspect.isclass(cls) and issubclass(cls, diffrax.AbstractSolver)):
        raise ValueError(f"got solver {name!r}, which is no solver; expected a jd.Solver or a diffrax solver")
    given = {option: value for option, value in options.items() if value is not None}
    known = set(inspect.signature(cls).parameters)
    if not set(given) <= known:
        raise ValueError(
            f"got {', '.join(sorted(set(given) - known))} for solver {name!r}; expected only "
            f"{', '.join(sorted(known)) or 'no options'}; to fix: leave it out"
        )
    return cls(**given)
