"""What a microscopist asks for: images in, images out, with uncertainty; on the command line `sample.py TASK`."""

from jaxdiff.tasks.class_calibration import Calibration as Calibration
from jaxdiff.tasks.class_calibration import load_calibration as load_calibration
from jaxdiff.tasks.classify import Classification as Classification
from jaxdiff.tasks.classify import calibrate as calibrate
from jaxdiff.tasks.classify import classify as classify
from jaxdiff.tasks.denoise import Denoised as Denoised
from jaxdiff.tasks.denoise import denoise as denoise
from jaxdiff.tasks.diameter import estimate_diameter as estimate_diameter
from jaxdiff.tasks.estimate import Estimate as Estimate
from jaxdiff.tasks.generate_labelled import Labelled as Labelled
from jaxdiff.tasks.generate_labelled import generate_labelled as generate_labelled
from jaxdiff.tasks.instances import instances as instances
from jaxdiff.tasks.outliers import Familiar as Familiar
from jaxdiff.tasks.outliers import denoising_errors as denoising_errors
from jaxdiff.tasks.restoration import Restored as Restored
from jaxdiff.tasks.restoration import denoise_directly as denoise_directly
from jaxdiff.tasks.restoration import restore as restore
from jaxdiff.tasks.restoration import volume as volume
from jaxdiff.tasks.segment import Segmented as Segmented
from jaxdiff.tasks.segment import segment as segment
from jaxdiff.tasks.super_resolve import super_resolve as super_resolve
from jaxdiff.tasks.translate import translate as translate
from jaxdiff.tasks.usual import Usual as Usual
from jaxdiff.tasks.usual import load_usual as load_usual
from jaxdiff.training.weighting import Likelihood as Likelihood
