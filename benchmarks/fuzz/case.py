"""One damaged file given to its reader: what came of it."""

import dataclasses
import re
import shutil
import signal
import time
import warnings
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from benchmarks.fuzz.image_files import Format
from benchmarks.fuzz.mutations import damaged

Outcome = Literal["refused", "same", "changed", "wrong", "unclean", "hang", "blow-up"]
CLEAN = re.compile(r"(?s)got .*; expected ")
SECONDS = 20
"""For one file, of which a whole one takes well below one."""
MEMORY = 2**28
"""Bytes by which a process may grow at one file of some KB."""


class Result(NamedTuple):
    """What became of one file."""

    outcome: Outcome
    """refused: in our words; same: read, nothing lost; changed: other values, where no checksum covers them; wrong: other
    values in spite of a checksum; unclean: an error of other words; hang, blow-up: more time or memory than allowed."""
    damage: str
    file: str
    error: str
    seconds: float


class Hang(BaseException):
    """The alarm; no reader may catch it."""


class Whole:
    """A format's whole files in a folder, of which each case damages one."""

    def __init__(self, format: Format, folder: Path):
        self.format, self.folder, self.place = format, folder / "whole", folder / "damaged"
        self.folder.mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            format.make(self.folder)
        paths = (path for pattern in format.damage for path in sorted(self.folder.glob(pattern)) if path.is_file())
        self.files = [path for path in paths if path.stat().st_size]
        shutil.copytree(self.folder, self.place)
        self.expected = plain(format.read(self.place))

    def case(self, rng: np.random.Generator) -> Result:
        """Damages one file and reads; the folder is whole again afterwards."""
        path = self.files[int(rng.integers(len(self.files)))]
        intact, place = path.read_bytes(), self.place / path.relative_to(self.folder)
        damage, data = damaged(intact, rng, path.suffix == ".json" or path.name in ("metadata", "_METADATA"))
        before = place.stat()
        place.write_bytes(data)
        error, seconds, grown, outcome = "", time.perf_counter(), resident(), "refused"
        try:
            outcome = self._read(intact == data)
        except Hang:
            outcome = "hang"
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
            outcome = "refused" if CLEAN.match(str(raised)) and not isinstance(raised, MemoryError) else "unclean"
        seconds = time.perf_counter() - seconds
        if resident() - grown > MEMORY:
            outcome = "blow-up"
        place.write_bytes(intact)
        assert place.stat().st_size == before.st_size
        return Result(
            outcome, damage, path.name, error[:400] if outcome in ("unclean", "hang", "blow-up") else "", seconds
        )

    def _read(self, untouched: bool) -> Outcome:
        def alarm(*_):
            raise Hang

        signal.signal(signal.SIGALRM, alarm)
        signal.alarm(SECONDS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = plain(self.format.read(self.place))
        finally:
            signal.alarm(0)
        if untouched or equal(values, self.expected):
            return "same"
        return "changed" if self.format.checksum is None else "wrong"


def plain(value: Any) -> Any:
    """What was read as lists, dicts and arrays."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray | jax.Array):
        return np.asarray(value)
    return {} if value is None else repr(value) if dataclasses.is_dataclass(value) else value


def equal(a: Any, b: Any) -> bool:
    """Of the same structure and bytes."""
    if isinstance(a, dict) and isinstance(b, dict):
        return set(a) == set(b) and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and a == b


def resident() -> int:
    """Bytes of this process at its largest, reset between files where the system can (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    text = status.read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", text)[1])  # pyright: ignore[reportOptionalSubscript]
