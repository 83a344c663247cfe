"""The command line: what a person types wrong is said in one message, exit status 2, nothing written."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from jaxdiff import commands, script
from jaxdiff.cli import COMMANDS, usage
from jaxdiff.commands import denoise
from jaxdiff.commands.folders.options import by_run
from jaxdiff.commands.restoration import denoise as restored
from jaxdiff.commands.sample import TASKS
from jaxdiff.shipped import shipped

CONFIG = """
from pathlib import Path
from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Folder
from jaxdiff.nn import UNet

config = TrainConfig(
    name="tiny",
    data=Folder(path=Path("images")),
    patch=(8, 8),
    network=UNet(width=8, multipliers=(1,), blocks=1, attention=(False,)),
    steps=2,
)
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder with a config, to stand in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tiny.py").write_text(CONFIG)
    return tmp_path


def said(capsys, command, *args):
    """Exit status and stderr of a command."""
    try:
        status = script.run(command, [str(arg) for arg in args], "cmd")
    except SystemExit as stop:  # tyro's
        status = stop.code
    return status, capsys.readouterr().err


def test_every_command_is_in_the_list_and_prints_help(capsys):
    """A module of `commands` with a `main` is a line of the list, and each line is one."""
    folder = Path(commands.__file__).parent
    modules = {
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if "\ndef main(" in path.read_text(encoding="utf-8")
    }
    listed = {command.module for command in (*COMMANDS.values(), *TASKS.values())}
    assert listed == modules
    for name, command in {**COMMANDS, **TASKS}.items():
        assert any(f" {name} " in line and command.purpose in line for line in usage().splitlines()) or name == "sample"
        with contextlib.suppress(SystemExit):
            assert command(["--help"], f"prog {name}") == 0
        assert f"prog {name}" in capsys.readouterr().out


def test_a_task_of_two_kinds_of_runs_takes_the_options_of_its_run(tmp_path, capsys):
    """One parse of all options; those that the run has no use for are refused, with the run that has."""
    folders = ["--input", "none", "--out", str(tmp_path / "out")]
    for name, option in (("denoise", "--direct"), ("super-resolve", "--psf-sigma=1"), ("denoise", "--gain=2")):
        status, error = said(capsys, TASKS[name], *folders, option)
        assert status == 2
        assert f"got {option.partition('=')[0]} with the model that comes with jaxdiff, which was trained for" in error
    own = {"input": tmp_path, "out": tmp_path}
    options = denoise.AnyDenoise(**own, run=shipped("restoration"), gain=2.0, offset=0.0)
    kinds = (denoise.Denoise, restored.DenoiseByPrior)
    assert by_run(options, *kinds).calls == 20
    with pytest.raises(
        ValueError, match=r"got --gain, --offset with .*, which was trained for this task; expected a run of"
    ):
        by_run(replace(options, run=shipped("denoise")), *kinds)
    plain = by_run(denoise.AnyDenoise(**own, run=shipped("denoise"), samples=2), *kinds)
    assert plain == denoise.Denoise(**own, run=shipped("denoise"), samples=2)
    missing = by_run(replace(options, run=tmp_path / "none"), *kinds)
    assert isinstance(missing, restored.DenoiseByPrior)  # whose loader says what is missing


def test_train_without_config_names_those_there(desk, capsys):
    status, error = said(capsys, COMMANDS["train"])
    assert status == 2
    assert "configs/tiny.py" in error


def test_train_with_a_missing_config(desk, capsys):
    status, error = said(capsys, COMMANDS["train"], "configs/none.py")
    assert status == 2
    assert "configs/none.py" in error
    assert "configs/tiny.py" in error


def test_train_with_a_typo_suggests(desk, capsys):
    status, error = said(capsys, COMMANDS["train"], "configs/tiny.py", "--stpes", 4)
    assert status == 2
    assert "--steps" in error


def test_train_without_images(desk, capsys):
    status, error = said(capsys, COMMANDS["train"], "configs/tiny.py")
    assert status == 2
    assert "images" in error
    assert "to fix:" in error
    assert not (desk / "runs").exists()


def test_check_trains_nothing(desk, capsys):
    (desk / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        tifffile.imwrite(desk / "images" / f"{i}.tif", rng.integers(100, 4000, (20, 24), dtype=np.uint16))
    status = script.run(COMMANDS["train"], ["configs/tiny.py", "--check", "--network.dtype", "bfloat16"], "cmd")
    printed = capsys.readouterr().out
    assert status == 0
    assert "uint16" in printed
    assert (desk / "runs" / "tiny_check.png").exists()
    assert not (desk / "runs" / "tiny").exists()


def test_a_truncated_file_is_named_and_left_out_on_request(desk, capsys):
    (desk / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        tifffile.imwrite(desk / "images" / f"{i}.tif", rng.integers(100, 4000, (20, 24), dtype=np.uint16))
    damaged = desk / "images" / "2.tif"
    damaged.write_bytes(damaged.read_bytes()[:500])
    quick = ("--previews", 0, "--validation-images", 0)
    status, error = said(capsys, COMMANDS["train"], "configs/tiny.py", *quick)
    assert status == 2
    assert "2.tif" in error
    assert not (desk / "runs").exists()
    status, error = said(capsys, COMMANDS["train"], "configs/tiny.py", *quick, "--data.skip-unreadable")
    assert status == 0
    assert "1 files left out" in error
    assert "2.tif" in error


def test_sample_without_run_says_which_exist(desk, capsys):
    status, error = said(capsys, COMMANDS["sample"], "generate")
    assert status == 2
    assert "train.py" in error
    (desk / "runs" / "mine").mkdir(parents=True)
    (desk / "runs" / "mine" / "run.json").write_text("{}")
    status, error = said(capsys, COMMANDS["sample"], "generate")
    assert status == 2
    assert "--run runs/mine" in error


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("generate", "--run", "runs/none"), "run.json"),
        (("generate", "--run", "x", "--solver", "ddmi"), "ddim"),
        (("generate", "--run", "x", "--solver", "nowhere:Solver"), "cannot be imported"),
        (("generate", "--run", "x", "--solver", "json:JSONDecoder"), "no solver"),
        (("generate", "--run", "x", "--solver", "ddim", "--order", "2"), "order"),
        (("generate", "--nmu", "3"), "--num"),
        (("generate", "--num", "0"), "at least 1"),
        (("segmnt",), "segment"),
        (("segment",), "--input"),
        (("segment", "--input", "none", "--out", "x"), "none, which does not exist"),
        (("translate", "--input", "none", "--out", "x"), "no model is shipped"),
    ],
)
def test_sample_with_wrong_input(desk, capsys, args, words):
    status, error = said(capsys, COMMANDS["sample"], *args)
    assert status == 2
    assert words in error
    assert not (desk / "samples").exists()


def test_sample_refuses_a_folder_in_use(desk, capsys):
    (desk / "out").mkdir()
    (desk / "out" / "precious.txt").write_text("mine")
    status, error = said(capsys, COMMANDS["sample"], "generate", "--run", "x", "--out", "out")
    assert status == 2
    assert "not empty" in error


def test_a_full_disk_is_said_whoever_notices_it(desk, capsys, monkeypatch):
    """TFDS and array_record tell it as a text, the system as a number."""
    from jaxdiff.data.prepared.build import RecordsBuilder

    def full(self):
        raise RuntimeError(
            'Failed to finalize writing of split "train": write() failed: No space left on device; at byte 3'
        )

    monkeypatch.setattr(RecordsBuilder, "download_and_prepare", full)
    (desk / "images").mkdir()
    tifffile.imwrite(desk / "images" / "a.tif", np.arange(64, dtype=np.uint16).reshape(8, 8))
    status, error = said(capsys, COMMANDS["prepare"], "images", "--out", "sets", "--name", "x")
    assert status == 2
    assert "got a full disk ([Errno 28] No space left on device); expected room" in error
    assert not (desk / "sets").exists()
