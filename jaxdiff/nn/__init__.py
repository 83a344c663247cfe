"""The networks (Flax Linen): functions of (x, lam, condition) that know no process, prediction or sampler."""

from jaxdiff.nn.condition import condition, null
from jaxdiff.nn.contract import POLICIES
from jaxdiff.nn.dit import DiT
from jaxdiff.nn.unet import UNet

__all__ = ["POLICIES", "DiT", "UNet", "condition", "null"]
