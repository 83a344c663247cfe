"""`check_solver`: that it tells what is wrong with a solver and nothing else, its table, devices, refusals and command."""

import sys

import broken
import broken_in_places
import diffrax
import jax.numpy as jnp
import pytest

import jaxdiff as jd
from jaxdiff import cli, script
from jaxdiff.conformance import Conformance, Row, check_solver
from jaxdiff.conformance.accuracy import limit, order
from jaxdiff.conformance.ends import ends
from jaxdiff.conformance.gradients import gradients
from jaxdiff.conformance.purity import pure
from jaxdiff.conformance.runs import nfe, traces
from jaxdiff.conformance.shapes import shapes
from jaxdiff.conformance.steps import consistent, long
from jaxdiff.conformance.subject import Subject

NAMES = [
    "nfe",
    "pure",
    "order",
    "limit",
    "consistent",
    "long",
    "moments",
    "frozen",
    "spans",
    "ends",
    "shapes",
    "float32",
    "batch",
    "devices",
    "traces",
    "gradients",
]


def test_table_is_printed_on_request_and_the_mode_is_left_as_it_was(capsys):
    result = check_solver(jd.DDIM(eta=0.5), verbose=True)
    assert capsys.readouterr().out == f"{result}\n"
    assert jnp.ones(()).dtype == jnp.float32
    assert [row.name for row in result.rows] == NAMES
    first, head, *lines = str(result).splitlines()
    assert first == "DDIM(eta=0.5): passed (2 not checked)"  # its order, and spans
    assert head.split() == ["property", "result", "measured", "expected"]
    assert [line.split()[0] for line in lines] == NAMES


def test_what_is_not_checked_does_not_fail_and_what_failed_is_explained():
    rows = (Row("nfe", "ok", "5", "5"), Row("order", "not checked", "stochastic"))
    assert Conformance("Mine()", rows).passed
    failed = Conformance("Mine()", (*rows, Row.judged("limit", False, "0.3", "0.1", "mind the signs")))
    assert not failed.passed
    assert str(failed).startswith("Mine(): failed: limit (1 not checked)\n")
    assert str(failed).endswith("\nlimit: mind the signs")
    assert Row.judged("limit", True, "0", "0.1", "mind the signs").explanation == ""


def test_over_two_devices(run_python):
    code = """
import jaxdiff as jd
from jaxdiff.conformance.runs import devices
from jaxdiff.conformance.shapes import shapes
from jaxdiff.conformance.steps import consistent, long
from jaxdiff.conformance.subject import Subject
print(devices(Subject(jd.DPMpp(order=2, eta=1.0), 0.0)))
"""
    assert "'ok', measured='bitwise on 2'" in run_python(code, devices=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "failed"),
    [
        (broken.Overstated(), {"order"}),
        (broken.TooNoisy(), {"limit", "consistent", "frozen"}),
        (broken.Biased(), {"limit", "consistent", "moments", "frozen"}),
        (broken.EqualSteps(order=2), {"order"}),
        (broken.NoiseOfTheStart(), {"frozen"}),
        (broken.RightAtZeroAndOne(order=1, eta=1.0), {"moments"}),
        (broken.Cancelling(), {"limit", "frozen", "ends", "float32"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_right_property_fails(solver, failed, capsys):
    result = check_solver(solver)
    assert capsys.readouterr().out == ""  # unless it is asked for
    assert {row.name for row in result.rows if row.result == "failed"} == failed, str(result)
    assert not result.passed
    for name in failed:
        assert f"\n{name}: {result[name].explanation}" in str(result)


@pytest.mark.parametrize(
    ("measure", "solver", "measured"),
    [
        (limit, broken.Clipped(), "(wide)"),
        (limit, broken.Rescaled(), "(wide)"),
        (limit, broken.Mixed(), "(unit)"),
        (limit, broken.OneNumber(), "(uniform)"),
        (limit, broken.Correlated(), "(uniform)"),
        (limit, broken.ClippedNoisy(), "(wide)"),
        (limit, broken_in_places.WeakAtTheEnd(), "(clean)"),
        (limit, broken_in_places.WeakAtTheStart(), "(noise)"),
        (limit, broken_in_places.SigmaFloor(), "(clean)"),
        (limit, broken_in_places.NoisyAtTheEnd(), "(clean)"),
        (limit, broken.NearlyAffine(), "(uniform)"),
        (limit, broken.NormedNoise(), "(bent noise)"),
        (consistent, broken_in_places.Counted(), "of order 0, 1"),
        (consistent, broken_in_places.Counted(left_out=20), "of order 0, 1"),
        (consistent, broken_in_places.OneStepWithoutNoise(), "of mean and covariance"),
        (long, broken_in_places.ShortSteps(), "last coefficients"),
        (long, broken_in_places.RoundedClock(), "last coefficients"),
        (shapes, broken_in_places.ThreeChannels(), "40 × 36 × 3"),
        (shapes, broken_in_places.ClippedVolume(), "12 × 10 × 9 × 4"),
        (shapes, broken_in_places.ClippedLargeImage(), "40 × 36 × 3"),
        (ends, broken.Shifted(), "from D of unit data, λ -1.5 to 0.5"),
        (ends, broken_in_places.ClippedResult(), "wide data"),
        (ends, broken_in_places.EndsWithTheState(), "one image"),
        (ends, broken_in_places.EndsWithHalf(), "clean end"),
        (order, broken.ClaimsEight(), "(slope over coarse grids)"),
        (pure, broken.Counting(), "changes when traced again"),
        (pure, broken.NumpyNoise(), "changes when traced again"),
        (pure, broken.OwnNoise(), "draws random numbers"),
        (pure, broken.AsksTheHost(), "calls the host"),
        (ends, broken_in_places.ShortOfTheEnd(), "no row leads to the end"),
        (nfe, broken.Underdeclared(), "9 calls an image"),
        (traces, broken.StaticFloat(), "traced again for a new strength"),
        (gradients, broken.Stopped(), "vjp"),
        (gradients, broken_in_places.StoppedAtTheEnd(), "vjp"),
        (gradients, broken.NotANumberBackwards(), "gradient not finite"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, jd.Solver) else None,
)
def test_one_property(measure, solver, measured):
    row = measure(Subject(solver, 0.0))
    assert row.result == "failed"
    assert measured in row.measured
    assert row.explanation


@pytest.mark.slow
def test_noise_of_diffrax_s_solvers_is_told_to_two_per_cent():
    wrong, right = (limit(Subject(solver, 1.0)) for solver in (broken.NoisyEulerHeun(), diffrax.EulerHeun()))
    assert wrong.result == "failed"
    assert right.result == "ok", right.measured


def test_what_is_right_in_another_way_is_right():
    """A last update that is D, a memory that counts, a D that bends a little."""
    assert ends(Subject(broken_in_places.EndsWithD(), 0.0)).result == "ok"
    counted = broken_in_places.Counted(left_out=-1)
    assert consistent(Subject(counted, 0.0)).result == long(Subject(counted, 0.0)).result == "ok"
    assert limit(Subject(broken.NearlyAffine(scale=1.0), 0.0)).result == "ok"


def test_what_does_not_run_is_told_once():
    for solver, words in ((broken.Undeclared(), "got 2 denoiser calls"), (broken.Raises(), "no table today")):
        result = check_solver(solver)
        assert [row.result for row in result.rows] == ["failed"] + ["not checked"] * (len(NAMES) - 1)
        assert words in str(result)


@pytest.mark.usefixtures("x64")
def test_the_caller_s_precision_is_left_as_it_is():
    assert nfe(Subject(jd.DDIM(), 0.0)).result == ends(Subject(jd.DDIM(), 0.0)).result == "ok"
    assert jnp.ones(()).dtype == jnp.float64


@pytest.mark.parametrize(
    ("solver", "options", "message"),
    [
        ("ddim", {}, "got 'ddim'; expected a solver object"),
        (jd.DDIM, {}, r"to fix: check_solver\(DDIM\(\)\)"),
        (jd.DDIM(), {"eta": 1.0}, "got DDIM with eta=1.0; expected the solver's own"),
        (diffrax.Kvaerno3(), {}, "got the implicit solver Kvaerno3"),
    ],
)
def test_refusals(solver, options, message):
    with pytest.raises(ValueError, match=message):
        check_solver(solver, **options)


MODULE = """
import jaxdiff as jd

class Mine(jd.Solver):
    order = 1

    def update(self, denoise, x, at, to, noise, memory):
        return 0.5 * denoise(denoise(x, at.lam), at.lam), memory
"""


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    (tmp_path / "my_solver.py").write_text(MODULE)
    monkeypatch.setattr(sys.modules["jaxdiff.conformance.check_solver"], "PROPERTIES", (nfe, ends))  # all: above
    assert script.run(cli.COMMANDS["check-solver"], ["ddim", "--eta", "0.5"], "cmd") == 0
    assert capsys.readouterr().out.startswith("DDIM(eta=0.5): passed")
    assert script.run(cli.COMMANDS["check-solver"], ["my_solver:Mine"], "cmd") == 1
    assert "got 2 denoiser calls in one update of Mine" in capsys.readouterr().out
    assert script.run(cli.COMMANDS["check-solver"], ["ddmi"], "cmd") == 2
    assert "expected one of ddim" in capsys.readouterr().err
