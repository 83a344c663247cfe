"""The conformance table of a solver, from the command line."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from jaxdiff.commands.solver_options import SolverOptions, solver_named
from jaxdiff.conformance import check_solver
from jaxdiff.solvers.base import RowSolver


@dataclass(frozen=True)
class CheckSolver:
    """Hold a solver to what the library promises of solvers, and print the table."""

    solver: Annotated[str, tyro.conf.Positional]
    """A name such as dpmpp, or package.module:Class; a module in this folder is found."""
    order: int | None = None
    """Order of the solver, where it has one."""
    eta: float | None = None
    """Noise of the solver, where it has an eta; of diffrax's own: 1 for the SDE."""
    solver_fields: tuple[str, ...] = ()
    """Other fields of the solver, such as snr=0.1."""


def main(args: list[str], prog: str = "jaxdiff check-solver") -> int:
    """The command: options from `args`; exit status 0, or 1 where a property failed."""
    options = tyro.cli(CheckSolver, prog=prog, args=args)
    solver_options = SolverOptions(order=options.order, eta=options.eta, solver_fields=options.solver_fields)
    fields = solver_options.fields
    eta = fields.pop("eta")
    solver = solver_named(options.solver, **fields)
    if isinstance(solver, RowSolver) and eta is not None:
        solver, eta = solver_named(options.solver, eta=eta, **fields), None
    return 0 if check_solver(solver, eta=eta or 0.0, verbose=True).passed else 1
