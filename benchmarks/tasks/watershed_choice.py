"""The least dynamic of a maximum and the smallest object, chosen on dev for each network's distances."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.tasks.fields import Field
from jaxdiff.metrics import mean_average_precision
from jaxdiff.tasks import instances

DYNAMICS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
"""Pixels."""
LEAST = (10, 20, 30, 50, 70)
"""Pixels of the smallest object."""


def choose(fields: Sequence[Field], distances: Sequence[np.ndarray]) -> tuple[dict[str, Any], float]:
    """{"dynamic", "least"} of `jaxdiff.tasks.instances` with the highest mean AP 0.5 to 0.9 over fields, and that AP."""
    best: tuple[dict[str, Any], float] = ({}, -np.inf)
    for dynamic, least in itertools.product(DYNAMICS, LEAST):
        how = {"dynamic": dynamic, "least": least}
        scores = [mean_average_precision(f.mask, labels=instances(d, **how)) for f, d in zip(fields, distances)]
        if np.mean(scores) > best[1]:
            best = how, float(np.mean(scores))
    return best
