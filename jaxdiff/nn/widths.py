"""Channels that a TPU's registers and matrix unit hold at a time, and what a network leaves empty of them."""

from collections.abc import Sequence
from typing import Any

LANES = 128


def filled(channels: int) -> float:
    """The share of the lanes, from 0 to 1, that compute something."""
    return channels / whole(channels)


def whole(channels: int) -> int:
    """The smallest multiple of the lanes that holds the channels."""
    return -(-channels // LANES) * LANES


def unfilled(network: Any) -> list[str]:
    """A sentence about widths and one about attention heads that leave lanes empty, with the option that fills them.

    Read from the fields `width`, `multipliers`, `attention`, `transformer` and `head_size`, as far as the network has them.
    """
    lines = []
    multipliers: Sequence[int] = getattr(network, "multipliers", (1,))
    width, head = getattr(network, "width", None), getattr(network, "head_size", None)
    if isinstance(width, int) and (odd := sorted({width * m for m in multipliers if width * m % LANES})):
        more = whole(width) / width
        lines.append(
            f"{_listed(odd)} channels fill {_shares(odd)} of a TPU's {LANES} lanes, at the price of all: --network.width "
            f"{whole(width)} has {more**2:.3g} times the products at about {more:.3g} times the price"
        )
    attends = any(getattr(network, "attention", (True,))) or getattr(network, "transformer", 0)
    if isinstance(head, int) and head % LANES and attends:
        lines.append(
            f"attention heads of {head} channels fill {_shares([head])} of a TPU's {LANES} lanes, at the price of all: "
            f"--network.head-size {whole(head)}"
        )
    return lines


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _shares(channels: Sequence[int]) -> str:
    return ", ".join(f"{filled(n):.0%}" for n in channels)
