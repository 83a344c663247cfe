"""Power-function averages: their weights in closed form, any length from snapshots, and runs that keep them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.nn import UNet
from jaxdiff.training.loop import train
from jaxdiff.training.packed import pack, unpack
from jaxdiff.training.power_ema import LONGEST, PowerEMA, combination, exponent
from jaxdiff.training.snapshots import MISFIT, reconstruct, snapshots


@pytest.mark.parametrize("length", [0.01, 0.05, 0.1, 0.2, 0.28])
def test_the_length_is_the_standard_deviation_of_the_weight(length):
    gamma = exponent(length)
    tau = (np.arange(10**6) + 0.5) / 10**6
    weight = (gamma + 1) * tau**gamma / 10**6
    mean = weight @ tau
    np.testing.assert_allclose(np.sqrt(weight @ (tau - mean) ** 2), length, rtol=1e-4)


@pytest.mark.parametrize("wrong", [{"lengths": ()}, {"lengths": (0.1, 0.1)}, {"every": 0}, {"lengths": (LONGEST,)}])
def test_wrong_fields_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected .*to fix"):
        PowerEMA(**wrong)


def tracked(lengths, path):
    """The averages after each step of a path of parameters, by the update."""
    config = PowerEMA(lengths=lengths)

    def take(averages, of):
        averages = config.update(averages, *of)
        return averages, averages

    start = tuple(jnp.full_like(path[0], 1e6) for _ in lengths)
    return jax.lax.scan(take, start, (path, jnp.arange(1, len(path) + 1)))[1]


@pytest.mark.usefixtures("x64")
def test_the_update_weights_step_k_by_the_integral_over_its_bin():
    path = jnp.eye(50)  # the average of unit vectors is the weights themselves
    (got,) = tracked((0.1,), path)
    edges = (np.arange(51) / 50) ** (exponent(0.1) + 1)
    np.testing.assert_allclose(got[-1], np.diff(edges), rtol=1e-5)


@pytest.mark.usefixtures("x64")
def test_other_lengths_and_times_come_out_as_exact_tracking_gives_them():
    steps, every = 4000, 100
    walk = np.cumsum(np.random.default_rng(0).standard_normal((steps, 64)), axis=0) / np.sqrt(steps)
    path = jnp.asarray(walk + 3 * np.exp(-np.arange(steps) / 300)[:, None])
    kept = tracked((0.05, 0.10), path)
    times = np.arange(every, steps + 1, every)
    pairs = [(time, length) for time in times for length in (0.05, 0.10)]
    snapshots = np.stack([kept[i][time - 1] for time in times for i in (0, 1)])
    wanted = (0.02, 0.03, 0.075, 0.15, 0.2, 0.25)
    exact = tracked(wanted, path)
    for end in (steps, 3000):
        used = [i for i, (time, _) in enumerate(pairs) if time <= end]
        for of_length, length in zip(exact, wanted):
            weights, misfit = combination(*zip(*[pairs[i] for i in used]), end, length)
            error = np.linalg.norm(weights @ snapshots[used] - of_length[end - 1]) / np.linalg.norm(
                of_length[end - 1] - path[end - 1]
            )
            assert misfit < MISFIT, (length, end, misfit)
            assert error < (5e-3 if 0.03 <= length <= 0.2 else 0.05), (length, end, error)
    assert combination(*zip(*pairs), steps, 0.003)[1] > 0.2  # much shorter than any that was kept


def test_a_run_keeps_snapshots_and_gives_any_length(config, compiled_once):
    unet = UNet(width=8, multipliers=(1,), blocks=1, attention=(False,))
    run = train(config(network=unet, power_ema=PowerEMA(lengths=(0.05, 0.10, 0.2), every=2), steps=7))
    assert snapshots(run) == [2, 4, 6, 7]
    step, of_tracked = reconstruct(run, 0.2)
    assert step == 7
    stored = np.load(run / "power_ema" / "00000007.npz")
    assert stored["applied"] == 7
    np.testing.assert_allclose(of_tracked["params"]["conv_in"]["kernel"], stored["2/params/conv_in/kernel"], rtol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, jd.load(run, length=0.2).denoise.params, of_tracked)
    jax.tree.map(
        np.testing.assert_array_equal, unpack(pack(run, run / "small", dtype="float32", length=0.2)), of_tracked
    )
    assert reconstruct(run, 0.15, 6)[0] == 6
    with pytest.raises(FileNotFoundError, match=r"no snapshot of step 5 .*\[2, 4, 6, 7\]"):
        reconstruct(run, 0.1, 5)
    with pytest.raises(ValueError, match="miss by"):
        reconstruct(run, 0.005)
    whole = (run / "power_ema" / "00000004.npz").read_bytes()
    (run / "power_ema" / "00000004.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"00000004.npz, which cannot be read"):
        reconstruct(run, 0.2)
