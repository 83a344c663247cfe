"""New numbers are no new trace: parameters, guidance scale and interval, η, grid, start, condition, seed, position."""

import diffrax
import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from solvers_table import DETERMINISTIC, STOCHASTIC

import jaxdiff as jd
from jaxdiff.guidance import classifier_free

SHAPE = (3, 1)
traces = []


class Counted(eqx.Module):
    """A denoiser that tells when Python runs it."""

    weight: jax.Array

    def __call__(self, x, lam, cond):
        traces.append(1)
        return self.weight * x + (0.0 if cond is None else cond["label"])


def new_traces(first: dict, *others: dict) -> int:
    """How often the denoiser is traced by runs that follow `first`."""

    def run(
        seed=0, weight=0.5, scale=2.0, interval=None, end=2.0, solver=None, shift=0.0, labels=(0, 1), first=0, eta=0.0
    ):
        denoise = Counted(jnp.asarray(weight, jnp.float32))
        guided = classifier_free(denoise, scale, interval=interval) if labels else denoise
        return jd.sample(
            jax.random.key(seed),
            guided,
            shape=SHAPE,
            num=2,
            solver=solver or jd.DPMpp(order=2),
            grid=np.linspace(-2, end, 4),
            start=jnp.ones((2, *SHAPE)) + shift,
            cond={"label": jnp.array(labels)} if labels else None,
            first=first,
            eta=eta,
        ).images

    results = [run(**first)]
    before = len(traces)
    assert before > 0
    results += [run(**options) for options in others]
    for result in results[1:]:
        assert not np.array_equal(results[0], result)
    return len(traces) - before


def test_numbers_of_denoiser_guidance_and_run():
    others = [dict(weight=0.7), dict(scale=3.0), dict(interval=(-1.0, 1.0)), dict(end=3.0), dict(shift=1.0)]
    others += [dict(labels=(1, 2)), dict(weight=np.float64(0.2))]
    assert new_traces({}, *others) == 0


def test_eta_of_ours_seed_and_position():
    etas = [dict(solver=jd.DPMpp(order=2, eta=eta)) for eta in (0.5, 1.0, np.float32(0.3), jnp.asarray(0.2))]
    assert new_traces(dict(solver=jd.DPMpp(order=2, eta=0.0)), *etas) == 0
    noisy = dict(solver=jd.DDIM(eta=0.5))
    others = [dict(solver=jd.DDIM(eta=eta)) for eta in (0.0, 1.0)] + [dict(noisy, seed=4), dict(noisy, first=7)]
    assert new_traces(noisy, *others) == 0
    assert new_traces(dict(solver=jd.EDMHeun()), dict(solver=jd.EDMHeun(churn=1.0))) == 0


def test_one_kernel_for_all_linear_multistep_methods():
    methods = [solver for solver in (*DETERMINISTIC, *STOCHASTIC) if isinstance(solver, jd.LinearMultistep)]
    others = [
        dict(solver=solver) for solver in methods if solver.order > 1 or solver in STOCHASTIC
    ]  # the rest are DDIM
    assert len(others) > 15
    assert new_traces(dict(solver=jd.DDIM()), *others) == 0


def test_eta_of_diffrax_solvers():
    euler = dict(solver=diffrax.Euler(), labels=())
    assert new_traces(dict(euler, eta=0.5), dict(euler, eta=1.0), dict(euler, eta=0.5, seed=3)) == 0


class Network(nn.Module):
    """A network that tells when Python runs it."""

    width: int

    @nn.compact
    def __call__(self, x, lam, cond):
        traces.append(1)
        return nn.Dense(x.shape[-1])(nn.tanh(nn.Dense(self.width)(x)))


def test_parameters_of_a_bound_network():
    def run(seed):
        network = Network(width=4)  # equal to the last one: a network is its fields
        params = network.init(jax.random.key(seed), jnp.zeros((1, *SHAPE)), jnp.zeros(1), None)
        before = len(traces)
        jd.sample(
            jax.random.key(0),
            jd.bind(network, params),
            shape=SHAPE,
            num=2,
            solver=jd.DDIM(),
            grid=np.linspace(-2, 2, 3),
        )
        return len(traces) - before

    assert run(0) > 0
    assert run(1) == 0
