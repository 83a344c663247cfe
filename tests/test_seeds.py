"""Every seed is another one, in single precision, too; what is none is refused."""

import jax
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.data.config import Synthetic
from jaxdiff.data.split import split_groups
from jaxdiff.seeds import key_of
from jaxdiff.training.config import TrainConfig

SEEDS = [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**63, 2**64 - 1]


def test_every_seed_has_noise_of_its_own():
    drawn = [np.asarray(jax.random.normal(key_of(seed), (4,))).tobytes() for seed in SEEDS]
    assert len(set(drawn)) == len(SEEDS)
    for seed in (0, 7, 2**32 - 1):  # those that JAX knows are its own
        np.testing.assert_array_equal(jax.random.key_data(key_of(seed)), jax.random.key_data(jax.random.key(seed)))
    with jax.enable_x64(True):
        wanted = jax.random.key_data(jax.random.key(2**32 + 5))
    for kind in (int, np.int64, np.uint64):
        np.testing.assert_array_equal(jax.random.key_data(key_of(kind(2**32 + 5))), wanted)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "1", None, np.float32(3), np.int64(-(2**40))])
def test_what_is_no_seed_is_refused(seed):
    for use in (
        key_of,
        lambda seed: split_groups(["a", "b"], 0.5, seed),
        lambda seed: Synthetic(num=2, seed=seed).open((8, 8), 0),
    ):
        with pytest.raises(ValueError, match=r"got seed=.*; expected a whole number from 0 to 2\*\*64 - 1"):
            use(seed)


def test_a_run_has_a_seed_that_it_can_use():
    with pytest.raises(ValueError, match="seed=-1; expected a whole number"):
        TrainConfig(data=Synthetic(), network=jd.UNet(), name="a", patch=(8, 8), steps=1, seed=-1)


@pytest.mark.parametrize("first", [-1, 2**32 - 1])
def test_images_are_counted_up_to_where_their_noise_begins_again(first):
    with pytest.raises(ValueError, match=r"expected images 0 to 2\*\*32 - 1"):
        jd.sample(
            jax.random.key(0), lambda x, lam, c: x, shape=(1,), num=2, solver=jd.DDIM(), grid=np.zeros(1), first=first
        )
