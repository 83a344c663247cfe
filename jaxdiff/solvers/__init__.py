"""Solvers of (★): each is a `diffrax.AbstractSolver` whose time is the index of a row in a float64 host table."""

from jaxdiff.solvers.base import Point as Point
from jaxdiff.solvers.base import Rows as Rows
from jaxdiff.solvers.base import Solver as Solver
from jaxdiff.solvers.ddim import DDIM as DDIM
from jaxdiff.solvers.ddpm import DDPM as DDPM
from jaxdiff.solvers.deis import DEIS as DEIS
from jaxdiff.solvers.dpmpp import DPMpp as DPMpp
from jaxdiff.solvers.edm_heun import EDMHeun as EDMHeun
from jaxdiff.solvers.ipndm import IPNDM as IPNDM
from jaxdiff.solvers.mean_flow import MeanFlow as MeanFlow
from jaxdiff.solvers.multistep import LinearMultistep as LinearMultistep
from jaxdiff.solvers.multistep import Weights as Weights
from jaxdiff.solvers.predictor_corrector import PredictorCorrector as PredictorCorrector
from jaxdiff.solvers.replaced import Renoised as Renoised
from jaxdiff.solvers.replaced import Replaced as Replaced
from jaxdiff.solvers.sa import SASolver as SASolver
from jaxdiff.solvers.stepped import Stepped as Stepped
from jaxdiff.solvers.tuned import Tuned as Tuned
from jaxdiff.solvers.unipc import UniPC as UniPC
