"""The public names of the package: `jd.NAME` is NAME here."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from jaxdiff import analytic as analytic
from jaxdiff import guidance as guidance
from jaxdiff import predictions as predictions
from jaxdiff.conformance import check_posterior as check_posterior
from jaxdiff.conformance import check_solver as check_solver
from jaxdiff.denoiser import Denoiser as Denoiser
from jaxdiff.denoiser import bind as bind
from jaxdiff.nn import DiT as DiT
from jaxdiff.nn import UNet as UNet
from jaxdiff.nn import condition as condition
from jaxdiff.nn import null as null
from jaxdiff.process import alpha as alpha
from jaxdiff.process import grids as grids
from jaxdiff.process import noise as noise
from jaxdiff.process import sigma as sigma
from jaxdiff.process.schedules import BrownianBridge as BrownianBridge
from jaxdiff.process.schedules import Cosine as Cosine
from jaxdiff.process.schedules import DiscreteBetas as DiscreteBetas
from jaxdiff.process.schedules import Karras as Karras
from jaxdiff.process.schedules import LinearBeta as LinearBeta
from jaxdiff.process.schedules import LogNormal as LogNormal
from jaxdiff.process.schedules import Rectified as Rectified
from jaxdiff.process.schedules import Schedule as Schedule
from jaxdiff.process.schedules import SubVP as SubVP
from jaxdiff.process.schedules import VarianceExploding as VarianceExploding
from jaxdiff.references import citation as citation
from jaxdiff.sampling import Samples as Samples
from jaxdiff.sampling import encode as encode
from jaxdiff.sampling import log_likelihood as log_likelihood
from jaxdiff.sampling import sample as sample
from jaxdiff.sampling import slerp as slerp
from jaxdiff.solvers import DDIM as DDIM
from jaxdiff.solvers import DDPM as DDPM
from jaxdiff.solvers import DEIS as DEIS
from jaxdiff.solvers import IPNDM as IPNDM
from jaxdiff.solvers import DPMpp as DPMpp
from jaxdiff.solvers import EDMHeun as EDMHeun
from jaxdiff.solvers import LinearMultistep as LinearMultistep
from jaxdiff.solvers import MeanFlow as MeanFlow
from jaxdiff.solvers import Point as Point
from jaxdiff.solvers import PredictorCorrector as PredictorCorrector
from jaxdiff.solvers import Renoised as Renoised
from jaxdiff.solvers import Replaced as Replaced
from jaxdiff.solvers import SASolver as SASolver
from jaxdiff.solvers import Solver as Solver
from jaxdiff.solvers import Tuned as Tuned
from jaxdiff.solvers import UniPC as UniPC

if TYPE_CHECKING:
    from jaxdiff import metrics as metrics
    from jaxdiff import physics as physics
    from jaxdiff import tasks as tasks
    from jaxdiff.loading import load as load
    from jaxdiff.model import Model as Model
    from jaxdiff.nnx import from_nnx as from_nnx
    from jaxdiff.shipped import models as models
    from jaxdiff.training import DenoisingLoss as DenoisingLoss
    from jaxdiff.training import TrainState as TrainState
    from jaxdiff.training import make_train_step as make_train_step
    from jaxdiff.training.config import TrainConfig as TrainConfig
    from jaxdiff.training.loop import train as train
    from jaxdiff.training.save_run import save_run as save_run

# Loaded on first use, since they bring in optimisers, checkpoints or readers.
_LATER = {
    "DenoisingLoss": "jaxdiff.training",
    "TrainState": "jaxdiff.training",
    "make_train_step": "jaxdiff.training",
    "TrainConfig": "jaxdiff.training.config",
    "train": "jaxdiff.training.loop",
    "save_run": "jaxdiff.training.save_run",
    "Model": "jaxdiff.model",
    "load": "jaxdiff.loading",
    "models": "jaxdiff.shipped",
    "from_nnx": "jaxdiff.nnx",
}

_ROOMS = ("metrics", "physics", "tasks")
"""Packages that are public as they are, also loaded on first use."""


def __getattr__(name: str):
    if name in _LATER:
        return getattr(_import_module(_LATER[name]), name)
    raise AttributeError(f"module 'jaxdiff' has no attribute {name!r}")


def __dir__() -> list[str]:
    defined = {name for name in globals() if not name.startswith("_")} - {"TYPE_CHECKING"}
    return sorted({*defined, *_LATER, *_ROOMS})
