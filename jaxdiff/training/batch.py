"""From a loader's batch to what the loss takes: the image, and the conditions that the network was built for."""

from typing import Any

import numpy as np

from jaxdiff.nn.condition import condition, size_of


def to_batch(loaded: dict[str, np.ndarray], network: Any) -> dict[str, Any]:
    """{"image"[, "cond"]} as NumPy arrays; labels and masks that the network does not read are left out.

    The image condition is the pair's input; without pairs it is the mask (instance labels), 1 inside objects and 0
    outside. Raises ValueError where the network reads a condition that the data do not have, or with another size, and
    where there are inputs that it does not read.
    """
    values = {}
    if classes := size_of(network, "num_classes"):
        labels = _need(loaded, "label", "num_classes")
        if labels.min() < -1 or labels.max() >= classes:
            raise ValueError(
                f"got labels {labels.min()} to {labels.max()}; expected 0 to {classes - 1}, or -1 = none; "
                f"to fix: --network.num-classes {labels.max() + 1} or more"
            )
        values["label"] = labels
    if size_of(network, "vector_size"):
        raise ValueError("got network.vector_size > 0; expected 0, as no data has vectors yet; to fix: set it to 0")
    reads = size_of(network, "image_channels")
    if reads or "input" in loaded:
        what, image = "the pairs' input", loaded.get("input")
        if image is None:
            what, image = "the mask", (_need(loaded, "mask", "image_channels") > 0)[..., None].astype(np.float32)
        if image.shape[-1] != reads:
            raise ValueError(
                f"got network.image_channels={reads}; expected {image.shape[-1]}, {what}; to fix: "
                f"--network.image-channels {image.shape[-1]}"
            )
        values["image"] = image
    if size := size_of(network, "augmentation_size"):
        values["augmentation"] = done = loaded["augmentation"]
        if done.shape[-1] != size:
            raise ValueError(
                f"got network.augmentation_size={size}; expected {done.shape[-1]}, one more than the axes of a patch, or 0; "
                f"to fix: --network.augmentation-size {done.shape[-1]}"
            )
    batch: dict[str, Any] = {"image": loaded["image"]}
    if values:
        batch["cond"] = {name: np.asarray(value) for name, value in condition(**values).items()}
    return batch


def _need(loaded: dict[str, np.ndarray], name: str, field: str) -> np.ndarray:
    if name not in loaded:
        raise ValueError(
            f"got data without {name}s for a network with {field} > 0; expected a {name} for every image; "
            f"to fix: add them to the data, or set --network.{field.replace('_', '-')} 0"
        )
    return loaded[name]
