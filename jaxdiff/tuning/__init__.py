"""Samplers learned for one model: grid and weights against the model's own solution at many calls."""

from jaxdiff.tuning.compare import GridScore as GridScore
from jaxdiff.tuning.compare import compare as compare
from jaxdiff.tuning.compare import ranked as ranked
from jaxdiff.tuning.compare import score as score
from jaxdiff.tuning.compare import table as table
from jaxdiff.tuning.fit import fit as fit
from jaxdiff.tuning.teacher import Examples as Examples
from jaxdiff.tuning.teacher import teach as teach
