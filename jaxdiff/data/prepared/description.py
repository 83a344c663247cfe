"""The JSON files that describe a TFDS data set, checked before TFDS reads them.

TFDS imports the module that `features.json` names, and opens the files that `dataset_info.json` names, wherever they are.
Here both are data: of features those of TFDS that hold numbers, images and text, of files those in the folder.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdiff.durable import read_json
from jaxdiff.malformed import Malformed, malformed, within
from jaxdiff.schema import fields

FEATURES = {
    "features_dict.FeaturesDict": "featuresDict",
    "tensor_feature.Tensor": "tensor",
    "scalar.Scalar": "tensor",
    "image_feature.Image": "image",
    "text_feature.Text": "text",
    "class_label_feature.ClassLabel": "classLabel",
    "bounding_boxes.BBoxFeature": "boundingBox",
    "sequence_feature.Sequence": "sequence",
}
"""Features that are read, and where `features.json` keeps what they are like."""
WORDS = ("pythonClassName", "description", "valueRange")
"""What every feature may say of itself besides."""
TYPE = re.compile(r"(bool|object|string|float(16|32|64)|u?int(8|16|32|64))")
LARGEST = 10**6
"""Classes of a label, at most: TFDS makes a list of their names."""

NAME = 120
"""Letters of a name that is a part of those of files, at most: file systems hold 255 bytes."""
TEMPLATE = rf"(?=.{{0,{NAME}}}$)([\w.-]|\{{(DATASET|SPLIT|FILEFORMAT|SHARD_INDEX|NUM_SHARDS|SHARD_X_OF_Y)\}})*"
"""Of the names of a split's files: TFDS's own fields between letters."""

_FIX = "prepare the data set again, or fetch it from where it is whole"


def check_description(folder: Path) -> None:
    """Raises ValueError, naming file and field, for a description that says more than what the records hold."""
    for name, check in (("dataset_info.json", _check_info), ("features.json", _check_feature)):
        if not (folder / name).exists():
            raise Malformed(f"got no {folder / name}; expected the description of a data set; to fix: {_FIX}")
        with within(folder / name, _FIX):
            check(read_json(folder / name))
    if (folder / "metadata.json").exists():
        read_json(folder / "metadata.json")
    for path in folder.glob("*.labels.txt"):
        if not path.is_file() or path.stat().st_size > 100 * LARGEST:
            raise Malformed(
                f"got {path} of more than {100 * LARGEST} bytes, or no file; expected names; to fix: {_FIX}"
            )


def _check_info(info: Any) -> None:
    kinds = {"name": str, "version": str, "fileFormat": str, "splits": list[dict[str, Any]]}
    values = fields(info, kinds, optional=("fileFormat",))
    _matches(values["name"], rf"\w{{1,{NAME}}}", "name")
    _matches(values["version"], r"\d{1,9}(\.\d{1,9}){0,3}", "version")
    if "features" in info:
        raise malformed("features", info["features"], "them in features.json alone")
    for i, split in enumerate(values["splits"]):
        place = f"splits[{i}]"
        split = fields(
            split, {"name": str, "shardLengths": list, "filepathTemplate": str}, place, ("filepathTemplate",)
        )
        _matches(split["name"], rf"[\w.-]{{1,{NAME}}}", f"{place}.name")
        _matches(split.get("filepathTemplate") or "", TEMPLATE, f"{place}.filepathTemplate")
        for length in split["shardLengths"]:
            _matches(length, r"\d{1,15}", f"{place}.shardLengths")


def _check_feature(feature: Any, place: str = "") -> None:
    feature = fields(feature, {"pythonClassName": str}, place)
    name = feature["pythonClassName"]
    content = FEATURES.get(name.removeprefix("tensorflow_datasets.core.features."))
    if content is None or not name.startswith("tensorflow_datasets."):
        names = ", ".join(path.rpartition(".")[2] for path in FEATURES)
        raise malformed(
            f"{place}.pythonClassName".lstrip("."),
            name,
            f"one of TFDS's own {names} (to read another would mean to import it)",
            "store the set with these features",
        )
    if unknown := set(feature) - {content, *WORDS}:
        raise malformed(place or "fields", sorted(unknown), f"{content} alone")
    inner = fields(feature, {content: dict[str, Any]}, place, optional=(content,)).get(content, {})
    place = f"{place}.{content}".lstrip(".")
    if content == "featuresDict":
        parts = fields(inner, {"features": dict[str, Any]}, place)["features"]
        for key, part in parts.items():
            _check_feature(part, f"{place}.features.{key}")
    elif content == "sequence":
        _check_feature(inner.get("feature"), f"{place}.feature")
        _matches(inner.get("length", "-1"), r"-1|\d{1,9}", f"{place}.length")
    elif content == "classLabel":
        number = inner.get("numClasses", "0")
        _matches(number, r"\d{1,7}", f"{place}.numClasses")
        if int(number) > LARGEST:
            raise malformed(f"{place}.numClasses", number, f"at most {LARGEST}")
    for key in ("dtype",) if "dtype" in inner else ():
        _matches(inner[key], TYPE.pattern, f"{place}.{key}")
    if "shape" in inner:
        shape = fields(inner["shape"], {"dimensions": list}, f"{place}.shape", ("dimensions",)).get("dimensions", [])
        for size in shape:
            _matches(size, r"-1|\d{1,9}", f"{place}.shape.dimensions")
    if isinstance(inner, Mapping) and "label" in inner:
        _check_feature(inner["label"], f"{place}.label")


def _matches(value: Any, pattern: str, place: str) -> None:
    """Protocol buffers write whole numbers as text; both forms are read."""
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not re.fullmatch(pattern, text, re.ASCII):
        raise malformed(place, value, f"text like {pattern}")
