"""What the sampler alone costs in coverage: the rows of `benchmarks.intervals`, beside closed forms."""

import numpy as np
import pytest
from scipy.special import expit

import jaxdiff as jd
from benchmarks import intervals


def spread(std, grid):
    """Standard deviation of DDIM's samples of N(0, std²), over std: each step and the last D multiply x by a number."""
    alphas, sigmas = np.sqrt(expit(2 * grid)), np.sqrt(expit(-2 * grid))
    gains = alphas * std**2 / (alphas**2 * std**2 + sigmas**2)
    steps = alphas[1:] * gains[:-1] + sigmas[1:] / sigmas[:-1] * (1 - alphas[:-1] * gains[:-1])
    return np.prod(steps) * gains[-1] / std


def test_few_calls_are_too_narrow_by_what_theory_says_and_many_are_not(monkeypatch):
    monkeypatch.setattr(intervals, "CALLS", (4, 64))
    monkeypatch.setattr(intervals, "SOLVERS", {"DPMpp(1)": lambda: jd.DPMpp(1), "DPMpp(2)": lambda: jd.DPMpp(2)})
    rows = {(row["calls"], row["grid"], row["solver"]): row for row in intervals.rows(0.1, pixels=1000)}
    for calls in (4, 64):
        for grid, std in (("default", 1.0), ("posterior", 0.1)):
            values = jd.grids.uniform_lam(intervals.Cosine(), calls, std=std)
            assert rows[calls, grid, "DPMpp(1)"]["std_over_true"] == pytest.approx(spread(0.1, values), rel=0.02)
    error = 0.3 / np.sqrt(1000)
    assert rows[64, "posterior", "DPMpp(2)"]["coverage"] == pytest.approx(0.9, abs=4 * error)
    assert rows[4, "posterior", "DPMpp(2)"]["coverage"] > rows[4, "default", "DPMpp(2)"]["coverage"] + 0.1
    assert rows[4, "default", "DPMpp(2)"]["coverage"] < 0.7
