"""Names of slices, and compilers that are not there."""

import importlib.util
import sys

import pytest

from jaxdiff.chips import CHIPS, NoCompiler, target

MODULE = sys.modules[target.__module__]


def test_devices_of_this_machine_stand_for_chips():
    assert len(target("cpu:1").devices) == len(target("cpu").devices) == 1


@pytest.mark.parametrize("name", ["v9:2x2", "cpu:none", "cpu:0", "h200:2x2", "v5e:4", "v5e:a"])
def test_unknown_slices_are_refused_with_those_that_are_known(name, monkeypatch):
    monkeypatch.setattr(MODULE, "find_spec", lambda name: object())  # as if every compiler were here
    with pytest.raises(ValueError, match=r"got --on .*expected .*to fix") as error:
        target(name)
    chip = name.partition(":")[0]
    expected = [f"{chip}:{topology}" for topology in CHIPS[chip].topologies] if chip in CHIPS else [*CHIPS]
    assert all(one in str(error.value) for one in expected)


@pytest.mark.parametrize(("name", "extra"), [("v5e:2x2", "tpu"), ("h200", "cuda")])
def test_without_its_compiler_a_slice_says_how_to_install_it(name, extra, monkeypatch):
    monkeypatch.setattr(MODULE, "find_spec", lambda name: None)
    with pytest.raises(NoCompiler, match=rf"to\s+fix: pip install 'jaxdiff\[{extra}\]'"):
        target(name)


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu, extra tpu, is not installed")
def test_a_slice_of_many_hosts():
    assert len({device.process_index for device in target("v5e:16x16").devices}) == 64
    with pytest.raises(ValueError, match="v5e:16x16"):
        target("v5e:3x3")
