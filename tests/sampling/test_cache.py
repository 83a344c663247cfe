"""A second start of `sample.py` finds every program in the persistent cache."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tiny_run import tiny_run

SCRIPT = """
import json, runpy, sys, jax
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: events.append(name))
sys.argv = {arguments}
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0
kinds = dict(hits="cache_hits", misses="cache_misses", programs="backend_compile_duration")
print(json.dumps({{kind: sum(name.endswith(end) for name in events) for kind, end in kinds.items()}}))
"""


@pytest.mark.slow
def test_second_start_compiles_nothing(run_python, tmp_path):
    run, cache = tiny_run(tmp_path / "runs" / "tiny"), tmp_path / "xla"
    script = str(Path(__file__).parents[2] / "sample.py")
    options = ["generate", "--run", str(run), "--num", "5", "--batch", "2", "--calls", "4", "--guidance", "2"]

    def start(name, seed):
        arguments = [script, *options, "--out", str(tmp_path / name)]
        code = SCRIPT.format(arguments=arguments)
        printed = run_python(code, devices=1, PYTHONHASHSEED=seed, JAX_COMPILATION_CACHE_DIR=str(cache))
        programs = {path.name for path in cache.iterdir() if not path.name.endswith("-atime")}
        images = [tifffile.imread(path) for path in sorted((tmp_path / name).glob("*.tif"))]
        return json.loads(printed.splitlines()[-1]), programs, np.stack(images)

    first, stored, images = start("first", "1")
    second, stored_then, images_then = start("second", "2")
    assert any("jit__sampler" in name for name in stored)
    assert first["misses"] == first["programs"] > 0
    assert second == {"hits": first["programs"], "misses": 0, "programs": first["programs"]}
    assert stored_then == stored
    # Beside the sampler a handful: what happens around it is NumPy's work, not programs of one line.
    assert first["programs"] <= 10
    assert len(images) == 5
    np.testing.assert_array_equal(images_then, images)
