"""Conditions of a network: a dict of label, vector and image, each optional, each with a null for guidance.

    label         int32 ()                  -1 = absent
    vector        float32 (d + 1,)          the last entry is 1 where present, 0 where absent
    image         float32 (*spatial, c + 1) the last channel is 1 where present, 0 where absent
    augmentation  float32 (a,)              what was done to a training image; 0 = nothing, as in all that is sampled
    span          float32 ()                flow time of the step over which D is averaged (`jd.MeanFlow`); 0 = D itself
    guidance      float32 ()                scale − 1 of the classifier-free guidance that the network has learned; 0 = none

with any leading batch axes. The null has the same keys, shapes and dtypes, so that guidance calls one program; it keeps the
last three, which say how an image is shown or made and not what is asked for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

FIELDS = {
    "label": "num_classes",
    "vector": "vector_size",
    "image": "image_channels",
    "augmentation": "augmentation_size",
    "span": "reads_span",
    "guidance": "reads_guidance",
}
"""The field of a network that says how large each condition is, or whether it is read; 0 or False = not read."""
KEYS = tuple(FIELDS)
TOLD = ("span", "guidance")
"""Conditions that say how an image is made: by solver, loss and guidance."""
KEPT = ("augmentation", *TOLD)
"""What the null has from the condition."""


def size_of(network: Any, field: str) -> int:
    """The size of a condition by the network's field for it, such as num_classes; 0 where it has no such field."""
    return int(getattr(network, field, 0) or 0)


def check_sizes(network: Any, spatial: Sequence[int], name: str = "patch") -> None:
    """Raises ValueError for an image size that is no multiple of the network's `patch_multiple`."""
    multiple = getattr(network, "patch_multiple", 1)
    each = (multiple,) * len(spatial) if isinstance(multiple, int) else tuple(multiple)
    if len(each) != len(spatial) or any(n % m for n, m in zip(spatial, each)):
        fitting = " ".join(str(-(-n // m) * m) for n, m in zip(spatial, each))
        raise ValueError(
            f"got {name}={tuple(spatial)} for a {type(network).__name__} of patch_multiple {multiple}; expected multiples of "
            f"it along each axis; to fix: --patch {fitting}"
        )


def condition(
    *, label: Any = None, vector: Any = None, image: Any = None, augmentation: Any = None, guidance: Any = None
) -> dict[str, Any]:
    """Build a condition from plain arrays, adding the presence entries; leading batch axes are kept.

    Args:
        label: class numbers, integers (...,).
        vector: numbers (..., d), such as an embedding.
        image: (..., *spatial, c), on the grid of the image that is made.
        augmentation: (..., a): how the image was flipped and turned.
        guidance: scales of guidance (...,), 1 = none, for a network that has learned them (`reads_guidance`); one for all
            that have a label or a vector.

    Returns:
        A dict of arrays; what is not a JAX array stays on the host.

    Raises:
        ValueError: for a label that is not an integer, a vector or image without its channel axis, and guidance below 1.
    """
    cond = {}
    if label is not None:
        label = label if isinstance(label, jax.Array) else np.asarray(label)
        if not jnp.issubdtype(label.dtype, jnp.integer):
            raise ValueError(f"got a label of dtype {label.dtype}; expected integers; to fix: label.astype('int32')")
        cond["label"] = label.astype(np.int32)
    if vector is not None:
        cond["vector"] = _with_presence("vector", vector, least=1)
    if image is not None:
        cond["image"] = _with_presence("image", image, least=3)
    if augmentation is not None:
        xp = jnp if isinstance(augmentation, jax.Array) else np
        cond["augmentation"] = xp.asarray(augmentation, np.float32)
    if guidance is not None:
        xp = jnp if isinstance(guidance, jax.Array) else np
        scale = xp.asarray(guidance, np.float32)
        if not (isinstance(scale, Tracer) or np.all(scale >= 1)):
            raise ValueError(
                f"got guidance={guidance}; expected scales of 1, none, or more; to fix: 1 and the label -1 for no condition"
            )
        for name, axes in (("label", 0), ("vector", 1)):
            if name in cond and scale.ndim == 0:
                scale = xp.broadcast_to(scale, cond[name].shape[: cond[name].ndim - axes])
        cond["guidance"] = scale - 1
    return cond


def _with_presence(name: str, values: Any, least: int):
    xp = jnp if isinstance(values, jax.Array) else np
    values = xp.asarray(values, np.float32)
    if values.ndim < least:
        raise ValueError(f"got a {name} of shape {values.shape}; expected channels last; to fix: add a channel axis")
    return xp.concatenate([values, xp.ones_like(values[..., :1])], axis=-1)


def over(span: Any, cond: Any) -> dict[str, Any]:
    """The condition of one image, or None, with the span of a step beside it. Raises ValueError for what is no dict."""
    if cond is not None and not isinstance(cond, Mapping):
        raise ValueError(
            f"got a condition of type {type(cond).__name__} for means over steps (jd.MeanFlow); expected a dict, to which "
            "'span' is added, or None; to fix: nn.condition(...)"
        )
    return {**(cond or {}), "span": span}


def null(cond: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The absent condition with the same keys, shapes and dtypes; None for None, entries too.

    label -1, vector and image zero, the others kept.
    """
    if cond is None:
        return None
    keep = lambda name, value: value is None or name in KEPT  # noqa: E731
    return {
        name: value if keep(name, value) else jnp.full_like(value, -1 if name == "label" else 0)
        for name, value in cond.items()
    }


def expected(network: Any, batch: int, spatial: tuple[int, ...]) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes, batch axis included, and types of the conditions that a network with these fields reads."""
    sizes = {name: size_of(network, field) for name, field in FIELDS.items()}
    shapes = {
        "label": (batch,),
        "vector": (batch, sizes["vector"] + 1),
        "image": (batch, *spatial, sizes["image"] + 1),
        "augmentation": (batch, sizes["augmentation"]),
        "span": (batch,),
        "guidance": (batch,),
    }
    types = {"label": np.dtype("int32")}
    return {
        name: jax.ShapeDtypeStruct(shape, types.get(name, np.dtype("float32")))
        for name, shape in shapes.items()
        if sizes[name]
    }


_OTHERWISE = {
    "span": "a solver that asks for D, such as jd.DPMpp(2)",
    "guidance": "guide it while sampling, jd.guidance.classifier_free",
}


def completed(cond: Mapping[str, Any] | None, read: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, Any]:
    """All that a network reads, with the null in the place of what is missing or None.

    Raises ValueError for an unknown key or shape.
    """
    present = {name: value for name, value in (cond or {}).items() if value is not None}
    for name, value in present.items():
        if name not in KEYS:
            raise ValueError(f"got condition {name!r}; expected one of {KEYS}; to fix: nn.condition(label=..., ...)")
        if name not in read:
            raise ValueError(
                f"got condition {name!r}; expected {sorted(read) or 'none'}, which this network was built for; "
                f"to fix: {_OTHERWISE.get(name, 'leave it out')}, or train a network with {FIELDS[name]}"
            )
        if np.shape(value) != read[name].shape:
            raise ValueError(
                f"got condition {name!r} of shape {np.shape(value)}; expected {read[name].shape}; "
                "to fix: build it with nn.condition(...), which adds the presence entries"
            )
    return {name: jnp.full(one.shape, -1 if name == "label" else 0, one.dtype) for name, one in read.items()} | present
