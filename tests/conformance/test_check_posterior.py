"""`check_posterior`: the recursion is the sampler's, wrong methods fail, ours keep what docs/posterior.md says."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff import cli, script
from jaxdiff.conformance.posterior import Cell, PosteriorConformance, check_posterior
from jaxdiff.conformance.posterior.harsh import bounded
from jaxdiff.conformance.posterior.moments import (
    SOLVER,
    affine,
    grid_of,
    moments_by_recursion,
    moments_of,
    moments_of_samples,
)
from jaxdiff.conformance.posterior.problems import NOISES, OPERATORS, SHAPE, SIZE, Problem
from jaxdiff.conformance.report import Row
from jaxdiff.guidance.posterior import DPS, MMPS, DiffPIR, Measurement
from jaxdiff.process.gaussian import alpha, sigma

FEW = {"operators": ("mask",), "noises": (0.1,), "calls": (20,), "samples": 64}


class Unbounded(eqx.Module):
    """DPS with the spread of x0 left out: it diverges."""

    denoise: jd.Denoiser
    measurement: Measurement

    def __call__(self, x, lam, cond=None):
        x0, pull = jax.vjp(lambda x: self.denoise(x, lam, cond), x)
        near, lam = self.measurement.at(x0), jnp.asarray(lam, x.dtype)
        return x0 + sigma(lam) ** 2 / alpha(lam) * pull(near.operator.adjoint(near.residual) / near.noise**2)[0]


def deaf(denoise, measurement):
    """Does not listen to the data; a plain function, no tree of arrays."""
    return lambda x, lam, cond=None: denoise(x, lam, cond)


def spoiled(where, other):
    """The posterior's own denoiser, to the error of MMPS, but for the states where `where(x)`."""

    def method(denoise, measurement):
        inner = Problem("binning", "rough", 0.1).exact()

        def guided(x, lam, cond=None):
            image = inner(x, lam)
            return jnp.where(where(x), other(image), image)

        return guided

    return method


def of_the_wrong_shape(denoise, measurement):
    return lambda x, lam, cond=None: measurement.y


def raising(denoise, measurement):
    raise RuntimeError("no such method today")


@pytest.mark.parametrize("operator", ["binning", "mask"])
def test_the_recursion_has_the_moments_of_samples(operator):
    problem, calls = Problem(operator, "rough", 0.1), 20
    exact = moments_of(problem, DiffPIR, (calls,), 0)[0]
    assert exact.samples is None
    some = moments_of_samples(problem.guided(DiffPIR), calls, 2048)
    std = np.sqrt(np.diag(exact.cov))
    assert np.abs((some.mean - exact.mean) / std).max() < 5 / np.sqrt(2048)
    np.testing.assert_allclose(some.cov, exact.cov, atol=6 * std.max() ** 2 / np.sqrt(2048))


def test_the_recursion_is_exact_for_the_exact_denoiser():
    """With many calls the posterior itself, to the error of the solver; without data that is the prior."""
    problem = Problem("binning", "rough", 0.5)
    grid = grid_of(1000)
    with jax.enable_x64(True):
        K, k = affine(problem.exact(), grid)
    got, (mean, cov) = moments_by_recursion(SOLVER, grid, K, k), problem.posterior
    np.testing.assert_allclose(got.mean, mean, atol=1e-4)
    np.testing.assert_allclose(got.cov, cov, atol=4e-3)


def test_posteriors_are_those_of_the_operators():
    """Closed forms through the operators themselves, beside the problem's matrix with rows of zeros."""
    for name, operator in OPERATORS.items():
        problem = Problem(name, "smooth", 0.1)
        operator = jax.tree.map(jnp.asarray, operator)
        image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
        measured = np.ravel(operator(image))
        whole = problem.matrix @ image.ravel()
        np.testing.assert_allclose(whole[: measured.size], measured, atol=1e-5)
        assert not whole[measured.size :].any()
        # Bayes in information form: precisions add.
        mean, cov = problem.posterior
        A, C = problem.matrix, problem.images.cov
        precision = np.linalg.inv(C) + A.T @ A / 0.1**2
        np.testing.assert_allclose(precision @ cov, np.eye(SIZE), atol=1e-6)
        prior = np.linalg.solve(C, problem.images.mean.ravel())
        np.testing.assert_allclose(precision @ mean, prior + A.T @ problem.y / 0.1**2, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_mmps_samples_the_posterior_and_the_table_says_where_a_method_does_not():
    right = check_posterior(MMPS, operators=("mask", "binning"), noises=(0.1,), calls=(20,), samples=128)
    assert right.passed, str(right)
    assert right.bounded
    assert right.region == {"mask": "all", "binning": "all"}
    wrong = check_posterior(DiffPIR, **FEW)
    assert not wrong.passed
    assert wrong.bounded
    smooth = wrong.of("mask", 0.1, 20)[1]
    assert smooth.prior == "smooth"
    assert smooth.verdict == "biased"
    assert smooth.spread > 1.5
    lines = str(wrong).splitlines()
    assert lines[0] == "DiffPIR: failed: mask"
    assert any(line.startswith("mask       0.1") or line.split()[:2] == ["mask", "0.1"] for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "row", "words"),
    [
        (Unbounded, "bounded", "gain is not bounded"),
        (deaf, "mask", "not of the posterior"),
        (partial(MMPS, iterations=0), "shapes", "got iterations=0"),
        (of_the_wrong_shape, "shapes", "x's shape"),
        (raising, "shapes", "no such method today"),
    ],
    ids=["unbounded", "deaf", "option", "shape", "raising"],
)
def test_wrong_methods_fail_where_they_are_wrong(method, row, words):
    result = check_posterior(method, **(FEW if row != "shapes" else {}))
    assert not result.passed
    assert result[row].result == "failed"
    assert words in str(result)
    if row == "shapes":
        assert all(other.result == "not checked" for other in result.rows[1:])
    if method is Unbounded:
        assert not result.bounded
        assert result.of("mask")[1].verdict == "diverges"


SPOILED = {
    "half a standard deviation more on one side": (lambda x: x[0, 0, 0] < 0, lambda image: image + 1),
    "elsewhere in the bright": (lambda x: x.mean() > 0.9, lambda image: image + 5),
    "not finite in the bright": (lambda x: x.mean() > 0.9, lambda image: jnp.nan * image),
}


@pytest.mark.parametrize("what", SPOILED)
def test_what_is_wrong_for_some_states_is_not_taken_for_affine(what):
    denoise = spoiled(*SPOILED[what])(None, None)
    with jax.enable_x64(True):
        assert affine(denoise, grid_of(20)[:3]) is None
        assert affine(Problem("binning", "rough", 0.1).exact(), grid_of(20)[:3]) is not None


def test_what_is_not_finite_somewhere_is_not_bounded():
    rare = spoiled(lambda x: x.mean() > 1.6, lambda image: jnp.nan * image)
    row = bounded(rare)
    assert row.result == "failed"
    assert "D_y is not finite at" in row.explanation


def test_dps_at_its_default_is_bounded_everywhere_and_has_the_posterior_s_spread():
    """The issue's case: 20 calls, noise 0.1."""
    assert bounded(DPS).result == "ok"
    problem = Problem("mask", "smooth", 0.1)
    with jax.enable_x64(False):
        got = moments_of_samples(problem.guided(DPS), 20, 256)
    spread = np.sqrt(np.mean(np.diag(got.cov) / np.diag(problem.posterior[1])))
    assert 0.85 < spread < 1.2


def cell(mean=0.1, spread=1.0, solver=1.0):
    return Cell("mask", "rough", 0.1, 20, mean, spread, 0.0, solver)


def test_verdicts():
    assert cell().verdict == "right"
    assert cell(mean=0.4).verdict == "biased"
    assert cell(spread=1.2).verdict == "biased"
    assert cell(spread=0.6, solver=0.62).verdict == "solver"
    assert cell(spread=0.6).verdict == "biased"
    assert cell(mean=np.nan).verdict == cell(spread=4e17).verdict == "diverges"
    report = PosteriorConformance("Mine", (cell(), cell(mean=0.4)), (Row("bounded", "ok", ""),))
    assert report.region == {"mask": "1 of 2"}
    assert report.bounded
    assert "0.4 | 1.00 !" in str(report)


def test_refusals():
    with pytest.raises(ValueError, match="expected a class or function"):
        check_posterior("mmps")
    with pytest.raises(ValueError, match="got operators \\['lens'\\]"):
        check_posterior(MMPS, operators=("lens",))
    for options, words in (
        ({"operators": ()}, "got operators=\\(\\)"),
        ({"operators": "mask"}, "got operators='mask'"),
        ({"noises": ()}, "got noises=\\(\\)"),
        ({"calls": ()}, "got calls=\\(\\)"),
        ({"noises": (float("nan"), -0.1)}, "got noises \\[nan, -0.1\\]"),
        ({"calls": (0,)}, "got calls \\[0\\]"),
        ({"samples": 1}, "got samples=1"),
    ):
        with pytest.raises(ValueError, match=words):
            check_posterior(MMPS, **options)
    assert jd.check_posterior is check_posterior
    assert NOISES == (0.03, 0.1, 0.5)


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    (tmp_path / "my_posterior.py").write_text("def prior(denoise, measurement):\n    return 1\n")
    assert script.run(cli.COMMANDS["check-posterior"], ["my_posterior:prior"], "cmd") == 1
    assert "prior: failed: shapes" in capsys.readouterr().out
    assert script.run(cli.COMMANDS["check-posterior"], ["nothing"], "cmd") == 2
    assert "expected one of diffpir" in capsys.readouterr().err
