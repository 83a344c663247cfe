"""How unlike its training images an image is to a model: errors of denoising at many noise levels, beside known images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxdiff.model import Model
from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.programs import kept_programs
from jaxdiff.seeds import check_key

LAMS = tuple(np.linspace(-2.0, 4.0, 9).tolist())


class Familiar(NamedTuple):
    """Errors of images of the kind that a model knows: `fit` on some that it was not trained on, then `score`."""

    lams: tuple[float, ...]
    mean: Float[np.ndarray, " levels"]
    std: Float[np.ndarray, " levels"]

    @classmethod
    def fit(
        cls, key: PRNGKeyArray, model: Model, images: Float[np.ndarray, "num *shape"], lams: tuple[float, ...] = LAMS
    ) -> "Familiar":
        """The mean and spread of the log errors of images that the model knows.

        Args:
            key: of the noise.
            model: whose denoiser is asked.
            images: (num, *shape) in data units, at least two.
            lams: noise levels, rising.

        Returns:
            What `familiar.score` compares other images with.
        """
        check_key(key)
        logs = np.log(denoising_errors(key, model, images, lams))
        if len(logs) < 2:
            raise ValueError(
                f"got {len(logs)} known images; expected at least 2, better 50; to fix: more held-out images"
            )
        return cls(lams, logs.mean(axis=0), np.maximum(logs.std(axis=0, ddof=1), 1e-6))

    def score(
        self, key: PRNGKeyArray, model: Model, images: Float[np.ndarray, "num *shape"]
    ) -> Float[np.ndarray, " num"]:
        """Root mean square over the noise levels of (log error − mean) / std: near 1 for images of the known kind.

        Images can be denoised too badly, as other objects are, or too well, as empty ones are: both count. Graham et al.
        2023, "Denoising diffusion models for out-of-distribution detection", arXiv 2211.07740, with the squared error of one
        call in place of perceptual distances of whole reconstructions.
        """
        check_key(key)
        logs = np.log(denoising_errors(key, model, images, self.lams))
        return np.sqrt(np.mean(((logs - self.mean) / self.std) ** 2, axis=1))


def denoising_errors(
    key: PRNGKeyArray, model: Model, images: Float[np.ndarray, "num *shape"], lams: tuple[float, ...] = LAMS
) -> Float[np.ndarray, "num levels"]:
    """Mean of (D(α x0 + σ ε, λ) − x0)² of each image at each λ.

    Args:
        key: the noise of image i at level k depends on (key, i, k).
        model: whose denoiser is asked.
        images: (num, *shape) in data units, of the model's shape.
        lams: noise levels.

    Returns:
        (num, levels), model units squared.
    """
    check_key(key)
    if np.shape(images)[1:] != model.shape:
        raise ValueError(f"got images of shape {np.shape(images)[1:]}; expected {model.shape}, the model's window")
    levels = jnp.asarray(lams, jnp.float32)
    rows = [
        _errors(model.denoise, jnp.asarray(model.normaliser.forward(one)), levels, jax.random.fold_in(key, i))
        for i, one in enumerate(images)
    ]
    return np.asarray(rows, np.float64)


@kept_programs
def _errors(denoise, x0: Array, lams: Array, key: Array) -> Array:
    def error(k, lam):
        noise = jax.random.normal(jax.random.fold_in(key, k), x0.shape, x0.dtype)
        return jnp.mean((denoise(alpha(lam) * x0 + sigma(lam) * noise, lam, None) - x0) ** 2)

    return jax.vmap(error)(jnp.arange(len(lams)), lams)
