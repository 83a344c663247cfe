"""The plain regression U-Net: one answer, the mean, from the network, data, optimiser and steps of a diffusion run.

The network is the same to the last parameter and sees the same batches, but its x is 0, its lam is 0, and its output is
the clean image itself: the least squared error picks E[x0 | condition]. What it leaves behind is a run folder whose
network predicts "x0", so that `jd.load` reads it; sampling from it means nothing.
"""

import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxdiff.config import load_config, override
from jaxdiff.data.config import open_data
from jaxdiff.data.errors import DataError
from jaxdiff.data.loader import Loader
from jaxdiff.data.normalise import Normaliser
from jaxdiff.durable import write_json
from jaxdiff.guidance import windowed
from jaxdiff.lock import only_writer
from jaxdiff.model import Model
from jaxdiff.nn import condition
from jaxdiff.tasks.sampled import WINDOWS_TOGETHER, reflected, with_channels
from jaxdiff.tasks.seen import returns_levels, seen
from jaxdiff.training.batch import to_batch
from jaxdiff.training.cadence import Budget, Clock
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.interrupt import Interrupt
from jaxdiff.training.progress import Progress
from jaxdiff.training.restore import steps
from jaxdiff.training.run_folder import check_config, describe, read_pairing, read_run
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import make_train_step

OVERLAP = 0.25
"""Share of a window that it has in common with the next, as `jaxdiff.tasks` has it."""


@dataclasses.dataclass(frozen=True)
class RegressionLoss:
    """E[ mean((x0 - network(0, 0, cond))²) ]; takes what `jaxdiff.training.DenoisingLoss` takes."""

    def __call__(
        self,
        network: Any,
        params: Any,
        key: Any,
        batch: dict[str, Any],
        *,
        train: bool = True,
        first: Any = 0,
        total: int | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        x0 = jnp.asarray(batch["image"], jnp.float32)
        rngs = {"dropout": jax.random.fold_in(key, jnp.asarray(first))} if train else None
        output = network.apply(
            params, jnp.zeros_like(x0), jnp.zeros(len(x0)), batch.get("cond"), train=train, rngs=rngs
        )
        error = jnp.mean((output.astype(jnp.float32) - x0) ** 2)
        return error, {"loss": error}


def config_of(path: Path) -> TrainConfig:
    """The config of a run folder, with the steps that the run has taken; or that of a config file."""
    if not path.is_dir():
        return load_config(path)
    config = TrainConfig.from_json(read_run(path)["config"])
    return dataclasses.replace(config, steps=max(steps(path / "checkpoints"), default=config.steps), minutes=None)


def as_regression(config: TrainConfig) -> TrainConfig:
    """The config of the regression that goes with a run: NAME_regression. Raises DataError without pairs or steps."""
    if config.pairs is None or not config.network.image_channels:
        raise DataError(f"the config of {config.name}, without pairs", "a conditional task", "set pairs")
    if config.steps is None:
        raise DataError("a budget of minutes", "one of steps, as many as the run took", "set steps")
    return dataclasses.replace(
        config, name=f"{config.name}_regression", predicts="x0", drop_condition=0.0, minutes=None, previews=0
    )


def part(config: Path, more: tyro.conf.Positional[tuple[str, ...]] = (), *, minutes: float = 9.0) -> None:
    """Train the regression that goes with a diffusion run.

    Args:
        config: the run's folder, or its config file.
        more: behind `--`, the options that the run was given with its config file.
        minutes: of this session; the same command continues.
    """
    print(train(override(config_of(config), list(more)), minutes))


def train(config: TrainConfig, minutes: float) -> Path:
    """Trains the regression of `as_regression(config)` from where its folder stands, for `minutes` and at least a step.

    Returns the run folder. Raises SystemExit with status 75 when the time is up, 128 + n on signal n: the same command
    continues.
    """
    config = as_regression(config)
    with contextlib.ExitStack() as stack:
        return _train(config, time.monotonic() + 60 * minutes, stack)


def _train(config: TrainConfig, end: float, stack: contextlib.ExitStack) -> Path:
    folder = config.folder
    stack.enter_context(only_writer(folder))
    stored = read_run(folder) if (folder / "run.json").exists() else None
    if stored:
        check_config(config, stored, folder)
    normaliser = Normaliser.from_json(stored["normaliser"]) if stored else None
    data = open_data(
        config.data,
        config.patch,
        seed=config.seed,
        normaliser=normaliser,
        pairs=config.pairs,
        pairing=read_pairing(stored or {}),
    )

    def loader() -> Loader:
        how: dict[str, Any] = {"patch": config.patch, "batch_size": config.batch_size, "seed": config.seed}
        return Loader(data.train, data.normaliser, augment=config.augment, pairing=data.pairing, **how)

    optimizer = config.optimizer.build()
    step_fn = make_train_step(RegressionLoss(), optimizer, config.parallel, ema=config.ema)
    key_init, key, *_ = jax.random.split(jax.random.key(config.seed), 4)  # the diffusion run's own
    example = to_batch(next(loader()), config.network)
    if not stored:
        write_json(folder / "run.json", describe(config, data.info, data.normaliser, data.pairing))
    checkpoints = stack.enter_context(Checkpoints(folder / "checkpoints", config.keep, config.keep_every))
    batches, spent = loader(), 0.0
    restored = checkpoints.restore(TrainState.shapes(key_init, config.network, optimizer, example))
    if restored:
        state, meta = restored
        batches.set_state(meta["loader"])
        spent = float(meta["seconds"])
    else:
        state = TrainState.create(key_init, config.network, optimizer, example)

    step = int(state.step)
    budget = Budget(config.steps, None, spent)
    progress = stack.enter_context(contextlib.closing(Progress(budget, step, config.batch_size)))

    def save(wait: bool) -> None:
        meta = {"step": step, "loader": batches.get_state(), "seconds": budget.seconds(), "config": config.to_json()}
        checkpoints.save(state, meta, wait=wait)

    due, begun = Clock(config.checkpoint), step
    with Interrupt() as interrupt:
        while not budget.done(step) and interrupt.signum is None and (step == begun or time.monotonic() < end):
            batch = to_batch(next(batches), config.network)
            state, metrics = step_fn(state, batch, key, budget.fraction(step))
            step += 1
            if step % config.log_every == 0:
                progress.update(step, {"loss": float(metrics["loss"])})
            if due.due(step):
                save(wait=False)
    save(wait=True)
    if interrupt.signum is not None:
        raise interrupt.exit()
    if not budget.done(step):
        print(f"time is up at step {step} of {config.steps}; the same command continues", file=sys.stderr)
        raise SystemExit(75)
    return folder


def predict(model: Model, image: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """E[x0 | image] of a field (Y, X) of any size, (Y, X, C) in the units of what the model predicts, float32.

    factor: pixels that the network sees, and returns, for one of the field.
    """
    network = seen(model, with_channels(image, model.inputs.info), factor)
    normal = network.normal
    fine = normal.shape[:-1]
    window = model.shape[:-1]
    size = tuple(map(max, fine, window))
    cond = condition(image=reflected(normal[None], size)[0])
    denoise = model.denoise
    if size != window:
        denoise = windowed(denoise, window, tuple(int(OVERLAP * w) for w in window), chunk=WINDOWS_TOGETHER)
    out = _at_zero(denoise, jnp.zeros((*size, model.info.channels)), cond)
    mean = model.normaliser.inverse(np.asarray(out)[tuple(slice(0, n) for n in fine)])
    scale = network.scale if returns_levels(model) else None
    return (mean if scale is None else scale.inverse(mean)).astype(np.float32)


@eqx.filter_jit
def _at_zero(denoise: Any, x: jax.Array, cond: Any) -> jax.Array:
    return denoise(x, jnp.zeros(()), cond)
