"""Named arrays in one zip file: names, shapes and sizes are looked at before memory is taken, and nothing is executed."""

import contextlib
import io
import math
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.durable import write_bytes
from jaxdiff.malformed import Malformed

DEFLATE = 1032
"""Bytes that one byte of a deflated stream becomes, at most."""


def write_npz(path: Path, arrays: Mapping[str, np.ndarray], dtype: str, *, compressed: bool = False) -> None:
    """Arrays of floats as `dtype`, others as they are. Raises ValueError for one that is beyond the range of `dtype`."""
    converted = {}
    for name, value in arrays.items():
        with np.errstate(over="ignore"):
            converted[name] = value.astype(dtype) if value.dtype.kind == "f" else value
        if converted[name].dtype.kind == "f" and not np.isfinite(converted[name]).all():
            raise ValueError(f"got {name} up to {np.abs(value).max():g}; expected what {dtype} holds; to fix: float32")
    data = io.BytesIO()
    save: Any = np.savez_compressed if compressed else np.savez
    save(data, **converted)
    write_bytes(path, data.getvalue(), path.with_name(f".{path.name}.partial"))


def read_npz(
    path: Path, *only: str, shapes: Mapping[str, Sequence[int]] | None = None, beside: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays, or `only` some, read-only; every one with the checksum that it was written with.

    shapes: those that the arrays must have, all of them and no others; compared before any is read. beside: names of parts
    that are no arrays.

    Raises ValueError, naming the file and the array, where it is damaged, no such file, or has other arrays.
    """
    with _opened(path) as file:
        members = _members(file, beside)
        if missing := [name for name in only if name not in members]:
            raise ValueError(f"it has no array {missing[0]}")
        headers = {name: _header(file, members[name]) for name in only or members}
        if shapes is not None:
            _check_shapes(path, headers, shapes)
        return {name: _array(file, members[name], *header) for name, header in headers.items()}


def read_part(path: Path, name: str, limit: int) -> bytes:
    """A part of the zip that is no array, of at most `limit` bytes. Raises ValueError, naming file and part."""
    with _opened(path) as file:
        if name not in file.namelist():
            raise ValueError(f"it has no {name}")
        info = file.getinfo(name)
        _check_member(info)
        if info.file_size > limit:
            raise ValueError(f"{name} of {info.file_size} bytes, more than {limit}")
        return file.read(info)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip; whatever is raised for a broken one as one ValueError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is no file")
        with zipfile.ZipFile(path) as file:
            yield file
    except (FileNotFoundError, Malformed):
        raise
    except (
        *(OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, NotImplementedError, ArithmeticError),
        *(MemoryError, zipfile.BadZipFile, zlib.error, struct.error),
    ) as error:
        raise ValueError(
            f"got {path}, which cannot be read ({error}); expected a whole file of arrays; to fix: copy it again"
        ) from error


def _members(file: zipfile.ZipFile, beside: Sequence[str]) -> dict[str, zipfile.ZipInfo]:
    """The arrays by name."""
    members, other = {}, []
    for info in file.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members or info.filename in other or (name == info.filename and name not in beside):
            raise ValueError(f"{info.filename} is twice there, or no .npy")
        _check_member(info)
        if info.filename in beside:
            other.append(info.filename)
        else:
            members[name] = info
    return members


def _check_member(info: zipfile.ZipInfo) -> None:
    """Raises ValueError unless a part is stored or deflated, and no larger than its bytes can be."""
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is encrypted, or packed by another method than deflate")
    if info.file_size > DEFLATE * (info.compress_size + 16):
        raise ValueError(f"{info.filename} of {info.compress_size} bytes promises {info.file_size}")


def _header(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """(shape, Fortran's order, dtype, bytes before the numbers) of an array, which fill its member exactly."""
    with file.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{info.filename} is of version {version}")
        read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        before = stream.tell()
    if dtype.kind not in "fiu":
        raise ValueError(f"{info.filename} holds no numbers")
    if any(type(size) is not int or size < 0 for size in shape) or len(shape) > 32:
        raise ValueError(f"{info.filename} has the shape {shape}")
    if before + math.prod(shape) * dtype.itemsize != info.file_size:
        raise ValueError(f"{info.filename} of {info.file_size} bytes promises {dtype.name}{list(shape)}")
    return shape, fortran, dtype, before


def _check_shapes(path: Path, headers: Mapping[str, tuple[Any, ...]], shapes: Mapping[str, Sequence[int]]) -> None:
    lines = [f"{name}: missing, expected {list(shape)}" for name, shape in shapes.items() if name not in headers]
    lines += [f"{name}: left over, {list(header[0])}" for name, header in headers.items() if name not in shapes]
    both = ((name, list(header[0]), list(shapes[name])) for name, header in headers.items() if name in shapes)
    lines += [f"{name}: {stored}, expected {expected}" for name, stored, expected in both if stored != expected]
    if lines:
        more = f"; and {len(lines) - 8} more" if len(lines) > 8 else ""
        raise Malformed(
            f"got {path} with {len(lines)} arrays that are not those of the network: {'; '.join(sorted(lines)[:8])}{more}; "
            "expected the names and shapes of its description; to fix: take both from the same run"
        )


def _array(
    file: zipfile.ZipFile, info: zipfile.ZipInfo, shape: tuple[int, ...], fortran: bool, dtype: np.dtype, before: int
) -> np.ndarray:
    data = file.read(info)  # to its end, so that the checksum is compared
    return np.frombuffer(data, dtype, offset=before).reshape(shape, order="F" if fortran else "C")


def check_floats(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError, naming file and array, for one that is not of float16 or float32, as parameters are stored."""
    for name, array in arrays.items():
        if array.dtype.name not in ("float16", "float32"):
            raise ValueError(
                f"got {path}: {name} of {array.dtype.name}; expected float16 or float32, as parameters are stored; to fix: "
                "copy it again"
            )


def nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """{"params": {"Dense_0": {"kernel": ...}}} of names like "params/Dense_0/kernel"; floats as float32.

    Raises ValueError for a name that is at once an array and a folder of arrays.
    """
    tree: dict[str, Any] = {}
    for name, value in arrays.items():
        *folders, leaf = name.split("/")
        place = tree
        for part in folders:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ValueError(
                    f"got the array {name} beside one of the name {part}; expected either; to fix: copy it again"
                )
        if leaf in place:
            raise ValueError(f"got the array {name} beside arrays below it; expected either; to fix: copy it again")
        place[leaf] = value.astype(np.float32)
    return tree
