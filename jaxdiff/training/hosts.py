"""Several processes as one run: who takes part, roll call, and what one of them decides for all.

`joined()` comes before anything else touches JAX. Every process calls process 0 at the coordinator's address, where all
are counted and compared before JAX's own service starts there (`jaxdiff.training.roll_call`). The connections stay open:
where a process dies, the others end with a message instead of waiting in a collective (JAX's heartbeat, 100 s, covers
machines that fall silent).
"""

import atexit
import contextlib
import itertools
import json
import os
import re
import selectors
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from jaxdiff import stopping
from jaxdiff.plain import flat
from jaxdiff.training.environment import versions
from jaxdiff.training.line import Line
from jaxdiff.training.roll_call import HostsError, Place, call_roll, differences, shown

TIMEOUT = 300.0
"""Seconds within which all processes must have called; the environment's JAXDIFF_HOSTS_TIMEOUT changes it."""
LOST = 4
"""Exit status of a process whose run lost another one."""
NAMES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
GOODBYE = {"goodbye": True}


def find_place(env: Mapping[str, str]) -> Place | None:
    """The place that the environment tells: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or SLURM's.

    None for a process on its own. Raises ValueError for some but not all of the three, and for values that are no place.
    """
    if set_names := [name for name in NAMES if env.get(name)]:
        if missing := [name for name in NAMES if name not in set_names]:
            raise ValueError(
                f"got {', '.join(set_names)} but not {', '.join(missing)}; expected all three; to fix: set them"
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


def described(config: Any) -> dict[str, Any]:
    """What must be the same on all hosts before they begin: every field of a config, and the versions of what runs it."""
    fields = {f"config.{name}": value for name, value in flat(config.to_json()).items()}
    return json.loads(json.dumps({**versions(), **fields}))


@contextlib.contextmanager
def joined(about: Mapping[str, Any] | None = None) -> Iterator[None]:
    """This process as one of its run's, where the environment says that there are several; else nothing.

    about: JSON values that must be the same on all, such as `described(config)`.

    On a TPU virtual machine JAX finds the others itself. Raises HostsError with the numbers of the missing processes
    after the timeout, and with what is not the same on all; ValueError for an environment that contradicts itself. Where a
    process of several leaves with an error, or dies, all others end with status LOST.
    """
    place = find_place(os.environ)
    timeout = float(os.environ.get("JAXDIFF_HOSTS_TIMEOUT", TIMEOUT))
    if place is None and any(Path("/dev").glob("accel[0-9]*")):
        jax.distributed.initialize(initialization_timeout=int(timeout))
    if place is None or place.processes == 1:
        yield
        return
    lines = call_roll(place, timeout, about or {})
    threading.Thread(target=_watch, args=(lines,), daemon=True).start()
    together = False
    try:
        jax.distributed.initialize(place.coordinator, place.processes, place.process)
        yield
        together = True
    except SystemExit:  # how all of them end a run that was told to stop
        together = True
        raise
    finally:
        for line in lines.values() if together else ():
            line.say(GOODBYE)
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


def check_alike(about: Mapping[str, Any]) -> None:
    """Raises HostsError, on all processes, with every value that is not the same on all of them; all call it."""
    first, *others = gathered(dict(about))
    if error := differences({f"process {i}": values for i, values in enumerate(others, 1)}, first):
        raise HostsError(error)


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


def _watch(lines: Mapping[str, Line]) -> None:
    """Ends this process, with a message, when another one has ended without saying goodbye."""
    with selectors.DefaultSelector() as selector:
        for name, line in lines.items():
            selector.register(line.connection, selectors.EVENT_READ, (name, line))
        while selector.get_map():
            for key, _ in selector.select():
                name, line = key.data
                messages = line.heard()
                if messages is not None and GOODBYE in messages:
                    selector.unregister(key.fileobj)
                    continue
                lost = name if messages is None else next((shown(m["lost"]) for m in messages if "lost" in m), None)
                if lost is None:  # what is no message of ours says nothing
                    continue
                for other in lines.values():
                    other.say({"lost": lost})
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
    signum = stopping.signalled()
    os._exit(2 if signum is None else 128 + signum)
