"""Conformance: what solvers and methods of posterior sampling promise, on data distributions whose answers are known."""

from jaxdiff.conformance.check_solver import check_solver as check_solver
from jaxdiff.conformance.posterior import PosteriorConformance as PosteriorConformance
from jaxdiff.conformance.posterior import check_posterior as check_posterior
from jaxdiff.conformance.report import Conformance as Conformance
from jaxdiff.conformance.report import Row as Row
