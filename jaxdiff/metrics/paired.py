"""Two arrays about the same pixels, checked before anything is computed of them."""

import numpy as np
from numpy.typing import ArrayLike


def as_pair(truth: ArrayLike, other: ArrayLike, name: str = "image") -> tuple[np.ndarray, np.ndarray]:
    """Both in float64. Raises ValueError unless they have one shape, at least one element and finite real numbers."""
    one, two = np.asarray(truth), np.asarray(other)
    if one.shape != two.shape:
        raise ValueError(
            f"got a truth of shape {one.shape} and {name} of shape {two.shape}; expected one shape; "
            "to fix: crop or resample one of them"
        )
    return finite(one, "truth"), finite(two, name)


def finite(values: ArrayLike, name: str) -> np.ndarray:
    """In float64. Raises ValueError where there is nothing, or something that is no finite real number."""
    array = np.asarray(values)
    if array.size == 0:
        raise ValueError(f"got {name} of shape {array.shape}; expected at least one element; to fix: leave it out")
    if np.iscomplexobj(array):
        raise ValueError(f"got complex {name}; expected real numbers; to fix: take the real part or the modulus")
    array = array.astype(np.float64)
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise ValueError(f"got {name} with {bad} values that are not finite; expected none; to fix: leave it out")
    return array
