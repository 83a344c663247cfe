"""Schedules: maps between time t in [0, 1] (1 = noise) and half log-SNR λ. Solvers never see one."""

from jaxdiff.process.schedules.base import Schedule as Schedule
from jaxdiff.process.schedules.brownian_bridge import BrownianBridge as BrownianBridge
from jaxdiff.process.schedules.cosine import Cosine as Cosine
from jaxdiff.process.schedules.discrete_betas import DiscreteBetas as DiscreteBetas
from jaxdiff.process.schedules.karras import Karras as Karras
from jaxdiff.process.schedules.linear_beta import LinearBeta as LinearBeta
from jaxdiff.process.schedules.log_normal import LogNormal as LogNormal
from jaxdiff.process.schedules.rectified import Rectified as Rectified
from jaxdiff.process.schedules.sub_vp import SubVP as SubVP
from jaxdiff.process.schedules.variance_exploding import VarianceExploding as VarianceExploding
