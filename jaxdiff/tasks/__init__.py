"""What a microscopist asks for: images in, images out, with uncertainty; on the command line `sample.py TASK`."""

from jaxdiff.tasks.denoise import Denoised as Denoised
from jaxdiff.tasks.denoise import denoise as denoise
from jaxdiff.tasks.generate import Generate as Generate
from jaxdiff.tasks.generate import generate as generate
from jaxdiff.tasks.generate_labelled import Labelled as Labelled
from jaxdiff.tasks.generate_labelled import generate_labelled as generate_labelled
from jaxdiff.tasks.instances import instances as instances
from jaxdiff.tasks.segment import Segmentation as Segmentation
from jaxdiff.tasks.segment import segment as segment
