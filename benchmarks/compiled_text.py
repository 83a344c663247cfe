"""What the compiled sampler does around its products: transposes, copies and conversions of type inside the loop.

    python -m benchmarks.compiled_text [--networks own_64 cifar_32] [--least 4096]

Compiles the whole of `jd.sample` for this machine's device and lists, by the place in the program that they come from, all
operations of these kinds of `least` bytes or more in the optimised text, alone or inside a fusion. A CPU computes
bfloat16 in float32 and converts around every operation; there, what the program itself asks for is listed instead: the
conversions of one network call as it is handed to the compiler. docs/speed.md says what remains and why.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from benchmarks.command import command
from benchmarks.peers.networks import NETWORKS, Network
from benchmarks.store import Store
from jaxdiff.interop import DiffusersUNet
from jaxdiff.sampling.program import program
from jaxdiff.sampling.solve import on_rows

KINDS = ("transpose", "convert", "copy")
BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "s8": 1, "u8": 1, "pred": 1}
LINE = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (\w+)\[([\d,]*)\]\S* ([\w\-]+)\(%?([\w.\-]*)(.*)$")
CONVERT = re.compile(r"stablehlo\.convert .*tensor<((?:\d+x)*)(\w+)>\) -> tensor<(?:\d+x)*(\w+)>")


class Operation(NamedTuple):
    """One line of a text."""

    kind: str
    shape: tuple[int, ...]
    dtype: str
    """Of the result; "from to" for a conversion."""
    bytes: int
    """Of the result."""
    place: str
    """The modules of the network and the primitive, as far as the text tells."""


@dataclass(frozen=True)
class Options:
    """What is listed."""

    networks: tuple[str, ...] = ("own_64", "cifar_32")
    """Of `benchmarks.peers.networks.NETWORKS`."""
    batch: int = 4
    least: int = 4096
    """Bytes."""


def computations(text: str) -> dict[str, list[str]]:
    """Lines of each computation by its name."""
    by_name, name = {}, ""
    for line in text.splitlines():
        header = re.match(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$", line)
        if header:
            name = header.group(1)
            by_name[name] = []
        elif name:
            by_name[name].append(line)
    return by_name


def in_the_loop(text: str) -> list[str]:
    """Lines of all computations that a loop with a convolution runs."""
    every = computations(text)

    def below(name: str) -> set[str]:
        names, queue = set(), {name}
        while queue:
            names.add(name := queue.pop())
            pattern = r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)"
            queue |= {n for line in every[name] for n in re.findall(pattern, line) if n in every} - names
        return names

    bodies = {name for lines in every.values() for line in lines for name in re.findall(r"body=%?([\w.\-]+)", line)}
    heavy = [names for names in map(below, bodies) if any("conv_general_dilated" in l for n in names for l in every[n])]
    return [line for name in sorted(set().union(*heavy)) for line in every[name]]


def operations(lines: Iterable[str], least: int = 0) -> list[Operation]:
    """Transposes, conversions and copies of optimised text, of `least` bytes or more; a transposing copy counts once."""
    matches = [match for line in lines if (match := LINE.match(line))]
    results = {match[1]: (match[2], match[4]) for match in matches}
    listed = []
    for _, dtype, dims, kind, operand, rest in (match.groups() for match in matches):
        before, made_by = results.get(operand, ("", ""))
        if kind not in KINDS or (kind == "copy" and made_by == "transpose"):
            continue
        shape = tuple(int(size) for size in dims.split(",") if size)
        size = int(np.prod(shape, dtype=np.int64)) * BYTES.get(dtype, 4)
        path = re.search(r'op_name="([^";]*)', rest)
        parts = [part for part in (path[1] if path else "").split("/") if part and "(" not in part]
        place = "/".join([part for part in parts if part not in ("while", "body", "outer-loop")][-3:])
        if size >= least:
            listed.append(
                Operation(kind, shape, f"{before} {dtype}".strip() if kind == "convert" else dtype, size, place)
            )
    return listed


def conversions(text: str, least: int = 0) -> list[Operation]:
    """Conversions of type in StableHLO: what a program asks for, before any compiler."""
    listed = []
    for dims, before, after in CONVERT.findall(text):
        shape = tuple(int(size) for size in dims.split("x") if size)
        size = int(np.prod(shape, dtype=np.int64)) * {"bf16": 2, "f64": 8, "i64": 8}.get(after, 4)
        if size >= least:
            listed.append(Operation("convert", shape, f"{before} {after}", size, ""))
    return listed


def sampler(denoise: Any, shape: tuple[int, ...], batch: int, calls: int = 4) -> Any:
    """The whole of `jd.sample` with DPM-Solver++(2M), lowered for the device."""
    solve = on_rows(jd.DPMpp(2), jd.grids.uniform_lam(jd.Cosine(), calls))
    return program.lower(solve, denoise, jax.random.key(0), (np.arange(batch), None, None), None, shape, jnp.float32)


def network_call(denoise: Any, shape: tuple[int, ...], batch: int) -> Any:
    """One call of the denoiser on a batch, lowered for the device."""
    return jax.jit(jax.vmap(denoise, in_axes=(0, None))).lower(jnp.zeros((batch, *shape)), jnp.float32(0.0))


def denoiser(network: Network, dtype: str) -> Any:
    """The network with parameters of zero."""
    if network.own:
        module: Any = jd.UNet(**{k: v for k, v in network.config.items() if k != "channels"}, dtype=dtype)
    else:
        module = DiffusersUNet.from_config(network.config, dtype=dtype)
    x = jnp.zeros((1, network.size, network.size, network.channels))
    shapes = jax.eval_shape(module.init, jax.random.key(0), x, jnp.zeros(1))
    return jd.bind(module, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes), "v")


def table(listed: list[Operation]) -> list[dict[str, Any]]:
    """Equal operations together, the largest in sum first."""
    counted = Counter(listed)
    rows = [{**o._asdict(), "shape": list(o.shape), "count": n, "bytes": n * o.bytes} for o, n in counted.items()]
    return sorted(rows, key=lambda row: -row["bytes"])


def main(options: Options) -> None:
    cpu = jax.default_backend() == "cpu"
    results = {}
    for name in options.networks:
        network = NETWORKS[name]
        shape = (network.size, network.size, network.channels)
        for dtype in ("float32", "bfloat16"):
            denoise = denoiser(network, dtype)
            if cpu and dtype == "bfloat16":
                listed = conversions(network_call(denoise, shape, options.batch).as_text(), options.least)
            else:
                text = sampler(denoise, shape, options.batch).compile().compiled.as_text()
                listed = operations(in_the_loop(text), options.least)
            results[f"{name} {dtype}"] = rows = table(listed)
            print(f"{name} {dtype}: {len(listed)} operations, {1e-6 * sum(o.bytes for o in listed):.1f} MB")
            for row in rows[:20]:
                what = f"{row['count']:3}x {row['kind']:9} {row['dtype']} {row['shape']} {row['place']}"
                print(f"  {1e-6 * row['bytes']:8.2f} MB  {what}")
    store = Store("compiled_text")
    store.write({"machine": store.machine(), "batch": options.batch, "operations": results})


if __name__ == "__main__":
    command(main, __doc__)
