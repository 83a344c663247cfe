"""Whether a teacher's D is that of a run's data: what is distilled has the same images, units and conditions."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.data.dataset import Dataset
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Pairing
from jaxdiff.nn.condition import FIELDS, TOLD, size_of
from jaxdiff.plain import own_parts, to_plain
from jaxdiff.shipped import folder_of
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.mean_denoising import MeanDenoising
from jaxdiff.training.run_folder import read_pairing
from jaxdiff.training.stored_denoiser import read_config

LEVELS = np.linspace(-1.0, 4.0, 21)
"""In model units: where units are compared."""
SHARE = 0.05
"""By so much of a level, or of 1 where that is more, units may differ: those of other fields of one microscope do."""
TEACH = "the data of that run, or first a teacher on these (--init-from it, without this loss)"


class Difference(NamedTuple):
    """What a teacher has otherwise than the run, in words."""

    of_teacher: Any
    of_run: Any
    fix: str


def check_same_task(config: TrainConfig, data: Dataset) -> None:
    """Raises ValueError where `MeanDenoising` has a teacher whose D is of other images than those of the run.

    Compared are the shape of images, the units of grey levels, pairs and their inputs, conditions and classes, and the noise
    levels of training. What the networks predict, and how they are built, may differ.
    """
    if not isinstance(config.loss, MeanDenoising) or config.loss.teacher is None:
        return
    for one in _differences(config, data, config.loss):
        raise ValueError(
            f"got the teacher {config.loss.teacher} with {one.of_teacher}; expected {one.of_run}, as in this run: D of other "
            f"images would be learned; to fix: {one.fix}"
        )


def _differences(config: TrainConfig, data: Dataset, loss: MeanDenoising) -> Iterator[Difference]:
    allow = own_parts(config)
    stored, teacher = read_config(folder_of(str(loss.teacher)), allow)
    there, here = tuple(stored["shape"]), (*config.patch, data.info.channels)
    if there != here:
        yield Difference(f"images of {there}", here, f"--patch {' '.join(map(str, there[:-1]))} and {TEACH}")
        return
    yield from _of_units("", Normaliser.from_json(stored["normaliser"], allow), data.normaliser)
    yield from _of_pairs(read_pairing(stored, allow), data.pairing)
    drops = getattr(teacher, "drop_condition", None)
    for name, field in FIELDS.items():
        there, here = size_of(teacher.network, field), size_of(config.network, field)
        if name in TOLD or not there | here:
            continue
        if here and there != here:
            yield Difference(
                f"{field}={there}", f"{field}={here}", f"{field}={there}, or a teacher with {field}={here}"
            )
        if name != "augmentation" and drops == 0 and (not here or loss.guidance[1] > 1):
            fix = "a teacher that was trained with drop_condition=0.1"
            yield Difference("drop_condition=0", "more: it is asked for D without a condition", fix)
    there, here = tuple(stored["data"].get("class_names") or ()), tuple(data.info.class_names)
    if size_of(config.network, "num_classes") and there != here:
        yield Difference(f"the classes {', '.join(there) or '(no names)'}", ", ".join(here) or "(no names)", TEACH)
    there, here = teacher.schedule, config.schedule
    if here.lam_min < there.lam_min - 1e-6 or here.lam_max > there.lam_max + 1e-6:
        ends = f"noise levels λ from {there.lam_min:.4g} to {there.lam_max:.4g}"
        yield Difference(ends, f"{here.lam_min:.4g} to {here.lam_max:.4g}", f"schedule={there}, as in that run")


def _of_units(what: str, there: Normaliser, here: Normaliser) -> Iterator[Difference]:
    """Where levels in model units are others in those of the other."""
    if there.channels == here.channels:
        levels = np.repeat(LEVELS[:, None], here.channels, axis=1)
        error = np.abs(here.forward(there.inverse(levels)) - levels)
        if np.all(error <= SHARE * np.maximum(1.0, np.abs(levels))):
            return
    fix = f"--data.normalise {there.map_name} if it is another, {TEACH}"
    at = f"0 and 1 of {what}the network at grey levels"
    yield Difference(f"{at} {_ends(there)}", f"{at} {_ends(here)}", fix)


def _ends(normaliser: Normaliser) -> str:
    ends = normaliser.inverse(np.repeat([[0.0], [1.0]], normaliser.channels, axis=1))
    return " and ".join(", ".join(f"{level:.4g}" for level in end) for end in ends)


def _of_pairs(there: Pairing | None, here: Pairing | None) -> Iterator[Difference]:
    pairs = [None if one is None else to_plain(one.pairs) for one in (there, here)]
    if pairs[0] != pairs[1]:
        yield Difference(f"pairs={there and there.pairs}", f"pairs={here and here.pairs}", "pairs as in that run")
        return
    inputs = [None if one is None else one.inputs for one in (there, here)]
    if inputs[0] is not None and inputs[1] is not None:
        if inputs[0].factor != inputs[1].factor:
            of_inputs = "pixels of the image for one of the input of"
            yield Difference(f"{of_inputs} {inputs[0].factor}", f"{of_inputs} {inputs[1].factor}", TEACH)
        yield from _of_units("inputs of ", inputs[0].normaliser, inputs[1].normaliser)
