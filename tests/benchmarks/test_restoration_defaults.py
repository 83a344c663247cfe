"""The part `defaults` of `benchmarks.restoration`: what is hidden, what is scored, and scores of an exact posterior."""

import numpy as np
import pytest

import jaxdiff as jd
from benchmarks.restoration import defaults
from benchmarks.restoration.problems import Problem, Truth
from jaxdiff.analytic import Gaussian
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.guidance.posterior import MMPS, DiffPIR
from jaxdiff.model import Model
from jaxdiff.tasks import Restored


def test_patterns_hide_half_of_the_pixels_or_four_squares():
    for pattern in (defaults.half, defaults.rows):
        assert pattern(64).mean() == pytest.approx(0.5, abs=0.03)
    holes = defaults.holes(64)
    quarter = np.zeros((32, 32), bool)
    quarter[8:24, 8:24] = True
    np.testing.assert_array_equal(holes, np.tile(quarter, (2, 2)))


def drawn(samples):
    """Samples (k, Y, X) as `restore` returns them."""
    values = np.asarray(samples, np.float32)[..., None]
    k = len(values)
    numbers = {"misfit": 0.9, "bias": 0.0, "left_out": 0, "camera": None, "gain": None, "method": "diffpir"}
    return Restored.of(values, **numbers, misfits=np.ones(k), diverged=np.arange(k) == 0)


def recorded(size):
    """A problem of two white images (size, size), 500 ± 60 grey levels."""
    rng = np.random.default_rng(0)
    images = [500 + 60 * rng.normal(size=(size, size)) for _ in range(2)]
    return Problem([Truth(str(i), str(i), image, image) for i, image in enumerate(images)], 0.0, 1000.0)


def test_scores_are_of_the_chosen_pixels_and_of_the_spread_that_a_mean_of_samples_has():
    truth, scored = np.full((4, 4), np.sqrt(3.0)), np.eye(4, dtype=bool)
    truth[~scored] = 1e6
    row = defaults.score(truth, drawn([-np.ones((4, 4)), np.ones((4, 4))]), scored, 10 * np.sqrt(3.0))
    # Two samples -1 and 1 have the variance 2: their mean is expected to be off by 3 in the square, and is.
    assert row == {"psnr": pytest.approx(20), "misfit": 0.9, "error_over_spread": pytest.approx(1), "diverged": 1}


def test_what_is_left_out_is_not_seen_and_differences_are_from_the_first_way(monkeypatch):
    of, seen = recorded(64), []

    def restore(key, model, recording, operator, camera, samples, *, method, calls, solver):
        assert (operator, camera, samples, calls) == (None, of.camera(100), 2, 5)
        seen.append((method, solver.order, float(solver.eta), np.isfinite(recording[..., 0])))
        truth = of.truths[(len(seen) - 1) // 2].image
        return drawn([truth + solver.order, truth + 1.1 * solver.order])

    monkeypatch.setattr(defaults, "restore", restore)
    ways = {"order 1": defaults.Way(MMPS, 1, 0.5), "order 2": defaults.Way(DiffPIR)}
    case = defaults.Case(ways=ways, photons=100, samples=2, calls=5, left_out=defaults.holes, only_there=True)
    entry = defaults.compared(of, None, case, "holes")
    assert [row[:3] for row in seen] == 2 * [(MMPS, 1, 0.5), (DiffPIR, 2, 1.0)]
    for *_, visible in seen:
        np.testing.assert_array_equal(visible, ~defaults.holes(64))
    assert (entry["fields"], entry["calls"], entry["size"]) == (["0", "1"], 5, 64)
    ahead = entry["ahead of order 1"]["order 2"]["psnr"]
    assert ahead["mean"] == pytest.approx(-20 * np.log10(2), rel=1e-4)  # errors twice as large


def test_samples_of_an_exact_posterior_have_the_spread_of_their_errors():
    grey = Normaliser("linear", (0.0,), (1.0,), (500.0,), (60.0,))
    model = Model(Gaussian(np.zeros((32, 32, 1)), 1.0), jd.UNet(), jd.Cosine(), (32, 32, 1), grey, DataInfo())
    case = defaults.Case(
        ways={"mmps": defaults.Way(MMPS)}, photons=100, samples=4, calls=20, size=32, left_out=defaults.half
    )
    scores = defaults.compared(recorded(32), model, case, "half")["scores"]["mmps"]
    assert scores["error_over_spread"]["mean"] == pytest.approx(1, abs=0.1)
    assert scores["misfit"]["mean"] == pytest.approx(1, abs=0.1)
    assert scores["diverged"]["mean"] == 0
