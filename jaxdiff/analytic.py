"""Exact denoisers: the data distributions whose E[x0 | x] has a closed form. They are what samplers are tested against."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxdiff.process.gaussian import alpha, sigma
from jaxdiff.representation import representation


class Gaussian(eqx.Module):
    """x0 ~ N(mean, C), with C given by variances (diagonal) or in full; also the mean of D over a step.

    mean: (*shape); cov: (*shape) variances, or (d, d) with d the number of values. D = m + α C (α² C + σ² I)⁻¹ (x − α m),
    in the eigenbasis of C, so that no matrix is solved per call. With a condition {"span": t − t'} it is X of `jd.MeanFlow`:
    along the probability flow (x − α m)/√(α² c + σ²) stays as it is on each axis of variance c. Raises `ValueError` if `cov`
    fits neither shape or has a negative eigenvalue.
    """

    mean: Float[Array, " *shape"]
    variances: Float[Array, " d"]
    basis: Float[Array, "d d"] | None

    __repr__ = representation

    def __init__(self, mean: ArrayLike, cov: ArrayLike):
        mean, cov = np.asarray(mean, np.float64), np.asarray(cov, np.float64)
        if cov.shape == (mean.size, mean.size) and cov.shape != mean.shape:
            variances, basis = np.linalg.eigh(cov)
            variances = np.where(np.abs(variances) < 1e-12 * np.abs(variances).max(), 0.0, variances)
        elif cov.shape in ((), mean.shape):
            variances, basis = np.broadcast_to(cov, mean.shape).reshape(-1), None
        else:
            raise ValueError(
                f"got cov of shape {cov.shape} for a mean of shape {mean.shape}; expected variances of shape "
                f"{mean.shape} or a matrix of shape {(mean.size, mean.size)}"
            )
        if variances.min() < 0:
            raise ValueError(f"got a covariance with eigenvalue {variances.min():.3g}; expected none below 0")
        self.mean, self.variances = jnp.asarray(mean), jnp.asarray(variances)
        self.basis = None if basis is None else jnp.asarray(basis)

    def __call__(self, x, lam, cond=None):
        lam = jnp.asarray(lam, x.dtype)
        a, s = alpha(lam), sigma(lam)
        mean, variances = self.mean.astype(x.dtype), self.variances.astype(x.dtype)
        if isinstance(cond, Mapping) and "span" in cond:
            gain = _mean_gain(lam, jnp.asarray(cond["span"], x.dtype), variances)
        else:
            gain = a * variances / (a**2 * variances + s**2)
        rest = (x - a * mean).reshape(-1)
        if self.basis is None:
            moved = gain * rest
        else:
            basis = self.basis.astype(x.dtype)
            moved = basis @ (gain * (basis.T @ rest))
        return mean + moved.reshape(x.shape)


def _mean_gain(lam: Array, span: Array, variances: Array) -> Array:
    """What x − α m is multiplied by in the mean of D over a step from t = σ/(α + σ) to r = t − span.

    With z = x/(α + σ) and S_t² = (1 − t)² c + t², z_r = (1 − r) m + (S_r/S_t)(z_t − (1 − t) m) and z_r = X + (r/t)(z_t − X)
    give c ((1 − r) t + (1 − t) r) / ((t S_r + r S_t) S_t).
    """
    t, rest = jax.nn.sigmoid(-lam), jax.nn.sigmoid(lam)
    r, end = t - span, rest + span
    at, to = jnp.sqrt(rest**2 * variances + t**2), jnp.sqrt(end**2 * variances + r**2)
    scale = jnp.where(variances > 0, (t * to + r * at) * at, 1.0)
    return variances * (end * t + rest * r) / (scale * (alpha(lam) + sigma(lam)))


class GaussianMixture(eqx.Module):
    """x0 from component k with probability `weights[k]`, then N(means[k], stds[k]² I).

    means: (K, *shape); stds: (K,), 0 allowed; weights: (K,), normalised here, equal by default.
    """

    means: Float[Array, "K *shape"]
    stds: Float[Array, " K"]
    log_weights: Float[Array, " K"]

    __repr__ = representation

    def __init__(self, means: ArrayLike, stds: ArrayLike, weights: ArrayLike | None = None):
        means = np.asarray(means, np.float64)
        stds = np.asarray(stds, np.float64)
        weights = np.ones(len(means)) if weights is None else np.asarray(weights, np.float64)
        if stds.shape != (len(means),) or weights.shape != (len(means),):
            raise ValueError(
                f"got means {means.shape}, stds {stds.shape}, weights {weights.shape}; expected K means, K stds and K weights"
            )
        if stds.min() < 0 or weights.min() <= 0:
            raise ValueError("got a negative std or a weight that is not positive; expected stds ≥ 0 and weights > 0")
        self.means, self.stds = jnp.asarray(means), jnp.asarray(stds)
        self.log_weights = jnp.asarray(np.log(weights / weights.sum()))

    def __call__(self, x, lam, cond=None):
        if isinstance(cond, Mapping) and "span" in cond:
            raise ValueError(
                "got a span for a GaussianMixture, whose mean over a step has no closed form; expected a solver that asks "
                "for D; to fix: jd.DPMpp(2)"
            )
        lam = jnp.asarray(lam, x.dtype)
        a, s = alpha(lam), sigma(lam)
        means, stds, log_weights = (leaf.astype(x.dtype) for leaf in (self.means, self.stds, self.log_weights))
        variance = (a * stds) ** 2 + s**2
        rest = x - a * means
        square = jnp.sum(rest.reshape(len(means), -1) ** 2, axis=1)
        share = jax.nn.softmax(log_weights - 0.5 * square / variance - 0.5 * x.size * jnp.log(variance))
        per_component = lambda values: values.reshape((-1,) + (1,) * x.ndim)  # noqa: E731
        posterior = means + per_component(a * stds**2 / variance) * rest
        return jnp.sum(per_component(share) * posterior, axis=0)


def Empirical(images: ArrayLike) -> GaussianMixture:
    """x0 drawn from `images` (num, *shape): the mixture with zero width, which a network that memorises becomes."""
    images = np.asarray(images, np.float64)
    return GaussianMixture(images, np.zeros(len(images)))
