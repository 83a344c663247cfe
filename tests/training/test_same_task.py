"""A teacher's D is of the same images as the run, or refused with what differs and how it is mended."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from tiny_run import INFO, NETWORK, NORMALISER

import jaxdiff as jd
from jaxdiff.data.pairing import Inputs, Pairing
from jaxdiff.data.pairs import LabelledGeneration
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.mean_denoising import MeanDenoising
from jaxdiff.training.run_folder import describe
from jaxdiff.training.same_task import check_same_task

DATA = SimpleNamespace(info=INFO, normaliser=NORMALISER, pairing=None)
PAIRED = Pairing(LabelledGeneration(), Inputs(INFO, NORMALISER, (1, 1)))
STUDENT = NETWORK.clone(reads_span=True)


def config(**fields):
    return TrainConfig(**{"name": "t", "patch": (8, 8), "network": NETWORK, "steps": 1, **fields})


def check(tmp_path, teacher=None, data_there=DATA, guidance=(1.0, 1.0), data=DATA, **fields):
    """A run on `data` with a teacher that was trained on `data_there`."""
    described = describe(teacher or config(), data_there.info, data_there.normaliser, data_there.pairing)
    (tmp_path / "run.json").write_text(json.dumps(described))
    loss = MeanDenoising(teacher=str(tmp_path), guidance=guidance)
    check_same_task(config(**{"network": STUDENT, "loss": loss, **fields}), data)


def other(data=DATA, **fields):
    return SimpleNamespace(**{**vars(data), **fields})


def scaled(share):
    return dataclasses.replace(NORMALISER, scale=(share * NORMALISER.scale[0],))


@pytest.mark.parametrize(
    "differs",
    [
        {},
        {"predicts": "x0"},
        {"data": other(normaliser=scaled(1.01))},  # fitted to other fields of one microscope
        {"network": STUDENT.clone(num_classes=0)},  # D without a condition, which it was trained for
        {"network": jd.DiT(width=8, blocks=1, patch_size=2, head_size=8, num_classes=3, reads_span=True)},
    ],
)
def test_what_leaves_d_as_it_is_may_differ(differs, tmp_path):
    check(tmp_path, **differs)


@pytest.mark.parametrize(
    ("differs", "message"),
    [
        ({"patch": (16, 16)}, r"images of \(8, 8, 1\); expected \(16, 16, 1\).*--patch 8 8"),
        ({"data": other(normaliser=scaled(1.5))}, r"0 and 1 of the network at grey levels .*--data.normalise asinh"),
        ({"data": other(pairing=PAIRED)}, r"pairs=None; expected pairs=LabelledGeneration"),
        ({"data_there": other(pairing=PAIRED), "teacher": config(pairs=LabelledGeneration())}, "expected pairs=None"),
        (
            {"network": STUDENT.clone(num_classes=2)},
            r"num_classes=3; expected num_classes=2.*a teacher with num_classes=2",
        ),
        ({"data": other(info=INFO.replace(class_names=("a", "b", "c")))}, r"the classes round, .*; expected a, b, c"),
        (
            {"teacher": config(schedule=jd.Karras())},
            r"noise levels λ from -4.382 to .*; expected -10 to 10.*schedule=Karras",
        ),
        ({"teacher": config(drop_condition=0.0), "guidance": (2.0, 2.0)}, r"drop_condition=0; .*drop_condition=0.1"),
        ({"teacher": config(drop_condition=0.0), "network": STUDENT.clone(num_classes=0)}, r"without a condition"),
    ],
)
def test_a_teacher_of_other_images_is_refused(differs, message, tmp_path):
    with pytest.raises(ValueError, match=r"got the teacher .* with .*" + message):
        check(tmp_path, **differs)


def test_inputs_of_pairs_have_the_same_units(tmp_path):
    pairs, network = config(pairs=LabelledGeneration(), network=NETWORK.clone(image_channels=1)), {"num_classes": 3}
    there, dim = other(pairing=PAIRED), dataclasses.replace(PAIRED, inputs=Inputs(INFO, scaled(2.0), (1, 1)))
    student = {"pairs": LabelledGeneration(), "network": STUDENT.clone(image_channels=1, **network)}
    check(tmp_path, pairs, there, data=there, **student)
    with pytest.raises(ValueError, match="0 and 1 of inputs of the network at grey levels"):
        check(tmp_path, pairs, there, data=other(pairing=dim), **student)
