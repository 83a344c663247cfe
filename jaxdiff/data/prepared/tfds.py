"""Records of a TFDS data set that lies prepared on disk as array_record or parquet, without TensorFlow."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_info
from tensorflow_datasets.core.read_only_builder import ReadOnlyBuilder

from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.labels import as_labels
from jaxdiff.data.files.read import check_range
from jaxdiff.data.info import DataInfo
from jaxdiff.data.patches import Record
from jaxdiff.data.prepared.build import CLASSES, INPUTS, METADATA
from jaxdiff.data.prepared.description import check_description
from jaxdiff.data.prepared.index import NAME as INDEX
from jaxdiff.data.prepared.index import Index
from jaxdiff.data.sources.source import Seen, Shared
from jaxdiff.malformed import within

_PREPARE = 'prepare it once with the "tf" extra: tfds build NAME --file_format=array_record --data_dir=DIR'


class TfdsSource:
    """One split of a prepared data set as a source.

    Data sets made by `jaxdiff.data.prepared.build` bring their DataInfo; of others (those of the TFDS catalog) the
    feature `image` must be an image of TFDS: grey, RGB or RGBA, of unknown pixel size. `label` and `mask` name the
    features for those, where the data set has them.

    Raises DataError for a folder without the data set, another file format, and splits or features that do not exist.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | Path,
        split: str = "train",
        image: str = "image",
        label: str | None = "label",
        mask: str | None = "mask",
    ):
        self.name, self.keys = name, {"image": image, "label": label, "mask": mask}
        folder = self._folder = prepared_folder(name, Path(data_dir))
        check_description(folder)
        builder = _builder(folder)
        self._places = _places(builder, split, folder)
        self.index = Index.read(folder)  # of sets that `prepare` made
        _check_index(self.index, builder, folder)
        with within(folder / "metadata.json"):
            stored = (builder.info.metadata or {}).get(INPUTS)
            self.input_info = None if stored is None else DataInfo.from_json(stored)
        self.info = _info(builder.info, image, label, folder)
        self._lock = Shared()  # the files' reader is not ours: one thread at a time

    def __len__(self) -> int:
        return len(self._places)

    def files(self, patch: Sequence[int], binning: int, allow_blank: bool) -> list[str] | None:
        """The file of each record, checked as `Index.check` does; None for a data set without index."""
        if self.index is None:
            return None
        return self.index.check([place for _, place in self._places], self.info, patch, binning, allow_blank)

    def seen(self) -> list[Seen]:
        """What the index knows of each record; nothing without one."""
        return [] if self.index is None else self.index.seen([place for _, place in self._places])

    def __getitem__(self, index: int) -> Record:
        data, place = self._places[index]
        try:
            with self._lock:
                example: dict[str, Any] = data[place]
            return self._record(example, index)
        except DataError:
            raise
        except Exception as error:
            raise _unreadable(f"record {place} of {self._folder}", error) from error

    def _record(self, example: dict[str, Any], index: int) -> Record:
        """A record in our names. Raises DataError for values that are not what the set's description says."""
        name = _text(example.get("name", f"{self.name} {index}"))
        record: Record = {
            "image": np.asarray(example[self.keys["image"]]),
            "name": name,
            "file": _text(example.get("file", name)),
        }
        if self.input_info is not None:
            record["input"] = np.asarray(example["input"])
        if self.keys["label"] in example:
            record["label"] = int(example[self.keys["label"]])
        self._check(record)
        if self.keys["mask"] in example:
            mask = np.asarray(example[self.keys["mask"]])
            if mask.ndim == len(self.info.axes) and mask.shape[-1] != 1:
                raise DataError(
                    f"a mask of {name} with {mask.shape[-1]} channels",
                    "one label for each pixel",
                    "name another feature",
                )
            mask = mask[..., 0] if mask.ndim == len(self.info.axes) else mask
            record["mask"] = as_labels(mask, f"the mask of {name}")
            if CLASSES in example and self.info.object_classes:
                record["classes"] = self._classes(_text(example[CLASSES]), name)
        if "mask" in record and record["mask"].shape != record["image"].shape[:-1]:
            raise DataError(
                f"a mask {list(record['mask'].shape)}",
                f"{list(record['image'].shape[:-1])}, as the image",
                "prepare it again",
            )
        return record

    def _classes(self, text: str, name: str) -> tuple[str, ...]:
        """The classes of a record's objects. Raises DataError for what is no list of those that the set has."""
        try:
            classes = json.loads(text)
        except ValueError:
            classes = None
        if not isinstance(classes, list) or not {*map(str, classes)} <= {*self.info.object_classes}:
            known = ", ".join(self.info.object_classes)
            raise DataError(f"classes of {name}, {text[:80]!r}", f"a list of {known}", "prepare the data set again")
        return tuple(map(str, classes))

    def _check(self, record: Record) -> None:
        for kind, info in (("image", self.info), ("input", self.input_info)):
            if info is None:
                continue
            array = record[kind]
            if array.ndim != len(info.axes) or array.shape[-1] != info.channels or array.dtype != info.dtype:
                raise DataError(
                    f"{kind} {array.dtype}{list(array.shape)}",
                    f"{info.dtype} with axes {info.axes} and {info.channels} channels",
                    "prepare the data set again",
                )
            check_range(array, f"the {kind} of {record['name']} in {self._folder}")
        names = self.info.class_names
        if "label" in record and names and not -1 <= record["label"] < len(names):
            raise DataError(f"label {record['label']}", f"0 to {len(names) - 1}", "prepare the data set again")


def _builder(folder: Path) -> Any:
    """TFDS's view of a folder whose description was checked."""
    try:
        proto = dataset_info.read_proto_from_builder_dir(str(folder))
        proto.module_name = ""  # of the code that wrote it
        return ReadOnlyBuilder(builder_dir=str(folder), info_proto=proto)
    except Exception as error:  # protocol buffers and TFDS have exceptions of their own
        raise DataError(
            f"{folder}, whose description TFDS does not read ({one_line(error)})",
            "a data set as it was prepared",
            "prepare it again",
        ) from error


def _check_index(index: Index | None, builder: Any, folder: Path) -> None:
    """Raises DataError where the index is of another number of records than the set."""
    records = builder.info.splits["train"].num_examples if "train" in builder.info.splits else 0
    if index is not None and len(index.file_of) != records:
        raise DataError(
            f"{folder / INDEX} of {len(index.file_of)} records",
            f"{records}, as in the set",
            "prepare the data set again",
        )


def _check_files(builder: Any, split: str, folder: Path) -> None:
    """Raises DataError for files of a split that are missing, elsewhere, or too small for the records promised."""
    info = builder.info.splits[split]
    for path, length in zip(map(Path, info.filepaths), info.shard_lengths):
        if path.parent != folder or not path.is_file() or path.stat().st_size < length:
            size = f"{path.stat().st_size} bytes" if path.is_file() else "missing"
            raise DataError(f"{path}, {size}", f"{length} records in {folder}", "prepare the data set again")


def _places(builder: Any, split: str, folder: Path) -> list[tuple[Any, int]]:
    """Whole split and index for each record of a split such as train[:80%].

    Parts are counted out here: TFDS 4.9.10 reads the whole split instead where the files are parquet.
    """
    try:
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(builder.info.splits)
    except Exception as error:  # AssertionError and ValueError among them
        splits = ", ".join(builder.info.splits)
        raise DataError(f"split {split!r} of {folder}", f"one of {splits} or a part of it", one_line(error)) from error
    places: list[tuple[Any, int]] = []
    for part in parts:
        _check_files(builder, part.splitname, folder)
        try:
            data = builder.as_data_source(part.splitname)
            places += [(data, i) for i in range(len(data))[part.from_ : part.to]]
        except NotImplementedError as error:  # TFDS's word for tfrecord files
            raise DataError(
                f"{folder} in another file format ({error})", "array_record or parquet", _PREPARE
            ) from error
        except Exception as error:
            raise _unreadable(str(folder), error) from error
    return places


def _unreadable(what: str, error: Exception) -> UnreadableError:
    """For whatever a broken file makes its reader raise."""
    return UnreadableError(
        f"{what}, which cannot be read ({one_line(error)})",
        "records and files as they were prepared",
        "prepare the data set again",
    )


def prepared_folder(name: str, data_dir: Path) -> Path:
    """data_dir/name[/config]/version of a prepared data set: the newest version of the only config."""
    if not re.fullmatch(r"[\w-]+(/[\w.-]+)*", name) or ".." in name.split("/"):
        raise DataError(f"name {name!r}", "that of a data set, or name/config", "letters, digits, - and _")
    versions = (file.parent for file in data_dir.glob(f"{name}/**/dataset_info.json"))
    infos = sorted(folder / "dataset_info.json" for folder in versions if re.fullmatch(r"\d+(\.\d+)*", folder.name))
    if not infos:
        raise DataError(
            f"{data_dir} without a prepared data set {name!r}", f"{name}/VERSION/dataset_info.json", _PREPARE
        )
    parents = {file.parent.parent for file in infos}
    if len(parents) > 1:
        configs = sorted(str(p.relative_to(data_dir)) for p in parents)
        raise DataError(f"several configs, {configs}", "one data set", f"name one, such as name={configs[0]!r}")
    return max((file.parent for file in infos), key=_version)


def _info(info: Any, image: str, label: str | None, folder: Path) -> DataInfo:
    features: dict[str, Any] = dict(info.features.items())
    if image not in features:
        raise DataError(
            f"no feature {image!r} in {folder}", f"one of {', '.join(sorted(features))}", "name the image feature"
        )
    classes = features.get(label or "")
    names = tuple(classes.names) if isinstance(classes, tfds.features.ClassLabel) else ()
    stored = (info.metadata or {}).get(METADATA)
    if stored is not None:
        with within(folder / "metadata.json"):
            return DataInfo.from_json(stored)
    feature = features[image]
    if not isinstance(feature, tfds.features.Image):
        raise DataError(f"feature {image!r} of {folder}, {feature}", "an image, whose axes are known", "name another")
    kind: Any = feature  # untyped: TFDS declares its shape and dtype as trees
    channels = int(kind.shape[-1])
    colour = channels in (3, 4)
    return DataInfo(
        channel_names=("red", "green", "blue", "alpha")[:channels] if colour else tuple(map(str, range(channels))),
        colour=colour,
        dtype=np.dtype(kind.np_dtype).name,
        class_names=names,
    )


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(n) for n in folder.name.split("."))


def one_line(error: BaseException) -> str:
    """The text of a foreign error, shortened."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:140]} … {text[-40:]}"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
