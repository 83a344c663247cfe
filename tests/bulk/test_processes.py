"""The command, by one process and by two with four devices each: the same bytes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
import tifffile
import zarr
from bulk_jobs import INFO, NORMALISER, data_files

from jaxdiff import script
from jaxdiff.bulk.processes import joined_processes
from jaxdiff.cli import COMMANDS
from jaxdiff.data.config import Folder
from jaxdiff.durable import write_json
from jaxdiff.nn import UNet
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.run_folder import describe
from jaxdiff.training.state import TrainState

ROOT = Path(__file__).parents[2]
NUM, BATCH, SHARD = 44, 2, 8


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with random parameters, as training would leave it."""
    folder = tmp_path_factory.mktemp("run")
    network = UNet(width=8, multipliers=(1,), blocks=1, attention=(False,))
    config = TrainConfig(name="run", data=Folder(path=folder), patch=(8, 8), network=network, steps=1)
    write_json(folder / "run.json", describe(config, INFO.replace(class_names=()), NORMALISER))
    shapes = TrainState.shapes(jax.random.key(0), network, optax.sgd(0.1), {"image": np.zeros((1, 8, 8, 1))})
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(leaf.dtype), shapes)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state, {}, wait=True)
    return folder


def arguments(run, out, *more):
    options = {"run": run, "out": out, "num": NUM, "calls": 4, "solver": "ddpm", "batch": BATCH, "shard": SHARD}
    return ["generate", *(str(part) for name, value in options.items() for part in (f"--{name}", value)), *more]


@pytest.mark.slow
def test_two_processes_of_four_devices_and_one_of_one(run, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    together = ("--format", "zarr", "--distributed", "--coordinator", address, "--num-processes", "2")
    children = [
        subprocess.Popen(
            [sys.executable, "sample.py", *arguments(run, tmp_path / "two", *together, "--process-id", str(i))],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    alone = script.run(COMMANDS["sample"], arguments(run, tmp_path / "one", "--format", "zarr"), "sample.py")
    said = [child.communicate(timeout=300)[0] for child in children]
    assert alone == 0
    assert [child.returncode for child in children] == [0, 0], said
    assert data_files(tmp_path / "two") == data_files(tmp_path / "one")

    manifest = json.loads((tmp_path / "two" / "manifest.json").read_text())
    assert manifest["complete"]
    assert manifest["devices"] == 4
    assert sum("generating" in text and "images/s" in text for text in said) == 2  # both had a part
    image = zarr.open_group(tmp_path / "two" / "images.zarr", mode="r")["image"]
    assert image.shape == (NUM, 8, 8, 1)
    assert np.unique(image[:], axis=0).shape[0] == NUM

    # As a file an image, the same pixels.
    out = tmp_path / "files"
    few = [part for part in arguments(run, out) if part not in ("--shard", str(SHARD))]
    assert script.run(COMMANDS["sample"], few, "sample.py") == 0
    files = sorted(out.glob("*.ome.tif"))
    np.testing.assert_array_equal(np.stack([tifffile.imread(file) for file in files])[..., None], image[:])


def test_jobs_that_know_nothing_of_each_other(run, tmp_path, capsys):
    for i in range(3):
        more = ("--format", "array_record", "--num-processes", "3", "--process-id", str(i))
        assert script.run(COMMANDS["sample"], arguments(run, tmp_path / "array", *more), "sample.py") == 0
    said = capsys.readouterr().out.splitlines()
    assert "process 0 of 3: its 16 images are finished" in said[0]
    assert said[2].startswith(f"{NUM} images of 8 x 8 x 1")
    assert (
        script.run(COMMANDS["sample"], arguments(run, tmp_path / "one", "--format", "array_record"), "sample.py") == 0
    )
    assert data_files(tmp_path / "array") == data_files(tmp_path / "one")


def test_what_does_not_go_together_is_refused(run, tmp_path, capsys):
    out = tmp_path / "out"
    for more, words in {
        ("--format", "tiff"): "--shard for 44 TIFF files",
        ("--format", "zarr", "--process-id", "1"): "expected both",
        ("--format", "zarr", "--coordinator", "localhost:1"): "--distributed only",
        ("--format", "zarr", "--num-processes", "2", "--process-id", "2"): "expected 0 to 1",
    }.items():
        assert script.run(COMMANDS["sample"], arguments(run, out, *more), "sample.py") == 2
        assert words in capsys.readouterr().err
        assert not out.exists()
    with joined_processes() as alone:
        assert alone == (0, 1)


def test_many_images_go_into_one_array_unless_told_otherwise(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["jaxdiff.commands.generate"], "MOST_FILES", 40)
    assert script.run(COMMANDS["sample"], arguments(run, tmp_path / "out"), "sample.py") == 0
    said = capsys.readouterr().out
    assert "more than 40 images: one sharded Zarr array" in said
    assert str(tmp_path / "out" / "images.zarr") in said
    assert (tmp_path / "out" / "sheet.png").exists()


def test_a_folder_of_a_bulk_run_takes_no_files(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert script.run(COMMANDS["sample"], arguments(run, out, "--format", "zarr"), "sample.py") == 0
    few = ["generate", "--run", str(run), "--out", str(out), "--num", "3"]
    assert script.run(COMMANDS["sample"], few, "sample.py") == 2
    assert "it holds a bulk run" in capsys.readouterr().err
    changed = [*arguments(run, out, "--format", "zarr"), "--seed", "5"]
    assert script.run(COMMANDS["sample"], changed, "sample.py") == 2
    assert "seed: 0 in the manifest, 5 now" in capsys.readouterr().err
