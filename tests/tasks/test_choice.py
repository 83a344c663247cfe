"""The method that restoration chooses: by what the operator sees, and as the measured table says."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import posterior
from jaxdiff.physics.operators import Bin, Convolution, Crop, Diagonal, Mask, Slices
from jaxdiff.tasks.restoration.choice import choose, unseen

SHAPE = (24, 20, 1)
ALL = np.ones(SHAPE, bool)
RNG = np.random.default_rng
BLUR = Convolution(jnp.ones((3, 3)) / 9)
SOME = RNG(0).random(SHAPE) < 0.7
RESULT = posterior.STORE.read()


@pytest.mark.parametrize(
    ("operator", "kept", "share"),
    [
        (Diagonal(jnp.ones(())), ALL, 0.0),
        (Diagonal(jnp.ones(())), SOME, 1 - SOME.mean()),
        (Mask(jnp.asarray(SOME)), ALL, 1 - SOME.mean()),
        (BLUR, ALL, 0.0),
        (BLUR, np.arange(SHAPE[0])[:, None, None] >= np.zeros(SHAPE) + 6, 5 / 24),
        (Bin((2, 2)), np.ones((12, 10, 1), bool), 0.0),
        (Bin((2, 2)) @ BLUR, np.ones((12, 10, 1), bool), 0.0),
        (Slices(tuple(range(0, 24, 4)), 24), np.ones((6, 20, 1), bool), 0.75),
        (Crop((12, 20), (24, 20)), np.ones((12, 20, 1), bool), 0.5),
    ],
    ids=["none", "missing", "mask", "blur", "blur and a hole", "binning", "binning and blur", "slices", "crop"],
)
def test_the_choice_is_by_what_no_value_sees(operator, kept, share):
    assert unseen(operator, kept, SHAPE) == pytest.approx(share, abs=0.005)
    assert choose(operator, kept, SHAPE) == ("mmps" if share else "diffpir")


def test_a_few_saturated_pixels_change_nothing():
    kept = ALL.copy()
    kept[3, 4:7] = False
    assert choose(Diagonal(jnp.ones(())), kept, SHAPE) == "diffpir"


def test_the_choice_is_that_of_the_measured_table():
    whole = choose(BLUR, ALL, SHAPE)
    missing = choose(Mask(jnp.asarray(SOME)), ALL, SHAPE)
    assert posterior.best(RESULT, posterior.SEES_ALL) == whole
    assert posterior.best(RESULT, posterior.LEAVES_OUT) == missing
    for operators, name in ((posterior.SEES_ALL, whole), (posterior.LEAVES_OUT, missing)):
        wrong = [c for c in posterior.cells(RESULT, name) if c.operator in operators and c.calls >= posterior.FEW]
        assert {c.verdict for c in wrong} <= {"right", "solver"}


def test_nothing_diverges_in_the_measured_table():
    for name, entry in RESULT["methods"].items():
        assert not [c for c in posterior.cells(RESULT, name) if c.verdict == "diverges"]
        assert entry["bounded"] == "30 of 30 runs"


def test_the_page_is_the_measured_table():
    text = (posterior.DOCS / "posterior.md").read_text(encoding="utf-8")
    between = text.split("<!-- tables -->\n")[1].split("\n<!-- end of tables -->")[0]
    assert between == posterior.tables(RESULT)
    assert {"date", "processor", "versions"} <= set(RESULT["machine"])
