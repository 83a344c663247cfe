"""What to change in a network or a run, from what a chip's compiler says of it."""

from collections.abc import Sequence
from typing import Any

from jaxdiff.chips.search import Tried
from jaxdiff.chips.target import Target
from jaxdiff.nn.widths import unfilled

CLIFF = 1.15
"""Times the cost of an image at another batch from which it is said."""


def hints(target: Target, network: Any, tried: Sequence[Tried], *, training: bool, fsdp: int = 1) -> list[str]:
    """Sentences, the weightiest first; none where there is nothing to say."""
    shape = _of_network(target, network) if target.chip.kind != "cpu" else []
    return [*_of_memory(target, tried, training, fsdp), *shape, *_of_batches(tried), *_of_program(tried, fsdp)]


def _of_network(target: Target, network: Any) -> list[str]:
    said = []
    if getattr(network, "dtype", None) == "float32":
        said.append("the network computes in float32: --network.dtype bfloat16 is what matrix units are made for")
    return said + (unfilled(network) if target.chip.kind == "tpu" else [])


def _of_memory(target: Target, tried: Sequence[Tried], training: bool, fsdp: int) -> list[str]:
    memory, first = target.chip.memory, tried[0]
    if memory is None:
        return []
    used = first.estimate.memory / memory if first.estimate else None
    if used is not None and used < 0.85:
        return []
    how = f"takes {used:.0%} of a chip's memory" if used is not None else "does not fit into a chip's memory"
    if not training:
        return [f"batch {first.batch} {how}: a smaller --batch"]
    ways = ["--network.remat cheap", "--accumulate 2 (half of the activations at a time)"]
    if len(target.devices) > fsdp:
        ways.insert(0, f"--fsdp {min(2 * fsdp, len(target.devices))} (parameters, averages and optimiser cut)")
    return [f"batch {first.batch} {how}: {', or '.join(ways)}"]


def _of_batches(tried: Sequence[Tried]) -> list[str]:
    """Batches at which an image costs more, or less, than at the first."""
    costs = {one.batch: one.estimate.cost / one.batch for one in tried if one.fits and one.estimate}
    first = costs.get(tried[0].batch)
    if not first:
        return []
    lines = []
    for batch, cost in costs.items():
        if cost > CLIFF * first:
            lines.append(
                f"an image costs {cost / first:.2f} times as much at batch {batch} as at {tried[0].batch}: stay below"
            )
        elif first > CLIFF * cost:
            lines.append(
                f"an image costs {cost / first:.2f} times as much at batch {batch} as at {tried[0].batch}: go there"
            )
    return lines


def _of_program(tried: Sequence[Tried], fsdp: int) -> list[str]:
    estimate = next((one.estimate for one in tried if one.estimate), None)
    if estimate is None or not estimate.cost:
        return []
    lines = []
    number, cost = estimate.moves()
    if estimate.cycles is not None and cost > 0.15 * estimate.cost:
        where: dict[str, int] = {}
        for one in estimate.operations:
            if one.moves:
                where[one.layer or "elsewhere"] = where.get(one.layer or "elsewhere", 0) + one.cost
        dearest = sorted(where, key=lambda layer: -where[layer])[:3]
        lines.append(
            f"{number} kernels only move data, {cost / estimate.cost:.0%} of the cost, most in {', '.join(dearest)}"
        )
    unsharded = estimate.memory - estimate.arguments + fsdp * estimate.arguments
    if fsdp > 1 and estimate.chip.memory and unsharded < 0.5 * estimate.chip.memory:
        lines.append(
            f"the state fits whole ({unsharded / 1e9:.1f} GB of {estimate.chip.memory / 1e9:.0f} a chip): --fsdp 1 has no "
            "all-gathers"
        )
    return lines
