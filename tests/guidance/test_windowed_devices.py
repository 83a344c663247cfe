"""Windows shared by devices: the same image, and one all-gather a call."""

import pytest

CODE = """
import re, sys, jax, jax.numpy as jnp, numpy as np, jaxdiff as jd, jaxdiff.sampling.sample
from jax.sharding import Mesh
from jaxdiff.guidance import windowed
from jaxdiff.guidance.posterior import DPS, DiffPIR, Measurement
from jaxdiff.physics.operators import Diagonal

module = sys.modules["jaxdiff.sampling.sample"]
program, seen = module.program, []

def recording(*args):
    seen.append(args)
    return program(*args)

module.program = recording
mixing = 0.1 * jax.random.normal(jax.random.key(1), (64, 64))

def denoise(x, lam, cond):  # a matrix product, whose bits depend on how many windows are in it
    return jnp.tanh(mixing @ x.reshape(64)).reshape(x.shape)

of = Measurement(Diagonal(jnp.ones(())), np.random.default_rng(0).normal(size=(13, 9, 1)), 0.5)
grid = jd.grids.uniform_lam(jd.Cosine(), 3)

def made(around, *shape):
    names = ("image", "window")[: len(shape)]
    mesh = Mesh(np.array(jax.devices()[: int(np.prod(shape))]).reshape(shape), names)
    spread = around(windowed(denoise, 8, 4, chunk=2, axis="window" if len(shape) > 1 else None))
    options = dict(shape=(13, 9, 1), num=4, batch=2, solver=jd.DPMpp(2, eta=1.0), grid=grid)
    return np.asarray(jd.sample(jax.random.key(0), spread, mesh=mesh, **options).images)

for around, exact in ((lambda d: DPS(d, of, 0.1), False), (lambda d: DiffPIR(d, of), True)):
    alone, images = made(around, 1), made(around, 2, 2)
    print("same" if np.array_equal(images, alone) else np.abs(images - alone).max() / np.abs(alone).max(), exact)

text = program.lower(*seen[-1]).compile().compiled.as_text()
kinds = re.findall(r" (all-gather|all-reduce|reduce-scatter|collective-permute|all-to-all)(?:-start)?\\(", text)
print(kinds)
"""


@pytest.mark.slow
def test_the_image_does_not_depend_on_the_devices_that_share_its_windows(run_python, tmp_path):
    cache = str(tmp_path)  # the text is of a program that a run has compiled
    *lines, collectives = run_python(CODE, 4, optimised=True, JAX_COMPILATION_CACHE_DIR=cache).strip().splitlines()
    for line in lines:
        difference, exact = line.split()
        if exact == "True":
            assert difference == "same"
        else:  # gradients are summed over devices
            assert difference == "same" or float(difference) < 1e-5
    assert len(lines) == 2
    assert collectives == "['all-gather']"
