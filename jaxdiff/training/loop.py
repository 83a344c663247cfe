"""`train(config)`: from a config to a finished run folder, resuming what is there."""

import contextlib
import errno
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.data.config import open_data
from jaxdiff.data.dataset import Dataset
from jaxdiff.data.loader import Loader
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairs import with_levels
from jaxdiff.durable import write_json
from jaxdiff.lock import is_lock, only_writer
from jaxdiff.plain import flat
from jaxdiff.seeds import key_of
from jaxdiff.training import hosts
from jaxdiff.training.batch import to_batch
from jaxdiff.training.cadence import Budget, Clock, Due
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.environment import differences, environment
from jaxdiff.training.fine_tune import start_from
from jaxdiff.training.flops import step_flops
from jaxdiff.training.interrupt import Interrupt
from jaxdiff.training.known_data import know, read_known
from jaxdiff.training.lam_sampler import Stratified
from jaxdiff.training.look import Look
from jaxdiff.training.loss import DenoisingLoss
from jaxdiff.training.metrics_log import Averager, MetricsLog
from jaxdiff.training.power_ema import PowerEMA
from jaxdiff.training.prefetch import Prefetch
from jaxdiff.training.progress import Progress
from jaxdiff.training.restore import CheckpointError, steps
from jaxdiff.training.run_folder import check_classes, check_same, describe, read_pairing, read_run
from jaxdiff.training.sharding import on_one_device
from jaxdiff.training.snapshots import forget_after, write_snapshot
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import make_train_step

SHOWN = 10  # unreadable files that are named; `--check` lists all


class TrainingDiverged(RuntimeError):
    """Too many steps in a row had a loss or gradient that was not finite."""


def train(config: TrainConfig) -> Path:
    """Train the run that `config` describes, from where its folder OUT/NAME stands; returns the folder.

    Of several hosts (`jaxdiff.training.hosts.joined`) each calls it with the same config and a folder that all see; process
    0 writes and speaks. Resuming is bitwise equal to an uninterrupted run (CPU; same cores, flags and versions; a budget of
    steps). SIGTERM and Ctrl-C save and raise SystemExit (143, 130). Raises ValueError for a folder of another config or data
    that do not fit, before anything is written; CheckpointError where checkpoints cannot be written or read;
    TrainingDiverged.
    """
    try:
        with contextlib.ExitStack() as stack:
            return _Run(config, stack).train()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise CheckpointError(
            f"got a full disk while writing to {config.folder} ({error}); expected room for logs and checkpoints; to fix: "
            "free some space and run the same command again, it continues from the newest checkpoint"
        ) from error


def _described(data: Dataset) -> dict[str, Any]:
    """What tells the data of one host from those of another, without reading them again."""
    parts = {"training": len(data.train), "held out": len(data.validation), "left out": len(data.skipped)}
    return {"images": parts, "info": data.info.to_json(), "normaliser": data.normaliser.to_json()}


class _Run:
    """The parts of one run, built in the order in which they can be refused."""

    def __init__(self, config: TrainConfig, stack: contextlib.ExitStack):
        self.config, self.folder, self.stack = config, config.folder, stack
        devices = {"devices": jax.local_device_count(), "kind of device": jax.local_devices()[0].device_kind}
        hosts.check_alike({**hosts.described(config), **devices})
        if hosts.leader():
            stack.enter_context(only_writer(self.folder))
        hosts.wait("the run folder is locked")
        stored = read_run(self.folder) if (self.folder / "run.json").exists() else None
        before = read_known(self.folder) if stored else None
        hosts.wait("all have looked at the run folder")
        if stored:
            check_same(config, stored, self.folder)
        elif self.folder.exists() and not all(map(is_lock, self.folder.iterdir())):
            raise ValueError(
                f"got the folder {self.folder}, which is not empty and holds no run.json; expected a run folder or "
                "none; to fix: choose another --name or --out"
            )

        normaliser = Normaliser.from_json(stored["normaliser"]) if stored else None
        self.data = open_data(
            config.data,
            config.patch,
            config.seed,
            normaliser,
            config.pairs,
            read_pairing(stored or {}),
            before if before and (config.other_data or before.accepted) else None,
        )
        check_classes(config.network, self.data.info)
        self.known = know(config, self.folder, self.data, before, resumed=stored is not None)
        self.normaliser = self.data.normaliser
        hosts.check_alike({f"data.{n}": value for n, value in flat(_described(self.data)).items()})
        hosts.check_alike({"data.files": self.known.checksum})
        self.loss = DenoisingLoss(
            lam_sampler=Stratified(config.schedule),
            predicts=config.predicts,
            weighting=config.weighting,
            sigma_data=config.sigma_data,
            drop_condition=config.drop_condition,
        )
        self.optimizer = config.optimizer.build()
        self.step_fn = make_train_step(
            self.loss,
            self.optimizer,
            config.parallel,
            ema=config.ema,
            power_ema=config.power_ema,
            fsdp=config.fsdp,
            accumulate=config.accumulate,
        )
        if config.batch_size % (parts := jax.device_count() * config.accumulate):
            raise ValueError(
                f"got batch_size={config.batch_size} for {jax.device_count()} devices and accumulate={config.accumulate}; "
                f"expected a multiple of {parts}; to fix: --batch-size {-(-config.batch_size // parts) * parts}"
            )
        self.key_init, self.key, self.key_validation, self.key_preview = jax.random.split(key_of(config.seed), 4)
        part = jax.process_index(), jax.process_count()
        self.loader = self._loader(config.batch_size, config.augment, part=part, workers=config.workers)
        stack.callback(self.loader.close)
        self.batches = Prefetch(
            self.loader, lambda loaded: self.step_fn.place_batch(to_batch(loaded, config.network)), config.prefetch
        )
        example = self._examples(1, config.augment)
        tracked = len(config.power_ema.lengths) if config.power_ema else 0
        like = TrainState.shapes(self.key_init, config.network, self.optimizer, example, tracked)
        where = self.step_fn.shardings(like)
        create = lambda: TrainState.create(  # noqa: E731
            self.key_init, config.network, self.optimizer, example, where, tracked
        )

        fresh = None
        if config.init_from is not None and not steps(self.folder / "checkpoints"):
            fresh = start_from(create(), config.init_from, config.predicts, partial=config.init_partial)
        if not stored and hosts.leader():
            self.folder.mkdir(parents=True, exist_ok=True)
            data = with_levels(self.data, config.patch)
            write_json(
                self.folder / "run.json", describe(config, data.info, data.normaliser, data.pairing, data.levels)
            )
        if hosts.leader():
            self.known.store(self.folder, config)
        hosts.wait("the run folder is there")
        self.checkpoints = stack.enter_context(Checkpoints(self.folder / "checkpoints", config.keep, config.keep_every))
        restored = self.checkpoints.restore(like)
        spent = 0.0
        if restored:
            self.state, meta = restored
            spent = self._resume(meta)
        else:
            self.state = create() if fresh is None else fresh
        self.checkpoints.check_space(self.state)
        self.step = int(self.state.step)
        if hosts.leader():
            forget_after(self.folder, self.step)
        self.budget = Budget(config.steps, config.minutes, spent)

    def _loader(self, size: int, augment: bool, **options: Any) -> Loader:
        return Loader(
            self.data.train,
            self.normaliser,
            patch=self.config.patch,
            batch_size=size,
            seed=self.config.seed,
            augment=augment,
            pairing=self.data.pairing,
            max_unreadable=self.config.max_unreadable,
            **options,
        )

    def _examples(self, num: int, augment: bool = False) -> dict[str, Any]:
        """The first training examples, as the loss takes them."""
        return to_batch(next(self._loader(num, augment, threads=0)), self.config.network)

    def _resume(self, meta: dict[str, Any]) -> float:
        """Puts loader and key where the checkpoint left them; returns the seconds spent so far."""
        position = meta["loader"]
        if self.known.accepted:  # draws go on from the same number, of other records
            position = {**self.batches.get_state(), "position": position["position"]}
        self.batches.set_state(position)
        self.key = jax.random.wrap_key_data(jnp.asarray(meta["key"], np.uint32))
        if changed := differences(meta["environment"], environment()):
            warnings.warn(
                "this run resumes in another environment and may differ in the last digits from an undisturbed one: "
                + "; ".join(changed),
                stacklevel=4,
            )
        return float(meta["seconds"])

    def _meta(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "key": np.asarray(jax.random.key_data(self.key)).tolist(),
            "loader": self.batches.get_state(),
            "seconds": self.budget.seconds(),
            "config": self.config.to_json(),
            "normaliser": self.normaliser.to_json(),
            "environment": environment(),
        }

    def train(self) -> Path:
        config = self.config
        self.progress = self.stack.enter_context(
            contextlib.closing(Progress(self.budget, self.step, config.batch_size, shown=hosts.leader()))
        )
        save, preview, validate = (Clock(every) for every in (config.checkpoint, config.preview, config.validation))
        self.clocks = {"save": save, "preview": preview, "validate": validate}
        due = self._due()
        if due.done:
            self.progress.say(f"{self.folder} is complete at step {self.step}; for more, raise steps or minutes")
            return self.folder
        if hosts.leader():
            self.log = self.stack.enter_context(contextlib.closing(MetricsLog(self.folder, self.step)))
        with Interrupt() as interrupt:
            self._steps(interrupt, due)
        if interrupt.signum is not None:
            self.progress.say(f"stopped at step {self.step}, saved in {self.folder}; the same command continues")
            raise interrupt.exit()
        return self.folder

    def _steps(self, interrupt: Interrupt, due: Due) -> None:
        config, where = self.config, "from the start" if self.step == 0 else f"from step {self.step}"
        several = f" of {jax.process_count()} hosts" if jax.process_count() > 1 else ""
        self.progress.say(
            f"training {self.folder} {where} on {jax.device_count()} {jax.devices()[0].device_kind}{several}"
        )
        if not len(self.data.validation):
            self.progress.say("no images are held out: no validation loss, and samples/real.png shows training images")
        for note in (*self.known.notes(), *self.data.notes):
            self.progress.say(note)
        if skipped := self.data.skipped:
            self.progress.say(f"{len(skipped)} files left out:\n  " + "\n  ".join(skipped[:SHOWN]))
        self.look = Look(
            config, self.folder, self.data, self.loss, (self.key_validation, self.key_preview), self._examples
        )
        average, start = Averager(), self.step
        while not due.done and not interrupt.caught(self.step):
            batch = next(self.batches)
            self.state, metrics = self.step_fn(self.state, batch, self.key, due.fraction)
            self.step += 1
            self._watch(average.push(metrics))
            if self.step == start + 1:
                if hosts.leader():
                    params, total = self.state.params, config.batch_size
                    self.progress.flops = step_flops(self.loss, config.network, params, batch, total)
                jax.block_until_ready(self.state.step)
                self.progress.restart(self.step)
            if self.step % config.log_every == 0:
                self._report(average.take())
            due = self._due()
            if not due.done:
                self._measure(due.validate, due.preview)
                if config.power_ema and self.step % config.power_ema.every == 0:
                    self._snapshot(config.power_ema)  # before the checkpoint, behind which it would not be made again
                if due.save:
                    self.checkpoints.save(self.state, self._meta())
                    self.progress.restart(self.step)
            self.progress.show(self.step)
        if self.step % config.log_every:
            self._report(average.take())
        if config.power_ema and interrupt.signum is None:
            self._snapshot(config.power_ema)
        self.checkpoints.save(self.state, self._meta(), wait=True)
        if interrupt.signum is None:
            self._measure(True, True)

    def _due(self) -> Due:
        """What the leader's clocks say, the same on all hosts."""
        now = {name: clock.due(self.step) for name, clock in self.clocks.items()}
        now |= {"fraction": self.budget.fraction(self.step), "done": self.budget.done(self.step)}
        return Due(**hosts.decided(now))

    def _watch(self, metrics: dict[str, Any] | None) -> None:
        if metrics is not None and metrics["skipped_in_row"] >= self.config.max_skipped:
            raise TrainingDiverged(
                f"got {self.config.max_skipped} steps in a row, up to step {self.step}, with a loss or gradient that "
                "is not finite; expected finite ones (none of these steps was applied); to fix: a lower "
                "--optimizer.learning-rate or a longer warm-up, under another --name"
            )

    def _report(self, row: dict[str, float]) -> None:
        if not row:  # interrupted before the first step of this session
            return
        applied = self.step - int(row.get("skipped", 0))
        if self.loader.unreadable:
            row["unreadable"] = len(self.loader.unreadable)
        row["learning_rate"] = float(self.config.optimizer.rate(applied - 1, self.budget.fraction(self.step - 1)))
        self._watch({"skipped_in_row": row["skipped_in_row"]})
        self.progress.update(self.step, row)
        if hosts.leader():
            self.log.write(self.step, row)

    def _snapshot(self, kept: PowerEMA) -> None:
        averages = on_one_device(self.state.power_ema)
        if hosts.leader():
            applied = self.step - int(self.state.skipped)
            write_snapshot(self.folder, self.step, applied, averages, kept)
        hosts.decided("kept averages")
        self.progress.restart(self.step)

    def _measure(self, validate: bool, preview: bool) -> None:
        if self.look.due(validate, preview):
            self.look(self.state, self.step, self.log if hosts.leader() else None, validate, preview, self.progress.say)
            self.progress.restart(self.step)
