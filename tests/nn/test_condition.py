import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nn import condition, null


def test_presence_is_the_last_entry():
    cond = condition(label=3, vector=np.array([1.0, 2.0]), image=np.zeros((4, 5, 2)))
    assert cond["label"].dtype == jnp.int32
    np.testing.assert_array_equal(cond["vector"], [1.0, 2.0, 1.0])
    assert cond["image"].shape == (4, 5, 3)
    np.testing.assert_array_equal(cond["image"][..., -1], 1.0)


def test_batched_and_partial():
    cond = condition(label=np.arange(3), vector=np.zeros((3, 2)))
    assert set(cond) == {"label", "vector"}
    assert cond["vector"].shape == (3, 3)
    assert condition() == {}


def test_null_has_the_same_tree_and_is_its_own_null():
    cond = condition(label=np.arange(3), vector=np.ones((3, 2)), image=np.ones((3, 4, 4, 1)))
    empty = null(cond)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), empty) == jax.tree.map(lambda a: (a.shape, a.dtype), cond)
    np.testing.assert_array_equal(empty["label"], -1)
    assert not empty["vector"].any()
    assert not empty["image"].any()
    jax.tree.map(np.testing.assert_array_equal, null(empty), empty)
    assert null(None) is None


def test_what_was_done_to_an_image_stays_when_nothing_is_asked_for():
    cond = condition(label=np.arange(3), augmentation=np.eye(3))
    np.testing.assert_array_equal(null(cond)["augmentation"], np.eye(3))
    np.testing.assert_array_equal(null(cond)["label"], -1)


def test_under_jit_and_vmap():
    labels = jnp.arange(4)
    batched = jax.jit(jax.vmap(lambda label: null(condition(label=label))))(labels)
    np.testing.assert_array_equal(batched["label"], -np.ones(4))


@pytest.mark.parametrize(
    ("given", "message"),
    [({"label": 1.5}, "integers"), ({"vector": 1.0}, "channels last"), ({"image": np.ones((4, 4))}, "channels last")],
)
def test_bad_conditions_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        condition(**given)
