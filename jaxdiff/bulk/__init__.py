"""Any number of images from a model, on all devices and hosts, into files that survive every interruption.

`bulk(Job(...))` makes them; a `Job` says what is wanted and `manifest.json` in the folder what came of it.
"""

from jaxdiff.bulk.job import Job as Job
from jaxdiff.bulk.run import bulk as bulk
