"""Windows shared by devices: the same image, and one all-gather a call."""

CODE = """
import re, jax, jax.numpy as jnp, numpy as np, jaxdiff as jd
from jax.sharding import Mesh
from jaxdiff.guidance import windowed
from jaxdiff.guidance.posterior import DPS, DiffPIR, Measurement
from jaxdiff.physics.operators import Diagonal
from jaxdiff.sampling.program import program
from jaxdiff.sampling.solve import on_rows

mixing = 0.1 * jax.random.normal(jax.random.key(1), (64, 64))

def denoise(x, lam, cond):  # a matrix product, whose bits depend on how many windows are in it
    return jnp.tanh(mixing @ x.reshape(64)).reshape(x.shape)

of = Measurement(Diagonal(jnp.ones(())), np.random.default_rng(0).normal(size=(20, 13, 1)), 0.5)
grid = jd.grids.uniform_lam(jd.Cosine(), 3)

def made(around, *shape):
    names = ("image", "window")[: len(shape)]
    mesh = Mesh(np.array(jax.devices()[: int(np.prod(shape))]).reshape(shape), names)
    spread = around(windowed(denoise, 8, 4, chunk=3, axis="window" if len(shape) > 1 else None))
    options = dict(shape=(20, 13, 1), num=4, batch=2, solver=jd.DPMpp(2, eta=1.0), grid=grid)
    return np.asarray(jd.sample(jax.random.key(0), spread, mesh=mesh, **options).images), spread, mesh

for around, exact in ((lambda d: DiffPIR(d, of), True), (lambda d: DPS(d, of, 0.1), False)):
    alone, _, _ = made(around, 1)
    for shape in ((2, 2),):
        images, spread, mesh = made(around, *shape)
        print("same" if np.array_equal(images, alone) else np.abs(images - alone).max() / np.abs(alone).max(), exact)

_, spread, mesh = made(lambda d: DiffPIR(d, of), 2, 2)
part = (jnp.arange(4), None, None)
text = program.lower(
    on_rows(jd.DPMpp(2, eta=1.0), grid), spread, jax.random.key(0), part, mesh, (20, 13, 1), jnp.float32
).compile().compiled.as_text()
kinds = re.findall(r" (all-gather|all-reduce|reduce-scatter|collective-permute|all-to-all)(?:-start)?\\(", text)
print(kinds)
"""


def test_the_image_does_not_depend_on_the_devices_that_share_its_windows(run_python):
    *lines, collectives = run_python(CODE, devices=4).strip().splitlines()
    for line in lines:
        difference, exact = line.split()
        if exact == "True":
            assert difference == "same"
        else:  # gradients are summed over devices
            assert difference == "same" or float(difference) < 1e-5
    assert len(lines) == 2
    assert collectives == "['all-gather']"
