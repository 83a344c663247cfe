"""Training: loss and weightings, state and step, average, checkpoints, and the loop that drives them."""

from jaxdiff.training.ema import EMA as EMA
from jaxdiff.training.lam_sampler import Stratified as Stratified
from jaxdiff.training.loss import DenoisingLoss as DenoisingLoss
from jaxdiff.training.power_ema import PowerEMA as PowerEMA
from jaxdiff.training.snapshots import reconstruct as reconstruct
from jaxdiff.training.state import TrainState as TrainState
from jaxdiff.training.step import make_train_step as make_train_step
from jaxdiff.training.weighting import EDM as EDM
from jaxdiff.training.weighting import P2 as P2
from jaxdiff.training.weighting import MinSNR as MinSNR
from jaxdiff.training.weighting import Sigmoid as Sigmoid
from jaxdiff.training.weighting import SNRPlusOne as SNRPlusOne
from jaxdiff.training.weighting import Uniform as Uniform
