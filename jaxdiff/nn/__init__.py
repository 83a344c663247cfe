"""The networks (Flax Linen): functions of (x, lam, condition) that know no process, prediction or sampler."""

from jaxdiff.nn.condition import condition, null
from jaxdiff.nn.unet import POLICIES, UNet

__all__ = ["POLICIES", "UNet", "condition", "null"]
