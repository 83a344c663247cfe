"""Sampling inside JAX's transformations: every feature under every transformation, in float64, as a table.

    python -m benchmarks.transformations

A feature is a function of one number. Values are compared with the eager call (largest difference), derivatives with central
differences (largest difference, of the largest derivative); adaptive runs choose other steps for other numbers, and so
differ by their tolerance. About a minute a feature.
`tests/sampling/test_transformations.py` holds a part of it to the numbers.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from benchmarks.command import command
from jaxdiff.analytic import GaussianMixture
from jaxdiff.guidance import classifier_free

SHAPE = (2, 1)
KEY = jax.random.key(0)
GRID = np.linspace(-2.0, 2.0, 4)
START = np.random.default_rng(0).normal(size=(2, *SHAPE))
MIXTURE = GaussianMixture([[[-1.0], [0.3]], [[1.0], [-0.2]]], [0.3, 0.5])
CONTROLLER = diffrax.PIDController(rtol=1e-4, atol=1e-4)


def labelled(x, lam, cond):
    """A denoiser of a label; its other conditions may be None."""
    return MIXTURE(x - cond["label"], lam) + cond["label"]


def drawn(denoise=MIXTURE, solver=None, grid=GRID, **options):
    options = {"start": START, **options}
    solver = jd.DPMpp(2) if solver is None else solver
    return jd.sample(KEY, denoise, shape=SHAPE, num=2, solver=solver, grid=grid, **options).images


def of_grid(solver):
    return lambda p: drawn(solver=solver, grid=jnp.linspace(-2.0, 1.0 + p, 4))


FEATURES = {
    "start": lambda p: drawn(start=START * p),
    "denoiser": lambda p: drawn(lambda x, lam, cond: p * MIXTURE(x, lam)),
    "state": lambda p: drawn(start=START * p, final="state"),
    "trajectory": lambda p: (
        jd.sample(
            KEY, MIXTURE, shape=SHAPE, num=2, solver=jd.UniPC(2), grid=GRID, start=START * p, trajectory=2
        ).trajectory
    ),
    "batches": lambda p: drawn(start=START * p, batch=1),
    "one call": lambda p: drawn(start=START * p, grid=GRID[:1]),
    "stochastic": lambda p: drawn(start=START * p, solver=jd.DDPM()),
    "eta of DPMpp": lambda p: drawn(solver=jd.DPMpp(3, eta=p)),
    "eta of DDIM": lambda p: drawn(solver=jd.DDIM(p)),
    "eta of SASolver": lambda p: drawn(solver=jd.SASolver(2, eta=p)),
    "churn of EDMHeun": lambda p: drawn(solver=jd.EDMHeun(p)),
    "snr and eta of PredictorCorrector": lambda p: drawn(solver=jd.PredictorCorrector(1, 0.2 * p, p)),
    "grid of UniPC": of_grid(jd.UniPC(3)),
    "grid of DEIS": of_grid(jd.DEIS(3)),
    "grid of IPNDM": of_grid(jd.IPNDM(3, variable=True)),
    "grid of Renoised": of_grid(jd.Renoised(jd.DDPM(), 2)),
    "grid and eta of EDMHeun": lambda p: drawn(solver=jd.EDMHeun(p), grid=GRID * p),
    "weights of Tuned": lambda p: drawn(
        solver=jd.Tuned(GRID * p, p * np.full(4, 0.4), p * np.full((4, 2), 0.3)), grid=None
    ),
    "y of Replaced": lambda p: drawn(solver=jd.Replaced(jd.DDPM(), np.array([[True], [False]]), p * np.ones(SHAPE))),
    "diffrax, row by row": lambda p: drawn(solver=diffrax.Heun(), start=START * p),
    "diffrax, eta": lambda p: drawn(solver=diffrax.EulerHeun(), eta=p),
    "adaptive": lambda p: drawn(solver=diffrax.Tsit5(), controller=CONTROLLER, start=START * p),
    "guidance scale": lambda p: drawn(classifier_free(labelled, p, rescale=0.5), cond={"label": jnp.ones(2)}),
    "guidance interval": lambda p: drawn(
        classifier_free(labelled, p, interval=(-p, p)), cond={"label": jnp.ones(2), "image": None}
    ),
    "condition with None": lambda p: drawn(labelled, cond={"label": p * jnp.ones(2), "image": None}),
    "noise": lambda p: drawn(start=jd.noise(KEY, START, -2.0 * p)),
    "encode": lambda p: jd.encode(MIXTURE, START * p, ends=(-2.0, 1.0), controller=CONTROLLER),
    "log_likelihood": lambda p: (
        jd.log_likelihood(KEY, MIXTURE, START * p, ends=(-2.0, 1.0), controller=CONTROLLER).nats
    ),
}


def several(p):
    """A start, an η and a grid at once, traced or not."""
    return drawn(lambda x, lam, cond: jnp.tanh(x), start=p * START, solver=jd.DPMpp(2, eta=p), grid=p * GRID[1:])


P, H = 0.8, 1e-4
PAIR = lambda p: jnp.stack([p, p + H])  # noqa: E731

VALUES = {
    "jit": lambda f: lambda p: jax.jit(f)(p),
    "vmap": lambda f: lambda p: jax.vmap(f)(PAIR(p))[0],
    "lax.map": lambda f: lambda p: jax.lax.map(f, PAIR(p))[0],
    "scan": lambda f: lambda p: jax.lax.scan(lambda carry, q: (carry, f(q)), 0.0, PAIR(p))[1][0],
    "checkpoint": jax.checkpoint,
    "vmap of jit": lambda f: lambda p: jax.vmap(jax.jit(f))(PAIR(p))[0],
}
DERIVATIVES = {
    "jacfwd": jax.jacfwd,
    "jacrev": jax.jacrev,
    "jvp of vmap": lambda f: lambda p: jax.jvp(jax.vmap(f), (PAIR(p),), (jnp.ones(2),))[1][0],
    "vmap of jacrev": lambda f: lambda p: jax.vmap(jax.jacrev(f))(PAIR(p))[0],
    "jacrev of lax.map": lambda f: jax.jacrev(lambda p: jax.lax.map(f, PAIR(p))[0]),
    "jacrev of checkpoint": lambda f: jax.jacrev(jax.checkpoint(f)),
    "linearize": lambda f: lambda p: jax.linearize(f, p)[1](jnp.ones(())),
    "jvp of jit": lambda f: lambda p: jax.jvp(jax.jit(f), (p,), (jnp.ones(()),))[1],
    "grad": lambda f: lambda p: jnp.full(f(p).shape, jax.grad(lambda q: f(q).mean())(p)),
}


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    columns = [*VALUES, *DERIVATIVES]
    print("| feature | " + " | ".join(columns) + " |\n|" + "---|" * (1 + len(columns)))
    for name, feature in FEATURES.items():
        eager, above, below = (np.asarray(feature(q)) for q in (P, P + H, P - H))
        slope = (above - below) / (2 * H)
        cells = []
        for kind, of in {**VALUES, **DERIVATIVES}.items():
            expected = eager if kind in VALUES else np.full_like(slope, slope.mean()) if kind == "grad" else slope
            size = 1.0 if kind in VALUES else np.abs(slope).max()
            try:
                cells.append(f"{np.abs(np.asarray(of(feature)(jnp.asarray(P))) - expected).max() / size:.0e}")
            except Exception as error:  # what is refused is a row of the table
                cells.append(type(error).__name__)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    command(main, __doc__)
