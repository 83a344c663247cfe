"""Guidance: functions from a denoiser to a denoiser."""

from jaxdiff.guidance.classifier_free import ClassifierFree as ClassifierFree
from jaxdiff.guidance.classifier_free import classifier_free as classifier_free
