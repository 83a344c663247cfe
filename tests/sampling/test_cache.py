"""A second process finds the compiled sampler in the persistent cache."""

import json

CODE = """
import hashlib, json, jax, numpy as np, jaxdiff as jd
from jaxdiff.analytic import GaussianMixture
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
denoise = GaussianMixture(np.linspace(-1, 1, 6).reshape(2, 3, 1), np.array([0.2, 0.4]))
out = jd.sample(jax.random.key(0), denoise, shape=(3, 1), num=4, solver=jd.DPMpp(order=2), grid=np.linspace(-2, 2, 5))
digest = hashlib.sha256(np.asarray(out.images).tobytes()).hexdigest()
count = lambda what: sum(name.endswith(what) for name in events)
print(json.dumps(dict(hits=count("cache_hits"), misses=count("cache_misses"), digest=digest)))
"""


def test_second_process_compiles_nothing(run_python, tmp_path):
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    first = json.loads(run_python(CODE, devices=1, PYTHONHASHSEED="1", **environment))
    programs = {path.name for path in tmp_path.iterdir() if not path.name.endswith("-atime")}
    second = json.loads(run_python(CODE, devices=1, PYTHONHASHSEED="2", **environment))
    assert any("_program" in name for name in programs)
    assert first["misses"] > 0
    assert second["misses"] == 0
    assert second["hits"] >= first["misses"]
    assert second["digest"] == first["digest"]
    assert {path.name for path in tmp_path.iterdir() if not path.name.endswith("-atime")} == programs
