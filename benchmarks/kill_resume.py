"""Kill -9 a training run at random moments, resume it each time, and compare its end with that of an undisturbed run.

    python -m benchmarks.kill_resume --kills 20

Writes benchmarks/results/kill_resume.json: whether all parameters, averages and optimiser states are bitwise the same, and
whether a kill ever lost a checkpoint that was complete before it.
"""

import datetime
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import tifffile

from benchmarks.command import command
from benchmarks.store import Store
from jaxdiff.data.config import Folder
from jaxdiff.nn.unet import UNet
from jaxdiff.training.cadence import Every
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.environment import environment
from jaxdiff.training.restore import read_checkpoint
from jaxdiff.training.restore import steps as stored_steps

CHILD = "import json, sys; from jaxdiff.training.loop import train; from jaxdiff.training.config import TrainConfig; "
CHILD += "train(TrainConfig.from_json(json.loads(sys.argv[1])))"


def main(kills: int = 20, steps: int = 400, seed: int = 0) -> str | None:
    """Both runs, and the difference of their ends.

    Args:
        kills: of the run that is disturbed.
        steps: of both runs.
        seed: of the moments.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), kills, steps, random.Random(seed))
    print(json.dumps(result, indent=1))
    Store("kill_resume", dumps=partial(json.dumps, indent=1)).write(result)
    good = result["same_end"] and result["checkpoints_lost"] == 0
    return None if good else "the killed run differs from the undisturbed one"


def measure(folder: Path, kills: int, length: int, rng: random.Random) -> dict:
    """Runs both and compares."""
    undisturbed = config(folder, "undisturbed", length)
    started = time.time()
    run(undisturbed, folder).wait()
    whole_seconds = time.time() - started

    killed = config(folder, "killed", length)
    moments, lost, half_written = [], 0, 0
    while len(moments) < kills and not ends(killed, length):
        before = saved(killed)
        child = run(killed, folder)
        wait_for_rows(child, killed, rng.randint(1, 30))
        time.sleep(rng.uniform(0, 0.2))
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        if child.wait() != -signal.SIGKILL:
            sys.exit(f"a session ended by itself, with status {child.returncode}")
        after = saved(killed)
        lost += max(after, default=0) < max(before, default=0)
        half_written += any("tmp" in p.name for p in (killed.folder / "checkpoints").glob("*"))
        moments.append(max(after, default=0))
        print(f"kill {len(moments)}: newest complete checkpoint {moments[-1]}", flush=True)
    if run(killed, folder).wait():
        sys.exit("the last session failed")
    a, b = (read_checkpoint(c.folder / "checkpoints" / str(length)) for c in (undisturbed, killed))
    same = [np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a[0]), jax.tree.leaves(b[0]), strict=True)]
    lines = [json.loads(line) for line in (killed.folder / "metrics.jsonl").read_text().splitlines()]
    rows = [line["step"] for line in lines if "grad_norm" in line]
    return {
        "date": datetime.date.today().isoformat(),
        "environment": environment(),
        "kills": len(moments),
        "steps": length,
        "undisturbed_seconds": round(whole_seconds, 1),
        "newest_checkpoint_after_each_kill": moments,
        "kills_during_a_write": half_written,
        "checkpoints_lost": lost,
        "leaves": len(same),
        "leaves_bitwise_the_same": sum(same),
        "same_loader_position": a[1]["loader"] == b[1]["loader"],
        "rows_of_metrics_once_each": rows == list(range(1, length + 1)),
        "same_end": all(same) and a[1]["loader"] == b[1]["loader"],
    }


def config(folder: Path, name: str, length: int) -> TrainConfig:
    """A small UNet on noise images; a checkpoint every three steps, so that many kills hit a write."""
    images = folder / "images"
    if not images.exists():
        images.mkdir()
        draw = np.random.default_rng(0)
        for i in range(24):
            image = draw.gamma(2.0, 200.0, (24, 32)).astype(np.uint16)
            tifffile.imwrite(images / f"{i:02d}.tif", image, metadata={"axes": "YX"})
    return TrainConfig(
        name=name,
        out=str(folder / "runs"),
        data=Folder(path=images),
        patch=(16, 16),
        network=UNet(width=16, multipliers=(1, 2), blocks=1, attention=(False, True), head_size=16, dropout=0.1),
        batch_size=8,
        steps=length,
        log_every=1,
        checkpoint=Every(steps=3),
        previews=0,
        validation_images=8,
        validation=Every(steps=50),
    )


def run(config: TrainConfig, folder: Path) -> subprocess.Popen:
    """A session in a process of its own."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    env = {**os.environ, **cache}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(config.to_json())], env=env, stderr=subprocess.DEVNULL
    )


def wait_for_rows(child: subprocess.Popen, config: TrainConfig, more: int) -> None:
    """Returns when this session has written `more` rows of metrics: earlier kills would only test the start-up."""
    path, started, first = config.folder / "metrics.jsonl", time.time(), None
    while child.poll() is None:
        if path.exists() and path.stat().st_mtime > started:
            rows = path.read_text().count("\n")
            first = rows if first is None else first
            if rows >= first + more:
                return
        time.sleep(0.01)


def saved(config: TrainConfig) -> list[int]:
    return stored_steps(config.folder / "checkpoints")


def ends(config: TrainConfig, length: int) -> bool:
    return length in saved(config)


if __name__ == "__main__":
    command(main, __doc__)
