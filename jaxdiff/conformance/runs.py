"""What can be seen from outside, through `sample`: calls, invariance, and how often a program is traced."""

import copy
import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.analytic import GaussianMixture
from jaxdiff.conformance.problems import MIXTURE
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.subject import Subject
from jaxdiff.sampling.sample import Samples, sample

GRID = np.linspace(-3.0, 2.0, 5)
BATCH = 4
NUM = 8
START = np.random.default_rng(3).normal(size=(NUM, *MIXTURE.shape)).astype(np.float32)
traced: list[int] = []
called: list[int] = []


class Probe(eqx.Module):
    """A denoiser that counts: when Python runs it, and when the program calls it."""

    denoise: GaussianMixture

    def __call__(self, x, lam, cond=None):
        traced.append(1)
        jax.debug.callback(lambda: called.append(1))
        return self.denoise(x, lam)


def run_subject(
    subject: Subject,
    rows=slice(None),
    *,
    solver=None,
    grid=GRID,
    start=START,
    seed=0,
    first=None,
    eta=None,
    spread=1.0,
    mesh=None,
) -> Samples:
    """Images `rows` of `NUM`; every option but `mesh` runs the same program."""
    start = start[rows]
    first = (rows.start or 0) if first is None else first
    with jax.enable_x64(False):
        denoise = GaussianMixture(MIXTURE.means, spread * MIXTURE.stds, MIXTURE.weights)
        out = sample(
            jax.random.key(seed),
            Probe(denoise),
            shape=MIXTURE.shape,
            num=len(start),
            solver=subject.given if solver is None else solver,
            grid=grid,
            start=jnp.asarray(start),
            batch=BATCH,
            first=first,
            mesh=mesh,
            eta=subject.eta if eta is None else eta,
        )
        jax.block_until_ready(out.images)
    return out


@functools.lru_cache(maxsize=1)
def base(subject: Subject) -> np.ndarray:
    """All images, undisturbed."""
    return np.asarray(run_subject(subject).images)


def nfe(subject: Subject) -> Row:
    """The calls declared are those that happen."""
    called.clear()
    out = run_subject(subject, slice(0, BATCH))
    jax.effects_barrier()
    happened = len(called)  # without arguments: once for the whole batch
    return Row.judged(
        "nfe",
        happened == out.nfe,
        f"{happened} calls an image",
        f"{out.nfe} (out.nfe, {len(GRID)} grid values)",
        "the update calls the denoiser more or less often than it declares: set `evaluations` on the class to the calls of "
        "one update",
    )


def batch(subject: Subject) -> Row:
    """At equal batch an image is bitwise the same whatever their number, its position and its mates."""
    expected = base(subject)
    mates = START.copy()
    mates[1::2] += 1.0
    variants = {
        "num": (run_subject(subject, slice(0, 3)).images, expected[:3]),
        "position": (run_subject(subject, slice(2, 7)).images, expected[2:7]),
        "mates": (run_subject(subject, start=mates).images[::2], expected[::2]),
    }
    wrong = [what for what, (got, right) in variants.items() if np.asarray(got).tobytes() != right.tobytes()]
    return Row.judged(
        "batch",
        not wrong,
        ("differs with " + ", ".join(wrong)) if wrong else "bitwise",
        "same for any num, position, mates",
        "an image must depend on its own x, `noise` and memory only: no random numbers of your own, no counter, nothing "
        "reduced over a batch",
    )


def devices(subject: Subject) -> Row:
    """Spread over all local devices, the images are bitwise the same."""
    available = jax.local_devices()
    expected = "same as on one device"
    if len(available) == 1:
        return Row("devices", "not checked", "one device", expected)
    mesh = jax.make_mesh((len(available),), ("image",), devices=available)
    same = np.asarray(run_subject(subject, mesh=mesh).images).tobytes() == base(subject).tobytes()
    return Row.judged(
        "devices",
        same,
        f"{'bitwise' if same else 'differs'} on {len(available)}",
        expected,
        "an image must depend on its own x, `noise` and memory only: no device index, nothing reduced over devices",
    )


def traces(subject: Subject) -> Row:
    """New numbers run the program that there is."""
    base(subject)
    changes: dict[str, dict[str, Any]] = {
        "grid": dict(grid=GRID + 0.1),
        "seed": dict(seed=1),
        "position": dict(first=3),
        "parameter": dict(spread=1.1),
    }
    if subject.eta:
        changes["eta"] = dict(eta=0.9 * subject.eta)
    changes |= {name: dict(solver=solver) for name, solver in _with_other_numbers(subject.given).items()}
    wrong = []
    for name, options in changes.items():
        before = len(traced)
        try:
            run_subject(subject, **options)
        except ValueError:  # a number that this solver refuses
            continue
        if len(traced) > before:
            wrong.append(name)
    return Row.judged(
        "traces",
        not wrong,
        f"traced again for a new {', '.join(wrong)}" if wrong else f"0 for new {', '.join(changes)}",
        "0",
        "a number that is part of the program is compiled anew for each value: leave `static=True` out of the field, or use "
        "it in `weights` only",
    )


def _with_other_numbers(solver) -> dict[str, Any]:
    """The solver with other numbers in one field, by the field's name."""

    def moved(value):
        if not eqx.is_inexact_array_like(value):
            return value
        number = np.where(np.asarray(value) == 0, 0.05, 0.9 * np.asarray(value))
        return float(number) if isinstance(value, float) else number.astype(np.asarray(value).dtype)

    others = {}
    for field in dataclasses.fields(solver):
        value = getattr(solver, field.name, None)
        if any(map(eqx.is_inexact_array_like, jax.tree.leaves(value))):
            other = copy.copy(solver)
            object.__setattr__(other, field.name, jax.tree.map(moved, value))  # frozen; a converter saw the first value
            others[field.name] = other
    return others
