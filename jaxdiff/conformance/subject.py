"""The solver under test, as `sample` runs it and as the table's rows run it."""

from dataclasses import dataclass
from functools import cached_property

import diffrax
import jax
import numpy as np

from jaxdiff.conformance.march import march
from jaxdiff.conformance.problems import IMAGE
from jaxdiff.solvers.base import RowSolver, Solver
from jaxdiff.solvers.stepped import Stepped


@dataclass(frozen=True, eq=False)
class Subject:
    """A solver, and for one of diffrax's the η of (★) to run it at."""

    given: diffrax.AbstractSolver
    eta: float

    @cached_property
    def rowed(self) -> RowSolver:
        """The solver that walks the rows: the given one, or diffrax's with one of its steps a row."""
        return self.given if isinstance(self.given, RowSolver) else Stepped(self.given, self.eta)

    @property
    def own(self) -> bool:
        """Whether it has an update formula, and so takes its noise from outside."""
        return isinstance(self.rowed, Solver)

    @cached_property
    def noisy(self) -> bool:
        """Whether another key gives another result; the class may be stochastic and its noise's weight zero."""
        with jax.enable_x64(True):
            x, grid = np.zeros((4, *IMAGE.shape)), np.linspace(-2.0, 1.0, 9)
            one, other = (np.asarray(march(self.rowed, IMAGE.denoise, grid, x, seed=seed)) for seed in (0, 1))
        return not np.array_equal(one, other, equal_nan=True)
