"""The one process behind every model here: Gaussian noise on the clock of half log-SNR, its schedules and its grids."""

from jaxdiff.process import grids as grids
from jaxdiff.process import schedules as schedules
from jaxdiff.process.gaussian import alpha as alpha
from jaxdiff.process.gaussian import noise as noise
from jaxdiff.process.gaussian import sigma as sigma
