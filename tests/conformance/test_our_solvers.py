"""Every solver of the library, and diffrax's, keeps what is promised."""

import diffrax
import pytest
from solvers_table import DETERMINISTIC, STOCHASTIC, name

import jaxdiff as jd
from jaxdiff.conformance import check_solver
from jaxdiff.conformance.accuracy import order
from jaxdiff.conformance.runs import GRID
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.predictor_corrector import PredictorCorrector


def calls(solver, n: int) -> int:
    """Denoiser calls of a grid of n values."""
    if isinstance(solver, PredictorCorrector):
        return n * (solver.corrections + 1)
    return 2 * n - 1 if isinstance(solver, jd.EDMHeun) else n


@pytest.mark.slow
@pytest.mark.parametrize("solver", [*DETERMINISTIC, *STOCHASTIC], ids=name)
def test_ours(solver):
    result = check_solver(solver)
    print(result)
    assert result.passed, str(result)
    assert result["nfe"].measured == f"{calls(solver, len(GRID))} calls an image"
    stochastic = solver in STOCHASTIC
    assert result["order"].result == result["limit"].result == "ok"
    assert result["frozen"].result == "ok"
    assert ("without noise" in result["order"].expected) == stochastic


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "eta"), [(diffrax.Tsit5(), 0.0), (diffrax.Euler(), 1.0)], ids=str)
def test_diffrax(solver, eta):
    result = check_solver(solver, eta=eta)
    assert result.passed, str(result)
    assert result["order" if eta == 0 else "limit"].result == "ok"


def test_weights_of_equal_steps_are_of_order_one_and_those_of_the_true_lengths_of_their_own():
    """On grids whose steps are equal, alternate as 1 to 3, and are irregular."""
    assert order(Subject(jd.IPNDM(order=3), 0.0)).measured == "2 (uniform), 1 (alternating), 1 (irregular)"
    for number in (2, 3, 4):
        measured = order(Subject(jd.IPNDM(order=number, variable=True), 0.0)).measured
        assert measured == f"{number} (uniform), {number} (alternating), {number} (irregular)"
