"""The solver of a command, by name: inside Python, pass the object."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffrax

from jaxdiff import solvers
from jaxdiff.model import Model
from jaxdiff.parts import at_place
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
    "mean-flow": solvers.MeanFlow,
}


@dataclass(frozen=True, kw_only=True)
class SolverOptions:
    """Which solver, and how many calls of the network it takes."""

    solver: str | None = None
    """ddim, ddpm, dpmpp, unipc, deis, ipndm, sa, edm-heun, predictor-corrector, mean-flow, tuned (of `jaxdiff tune`, for
    --calls) or tuned:CALLS, or package.module:Class; default mean-flow of a model that was trained for few calls, else
    dpmpp."""
    calls: int | None = None
    """Network calls for each image, of a solver that makes one a step: values of λ on the way; default 2 of mean-flow, else
    20."""
    order: int | None = None
    """Order of the solver, where it has one."""
    eta: float | None = None
    """Noise of the solver, where it has an eta."""
    solver_fields: tuple[str, ...] = ()
    """Other fields of the solver, such as snr=0.1 corrections=2 of predictor-corrector, or those of a class of your own."""

    def __post_init__(self):
        if self.calls is not None and self.calls < 1:
            raise ValueError(f"got calls={self.calls}; expected at least 1; to fix: --calls 1 or more")

    def named(self, run: str | Path | None = None) -> diffrax.AbstractSolver:
        """The solver, before any model is loaded, which may have another default. Raises what `solver_named` does."""
        name = f"tuned:{self.calls or USUAL}" if self.solver == "tuned" else self.solver or "dpmpp"
        return solver_named(name, run, **self.fields)

    @property
    def fields(self) -> dict[str, Any]:
        """The solver's fields that were asked for. Raises ValueError for one that was twice."""
        fields = field_values(self.solver_fields)
        for name in ("order", "eta"):
            if name in fields and getattr(self, name) is not None:
                raise ValueError(
                    f"got --{name} and --solver-fields {name}=…; expected one; to fix: leave the other out"
                )
        return {"order": self.order, "eta": self.eta} | fields

    def calls_of(self, model: Model, solver: Any) -> int:
        """The network calls: those asked for, or what is usual with the solver."""
        return model.calls_of(solver) if self.calls is None else self.calls

    def solver_of(self, model: Model, guidance: float = 1.0) -> Any:
        """The solver for a model; a tuned one warns where it is for another checkpoint or guidance."""
        if self.solver is None and self.order is None and model.few_calls:
            return solver_named("mean-flow", **self.fields)
        solver = self.named(model.run)
        return model.tuned(solver.calls, guidance) if isinstance(solver, solvers.Tuned) else solver


USUAL = 20
"""Calls of tuned samplers that are asked for without a number."""
FEWEST = 4
"""Calls of D from which on a generator's images are images; see docs/solvers.md."""


def check_calls(calls: int, model: Model, solver: Any) -> None:
    """Raises ValueError for fewer calls of D than give images; of a tuned solver they were looked at."""
    if calls >= FEWEST or getattr(solver, "reads_span", False) or isinstance(solver, solvers.Tuned):
        return
    asked, other = f"{model.run}, which was trained for many", "a model for few calls (docs/few-calls.md)"
    if model.few_calls:
        asked, other = f"{type(solver).__name__}, which asks {model.run} for D", "leave out --solver and --order"
    raise ValueError(
        f"got --calls {calls} for {asked}: one call gives the mean of all images, {FEWEST - 1} give blurred ones; expected "
        f"{FEWEST} or more; to fix: --calls 10, a sampler of `jaxdiff tune {model.run} --nfe {FEWEST}`, or {other}"
    )


def field_values(texts: Sequence[str]) -> dict[str, Any]:
    """{name: value} of NAME=VALUE texts: numbers, true and false as in JSON, all else as text. Raises ValueError."""
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name.isidentifier() or not equals or name in values:
            raise ValueError(
                f"got the solver field {text!r}; expected NAME=VALUE, each name once; to fix: --solver-fields snr=0.1"
            )
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def solver_named(name: str, run: str | Path | None = None, **options: Any) -> diffrax.AbstractSolver:
    """The solver called `name`, or of class `package.module:Class`, made with those options that are not None.

    "tuned:CALLS" is the sampler that `jaxdiff tune` left in `run`. Raises `ValueError` for an unknown name or module, a
    class that is no solver, or an option that it does not take, FileNotFoundError where there is no such tuned sampler.
    """
    fields = {option: value for option, value in options.items() if value is not None}
    kind, _, calls = name.partition(":")
    if kind == "tuned":
        if run is None or not calls.isdigit() or fields:
            raise ValueError(
                f"got solver {name!r} with {', '.join(fields) or 'no options'}; expected tuned:CALLS of a run, such as "
                "tuned:5, without options; to fix: `jaxdiff tune RUN` makes them"
            )
        return stored.load_tuned(run, int(calls)).solver
    if ":" in name:
        cls = at_place(name, "solver")
    elif name in NAMES:
        cls = NAMES[name]
    else:
        raise ValueError(
            f"got solver {name!r}; expected one of {', '.join(NAMES)}, tuned:CALLS, or package.module:Class; to fix: "
            "choose one"
        )
    if not (inspect.isclass(cls) and issubclass(cls, diffrax.AbstractSolver)):
        raise ValueError(f"got solver {name!r}, which is no solver; expected a jd.Solver or a diffrax solver")
    parameters = set(inspect.signature(cls).parameters)
    if not set(fields) <= parameters:
        raise ValueError(
            f"got {', '.join(sorted(set(fields) - parameters))} for solver {name!r}; expected only "
            f"{', '.join(sorted(parameters)) or 'no options'}; to fix: leave it out"
        )
    try:
        return cls(**fields)
    except (TypeError, ValueError) as error:
        if str(error).startswith("got "):
            raise
        shown = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        raise ValueError(
            f"got {shown} for solver {name!r}, which refuses it ({error}); expected values of its fields; to fix: see its "
            "documentation"
        ) from error
