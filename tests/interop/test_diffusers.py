"""Parity with diffusers on toys that it made (benchmarks/peers/toy_diffusers.py), and what a folder may get wrong."""

import functools
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jaxdiff as jd
from jaxdiff import predictions
from jaxdiff.interop import DiffusersUNet, load_diffusers
from jaxdiff.interop.diffusers import TimeLabel
from jaxdiff.interop.diffusers_scheduler import schedule_of, zero_terminal
from jaxdiff.interop.diffusers_weights import FILE

TOYS = Path(__file__).parent / "toys"
SOLVERS = {"DDIM": jd.DDIM(), "DPM++2M": jd.DPMpp(order=2)}
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(params=["ddpm", "adm"])
def toy(request):
    """(folder, model, conditions, diffusers' arrays)"""
    folder = TOYS / request.param
    arrays = np.load(folder / "results.npz")
    cond = {"label": jnp.arange(3)} if request.param == "adm" else None
    return folder, load_diffusers(folder), cond, arrays


@pytest.fixture
def copy(tmp_path):
    """A toy that a test may damage."""
    return Path(shutil.copytree(TOYS / "ddpm", tmp_path / "ddpm"))


def edit(path: Path, **fields) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def difference(ours, theirs) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def test_calls_are_those_of_diffusers(toy):
    _, model, cond, arrays = toy
    x = jnp.asarray(arrays["start"])
    call = quick_jit(model.denoise.network.apply)
    for label in (0, 400, 999):
        y = call(model.denoise.params, x, jnp.full(3, float(label)), cond)
        assert difference(y[..., : x.shape[-1]], arrays[f"call_{label}"]) < 1e-5


def test_trajectories_are_those_of_diffusers(toy):
    _, model, cond, arrays = toy
    start = arrays["start"]
    grid = jd.grids.discrete(model.schedule, 8, "trailing")
    run = dict(shape=model.shape, num=3, grid=grid, cond=cond, start=start)
    for name, solver in SOLVERS.items():
        images = jd.sample(jax.random.key(0), model.denoise, solver=solver, **run).images
        assert difference(images, arrays[name]) < 1e-5


def test_attention_is_read_under_its_old_names(copy):
    weights = copy / "unet" / FILE
    arrays = load_file(weights)
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        arrays = {name.replace(f".{new}.", f".{old}."): array for name, array in arrays.items()}
    assert any("proj_attn" in name for name in arrays)
    expected = load_diffusers(copy).denoise.params
    save_file(arrays, weights)
    jax.tree.map(np.testing.assert_array_equal, load_diffusers(copy).denoise.params, expected)


def test_half_precision_weights_are_read_and_bfloat16_is_close(copy):
    exact = load_diffusers(copy)
    weights = copy / "unet" / FILE
    save_file({name: array.astype(jnp.bfloat16) for name, array in load_file(weights).items()}, weights)
    rounded = load_diffusers(copy, dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(rounded.denoise.params)} == {jnp.dtype("float32")}
    x = jax.random.normal(jax.random.key(0), exact.shape)
    y, z = (quick_jit(lambda denoise: denoise(x, 0.0))(model.denoise) for model in (exact, rounded))
    assert y.dtype == z.dtype == jnp.float32
    assert 0 < float(jnp.sqrt(jnp.mean((y - z) ** 2) / jnp.mean(y**2))) < 0.03


def test_the_model_folder_alone_needs_schedule_and_prediction(copy):
    whole = load_diffusers(copy)
    shutil.rmtree(copy / "scheduler")
    with pytest.raises(FileNotFoundError, match="pass schedule= and predicts="):
        load_diffusers(copy)
    alone = load_diffusers(copy / "unet", schedule=whole.schedule, predicts="v")
    assert type(alone.denoise.predicts) is predictions.V
    np.testing.assert_array_equal(alone.denoise.time.lams, whole.denoise.time.lams)


def test_new_weights_are_no_new_trace(copy):
    traces = []

    @quick_jit
    def call(denoise, x):
        traces.append(1)
        return denoise(x, jnp.float32(0.0))

    first, second = load_diffusers(copy), load_diffusers(copy)
    call(first.denoise, jnp.zeros(first.shape))
    call(second.denoise, jnp.zeros(first.shape))
    assert len(traces) == 1


def test_time_labels_are_the_trained_steps_exactly_and_linear_between():
    schedule = jd.DiscreteBetas(np.linspace(1e-4, 0.02, 1000))
    label = jax.jit(jax.vmap(TimeLabel(schedule)))
    np.testing.assert_array_equal(label(jnp.asarray(schedule.lams)), np.arange(1000))
    halfway = (schedule.lams[1:] + schedule.lams[:-1]) / 2
    np.testing.assert_allclose(label(jnp.asarray(halfway)), np.arange(999) + 0.5, atol=1e-3)


@pytest.mark.parametrize(
    ("config", "betas"),
    [
        ({"beta_schedule": "linear", "beta_start": 0.01, "beta_end": 0.09}, [0.01, 0.05, 0.09]),
        ({"beta_schedule": "scaled_linear", "beta_start": 0.01, "beta_end": 0.09}, [0.01, 0.04, 0.09]),
        ({"trained_betas": [0.1, 0.2]}, [0.1, 0.2]),
    ],
)
def test_schedules(config, betas):
    config = {"num_train_timesteps": 3, **config}
    np.testing.assert_allclose(schedule_of(config).betas, betas, rtol=1e-12)


def test_cosine_betas_end_at_their_limit():
    schedule = schedule_of({"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 50})
    assert schedule.betas[-1] == 0.999
    alpha_bar = np.cos((np.arange(51) / 50 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(np.cumprod(1 - schedule.betas[:-1]), alpha_bar[1:-1] / alpha_bar[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "start", "end", "root"),
    [
        *(
            (name, 1e-4, 0.02, False)
            for name in ("DDPM", "DDIM", "PNDM", "DPMSolverMultistep", "EulerDiscrete", "FlaxDDPM")
        ),
        *((name, 0.00085, 0.012, False) for name in ("HeunDiscrete", "KDPM2Discrete", "DPMSolverSDE")),
        ("LCM", 0.00085, 0.012, True),
    ],
)
def test_what_a_config_leaves_out_is_its_classs_default(name, start, end, root):
    expected = np.linspace(start**0.5, end**0.5, 1000) ** 2 if root else np.linspace(start, end, 1000)
    for more in (
        {},
        {"clip_sample": True, "thresholding": True, "timestep_spacing": "trailing", "variance_type": "learned"},
    ):
        np.testing.assert_allclose(schedule_of({"_class_name": f"{name}Scheduler", **more}).betas, expected, rtol=1e-12)
    other = schedule_of(
        {"_class_name": f"{name}Scheduler", "num_train_timesteps": 10, "beta_end": 0.5, "beta_schedule": "linear"}
    )
    np.testing.assert_allclose(other.betas, np.linspace(start, 0.5, 10), rtol=1e-12)


def test_a_config_without_a_class_that_says_its_betas_is_ddpms():
    np.testing.assert_allclose(schedule_of({"beta_start": 0.01, "beta_end": 0.02}).betas, np.linspace(0.01, 0.02, 1000))


def test_sigmoid_betas():
    betas = schedule_of(
        {"beta_schedule": "sigmoid", "num_train_timesteps": 3, "beta_start": 0.1, "beta_end": 0.3}
    ).betas
    low = 0.2 / (1 + np.e**6)
    np.testing.assert_allclose(betas, [0.1 + low, 0.2, 0.3 - low], rtol=1e-12)


def test_zero_terminal_betas_keep_the_first_and_end_in_noise():
    """√ᾱ of the rescaled table is a + b √ᾱ of the old one, 0 at the end and the old one at the start."""
    betas = np.linspace(0.01, 0.2, 20)
    new = zero_terminal(betas)
    old_root, root = (np.sqrt(np.cumprod(1 - one)) for one in (betas, new))
    assert new[-1] == 1
    np.testing.assert_allclose(root[[0, -1]], [old_root[0], 0], atol=1e-12)
    slope = np.diff(root) / np.diff(old_root)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-9)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"beta_schedule": "laplace"},
        {"num_train_timesteps": 1000, "shift": 3.0},
        *(
            {"_class_name": f"{name}Scheduler"}
            for name in ("EDMEuler", "FlowMatchEulerDiscrete", "KarrasVe", "ScoreSdeVe", "Odd")
        ),
        {"_class_name": "EDMEulerScheduler", "sigma_min": 0.002, "sigma_max": 80.0, "prediction_type": "v_prediction"},
        {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True},
        {"beta_schedule": "linear", "rescale_betas_zero_snr": True},
    ],
)
def test_schedules_that_are_no_betas_are_refused(config):
    with pytest.raises(ValueError, match=r"got .*; expected .*; to fix: pass schedule="):
        schedule_of(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"beta_start": "0.1"}, "beta_start '0.1'; expected a number"),
        ({"beta_start": -0.1}, "numbers between 0 and 1"),
        ({"beta_end": float("nan")}, "beta_end nan"),
        ({"num_train_timesteps": 10**12}, "num_train_timesteps 1000000000000"),
        ({"num_train_timesteps": True}, "num_train_timesteps True"),
        ({"num_train_timesteps": 1}, "num_train_timesteps 1"),
        ({"trained_betas": "0.1"}, "trained_betas '0.1'"),
        ({"trained_betas": [0.1, "a"]}, "trained_betas 'a'"),
        ({"trained_betas": [0.1, 2.0]}, "betas"),
        ({"beta_schedule": ["linear"]}, "beta_schedule"),
        ({"_class_name": 3}, "_class_name 3"),
        ({"rescale_betas_zero_snr": "yes"}, "rescale_betas_zero_snr 'yes'"),
        ([], "expected a dict"),
    ],
)
def test_schedulers_that_cannot_be(copy, config, message):
    """Named with the file."""
    path = copy / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(config if isinstance(config, list) else {"_class_name": "DDPMScheduler", **config}))
    with pytest.raises(ValueError, match=message) as error:
        load_diffusers(copy)
    assert str(path) in str(error.value)
    assert "; to fix: " in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("in_channels", "3"),
        ("in_channels", -1),
        ("out_channels", 10**9),
        ("block_out_channels", [4, 0]),
        ("block_out_channels", {"a": 1}),
        ("block_out_channels", [3, 5]),
        ("layers_per_block", 10**9),
        ("layers_per_block", 1.5),
        ("norm_num_groups", 0),
        ("norm_num_groups", None),
        ("norm_eps", "a"),
        ("attention_head_dim", 0),
        ("mid_block_scale_factor", 0),
        ("flip_sin_to_cos", 1),
        ("dropout", 7),
        ("down_block_types", "DownBlock2D"),
        ("sample_size", "8"),
        ("sample_size", [8]),
        ("sample_size", -8),
        ("num_class_embeds", -2),
        ("_class_name", ["UNet2DModel"]),
    ],
)
def test_configs_that_cannot_be(copy, field, value):
    path = copy / "unet" / "config.json"
    edit(path, **{field: value})
    with pytest.raises(ValueError, match=field) as error:
        load_diffusers(copy)
    assert str(path) in str(error.value)
    assert "; expected " in str(error.value)
    assert "; to fix: " in str(error.value)


def test_weights_that_are_not_finite_or_no_floats_are_said(copy):
    weights = copy / "unet" / FILE
    arrays = load_file(weights)
    save_file({**arrays, "conv_in.bias": np.full(4, np.nan, np.float32)}, weights)
    with pytest.raises(ValueError, match="NaN or infinite numbers in conv_in_bias"):
        load_diffusers(copy)
    save_file({**arrays, "conv_in.bias": np.zeros(4, np.int32)}, weights)
    with pytest.raises(ValueError, match=r"conv_in\.bias is of dtype int32"):
        load_diffusers(copy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("down_block_types", ["DownBlock2D", "SkipDownBlock2D"]),
        ("up_block_types", ["UpBlock2D", "KUpBlock2D"]),
        ("mid_block_type", "UNetMidBlock2DCrossAttn"),
        ("time_embedding_type", "fourier"),
        ("class_embed_type", "timestep"),
        ("act_fn", "mish"),
        ("center_input_sample", True),
        ("resnet_time_scale_shift", "spatial"),
        ("downsample_padding", 2),
        ("cross_attention_dim", 768),
        ("_class_name", "UNet2DConditionModel"),
    ],
)
def test_unsupported_options_are_named(copy, field, value):
    edit(copy / "unet" / "config.json", **{field: value})
    with pytest.raises(ValueError, match=rf"got .*{field if field != 'cross_attention_dim' else 'fields'}.*; expected"):
        load_diffusers(copy)


def test_prediction_types(copy):
    path = copy / "scheduler" / "scheduler_config.json"
    kinds = {"epsilon": predictions.Eps, "v_prediction": predictions.V, "sample": predictions.X0}
    for name, kind in kinds.items():
        edit(path, prediction_type=name)
        assert type(load_diffusers(copy).denoise.predicts) is kind
    edit(path, prediction_type="flow")
    with pytest.raises(ValueError, match="prediction_type='flow'"):
        load_diffusers(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("conv_in.bias"), "without conv_in_bias"),
        (lambda arrays: arrays.update({"more.weight": np.zeros(1, np.float32)}), "with unknown more_weight"),
        (lambda arrays: arrays.update({"conv_in.bias": np.zeros(1, np.float32)}), r"conv_in_bias \(1,\) for \(4,\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(copy, change, message):
    weights = copy / "unet" / FILE
    arrays = load_file(weights)
    change(arrays)
    save_file(arrays, weights)
    with pytest.raises(ValueError, match=message):
        load_diffusers(copy)


def test_unreadable_files_are_told(copy):
    weights = copy / "unet" / FILE
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"unreadable .*expected safetensors"):
        load_diffusers(copy)
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(FileNotFoundError, match="never opened"):
        load_diffusers(copy)
    (copy / "unet" / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"unreadable .*expected JSON"):
        load_diffusers(copy)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_diffusers(copy / "nowhere")


def test_labels_and_sizes_are_checked():
    adm, ddpm = (load_diffusers(TOYS / name).denoise for name in ("adm", "ddpm"))
    label = {"label": jnp.zeros(2, int)}
    for model, size, cond, message in (
        (adm, 8, None, "got no label"),
        (adm, 7, label, r"got x of shape \(2, 7, 8, 2\)"),
        (ddpm, 8, label, "got a label"),
    ):
        x = jnp.zeros((2, size, 8, model.network.in_channels))
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(model.network.apply, model.params, x, jnp.zeros(2), cond)


def test_a_label_that_is_no_class_gives_nan():
    model = load_diffusers(TOYS / "adm").denoise
    label = {"label": jnp.array([2, 3, -1])}
    y = quick_jit(model.network.apply)(model.params, jnp.zeros((3, 8, 8, 2)), jnp.zeros(3), label)
    np.testing.assert_array_equal(np.isnan(y).all(axis=(1, 2, 3)), [False, True, True])
    assert np.isfinite(y[0]).all()


def test_an_old_config_gets_the_defaults():
    network = DiffusersUNet.from_config({"_class_name": "UNet2DModel", "down_block_types": ["UNetResDownBlock2D"] * 4})
    assert network.attention_head_dim == 8
    assert network.norm_eps == 1e-5
