"""An open connection to another process: messages are lines of JSON, and whatever else comes is none."""

import contextlib
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 10.0
"""Seconds in which a caller must say who it is, and in which the other side takes what is said."""
LINE = 2**20
"""Bytes of a line; a longer one is forgotten."""


@dataclass(eq=False)
class Line:
    """An open connection, read in whole lines without waiting for them."""

    connection: socket.socket
    name: str = ""
    number: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)
    _data: bytearray = field(default_factory=bytearray)

    def __post_init__(self):
        self.connection.setblocking(False)

    def heard(self) -> list[dict[str, Any]] | None:
        """The messages that have come, {} for a line that is none; None where the other side has closed."""
        try:
            data = self.connection.recv(2**16)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        self._data += data
        *lines, rest = self._data.split(b"\n")
        messages = [_message(line) for line in lines]
        if len(rest) > LINE:
            rest, messages = bytearray(), [*messages, {}]
        self._data = bytearray(rest)
        return messages

    def say(self, message: Mapping[str, Any]) -> None:
        """Sends a message, where somebody is there to hear it: who has left is found by reading."""
        with contextlib.suppress(OSError):
            self.connection.settimeout(PATIENCE)
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        with contextlib.suppress(OSError):
            self.connection.setblocking(False)

    def close(self) -> None:
        """Ends it."""
        self.connection.close()


def _message(line: bytes | bytearray) -> dict[str, Any]:
    try:
        value = json.loads(bytes(line))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
