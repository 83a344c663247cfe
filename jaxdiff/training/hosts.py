"""Several processes as one run: who takes part, roll call, and what one of them decides for all.

`joined()` comes before anything else touches JAX. Every process calls process 0 at the coordinator's address, where all
are counted before JAX's own service starts there: who is missing is then known by number. The connections stay open. The
system closes that of a process that dies, at once and whatever killed it, so that the others end with a message instead
of waiting in a collective (JAX's heartbeat, 100 s, covers machines that fall silent).
"""

import atexit
import contextlib
import itertools
import json
import os
import re
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

TIMEOUT = 300.0
"""Seconds within which all processes must have called; the environment's JAXDIFF_HOSTS_TIMEOUT changes it."""
LOST = 4
"""Exit status of a process whose run lost another one."""
NAMES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
GOODBYE = {"goodbye": True}


class HostsError(RuntimeError):
    """The processes of a run did not come together."""


@dataclass(frozen=True)
class Place:
    """This process among those of a run."""

    coordinator: str
    """HOST:PORT of process 0."""
    processes: int
    process: int


def find_place(env: Mapping[str, str]) -> Place | None:
    """The place that the environment tells: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or SLURM's.

    None for a process on its own. Raises ValueError for some but not all of the three, and for values that are no place.
    """
    if given := [name for name in NAMES if env.get(name)]:
        if missing := [name for name in NAMES if name not in given]:
            raise ValueError(
                f"got {', '.join(given)} but not {', '.join(missing)}; expected all three; to fix: set them"
            )
        address, processes, process = (env[name] for name in NAMES)
        if not re.fullmatch(r".+:\d+", address) or not (processes + process).isdigit():
            raise ValueError(
                f"got {', '.join(NAMES)} = {address}, {processes}, {process}; expected HOST:PORT, two numbers"
            )
        if int(process) >= int(processes):
            raise ValueError(
                f"got process {process} of {processes}; expected 0 to {int(processes) - 1}; to fix: {NAMES[2]}"
            )
        return Place(address, int(processes), int(process))
    if "SLURM_STEP_NODELIST" in env and "SLURM_PROCID" in env:
        # "gpu[007-009,12],login1" begins with gpu007. The port is a function of the job, alike for all of its tasks.
        first = re.match(r"([^\[,]+)(?:\[(\d+))?", env["SLURM_STEP_NODELIST"])
        processes, job = int(env.get("SLURM_STEP_NUM_TASKS", 1)), int(env.get("SLURM_JOB_ID", 0))
        assert first is not None
        return Place(f"{first[1]}{first[2] or ''}:{61440 + job % 4096}", processes, int(env["SLURM_PROCID"]))
    return None


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """This process as one of its run's, where the environment says that there are several; else nothing.

    On a TPU virtual machine JAX finds the others itself. Raises HostsError with the numbers of the missing processes
    after the timeout, ValueError for an environment that contradicts itself. Where a process of several leaves with an
    error, or dies, all others end with status LOST.
    """
    place = find_place(os.environ)
    timeout = float(os.environ.get("JAXDIFF_HOSTS_TIMEOUT", TIMEOUT))
    if place is None and any(Path("/dev").glob("accel[0-9]*")):
        jax.distributed.initialize(initialization_timeout=int(timeout))
    if place is None or place.processes == 1:
        yield
        return
    connections = _call_roll(place, timeout)
    threading.Thread(target=_watch, args=(connections,), daemon=True).start()
    together = False
    try:
        jax.distributed.initialize(place.coordinator, place.processes, place.process)
        yield
        together = True
    except SystemExit:  # how all of them end a run that was told to stop
        together = True
        raise
    finally:
        for connection in connections.values() if together else ():
            _send(connection, GOODBYE)
        if not together:
            atexit.register(_end_now)


def leader() -> bool:
    """Whether this process writes and speaks for all."""
    return jax.process_index() == 0


def wait(what: str) -> None:
    """Returns when all processes have come to `what`."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def gathered(value: Any) -> list[Any]:
    """The JSON values of all processes, by number. Every process asks, in the same order."""
    if jax.process_count() == 1:
        return [value]
    store, number = _store(), next(_asked)
    store.key_value_set(_key(number, jax.process_index()), json.dumps(value))
    values = [json.loads(text) for text in _read(store, number, range(jax.process_count()))]
    store.key_value_delete(_key(number - KEPT, jax.process_index()))
    return values


def decided(value: Any) -> Any:
    """The leader's JSON value, on all processes, which ask in the same order. It waits for the leader, not for devices."""
    if jax.process_count() == 1:
        return value
    store, number = _store(), next(_asked)
    if not leader():
        return json.loads(_read(store, number, [0])[0])
    store.key_value_set(_key(number, 0), json.dumps(value))
    store.key_value_delete(_key(number - KEPT, 0))
    return value


_asked = itertools.count()
PATIENCE = 24 * 3600
"""Seconds for which an answer may take, such as while the leader draws samples; a dead process is noticed otherwise."""
KEPT = 1000
"""Answers after which one is forgotten: no process is that far behind the leader, since every step brings them together."""


def _key(number: int, process: int | str) -> str:
    return f"jaxdiff/{number}/{process}"


def _read(store: Any, number: int, processes: Iterable[int]) -> list[str]:
    return [store.blocking_key_value_get(_key(number, process), 1000 * PATIENCE) for process in processes]


def preempted(step: int) -> bool:
    """Whether all processes should save and stop at this step, since one of them was told to (SIGTERM).

    The same answer on all; every process asks at each step.
    """
    return multihost_utils.reached_preemption_sync_point(step)


def _store() -> Any:
    from jax._src.distributed import global_state  # what Orbax uses: JAX has no public name for it

    return global_state.client


def _call_roll(place: Place, timeout: float) -> dict[str, socket.socket]:
    """Returns when all processes have called process 0: open connections to it, or of it to all others, by name."""
    host, port = place.coordinator.rsplit(":", 1)
    deadline = time.monotonic() + timeout
    if place.process:
        connection = _reach(host.strip("[]"), int(port), deadline, place)
        _send(connection, {"process": place.process, "name": f"{socket.gethostname()}, process id {os.getpid()}"})
        connection.settimeout(timeout + 10)
        answer = _receive(connection)
        if answer is None or "error" in answer:
            raise HostsError(
                (answer or {}).get("error") or f"process 0 at {place.coordinator} ended before all had called"
            )
        connection.settimeout(None)
        return {f"process 0 ({host})": connection}

    called: dict[int, tuple[str, socket.socket]] = {}
    with socket.create_server(("", int(port)), backlog=place.processes) as server:
        while len(called) < place.processes - 1:
            try:
                server.settimeout(max(deadline - time.monotonic(), 0.01))
                connection, _ = server.accept()
            except TimeoutError:
                break
            connection.settimeout(10)
            caller = _receive(connection) or {}
            number = caller.get("process")
            if isinstance(number, int) and 0 < number < place.processes and number not in called:
                connection.settimeout(None)
                called[number] = caller["name"], connection
            else:
                _send(connection, {"error": f"got a call of process {number}, twice or beyond {place.processes - 1}"})
    if len(called) < place.processes - 1:
        missing = [n for n in range(1, place.processes) if n not in called]
        error = (
            f"got {len(called) + 1} of {place.processes} processes within {timeout:g} s at {place.coordinator}; missing: "
            f"{', '.join(map(str, missing))}; here: "
            + ", ".join(f"{n} ({name})" for n, (name, _) in sorted({0: (host, None), **called}.items()))
            + "; expected all; to fix: look at the logs of those missing, and at firewalls"
        )
        for _, connection in called.values():
            _send(connection, {"error": error})
        raise HostsError(error)
    for _, connection in called.values():
        _send(connection, {"complete": True})
    return {f"process {number} ({name})": connection for number, (name, connection) in called.items()}


def _reach(host: str, port: int, deadline: float, place: Place) -> socket.socket:
    while True:
        try:
            return socket.create_connection((host, port), timeout=max(deadline - time.monotonic(), 0.01))
        except OSError as error:
            if time.monotonic() > deadline:
                raise HostsError(
                    f"got no answer of process 0 at {place.coordinator} ({error}); expected it within the timeout; to fix: "
                    "start it, and look at the address and at firewalls"
                ) from error
            time.sleep(0.2)


def _send(connection: socket.socket, value: Any) -> None:
    with contextlib.suppress(OSError):  # who has left is found by reading
        connection.sendall(json.dumps(value).encode() + b"\n")


def _receive(connection: socket.socket) -> dict[str, Any] | None:
    """The next line; None where the other side has closed, or says nothing in time."""
    line = b""
    try:
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                return None
            line += byte
        return json.loads(line)
    except (OSError, ValueError):
        return None


def _watch(connections: dict[str, socket.socket]) -> None:
    """Ends this process, with a message, when another one has ended without saying goodbye."""
    with selectors.DefaultSelector() as selector:
        for name, connection in connections.items():
            selector.register(connection, selectors.EVENT_READ, name)
        while selector.get_map():
            for key, _ in selector.select():
                said = _receive(key.fileobj)  # type: ignore[arg-type]
                if said == GOODBYE:
                    selector.unregister(key.fileobj)
                    continue
                lost = (said or {}).get("lost", key.data)
                for connection in connections.values():
                    _send(connection, {"lost": lost})
                print(
                    f"jaxdiff: error: lost {lost}, which ended or was killed; all processes of this run end; to fix: see its "
                    "log, and run the same command on all hosts again, it continues from the newest checkpoint",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(LOST)


def _end_now() -> None:
    """Ends the process without JAX's farewell, which waits for processes that will not come."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(2)
