"""What `jd.check_solver` overlooks: solvers of ours, each spoiled in one place, and which of them it passes.

    python -m benchmarks.mutations [--solvers DDIM DPMpp(2)]

A mutant is one of our solvers with one coefficient of its table times 1.01 or 0.99 in every row, dropped, or taken from the
row before; with α and σ exchanged or those of `at` in the place of those of `to`; with a wrong step, or none longer than
0.3; with its history dropped or one step late; with a denoiser, an image or a noise that is spoiled on its way into the
update, everywhere or on a part of the clock; with a channel that is left out; with its result clipped; or with drift or
noise of a Langevin step changed. A mutant whose states and result are bitwise those of the solver, on three grids and with
noise, is no mutant. The others must fail.

The table of a mutant is another argument of the solver's own program, so nothing is compiled for it.
"""

import dataclasses
import time

from tqdm import tqdm

import jaxdiff as jd
from benchmarks.command import command
from benchmarks.mutations.trial import share, trial
from benchmarks.store import Store
from jaxdiff.solvers.base import Solver
from jaxdiff.solvers.predictor_corrector import PredictorCorrector

SOLVERS: dict[str, Solver] = {
    "DDIM": jd.DDIM(),
    "DDIM(eta=0.5)": jd.DDIM(eta=0.5),
    "DDIM(eta=1)": jd.DDIM(eta=1.0),
    "DDPM": jd.DDPM(),
    **{f"DPMpp({p}, eta={eta:g})": jd.DPMpp(order=p, eta=eta) for p in (1, 2, 3) for eta in (0.0, 0.5, 1.0)},
    **{f"UniPC({p})": jd.UniPC(order=p) for p in (2, 3)},
    "UniPC(2, bh1)": jd.UniPC(order=2, variant="bh1"),
    "UniPC(3, no corrector)": jd.UniPC(order=3, corrector=False),
    **{f"DEIS({p})": jd.DEIS(order=p) for p in (1, 2, 3)},
    **{f"IPNDM({p})": jd.IPNDM(order=p) for p in (2, 3, 4)},
    **{f"IPNDM({p}, variable)": jd.IPNDM(order=p, variable=True) for p in (2, 3, 4)},
    **{f"SASolver({p}, eta={eta:g})": jd.SASolver(order=p, eta=eta) for p in (1, 2, 3) for eta in (0.0, 0.7, 1.0)},
    "SASolver(2, eta=1, no corrector)": jd.SASolver(order=2, corrector=False),
    "EDMHeun": jd.EDMHeun(),
    "EDMHeun(churn=20)": jd.EDMHeun(churn=20.0),
    "PredictorCorrector": PredictorCorrector(),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Which solvers; the results of the others stay as they are."""

    solvers: tuple[str, ...] = tuple(SOLVERS)


def main(options: Options) -> int:
    """Exit status: 1 where a mutant survives."""
    store, results = Store("mutations", ("scipy",), {"solvers": {}}), {}
    machine = store.machine()
    for name in (bar := tqdm(options.solvers)):
        bar.set_description(name)
        start = time.perf_counter()
        results[name] = trial(SOLVERS[name])
        results[name]["seconds"] = round(time.perf_counter() - start, 1)
        for survivor in results[name]["survivors"]:
            tqdm.write(f"{name}: survives: {survivor}")
    print(share(results))
    stored = store.read()["solvers"]
    every = {name: (stored | results).get(name) for name in SOLVERS}
    every = {name: result for name, result in every.items() if result}
    store.write({"machine": machine, "summary": share(every), "solvers": every})
    return int(any(result["survivors"] for result in results.values()))


if __name__ == "__main__":
    command(main, __doc__)
