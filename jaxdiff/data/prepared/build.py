"""Records as a TFDS data set of array_record or parquet files, without TensorFlow."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds

from jaxdiff.data.info import DataInfo
from jaxdiff.data.patches import Record

METADATA = "jaxdiff"  # the key of the DataInfo in the data set's metadata
INPUTS = "jaxdiff_inputs"  # and of that of the inputs
CLASSES = "classes"
"""Of objects, a JSON list: the class of each object 1..n of the mask."""
VERSION = "1.0.0"
FileFormat = Literal["array_record", "parquet"]


class _Described(tfds.core.DatasetInfo):
    """Of this data set alone: TFDS would ask Google's catalog for one of the same name, and leave a temporary folder."""

    def initialize_from_bucket(self) -> None:
        """Nothing."""


class RecordsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of records that are made one by one: one split, "train", with the records' info as metadata.

    Arrays keep their dtype (zlib-packed tensors, as TFDS's own image type holds only PNG and JPEG).
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        records: Callable[[], Iterable[Record]],
        info: DataInfo,
        name: str,
        data_dir: str | Path,
        file_format: FileFormat = "array_record",
        masks: bool = False,
        input_info: DataInfo | None = None,
    ):
        self.records, self.image_info, self.masks, self.input_info = records, info, masks, input_info
        self.name = name  # pyright: ignore[reportAttributeAccessIssue]  # a class variable in TFDS: one class a set
        super().__init__(data_dir=str(data_dir), file_format=file_format)

    def _info(self) -> tfds.core.DatasetInfo:
        info, rank = self.image_info, len(self.image_info.axes)
        tensor = lambda rank, dtype: tfds.features.Tensor(shape=(None,) * rank, dtype=dtype, encoding="zlib")  # noqa: E731
        features: dict[str, Any] = {
            "image": tensor(rank, np.dtype(info.dtype)),
            "name": tfds.features.Text(),
            "file": tfds.features.Text(),
        }
        metadata = {METADATA: info.to_json()}
        if self.masks:
            features["mask"] = tensor(rank - 1, np.int32)
        if info.object_classes:
            features[CLASSES] = tfds.features.Text()
        if self.input_info is not None:
            features["input"] = tensor(rank, np.dtype(self.input_info.dtype))
            metadata[INPUTS] = self.input_info.to_json()
        if info.class_names:
            features["label"] = tfds.features.ClassLabel(names=list(info.class_names))
        return _Described(
            builder=self,
            description="Microscope images prepared by jaxdiff.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, Record]]:
        for number, record in enumerate(self.records()):
            yield number, record | ({CLASSES: json.dumps(record[CLASSES])} if CLASSES in record else {})
