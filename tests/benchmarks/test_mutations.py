"""What `check_solver` overlooks: mutants of our solvers, of which none may pass. All: `python -m benchmarks.mutations`."""

import pytest

from benchmarks.mutations.__main__ import SOLVERS
from benchmarks.mutations.tables import Mutant, right
from benchmarks.mutations.trial import failed_by, mutants, share, states, trial
from benchmarks.mutations.updates import SPOILED_CORRECTOR
from jaxdiff.conformance.langevin import UNBALANCED, imbalance
from jaxdiff.conformance.subject import Subject

CHOSEN = {
    "DPMpp(3, eta=0)": ("D clipped to 3",),
    "IPNDM(3)": (),
    "SASolver(2, eta=0.7)": ("noise, half of the step before",),
    "EDMHeun(churn=20)": (),
}
"""One of each kind, with what is spoiled in its update, which compiles."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_no_mutant_passes(name):
    result = trial(SOLVERS[name], spoiled=CHOSEN[name])
    print(name, share({name: result}), result)
    assert result["mutants"] >= 25
    assert result["survivors"] == []


def test_a_solver_that_is_right_is_no_mutant():
    """The harness's own control: nothing changed is the same, bitwise, and passes."""
    solver = SOLVERS["DPMpp(2, eta=0)"]
    unchanged = Mutant(solver, right)
    assert all((got == own).all() for got, own in zip(states(unchanged), states(solver), strict=True))
    assert failed_by(unchanged) is None


def test_no_langevin_step_that_is_spoiled_passes():
    """Those mutants of the corrector that no other property tells."""
    spoiled = [each for what, each in mutants(SOLVERS["PredictorCorrector"]) if what in SPOILED_CORRECTOR]
    assert len(spoiled) == len(SPOILED_CORRECTOR)
    assert all(imbalance(Subject(mutant, 0.0)) > UNBALANCED for mutant in spoiled)
