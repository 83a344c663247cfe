"""Samplers of few calls learned for one run: `jaxdiff tune RUN --nfe 4 5 6 8`."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from tqdm import tqdm

from jaxdiff import tuning
from jaxdiff.loading import load
from jaxdiff.lock import only_writer
from jaxdiff.process import grids
from jaxdiff.seeds import key_of
from jaxdiff.training.run_folder import read_run
from jaxdiff.tuning import stored


@dataclass(frozen=True)
class Tune:
    """Learn grid and weights of few calls for a trained run; the network is left as it is."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, as `train.py` makes it."""
    nfe: tuple[int, ...] = (4, 5, 6, 8)
    """Network calls an image; one sampler for each."""
    examples: int = 128
    """Start noises that are learned from; a quarter of them chooses the iteration."""
    unseen: int = 64
    """Start noises that only score."""
    teacher: int = 64
    """Calls of the solution that is learned (UniPC of order 3)."""
    iterations: int = 12
    """At most so many least-squares steps."""
    batch: int = 8
    """Images differentiated at once."""
    seed: int = 0
    """Of the start noises."""
    guidance: float = 1.0
    """Scale of classifier-free guidance that the samplers are for; 1 = none."""
    checkpoint: int | None = None
    """Step of the checkpoint; default the newest."""
    allow: tuple[str, ...] = ()
    """Packages, or paths of .py files, of your own whose classes the run may name: their code runs."""
    again: bool = False
    """Replace samplers that are there."""

    def __post_init__(self):
        for name, least in (("examples", 8), ("unseen", 1), ("teacher", 20), ("iterations", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"got {name}={getattr(self, name)}; expected at least {least}")
        if not self.nfe or min(self.nfe) < 1 or max(self.nfe) >= self.teacher:
            raise ValueError(f"got nfe={self.nfe}; expected numbers of calls from 1 to below teacher={self.teacher}")


def tune(options: Tune) -> dict[int, list[tuning.GridScore]]:
    """Tunes, scores beside the other solvers and saves; returns the scores by calls.

    Raises FileNotFoundError where there is no run, ValueError for options that contradict it or each other, and where another
    process is tuning it. (Training may go on meanwhile: a sampler is for the checkpoint that it names.)
    """
    if not (options.run / "run.json").is_file():
        read_run(options.run)  # says what there is instead, and makes no folder
    with only_writer(stored.path_of(options.run, 0).parent):
        return _tune(options)


def _tune(options: Tune) -> dict[int, list[tuning.GridScore]]:
    model = load(options.run, options.checkpoint, allow=options.allow)
    todo = [n for n in dict.fromkeys(options.nfe) if options.again or not stored.path_of(options.run, n).exists()]
    for n in sorted(set(options.nfe) - set(todo)):
        print(f"{stored.path_of(options.run, n)} is there already; --again replaces it")
    classes = model.classes
    if options.guidance != 1.0 and not classes:
        raise ValueError(f"got --guidance {options.guidance} for a model without classes; expected 1")
    if not todo:
        return {}
    denoise = model.guided(options.guidance)

    def examples(part: int, num: int, name: str) -> tuning.Examples:
        """Start noises and images of a part of the run's randomness, in chunks with progress."""
        key = jax.random.fold_in(key_of(options.seed), part)
        cond = model.condition(num, np.arange(num) % classes if classes else None)
        grid = grids.uniform_lam(model.schedule, options.teacher)
        with tqdm(total=num, unit="image", desc=name, dynamic_ncols=True) as bar:
            return tuning.teach(
                key, denoise, shape=model.shape, num=num, grid=grid, cond=cond, batch=16, report=bar.update
            )

    learned = examples(0, options.examples, f"images of {options.teacher} calls to learn from")
    unseen = examples(1, options.unseen, "and to score on")
    scores = {}
    for calls in todo:
        began = time.perf_counter()
        progress = lambda items, n=calls: tqdm(items, desc=f"{n} calls: other solvers", dynamic_ncols=True)  # noqa: E731
        others = tuning.compare(denoise, model.schedule, calls, learned, unseen, progress=progress)
        start = next(score for score in others if score.solver.startswith("DPMpp"))
        with tqdm(total=options.iterations, desc=f"{calls} calls: tuning", unit="step", dynamic_ncols=True) as bar:

            def report(iteration: int, fitted: float, held_out: float, bar=bar):
                bar.set_postfix(rms=f"{fitted:.4f}", held_out=f"{held_out:.4f}")
                bar.update(min(iteration, 1))

            solver = tuning.fit(
                denoise, learned, start.lams, ends=(model.schedule.lam_min, model.schedule.lam_max),
                order=3 if start.solver.endswith("(3)") else 2, iterations=options.iterations, batch=options.batch,
                report=report,
            )  # fmt: skip
        scores[calls] = tuning.ranked(others, tuning.score(f"tuned:{calls}", denoise, solver, unseen))
        record = _record(options, model.step, scores[calls], time.perf_counter() - began)
        print(f"{stored.save(options.run, solver, record)}\n{tuning.table(scores[calls])}")
    return scores


def _record(options: Tune, step: int | None, scores: list[tuning.GridScore], seconds: float) -> dict[str, Any]:
    return {
        "checkpoint": step,
        "guidance": options.guidance,
        "examples": options.examples,
        "unseen": options.unseen,
        "teacher_calls": options.teacher,
        "seed": options.seed,
        "seconds": round(seconds, 1),
        "rms_unseen": {score.solver: [score.grid, round(score.end, 3), float(f"{score.rms:.4g}")] for score in scores},
    }


def main(args: list[str], prog: str = "jaxdiff tune") -> int:
    """The command: options from `args`; exit status."""
    scores = tune(tyro.cli(Tune, prog=prog, args=args))
    if scores:
        best = max(scores)
        print(f"use: python sample.py generate --run RUN --solver tuned:{best}")
    return 0
