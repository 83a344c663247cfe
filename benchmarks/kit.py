"""What the conformance kit costs: processor seconds of `check_solver` and `check_posterior`, compilation included.

    python -m benchmarks.kit

All in one process, one after the other, as a test suite runs them: later ones find what the first has compiled.
"""

import time
from collections.abc import Callable
from typing import Any

import jaxdiff as jd
from benchmarks.command import command
from benchmarks.store import Store
from jaxdiff.conformance import check_posterior, check_solver
from jaxdiff.guidance.posterior import DiffPIR

CHECKS: dict[str, Callable[[], Any]] = {
    "DDIM()": lambda: check_solver(jd.DDIM()),
    "DDPM()": lambda: check_solver(jd.DDPM()),
    "DPMpp(2)": lambda: check_solver(jd.DPMpp(2)),
    "UniPC(3)": lambda: check_solver(jd.UniPC(3)),
    "EDMHeun()": lambda: check_solver(jd.EDMHeun()),
    "DiffPIR": lambda: check_posterior(DiffPIR),
}


def main() -> None:
    store = Store("kit")
    result: dict[str, Any] = {"machine": store.machine(), "processor_seconds": {}}
    for name, check in CHECKS.items():
        began = time.process_time()
        check()
        result["processor_seconds"][name] = round(time.process_time() - began, 1)
        print(f"{name:10} {result['processor_seconds'][name]:.1f} s", flush=True)
    store.write(result)


if __name__ == "__main__":
    command(main, __doc__)
