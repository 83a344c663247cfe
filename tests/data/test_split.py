import doctest

import numpy as np
import pytest

import jaxdiff.data.normalise
import jaxdiff.data.split
from jaxdiff.data.dataset import hold_out
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.sources.source import Memory
from jaxdiff.data.split import groups, split_groups, split_regions

WELLS = [f"p1_{row}{column:02}_s{site}.tif" for row in "ABC" for column in range(4) for site in range(3)]


def test_no_well_is_on_both_sides():
    group = groups(WELLS, r"_([A-P][0-9]{2})_")
    for seed in range(10):
        train, validation = split_groups(group, 0.25, seed)
        assert sorted(train + validation) == list(range(len(WELLS)))
        assert not {group[i] for i in train} & {group[i] for i in validation}
        assert len({group[i] for i in validation}) == 3
    assert len({tuple(split_groups(group, 0.25, seed)[1]) for seed in range(10)}) > 5


def test_the_split_does_not_depend_on_the_order_of_files():
    names = WELLS[::-1]
    held = {WELLS[i] for i in split_groups(WELLS, 0.2, 3)[1]}
    assert held == {names[i] for i in split_groups(names, 0.2, 3)[1]}
    assert split_groups(["a", "b"], 0.001, 0)[1] != []
    assert len(split_groups(["a", "b"], 0.999, 0)[0]) == 1


def test_bad_groups():
    for regex in ("(", "_Q_"):
        with pytest.raises(DataError, match="group_regex"):
            groups(WELLS, regex)


@pytest.mark.parametrize("shape", [(40, 100), (100, 40), (3, 40, 100)])
def test_regions_of_one_image_have_a_gap_of_a_patch(shape):
    patch = (2, 16, 16)[-len(shape) :]
    source = Memory([np.arange(np.prod(shape)).reshape(*shape, 1)], DataInfo("ZYXC" if len(shape) == 3 else "YXC"))
    train, validation = hold_out(source, ["a"], patch, 0.2, None, 0)
    a, b = train[0]["image"], validation[0]["image"]
    assert not set(a.ravel()) & set(b.ravel())
    axis = int(np.argmax(shape))
    assert (a.shape[axis], b.shape[axis]) == (100 - 20 - 16, 20)


def test_one_image_without_room_and_bad_fractions():
    with pytest.raises(DataError, match="48 pixels"):
        split_regions((40, 47), (16, 16), 0.1)
    source = Memory([np.zeros((8, 8, 1))] * 4, DataInfo())
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(DataError, match="fraction"):
            hold_out(source, list("abcd"), (4, 4), fraction, None, 0)
    with pytest.raises(DataError, match="one group"):
        hold_out(source, ["a1", "a2", "a3", "a4"], (4, 4), 0.1, "a", 0)
    assert [len(part) for part in hold_out(source, list("abcd"), (4, 4), 0, None, 0)] == [4, 0]


@pytest.mark.parametrize("module", [jaxdiff.data.split, jaxdiff.data.normalise])
def test_examples_run(module):
    assert doctest.testmod(module).failed == 0
