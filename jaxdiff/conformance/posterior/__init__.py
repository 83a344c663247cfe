"""Conformance of posterior sampling: what a method makes of recordings whose posterior has a closed form."""

from jaxdiff.conformance.posterior.check import check_posterior as check_posterior
from jaxdiff.conformance.posterior.report import Cell as Cell
from jaxdiff.conformance.posterior.report import PosteriorConformance as PosteriorConformance
