"""Whether samples agree with the recording: the misfit of each, and which of them diverged."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxdiff.guidance.posterior.misfit import LARGEST, LOST, expected_range, is_lost
from jaxdiff.physics import likelihood
from jaxdiff.physics.camera import Camera

MISFIT = 0.2
"""Distance of the misfit from 1, beyond its own scatter, from which a warning says so."""


def misfits_of(camera: Camera, recording: Any, valid: np.ndarray, expected: Iterable[Any]) -> np.ndarray:
    """Of each sample the mean of the squared normalised residuals; a warning says where it is not 1."""
    noise = likelihood.Noise(camera.gain, camera.offset, camera.read_noise)
    number = int(np.count_nonzero(valid))
    squares = [np.mean(np.asarray(likelihood.photon(noise, recording, mean).residual)[valid] ** 2) for mean in expected]
    misfit = float(np.mean(squares))
    scatter = 4 * np.sqrt(2 / number)
    if not 1 - MISFIT - scatter < misfit < 1 + MISFIT + scatter:
        why = "the PSF or the noise may be others, or the image of a kind that the model has not seen"
        if misfit < 1:
            why = "the noise is less than was said, or the calls are too few"
        warnings.warn(
            f"the samples leave {misfit:.3g} times the variance of the noise between them and the recording; expected 1: "
            + why,
            stacklevel=3,
        )
    return np.array(squares, np.float64)


def diverged_of(misfits: np.ndarray, largest: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Which samples are finite and wrong (`jaxdiff.guidance.posterior.misfit`); a warning says so."""
    high = expected_range(int(np.count_nonzero(valid)))[1]
    wrong, most = is_lost(misfits, largest, high), max(LOST, high)
    if wrong.any():
        warnings.warn(
            f"{np.count_nonzero(wrong)} of {len(wrong)} samples diverged: they leave up to {misfits[wrong].max():.3g} times "
            f"the variance of the noise (a sample of the posterior 1, at most {most:.3g}), with values up to "
            f"{largest[wrong].max():.3g} standard deviations of the training pixels (at most {LARGEST:g}); to fix: more "
            "calls, a solver that adds noise (eta=1), another method, or the operator and noise of this recording",
            stacklevel=3,
        )
    return wrong
