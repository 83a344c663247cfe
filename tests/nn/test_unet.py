"""What is of the UNet alone; `test_networks.py` has what holds of every network."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
import tyro
from networks_inputs import inputs

from jaxdiff.nn import UNet


def test_a_shifted_image_gives_a_shifted_output(small, perturbed, run):
    network = small(multipliers=(1,), attention=(False,))  # receptive field 8 pixels each way: borders stay apart
    pattern, _ = inputs((1, 4, 4, 1))
    images = jnp.zeros((2, 48, 48, 1)).at[0, 20:24, 22:26].set(pattern[0]).at[1, 23:27, 20:24].set(pattern[0])
    variables = perturbed(network, images, jnp.zeros(2))
    first, second = run(network, variables, images, jnp.zeros(2))
    assert float(jnp.abs(first[20:24, 22:26]).max()) > 0.1
    np.testing.assert_allclose(second[17:33, 14:30], first[14:30, 16:32], atol=1e-5)


@pytest.mark.parametrize("fields", [{"attention": (True,)}, {"multipliers": (), "attention": ()}, {"transformer": -1}])
def test_fields_that_contradict_are_refused(fields):
    with pytest.raises(ValueError, match=r"got UNet .*; expected .*; to fix: "):
        UNet(**fields)


def test_runs_of_before_there_was_a_choice_of_remat_are_read(small):
    assert small(remat=True) == small(remat="all")


def test_read_by_tyro_and_by_json():
    args = ["--width", "32", "--multipliers", "1", "2", "--attention", "False", "True", "--dtype", "bfloat16"]
    network = tyro.cli(UNet, args=args)
    assert network == UNet(width=32, multipliers=(1, 2), attention=(False, True), dtype="bfloat16")
    fields = {f.name: getattr(network, f.name) for f in dataclasses.fields(network) if f.name not in ("parent", "name")}
    assert UNet(**json.loads(json.dumps(fields))) == network
