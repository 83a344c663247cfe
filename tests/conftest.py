"""Fixtures that every folder of tests may use."""

import gc
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import jax
import pytest

QUICK = (
    " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
"""Programs of the tests compile for longer than they run; the first two flags took files to 0.56 to 0.7 of their CPU time.

XLA cuts each program into 32 pieces, for as many threads to compile; a worker has one core, and in one piece the programs of
a `check_solver` run and of a small UNet compiled in 0.65 of the CPU time.
"""

# JAX reads them when it first asks for devices. A worker inherits them from the process that starts it, as children do.
if os.environ.get("JAXDIFF_TEST_QUICK", "1") == "1" and QUICK not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + QUICK

# Each worker keeps to its share of the cores: threads of two programs that wait for one another on the same cores took twice
# the CPU time. Children inherit it.
WORKER, WORKERS = os.environ.get("PYTEST_XDIST_WORKER"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKER and hasattr(os, "sched_setaffinity"):
    number, cores = int(WORKER.removeprefix("gw")), sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[number::WORKERS] or {cores[number % len(cores)]})

# What traces leave is millions of objects, and mostly alive: collections of them all took an eighth of the time.
gc.set_threshold(100_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests first: these are the long ones, for which one worker would wait for the other at the end."""
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (counts[item.path], item.path))


FILES, FILES_PER_CLEARING = count(1), 12
"""XLA's compiler looks through what all programs that live have left, some 1.5 MB each, whenever it compiles another: with
thousands of them, at 6 GB, nearly all of its time went there."""


@pytest.fixture(autouse=True, scope="module")
def programs_do_not_pile_up():
    """Forgets all compiled programs after some files."""
    yield
    if next(FILES) % FILES_PER_CLEARING == 0:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def x64():
    """Double precision for one test; the rest of the session stays in float32."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def run_python() -> Callable[..., str]:
    """Run code in a new Python with `devices` forced host devices; its standard output. Fails with its error text.

    optimised: its programs are those that a user gets, without the flags of `QUICK`.
    """

    def run(code: str, devices: int = 8, optimised: bool = False, **environment: str) -> str:
        flags = os.environ.get("XLA_FLAGS", "")
        flags = f"{flags.replace(QUICK, '') if optimised else flags} --xla_force_host_platform_device_count={devices}"
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        fixed = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "PYTHONPATH": path}
        child = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **fixed, **environment}, capture_output=True, text=True
        )
        assert child.returncode == 0, child.stderr[-4000:]
        return child.stdout

    return run
