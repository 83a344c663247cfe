"""The same program every time: nothing that Python does on the side is baked into it."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.conformance.march import padded, take_step
from jaxdiff.conformance.problems import IMAGE
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import tabulate

GRID = np.linspace(-2.0, 1.0, 4)
HOST = re.compile(r"\b(pure_callback|io_callback|debug_callback|debug_print)\b")
DRAWS = re.compile(r"random_bits|random_wrap|random_seed|threefry|rng_")


def _ones(key, k, shape, dtype):
    """A noise source that draws nothing, so that what is drawn is the solver's doing."""
    return jnp.ones(shape, dtype)


def pure(subject: Subject) -> Row:
    """Two traces and two tables are the same, and the step neither draws random numbers nor calls the host."""
    kernel, denoise = subject.rowed.kernel, IMAGE.denoise
    programs = []
    for _ in range(2):
        table = tabulate(subject.rowed, GRID)
        rows, x, key = padded(table, np.float32, 1), np.zeros(IMAGE.shape, np.float32), jax.random.key(0)

        def two_steps(rows, x, key):
            x, state = take_step(kernel, denoise, rows, _ones, key, 0, x, None)
            return take_step(kernel, denoise, rows, _ones, key, 1, x, state)

        jaxpr = jax.make_jaxpr(two_steps)(rows, x, key)
        numbers = [np.asarray(leaf).tobytes() for leaf in (*jaxpr.consts, *jax.tree.leaves(table))]
        programs.append((re.sub(r"0x[0-9a-f]+", "", str(jaxpr)), numbers))
    wrong = [
        *(["changes when traced again"] * (programs[0] != programs[1])),
        *(["calls the host"] * bool(HOST.search(programs[0][0]))),
        *(["draws random numbers"] * (subject.own and bool(DRAWS.search(programs[0][0])))),
    ]
    return Row.judged(
        "pure",
        not wrong,
        ", ".join(wrong) or "pure",
        "a function of x, rows, noise, memory",
        "what Python does in `update` happens once, when it is traced, and is then part of the program: use `noise` for "
        "random numbers, `memory` for what changes from step to step, and no callbacks",
    )
