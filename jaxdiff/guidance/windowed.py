"""A denoiser of one window as the denoiser of an image of any size: overlapping windows, averaged at every call."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.representation import representation


class Windowed(eqx.Module):
    """D of an image (*spatial, C) from D of its windows; made by `windowed`."""

    denoise: Denoiser
    window: tuple[int, ...] | int = eqx.field(static=True)
    overlap: tuple[int, ...] | int = eqx.field(static=True)
    chunk: int = eqx.field(static=True)
    axis: str | None = eqx.field(static=True, default=None)
    policy: Callable[..., bool] | None = eqx.field(static=True, default=None)

    __repr__ = representation

    @property
    def measurement(self) -> Any:
        """What the guided denoiser looks at, where it is a method of posterior sampling, or None."""
        return getattr(self.denoise, "measurement", None)

    def __call__(self, x, lam, cond=None):
        size = x.shape[:-1]
        window, overlap = (_per_axis(value, len(size)) for value in (self.window, self.overlap))
        _check(size, window, cond)
        if size == window:
            return self.denoise(x, lam, cond)
        starts = [window_starts(*axis) for axis in zip(size, window, overlap)]

        canvas: Any = x if self.axis is None else _summed_back(x, self.axis)

        def evaluate(corner):
            return self.denoise(_cut(canvas, corner, window), lam, _cut_condition(cond, corner, window))

        corners = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, len(size))
        number = len(corners)
        # Rounds of equal size, so that the program holds the network once; what is missing repeats the last window.
        rounds = math.ceil(number / self.chunk)
        each = math.ceil(number / rounds)
        if rounds > 1:  # under a gradient what the policy does not keep is computed again
            evaluate = jax.checkpoint(evaluate, policy=self.policy)
        devices = 1 if self.axis is None else jax.lax.axis_size(self.axis)
        rounds = math.ceil(rounds / devices) * devices
        corners = corners[np.minimum(np.arange(rounds * each), number - 1)].reshape(rounds, each, -1)
        corners = jnp.asarray(corners)
        if self.axis is None:
            parts = jax.lax.map(jax.vmap(evaluate), corners)
        else:
            parts: Any = _gathered(jax.lax.map(jax.vmap(evaluate), _own(corners, self.axis)), self.axis)
        parts = parts.reshape(-1, *parts.shape[2:])[:number].reshape(*map(len, starts), *window, -1)
        for axis in reversed(range(len(size))):
            parts = _joined(parts, axis, starts[axis], size[axis])
        return parts


def windowed(
    denoise: Denoiser,
    window: int | Sequence[int],
    overlap: int | Sequence[int],
    chunk: int = 16,
    axis: str | None = None,
    policy: Callable[..., bool] | None = None,
) -> Windowed:
    """A denoiser of images of any size from one of windows: the weighted average of D over all windows of a pixel.

    x and the condition's "image" are cut alike; label, vector and any other leaf are shared by all windows. A window's
    pixels weigh as a Hann window sin²(π (i + ½) / window) along each axis, positive everywhere, divided by the sum over
    all windows of the pixel: smooth, so that where every window agrees nothing changes, and where they differ no edge
    shows. The weights are float64 tables of the host and windows are added in one fixed order. An image of one window is
    `denoise`'s to the bit. Since x is one image at every step of a solver, windows agree with each other more and more on
    the way, and samples have no seams; windows that were sampled apart would differ, and their average blur.

    Memory, for each sample: D of all windows at once, (window / (window − overlap)) to the power of the axes times the
    image's (1.8 × at 64 with 16 and 4 × at 64 with 32 in 2-D), beside the network's activations for `chunk` windows,
    all times the samples that `jd.sample` runs together. What looks at the whole image (posterior guidance, rescaled
    guidance) goes around this denoiser; a new window, overlap, chunk or image size is a new trace, all else is not.

    Joint windows: Bar-Tal et al. 2023, "MultiDiffusion", arXiv 2302.08113; smooth weights: Barbero Jiménez 2023,
    "Mixture of Diffusers", arXiv 2302.02412; Hann: Pielawski and Wählby 2020, doi 10.1371/journal.pone.0229839.

    Args:
        denoise: of one window.
        window: pixels along each spatial axis, or one number for all (2-D and 3-D).
        overlap: likewise. Windows start every window − overlap pixels; the last is moved inward so that it ends at the
            image's edge, where the overlap is larger.
        chunk: at most so many windows in one network call; calls are of equal size.
        axis: of a mesh, whose devices share the calls; inside `shard_map`, as `jd.sample(mesh=)` runs denoisers with an axis
            "window". One all-gather a call of D; the calls and the order of the sum are those of one device, and so, on CPU,
            are all bits. (Gradients add one sum over the devices, and agree to rounding.)
        policy: of `jax.checkpoint`, what a gradient through more than one network call keeps of each. None keeps nothing: one
            more call of D, and the memory of one network call. `jaxdiff.nn.POLICIES["cheap"]` keeps convolutions and products
            of all windows, and computes only the rest again.

    Returns:
        The denoiser of the whole image.

    Raises:
        ValueError: for an overlap that is not from 0 to below the window, and, when called, for an image smaller than a
            window or a condition of another size.
    """
    window, overlap = (
        tuple(int(n) for n in value) if isinstance(value, Sequence) else int(value) for value in (window, overlap)
    )
    lengths = {len(v) for v in (window, overlap) if isinstance(v, tuple)} or {1}
    pairs = zip(*(_per_axis(v, max(lengths)) for v in (window, overlap)))
    if len(lengths) > 1 or not all(0 <= o < w for w, o in pairs):
        raise ValueError(
            f"got window={window}, overlap={overlap}; expected 0 ≤ overlap < window along each axis; to fix: a quarter to "
            "a half of the window"
        )
    if chunk < 1:
        raise ValueError(f"got chunk={chunk}; expected at least 1 window in a network call; to fix: chunk=16")
    return Windowed(denoise, window, overlap=overlap, chunk=int(chunk), axis=axis, policy=policy)


def window_starts(size: int, window: int, overlap: int) -> Int[np.ndarray, " n"]:
    """First pixels of the windows along an axis of `size` ≥ `window` pixels; the last window ends at the edge."""
    regular = np.arange(0, size - window + 1, window - overlap)
    end = size - window
    return regular if regular[-1] == end else np.append(regular, end)


def _shares(starts: np.ndarray, window: int, size: int) -> Float[np.ndarray, "n window"]:
    """Weight of each window divided by the sum of the weights so far, at each of its pixels: 1 where it is the first."""
    taper = np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
    total, shares = np.zeros(size), []
    for start in starts:
        total[start : start + window] += taper
        shares.append(taper / total[start : start + window])
    return np.stack(shares)


def _joined(parts: Array, axis: int, starts: np.ndarray, size: int) -> Array:
    """Windows side by side along `axis`, the last that is still cut: (n_0 … n_axis, w_0 … w_axis, …) loses n_axis.

    The weights are products over the axes, so the average of windows is one axis after the other. It is the running
    mean, mean + share · (part − mean), which is exact wherever all windows agree.
    """
    parts = jnp.moveaxis(parts, axis, 0)
    along = 2 * axis  # where w_axis is, in one window
    window = parts.shape[1 + along]
    shape = list(parts.shape[1:])
    shares = _shares(starts, window, size).reshape(len(starts), window, *(1,) * (len(shape) - along - 1))
    shape[along] = size

    def add(mean, part_of):
        part, start, share = part_of
        before = jax.lax.dynamic_slice_in_dim(mean, start, window, along)
        return jax.lax.dynamic_update_slice_in_dim(mean, before + share * (part - before), start, along), None

    xs = (parts, jnp.asarray(starts), jnp.asarray(shares, parts.dtype))
    return jax.lax.scan(add, jnp.zeros(shape, parts.dtype), xs)[0]


def _own(rows: Array, axis: str) -> Array:
    """This device's part of rows that all devices hold."""
    size = rows.shape[0] // jax.lax.axis_size(axis)
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(axis) * size, size)


# Under `shard_map(check_vma=False)` JAX does not know that x and the joined image are the same on all devices, and would
# sum what each of them pulls back once too often, or not at all.
@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _gathered(parts: Any, axis: str) -> Any:
    """All devices' rows, on each of them."""
    return jax.lax.all_gather(parts, axis, tiled=True)


_gathered.defvjp(lambda parts, axis: (_gathered(parts, axis), None), lambda axis, _, pulled: (_own(pulled, axis),))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _summed_back(x: Any, axis: str) -> Any:
    """x, of which each device uses a part: what they pull back is summed."""
    return x


_summed_back.defvjp(lambda x, axis: (x, None), lambda axis, _, pulled: (jax.lax.psum(pulled, axis),))


def _cut(image: Array, corner: Array, window: tuple[int, ...]) -> Array:
    return jax.lax.dynamic_slice(image, (*corner, 0), (*window, image.shape[-1]))


def _cut_condition(cond: PyTree, corner: Array, window: tuple[int, ...]) -> PyTree:
    if not isinstance(cond, Mapping) or cond.get("image") is None:
        return cond
    return {**cond, "image": _cut(jnp.asarray(cond["image"]), corner, window)}


def _per_axis(value: tuple[int, ...] | int, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else value


def _check(size: tuple[int, ...], window: tuple[int, ...], cond: PyTree) -> None:
    if len(size) != len(window):
        raise ValueError(
            f"got an image with {len(size)} spatial axes; expected {len(window)}, those of window={window}; to fix: one "
            "number for each axis of the image, channels last"
        )
    if any(n < w for n, w in zip(size, window)):
        raise ValueError(
            f"got an image of {' x '.join(map(str, size))} pixels; expected at least the window, "
            f"{' x '.join(map(str, window))}; to fix: reflect the image beyond its edges, and cut the result"
        )
    if isinstance(cond, Mapping) and cond.get("image") is not None and np.shape(cond["image"])[:-1] != size:
        raise ValueError(
            f"got a condition image of shape {np.shape(cond['image'])} for an image of {' x '.join(map(str, size))} "
            "pixels; expected the same pixels; to fix: bring it to the image's size"
        )
