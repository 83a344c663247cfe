"""Running solvers: one compiled program from start noise to images, over images and devices."""

from jaxdiff.sampling.sample import Samples as Samples
from jaxdiff.sampling.sample import sample as sample
