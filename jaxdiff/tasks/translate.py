"""Translation, such as virtual staining: another modality of the same field, as mean, samples and their spread."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from jaxdiff.model import Model
from jaxdiff.tasks.conditional import check_task, given
from jaxdiff.tasks.estimate import Estimate, EstimateOptions, estimate, estimate_folder
from jaxdiff.tasks.folder_options import parsed


def translate(
    key: PRNGKeyArray,
    model: Model,
    image: Float[np.ndarray, "*spatial channels"],
    samples: int = 8,
    *,
    calls: int = 8,
    solver: Any = None,
) -> Estimate:
    """What the model's other modality would show of the field of `image`, of any size, (*spatial, C) in its own units.

    The result is in the units and channels of that modality: a prediction, and no recording. Raises ValueError for a model
    trained for something else, and for what `jaxdiff.tasks.conditional.given` refuses.
    """
    check_task(model, "translate")
    return estimate(given(key, model, image, samples, calls=calls, solver=solver))


@dataclass(frozen=True, kw_only=True)
class Translate(EstimateOptions):
    """Another modality of every image of a folder, with the standard deviation of its samples."""


def main(args: list[str], prog: str = "sample.py translate") -> int:
    """The command: options from `args`; exit status."""
    return estimate_folder(parsed(Translate, args, prog), "translate", translate)
