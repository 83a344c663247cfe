"""Conformance: what every solver promises, measured on data distributions whose answers are known."""

from jaxdiff.conformance.check_solver import check_solver as check_solver
from jaxdiff.conformance.report import Conformance as Conformance
from jaxdiff.conformance.report import Row as Row
