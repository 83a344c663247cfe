"""Which batches are compiled, of a pretended compiler whose programs need a constant and so much an image."""

import sys
from dataclasses import replace

import pytest

import jaxdiff as jd
from jaxdiff.chips import CHIPS, Target
from jaxdiff.chips.estimate import Estimate, Operation
from jaxdiff.chips.hints import hints
from jaxdiff.chips.search import Tried, search

V5E = Target("v5e:2x2", CHIPS["v5e"], (None,) * 4)
GB = 10**9
MODULE = sys.modules[search.__module__]


def program(memory, cycles=10**6, arguments=0, operations=(), chip=V5E.chip):
    return Estimate(chip, tuple(operations), cycles, 0, 1e9, arguments, 0, memory, {})


@pytest.fixture
def compiles(monkeypatch):
    """A function (constant, each) that makes every compilation need constant + each × batch bytes."""

    def set_memory(constant, each):
        def compiled(target, trace, batch):
            found = program(int(constant + each * batch))
            fits = found.memory <= V5E.chip.memory
            return Tried(batch, fits, found if fits else None, 1.0)

        monkeypatch.setattr(MODULE, "compile_batch", compiled)

    return set_memory


@pytest.mark.parametrize(
    ("constant", "each", "expected"),
    [
        (1 * GB, 0.01 * GB, [64, 128, 1024]),  # 16.2 GB fit 1024 and not 2048
        (1 * GB, 0.1 * GB, [64, 128]),
        (1 * GB, 0.2 * GB, [64, 128]),  # the double does not fit
        (1 * GB, 0.4 * GB, [64, 32]),
        (20 * GB, 0, [64, 32, 16, 8]),  # nothing fits; four programs and no more
    ],
)
def test_batches_up_to_the_largest_that_fits(compiles, constant, each, expected):
    compiles(constant, each)
    said = []
    tried = search(V5E, lambda batch: None, 64, unit=4, say=said.append)
    assert [one.batch for one in tried] == expected
    assert said == tried


def test_halves_stay_multiples_of_what_devices_share(compiles):
    compiles(20 * GB, 0)
    assert [one.batch for one in search(V5E, lambda batch: None, 96, unit=16, compiles=9)] == [96, 48]
    assert [one.batch for one in search(V5E, lambda batch: None, 64, compiles=1)] == [64]


def test_without_a_known_memory_one_batch_is_compiled(compiles):
    compiles(GB, 0)
    cpu = Target("cpu:4", CHIPS["cpu"], (None,) * 4)
    assert [one.batch for one in search(cpu, lambda batch: None, 64)] == [64]


def test_hints_name_the_option_that_changes_it():
    network = jd.UNet(width=64, head_size=64, dtype="float32")
    kernels = [Operation("a", 300_000, "down1", "transpose", True), Operation("b", 700_000, "x", "conv", False)]
    first = Tried(64, True, program(16 * GB, operations=kernels), 1.0)
    second = Tried(128, True, program(16 * GB, cycles=4 * 10**6), 1.0)
    said = "\n".join(hints(V5E, network, [first, second], training=True))
    for expected in ("--network.dtype bfloat16", "--network.width 128", "--network.head-size 128", "--fsdp 2"):
        assert expected in said
    assert "2.00 times as much at batch 128 as at 64" in said
    assert "30% of the cost, most in down1" in said
    assert "93% of a chip's memory" in said


def test_a_network_that_fills_the_chip_is_left_alone():
    network = jd.UNet(width=128, head_size=128, dtype="bfloat16")
    assert hints(V5E, network, [Tried(64, True, program(2 * GB), 1.0)], training=True) == []


def test_a_state_that_fits_whole_needs_no_fsdp():
    tried = [Tried(64, True, program(3 * GB, arguments=GB), 1.0)]
    assert (
        "--fsdp 1" in hints(V5E, jd.UNet(width=128, head_size=128, dtype="bfloat16"), tried, training=True, fsdp=4)[0]
    )
    large = [replace(tried[0].estimate, arguments=8 * GB)]
    assert not hints(V5E, object(), [tried[0]._replace(estimate=large[0])], training=True, fsdp=4)


def test_what_does_not_fit_says_what_does_less():
    [said] = hints(V5E, object(), [Tried(64, False, None, 1.0)], training=True, fsdp=4)
    assert "does not fit" in said
    assert "remat cheap" in said
    assert "fsdp" not in said  # all four devices are cut among already
    assert hints(V5E, object(), [Tried(64, False, None, 1.0)], training=False)[0].endswith("a smaller --batch")
