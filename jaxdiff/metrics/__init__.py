"""Metrics: how good an image, a segmentation, a probability or a set of generated images is.

Pure functions on the host, in float64, that know no model. Images are (*spatial, C), masks (*spatial) with integer
labels; the truth comes first, as in scikit-image and StarDist. What a blank image gives is said with each metric, and all
that is not a number or not of the right shape raises ValueError. To pool a data set, add up counts (`pool`,
`pool_panoptic`, `pool_classes`, `pool_hallucinations`); a mean over images is another number. Nothing here is
imported by `import jaxdiff`.
"""

from jaxdiff.metrics.aji import aji as aji
from jaxdiff.metrics.alexnet import alexnet_features as alexnet_features
from jaxdiff.metrics.by_class import ClassMatches as ClassMatches
from jaxdiff.metrics.by_class import match_classes as match_classes
from jaxdiff.metrics.by_class import pool_classes as pool_classes
from jaxdiff.metrics.calibration import Coverage as Coverage
from jaxdiff.metrics.calibration import ErrorByStd as ErrorByStd
from jaxdiff.metrics.calibration import Reliability as Reliability
from jaxdiff.metrics.calibration import error_by_std as error_by_std
from jaxdiff.metrics.calibration import expected_calibration_error as expected_calibration_error
from jaxdiff.metrics.calibration import interval_coverage as interval_coverage
from jaxdiff.metrics.calibration import reliability as reliability
from jaxdiff.metrics.contingency import Contingency as Contingency
from jaxdiff.metrics.contingency import contingency as contingency
from jaxdiff.metrics.distribution import Frechet as Frechet
from jaxdiff.metrics.distribution import KernelDistance as KernelDistance
from jaxdiff.metrics.distribution import PrecisionRecall as PrecisionRecall
from jaxdiff.metrics.distribution import SetComparison as SetComparison
from jaxdiff.metrics.distribution import compare_sets as compare_sets
from jaxdiff.metrics.distribution import frechet_distance as frechet_distance
from jaxdiff.metrics.distribution import kernel_distance as kernel_distance
from jaxdiff.metrics.distribution import precision_recall as precision_recall
from jaxdiff.metrics.features import spectrum_and_quantiles as spectrum_and_quantiles
from jaxdiff.metrics.features import standardise as standardise
from jaxdiff.metrics.hallucinations import HallucinationRates as HallucinationRates
from jaxdiff.metrics.hallucinations import Hallucinations as Hallucinations
from jaxdiff.metrics.hallucinations import Rate as Rate
from jaxdiff.metrics.hallucinations import hallucination_rates as hallucination_rates
from jaxdiff.metrics.hallucinations import hallucinations as hallucinations
from jaxdiff.metrics.hallucinations import pool_hallucinations as pool_hallucinations
from jaxdiff.metrics.image import data_range as data_range
from jaxdiff.metrics.image import nrmse as nrmse
from jaxdiff.metrics.image import pearson as pearson
from jaxdiff.metrics.image import psnr as psnr
from jaxdiff.metrics.matching import THRESHOLDS as THRESHOLDS
from jaxdiff.metrics.matching import Counts as Counts
from jaxdiff.metrics.matching import Matching as Matching
from jaxdiff.metrics.matching import average_precision as average_precision
from jaxdiff.metrics.matching import count_matches as count_matches
from jaxdiff.metrics.matching import matching as matching
from jaxdiff.metrics.matching import mean_average_precision as mean_average_precision
from jaxdiff.metrics.matching import pool as pool
from jaxdiff.metrics.overlap import dice as dice
from jaxdiff.metrics.overlap import iou as iou
from jaxdiff.metrics.panoptic import PanopticQuality as PanopticQuality
from jaxdiff.metrics.panoptic import panoptic_quality as panoptic_quality
from jaxdiff.metrics.panoptic import pool_panoptic as pool_panoptic
from jaxdiff.metrics.resolution import FRC as FRC
from jaxdiff.metrics.resolution import Resolution as Resolution
from jaxdiff.metrics.resolution import fourier_ring_correlation as fourier_ring_correlation
from jaxdiff.metrics.resolution import resolution as resolution
from jaxdiff.metrics.seams import Seams as Seams
from jaxdiff.metrics.seams import has_seam as has_seam
from jaxdiff.metrics.seams import seam_statistic as seam_statistic
from jaxdiff.metrics.ssim import ssim as ssim
