"""The solver of every command: one set of options, the fields of a person's own class among them."""

import dataclasses
import sys
from pathlib import Path

import pytest

import jaxdiff as jd
from jaxdiff.commands.estimates import EstimateOptions
from jaxdiff.commands.export import Export
from jaxdiff.commands.generate import Generate
from jaxdiff.commands.generate_labelled import GenerateLabelled
from jaxdiff.commands.restoration.options import RestoreOptions
from jaxdiff.commands.segment import Segment
from jaxdiff.commands.solver_options import SolverOptions, field_values

OWN = """
import jaxdiff as jd
from jaxdiff.solvers.base import array_leaf
import equinox as eqx
import numpy as np

class Mine(jd.DDIM):
    strength: np.ndarray = eqx.field(default=1.0, converter=array_leaf)
    kind: str = eqx.field(default="soft", static=True)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_solvers.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield "own_solvers:Mine"
    sys.modules.pop("own_solvers", None)


def test_all_commands_have_the_same_options():
    names = {field.name for field in dataclasses.fields(SolverOptions)}
    for options in (Generate, GenerateLabelled, Export, Segment, EstimateOptions, RestoreOptions):
        assert names <= {field.name for field in dataclasses.fields(options)}
        assert issubclass(options, SolverOptions)


def test_fields_of_ours_and_of_a_persons_own(own):
    solver = SolverOptions(solver="predictor-corrector", solver_fields=("snr=0.3", "corrections=2"), eta=0.5).named()
    assert isinstance(solver, jd.PredictorCorrector)
    assert (float(solver.snr), solver.corrections, float(solver.eta)) == (0.3, 2, 0.5)
    mine = SolverOptions(solver=own, solver_fields=("strength=0.25", "kind=hard")).named()
    assert (type(mine).__name__, float(mine.strength), mine.kind) == ("Mine", 0.25, "hard")


def test_restorations_take_them_beside_their_own_default():
    def solver(**options):
        return RestoreOptions(input=Path("in"), out=Path("out"), **options).named()

    assert float(solver().eta) == float(solver(solver_fields=("order=1",)).eta) == 1.0
    assert (solver().order, solver(solver_fields=("order=1",)).order) == (2, 1)
    assert float(solver(solver_fields=("eta=0.5",)).eta) == 0.5
    with pytest.raises(ValueError, match="got --order and --solver-fields order"):
        solver(order=2, solver_fields=("order=1",))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("sharpness=1",), "got sharpness for solver .*; expected only .*strength"),
        (("strength",), "expected NAME=VALUE"),
        (("strength=1", "strength=2"), "each name once"),
        (("=1",), "expected NAME=VALUE"),
    ],
)
def test_other_fields_are_refused_with_those_there_are(own, fields, words):
    with pytest.raises(ValueError, match=words):
        SolverOptions(solver=own, solver_fields=fields).named()


def test_values_are_those_of_json_or_text():
    assert field_values(("a=1", "b=0.5", "c=true", "d=null", "e=karras", "f=x=y")) == {
        **{"a": 1, "b": 0.5, "c": True, "d": None, "e": "karras", "f": "x=y"}
    }


def test_the_number_of_calls_is_positive():
    with pytest.raises(ValueError, match=r"got calls=0; expected at least 1; to fix: --calls 1 or more"):
        SolverOptions(calls=0)
