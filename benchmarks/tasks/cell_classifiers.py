"""What else tells blood cells apart: the stained area, colours, and a small convolutional network.

Each is fitted on images (N, 32, 32, 3), uint8, with labels (N,), and gives probabilities (M, classes) of others.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import ndimage
from scipy.special import softmax

from benchmarks.tasks.blood import CLASSES

Probabilities = Callable[[np.ndarray], np.ndarray]
CNN_STEPS = (100, 300, 900)
"""What is tried on the held-out part."""
BATCH = 32


def size_rule(images: np.ndarray, labels: np.ndarray) -> Probabilities:
    """Small, middle, large: two limits of the stained area in the middle, and the level of green below which is stain."""
    best: tuple[float, int, tuple[float, ...]] = (-1.0, 0, ())
    for level in range(100, 240, 10):
        areas = stained(images, level)
        some = np.unique(np.quantile(areas, np.linspace(0, 1, 41), method="nearest"))
        for limits in itertools.combinations((some[1:] + some[:-1]) / 2, 2):
            share = float(np.mean([np.mean(np.digitize(areas[labels == c], limits) == c) for c in range(len(CLASSES))]))
            best = max(best, (share, level, limits), key=lambda one: one[0])
    _, level, limits = best
    return lambda others: np.eye(len(CLASSES))[np.digitize(stained(others, level), limits)]


def stained(images: np.ndarray, level: int) -> np.ndarray:
    """Pixels of the largest part below `level` in green that reaches the middle 8 x 8, for each image."""
    sizes = []
    for green in images[..., 1]:
        regions = np.zeros(green.shape, np.int32)
        ndimage.label(green < level, output=regions)
        sizes.append(max([0, *(int((regions == i).sum()) for i in np.unique(regions[12:20, 12:20]) if i)]))
    return np.array(sizes)


def colour_lda(images: np.ndarray, labels: np.ndarray) -> Probabilities:
    """Linear discriminants (Fisher 1936, doi:10.1111/j.1469-1809.1936.tb02137.x) of each channel's mean and deviation."""
    x = _colours(images)
    means = np.stack([x[labels == c].mean(axis=0) for c in range(len(CLASSES))])
    spread = np.cov((x - means[labels]).T) + 1e-2 * np.eye(x.shape[1])  # few labels leave it singular
    inverse = np.linalg.inv(spread)

    def of(others: np.ndarray) -> np.ndarray:
        away = _colours(others)[:, None] - means
        return softmax(-0.5 * np.einsum("ncd,de,nce->nc", away, inverse, away), axis=1)

    return of


def _colours(images: np.ndarray) -> np.ndarray:
    pixels = images.astype(np.float64).reshape(len(images), -1, 3)
    return np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)], axis=1)


class Small(nn.Module):
    """Three convolutions of stride 2, 94,000 parameters."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in (32, 64, 128):
            x = nn.relu(nn.Conv(width, (3, 3), strides=2)(x))
        return nn.Dense(len(CLASSES))(x.mean(axis=(1, 2)))


def small_cnn(images: np.ndarray, labels: np.ndarray, steps: int, seed: int = 0) -> Probabilities:
    """Adam on batches of flipped and turned images."""
    network, optimizer = Small(), optax.adam(1e-3)
    mean, std = images.mean(), images.std()

    def units(some: np.ndarray) -> jax.Array:
        return jnp.asarray((some - mean) / std, jnp.float32)

    params = network.init(jax.random.key(seed), units(images[:1]))
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, x, y):
        def loss(p):
            return optax.softmax_cross_entropy_with_integer_labels(network.apply(p, x), y).mean()  # type: ignore[arg-type]

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    rng = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = rng.integers(len(images), size=BATCH)
        batch = np.stack([_turned(images[i], rng) for i in chosen])
        params, state = step(params, state, units(batch), labels[chosen])

    def of(others: np.ndarray) -> np.ndarray:
        logits: Any = network.apply(params, units(others))
        return np.asarray(jax.nn.softmax(logits, axis=-1))

    return of


def _turned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    image = np.rot90(image, int(rng.integers(4)))
    return image[::-1] if rng.integers(2) else image


def chosen_cnn(fit: Sequence[np.ndarray], dev: Sequence[np.ndarray]) -> tuple[Probabilities, int]:
    """The network of the number of steps whose held-out accuracy is highest (the fewest of equals), and this number."""
    images, labels = fit
    tried = [(small_cnn(images, labels, steps), steps) for steps in CNN_STEPS]
    return max(tried, key=lambda one: (float(np.mean(one[0](dev[0]).argmax(axis=1) == dev[1])), -one[1]))
