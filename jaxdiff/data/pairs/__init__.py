"""Pairs: what is diffused and under which condition, made from the images, masks and inputs of a data set.

One kind a file, all of the same form (`jaxdiff.data.pairing.Pairs`): numbers from the training images (`fit`), what must see a whole
image (`prepare`), then the pair from a patch (`draw`). None of them: images are diffused, as generation wants it.
"""

from jaxdiff.data.pairs.denoising import Denoising as Denoising
from jaxdiff.data.pairs.distance import signed_distance as signed_distance
from jaxdiff.data.pairs.joint import Joint as Joint
from jaxdiff.data.pairs.labelled_generation import LabelledGeneration as LabelledGeneration
from jaxdiff.data.pairs.segmentation import Segmentation as Segmentation
from jaxdiff.data.pairs.paired import paired as paired
