"""Restoration by one unconditional model, whatever the microscope did: no training for the task."""

from jaxdiff.tasks.restoration.direct import denoise_directly as denoise_directly
from jaxdiff.tasks.restoration.restore import Restored as Restored
from jaxdiff.tasks.restoration.restore import restore as restore
from jaxdiff.tasks.restoration.restore import volume as volume
