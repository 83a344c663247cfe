"""`jaxdiff plan CONFIG|RUN --on v5e:16x16`: what a slice's compiler says of a training step or sampler, without the slice."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import tyro

from jaxdiff.chips import Target, programs, target
from jaxdiff.chips.hints import hints
from jaxdiff.chips.search import Tried, search
from jaxdiff.config import load_config, override
from jaxdiff.data.config import open_data
from jaxdiff.loading import load
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.leaves import variable_shapes
from jaxdiff.training.teacher import loss_of

IMAGES = 64
"""A chip, of a sampler."""


@dataclass(frozen=True)
class Plan:
    """What a slice of TPU or GPU chips would make of a config's training step or a run's sampler, by its compiler's word:
    whether it compiles and fits, the largest batch, memory, time, collectives, and what to change. No chip is needed, only
    the compiler (extras tpu and cuda). Options of the config, such as --fsdp 8 or --network.width 128, may follow."""

    what: Annotated[Path, tyro.conf.Positional]
    """A config file (.py): its training step; or the folder of a run: its sampler."""
    on: str
    """The slice, such as v5e:16x16, v6e:2x2, v5p:4x4x4, h200:8, cpu:8."""
    batch: int | None = None
    """Training: images a step over all chips, default the config's. Sampling: images a chip, default 64."""
    compiles: int = 4
    """At most so many programs are compiled (1 to 4 minutes each for a TPU on two cores); 1 = that batch only."""
    channels: int | None = None
    """Of an image of the config's data, so that the data are not opened."""
    calls: int | None = None
    """Network calls of the sampler; default 2 of a model that was trained for few, else 20."""
    allow: tuple[str, ...] = ()
    """Packages, or paths of .py files, of your own whose classes the run may name: their code runs."""


class Program(NamedTuple):
    """What is compiled for each batch."""

    about: str
    network: Any
    trace: Callable[[int], jax.stages.Traced]
    batch: int
    unit: int
    """Batches are multiples of it."""
    chips: int
    """That share a batch."""
    calls: int
    """How often the counted body of the program runs."""
    training: bool
    fsdp: int = 1


def plan(options: Plan, config_options: list[str], prog: str = "jaxdiff plan") -> list[Tried]:
    """Compiles, and prints what there is to say; returns the batches that were tried.

    Raises ValueError for a slice that is not known or whose compiler is not here, and for options that do not fit, before
    anything is compiled; FileNotFoundError where there is neither config nor run.
    """
    for name in ("batch", "compiles", "channels", "calls"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ValueError(f"got --{name} {value}; expected at least 1; to fix: leave it out")
    where = target(options.on)
    if options.what.suffix == ".py":
        config = override(load_config(options.what), config_options, f"{prog} {options.what}")
        program = _training(options, config, where)
    elif config_options:
        raise ValueError(
            f"got {' '.join(config_options)} for the run {options.what}; expected options of plan only; to fix: leave them "
            "out, or name a config file"
        )
    else:
        program = _sampling(options, where)
    memory = f", {where.chip.memory / 1e9:.1f} GB each" if where.chip.memory else ""
    print(f"{where.name}: {len(where.devices)} devices{memory}. {program.about}")
    print("Estimates of its compiler, not measurements.", flush=True)
    tried = search(
        where,
        program.trace,
        program.batch,
        unit=program.unit,
        compiles=options.compiles,
        say=lambda one: print(_line(one, program, where), flush=True),
    )
    print(_largest(tried, where))
    if changes := hints(where, program.network, tried, training=program.training, fsdp=program.fsdp):
        when = "" if program.training else " (of the network: when the next one is trained)"
        print("\n".join([f"to change{when}:", *(f"  {hint}" for hint in changes)]))
    return tried


def _training(options: Plan, config: TrainConfig, where: Target) -> Program:
    channels = options.channels
    if channels is None:
        data = open_data(config.data, config.patch, config.seed, pairs=config.pairs)
        channels = data.info.channels
    shape = (*config.patch, channels)
    batch: dict[str, Any] = {"image": np.zeros((1, *shape), np.float32)}
    if cond := programs.conditions(config.network, 1, config.patch):
        batch["cond"] = cond
    loss, teacher = loss_of(config)

    def trace(size: int) -> jax.stages.Traced:
        return programs.training_step(
            where,
            config.network,
            loss,
            config.optimizer.build(),
            batch,
            size=size,
            fsdp=config.fsdp,
            accumulate=config.accumulate,
            ema=config.ema,
            power_ema=config.power_ema,
            teacher=teacher,
        )

    chips = len(where.devices)
    about = f"Training step of {options.what}: images {' x '.join(map(str, shape))}, fsdp {config.fsdp}, accumulate "
    return Program(
        f"{about}{config.accumulate}, {type(config.network).__name__} of {_parameters(config.network, shape)}.",
        config.network,
        trace,
        batch=options.batch or config.batch_size,
        unit=chips * config.accumulate,
        chips=chips,
        calls=1,
        training=True,
        fsdp=config.fsdp,
    )


def _sampling(options: Plan, where: Target) -> Program:
    model = load(options.what, allow=options.allow)
    calls = model.calls if options.calls is None else options.calls

    def trace(images: int) -> jax.stages.Traced:
        return programs.sampler(
            where,
            model.denoise,
            model.shape,
            images,
            solver=model.solver,
            grid=model.grid(calls),
            cond=lambda num: programs.conditions(model.network, num, model.shape[:-1]),
        )

    size = " x ".join(map(str, model.shape))
    solver = "MeanFlow" if model.few_calls else "DPM-Solver++(2M)"
    about = f"Sampler of {options.what}: images {size}, {solver}, {calls} calls, "
    return Program(
        f"{about}{type(model.network).__name__} of {_parameters(model.network, model.shape)}.",
        model.network,
        trace,
        batch=options.batch or IMAGES,
        unit=1,
        chips=1,
        calls=calls,
        training=False,
    )


def _parameters(network: Any, shape: tuple[int, ...]) -> str:
    number = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(variable_shapes(network, shape)))
    return f"{number / 1e6:.1f} M parameters"


def _line(tried: Tried, program: Program, where: Target) -> str:
    """One batch."""
    each = tried.batch / program.chips
    name = f"batch {tried.batch}" + (f" ({each:g} a chip)" if program.training else " a chip")
    estimate, memory = tried.estimate, where.chip.memory
    if estimate is None:
        return f"  {name}: does not fit; compiled in {tried.seconds:.0f} s"
    parts = [f"{estimate.memory / 1e9:.2f} GB" + (f" of {memory / 1e9:.1f}" if memory else "") + " a chip"]
    if estimate.cycles is not None:
        parts.append(f"{estimate.cycles / 1e6:.1f} M cycles")
    if estimate.seconds is not None:
        often = program.calls * estimate.seconds
        parts += [f"{1000 * often:.1f} ms", f"{each / often:.0f} images/s a chip"]
    if estimate.share is not None:
        parts.append(f"{estimate.share:.0%} of peak")
    collectives = [f"{count} {kind} ({size / 1e6:.1f} MB)" for kind, (count, size) in estimate.collectives.items()]
    parts += [", ".join(collectives) or "no collectives", f"compiled in {tried.seconds:.0f} s"]
    return f"  {name}: {'fits' if tried.fits else 'does not fit'}; {'; '.join(parts)}"


def _largest(tried: list[Tried], where: Target) -> str:
    fitting, other = [one.batch for one in tried if one.fits], [one.batch for one in tried if not one.fits]
    if where.chip.memory is None:
        return "largest batch that fits: not known, as this machine's memory is not a chip's"
    if not fitting:
        return f"nothing fits: {', '.join(map(str, other))} tried"
    above = min((batch for batch in other if batch > max(fitting)), default=None)
    beyond = f"{above} does not" if above else "larger ones were not tried"
    return f"largest batch that fits: {max(fitting)} (by steps of two; {beyond})"


def main(args: list[str], prog: str = "jaxdiff plan") -> int:
    """The command: options from `args`, what is left over overrides the config; exit status 1 where nothing fits."""
    options, rest = tyro.cli(Plan, prog=prog, args=args, return_unknown_args=True)
    return 0 if any(one.fits for one in plan(options, rest, prog)) else 1
