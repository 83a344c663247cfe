"""What all conditional tasks share: samples of what a model diffuses, of any size, given an image."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, PRNGKeyArray
from tqdm import tqdm

from jaxdiff.data.info import DataInfo
from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance import Guidance, windowed
from jaxdiff.guidance.windowed import window_starts
from jaxdiff.model import Model
from jaxdiff.nn import POLICIES, condition
from jaxdiff.parts import is_ours
from jaxdiff.process.gaussian import noise
from jaxdiff.sampling import sample
from jaxdiff.sampling.program import WINDOW, image_devices
from jaxdiff.tasks.seen import returns_levels, seen

STEP = 64
"""Pixels by which images grow that are resampled, each by a factor of its own: those of nearly one size share a program."""
Remat = Literal["cheap", "all"]
WINDOWS_TOGETHER = 32
"""Windows in one network call, over all samples that are computed together."""
OVERLAP = 0.25
"""Share of a window that it has in common with the next."""


@dataclass(frozen=True)
class Computation:
    """How samples of large images are computed; what they are does not depend on it, but for rounding."""

    together: int = WINDOWS_TOGETHER
    """Windows in one network call, over all samples."""
    mesh: Mesh | None = None
    """As of `jd.sample`; devices of an axis "window" share the windows of an image."""
    remat: Remat = "all"
    """What gradients through several rounds of windows compute again."""


ON_ONE_DEVICE = Computation()


def check_task(model: Model, task: str) -> None:
    """Raises ValueError unless the model was trained for `task`; "translate" does any task of a person's own pairs."""
    trained = "generate" if model.pairing is None else model.pairing.pairs.task
    own = model.pairing is not None and model.pairing.inputs is not None and not is_ours(type(model.pairing.pairs))
    if trained != task and not (own and task == "translate"):
        use = "jd.tasks." + ("generate_labelled" if trained == "generate" else trained.replace("-", "_"))
        use = "model.sample" if model.pairing is None else "jd.tasks.translate" if own else use
        raise ValueError(
            f"got a model trained to {trained}; expected one to {task}; to fix: use {use}, or train a config "
            f"whose pairs are for {task}"
        )


def conditional_samples(
    key: PRNGKeyArray,
    model: Model,
    image: Float[np.ndarray, "*spatial channels"],
    samples: int,
    *,
    calls: int,
    solver: Any = None,
    factor: float = 1.0,
    posterior_std: float = 1.0,
) -> Float[np.ndarray, "samples *fine channels"]:
    """`samples` draws from p(what is diffused | image), in its own units, float32.

    image: in the units of the model's inputs, any size; one channel may be left out. It is normalised as a whole.
    calls: network calls of the default solver, `model.solver`, on the model's default grid. factor: pixels that the network
    sees for one of the image; the draws have the network's. posterior_std: in model units, moves the default grid by −log of
    it.

    Sample k depends on (key, k). Raises ValueError for an image with other axes or channels, or with pixels that are not
    finite.
    """
    if samples < 1:
        raise ValueError(f"got samples={samples}; expected at least 1; to fix: samples=8")
    check_posterior_std(posterior_std, solver)
    network = seen(model, with_channels(image, model.inputs.info), factor)
    size, grid = network.normal.shape[:-1], model.grid(calls, solver, std=posterior_std)
    inputs = network.normal[None]
    if factor != 1:
        inputs = reflected(inputs, tuple(n if n <= m else -(-n // STEP) * STEP for n, m in zip(size, model.shape)))
    draws = sampled(key, model, samples, inputs.shape[1:-1], inputs=inputs, grid=grid, solver=solver)
    draws = draws[(slice(None), *(slice(0, n) for n in size))]
    if network.scale is not None and returns_levels(model):
        for draw in draws:
            draw[...] = network.scale.inverse(draw)
    return draws


def check_posterior_std(std: float, solver: Any) -> None:
    """Raises ValueError for what is no standard deviation, and for one beside a solver that brings a grid of its own."""
    if not 0.001 <= std <= 1:
        raise ValueError(
            f"got posterior_std={std}; expected 0.001 to 1, in units of the training images' own; to fix: 0.1 where the "
            "input says nearly everything"
        )
    if std != 1 and getattr(solver, "grid", None) is not None:
        raise ValueError(
            f"got posterior_std={std} with a solver of its own grid; expected one of them; to fix: leave it out"
        )


def sampled(
    key: PRNGKeyArray,
    model: Model,
    num: int,
    size: tuple[int, ...],
    *,
    grid: np.ndarray,
    inputs: Float[np.ndarray, "n *size channels"] | None = None,
    labels: Any = None,
    start: Float[np.ndarray, "n *size channels"] | None = None,
    state: Float[np.ndarray, "n *size channels"] | None = None,
    solver: Any = None,
    guidance: Guidance | None = None,
    around: Callable[[Denoiser, tuple[int, ...]], Denoiser] | None = None,
    computation: Computation = ON_ONE_DEVICE,
    out: Float[np.ndarray, "num *size channels"] | None = None,
) -> Float[np.ndarray, "num *size channels"]:
    """`num` samples of `size` pixels in the data's units, float32, through windows of the patch of training.

    inputs: image condition in model units, one for each sample or one for all; labels likewise. start: images in model
        units that sampling starts from, with the noise of grid[0] added, instead of from noise alone. state: the states at
        grid[0] themselves.
    around: what goes around the denoiser of the whole image, given that and the image's size, no smaller than a window. out:
        a float32 array that samples are written into as they come, such as a memory-mapped file; default a new one.

    What is smaller than a window is reflected beyond its far edges, and a warning says so. Raises ValueError where
    samples are not finite.
    """
    window, mesh = model.shape[:-1], computation.mesh
    padded = tuple(map(max, size, window))
    if padded != size and around is None:  # what goes around knows of the larger image
        warnings.warn(
            f"an image of {_by(size)} pixels is smaller than the model's window of {_by(window)} and was reflected beyond "
            "its edges",
            stacklevel=4,
        )
    margins = tuple(int(OVERLAP * w) for w in window)
    windows = math.prod(len(window_starts(*axis)) for axis in zip(padded, window, margins))
    spread = image_devices(mesh)
    batch = max(1, min(math.ceil(num / spread), computation.together // windows))
    # The contrast that guidance brings back is that of the whole image: around the windows.
    outside = guidance is not None and bool(guidance.rescale)
    guided = model.denoise if guidance is None else model.guided(guidance)
    denoise = model.denoise if outside else guided
    if windows > 1:
        axis = WINDOW if mesh is not None and WINDOW in mesh.axis_names else None
        branches = 2 if outside else 1  # guidance around the windows calls those of both at once
        chunk = max(1, computation.together // (batch * branches))
        denoise = windowed(denoise, window, margins, chunk=chunk, axis=axis, policy=POLICIES[computation.remat])
    if guidance is not None and outside:
        denoise = guidance(denoise)
    if around is not None:
        denoise = around(denoise, padded)
    begun: Any = None if state is None else _for_all(reflected(state, padded), num)
    if start is not None:
        begun = noise(key, jnp.asarray(_for_all(reflected(start, padded), num)), grid[0])
    cond = condition(
        image=None if inputs is None else _for_all(reflected(inputs, padded), num),
        label=None if labels is None else _for_all(np.atleast_1d(labels), num),
    )
    inner = (slice(None), *(slice(0, n) for n in size))
    draws = np.empty((num, *size, model.info.channels), np.float32) if out is None else out
    step = batch * spread
    # One program's samples at a time, so that large images show how far they are, and stay on the device no longer.
    with tqdm(total=num, unit="sample", leave=False, disable=num <= step or windows == 1) as bar:
        for low in range(0, num, step):
            rows = slice(low, min(low + step, num))
            chunk_cond, from_here = jax.tree.map(lambda leaf, rows=rows: leaf[rows], (cond or None, begun))
            result = sample(
                key,
                denoise,
                shape=(*padded, model.info.channels),
                num=rows.stop - low,
                solver=model.solver if solver is None else solver,
                grid=grid,
                cond=chunk_cond,
                start=from_here,
                batch=batch,
                first=low,
                mesh=mesh,
            )
            if not np.asarray(result.finite).all():
                raise ValueError(
                    "got samples that are not finite; expected finite ones; to fix: another solver or more calls"
                )
            draws[rows] = model.normaliser.inverse(np.asarray(result.images)[inner])
            bar.update(rows.stop - low)
    return draws


def with_channels(image: Any, info: DataInfo) -> np.ndarray:
    """(*spatial, C) of an image that may lack the axis of its one channel.

    Raises ValueError for another shape, no pixels at all, or some that are not finite.
    """
    values = np.asarray(image)
    if values.ndim == len(info.spatial) and info.channels == 1:
        values = values[..., None]
    if values.ndim != len(info.axes) or values.shape[-1] != info.channels or 0 in values.shape:
        raise ValueError(
            f"got an image of shape {values.shape}; expected axes {info.axes} with {info.channels} channels "
            f"({', '.join(info.channel_names)}), as in training; to fix: reorder its axes or choose its channels"
        )
    if not np.isfinite(values).all():
        raise ValueError("got an image with NaN or infinite pixels; expected finite ones; to fix: repair it")
    return values


def reflected(images: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(N, *spatial, C) mirrored beyond the far edges to at least `size`."""
    missing = [(0, max(0, want - have)) for have, want in zip(images.shape[1:], size)]
    return np.pad(images, [(0, 0), *missing, (0, 0)], mode="symmetric") if any(m for _, m in missing) else images


def _for_all(values: np.ndarray, num: int) -> np.ndarray:
    return values if len(values) == num else np.broadcast_to(values, (num, *values.shape[1:]))


def _by(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
