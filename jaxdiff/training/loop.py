"""`train(config)`: from a config to a finished run folder, resuming what is there."""

import contextlib
from pathlib import Path
from typing import Any

import jax

from jaxdiff.durable import is_full
from jaxdiff.training import hosts
from jaxdiff.training.cadence import Budget, Clock, Due
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.flops import step_flops
from jaxdiff.training.interrupt import Interrupt
from jaxdiff.training.look import Look
from jaxdiff.training.metrics_log import NAME as METRICS
from jaxdiff.training.metrics_log import Averager, MetricsLog, OnMetrics, is_measured
from jaxdiff.training.objective import extras
from jaxdiff.training.power_ema import PowerEMA
from jaxdiff.training.preview import sheet_path
from jaxdiff.training.progress import Progress
from jaxdiff.training.restore import CheckpointError
from jaxdiff.training.run import Run, open_run
from jaxdiff.training.sharding import on_one_device
from jaxdiff.training.snapshots import forget_after, write_snapshot

SHOWN = 10  # unreadable files that are named; `--check` lists all


class TrainingDiverged(RuntimeError):
    """Too many steps in a row had a loss or gradient that was not finite."""


def train(config: TrainConfig, *, on_metrics: OnMetrics | None = None) -> Path:
    """Train the run that `config` describes, from where its folder OUT/NAME stands; returns the folder.

    Of several hosts (`jaxdiff.training.hosts.joined`) each calls it with the same config and a folder that all see; process
    0 writes and speaks. Resuming is bitwise equal to an uninterrupted run (CPU; same cores, flags and versions; a budget of
    steps). SIGTERM, Ctrl-C and SIGHUP save and raise SystemExit (143, 130, 129). Raises ValueError for a folder of another
    config or data that do not fit, before anything is written; CheckpointError where checkpoints cannot be written or
    read; TrainingDiverged.

    on_metrics: called as `on_metrics(step, {name: number})`, on the first host, with each row of metrics.jsonl once it is
    written, those of validation among them. An exception in it is a warning that says the step, and the run goes on.
    """
    try:
        with contextlib.ExitStack() as stack:
            _Session(open_run(config, stack), stack, on_metrics).train()
    except OSError as error:
        if not is_full(error):
            raise
        raise CheckpointError(
            f"got a full disk while writing to {config.folder} ({error}); expected room for logs and checkpoints; to fix: "
            "free some space and run the same command again, it continues from the newest checkpoint"
        ) from error
    return config.folder


class _Session:
    """One session of a run: from the step where it stands until its budget is used or it is told to stop."""

    def __init__(self, run: Run, stack: contextlib.ExitStack, on_metrics: OnMetrics | None = None):
        """stack: closes the progress bar and the logs. on_metrics: as for `train`."""
        config = run.config
        self.run, self.config, self.step = run, config, int(run.state.step)
        if hosts.leader():
            forget_after(run.folder, self.step)
        self.budget = Budget(config.steps, config.minutes, run.spent)
        progress = Progress(self.budget, self.step, config.batch_size, shown=hosts.leader())
        self.progress = stack.enter_context(contextlib.closing(progress))
        every = {"save": config.checkpoint, "preview": config.preview, "validate": config.validation}
        self.clocks = {name: Clock(one) for name, one in every.items()}
        self.stack, self.on_metrics = stack, on_metrics

    def train(self) -> None:
        """Trains, saves and measures. Raises SystemExit where a signal ended it."""
        due = self._due()
        self.log = None
        if due.done:
            self._make_up()
            self.progress.say(f"{self.run.folder} is complete at step {self.step}; for more, raise steps or minutes")
            return
        self._open_log()
        with Interrupt() as interrupt:
            self._announce()
            self.look = Look(self.run)
            self._steps(interrupt, due)
        if interrupt.signum is not None:
            self.progress.say(f"stopped at step {self.step}, saved in {self.run.folder}; the same command continues")
            raise interrupt.exit()

    def _open_log(self) -> None:
        if hosts.leader():
            log = MetricsLog(self.run.folder, self.step, self.on_metrics)
            self.log = self.stack.enter_context(contextlib.closing(log))

    def _make_up(self) -> None:
        """What a run that was killed between its last checkpoint and its end lacks: the last validation and preview."""
        config, folder = self.config, self.run.folder
        validate = bool(config.validation_images and len(self.run.data.validation))
        validate = validate and not is_measured(folder / METRICS, self.step)
        preview = bool(config.previews) and not sheet_path(folder, self.step).is_file()
        validate, preview = hosts.decided([validate, preview])
        if validate or preview:
            self._open_log()
            self.run.state = self.run.step.place(self.run.state)
            self.look = Look(self.run)
            self._measure(validate, preview)

    def _announce(self) -> None:
        where = "from the start" if self.step == 0 else f"from step {self.step}"
        several = f" of {jax.process_count()} hosts" if jax.process_count() > 1 else ""
        devices = f"{jax.device_count()} {jax.devices()[0].device_kind}{several}"
        self.progress.say(f"training {self.run.folder} {where} on {devices}")
        data = self.run.data
        if not len(data.validation):
            self.progress.say("no images are held out: no validation loss, and samples/real.png shows training images")
        for note in (*self.run.known.notes(), *data.notes):
            self.progress.say(note)
        if data.skipped:
            self.progress.say(f"{len(data.skipped)} files left out:\n  " + "\n  ".join(data.skipped[:SHOWN]))

    def _steps(self, interrupt: Interrupt, due: Due) -> None:
        run, config = self.run, self.config
        average, start = Averager(run.window), self.step
        while not due.done and not interrupt.caught(self.step):
            batch = next(run.batches)
            run.state, metrics = run.step(run.state, batch, run.key, due.fraction, run.teacher)
            self.step += 1
            self._watch(average.push(metrics))
            if self.step == start + 1:
                self._after_compilation(batch)
            if self.step % config.log_every == 0:
                self._report(average.take())
            due = self._due()
            if not due.done:
                self._measure(due.validate, due.preview)
                if config.power_ema and self.step % config.power_ema.every == 0:
                    self._snapshot(config.power_ema)  # before the checkpoint, behind which it would not be made again
                if due.save:
                    self._save(average)
                    self.progress.restart(self.step)
            self.progress.show(self.step)
        stopped = interrupt.signum is not None
        if self.step % config.log_every and not stopped:
            self._report(average.row())  # a run that is given more steps writes the row over all of them, too
        if config.power_ema and not stopped:
            self._snapshot(config.power_ema)
        self._save(average, wait=True)
        if not stopped:
            self._measure(True, True)

    def _due(self) -> Due:
        """What the leader's clocks say, the same on all hosts."""
        now = {name: clock.due(self.step) for name, clock in self.clocks.items()}
        now |= {"fraction": self.budget.fraction(self.step), "done": self.budget.done(self.step)}
        return Due(**hosts.decided(now))

    def _after_compilation(self, batch: Any) -> None:
        if hosts.leader():
            run, state = self.run, self.run.state
            also = extras(run.loss, state.ema, run.teacher, state.step)
            network, size = self.config.network, self.config.batch_size
            self.progress.flops = step_flops(run.loss, network, params=state.params, batch=batch, size=size, also=also)
        jax.block_until_ready(self.run.state.step)
        self.progress.restart(self.step)

    def _watch(self, metrics: dict[str, Any] | None) -> None:
        if metrics is not None and metrics["skipped_in_row"] >= self.config.max_skipped:
            raise TrainingDiverged(
                f"got {self.config.max_skipped} steps in a row, up to step {self.step}, with a loss or gradient that "
                "is not finite; expected finite ones (none of these steps was applied); to fix: a lower "
                "--optimizer.learning-rate or a longer warm-up, under another --name"
            )

    def _report(self, row: dict[str, float]) -> None:
        applied = self.step - int(row.get("skipped", 0))
        if unreadable := self.run.loader.unreadable:
            row["unreadable"] = len(unreadable)
        if (rate := getattr(self.config.optimizer, "rate", None)) is not None:
            row["learning_rate"] = float(rate(applied - 1, self.budget.fraction(self.step - 1)))
        self._watch({"skipped_in_row": row["skipped_in_row"]})
        self.progress.update(self.step, row)
        if self.log is not None:
            self.log.write(self.step, row)

    def _save(self, average: Averager, *, wait: bool = False) -> None:
        self.run.save(self.step, self.budget.seconds(), average.window(), wait=wait)

    def _snapshot(self, power_ema: PowerEMA) -> None:
        state = self.run.state
        averages = on_one_device(state.power_ema)
        if hosts.leader():
            write_snapshot(self.run.folder, self.step, self.step - int(state.skipped), averages, power_ema)
        hosts.decided("kept averages")
        self.progress.restart(self.step)

    def _measure(self, validate: bool, preview: bool) -> None:
        if self.look.due(validate, preview):
            self.look(self.step, self.log, validate, preview, self.progress.say)
            self.progress.restart(self.step)
