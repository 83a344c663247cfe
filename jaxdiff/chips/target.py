"""A slice of chips that a compiler here can compile for, `v5e:4x4`, `h200:8` or `cpu:8`, whether it is here or not."""

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxdiff.chips.table import CHIPS, Chip

ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""What libtpu asks of a machine without a TPU: not to look for one, and not to keep others from compiling."""
GPU_DESCRIPTION = Path(__file__).parent / "h200.pbtxt"
"""XLA's own words for an H200."""


class NoCompiler(ValueError):
    """The compiler of a chip is not installed here."""


@dataclass(frozen=True)
class Target:
    """Devices of one kind, and how programs are compiled for them."""

    name: str
    """As it was asked for, such as v5e:4x4."""
    chip: Chip
    devices: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...] = ()
    """Of the compiler."""

    def mesh(self, count: int | None = None, axis: str = "data") -> Mesh:
        """The first `count` devices (default all) along one axis."""
        return Mesh(np.array(self.devices[:count]), (axis,))

    def compile(self, lowered: jax.stages.Lowered) -> jax.stages.Compiled:
        """A program that was lowered for these devices."""
        return lowered.compile(compiler_options=dict(self.options) or None)


def target(name: str) -> Target:
    """The slice of a name: CHIP:TOPOLOGY, such as v5e:16x16, h200 (or h200:8 of one machine), cpu:8 (pretended devices).

    For chips that are not here JAX must run on the CPU: this says so to it, unless it has been asked for devices before.

    Raises NoCompiler where the chip's compiler is not installed, ValueError for a chip or topology that is not known.
    """
    kind, _, topology = name.partition(":")
    if kind not in CHIPS:
        raise ValueError(
            f"got --on {name}; expected CHIP:TOPOLOGY with one of {', '.join(CHIPS)}; to fix: --on v5e:2x2"
        )
    chip = CHIPS[kind]
    topology = topology or chip.topologies[0]
    make = {"tpu": _tpu, "cuda": _cuda, "cpu": _cpu}[chip.kind]
    return make(f"{kind}:{topology}", chip, topology)


def _unknown(name: str, chip: Chip, why: str = "") -> ValueError:
    slices = ", ".join(f"{chip.name}:{topology}" for topology in chip.topologies)
    return ValueError(
        f"got --on {name}{f' ({why})' if why else ''}; expected a slice such as {slices}; to fix: choose one of these"
    )


def _on_cpu() -> None:
    """Keeps JAX from looking for the chips: what it computes itself it computes here."""
    if not jax.config.jax_platforms:  # type: ignore[attr-defined]
        jax.config.update("jax_platforms", "cpu")


def _tpu(name: str, chip: Chip, topology: str) -> Target:
    if find_spec("libtpu") is None:
        raise NoCompiler(
            f"got --on {name} without libtpu, which compiles for TPUs and needs none; expected it in this environment; to "
            "fix: pip install 'jaxdiff[tpu]' in an environment of its own, and run the same command there"
        )
    if not re.fullmatch(r"\d+(x\d+){1,2}", topology):
        raise _unknown(name, chip)
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    _on_cpu()
    return Target(name, chip, _described(name, chip, platform="tpu", topology_name=name))


def _cuda(name: str, chip: Chip, topology: str) -> Target:
    if not any(find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)):
        raise NoCompiler(
            f"got --on {name} without JAX's CUDA plugin, which compiles for GPUs and needs none; expected it in this "
            "environment; to fix: pip install 'jaxdiff[cuda]' in an environment of its own (4.4 GB), and run the same "
            "command there"
        )
    if not topology.isdecimal() or int(topology) < 1:
        raise _unknown(name, chip)
    _on_cpu()
    description = {"topology": f"1x1x{topology}", "target_config": GPU_DESCRIPTION.read_text()}
    # There is no GPU to try kernels on.
    return Target(
        name, chip, _described(name, chip, platform="cuda", **description), (("xla_gpu_autotune_level", "0"),)
    )


def _cpu(name: str, chip: Chip, topology: str) -> Target:
    if not topology.isdecimal() or int(topology) < 1:
        raise _unknown(name, chip)
    count = int(topology)
    if jax.config.jax_num_cpu_devices < count:  # type: ignore[attr-defined]
        with contextlib.suppress(RuntimeError):  # JAX has been asked for its devices before
            jax.config.update("jax_num_cpu_devices", count)
    devices: Sequence[Any] = jax.devices("cpu")
    if len(devices) < count:
        raise ValueError(
            f"got --on {name} where JAX shows {len(devices)} CPU devices; expected {count}; to fix: "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={count} in the environment"
        )
    return Target(name, chip, tuple(devices[:count]))


def _described(name: str, chip: Chip, **description: str) -> tuple[Any, ...]:
    """Devices that a compiler plugin describes. Raises ValueError for those that it does not know."""
    from jax.experimental import topologies

    try:
        return tuple(topologies.get_topology_desc(**description).devices)
    except Exception as error:  # of the plugin's own kinds
        raise _unknown(name, chip, str(error).splitlines()[0]) from error
