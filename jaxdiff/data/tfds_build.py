"""A folder of images into a TFDS data set of array_record or parquet files, without TensorFlow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds

from jaxdiff.data.dataset import checked
from jaxdiff.data.errors import DataError
from jaxdiff.data.folder import list_folder
from jaxdiff.data.source import Source

METADATA = "jaxdiff"  # the key of the DataInfo in the data set's metadata
FileFormat = Literal["array_record", "parquet"]


class SourceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of the records of any source: one split, "train", with the source's info as metadata.

    Images keep their dtype (a zlib-packed tensor, as TFDS's own image type holds only PNG and JPEG).
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, source: Source, name: str, data_dir: str | Path, file_format: FileFormat = "array_record"):
        self.source = source
        self.name = name  # pyright: ignore[reportAttributeAccessIssue]  # a class variable in TFDS: one class a set
        super().__init__(data_dir=str(data_dir), file_format=file_format)

    def _info(self) -> tfds.core.DatasetInfo:
        info, first = self.source.info, self.source[0]
        rank = len(info.axes)
        features: dict[str, Any] = {
            "image": tfds.features.Tensor(shape=(None,) * rank, dtype=np.dtype(info.dtype), encoding="zlib"),
            "name": tfds.features.Text(),
            "file": tfds.features.Text(),
        }
        if "mask" in first:
            features["mask"] = tfds.features.Tensor(shape=(None,) * (rank - 1), dtype=np.int32, encoding="zlib")
        if "label" in first:
            features["label"] = tfds.features.ClassLabel(names=list(info.class_names))
        return tfds.core.DatasetInfo(
            builder=self,
            description="Microscope images prepared by jaxdiff.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict({METADATA: info.to_json()}),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for i in range(len(self.source)):
            record = self.source[i]
            yield i, {**record, "file": record.get("file", record["name"])}


def prepare(
    path: str | Path,
    data_dir: str | Path,
    name: str,
    file_format: FileFormat = "array_record",
    masks: str | Path | None = None,
    axes: str | None = None,
    classes: bool = False,
    skip_unreadable: bool = False,
) -> Path:
    """Turn a folder of images (as `list_folder` reads it) into data_dir/name/1.0.0; returns that folder.

    All images go into the split "train", with their file names, so that `Tfds(name, data_dir)` splits them by file.
    array_record is not to be had on Windows: use parquet there. Raises DataError for bad input (before anything is
    written), and for a data set that is there already.
    """
    listing = list_folder(path, masks, axes, classes, skip_unreadable)
    source, _, _ = checked(listing.source, (1,) * len(listing.source.info.spatial), skip_unreadable)
    builder = SourceBuilder(source, name, data_dir, file_format)
    if Path(builder.data_dir).exists():
        raise DataError(f"{builder.data_dir}, which exists", "a new data set", "remove it or choose another name")
    builder.download_and_prepare()
    return Path(builder.data_dir)
