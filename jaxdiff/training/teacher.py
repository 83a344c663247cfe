"""The loss of a config, and the teacher that it reads: loaded, checked, and the same in all sessions of a run."""

import json
import zlib
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import PyTree

from jaxdiff.plain import own_parts
from jaxdiff.shipped import folder_of
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.leaves import check_finite, checksums
from jaxdiff.training.loss import DenoisingLoss
from jaxdiff.training.objective import Loss, check_teacher
from jaxdiff.training.stored_denoiser import stored_denoiser


def loss_of(config: Any) -> tuple[Loss, PyTree]:
    """The loss of a `TrainConfig`, its own or `DenoisingLoss` of its fields, and its teacher (None for most).

    Raises ValueError for a loss that cannot be called, for a teacher that is missing, not read, or not finite.
    """
    if config.loss is None:
        loss = DenoisingLoss(
            lam_sampler=Stratified(config.schedule),
            predicts=config.predicts,
            weighting=config.weighting,
            sigma_data=config.sigma_data,
            drop_condition=config.drop_condition,
        )
        return loss, None
    name = type(config.loss).__name__
    loss = config.loss.build(config)
    if not callable(loss):
        raise ValueError(
            f"got a {type(loss).__name__} from {name}.build(config); expected a loss, called as loss(network, params, key, "
            f"batch, train=, first=, total=); to fix: return self from {name}.build, and write {name}.__call__"
        )
    teacher = _teacher_of(config)
    check_teacher(loss, teacher, f"a field teacher of {name}, or a method load_teacher(self, config), which returns it")
    if teacher is not None:
        check_finite(jax.tree.map(np.asarray, teacher), f"a teacher of {name}")
    return cast(Loss, loss), teacher


def _teacher_of(config: Any) -> PyTree:
    """What the loss of a config reads as its teacher; None for most."""
    if load := getattr(config.loss, "load_teacher", None):
        return load(config)
    if (run := getattr(config.loss, "teacher", None)) is None:
        return None
    step = getattr(config.loss, "teacher_step", None)
    return stored_denoiser(folder_of(run), step, own_parts(config))


def teacher_checksum(teacher: PyTree) -> int | None:
    """CRC-32 of all arrays of a teacher; None for none."""
    if teacher is None:
        return None
    return zlib.crc32(json.dumps(checksums(jax.tree.map(np.asarray, teacher)), sort_keys=True).encode())


def check_same_teacher(now: int | None, before: int | None, folder: Path) -> None:
    """Raises ValueError where a run goes on with another teacher, by its checksum, than it has had."""
    if now != before:
        raise ValueError(
            f"got a teacher that is not the one that the run in {folder} has had (checksum {now}, in the checkpoint "
            f"{before}); expected the same arrays; to fix: a load_teacher of a fixed checkpoint (step=), or another --name"
        )
