"""Tuned samplers on disk: numbers to the last bit, and clear words about what is missing or damaged."""

import numpy as np
import pytest

from jaxdiff.commands.solver_options import solver_named
from jaxdiff.solvers import Tuned
from jaxdiff.tuning import stored

SOLVER = Tuned(np.array([-5.1, 1 / 3, 0.7]), np.array([0.1, 0.2, 0.3]), np.arange(6.0).reshape(3, 2) / 7)


def test_round_trip(tmp_path):
    path = stored.save(tmp_path, SOLVER, {"checkpoint": 20})
    assert path == tmp_path / "tuned" / "3.json"
    solver, record = stored.load_tuned(tmp_path, 3)
    assert record["checkpoint"] == 20
    for name in ("grid", "state", "values"):
        np.testing.assert_array_equal(getattr(solver, name), getattr(SOLVER, name))
    named = solver_named("tuned:3", run=tmp_path)
    np.testing.assert_array_equal(named.grid, SOLVER.grid)


def test_missing_damaged_or_with_options(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"which has none.*jaxdiff tune"):
        stored.load_tuned(tmp_path, 5)
    path = stored.save(tmp_path, SOLVER, {})
    with pytest.raises(FileNotFoundError, match=r"samplers of \[3\] calls"):
        stored.load_tuned(tmp_path, 5)
    with pytest.raises(ValueError, match="without options"):
        solver_named("tuned:3", run=tmp_path, order=2)
    with pytest.raises(ValueError, match="tuned:CALLS"):
        solver_named("tuned:many", run=tmp_path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match="--again"):
        stored.load_tuned(tmp_path, 3)
    path.write_text('{"format": 99}')
    with pytest.raises(ValueError, match="format 99"):
        stored.load_tuned(tmp_path, 3)
