"""Denoising without a measurement: the noisy image is x_λ itself, with λ from the size of its noise."""

from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy import ndimage

from jaxdiff.data.maps import Anscombe
from jaxdiff.model import Model
from jaxdiff.physics.camera import Camera
from jaxdiff.process.gaussian import alpha
from jaxdiff.seeds import check_key
from jaxdiff.solvers import DPMpp
from jaxdiff.tasks.estimate import Estimate
from jaxdiff.tasks.restoration.camera import camera_of
from jaxdiff.tasks.restoration.restore import check_prior
from jaxdiff.tasks.sampled import sampled, with_channels
from jaxdiff.tasks.scale import repeated, say_scale

UNEVEN = 1.3
"""Largest over smallest standard deviation of noise that counts as even."""
DRAWS = 20_000
"""Simulated pixels of each of five light levels, of which the size of the noise is taken."""


def denoise_directly(
    key: PRNGKeyArray,
    model: Model,
    recording: Float[np.ndarray, "*spatial channels"],
    camera: Camera | None = None,
    samples: int = 1,
    *,
    calls: int = 1,
    solver: Any = None,
) -> Estimate:
    """The image behind a noisy one in `calls` network calls, by an unconditional model.

    In the model's units the recording is x0 + s n, which is x_λ / α at λ = −log s. One call is the mean of the posterior;
    more, with a `solver` that adds noise, are samples of it: exact where the model is, with no approximation of a likelihood.
    It holds for even noise only: that of photons in the units of an "anscombe" normaliser of this camera
    (`configs/nuclei_stabilised.py`), or of a camera whose read noise is the most of it.

    The root of an expectation is more than the expectation of a root: under an "anscombe" normaliser a quarter of an
    electron is added, by which the noise has mean 0 in the model's units (to 0.02 of its deviation from 3 electrons on).

    An image whose grey levels are not those of training is said with numbers, as a warning; a blank one comes back as it is.

    Args:
        key: of the samples.
        model: unconditional.
        recording: (*spatial, C) of any size, in the units of the training images.
        camera: of the recording; None to estimate it.
        samples: of the posterior; with one call there is one, its mean.
        calls: of the network, for each sample.
        solver: of the samples; default as in `restore`.

    Returns:
        Image, standard deviation and samples, in data units.

    Raises:
        ValueError: for noise that is not even in the model's units, with its sizes: there `restore` is right.
    """
    check_key(key)
    check_prior(model)
    image = with_channels(recording, model.info)
    if say_scale(image, model.levels, model.normaliser, model.info, noisy=True):
        return Estimate.of(repeated(image, samples if calls > 1 else 1))
    camera = camera_of(camera, image, np.ones(image.shape, bool))
    size = noise_size(model, image, camera)
    lam = -np.log(size)
    state = alpha(lam) * in_model_units(model, image, camera)
    grid = np.array([lam])
    if calls > 1:
        end = max(float(model.grid(calls)[-1]), lam + 1.0)
        grid = np.linspace(lam, end, calls)
    draws = sampled(
        key,
        model,
        samples if calls > 1 else 1,
        image.shape[:-1],
        grid=grid,
        state=state[None],
        solver=DPMpp(2, eta=1.0) if solver is None else solver,
    )
    return Estimate.of(draws)


def in_model_units(model: Model, recording: np.ndarray, camera: Camera) -> np.ndarray:
    """The recording as what the model sees, with noise of mean 0."""
    lift = camera.gain / 4 if isinstance(model.normaliser.map, Anscombe) else 0.0
    return model.normaliser.forward(recording + np.float32(lift))


def noise_size(model: Model, image: np.ndarray, camera: Camera) -> float:
    """The standard deviation of the noise in model units. Raises ValueError where it is not the same all over the image."""
    plane: Any = (1,) * (image.ndim - 3) + (5, 5, 1)
    light = np.quantile(ndimage.uniform_filter(image.astype(np.float64), plane), [0.02, 0.25, 0.5, 0.75, 0.98])
    light = np.maximum(light, camera.offset)
    # Simulated, with mean and variance made exact: the slope of a map at the mean says little about few photons.
    shape = (DRAWS, image.shape[-1], len(light))
    recordings = camera.record(np.random.default_rng(0), np.broadcast_to((light - camera.offset) / camera.gain, shape))
    spread = np.maximum(recordings.std(axis=0, dtype=np.float64), np.finfo(np.float32).tiny)
    recordings = (recordings - recordings.mean(axis=0)) / spread * np.sqrt(camera.variance(light)) + light
    sizes = in_model_units(model, np.moveaxis(recordings, -1, 0), camera).std(axis=1, dtype=np.float64).mean(axis=-1)
    if not sizes.max() < UNEVEN * sizes.min():
        raise ValueError(
            f"got noise of standard deviation {sizes.min():.3g} to {sizes.max():.3g} in the model's units; expected the same "
            "all over the image; to fix: leave out --direct, or a prior with normalise='anscombe' and the camera of these "
            "recordings, as configs/nuclei_stabilised.py does"
        )
    return float(np.median(sizes))
