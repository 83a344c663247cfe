"""Every solver that the common tests hold to its promises: a new one is one more line."""

import diffrax

import jaxdiff as jd
from jaxdiff.solvers.predictor_corrector import PredictorCorrector

DETERMINISTIC = [
    jd.DDIM(),
    jd.DPMpp(order=1),
    jd.DPMpp(order=2),
    jd.DPMpp(order=3),
    jd.UniPC(order=2),
    jd.UniPC(order=3),
    jd.UniPC(order=2, variant="bh1"),
    jd.UniPC(order=2, corrector=False),
    jd.UniPC(order=3, corrector=False),
    jd.DEIS(order=1),
    jd.DEIS(order=2),
    jd.DEIS(order=3),
    jd.IPNDM(order=1),
    jd.IPNDM(order=2),
    jd.IPNDM(order=3),
    jd.IPNDM(order=4),
    jd.IPNDM(order=2, variable=True),
    jd.IPNDM(order=4, variable=True),
    jd.SASolver(order=2, eta=0.0),
    jd.SASolver(order=3, eta=0.0, corrector=False),
    jd.EDMHeun(),
]

STOCHASTIC = [
    jd.DDPM(),
    jd.DDIM(eta=1.0),
    jd.DDIM(eta=0.5),
    jd.DPMpp(order=1, eta=1.0),
    jd.DPMpp(order=2, eta=1.0),
    jd.DPMpp(order=2, eta=0.5),
    jd.DPMpp(order=3, eta=1.0),
    jd.SASolver(order=1, eta=1.0),
    jd.SASolver(order=3, eta=1.0),
    jd.SASolver(order=2, eta=0.7, corrector=False),
    jd.EDMHeun(churn=20.0),
    PredictorCorrector(),
]

FOREIGN = [diffrax.Euler(), diffrax.Heun(), diffrax.Tsit5(), diffrax.HalfSolver(diffrax.Heun())]
"""diffrax's own, on the ODE."""

FOREIGN_SDE = [diffrax.Euler(), diffrax.EulerHeun(), diffrax.SEA(), diffrax.ShARK(), diffrax.SRA1(), diffrax.SPaRK()]
"""diffrax's own, on the SDE."""


def name(solver) -> str:
    """Id of a solver in pytest, such as DPMpp(order=2,eta=1)."""
    inner = getattr(solver, "solver", None)
    if inner is not None:
        return f"{type(solver).__name__}({name(inner)})"
    fields = [
        f for f in ("order", "eta", "churn", "variant", "corrector", "variable") if f in getattr(solver, "__dict__", {})
    ]
    shown = ",".join(f"{f}={getattr(solver, f)!s}" for f in fields)
    return f"{type(solver).__name__}({shown})"
