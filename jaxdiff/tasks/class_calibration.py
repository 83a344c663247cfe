"""What held-out labelled images say of a diffusion classifier: how sure its errors are, and how large on known images.

Probabilities are softmax(−error/T). With T = 1 they would be Bayes' for classes equally frequent, were the model exact;
a network is not, and over the thousands of pixels of an image its mistakes add up to certainty about anything. T is what
makes the held-out labels most likely (temperature scaling: Guo et al. 2017, arXiv 1706.04599). It changes no decision.
"""

import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax

from jaxdiff.malformed import malformed
from jaxdiff.tasks.beside_run import read_beside, write_beside

NAME = "classifier.json"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Temperature and usual errors of a classifier; made by `calibrate`, for its settings and checkpoint only."""

    temperature: float
    """Nats of error that are worth a factor of e in probability."""
    mean: float
    """Of the best class's error over the held-out images, nats."""
    std: float
    """Standard deviation of the same."""
    images: int
    """Held-out images."""
    accuracy: float
    """Share of them whose least error is that of their label."""
    nll: float
    """Mean negative log-likelihood of their labels, nats; chance is log(classes). It is that of the fit."""
    settings: dict[str, Any] = field(default_factory=dict)
    """How the errors were estimated, plain values."""
    checkpoint: int | None = None
    """Step of the model's."""

    def __post_init__(self):
        most, least = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)  # errors are sums of float32
        for name, low, high in (
            ("temperature", least, most),
            ("mean", -most, most),
            ("std", least, most),
            ("images", 2, 2**62),
            ("accuracy", 0, 1),
            ("nll", 0, most),
        ):
            if not low <= (value := getattr(self, name)) <= high:
                raise malformed(name, value, f"{low:.3g} to {high:.3g}", "calibrate anew")

    def check(self, settings: dict[str, Any], checkpoint: int | None) -> None:
        """Raises ValueError for other settings than its own; warns of another checkpoint."""
        for name in sorted({*settings, *self.settings}):
            setting, own = settings.get(name), self.settings.get(name)
            if setting != own:
                raise ValueError(
                    f"got {name} {setting} with a calibration of {own}; expected the same; to fix: the calibration's, or "
                    "calibrate anew"
                )
        if checkpoint != self.checkpoint:
            warnings.warn(
                f"the calibration is of checkpoint {self.checkpoint}, not {checkpoint}; to fix: calibrate anew",
                stacklevel=3,
            )

    def save(self, run: str | Path) -> Path:
        """Writes it as RUN/classifier.json, replacing an earlier one; the path."""
        return write_beside(Path(run) / NAME, self)


def load_calibration(run: str | Path) -> Calibration:
    """What `Calibration.save` left in a run. Raises FileNotFoundError where there is none, ValueError where unreadable."""
    path = Path(run) / NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"got {run} without {NAME}; expected a calibrated classifier; to fix: jaxdiff calibrate {run}"
        )
    return read_beside(path, Calibration, f"jaxdiff calibrate {run} --replace")


def fitted(errors: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], **about: Any) -> Calibration:
    """The calibration of held-out images with these errors under each class and these labels.

    Where every image's own class has the least error, no T is best (the smaller, the better): then T is where the mean
    log-probability of the right classes is log((n + 1)/(n + 2)), Laplace's rule of succession, and a warning says so.
    Raises ValueError for fewer than two images, labels that are no classes, images that all have one error, and errors
    that know no more of the labels than chance.
    """
    number, classes = errors.shape
    labels = np.asarray(labels)
    if number < 2 or labels.shape != (number,) or labels.dtype.kind not in "ui":
        raise ValueError(
            f"got {number} images and labels of shape {labels.shape} and type {labels.dtype}; expected two images or more "
            "and an integer for each; to fix: hold labelled images out"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"got labels {labels.min()} to {labels.max()}; expected 0 to {classes - 1}, the model's classes"
        )
    least = errors.min(axis=1)
    if not least.max() > least.min():
        raise ValueError("got the same error for all images; expected them to differ; to fix: hold more images out")
    own = errors[np.arange(number), labels]

    def nll(log_beta: float) -> float:
        return float(-log_softmax(-errors * math.exp(log_beta), axis=1)[np.arange(number), labels].mean())

    # The slope at 1/T = 0: do the labels' own errors lie below the others at all?
    if not own.mean() < errors.mean():
        raise ValueError(
            f"got errors that are, for the images' own classes, {own.mean() - errors.mean():.3g} above the mean of all "
            "classes; expected below; to fix: are the labels the model's classes, in its order? else train longer"
        )
    apart = np.abs(errors - own[:, None])
    low, high = -math.log(apart.max()) - 20, -math.log(apart[apart > 0].min()) + 20
    if np.count_nonzero(errors <= own[:, None]) == number:
        warnings.warn(
            f"all {number} held-out images are classified right, so that their temperature is a guess; to fix: hold more "
            "images out",
            stacklevel=3,
        )
        target = math.log((number + 2) / (number + 1))
        log_beta = float(np.asarray(brentq(lambda b: nll(b) - target, low, high)))
    else:
        best: Any = minimize_scalar(nll, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
        log_beta = float(best.x)
    return Calibration(
        temperature=math.exp(-log_beta),
        mean=float(least.mean()),
        std=float(least.std(ddof=1)),
        images=number,
        accuracy=float((errors.argmin(axis=1) == labels).mean()),
        nll=nll(log_beta),
        **about,
    )


def probabilities(error: Float[np.ndarray, "*n classes"], temperature: float) -> Float[np.ndarray, "*n classes"]:
    """softmax(−error/temperature)."""
    return np.exp(log_softmax(-error / temperature, axis=-1))
