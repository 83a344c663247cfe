"""Whether the segmentation of an image looks like those of images that a model is known to work on.

Two numbers of an image, neither of which needs the truth: the doubt, bits of disagreement between the samples for one pixel
of foreground; and the contrast, the share of the variance of its grey levels that the foreground explains. Beside those of
n known images that the model was not trained on, each has p = (1 + number of known images as odd or odder) / (n + 1), which
for one more image of the known kind is below a with probability a at most (Vovk, Gammerman and Shafer 2005,
doi:10.1007/b106715). `familiar` is twice the smaller p, at most 1.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdiff.malformed import malformed
from jaxdiff.model import Model
from jaxdiff.tasks.beside_run import read_beside, write_beside
from jaxdiff.tasks.diameter import explained
from jaxdiff.tasks.sampled import with_channels
from jaxdiff.tasks.seen import seen
from jaxdiff.tasks.segment import Segmented

NAME = "usual.json"
FEWEST = 20
"""Known images, without which nothing is called odd."""


class Look(NamedTuple):
    """What a segmentation looks like."""

    doubt: float
    """Bits for one pixel of foreground; NaN for one sample."""
    contrast: float
    """Share of the variance of grey levels that the foreground explains, 0 to 1; 0 without foreground."""


def look(model: Model, image: Float[np.ndarray, "*spatial channels"], result: Segmented) -> Look:
    """What the segmentation of an image by `jd.tasks.segment` looks like."""
    levels = seen(model, with_channels(image, model.inputs.info)).normal
    doubt = float(result.uncertainty.sum()) / max(float(result.probability.sum()), 1.0)
    inside = (result.labels > 0).ravel()
    return Look(doubt, explained(levels.reshape(len(inside), -1), inside))


@dataclass(frozen=True, kw_only=True)
class Usual:
    """The looks of known images, and the settings of their segmentation."""

    doubt: tuple[float, ...]
    """Of each known image."""
    contrast: tuple[float, ...]
    """Of each known image."""
    settings: dict[str, Any]
    """How they were segmented, plain values."""
    checkpoint: int | None = None
    """Step of the model's."""
    parameters: str | None = None
    """Checksum of what it denoises with."""

    def __post_init__(self):
        if len(self.doubt) != len(self.contrast) or len(self.doubt) < FEWEST:
            raise malformed(
                "doubt", f"{len(self.doubt)} numbers", f"{FEWEST} known images or more, of each both numbers"
            )
        if not np.isfinite((*self.doubt, *self.contrast)).all():
            raise malformed("doubt", "numbers that are not finite", "those of two samples or more")

    def familiar(self, image: Look) -> float:
        """Near 1 and at least 2/(n + 1): a small one is of an odd image, or an unlucky one."""
        n = len(self.doubt)
        ranks = (sum(one >= image.doubt for one in self.doubt), sum(one <= image.contrast for one in self.contrast))
        return min(1.0, 2 * (1 + min(ranks)) / (n + 1))

    def say_odd(self, image: Look) -> None:
        """Warns, with numbers, of an image that is beyond all known ones."""
        odd = []
        if image.doubt > max(self.doubt):
            odd.append(
                f"its samples disagree by {image.doubt:.2g} bits a pixel of foreground (at most {max(self.doubt):.2g})"
            )
        if image.contrast < min(self.contrast):
            odd.append(f"its objects explain {image.contrast:.2g} of its contrast (at least {min(self.contrast):.2g})")
        if odd:
            warnings.warn(
                f"the image is unlike all {len(self.doubt)} that the model is known to work on: {', and '.join(odd)}; to "
                "fix: look at the overlay, and at --diameter",
                stacklevel=3,
            )

    def unlike(self, settings: Mapping[str, Any], checkpoint: int | None, parameters: str) -> str | None:
        """Why results of these settings and this model are not to be compared with the known ones; None where they are."""
        pairs = {name: (settings.get(name), self.settings.get(name)) for name in sorted({*settings, *self.settings})}
        pairs["checkpoint"] = (checkpoint, self.checkpoint)
        for name, (now, own) in pairs.items():
            if now != own:
                return f"{name} {now}, it is of {own}"
        return None if parameters == self.parameters else "the model has other parameters, it was trained anew"

    @property
    def checksum(self) -> str:
        """Of all that it says."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def save(self, run: str | Path) -> Path:
        """Writes it as RUN/usual.json, replacing an earlier one; the path."""
        return write_beside(Path(run) / NAME, self)


def load_usual(run: str | Path) -> Usual | None:
    """What `Usual.save` left in a run; None where there is none. Raises ValueError where it cannot be read."""
    path = Path(run) / NAME
    if not path.is_file():
        return None
    return read_beside(path, Usual, f"jaxdiff usual {run} --replace")
