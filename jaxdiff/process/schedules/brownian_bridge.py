r"""Brownian bridge from the data to a source image: a schedule for translation with the source as condition.

Li et al. 2023, "BBDM: image-to-image translation with Brownian bridge diffusion models", arXiv 2205.07680. With the source
y, m = t in [0, 1] and the variance δ = 2 s m (1 − m), whose largest value is s/2,

    (1)  z_t = (1 − m) x0 + m y + √δ ε

From t to u > t the bridge is the chain

    (2)  z_u = r z_t + (m_u − r m_t) y + √(δ_u − r² δ_t) ε,    r = (1 − m_u)/(1 − m_t)

Take w = z − m y. In (2) all of y cancels, and so it does in every posterior: w knows of no y,

    (3)  w_t = (1 − m) x0 + √δ ε,    w_u = r w_t + √(δ_u − r² δ_t) ε

which is an isotropic Gaussian process with a = 1 − m and s² = δ. Divided by √(a² + δ) it is (1) of
`jaxdiff.process.gaussian` at

    (4)  λ = ½ log((1 − m)² / δ) = ½ log((1 − m) / (2 s m)),    m = sigmoid(−2λ − log 2s)

and the bridge's reverse process is (★) at η = 1. What the network learns is E[x0 | w, y]: the denoiser with y concatenated,
as every condition of this library is. Hence no bridge code: a bridge is conditional diffusion at the noise levels (4).
"""

import math

from jaxdiff.process.gaussian import namespace
from jaxdiff.process.schedules.base import LAM_MIN, Schedule, at_least

LEFT = 1e-5
"""1 − m at the noisy end: float32 still tells it from 0, and at s = 1 the signal there is 0.002 of the noise."""


class BrownianBridge(Schedule):
    """z = (1 − t) x0 + t y + √(2 s t (1 − t)) ε without its t y, so λ = ½ log((1 − t)/(2 s t)).

    y, the source, is the network's image condition. `s` scales the variance, at most s/2 in model units; 1 in BBDM.
    Li et al. 2023, "BBDM", arXiv 2205.07680; the module says why a schedule is all that a bridge needs.
    """

    s: float = 1.0

    def __check_init__(self):
        at_least("s", self.s, 0.0)

    @property
    def lam_min(self) -> float:
        """λ at t = 1 − LEFT."""
        return max(LAM_MIN, 0.5 * (math.log(LEFT) - math.log1p(-LEFT) - math.log(2.0 * self.s)))

    def lam(self, t):
        xp = namespace(t)
        return 0.5 * (xp.log1p(-t) - xp.log(t) - math.log(2.0 * self.s))

    def time(self, lam):
        xp = namespace(lam)
        return xp.exp(-xp.logaddexp(0.0, 2.0 * lam + math.log(2.0 * self.s)))
