"""`benchmarks/gpu.sh`: its parts are options that there are, and it goes on where it stopped."""

import importlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import get_type_hints

import pytest
import tyro

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def parts():
    listed = subprocess.run(["bash", SCRIPT, "--list"], capture_output=True, text=True, check=True).stdout
    return [[cell.strip() for cell in line.split("|")] for line in listed.splitlines()]


@pytest.mark.parametrize(("name", "seconds", "command"), parts())
def test_every_part_is_a_command_that_there_is(name, seconds, command, monkeypatch, capsys):
    module, *options = command.split()
    folder = ROOT.joinpath(*module.split(".")).is_dir()
    benchmark = importlib.import_module(f"{module}.__main__" if folder else module)
    part = benchmark.PARTS[options.pop(0)] if hasattr(benchmark, "PARTS") else benchmark.main
    chosen = next(iter(get_type_hints(part).values()))
    try:
        tyro.cli(chosen, args=options)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)
    assert 0 < int(seconds) <= 200


@pytest.fixture
def desk(tmp_path):
    """The script beside a Python that writes down what it is asked for, and fails once for the part `forms`."""
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "benchmarks")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncase "$*" in *network_forms*) [ -e {tmp_path}/mended ];; esac\n'
    )
    python.chmod(0o755)

    def run(**environment):
        environment = {"PATH": os.environ["PATH"], "PYTHON": str(python), **environment}
        ended = subprocess.run(
            ["bash", tmp_path / "benchmarks" / "gpu.sh"], env=environment, capture_output=True, text=True
        )
        asked = (tmp_path / "asked").read_text().splitlines()
        (tmp_path / "asked").unlink()
        return ended.returncode, ended.stdout, [line for line in asked if "report" not in line][1:]

    return tmp_path, run


def test_the_same_command_goes_on_with_what_is_left(desk):
    folder, run = desk
    status, said, asked = run()
    assert status == 1
    assert not any("--torch-python" in line for line in asked)
    assert "throughput_64: left out, needs TORCH_PYTHON" in said
    assert "forms: failed" in said
    without = len(asked)
    (folder / "mended").touch()
    status, said, asked = run(TORCH_PYTHON="other/python", OUT=str(folder))
    assert status == 0
    assert len(asked) == len(parts()) - without + 1
    assert "-m benchmarks.throughput --torch-python other/python --networks own_64 --rounds 3" in asked
    assert "restoration: done before" in said
    assert (folder / "gpu_results.tgz").is_file()
    assert run()[2] == []


def test_what_does_not_fit_into_the_time_is_left(desk):
    status, said, asked = desk[1](LIMIT="10")
    assert status == 1
    assert asked == []
    assert "forms: left for the next time" in said


def test_without_a_gpu_it_says_so(tmp_path):
    ended = subprocess.run(["bash", SCRIPT], env={"PATH": os.environ["PATH"], "PYTHON": "false"}, capture_output=True)
    assert ended.returncode == 2
    assert b"to fix" in ended.stderr
