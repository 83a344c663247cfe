"""What leaves a TPU's lanes empty is said with the option that fills them."""

import pytest

import jaxdiff as jd
from jaxdiff.nn.widths import unfilled

DIT = {"width": 192, "head_size": 64}


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (jd.UNet(width=128, head_size=128), []),
        (jd.UNet(width=64, head_size=128), ["64 channels fill 50% of", "--network.width 128"]),
        (jd.UNet(width=128), ["heads of 64 channels fill 50% of", "--network.head-size 128"]),
        (jd.UNet(width=96, multipliers=(1, 2), attention=(False, False)), ["96, 192 channels fill 75%, 75%"]),
        (jd.UNet(width=128, attention=(False,) * 3, transformer=2), ["--network.head-size 128"]),
        (jd.DiT.B(), []),
        (jd.DiT(**DIT), ["192 channels fill 75%", "--network.width 256", "heads of 64", "--network.head-size 128"]),
        (object(), []),
    ],
)
def test_lanes_left_empty_are_said_with_their_share(network, expected):
    said = " ".join(unfilled(network))
    assert all(text in said for text in expected)
    assert bool(said) == bool(expected)
