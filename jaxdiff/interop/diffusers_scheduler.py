"""The schedule of betas and the kind of prediction that a scheduler_config.json of diffusers describes.

Fields that a config leaves out have the defaults of its class in diffusers; a class that is not listed has to say its own.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdiff.malformed import malformed
from jaxdiff.process.schedules import DiscreteBetas
from jaxdiff.schema import fields, numbers

PREDICTS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
DDPM_BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
KARRAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}
LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DEFAULTS = {
    **dict.fromkeys(("DDPM", "DDPMParallel", "DDIM", "DDIMParallel", "DDIMInverse", "PNDM", "RePaint"), DDPM_BETAS),
    **dict.fromkeys(
        ("EulerDiscrete", "EulerAncestralDiscrete", "LMSDiscrete", "DEISMultistep", "UniPCMultistep"), DDPM_BETAS
    ),
    **dict.fromkeys(("DPMSolverMultistep", "DPMSolverMultistepInverse", "DPMSolverSinglestep", "SASolver"), DDPM_BETAS),
    **dict.fromkeys(("HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete", "DPMSolverSDE"), KARRAS),
    **dict.fromkeys(("LCM", "TCD"), LATENT),
}
"""Of diffusers' schedulers on a table of betas, by the name of the class without "Scheduler"."""
KINDS = {
    "_class_name": str,
    "num_train_timesteps": int,
    "beta_start": float,
    "beta_end": float,
    "beta_schedule": str,
    "trained_betas": list | None,
    "prediction_type": str,
    "rescale_betas_zero_snr": bool,
    "use_flow_sigmas": bool | None,
}
MOST = 10**6
"""Trained steps."""
FIX = "pass schedule="


def schedule_of(config: Mapping[str, Any]) -> DiscreteBetas:
    """The betas of a scheduler_config.json. Raises ValueError for schedules that are not a table of betas."""
    config = fields(config, KINDS, optional=tuple(KINDS))
    if config.get("trained_betas") is not None:
        betas = numbers(config["trained_betas"], "trained_betas", 1)
    else:
        betas = _betas({**_defaults(config), **config}, config.get("num_train_timesteps", 1000))
    if config.get("rescale_betas_zero_snr"):
        if prediction_of(config) == "eps":
            raise ValueError(
                "got rescale_betas_zero_snr=true with prediction_type='epsilon' in scheduler_config.json; expected "
                "'v_prediction' or 'sample': noise alone tells nothing of the image; to fix: pass schedule= and predicts="
            )
        betas = zero_terminal(betas)
    return DiscreteBetas(betas)


def prediction_of(config: Mapping[str, Any]) -> str:
    """jaxdiff's name of the kind of prediction, "epsilon" where nothing is said. Raises ValueError for another."""
    kind = config.get("prediction_type", "epsilon")
    if not isinstance(kind, str) or kind not in PREDICTS:
        raise ValueError(
            f"got prediction_type={kind!r} in scheduler_config.json; expected one of {tuple(PREDICTS)}; to fix: pass "
            "predicts="
        )
    return PREDICTS[kind]


def zero_terminal(betas: np.ndarray) -> np.ndarray:
    """Betas whose last is 1: √ᾱ shifted to end at 0 and scaled to begin as before (Lin et al. 2023, arXiv:2305.08891)."""
    root = np.sqrt(np.cumprod(1 - betas))
    alpha_bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return 1 - np.concatenate([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])


def _defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the config's class has for what it leaves out. Raises ValueError for one without a table of betas."""
    name = config.get("_class_name", "DDPMScheduler" if "beta_start" in config or "beta_end" in config else None)
    defaults = DEFAULTS.get((name or "").removeprefix("Flax").removesuffix("Scheduler"))
    if config.get("use_flow_sigmas") or (defaults is None and "beta_schedule" not in config):
        raise ValueError(
            f"got a scheduler_config.json of {name or 'no _class_name'}"
            + (" with use_flow_sigmas" if config.get("use_flow_sigmas") else " without beta_schedule")
            + f"; expected a schedule of betas, of one of {', '.join(DEFAULTS)}, or trained_betas; to fix: {FIX}"
        )
    return DDPM_BETAS if defaults is None else defaults


def _betas(config: Mapping[str, Any], total: int) -> np.ndarray:
    kind, start, end = config["beta_schedule"], config["beta_start"], config["beta_end"]
    if not 2 <= total <= MOST:
        raise malformed("num_train_timesteps", total, f"2 to {MOST}", FIX)
    if kind in ("linear", "scaled_linear", "sigmoid") and not (0 < start < 1 and 0 < end < 1):
        raise malformed("beta_start and beta_end", [start, end], "numbers between 0 and 1", FIX)
    if kind == "linear":
        return np.linspace(start, end, total)
    if kind == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, total) ** 2
    if kind == "sigmoid":
        return start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, total)))
    if kind == "squaredcos_cap_v2":
        alpha_bar = np.cos((np.arange(total + 1) / total + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
    raise ValueError(
        f"got beta_schedule={kind!r} of {config.get('_class_name')} in scheduler_config.json; expected 'linear', "
        f"'scaled_linear', 'sigmoid', 'squaredcos_cap_v2' or trained_betas; to fix: {FIX}"
    )
