"""The camera of a recording: the one that was given, beside its noise, or the one whose noise is in it."""

import warnings

import numpy as np

from jaxdiff.physics.camera import Camera
from jaxdiff.physics.noise_estimate import WIDE, estimate_noise
from jaxdiff.physics.photon_transfer import Interval

CONTRADICTION = 1.5
"""Factor between the variance of the noise in an image and that of its camera from which a warning says so."""


def camera_of(camera: Camera | None, recording: np.ndarray, valid: np.ndarray) -> Camera:
    """The camera, or the one whose noise is in the recording. It warns where these differ."""
    return camera_and_gain(camera, recording, valid, None, None)[0]


def camera_and_gain(
    camera: Camera | None, recording: np.ndarray, valid: np.ndarray, offset: float | None, read_noise: float | None
) -> tuple[Camera, Interval | None]:
    """The camera, or the one whose noise is in the recording, with the interval of its gain."""
    if camera is None:
        noise = estimate_noise(recording, valid)
        gain = noise.gain(offset, read_noise)
        if gain.half_width > WIDE:
            warnings.warn(
                f"the gain is {gain} grey levels per electron, no better known from this image: its light has too little "
                "range or too much texture; to fix: --gain and --offset of the camera",
                stacklevel=4,
            )
        return noise.camera(offset, read_noise), gain
    try:
        ratio = estimate_noise(recording, valid).ratio(camera)
    except ValueError:  # too small to tell, or without noise, which the misfit will tell
        return camera, None
    if not 1 / CONTRADICTION < ratio < CONTRADICTION:
        warnings.warn(
            f"the variance of the noise in the image is {ratio:.3g} times that of the camera (gain {camera.gain:g}, offset "
            f"{camera.offset:g}, read noise {camera.read_noise:g}); to fix: leave out --gain to have it estimated",
            stacklevel=4,
        )
    return camera, None
