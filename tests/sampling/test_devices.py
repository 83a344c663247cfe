"""Invariance: image i is bitwise the same for any number of images, devices, position and batch mates at equal `batch`.

One child process with eight host devices and a small UNet runs everything (on_devices.py); the tests read its report.
"""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def report(run_python, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("compiled"))  # the text is of a program that a run has compiled
    code = (Path(__file__).parent / "on_devices.py").read_text()
    return json.loads(run_python(code, devices=8, optimised=True, JAX_COMPILATION_CACHE_DIR=cache))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["num", "first", "mates", "eight_devices", "eight_devices_padded"])
def test_bitwise_at_equal_batch(report, what):
    assert report["spread"] > 0.01  # the images differ from each other at every pixel
    assert report[what]


def test_another_batch_is_within_rounding(report):
    assert report["other_batch"] < 1e-4


def test_compiled_program_has_no_collective_and_no_host_callback(report):
    assert report["control"]
    assert report["devices_of_output"] == 8
    assert report["convolutions"] > 0
    assert report["collectives"] == []
    assert report["callbacks"] == []
