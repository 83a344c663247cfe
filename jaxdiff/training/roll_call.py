"""The roll call of a run of several processes: who takes part, and whether all are about to do the same.

Every process calls process 0, which counts them, compares what they say of themselves, and lets all begin or none. The
connections stay open: the system closes that of a process that dies, at once and whatever killed it.

Whoever can reach the port can talk to it; what is no message of a process of the run is dropped: a caller has `PATIENCE`
seconds to say who it is, and none waits for another. Nothing is authenticated or encrypted: the network is the run's own,
as JAX's is, which starts on the same port.
"""

import contextlib
import json
import math
import os
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jaxdiff.training.line import LINE, PATIENCE, Line

WAITING = 256
"""Callers that have not said who they are, at most; beyond, the oldest are dropped."""
SHOWN = 20
"""Differences that are listed."""


class HostsError(RuntimeError):
    """The processes of a run did not come together."""


@dataclass(frozen=True)
class Place:
    """This process among those of a run."""

    coordinator: str
    """HOST:PORT of process 0."""
    processes: int
    process: int

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self.coordinator.rsplit(":", 1)
        return host.strip("[]"), int(port)


def call_roll(place: Place, timeout: float, about: Mapping[str, Any]) -> dict[str, Line]:
    """Returns when all processes have called process 0: lines to it, or of it to all others, by name.

    about: JSON values by name that must be the same on all.
    Raises HostsError, on all that came, with the numbers of the missing processes after `timeout` seconds, and with every
    value that is not the same on all.
    """
    deadline = time.monotonic() + timeout
    about = {"processes": place.processes, **about}
    if place.process:
        return {f"process 0 ({place.address[0]})": _call(place, timeout, deadline, about)}
    called = _answer(place, deadline)
    error = _missing(place, timeout, called) or differences(
        {f"process {number} ({line.name})": line.about for number, line in called.items()}, about
    )
    for line in called.values():
        line.say({"error": error} if error else {"complete": True})
    if error:
        raise HostsError(error)
    return {f"process {number} ({line.name})": line for number, line in called.items()}


def differences(others: Mapping[str, Mapping[str, Any]], own: Mapping[str, Any], me: str = "process 0") -> str | None:
    """What to say where values are not the same on all processes, by name; None where they are."""
    names = dict.fromkeys([*own, *(name for other in others.values() for name in other)])
    lines = []
    for name in names:
        unlike = {who: other.get(name) for who, other in others.items() if not _same(own.get(name), other.get(name))}
        if unlike:
            values = ", ".join(f"{shown(value)} ({who})" for who, value in unlike.items())
            lines.append(f"\n  {shown(name)}: {shown(own.get(name))} ({me}), {values}")
    if not lines:
        return None
    more = f"\n  and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return (
        f"got hosts that are not about to do the same:{''.join(lines[:SHOWN])}{more}\nexpected the same command, config, "
        "data and versions on all of them; to fix: run the same command on every host"
    )


def shown(value: Any) -> str:
    """A value of another process for a text of this one: short, and without what moves a terminal's cursor."""
    text = value if isinstance(value, str) else json.dumps(value)
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= 80 else f"{text[:38]} … {text[-38:]}"


def _same(one: Any, other: Any) -> bool:
    """Equal; numbers up to the last digits, which differ between processors."""
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-4)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def _answer(place: Place, deadline: float) -> dict[int, Line]:
    """Those who called until `deadline`, or all, by number."""
    called: dict[int, Line] = {}
    with contextlib.ExitStack() as stack, _server(place) as server, selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)

        def drop(line: Line) -> None:
            selector.unregister(line.connection)
            line.close()
            if line.number is not None:
                called.pop(line.number, None)

        while len(called) < place.processes - 1 and time.monotonic() < deadline:
            for key, _ in selector.select(min(max(deadline - time.monotonic(), 0), 0.2)):
                if key.fileobj is server:
                    with contextlib.suppress(OSError):  # who called has left already
                        line = Line(server.accept()[0])
                        selector.register(line.connection, selectors.EVENT_READ, line)
                    continue
                line: Line = key.data
                messages = line.heard()
                if messages is None:
                    drop(line)
                elif messages and line.number is None:
                    if error := _introduced(line, messages[0], place, called):
                        line.say({"error": error})
                        drop(line)
                    elif line.number is None:
                        drop(line)
            unknown = [key.data for key in selector.get_map().values() if key.data and key.data.number is None]
            late = [line for line in unknown if time.monotonic() - line.since > PATIENCE]
            for line in {*late, *unknown[: max(0, len(unknown) - WAITING)]}:
                drop(line)
        for key in list(selector.get_map().values()):
            if key.data and key.data.number is None:
                stack.callback(key.data.close)
    return dict(sorted(called.items()))


def _server(place: Place) -> socket.socket:
    try:
        server = socket.create_server(("", place.address[1]), backlog=max(128, place.processes))
    except OSError as error:
        raise HostsError(
            f"got port {place.address[1]} of this host, which cannot be had ({error}); expected a free one; to fix: end what "
            f"uses it, or another port in {place.coordinator}"
        ) from error
    server.setblocking(False)
    return server


def _introduced(line: Line, message: Mapping[str, Any], place: Place, called: dict[int, Line]) -> str | None:
    """Takes the caller in, or says why not; a stranger is neither."""
    number, about = message.get("process"), message.get("about")
    if type(number) is not int or not isinstance(about, dict):
        return None
    if not 0 < number < place.processes:
        return f"got a call of process {number}; expected 1 to {place.processes - 1}; to fix: its number"
    if number in called:
        return f"got two calls of process {number}, from {called[number].name} and {shown(message.get('name'))}; expected one"
    line.number, line.name, line.about = number, shown(message.get("name")), about
    called[number] = line
    return None


def _missing(place: Place, timeout: float, called: Mapping[int, Line]) -> str | None:
    missing = [n for n in range(1, place.processes) if n not in called]
    if not missing:
        return None
    joined = ", ".join(
        f"{n} ({name})" for n, name in [(0, place.address[0]), *((n, x.name) for n, x in called.items())]
    )
    return (
        f"got {len(called) + 1} of {place.processes} processes within {timeout:g} s at {place.coordinator}; missing: "
        f"{', '.join(map(str, missing))}; here: {joined}; expected all; to fix: look at the logs of those missing, and at "
        "firewalls"
    )


def _call(place: Place, timeout: float, deadline: float, about: Mapping[str, Any]) -> Line:
    """The line to process 0, once it has said that all may begin."""
    line = Line(_reached(place, deadline))
    name = f"{socket.gethostname()}, process id {os.getpid()}"
    line.say({"process": place.process, "name": name, "about": about})
    for message in _waited_for(line, deadline + timeout + PATIENCE):
        if message.get("complete") is True:
            return line
        if isinstance(error := message.get("error"), str):
            raise HostsError(
                "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in error[:LINE])
            )
        raise HostsError(
            f"got an answer at {place.coordinator} that is none of process 0; expected it there; to fix: another port, as "
            "another program uses this one"
        )
    raise HostsError(f"process 0 at {place.coordinator} ended, or fell silent, before all had called")


def _waited_for(line: Line, deadline: float) -> Iterator[dict[str, Any]]:
    """Messages as they come, until the other side closes or the time is over."""
    with selectors.DefaultSelector() as selector:
        selector.register(line.connection, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if selector.select(1.0):
                messages = line.heard()
                if messages is None:
                    return
                yield from messages


def _reached(place: Place, deadline: float) -> socket.socket:
    while True:
        try:
            return socket.create_connection(place.address, timeout=max(deadline - time.monotonic(), 0.01))
        except OSError as error:
            if time.monotonic() > deadline:
                raise HostsError(
                    f"got no answer of process 0 at {place.coordinator} ({error}); expected it within the timeout; to fix: "
                    "start it, and look at the address and at firewalls"
                ) from error
            time.sleep(0.2)
