"""Options of the diffusion classifier that `sample.py classify` and `jaxdiff calibrate` share."""

from dataclasses import dataclass
from typing import Any, Literal

from jaxdiff.tasks.class_weighting import Likelihood
from jaxdiff.training.weighting import Sigmoid, SNRPlusOne

WEIGHTINGS = {"sigmoid": Sigmoid, "likelihood": Likelihood, "velocity": SNRPlusOne}


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions:
    """How errors are estimated; a calibration is for the same."""

    draws: int = 64
    """Noise levels and noises for each class; twice as many take twice the time."""
    weighting: Literal["sigmoid", "likelihood", "velocity"] = "sigmoid"
    """Of the denoising error by noise level: as in training, the likelihood of the image as it is, or uniform in v."""
    standard_errors: float | None = 4.0
    """A class is dropped once its difference to the best is above so many standard errors; None: never."""
    batch: int = 32
    """Images in one network call."""

    def settings(self) -> dict[str, Any]:
        """For `jaxdiff.tasks.classify` and `calibrate`."""
        return {
            "draws": self.draws,
            "weighting": WEIGHTINGS[self.weighting](),
            "standard_errors": self.standard_errors,
            "batch": self.batch,
        }
