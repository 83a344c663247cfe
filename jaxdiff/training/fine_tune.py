"""Starting a run from the averaged parameters of another."""

import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxdiff.malformed import shown
from jaxdiff.nn.embed import LATER
from jaxdiff.plain import to_plain
from jaxdiff.predictions import PredictionKind
from jaxdiff.shipped import folder_of
from jaxdiff.training.leaves import check_finite, mismatches, named
from jaxdiff.training.npz import nested
from jaxdiff.training.packed import is_packed, unpack
from jaxdiff.training.restore import restore_params
from jaxdiff.training.run_folder import read_run
from jaxdiff.training.state import TrainState


def start_from(
    state: TrainState, run: str | Path, predicts: str | PredictionKind, *, partial: bool = False
) -> TrainState:
    """`state` with the averaged parameters of `run`, a folder or a model that comes with jaxdiff.

    What a network is told that the run's was not, and starts at weights of zero (`nn.embed.LATER`), is no mismatch.
    Raises ValueError with every mismatched leaf (missing, left over, other shape), or, with `partial`, takes the
    leaves that fit, leaves the others as they are and lists them in a warning. Raises ValueError where the run
    predicts something else, and where its parameters are not finite.
    """
    folder = folder_of(run)
    stored = read_run(folder)
    if stored["predicts"] != to_plain(predicts, "predicts"):
        raise ValueError(
            f"got {run}, whose network predicts {shown(stored['predicts'])}; expected {shown(to_plain(predicts))}; "
            f"to fix: --predicts {shown(stored['predicts'])}, or the object in the config file"
        )
    params = unpack(folder, None) if is_packed(folder, stored) else restore_params(folder)
    check_finite(params, str(run))
    params = _with_later(state.params, params)
    lines = mismatches(state.params, params)
    if not lines:
        return state.with_params(params)
    listing = f"got {run} with {len(lines)} leaves that do not fit this network:\n  " + "\n  ".join(lines)
    if not partial:
        raise ValueError(
            f"{listing}\nexpected the same leaves; to fix: build the network as in that run, or --init-partial to "
            "start these leaves afresh"
        )
    warnings.warn(f"{listing}\nthese start afresh (init_partial), the others are taken over", stacklevel=2)
    return state.with_params(_fitting(state.params, params))


def _with_later(own: Any, other: Any) -> Any:
    """`other` with those leaves of `own` that it lacks and that add nothing before they are trained."""
    there, later = named(other), tuple(f"/embedding/{name}/kernel" for name in LATER)
    missing = {name: leaf for name, leaf in named(own).items() if name not in there and name.endswith(later)}
    return nested({**there, **missing}) if missing else other


def _fitting(own: Any, other: Any) -> Any:
    """`own` with every leaf that `other` has under the same name and shape."""
    other = named(other)
    names = iter(named(own))

    def choose(leaf):
        match = other.get(next(names))
        return jnp.asarray(match) if match is not None and match.shape == leaf.shape else leaf

    return jax.tree.map(choose, own)
