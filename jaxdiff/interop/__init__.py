"""Foreign weights in, exported samplers out."""

from jaxdiff.interop.diffusers import Pretrained as Pretrained
from jaxdiff.interop.diffusers import load_diffusers as load_diffusers
from jaxdiff.interop.diffusers_unet import DiffusersUNet as DiffusersUNet
from jaxdiff.interop.export import export_sampler as export_sampler
from jaxdiff.interop.exported import load_sampler as load_sampler
