"""`jaxdiff plan` on pretended devices of this machine, whose compiler is always there."""

import pytest
from tiny_run import tiny_run

from jaxdiff import script
from jaxdiff.commands import plan

CONFIG = """
from pathlib import Path
import jaxdiff as jd
from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Folder

config = TrainConfig(
    name="planned",
    data=Folder(path=Path("nowhere")),
    patch=(8, 8),
    network=jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), num_classes=3),
    batch_size=4,
    steps=1,
)
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "planned.py").write_text(CONFIG)
    return str(tmp_path / "planned.py")


def said(capsys, *args):
    status = script.run(plan.main, list(args), "jaxdiff plan")
    out, error = capsys.readouterr()
    return status, out + error


def test_a_training_step_with_options_of_its_config_and_without_data(config, capsys):
    status, text = said(capsys, config, "--on", "cpu:1", "--channels", "2", "--batch", "6", "--accumulate", "3")
    assert status == 0
    assert "images 8 x 8 x 2, fsdp 1, accumulate 3, UNet of 0.0 M parameters" in text
    assert "Estimates of its compiler, not measurements" in text
    assert "batch 6 (6 a chip): fits" in text


def test_a_step_of_a_network_for_few_calls_with_its_teacher(tmp_path, capsys):
    text = CONFIG.replace("num_classes=3", "num_classes=3, reads_span=True, reads_guidance=True")
    loss = f"loss=MeanDenoising(teacher={str(tiny_run(tmp_path / 'run'))!r}, guidance=(1.0, 3.0)),\n    steps=1"
    text = "from jaxdiff.training.mean_denoising import MeanDenoising\n" + text.replace("steps=1", loss)
    (tmp_path / "few.py").write_text(text)
    status, text = said(capsys, str(tmp_path / "few.py"), "--on", "cpu:1", "--channels", "1", "--compiles", "1")
    assert status == 0
    assert "batch 4 (4 a chip): fits" in text


def test_the_sampler_of_a_run(tmp_path, capsys):
    status, text = said(capsys, str(tiny_run(tmp_path / "run")), "--on", "cpu", "--batch", "2", "--calls", "3")
    assert status == 0
    assert "images 8 x 8 x 1, DPM-Solver++(2M), 3 calls" in text
    assert "batch 2 a chip: fits" in text
    assert "no collectives" in text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--on", "v9:2x2"], "got --on v9:2x2; expected CHIP:TOPOLOGY"),
        (["--on", "cpu:1", "--compiles", "0"], "got --compiles 0"),
        (["--on", "cpu:1", "--channels", "1", "--batch", "5", "--accumulate", "2"], "to fix: --batch 6"),
        (["--on", "cpu:1"], "nowhere"),  # the data are asked how many channels they have
    ],
)
def test_what_cannot_be_planned_is_said_first(config, options, expected, capsys):
    status, text = said(capsys, config, *options)
    assert status == 2
    assert expected in text


def test_a_run_takes_no_options_of_a_config(tmp_path, capsys):
    status, text = said(capsys, str(tmp_path), "--on", "cpu:1", "--fsdp", "2")
    assert status == 2
    assert "got --fsdp 2 for the run" in text
