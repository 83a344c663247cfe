"""manifest.json: what a folder holds or will hold; sections, its micro-batches; and whether a job is that of the folder.

The manifest is written before the first shard and again when all is there. Between the two, what happens is added as
files of its own, so that any number of processes may add to it and no moment is a bad one to be killed at:
`shards/00012.json` for a finished shard, `sections/00001.json` where the micro-batch changed. Each has a checksum of its
values.
"""

import itertools
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxdiff.bulk.shards import ShardRecord, Written
from jaxdiff.durable import create_json, read_json, sealed, unsealed, write_json
from jaxdiff.lock import NAME as LOCK
from jaxdiff.malformed import malformed, within
from jaxdiff.plain import flat
from jaxdiff.schema import dataclass_of, fields
from jaxdiff.terminal import one_line

FORMAT = 2
NAME, SECTIONS = "manifest.json", "sections"
KINDS = {
    "request": dict[str, Any],
    "run": str | None,
    "asked_batch": int | None,
    "calls_per_image": int,
    "sections": list[Any],
    "versions": dict[str, str],
    "device": str,
    "devices": int,
    "complete": bool,
    "info": dict[str, Any],
}
OF_COMPLETE = {"totals": dict[str, Any], "shards": list[Any], "descriptions": list[Any]}
REQUEST = {"num": int, "shard": int, "checkpoint": int | None}
TOTALS = {
    "images": int,
    "not_finite": list[int],
    "saturated_values": int,
    "bytes": int,
    "seconds": float,
}
OURS = (LOCK, ".lock", f".{NAME}.")
"""Beginnings of what may be in a folder of which the manifest is not written yet."""


def read_manifest(out: Path) -> dict[str, Any] | None:
    """The manifest in `out`, or None where the folder is new or empty.

    Raises ValueError for a folder with anything else in it, and for a manifest of another format.
    """
    path = out / NAME
    if path.is_file():
        values = read_json(path)
        if not isinstance(values, Mapping) or type(values.get("format")) is not int or values["format"] != FORMAT:
            raise ValueError(f"got {path} of another format; expected format {FORMAT}; to fix: use its jaxdiff")
        with within(path, "begin anew in another --out"):
            request = fields(fields(values, KINDS)["request"], REQUEST, "request", optional=["checkpoint"])
            if request["num"] < 1 or request["shard"] < 1:
                raise malformed("request.num and request.shard", [request["num"], request["shard"]], "1 or more")
            _check_sections(values["sections"])
            if values["complete"]:
                fields(fields(values, OF_COMPLETE)["totals"], TOTALS, "totals")
                descriptions(values)
            return unsealed(dict(values))
    if out.exists() and (not out.is_dir() or any(not p.name.startswith(OURS) for p in out.iterdir())):
        raise ValueError(f"got --out {out}, which is not empty; expected a new or empty folder; to fix: another --out")
    return None


def write(out: Path, values: Mapping[str, Any]) -> None:
    """Replaces the manifest in `out`."""
    write_json(out / NAME, sealed({**values, "format": FORMAT}))


def check_request(out: Path, manifest: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Raises ValueError where the folder was begun with another request, with every value that differs."""
    old, new = flat(manifest["request"]), flat(request)
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    if names:
        lines = "\n".join(
            one_line(f"  {n}: {_short(old.get(n))} in the manifest, {_short(new.get(n))} now") for n in names
        )
        raise ValueError(
            f"got options that are not those of {out}:\n{lines}\n; expected the same, as only --batch may become smaller; "
            "to fix: set these back, or choose another --out"
        )


def sections(out: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The micro-batches of the run, oldest first: {"batch": …, "why": …}; shards yet to be made belong to the last."""
    added = sorted((out / SECTIONS).glob("?????.json"))
    micro_batches = [manifest["sections"][0]]
    for path in added:
        with within(path, "remove it"):
            micro_batches.append(unsealed(read_json(path)))
            _check_sections(micro_batches)
    return micro_batches


def _check_sections(micro_batches: Any) -> None:
    """Raises ValueError unless these are micro-batches, each smaller than the one before."""
    batches = [fields(section, {"batch": int, "why": str}, "sections")["batch"] for section in micro_batches]
    if not batches or min(batches) < 1 or any(late >= early for early, late in itertools.pairwise(batches)):
        raise malformed("sections.batch", batches, "numbers of 1 or more that fall")


def add_section(out: Path, manifest: Mapping[str, Any], batch: int, why: str) -> list[dict[str, Any]]:
    """The sections with a new one of a smaller micro-batch, unless another process was first to add such a one."""
    micro_batches = sections(out, manifest)
    while micro_batches[-1]["batch"] > batch:
        create_json(out / SECTIONS / f"{len(micro_batches):05d}.json", sealed({"batch": batch, "why": why}))
        micro_batches = sections(out, manifest)
    return micro_batches


def completed(
    manifest: Mapping[str, Any],
    micro_batches: list[dict[str, Any]],
    finished: list[ShardRecord],
    descriptions: list[Written],
) -> dict[str, Any]:
    """The manifest of a folder in which every shard is finished.

    Args:
        manifest: before that.
        micro_batches: the `sections`.
        finished: the records of all shards, which go in, with their sums.
        descriptions: the files that describe the set.
    """
    totals = {
        "images": sum(record.num for record in finished),
        "not_finite": [i for record in finished for i in record.not_finite],
        "saturated_values": sum(record.saturated for record in finished),
        "bytes": sum(file.bytes for record in finished for file in record.files),
        "seconds": round(sum(record.seconds for record in finished), 3),
    }
    return {
        **manifest,
        "sections": micro_batches,
        "complete": True,
        "totals": totals,
        "shards": [asdict(record) for record in finished],
        "descriptions": [asdict(file) for file in descriptions],
    }


def descriptions(manifest: Mapping[str, Any]) -> list[Written]:
    """The files that describe a complete set, as they were written."""
    return [dataclass_of(Written, one, f"descriptions[{i}]") for i, one in enumerate(manifest["descriptions"])]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:38]} … {text[-38:]}"
