"""What the compiled sampler moves around its products stays what docs/speed.md says."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from benchmarks.compiled_text import conversions, in_the_loop, network_call, operations, sampler

SHAPE, BATCH = (16, 16, 3), 2
STATE = BATCH * np.prod(SHAPE)


@pytest.fixture(scope="module")
def denoisers():
    def build(dtype):
        network = jd.UNet(
            width=8, multipliers=(1, 2), blocks=1, attention=(False, True), head_size=8, patch_size=2, dtype=dtype
        )
        shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *SHAPE)), jnp.zeros(1))
        return jd.bind(network, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes))

    return {dtype: build(dtype) for dtype in ("float32", "bfloat16")}


@pytest.fixture(scope="module")
def loops(denoisers):
    """Lines of the sampler's loop after XLA's passes, as a user's are; kernels are left as they come."""
    quick = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": True}
    return {
        dtype: in_the_loop(sampler(denoise, SHAPE, BATCH).lowered.compile(compiler_options=quick).as_text())
        for dtype, denoise in denoisers.items()
    }


def floats(found):
    return [o for o in found if re.search(r"f32|f64|bf16", o.dtype) and np.prod(o.shape) >= 64]


def test_float32_converts_nothing_and_transposes_for_attention_and_space_to_depth_only(loops):
    found = floats(operations(loops["float32"]))
    assert not [o for o in found if o.kind == "convert"]
    moved = [o for o in found if o.kind == "transpose"]
    elsewhere = [o for o in moved if not re.search(r"attention|down1", o.place) and np.prod(o.shape) != STATE]
    assert not elsewhere
    for block in ("down1_block0", "middle", "up1_block0"):  # queries, keys, values, weights, output
        assert 0 < len([o for o in moved if f"{block}_attention" in o.place]) <= 5
    assert all(np.prod(o.shape) == STATE for o in found if o.kind == "copy")


def test_bfloat16_rounds_the_state_once_and_each_kernel_before_the_loop(denoisers, loops):
    found = conversions(network_call(denoisers["bfloat16"], SHAPE, BATCH).as_text())
    assert [o.dtype for o in found if np.prod(o.shape) == STATE] == ["f32 bf16"]
    kernels = [o.shape for o in found if o.shape[:2] == (3, 3)]
    assert len(kernels) == 11  # all 3x3 convolutions but the last, which stays float32
    assert not [o for o in operations(loops["bfloat16"]) if o.kind == "convert" and o.shape[:2] == (3, 3)]


def test_the_state_is_float32_under_a_bfloat16_network(denoisers):
    text = sampler(denoisers["bfloat16"], SHAPE, BATCH).lowered.as_text()
    carried = " ".join(re.findall(r"stablehlo\.while\([^\n]*", text))
    size = "x".join(map(str, (BATCH, *SHAPE)))
    assert f"tensor<{size}xf32>" in carried
    assert f"tensor<{size}xbf16>" not in carried


def test_what_is_in_a_text_is_found():
    text = """
%moving (p: f32[8,8]) -> f32[8,8] {
  %p.1 = f32[8,8]{1,0} parameter(0)
  %turned = f32[8,8]{0,1} transpose(%p.1), dimensions={1,0}, metadata={op_name="jit(f)/while/body/Net/turn"}
  ROOT %copied = f32[8,8]{1,0} copy(%turned)
}

%body.1 (state: f32[8,8]) -> f32[8,8] {
  %state = f32[8,8]{1,0} parameter(0)
  %half = bf16[8,8]{1,0} convert(%state)
  %product = bf16[8,8]{1,0} fusion(%half), calls=%other, metadata={op_name="jit(f)/conv_general_dilated"}
  ROOT %end = f32[8,8]{1,0} fusion(%product), kind=kLoop, calls=%moving
}

ENTRY %main (x: f32[8,8]) -> f32[8,8] {
  %x = f32[8,8]{1,0} parameter(0)
  %outside = f16[8,8]{1,0} convert(%x)
  ROOT %w = f32[8,8]{1,0} while(%x), condition=%cond, body=%body.1
}
"""
    found = {(o.kind, o.dtype, o.bytes, o.place) for o in operations(in_the_loop(text))}
    assert found == {("transpose", "f32", 256, "Net/turn"), ("convert", "f32 bf16", 128, "")}
    asked = "%3 = stablehlo.convert %2 : (tensor<2x8xf32>) -> tensor<2x8xbf16>"
    assert [(o.shape, o.dtype, o.bytes) for o in conversions(asked)] == [((2, 8), "f32 bf16", 32)]
