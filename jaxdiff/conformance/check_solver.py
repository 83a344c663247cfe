"""The conformance kit: `check_solver` holds a solver to all that the library promises of solvers."""

import dataclasses
from collections.abc import Callable

import diffrax
import equinox as eqx
import numpy as np

from jaxdiff.conformance.accuracy import limit, order
from jaxdiff.conformance.ends import ends, float32
from jaxdiff.conformance.gradients import gradients
from jaxdiff.conformance.moments import frozen, moments, spans
from jaxdiff.conformance.purity import pure
from jaxdiff.conformance.report import Conformance, Row
from jaxdiff.conformance.runs import batch, devices, nfe, traces
from jaxdiff.conformance.shapes import shapes
from jaxdiff.conformance.steps import consistent, long
from jaxdiff.conformance.subject import Subject
from jaxdiff.solvers.base import RowSolver
from jaxdiff.solvers.stepped import cost

PROPERTIES: tuple[Callable[[Subject], Row], ...] = (
    nfe,
    pure,
    order,
    limit,
    consistent,
    long,
    moments,
    frozen,
    spans,
    ends,
    shapes,
    float32,
    batch,
    devices,
    traces,
    gradients,
)


def check_solver(solver: diffrax.AbstractSolver, *, eta: float = 0.0, verbose: bool = False) -> Conformance:
    """Measures what is promised of every solver, on exact denoisers; a few seconds, on the host's own devices.

    solver: a `jd.Solver`, or an explicit diffrax solver, which takes one step for each grid interval.
    eta: (★)'s η for diffrax's own solvers, 0 the ODE and 1 the SDE; jaxdiff's solvers carry their own.
    verbose: print the table.

    The properties:

    * `nfe`: calls as declared; `pure`: the same program when traced again.
    * `order`: no term of the error of a power below the declared `convergence_order`, on grids whose steps are equal,
      alternate as 1 to 3, and are irregular. Above 4 only the slope over a few coarse grids is looked at, or "not told".
    * `limit`: what the result tends to is right, on data of std 1, on data twenty times as wide and far from 0, on
      heavy-tailed ones, and on three stretches that cover λ from −10 to 6; or in mean and covariance where there is noise,
      with drift and noise in balance in steps that stay at a λ (Langevin), and noise that enters as it is drawn. Updates
      that are nearly affine are known as far as they bend; moments of others, and of diffrax's solvers, come from samples.
    * `consistent`: no error of the order of one step in 48 of them, as a step that is left out makes.
    * `long`: what a step does is a smooth function of its length up to h = 2: no clipped step, no rounded λ.
    * `moments`: mean and covariance from off the marginal follow (★) at the field `eta`, and at another value of it.
    * `frozen`, of a solver that says `exponential`: exact steps where D is constant; `spans`, of one that `reads_span`: exact
      steps with the mean of D, for which all other properties are given D.
    * `ends`: λ = ±10 and one, two, three grid values; the result is D of the last state, on data of std 1 and wide ones,
      and what ends itself (`ends_itself`) ends there where there is one image only, and at λ = 10.
    * `shapes`: colour images and volumes of four channels, of thousands of values.
    * `float32`: 1,000 values within 1e-4 of float64; `batch`, `devices`: bitwise the same image at equal batch; `traces`:
      new numbers compile nothing; `gradients`: finite and right, from λ = −8 to 6.

    One that does not apply is "not checked" and does not fail.

    Orders and limits are told by signed errors in float64, as powers of the step (`jaxdiff/conformance/expansion.py`); from
    order 3 on over grids whose first steps are short, so that a start of lower order does not count. A solver with noise
    has the order of what it does without. What the kit itself overlooks is counted by `python -m benchmarks.mutations`; what
    acts on a part of the clock between those looked at, on other shapes or other sizes alone, is.

    Whether the caller computes in float32 or float64 is left as it is. Raises `ValueError` for what is no explicit
    solver; what the solver itself raises is told in the table.
    """
    if isinstance(solver, type) or not isinstance(solver, diffrax.AbstractSolver):
        fix = f"{solver.__name__}()" if isinstance(solver, type) else "jd.DPMpp(order=2)"
        raise ValueError(f"got {solver!r}; expected a solver object; to fix: check_solver({fix})")
    if isinstance(solver, RowSolver):
        if eta:
            raise ValueError(
                f"got {type(solver).__name__} with eta={eta}; expected the solver's own; to fix: leave it out"
            )
    else:
        cost(solver)  # refuses implicit solvers and those whose calls are not known
    subject, rows = Subject(solver, float(eta)), []
    for measure in PROPERTIES:
        rows.append(_measured(measure, subject))
        if measure is nfe and rows[-1].measured.startswith("raised"):
            rows += [Row(other.__name__, "not checked", "it does not run") for other in PROPERTIES[1:]]
            break
    result = Conformance(_described(solver, eta), tuple(rows))
    if verbose:
        print(result)
    return result


def _measured(measure: Callable[[Subject], Row], subject: Subject) -> Row:
    """The property's row; an exception, of whatever kind the person's code raises, is a failed one."""
    try:
        return measure(subject)
    except Exception as error:
        text = " ".join(str(error).split())
        return Row(measure.__name__, "failed", f"raised {type(error).__name__}", "", f"{type(error).__name__}: {text}")


def _described(solver: diffrax.AbstractSolver, eta: float) -> str:
    def shown(value) -> str:
        if isinstance(value, diffrax.AbstractSolver):
            return _described(value, 0.0)
        return str(np.asarray(value).tolist()) if eqx.is_array_like(value) else repr(value)

    fields = {field.name: getattr(solver, field.name, None) for field in dataclasses.fields(solver)}
    shape = ", ".join(f"{name}={shown(value)}" for name, value in fields.items() if value is not None)
    return f"{type(solver).__name__}({shape})" + (f" at eta={eta:g}" if eta else "")
