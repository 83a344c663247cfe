"""Running solvers: one compiled program from start noise to images, over images and devices."""

from jaxdiff.sampling.encode import encode as encode
from jaxdiff.sampling.encode import slerp as slerp
from jaxdiff.sampling.log_likelihood import LogLikelihood as LogLikelihood
from jaxdiff.sampling.log_likelihood import log_likelihood as log_likelihood
from jaxdiff.sampling.sample import Samples as Samples
from jaxdiff.sampling.sample import sample as sample
