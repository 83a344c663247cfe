"""Area binning: what larger pixels would have recorded, as a mean."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def area_binning(image: np.ndarray, factors: Sequence[int]) -> Float[np.ndarray, "*binned C"]:
    """Mean over blocks of `factors` pixels of (*spatial, C), float32; rows that do not fill a block are left out.

    The adjoint repeats each pixel over its block, divided by the block's size, with 0 in the rows left out.
    Raises ValueError for another number of factors than spatial axes, and for a factor below 1 or beyond its axis.
    """
    factors, spatial = tuple(factors), image.shape[:-1]
    integer = all(f == int(f) and 1 <= f <= n for f, n in zip(factors, spatial))
    if len(factors) != len(spatial) or not integer:
        raise ValueError(
            f"got factors={factors} for an image of shape {image.shape}; expected {len(spatial)} integers, from 1 to "
            "the pixels of their axis; to fix: give one for each spatial axis, 1 where nothing is binned"
        )
    counts = tuple(n // int(f) for n, f in zip(spatial, factors))
    image = image[tuple(slice(n * int(f)) for n, f in zip(counts, factors))]
    blocks = image.reshape(*(size for n, f in zip(counts, factors) for size in (n, int(f))), image.shape[-1])
    return blocks.mean(axis=tuple(range(1, 2 * len(spatial), 2)), dtype=np.float64).astype(np.float32)
