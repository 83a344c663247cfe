"""Pairs: what is diffused and under which condition, made from the images, masks and inputs of a data set.

One kind a file, all of one form (`jaxdiff.data.pairing.Pairs`): `fit` takes numbers from the training images, `prepare`
does what must see a whole image, `draw` makes the pair of a patch. Without any, images are diffused, as generation wants.
"""

from jaxdiff.data.pairs.denoising import Denoising as Denoising
from jaxdiff.data.pairs.distance import signed_distance as signed_distance
from jaxdiff.data.pairs.joint import Joint as Joint
from jaxdiff.data.pairs.labelled_generation import LabelledGeneration as LabelledGeneration
from jaxdiff.data.pairs.paired import paired as paired
from jaxdiff.data.pairs.paired import with_levels as with_levels
from jaxdiff.data.pairs.parallel import Parallel as Parallel
from jaxdiff.data.pairs.segmentation import Segmentation as Segmentation
from jaxdiff.data.pairs.super_resolution import SuperResolution as SuperResolution
