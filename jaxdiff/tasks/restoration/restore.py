"""Restoration by one unconditional model: samples of p(image | recording) for a known microscope."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float, PRNGKeyArray

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.planes import Planes
from jaxdiff.guidance.posterior import DDNM, DPS, MMPS, DiffPIR, Method, PiGDM, Recording
from jaxdiff.model import Model
from jaxdiff.physics.camera import Camera
from jaxdiff.physics.operators import Crop, Diagonal, LinearOperator
from jaxdiff.physics.photon_transfer import Interval
from jaxdiff.programs import Programs
from jaxdiff.seeds import check_key
from jaxdiff.solvers import DPMpp
from jaxdiff.tasks.estimate import Estimate, mean_bias, say_unmeasured
from jaxdiff.tasks.restoration.agreement import diverged_of, misfits_of
from jaxdiff.tasks.restoration.camera import camera_and_gain
from jaxdiff.tasks.restoration.choice import choose
from jaxdiff.tasks.sampled import Computation, Remat, sampled
from jaxdiff.tasks.scale import repeated, say_scale

METHODS: Mapping[str, Method] = {"diffpir": DiffPIR, "mmps": MMPS, "pigdm": PiGDM, "dps": DPS, "ddnm": DDNM}
"""Methods of posterior sampling by name."""


@dataclasses.dataclass(frozen=True, eq=False)
class Restored(Estimate):
    """What `restore` returns, in the units of the training images."""

    misfit: float
    """Mean over pixels and samples of (recording − expected)² / variance: 1 where a sample explains it up to noise."""
    bias: float
    """Mean light of the expected recordings, before correction, over that of the recording, minus 1; NaN where the recording
    has too little light to measure it, and of a blank one."""
    left_out: int
    """Pixels of the recording that the likelihood does not see: saturated, missing."""
    camera: Camera | None
    """That was given or estimated; None of a blank recording, of which none can be."""
    gain: Interval | None
    """The estimated gain, and between which it is likely to lie; None for a camera that was given."""
    method: str
    """That was given or chosen, by name."""
    misfits: Float[np.ndarray, " k"]
    """The misfit of each sample."""
    diverged: Bool[np.ndarray, " k"]
    """Samples that are finite and wrong: their misfit is above what any noise explains, or values lie far beyond training."""


def restore(
    key: PRNGKeyArray,
    model: Model,
    recording: Float[np.ndarray, "*measured channels"],
    operator: LinearOperator | None = None,
    camera: Camera | None = None,
    samples: int = 8,
    *,
    size: tuple[int, ...] | None = None,
    seen: Bool[np.ndarray, "*measured channels"] | None = None,
    method: str | Method | None = None,
    offset: float | None = None,
    read_noise: float | None = None,
    calls: int = 20,
    solver: Any = None,
    correct: bool = True,
    together: int = 32,
    mesh: Mesh | None = None,
    scratch: Path | None = None,
    remat: Remat = "all",
) -> Restored:
    """Samples of the image behind `recording` = offset + A (image − offset) + noise, by an unconditional model.

    A warning says where the noise in the recording is not that of the camera, and where the samples do not explain the
    recording, and where its grey levels are not those of training, with the numbers. A blank recording, which has one
    value in all pixels that are seen, gives the image of this value, where A keeps it.

    Args:
        key: sample k depends on (key, k).
        model: unconditional.
        recording: any size, in the units of the training images; pixels that are not finite are left out.
        operator: A, such as `Convolution(psf)` (`jaxdiff.physics.operators`); None for noise alone.
        camera: None to estimate the noise from the recording (`estimate_noise`).
        samples: whose mean and standard deviation are returned.
        size: spatial size of the image, where it is not that of the recording.
        seen: False for pixels to leave out.
        method: one of METHODS, or a function of denoiser and measurement; None for that which is right for the operator
            (`choice.choose`).
        offset: what is known of a camera that is to be estimated.
        read_noise: likewise.
        calls: of the denoiser, for each sample, on the model's default grid; a method may need a gradient of each.
        solver: default `DPMpp(eta=1)`: noise at each step lets samples forget what the approximations did to them (measured).
        correct: scale the light of the samples, so that what is expected of them has the mean light of the recording;
            noise of mean 0 leaves it unchanged.
        together: windows in one network call, over all samples.
        mesh: devices; those of an axis "window" share the windows of an image, the other axes the samples. The result
            does not depend on them.
        scratch: a file (.npy) for the samples, each written when it is done and mapped into memory, for images of
            which memory does not hold so many.
        remat: what methods that take gradients compute again of large images: all, or all but convolutions and products
            ("cheap": faster, and these are in memory for all windows).

    Returns:
        Image, standard deviation and samples in data units, and how well they explain the recording.

    Raises:
        ValueError: for a model that is not unconditional, a recording that the operator does not make of an image of `size`,
            and samples that are not finite.
    """
    check_key(key)
    check_prior(model)
    if samples < 1:
        raise ValueError(f"got samples={samples}; expected at least 1; to fix: samples=8")
    recording = np.asarray(recording)
    if recording.ndim == len(model.shape) - 1 and model.shape[-1] == 1:
        recording = recording[..., None]
    operator = Diagonal(jnp.ones(())) if operator is None else operator
    size = recording.shape[:-1] if size is None else tuple(size)
    valid = np.isfinite(recording) if seen is None else np.broadcast_to(seen, recording.shape) & np.isfinite(recording)
    _check(operator, recording, size, valid, model)
    if say_scale(np.where(valid, recording, np.nan), model.levels, model.normaliser, model.info, noisy=True):
        image = _constant(operator, recording, valid, size)
        if image is not None:
            return Restored.of(
                repeated(image, samples),
                misfit=np.nan,
                bias=np.nan,
                left_out=int(np.count_nonzero(~valid)),
                camera=camera,
                gain=None,
                method="none",
                misfits=np.full(samples, np.nan),
                diverged=np.zeros(samples, bool),
            )
    camera, gain = camera_and_gain(camera, recording, valid, offset, read_noise)
    if method is None:
        method = choose(operator, valid, (*size, recording.shape[-1]))
    make = METHODS[method] if isinstance(method, str) else method

    def around(denoise: Denoiser, canvas: tuple[int, ...]) -> Denoiser:
        seen_of = operator if canvas == size else operator @ Crop(size, canvas)
        of = Recording(seen_of, recording, camera, model.normaliser.inverse, seen=valid)
        return make(denoise, of)

    shape = (samples, *size, model.info.channels)
    draws = sampled(
        key,
        model,
        samples,
        size,
        grid=model.grid(calls, solver),
        solver=DPMpp(2, eta=1.0) if solver is None else solver,
        around=around,
        computation=Computation(together, mesh, remat),
        out=None if scratch is None else np.lib.format.open_memmap(scratch, "w+", np.float32, shape),
    )
    light = np.where(valid, recording - camera.offset, 0)
    bias = mean_bias(light, (np.where(valid, _expected(operator, d, camera) - camera.offset, 0) for d in draws))
    say_unmeasured(light, bias, camera.offset)
    if correct:
        factor, dark = (1 / (1 + np.nan_to_num(bias))).astype(np.float32), np.float32(camera.offset)
        for draw in draws:
            draw[...] = dark + (draw - dark) * factor
    misfits = misfits_of(camera, recording, valid, (_expected(operator, draw, camera) for draw in draws))
    diverged = diverged_of(misfits, np.array([np.abs(model.normaliser.forward(draw)).max() for draw in draws]), valid)
    return Restored.of(
        draws,
        misfit=float(np.mean(misfits)),
        bias=_mean_of_known(bias),
        left_out=int(np.count_nonzero(~valid)),
        camera=camera,
        gain=gain,
        method=method if isinstance(method, str) else getattr(method, "__name__", type(method).__name__),
        misfits=misfits,
        diverged=diverged,
    )


def volume(model: Model) -> Model:
    """A model of planes as one of volumes of equal voxels: cubes of its window. Raises ValueError for one of volumes."""
    if model.info.axes != "YXC" or model.shape[0] != model.shape[1]:
        raise ValueError(
            f"got a model of {model.info.spatial} images of {model.shape[:-1]} pixels; expected one of square planes; to "
            "fix: a run of 2-D images"
        )
    across = model.info.pixel_size.get("X")
    info = model.info.replace(axes="ZYXC", pixel_size={**model.info.pixel_size, "Z": across})
    return dataclasses.replace(model, denoise=Planes(model.denoise), shape=(model.shape[0], *model.shape), info=info)


def _constant(
    operator: LinearOperator, recording: np.ndarray, valid: np.ndarray, size: tuple[int, ...]
) -> np.ndarray | None:
    """The image of one value a channel of which the operator makes this blank recording; None where it makes another."""
    level = np.where(valid, recording, -np.inf).max(axis=tuple(range(recording.ndim - 1)))
    image = np.broadcast_to(level, (*size, len(level))).astype(np.float32)
    expected = np.asarray(_applied(operator, jnp.asarray(image)))
    return image if np.allclose(expected[valid], recording[valid], rtol=1e-3) else None


def check_prior(model: Model) -> None:
    """Raises ValueError unless the model is of images alone."""
    if model.pairing is not None:
        raise ValueError(
            f"got a model trained to {model.pairing.pairs.task} with pairs; expected an unconditional one of clean images; "
            "to fix: train configs/nuclei_prior.py, or a config without pairs, on them"
        )


def _mean_of_known(bias: np.ndarray) -> float:
    """The mean over the channels where it is known; NaN where it is in none."""
    return np.nan if np.isnan(bias).all() else float(np.nanmean(bias))


def _expected(operator: LinearOperator, image: np.ndarray, camera: Camera) -> np.ndarray:
    """E[recording] of an image in grey levels."""
    return camera.offset + np.asarray(_applied(operator, jnp.asarray(image - np.float32(camera.offset))))


_applied = Programs(lambda operator, light: operator(light))


def _check(
    operator: LinearOperator, recording: np.ndarray, size: tuple[int, ...], valid: np.ndarray, model: Model
) -> None:
    channels = model.info.channels
    if recording.ndim != len(model.shape) or recording.shape[-1] != channels:
        raise ValueError(
            f"got a recording of shape {recording.shape}; expected axes {model.info.axes} with {channels} channel(s), as in "
            "training; to fix: reorder its axes or choose its channels"
        )
    if not valid.any():
        raise ValueError("got a recording without a pixel to see; expected some; to fix: another mask or saturation")
    predicted = jax.eval_shape(operator, jax.ShapeDtypeStruct((*size, channels), jnp.float32))
    if predicted.shape != recording.shape:
        raise ValueError(
            f"got a recording of shape {recording.shape}, and an operator that makes {predicted.shape} of an image of "
            f"{(*size, channels)}; expected the same; to fix: size="
        )
