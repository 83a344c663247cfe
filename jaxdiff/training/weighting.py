"""Weightings of the denoising loss, all stated for the error of eps.

A weighting gives w(lam) in  `w(lam) * mean((eps - eps_hat)**2)`; the loss converts it exactly to what the network
predicts. What a weighting acts on is part of its definition:

* `per = "lam"`: w is a weight per unit of lam. The loss divides by the density of the drawn lams, so that its
  expectation is the integral of w(lam) E|eps - eps_hat|² over lam, whatever schedule draws them: the draws change
  only the variance (Kingma and Gao 2023, arXiv 2303.00848).
* `per = "draw"`: w multiplies the error of every drawn lam, as the DDPM and min-SNR papers write it; there the
  schedule that draws the lams is part of the weighting (with density p the weight per unit of lam is w p).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Weighting(Protocol):
    """A function of lam; `per` says whether it weights a unit of lam or a draw. Works element by element."""

    per: ClassVar[Literal["lam", "draw"]]

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]: ...


@dataclass(frozen=True)
class Sigmoid:
    """w = sigmoid(bias - 2 lam) per unit of lam: monotone, so a likelihood of noise-augmented data.

    Kingma and Gao 2023, arXiv 2303.00848 (their lambda is 2 lam); as used by Hoogeboom et al. 2024, arXiv 2410.19324.
    """

    bias: float = 2.0
    """Half weight falls at lam = bias / 2. Lower: more weight on coarse structure; higher: more on fine texture."""

    per: ClassVar[Literal["lam", "draw"]] = "lam"

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return jax.nn.sigmoid(self.bias - 2 * lam)


@dataclass(frozen=True)
class Uniform:
    """w = 1 for every draw: the plain eps loss of DDPM ("L_simple", Ho et al. 2020, arXiv 2006.11239)."""

    per: ClassVar[Literal["lam", "draw"]] = "draw"

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return jnp.ones_like(lam)


@dataclass(frozen=True)
class MinSNR:
    """min(SNR, gamma) on the error of x0, that is min(1, gamma / SNR) on eps, for every draw; SNR = exp(2 lam).

    Hang et al. 2023, arXiv 2303.09556. The same loss whatever the network predicts (for v it is min(SNR, gamma) /
    (SNR + 1)).
    """

    gamma: float = 5.0
    """Signal-to-noise ratio above which the weight on the error of x0 stops growing."""

    per: ClassVar[Literal["lam", "draw"]] = "draw"

    def __post_init__(self):
        if not self.gamma > 0:
            raise ValueError(f"got gamma={self.gamma}; expected a number above 0; to fix: the paper uses 5")

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return jnp.minimum(1.0, self.gamma * jnp.exp(-2 * lam))


@dataclass(frozen=True)
class P2:
    """1 / (k + SNR)^gamma for every draw: less weight where only invisible detail is left; SNR = exp(2 lam).

    "Perception prioritized training", Choi et al. 2022, arXiv 2204.00227.
    """

    gamma: float = 1.0
    """How fast the weight falls where the signal is stronger than the noise; 0 is `Uniform`. The paper uses 0.5 and 1."""
    k: float = 1.0
    """The weight on the noisiest images is 1 / k^gamma."""

    per: ClassVar[Literal["lam", "draw"]] = "draw"

    def __post_init__(self):
        if self.gamma < 0 or not self.k > 0:
            raise ValueError(
                f"got gamma={self.gamma}, k={self.k}; expected gamma >= 0 and k > 0; to fix: the paper uses 1 and 1"
            )

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return (self.k + jnp.exp(2 * lam)) ** -self.gamma


@dataclass(frozen=True)
class EDM:
    """Log-normal noise with the weight that makes errors of F equal: N(log(σ/α); mean, std²) (SNR + 1)/SNR per unit of lam.

    Karras et al. 2022, arXiv 2206.00364, table 1, for data of standard deviation 1, which model units have. Stated per
    unit of lam, it is EDM's loss whatever schedule draws the noise; `LogNormal` draws as EDM does, with the least variance.
    """

    mean: float = -0.507
    """Mean of log(σ/α), EDM's P_mean: −1.2 − log 0.5, as the paper's images have standard deviation 0.5."""
    std: float = 1.2
    """Standard deviation of log(σ/α), EDM's P_std."""

    per: ClassVar[Literal["lam", "draw"]] = "lam"

    def __post_init__(self):
        if not self.std > 0:
            raise ValueError(f"got std={self.std}; expected a number above 0; to fix: the paper uses 1.2")

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]:
        density = jax.scipy.stats.norm.pdf(-lam, self.mean, self.std)
        return density * (1 + jnp.exp(-2 * lam))


@dataclass(frozen=True)
class SNRPlusOne:
    """SNR + 1 on the error of x0, that is 1 + 1 / SNR on eps and 1 on v, for every draw: the plain v loss.

    Salimans and Ho 2022, arXiv 2202.00512. For conditional tasks: where the condition says nearly all, so do the noisiest
    steps, which the weightings of eps above leave untrained.
    """

    per: ClassVar[Literal["lam", "draw"]] = "draw"

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return 1 + jnp.exp(-2 * lam)


@dataclass(frozen=True)
class Likelihood:
    """w = 1 per unit of lam: differences are log-likelihood ratios of the image as it is, (2) of
    tasks/class_errors.py.

    Its finest texture, which no label is about, then counts as much as all else. The error itself, without a difference,
    has heavy weights at the clean end under lams that are uniform in the schedule's time; draw them uniformly in lam there:
    `Stratified(VarianceExploding(...))`.
    """

    per: ClassVar[Literal["lam", "draw"]] = "lam"

    def __call__(self, lam: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return jnp.ones_like(lam)
