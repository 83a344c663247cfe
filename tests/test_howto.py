"""The examples of docs/howto.md run, are short, and do what they say."""

import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdiff as jd
from jaxdiff.config import load_config
from jaxdiff.conformance.march import march
from jaxdiff.conformance.problems import PROBLEMS
from jaxdiff.data.config import open_data
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.readers import Readers
from jaxdiff.training.stored_config import check_round_trip

TEXT = (Path(__file__).parents[1] / "docs" / "howto.md").read_text()
SECTIONS = dict(re.findall(r"^## A (\w+)[^\n]*\n.*?^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))


def defined(section: str, name: str):
    """The class `name` that a section's code defines."""
    names = {"__name__": "howto"}
    exec(compile(SECTIONS[section], f"howto: {section}", "exec"), names)
    return names[name]


@pytest.mark.parametrize(
    "section",
    [
        *(
            "solver",
            "table",
            "network",
            "prediction",
            "schedule",
            "loss",
            "guidance",
            "memory",
            "file",
            "transformation",
        ),
    ],
)
def test_each_example_is_short(section):
    lines = [
        line for line in SECTIONS[section].splitlines() if line.strip() and not line.startswith(("import", "from"))
    ]
    assert len(lines) <= 20


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("section", "name", "nfe"), [("solver", "Midpoint", 5), ("table", "Adams", 3)])
def test_solver_converges_with_its_order_and_samples(section, name, nfe):
    solver, problem = defined(section, name)(), PROBLEMS["gaussian"]
    x, calls = np.random.default_rng(0).normal(size=(3, *problem.shape)), (64, 128, 256)
    exact = problem.flow(x, -2.0, [2.0])[0]
    errors = [np.abs(march(solver, problem.denoise, np.linspace(-2, 2, n + 1), x) - exact).max() for n in calls]
    assert -np.polyfit(np.log(calls), np.log(errors), 1)[0] > 1.85
    assert errors[-1] < 1e-3
    out = jd.sample(
        jax.random.key(0), problem.denoise, shape=problem.shape, num=2, solver=solver, grid=[-2.0, 0.0, 2.0]
    )
    assert out.nfe == nfe
    assert out.finite.all()


def test_table_runs_in_the_common_program():
    assert defined("table", "Adams")().kernel == jd.DDIM().kernel


def test_schedule_lays_grids_and_draws_times():
    schedule = defined("schedule", "Straight")()
    lams = np.linspace(-8, 6, 15)
    np.testing.assert_allclose(schedule.to_lam(schedule.to_time(lams)), lams, atol=1e-12)
    np.testing.assert_allclose(jax.vmap(jax.grad(schedule.to_lam))(jnp.linspace(0.1, 0.9, 9)), -14.0, rtol=1e-5)
    steps = np.diff(jd.grids.uniform_time(schedule, 20, lam_min=-8.0))
    np.testing.assert_allclose(steps, steps[0])


def test_loss_trains():
    from jaxdiff.training import Stratified

    class Zero:
        """Predicts ε = 0 plus its one parameter."""

        def apply(self, params, x, lam, cond, **_):
            return params["bias"] + 0 * x

    loss, key = defined("loss", "AbsoluteError")(Stratified(jd.Cosine())), jax.random.key(0)
    batch = {"image": jnp.zeros((64, 16, 16, 1))}
    value, metrics = loss(Zero(), {"bias": jnp.zeros(())}, key, batch)
    np.testing.assert_allclose(value, np.sqrt(2 / np.pi), rtol=0.02)  # E|ε|
    halves = [loss(Zero(), {"bias": 0.0}, key, {"image": batch["image"][:32]}, first=f, total=64)[0] for f in (0, 32)]
    np.testing.assert_allclose(np.mean(halves), metrics["loss"], rtol=1e-6)

    network, optimizer = defined("network", "Pixelwise")(), optax.sgd(0.1)
    small = {"image": np.zeros((2, 8, 8, 1), np.float32)}
    state = jd.TrainState.create(key, network, optimizer, small)
    step = jd.make_train_step(loss, optimizer)
    state, metrics = step(state, small, key)
    assert np.isfinite(metrics["loss"])
    assert metrics["skipped"] == 0
    assert jd.bind(network, state.params, "eps")(small["image"][0], 0.0).shape == (8, 8, 1)


def test_guidance_wraps_a_denoiser():
    make, traces = defined("guidance", "Clipped"), []

    class Twice(eqx.Module):
        def __call__(self, x, lam, cond):
            traces.append(1)
            return 2 * x

    x = jnp.array([-3.0, 0.1, 3.0])
    np.testing.assert_allclose(make(Twice(), -1.0, 2.0)(x, 0.0), [-1.0, 0.2, 2.0])
    for high in (1.5, 2.5):
        options = dict(shape=(3, 1), num=4, solver=jd.DDIM(), grid=[-2.0, 0.0, 2.0])
        images = jd.sample(jax.random.key(0), make(Twice(), -1.0, high), **options).images
        assert images.max() <= high
        seen = len(traces)
    jd.sample(jax.random.key(0), make(Twice(), -1.0, 0.5), shape=(3, 1), num=4, solver=jd.DDIM(), grid=[-2.0, 0.0, 2.0])
    assert len(traces) == seen


def test_file_format_reads(tmp_path):
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    np.save(tmp_path / "a.npy", pixels)
    image, info = read_image(tmp_path / "a.npy", readers=Readers([defined("file", "Npy")()]))
    np.testing.assert_array_equal(image[..., 0], pixels)
    assert info.axes == "YXC"


def test_sampling_is_differentiated_inside_a_program():
    brightness, slope = defined("transformation", "brightness"), defined("transformation", "slope")
    difference = float(brightness(0.51) - brightness(0.49)) / 0.02
    np.testing.assert_allclose(slope, difference, atol=1e-3)


def test_prediction_converts_and_is_exact():
    kind = defined("prediction", "Between")(0.3)
    x0, eps = np.random.default_rng(0).normal(size=(2, 3, 1))
    for lam in (-3.0, 0.5, 3.0):
        x = jd.alpha(lam) * x0 + jd.sigma(lam) * eps
        np.testing.assert_allclose(kind.from_x0(x0, x=x, lam=lam), 0.3 * x0 + 0.7 * eps, rtol=1e-9)
        np.testing.assert_allclose(kind.to_x0(0.3 * x0 + 0.7 * eps, x=x, lam=lam), x0, rtol=1e-9)


def test_memory_is_carried_along():
    """By DDIM of a denoiser that is 1 at the first λ of the grid and 0 afterwards: D is 1, share, share², …"""
    once = lambda x, lam, cond=None: jnp.where(lam == -2.0, 1.0, 0.0) + 0 * x  # noqa: E731
    averaged = defined("memory", "Averaged")(once, 0.5)
    out = jd.sample(jax.random.key(0), averaged, shape=(2, 1), num=2, solver=jd.DDIM(), grid=[-2.0, 0.0, 2.0])
    np.testing.assert_allclose(out.images, 0.25)


def test_a_config_of_own_parts_comes_back_and_its_data_open(tmp_path):
    section = TEXT.partition("## Parts of your own in a config\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^(<!-- not run.*?-->\n)?```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.py").write_text("\n".join(code for mark, code in blocks if not mark))
    config = load_config(tmp_path / "mine.py")
    check_round_trip(config)
    assert config.to_json()["pairs"]["type"] == "mine.py:Colourise"
    data = open_data(config.data, config.patch, 0, pairs=config.pairs)
    assert (data.info.channels, data.normaliser.map_name) == (3, "Soft")
    optimizer, params = config.optimizer.build(), {"a": jnp.ones(3)}
    update, _ = optimizer.update(params, optimizer.init(params), params)
    assert update["a"].max() < 0
    assert config.weighting(jnp.zeros(1)) == 1
