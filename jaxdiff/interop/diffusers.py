"""A denoiser from a folder that diffusers wrote: config.json, safetensors weights, scheduler_config.json."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdiff.denoiser import Denoiser, bind
from jaxdiff.durable import read_json
from jaxdiff.interop.diffusers_scheduler import prediction_of, schedule_of
from jaxdiff.interop.diffusers_unet import DiffusersUNet
from jaxdiff.interop.diffusers_weights import FILE, params_of, read_weights, shapes_of
from jaxdiff.malformed import malformed, within
from jaxdiff.process.schedules import DiscreteBetas
from jaxdiff.schema import fields, typed

LIMIT = 2**24
"""Bytes of a config."""


class Pretrained(NamedTuple):
    """What `load_diffusers` returns."""

    denoise: Denoiser
    schedule: DiscreteBetas
    """Of training: `jd.grids.discrete(schedule, n)` are its own steps, the other grids lie between them."""
    shape: tuple[int, int, int] | None
    """(height, width, channels) of an image where config.json tells it."""


class TimeLabel(eqx.Module):
    """The number of the trained step at λ, linear between the steps."""

    lams: Array
    """λ of the steps T−1 … 0."""

    def __init__(self, schedule: DiscreteBetas):
        self.lams = jnp.asarray(schedule.lams[::-1])

    def __call__(self, lam) -> Float[Array, ""]:
        label = jnp.interp(lam, self.lams, jnp.arange(len(self.lams) - 1.0, -1.0, -1.0))
        nearest = jnp.round(label)  # the trained labels are integers, and float32 λ misses them by some 1e-5
        return jnp.where(jnp.abs(label - nearest) < 1e-3, nearest, label)


def load_diffusers(
    folder: str | Path,
    *,
    schedule: DiscreteBetas | None = None,
    predicts: str | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
    attention_implementation: Literal["xla", "cudnn"] | None = None,
) -> Pretrained:
    """The denoiser of a `UNet2DModel` on disk; nothing in the folder is executed, and PyTorch is not needed.

    Args:
        folder: of the model (config.json, diffusion_pytorch_model.safetensors), or of a whole pipeline (unet/, scheduler/).
        schedule: instead of the one in scheduler_config.json, which may then be missing. Of that file only the betas and the
            kind of prediction count: what its sampler clips or thresholds is not a part of the model.
        predicts: likewise, what the network predicts.
        dtype: of the network's arithmetic; parameters are float32.
        attention_implementation: of `DiffusersUNet`.

    Returns:
        Denoiser, schedule and, where config.json tells it, shape.

    Raises:
        FileNotFoundError: for a missing file.
        ValueError: naming file and field, for options of config.json that are not supported, for a schedule other than betas,
            and for weights that do not fit the config or are not finite.
    """
    folder = Path(folder)
    model = folder / "unet" if (folder / "unet" / "config.json").is_file() else folder
    with within(model / "config.json", "fetch it again"):
        config = _read(model / "config.json")
        network = DiffusersUNet.from_config(config, dtype=dtype, attention_implementation=attention_implementation)
        expected = shapes_of(network)
        size = typed(int | tuple[int, int] | None, config.get("sample_size"), "sample_size")
        size = (size, size) if isinstance(size, int) else size
        if size is not None and min(size) < 1:
            raise malformed("sample_size", size, "a number of pixels, two of them, or null")
    if schedule is None or predicts is None:
        places = [folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"]
        place = next((path for path in places if path.exists()), places[0])
        with within(place, "fetch it again"):
            scheduler = _read(place)
            schedule = schedule or schedule_of(scheduler)
            predicts = predicts or prediction_of(scheduler)
    with within(model / FILE, "fetch it again"):
        params = params_of(expected, read_weights(model))
    shape = (size[0], size[1], network.in_channels) if size else None
    return Pretrained(bind(network, params, predicts, time=TimeLabel(schedule)), schedule, shape)


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        fix = "pass schedule= and predicts=" if path.name.startswith("scheduler") else "name the folder that holds it"
        raise FileNotFoundError(f"got no {path}; expected a file that diffusers wrote; to fix: {fix}")
    return fields(read_json(path, LIMIT), {})
