"""Processes that are told to stop, or killed: what is on disk, and what resuming gives."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxdiff.training.cadence import Every
from jaxdiff.training.loop import train
from jaxdiff.training.restore import read_checkpoint, steps

pytestmark = [pytest.mark.usefixtures("compiled_once"), pytest.mark.skipif(os.name != "posix", reason="needs signals")]

CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
from conftest import Tiny
from jaxdiff.training.config import CLASSES, TrainConfig
from jaxdiff.training.loop import train
from jaxdiff.plain import from_plain
train(from_plain(json.loads(sys.argv[2]), (TrainConfig, Tiny, *CLASSES)))
"""


class Child:
    """`train(config)` in a process of its own."""

    def __init__(self, config, env):
        arguments = [os.path.dirname(__file__), json.dumps(config.to_json())]
        self.folder, self.started = config.folder, time.time()
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], env=env, stdout=pipe, stderr=pipe, text=True
        )

    def wait_for_rows(self, more: int):
        """Returns when the child has written `more` rows of metrics itself, or has ended."""
        path, deadline = self.folder / "metrics.jsonl", time.time() + 120
        seen = None
        while self.process.poll() is None and time.time() < deadline:
            if path.exists() and path.stat().st_mtime > self.started:
                count = path.read_text().count("\n")
                seen = count if seen is None else seen
                if count >= seen + more:
                    return
            time.sleep(0.005)

    def end(self, signum: int | None = None) -> tuple[int, str]:
        """Sends a signal, if any, and waits: exit status and stderr."""
        if signum is not None:
            self.process.send_signal(signum)
        _, text = self.process.communicate(timeout=180)
        return self.process.returncode, text


def final(folder):
    step = steps(folder / "checkpoints")[-1]
    tree, meta = read_checkpoint(folder / "checkpoints" / str(step))
    return step, tree, meta["loader"]


def assert_same(a, b):
    assert a[0] == b[0]
    jax.tree.map(np.testing.assert_array_equal, a[1], b[1])
    assert a[2] == b[2]


@pytest.mark.slow
def test_killed_at_random_moments_the_run_ends_the_same(config, child_env):
    fields = {"steps": 120, "checkpoint": Every(steps=5), "log_every": 1}
    undisturbed = final(train(config(name="undisturbed", **fields)))
    killed, rng = config(name="killed", **fields), random.Random(0)
    reached = []
    for _ in range(2):
        child = Child(killed, child_env())
        child.wait_for_rows(rng.randint(1, 12))
        time.sleep(rng.uniform(0, 0.2))
        status, text = child.end(signal.SIGKILL)
        assert status == -signal.SIGKILL, text
        reached.append(steps(killed.folder / "checkpoints"))
    train(killed)
    assert_same(final(killed.folder), undisturbed)
    rows = [json.loads(line)["step"] for line in (killed.folder / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(range(1, 121))
    assert max(reached[0], default=0) <= max(reached[1], default=0)  # no checkpoint was lost


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_the_run_saves_where_it_is(config, child_env, signum, expected):
    run = config(steps=10**6, log_every=1)
    child = Child(run, child_env())
    child.wait_for_rows(3)
    status, text = child.end(signum)
    assert status == expected, text
    assert "Traceback" not in text
    step = steps(run.folder / "checkpoints")[-1]
    assert f"stopped at step {step}, saved in" in text
    rows = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["step"] == step
    assert not list((run.folder / "checkpoints").glob("*tmp*"))
