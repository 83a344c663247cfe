"""A run that is open: its data, program, loader and state, where its folder stands."""

import contextlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from jaxdiff.data.config import open_data
from jaxdiff.data.dataset import Dataset
from jaxdiff.data.loader import Loader
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairs import with_levels
from jaxdiff.durable import write_json
from jaxdiff.lock import is_lock, only_writer
from jaxdiff.plain import flat, own_parts
from jaxdiff.seeds import key_of
from jaxdiff.training import hosts
from jaxdiff.training.batch import to_batch
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.environment import changes, environment
from jaxdiff.training.fine_tune import start_from
from jaxdiff.training.known_data import KnownData, know, read_known
from jaxdiff.training.objective import Loss, check_loss
from jaxdiff.training.prefetch import Prefetch
from jaxdiff.training.preview import sheet_solver
from jaxdiff.training.restore import steps
from jaxdiff.training.run_folder import check_class_names, check_config, describe, read_pairing, read_run
from jaxdiff.training.same_task import check_same_task
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import Step, make_train_step
from jaxdiff.training.stored_config import check_round_trip
from jaxdiff.training.teacher import check_same_teacher, loss_of, teacher_checksum


@dataclass(eq=False)
class Run:
    """The parts of one run, made by `open_run`; what changes from step to step is `state`, `key` and `batches`."""

    config: TrainConfig
    data: Dataset
    known: KnownData
    loss: Loss
    teacher: Any
    """What the loss reads as its teacher, on the devices; None for most."""
    teacher_checksum: int | None
    step: Step
    loader: Loader
    batches: Prefetch
    """What the loader gives, on its way to the devices."""
    checkpoints: Checkpoints
    key: PRNGKeyArray
    """Of the steps."""
    key_validation: PRNGKeyArray
    key_preview: PRNGKeyArray
    state: TrainState
    spent: float
    """Seconds that earlier sessions used."""
    preview_solver: diffrax.AbstractSolver
    """Of the sheets of samples."""
    window: dict[str, Any] | None = None
    """The open window of the metrics (`metrics_log.Averager.window`), or None at the start."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.config.folder

    def examples(self, num: int) -> dict[str, Any]:
        """The first training examples, not augmented, as the loss takes them."""
        return _examples(self.config, self.data, num)

    def save(self, step: int, seconds: float, window: dict[str, Any], *, wait: bool = False) -> None:
        """A checkpoint of `step`, after `seconds` over all sessions; `window`: of the metrics, at this step."""
        meta = {
            "step": step,
            "key": np.asarray(jax.random.key_data(self.key)).tolist(),
            "loader": self.batches.get_state(),
            "seconds": seconds,
            "metrics": window,
            "config": self.config.to_json(),
            "normaliser": self.data.normaliser.to_json(),
            "environment": environment(),
            **({} if self.teacher_checksum is None else {"teacher": self.teacher_checksum}),
        }
        self.checkpoints.save(self.state, meta, wait=wait)


def open_run(config: TrainConfig, stack: contextlib.ExitStack) -> Run:
    """The run of `config`: new, or where the checkpoints in its folder stand.

    Parts are made in the order in which they can be refused, and nothing is written before the last of them was. stack:
    closes the lock, the loader and the checkpoints. Every host calls it. Raises what `train` raises.
    """
    check_round_trip(config)
    preview_solver = sheet_solver(config.preview_solver, config.network)
    stored = _stored(config, stack)
    loss, teacher = loss_of(config)
    checksum = teacher_checksum(teacher)
    hosts.check_alike({"checksum of the teacher": checksum})
    data, known_data = _known_data(config, stored)
    check_same_task(config, data)
    optimizer = config.optimizer.build()
    step = make_train_step(
        loss,
        optimizer,
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
    key_init, key, key_validation, key_preview = jax.random.split(key_of(config.seed), 4)
    part = jax.process_index(), jax.process_count()
    loader = _loader(config, data, config.batch_size, config.augment, part=part, workers=config.workers)
    stack.callback(loader.close)
    batches = Prefetch(loader, lambda loaded: step.place_batch(to_batch(loaded, config.network)), config.prefetch)
    tracked = len(config.power_ema.lengths) if config.power_ema else 0
    initial = (key_init, config.network, optimizer, _examples(config, data, 1, config.augment))
    like = TrainState.shapes(*initial, tracked=tracked)

    def create() -> TrainState:
        return TrainState.create(*initial, shardings=step.shardings(like), tracked=tracked)

    if config.loss is not None:
        check_loss(loss, config.network, like, initial[-1], teacher)
    fine_tuned = None
    if config.init_from is not None and not steps(config.folder / "checkpoints"):
        fine_tuned = start_from(create(), config.init_from, config.predicts, partial=config.init_partial)
    _write_description(config, data, known_data, new=stored is None)
    checkpoints = stack.enter_context(Checkpoints(config.folder / "checkpoints", config.keep, config.keep_every))
    restored = checkpoints.restore(like)
    if restored:
        state, meta = restored
        check_same_teacher(checksum, meta.get("teacher"), config.folder)
        # A checkpoint of before there was a window in it begins a new one.
        key, spent, window = _resumed(batches, known_data, meta), float(meta["seconds"]), meta.get("metrics")
    else:
        state, spent, window = create() if fine_tuned is None else fine_tuned, 0.0, None
    checkpoints.check_space(state)
    return Run(
        config=config,
        data=data,
        known=known_data,
        loss=loss,
        teacher=teacher if teacher is None else step.place_teacher(teacher),
        teacher_checksum=checksum,
        step=step,
        loader=loader,
        batches=batches,
        checkpoints=checkpoints,
        key=key,
        key_validation=key_validation,
        key_preview=key_preview,
        state=state,
        spent=spent,
        window=window,
        preview_solver=preview_solver,
    )


def _stored(config: TrainConfig, stack: contextlib.ExitStack) -> dict[str, Any] | None:
    """run.json of the locked folder; None for a new run. Raises ValueError where the folder is another run's, or no run's."""
    folder = config.folder
    devices = {"devices": jax.local_device_count(), "kind of device": jax.local_devices()[0].device_kind}
    hosts.check_alike({**hosts.described(config), **devices})
    if hosts.leader():
        stack.enter_context(only_writer(folder))
    hosts.wait("the run folder is locked")
    stored = read_run(folder) if (folder / "run.json").exists() else None
    foreign = stored is None and folder.exists() and not all(map(is_lock, folder.iterdir()))
    hosts.wait("all have looked at the run folder")
    if stored:
        check_config(config, stored, folder)
    elif foreign:
        raise ValueError(
            f"got the folder {folder}, which is not empty and holds no run.json; expected a run folder or none; to fix: "
            "choose another --name or --out"
        )
    return stored


def _known_data(config: TrainConfig, stored: dict[str, Any] | None) -> tuple[Dataset, KnownData]:
    """The open data, those of the run where it goes on. Raises ValueError for others, and where hosts see different ones."""
    before = read_known(config.folder) if stored else None
    data = open_data(
        config.data,
        config.patch,
        seed=config.seed,
        normaliser=Normaliser.from_json(stored["normaliser"], own_parts(config)) if stored else None,
        pairs=config.pairs,
        pairing=read_pairing(stored or {}, own_parts(config)),
        before=before if before and (config.other_data or before.accepted) else None,
    )
    check_class_names(config.network, data.info)
    known_data = know(config, config.folder, data, before, resumed=stored is not None)
    images = {"training": len(data.train), "held out": len(data.validation), "left out": len(data.skipped)}
    description = {"images": images, "info": data.info.to_json(), "normaliser": data.normaliser.to_json()}
    hosts.check_alike({f"data.{name}": value for name, value in flat(description).items()})
    hosts.check_alike({"data.files": known_data.checksum})
    return data, known_data


def _loader(config: TrainConfig, data: Dataset, size: int, augment: bool, **options: Any) -> Loader:
    return Loader(
        data.train,
        data.normaliser,
        patch=config.patch,
        batch_size=size,
        seed=config.seed,
        augment=augment,
        pairing=data.pairing,
        max_unreadable=config.max_unreadable,
        **options,
    )


def _examples(config: TrainConfig, data: Dataset, num: int, augment: bool = False) -> dict[str, Any]:
    """The first training examples, as the loss takes them."""
    return to_batch(next(_loader(config, data, num, augment, threads=0)), config.network)


def _write_description(config: TrainConfig, data: Dataset, known_data: KnownData, new: bool) -> None:
    """run.json of a new run, and which images it is made of."""
    if hosts.leader():
        if new:
            config.folder.mkdir(parents=True, exist_ok=True)
            data = with_levels(data, config.patch)
            description = describe(config, data.info, data.normaliser, data.pairing, data.levels)
            write_json(config.folder / "run.json", description)
        known_data.store(config.folder, config)
    hosts.wait("the run folder is there")


def _resumed(batches: Prefetch, known_data: KnownData, meta: dict[str, Any]) -> PRNGKeyArray:
    """Puts the loader where the checkpoint left it; returns the key of the steps."""
    position = meta["loader"]
    if known_data.accepted:  # draws go on from the same number, of other records
        position = {**batches.get_state(), "position": position["position"]}
    batches.set_state(position)
    if changed := changes(meta["environment"], environment()):
        warnings.warn(
            "this run resumes in another environment and may differ in the last digits from an undisturbed one: "
            + "; ".join(changed),
            stacklevel=4,
        )
    return jax.random.wrap_key_data(jnp.asarray(meta["key"], np.uint32))
