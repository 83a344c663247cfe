"""BBBC039v1: 200 fluorescence fields of U2OS nuclei (Hoechst), 520 x 696, with instance masks; CC0.

Broad Bioimage Benchmark Collection, Ljosa et al., Nature Methods 2012, doi:10.1038/nmeth.2083; Caicedo et al.,
Cytometry A 2019, doi:10.1002/cyto.a.23863. Images hold 12-bit values in 16 bits and no pixel size. The well is the
second part of a file's name: fields of one well belong in one part of a split.
"""

import shutil
import zipfile
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage

from jaxdiff.data.errors import DataError
from jaxdiff.data.sources.download import fetch
from jaxdiff.lock import only_writer

URL = "https://data.broadinstitute.org/bbbc/BBBC039/"
LARGEST = 2**26
"""Bytes of a field or its mask; the collection's have 0.7 million."""
WELL = r"_([A-P][0-9]{2})_"


def download(
    folder: str | Path,
    url: str = URL,
    images_sha256: str | None = None,
    masks_sha256: str | None = None,
    tries: int = 5,
    wait: float = 1.0,
) -> Path:
    """Download the collection to folder/{images,masks}, masks as label TIFFs of the images' names; returns `folder`.

    Parts that are there are not made again; a second process waits for the first. The Broad publishes no checksums: those of
    the first download are kept beside the archives (`jaxdiff.data.sources.download.fetch`) unless given. Raises DataError for
    transfers that fail, damaged archives, and images and masks that do not match.
    """
    folder, parts = Path(folder), {"images": images_sha256, "masks": masks_sha256}
    if all((folder / part).exists() for part in parts):  # which may lie where nobody writes
        return folder
    with only_writer(folder, wait=True):
        for part, sha256 in parts.items():
            if not (folder / part).exists():
                address = f"{url.rstrip('/')}/{part}.zip"
                archive = fetch(address, folder / "archives" / f"{part}.zip", sha256, tries, wait)
                _unpack(archive, folder / part)
    return folder


def labels_of(colours: np.ndarray) -> np.ndarray:
    """Instance labels (Y, X) uint16 from a mask picture: connected pixels (8 neighbours) of one red level above 0.

    That is how the collection's authors read their masks, whose colours only keep touching nuclei apart.
    """
    red = colours[..., 0] if colours.ndim == 3 else colours
    labels, number = np.zeros(red.shape, np.uint16), 0
    for level in np.unique(red[red > 0]):
        parts = np.empty(red.shape, np.int32)
        ndimage.label(red == level, structure=np.ones((3, 3)), output=parts)
        labels = np.where(parts > 0, parts + number, labels).astype(np.uint16)
        number += int(parts.max())
    return labels


def _unpack(archive: Path, folder: Path) -> None:
    """Files of an archive, without its folders, into a folder that appears when all are there."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                name = Path(member.filename).name
                if member.file_size > LARGEST:
                    raise DataError(
                        f"{archive} with {name} of {member.file_size} bytes", f"at most {LARGEST}", "remove it"
                    )
                if member.is_dir() or name.startswith("."):
                    continue
                if name.endswith(".png"):
                    with file.open(member) as stream, Image.open(stream) as picture:
                        labels = labels_of(np.asarray(picture))
                    tifffile.imwrite(partial / f"{name[:-4]}.tif", labels, compression="zlib")
                elif name.endswith((".tif", ".tiff")):
                    (partial / name).write_bytes(file.read(member))
        if not any(partial.iterdir()):
            raise DataError(f"{archive} without TIFF or PNG files", "an archive of BBBC039", "remove it and try again")
        partial.rename(folder)
    except (*(OSError, EOFError, RuntimeError, LookupError), zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{archive}, which cannot be unpacked ({error})", "a whole archive and room for it", "remove it"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
