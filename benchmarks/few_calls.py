"""Few calls on mixtures whose flow is known: a small network that learned the mean of D, beside samplers with the exact D.

    python -m benchmarks.few_calls [--steps 6000]

The problems are those of `benchmarks.solver_problems`, 16 numbers each. The network is a multilayer perceptron of 0.4 M
parameters; it is trained by `MeanDenoising` with the library's step, once with the exact D as its teacher and once from
samples of the mixture alone. rms: distance of a sample from where the exact flow takes its start noise. With few numbers a
network is a worse denoiser than the exact one, and no number of calls brings it below that.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdiff as jd
from benchmarks.command import command
from benchmarks.solver_problems import PROBLEMS, Problem, flipped, rms
from benchmarks.store import Store
from jaxdiff.nn.embed import fourier, of_span
from jaxdiff.training import EMA
from jaxdiff.training.mean_denoising import MeanDenoising
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import make_train_step

CALLS = (1, 2, 4, 8)
NAMES = ("mixture", "mixture_hard")
EXACT = {"DDIM": jd.DDIM(), "DPMpp(2)": jd.DPMpp(2), "UniPC(2)": jd.UniPC(2)}
EXAMPLES = 512


@dataclass(frozen=True)
class Options:
    """What is trained."""

    steps: int = 6000
    """Of 512 examples, for each network."""


class Perceptron(nn.Module):
    """A network of (B, d) numbers that is told λ and the span of a step, and predicts x0."""

    width: int = 384
    reads_span: bool = True

    @nn.compact
    def __call__(self, x, lam, cond=None, train=False):
        span = jnp.zeros_like(lam) if cond is None else cond["span"]
        told = jax.vmap(lambda lam, span: jnp.concatenate([fourier(lam, 32), of_span(lam, span)]))(lam, span)
        h = jnp.concatenate([x, told], axis=-1)
        for _ in range(3):
            h = nn.silu(nn.Dense(self.width)(h))
        return nn.Dense(x.shape[-1])(h)


def main(options: Options) -> None:
    store = Store("few_calls")
    result: dict[str, Any] = {"machine": store.machine(), "options": asdict(options), "rows": []}
    for name in NAMES:
        with jax.enable_x64(True):
            problem = PROBLEMS[name](num=2048)
        for row in rows(problem, options.steps):
            result["rows"].append({"problem": name, **row})
            print(result["rows"][-1], flush=True)
    store.write(result)


def rows(problem: Problem, steps: int) -> Iterator[dict[str, Any]]:
    """Scores of all samplers and both networks."""
    means, std = np.asarray(problem.denoise.means), float(problem.denoise.std)  # type: ignore[attr-defined]
    exact = jd.analytic.GaussianMixture(means, np.full(len(means), std))
    for name, solver in EXACT.items():
        for calls in CALLS:
            grid = jd.grids.uniform_lam(problem.schedule, calls, std=problem.std)
            yield {"sampler": name, "calls": calls, **score(problem, exact, solver, grid)}
    for teacher in (exact, None):
        began = time.process_time()
        denoise = trained(means, std, problem.schedule, teacher, steps)
        seconds = round(time.process_time() - began)
        for calls in CALLS:
            grid = jd.grids.flow_time(problem.schedule, calls)
            name = "MeanFlow, from scratch" if teacher is None else "MeanFlow, of a teacher"
            yield {
                "sampler": name,
                "calls": calls,
                "cpu_seconds": seconds,
                **score(problem, denoise, jd.MeanFlow(), grid),
            }


def score(problem: Problem, denoise: jd.Denoiser, solver: Any, grid: np.ndarray) -> dict[str, float]:
    """Distance from the exact flow, and the share of samples that end in another mode."""
    start = problem.start.astype(np.float32)
    out = jd.sample(
        jax.random.key(0), denoise, shape=problem.shape, num=problem.num, solver=solver, grid=grid, start=start
    )
    images = np.asarray(out.images)
    return {
        "rms": float(f"{rms(images, problem.exact):.3g}"),
        "in_another_mode": float(f"{flipped(images, problem):.3g}"),
    }


def trained(means: np.ndarray, std: float, schedule: jd.Schedule, teacher: Any, steps: int) -> jd.Denoiser:
    """The network after training against `teacher`, or from samples of the mixture where there is none."""
    network, key = Perceptron(), jax.random.key(0)
    named = None if teacher is None else "exact"
    parts = SimpleNamespace(network=network, schedule=schedule, predicts="x0", sigma_data=1.0, drop_condition=0.0)
    loss = MeanDenoising(teacher=named, part=0.0).build(parts)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, steps))
    rng = np.random.default_rng(0)

    def batch() -> dict[str, np.ndarray]:
        chosen = means[rng.integers(len(means), size=EXAMPLES)]
        return {"image": (chosen + std * rng.normal(size=chosen.shape)).astype(np.float32)}

    state = TrainState.create(key, network, optimizer, batch())
    step = make_train_step(loss, optimizer, ema=EMA(0.999))
    for _ in range(steps):
        state, _ = step(state, batch(), key, teacher=teacher)
    return jd.bind(network, state.ema, "x0")


if __name__ == "__main__":
    command(main, __doc__)
