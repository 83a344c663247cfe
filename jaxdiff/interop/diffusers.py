"""A denoiser from a folder that diffusers wrote: config.json, safetensors weights, scheduler_config.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdiff.denoiser import Denoiser, bind
from jaxdiff.interop.diffusers_unet import DiffusersUNet
from jaxdiff.interop.diffusers_weights import params_of, read_weights
from jaxdiff.process.schedules import DiscreteBetas

PREDICTS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}


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

    folder: of the model (config.json, diffusion_pytorch_model.safetensors), or of a whole pipeline (unet/, scheduler/).
    schedule, predicts: instead of those in scheduler_config.json, which may then be missing. Of that file only the betas
        and the kind of prediction count: what its sampler clips or thresholds is not a part of the model.
    dtype, attention_implementation: of the network's arithmetic (`DiffusersUNet`); parameters are float32.

    Raises FileNotFoundError for a missing file, ValueError for options of config.json that are not supported, for a
    schedule other than betas, and for weights that do not fit the config.
    """
    folder = Path(folder)
    model = folder / "unet" if (folder / "unet" / "config.json").is_file() else folder
    config = _read_json(model / "config.json")
    network = DiffusersUNet.from_config(config, dtype=dtype, attention_implementation=attention_implementation)
    if schedule is None or predicts is None:
        places = [folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"]
        scheduler = _read_json(next((path for path in places if path.is_file()), places[0]))
        schedule = schedule or schedule_of(scheduler)
        predicts = predicts or _prediction(scheduler)
    params = params_of(network, read_weights(model))
    size: Any = config.get("sample_size")
    size = (size, size) if isinstance(size, int) else size
    shape = (size[0], size[1], network.in_channels) if size else None
    return Pretrained(bind(network, params, predicts, time=TimeLabel(schedule)), schedule, shape)


def schedule_of(config: Mapping[str, Any]) -> DiscreteBetas:
    """The betas of a scheduler_config.json. Raises ValueError for schedules that are not a table of betas."""
    kind, total = config.get("beta_schedule"), config.get("num_train_timesteps", 1000)
    if config.get("rescale_betas_zero_snr"):
        raise ValueError(
            "got rescale_betas_zero_snr=true in scheduler_config.json; expected a finite λ at every step; to fix: pass "
            "schedule=, without the last step"
        )
    if config.get("trained_betas") is not None:
        return DiscreteBetas(config["trained_betas"])
    start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    if kind == "linear":
        return DiscreteBetas(np.linspace(start, end, total))
    if kind == "scaled_linear":
        return DiscreteBetas(np.linspace(start**0.5, end**0.5, total) ** 2)
    if kind == "squaredcos_cap_v2":
        alpha_bar = np.cos((np.arange(total + 1) / total + 0.008) / 1.008 * np.pi / 2) ** 2
        return DiscreteBetas(np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999))
    raise ValueError(
        f"got beta_schedule={kind!r} of {config.get('_class_name')} in scheduler_config.json; expected 'linear', "
        "'scaled_linear', 'squaredcos_cap_v2' or trained_betas; to fix: pass schedule="
    )


def _prediction(scheduler: Mapping[str, Any]) -> str:
    kind = scheduler.get("prediction_type", "epsilon")
    if kind not in PREDICTS:
        raise ValueError(
            f"got prediction_type={kind!r} in scheduler_config.json; expected one of {tuple(PREDICTS)}; to fix: pass "
            "predicts="
        )
    return PREDICTS[kind]


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        fix = "pass schedule= and predicts=" if path.name.startswith("scheduler") else "name the folder that holds it"
        raise FileNotFoundError(f"got no {path}; expected a file that diffusers wrote; to fix: {fix}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"got an unreadable {path} ({error}); expected JSON; to fix: fetch it again") from error
    return values
