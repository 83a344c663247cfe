"""What a tuned sampler learns from: start noise, and where the model itself takes it with many calls."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.process.gaussian import start_noise
from jaxdiff.sampling import sample
from jaxdiff.seeds import check_key
from jaxdiff.solvers import UniPC


class Examples(NamedTuple):
    """Pairs of start noise and image under one denoiser, model units."""

    start: Float[Array | np.ndarray, "num *shape"]
    images: Float[Array | np.ndarray, "num *shape"]
    cond: PyTree

    def part(self, low: int, high: int) -> "Examples":
        """Examples low … high − 1."""
        return jax.tree.map(lambda leaf: leaf[low:high], self)

    def rms(self, images) -> float:
        """Root mean square of `images` against these, over all images and values."""
        return float(np.sqrt(np.mean(np.square(np.asarray(images, np.float64) - np.asarray(self.images, np.float64)))))


def teach(
    key: PRNGKeyArray,
    denoise: Denoiser,
    *,
    shape: tuple[int, ...],
    num: int,
    grid: Float[np.ndarray, " n"],
    cond: PyTree = None,
    batch: int = 64,
    report: Callable[[int], Any] = lambda done: None,
) -> Examples:
    """`num` examples: UniPC(3) on `grid` from the start noise of images 0 … num − 1 under `key`.

    Args:
        key: of the start noise.
        denoise: D(x, λ, cond) of one image.
        shape: (*spatial, channels).
        num: of examples.
        grid: rising λ, 64 or more values.
        cond: condition with leading axis num, or None.
        batch: images at a time.
        report: called with the images done since the last.

    Returns:
        Start noise and results.

    Raises:
        ValueError: where an image is not finite.
    """
    check_key(key)
    dtype = jnp.promote_types(jnp.float32, jnp.result_type(float))
    start = jax.vmap(lambda i: start_noise(jax.random.fold_in(key, i), shape, dtype))(jnp.arange(num))
    images = []
    for low in range(0, num, batch):
        part = slice(low, min(low + batch, num))
        part_cond = jax.tree.map(lambda leaf, part=part: leaf[part], cond)
        out = sample(
            key, denoise, shape=shape, num=part.stop - low, solver=UniPC(3), grid=grid, cond=part_cond, start=start[part],
            batch=batch,
        )  # fmt: skip
        images.append(np.asarray(out.images))
        report(part.stop - low)
    images = np.concatenate(images)
    finite = np.isfinite(images.reshape(num, -1)).all(1)
    if not finite.all():
        raise ValueError(
            f"got {int(np.sum(~finite))} of {num} images that are not finite from the model itself; expected finite ones; "
            "to fix: train it further, or choose another checkpoint"
        )
    return Examples(start, images, cond)
