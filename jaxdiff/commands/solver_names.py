"""Solvers by name, for the command line only: inside Python, pass the object."""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import diffrax

from jaxdiff import solvers
from jaxdiff.tuning import stored

NAMES = {
    "ddim": solvers.DDIM,
    "ddpm": solvers.DDPM,
    "dpmpp": solvers.DPMpp,
    "unipc": solvers.UniPC,
    "deis": solvers.DEIS,
    "ipndm": solvers.IPNDM,
    "edm-heun": solvers.EDMHeun,
    "sa": solvers.SASolver,
    "predictor-corrector": solvers.PredictorCorrector,
}


def solver_named(name: str, run: str | Path | None = None, **options: Any) -> diffrax.AbstractSolver:
    """The solver called `name`, or of class `package.module:Class`, made with those options that are not None.

    "tuned:CALLS" is the sampler that `jaxdiff tune` left in `run`. Raises `ValueError` for an unknown name or module, a
    class that is no solver, or an option that it does not take, FileNotFoundError where there is no such tuned sampler.
    """
    given = {option: value for option, value in options.items() if value is not None}
    kind, _, calls = name.partition(":")
    if kind == "tuned":
        if run is None or not calls.isdigit() or given:
            raise ValueError(
                f"got solver {name!r} with {', '.join(given) or 'no options'}; expected tuned:CALLS of a run, such as "
                "tuned:5, without options; to fix: `jaxdiff tune RUN` makes them"
            )
        return stored.load(run, int(calls)).solver
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
            f"got solver {name!r}; expected one of {', '.join(NAMES)}, tuned:CALLS, or package.module:Class; to fix: "
            "choose one"
        )
    if not (inspect.isclass(cls) and issubclass(cls, diffrax.AbstractSolver)):
        raise ValueError(f"got solver {name!r}, which is no solver; expected a jd.Solver or a diffrax solver")
    known = set(inspect.signature(cls).parameters)
    if not set(given) <= known:
        raise ValueError(
            f"got {', '.join(sorted(set(given) - known))} for solver {name!r}; expected only "
            f"{', '.join(sorted(known)) or 'no options'}; to fix: leave it out"
        )
    return cls(**given)
