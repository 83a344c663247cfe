"""Texts as two compilers wrote them: three times silu(x w), turned, with w gathered from four devices before."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxdiff.chips import CHIPS, target
from jaxdiff.chips.estimate import _useful, estimate, of_text
from jaxdiff.chips.text import collectives, read, size
from jaxdiff.nn import lanes

IMAGE, WEIGHTS = 128 * 256 * 2, 256 * 256 * 2
"""Bytes on a device, of bfloat16."""


def text(chip):
    return (Path(__file__).parent / f"{chip}.txt").read_text()


@pytest.fixture(scope="module")
def v5e():
    return of_text(text("v5e"), CHIPS["v5e"], flops=2 * 128 * 256 * 256, arguments=10, temporaries=20, memory=40)


@pytest.fixture(scope="module")
def h200():
    return of_text(text("h200"), CHIPS["h200"], flops=2 * 128 * 256 * 256, arguments=10, temporaries=20, memory=40)


def test_cycles_are_those_written_beside_operations_and_a_loop_counts_once(v5e):
    assert v5e.cycles == 2450 + 100 + 2114 + 2166 + 2166 == v5e.cost
    assert v5e.seconds == pytest.approx(8996 / 1.5e9)
    assert v5e.share == pytest.approx(2 * 128 * 256 * 256 / 197e12 / v5e.seconds)


def test_costs_lie_in_layers_by_the_names_that_jax_gave(v5e):
    assert v5e.layers() == {"elsewhere": 4332, "Net/dense": 2550, "Net/turn": 2114}
    assert v5e.kinds() == {"elsewhere": 4332, "dense": 2550, "turn": 2114}
    assert v5e.moves() == (4, 8996 - 2450)


@pytest.mark.parametrize("chip", ["v5e", "h200"])
def test_collectives_count_once_with_the_bytes_of_what_they_return(chip, request):
    assert request.getfixturevalue(chip).collectives == {"all-gather": (1, WEIGHTS)}


def test_a_collective_that_is_spread_over_kernels_counts_once():
    program = """
%fused.1 (p: bf16[64,64]) -> bf16[256,64] {
  %p = bf16[64,64]{1,0} parameter(0)
  ROOT %all-gather.1 = bf16[256,64]{1,0} all-gather(%p), channel_id=1, frontend_attributes={chain_id="3"}
}

%fused.2 (p: bf16[64,64]) -> bf16[256,64] {
  %p = bf16[64,64]{1,0} parameter(0)
  ROOT %all-gather.2 = bf16[256,64]{1,0:S(1)} all-gather(%p), channel_id=1, frontend_attributes={chain_id="3"}
}

ENTRY %main (p: bf16[64,64]) -> bf16[256,64] {
  %p = bf16[64,64]{1,0} parameter(0)
  %async-collective-start = bf16[256,64]{1,0} fusion(%p), kind=kCustom, calls=%fused.1
  %fusion.2 = bf16[256,64]{1,0} fusion(%async-collective-start), kind=kCustom, calls=%fused.2
  %all-gather.3 = bf16[256,64]{1,0} all-gather(%p), channel_id=1
  ROOT %reduce-scatter.1 = bf16[64,64]{1,0} reduce-scatter(%all-gather.3), channel_id=2, to_apply=%add
}
"""
    assert collectives(program) == {"all-gather": (2, 2 * 256 * 64 * 2), "reduce-scatter": (1, 64 * 64 * 2)}


def test_without_cycles_the_bytes_of_every_kernel_count(h200):
    partial = 8 * 128 * 256 * 4
    product = IMAGE + WEIGHTS + partial
    turned = partial + IMAGE
    gathered, copied, counters = WEIGHTS // 4 + WEIGHTS, 2 * IMAGE, 8 + 8 + 5
    assert h200.cycles is None
    assert h200.bytes == product + turned + gathered + copied + counters == h200.cost
    assert h200.seconds == pytest.approx(h200.bytes / 4.8e12)


def test_what_lies_in_fast_memory_is_not_read_from_the_main_one(v5e):
    lines = {line.name: line for line in read(text("v5e"))}
    assert lines["divide_multiply_fusion.2"].bytes == 0
    assert lines["copy.6"].bytes == lines["copy.7"].bytes == IMAGE
    assert lines["copy-start"].bytes == WEIGHTS // 4
    assert v5e.bytes < 3 * IMAGE + WEIGHTS


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("bf16[2,3]{1,0}", 12),
        ("(f32[4]{0:T(128)}, pred[], s8[3]{0})", 20),
        ("f8e4m3fn[10]", 10),
        ("u64[2]", 16),
        ("c64[2]", 16),
    ],
)
def test_bytes_of_shapes(shape, expected):
    assert size(shape) == expected
    assert size(shape.replace("{0:T(128)}", "{0:T(128)S(1)}")) == expected - (16 if "T(128)" in shape else 0)


def test_a_program_of_this_machine(v5e):
    here = target("cpu:1")
    whole = NamedSharding(here.mesh(), PartitionSpec())
    array = jax.ShapeDtypeStruct((64, 64), jnp.float32, sharding=whole)
    found = estimate(jax.jit(lambda a, b: a @ b).trace(array, array), here)
    assert found.flops == 2 * 64**3
    assert found.arguments == 2 * 64 * 64 * 4
    assert found.memory >= 3 * 64 * 64 * 4
    assert found.seconds is None
    assert found.share is None
    assert {*found.to_json()} == {*v5e.to_json()}


def test_products_with_zeros_are_no_work():
    """`nn.lanes` convolves folded pixels on a TPU, of which half see zeros: counted are those of the plain convolution."""
    x, kernel = jax.ShapeDtypeStruct((8, 16, 64), jnp.bfloat16), jax.ShapeDtypeStruct((3, 3, 64, 64), jnp.bfloat16)
    traced = jax.jit(lanes.same).trace(x, kernel)
    on_tpu = traced.lower(lowering_platforms=("tpu",))

    class Compiled:
        def cost_analysis(self):
            return {"flops": 4e9}

    share = _useful(traced, on_tpu, Compiled()) / 4e9
    # Of the three taps along the folded axis no zeros beyond the edges are counted.
    plain, folded = 64 * 64 * (3 * 16 - 2), 128 * 128 * (3 * 8 - 2)
    assert share == pytest.approx(plain / folded, rel=0.01)
