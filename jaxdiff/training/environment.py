"""What bitwise repeatability of a run depends on besides its config: versions, devices, cores, compiler flags."""

import importlib.metadata
import os
import platform
from typing import Any

import jax

PACKAGES = ("jaxdiff", "jax", "jaxlib", "flax", "optax", "numpy", "orbax-checkpoint")


def environment() -> dict[str, Any]:
    """Versions, devices, visible cores and XLA flags of this process, as JSON values."""
    return {
        "python": platform.python_version(),
        **versions(),
        "machine": platform.machine(),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def versions() -> dict[str, str | None]:
    """Of the packages that a run's numbers come from."""
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """One line for each entry that changed: "cores: 8 -> 2"."""
    return [f"{k}: {before.get(k)} -> {now.get(k)}" for k in sorted({*before, *now}) if before.get(k) != now.get(k)]
