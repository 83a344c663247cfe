"""What is held out for validation: whole groups of files, or a region of a single image; never crops."""

import re
from collections.abc import Sequence

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.seeds import checked_seed


def groups(names: Sequence[str], regex: str | None) -> list[str]:
    """The group of each name: the name itself, or what `regex` finds in it (its parentheses, when it has any).

    Raises DataError for a regex that is not one, or that does not match a name.

    Example:
        >>> groups(["plate1_A01_s1.tif", "plate1_A01_s2.tif"], r"_([A-P][0-9]{2})_")
        ['A01', 'A01']
    """
    if regex is None:
        return list(names)
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise DataError(f"group_regex {regex!r} ({error})", "a regular expression", "correct it") from error
    result = []
    for name in names:
        match = pattern.search(name)
        if match is None:
            raise DataError(
                f"{name}, in which group_regex {regex!r} finds nothing",
                "a group (well, stack, patient) in every file name",
                "change the regex or rename the file",
            )
        result.append("|".join(g or "" for g in match.groups()) if match.groups() else match[0])
    return result


def split_groups(group: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices for training and validation: a random `fraction` of the groups, at least one, is held out.

    The same for the same groups and seed, whatever their order. Needs two groups or more.
    """
    unique = sorted(set(group))
    number = max(1, min(len(unique) - 1, round(fraction * len(unique))))
    chosen = {unique[i] for i in np.random.default_rng(checked_seed(seed)).permutation(len(unique))[:number]}
    validation = [i for i, g in enumerate(group) if g in chosen]
    return [i for i, g in enumerate(group) if g not in chosen], validation


def split_regions(
    spatial: tuple[int, ...], patch: tuple[int, ...], fraction: float
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of the training and the validation region of one image, along the longer of y and x.

    The validation region is the last `fraction` of it, at least one patch, after a gap of one patch: neighbouring
    pixels tell of each other. Raises DataError for an image without room for patch, gap and patch.
    """
    axis = len(spatial) - 2 + int(spatial[-1] >= spatial[-2])
    length, extent = spatial[axis], patch[axis]
    held_out = max(extent, round(fraction * length))
    train = length - held_out - extent
    if train < extent:
        raise DataError(
            f"one image of {spatial} to train and to validate on, with patches of {patch}",
            f"at least {3 * extent} pixels along axis {'ZYX'[-len(spatial) :][axis]}: patch, gap, patch",
            "use smaller patches, give more files, or train without validation (validation=0)",
        )

    def along(part: slice) -> tuple[slice, ...]:
        return tuple(part if a == axis else slice(None) for a in range(len(spatial)))

    return along(slice(0, train)), along(slice(length - held_out, length))
