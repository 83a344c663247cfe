"""Every solver of the library, and diffrax's, keeps what is promised."""

import diffrax
import pytest
from solvers_table import DETERMINISTIC, STOCHASTIC, name

import jaxdiff as jd
from jaxdiff.conformance import check_solver
from jaxdiff.conformance.runs import GRID
from jaxdiff.solvers.predictor_corrector import PredictorCorrector


def calls(solver, n: int) -> int:
    """Denoiser calls of a grid of n values."""
    if isinstance(solver, PredictorCorrector):
        return n * (solver.corrections + 1)
    return 2 * n - 1 if isinstance(solver, jd.EDMHeun) else n


@pytest.mark.parametrize("solver", [*DETERMINISTIC, *STOCHASTIC], ids=name)
def test_ours(solver):
    result = check_solver(solver)
    print(result)
    assert result.passed, str(result)
    assert result["nfe"].measured == f"{calls(solver, len(GRID))} calls an image"
    stochastic = solver in STOCHASTIC
    assert (result["order"].result == "not checked") == stochastic
    assert result["limit"].result == "ok"


@pytest.mark.parametrize(("solver", "eta"), [(diffrax.Tsit5(), 0.0), (diffrax.Euler(), 1.0)], ids=str)
def test_diffrax(solver, eta):
    result = check_solver(solver, eta=eta)
    assert result.passed, str(result)
    assert result["order" if eta == 0 else "limit"].result == "ok"
