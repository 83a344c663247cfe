"""Posterior sampling: a denoiser of images, and a measurement of one, make a denoiser of what the image may have been.

With y = A x0 + s n, the score of p(x | y) is that of p(x) plus ∇ log p(y | x), so that in terms of denoisers

    D_y(x, λ) = E[x0 | x, y] = D + (σ²/α) ∇_x log p(y | x),      (σ²/α) ∂D/∂x = Cov[x0 | x]

(Tweedie, first and second order). p(y | x) is what the methods here approximate, each in its file. All keep D's signature,
and go with every solver, grid and other guidance. In all of them A D_y is no farther from y than A D (`Linearised.bounded`).
"""

from jaxdiff.guidance.posterior.ddnm import DDNM as DDNM
from jaxdiff.guidance.posterior.diffpir import DiffPIR as DiffPIR
from jaxdiff.guidance.posterior.dps import DPS as DPS
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement as AbstractMeasurement
from jaxdiff.guidance.posterior.measurement import Measurement as Measurement
from jaxdiff.guidance.posterior.measurement import Method as Method
from jaxdiff.guidance.posterior.misfit import Misfit as Misfit
from jaxdiff.guidance.posterior.misfit import misfit as misfit
from jaxdiff.guidance.posterior.mmps import MMPS as MMPS
from jaxdiff.guidance.posterior.pigdm import PiGDM as PiGDM
from jaxdiff.guidance.posterior.recording import Recording as Recording
