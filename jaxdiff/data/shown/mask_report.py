"""What masks hold: objects, background, touching and torn objects; and signs that they mark kinds and not objects."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int
from scipy import ndimage

COVERS = 0.5
"""Share of an image from which its largest object may be the background."""
TORN = 2.0
"""Connected pieces for each label from which labels may be kinds of pixels."""
FIX = (
    "if the labels are kinds and not objects, number the objects first: scipy.ndimage.label(mask == kind)[0] where they do "
    "not touch"
)


@dataclass(frozen=True)
class MaskFacts:
    """Counts of one mask."""

    name: str
    pixels: int
    background: int
    """Pixels with label 0."""
    labels: tuple[int, ...]
    """The labels but 0, at most the first two: more are objects."""
    objects: int
    """How many labels but 0."""
    pieces: int
    """Connected parts of one label, over edges and corners of pixels."""
    touching: int
    """Objects that share an edge of a pixel with another one."""
    largest: int
    """Pixels of the largest object."""
    classes: Mapping[str, int] = field(default_factory=dict)
    """Objects of each class that the mask has, where they have classes."""


def facts(mask: Int[np.ndarray, "*spatial"], name: str, classes: Sequence[str] = ()) -> MaskFacts:
    """The counts of a mask of labels of 0 or more. classes: of the objects 1, 2, 3 …, where they have some."""
    labels, areas = np.unique(mask, return_counts=True)
    background = int(areas[0]) if labels.size and labels[0] == 0 else 0
    own = labels != 0
    labels, areas = labels[own], areas[own]
    # Numbered anew, so that find_objects has no gaps to keep room for.
    dense = np.where(mask == 0, 0, np.searchsorted(labels, mask) + 1)
    corners = np.ones((3,) * mask.ndim)
    count: Any = ndimage.label  # scipy declares another type of result
    pieces = sum(count(dense[at] == n, corners)[1] for n, at in enumerate(ndimage.find_objects(dense), 1))
    return MaskFacts(
        name=name,
        pixels=mask.size,
        background=background,
        labels=tuple(labels[:2].tolist()),
        objects=len(labels),
        pieces=pieces,
        touching=len(_touching(dense)),
        largest=int(areas.max(initial=0)),
        classes=dict(Counter([str(classes[label - 1]) for label in labels.tolist()])) if classes else {},
    )


def _touching(mask: np.ndarray) -> np.ndarray:
    """The labels of pixels beside one of another label, that is not the background."""
    labels = []
    for axis in range(mask.ndim):
        one, other = np.moveaxis(mask, axis, 0)[:-1], np.moveaxis(mask, axis, 0)[1:]
        meet = (one != other) & (one != 0) & (other != 0)
        labels += [one[meet], other[meet]]
    return np.unique(np.concatenate(labels)) if labels else np.zeros(0, int)


@dataclass
class MaskReport:
    """The counts of many masks, added one by one."""

    masks: list[MaskFacts] = field(default_factory=list)

    def add(self, mask: Int[np.ndarray, "*spatial"], name: str, classes: Sequence[str] = ()) -> None:
        """Counts what a mask of labels of 0 or more holds. classes: of the objects 1, 2, 3 …, where they have some."""
        self.masks.append(facts(mask, name, classes))

    def result(self) -> dict[str, Any]:
        """Numbers for programs: objects of an image, shares of all pixels and objects, and the warnings."""
        objects = np.array([one.objects for one in self.masks])
        total = int(objects.sum())
        classes = sum((Counter(one.classes) for one in self.masks), Counter())
        return {
            **({"classes": dict(sorted(classes.items()))} if classes else {}),
            "masks": len(self.masks),
            "objects": {
                "all": total,
                "least": int(objects.min()),
                "median": float(np.median(objects)),
                "most": int(objects.max()),
            },
            "without_objects": int((objects == 0).sum()),
            "background_share": sum(one.background for one in self.masks) / sum(one.pixels for one in self.masks),
            "touching_share": sum(one.touching for one in self.masks) / max(1, total),
            "pieces_per_object": sum(one.pieces for one in self.masks) / max(1, total),
            "warnings": list(suspicions(self.masks).values()),
        }


def mask_lines(report: Mapping[str, Any]) -> list[str]:
    """The result of a `MaskReport` for people, in the columns of `--check`."""
    objects, masks = report["objects"], report["masks"]
    empty = f", none in {report['without_objects']}" if report["without_objects"] else ""
    return [
        f"objects       {objects['all']} in {masks} {'mask' if masks == 1 else 'masks'}: {objects['least']} to "
        f"{objects['most']} in one, median {objects['median']:g}{empty}",
        *(
            [f"classes       {', '.join(f'{n} {name}' for name, n in report['classes'].items())}"]
            if "classes" in report
            else []
        ),
        f"background    {report['background_share']:.1%} of the pixels of the masks",
        f"touching      {report['touching_share']:.1%} of the objects share an edge with another; "
        f"{report['pieces_per_object']:.3g} connected pieces an object",
        *(f"warning       {text}" for text in report["warnings"]),
    ]


def suspicions(masks: Iterable[MaskFacts]) -> dict[str, str]:
    """Why masks may not be of objects, one sentence a kind of sign; none for masks that look like instances."""
    masks = list(masks)
    some = [one for one in masks if one.objects]
    if not some:
        return {"empty": f"no object, all pixels are 0, in {_in(masks)}"}
    texts = {}
    objects, pieces = sum(one.objects for one in some), sum(one.pieces for one in some)
    if all(one.objects == 1 and one.labels == some[0].labels for one in some):
        label = some[0].labels[0]
        if label == 255 or pieces > len(some) or len(some) > 1:
            texts["semantic"] = (
                f"the masks may be semantic: {label} is the only label, in {pieces} connected pieces in {_in(some)}, and "
                f"is one object in each; to fix: {FIX}"
            )
    elif pieces >= TORN * objects:
        texts["semantic"] = (
            f"the masks may be semantic: {objects} labels are in {pieces} connected pieces, in {_in(some)}; to fix: {FIX}"
        )
    if full := [one for one in some if one.largest == one.pixels]:
        texts["cover"] = f"one object covers all pixels of {_in(full)}; to fix: the background is label 0"
    elif large := [one for one in some if one.largest > COVERS * one.pixels]:
        share = max(one.largest / one.pixels for one in large)
        texts["cover"] = (
            f"one object covers up to {share:.0%} of {_in(large)}; to fix: if it is the background, its label must be 0"
        )
    if bare := [one for one in some if not one.background and one.largest < one.pixels]:
        texts["background"] = f"no background (label 0) in {_in(bare)}; to fix: if a label is the background, make it 0"
    return texts


def _in(masks: list[MaskFacts]) -> str:
    names = ", ".join(one.name for one in masks[:3]) + (", …" if len(masks) > 3 else "")
    return f"{len(masks)} {'mask' if len(masks) == 1 else 'masks'} ({names})"
