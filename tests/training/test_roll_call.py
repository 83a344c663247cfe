"""The roll call over real sockets: who is missing, who differs, strangers' bytes, slow senders, doubles and returns."""

import contextlib
import json
import socket
import threading
import time

import pytest
from conftest import free_port

from jaxdiff.training import line as of_lines
from jaxdiff.training import roll_call
from jaxdiff.training.line import Line
from jaxdiff.training.roll_call import HostsError, Place, call_roll, differences

ABOUT = {"config.steps": 100, "jax": "0.10.2"}


@pytest.fixture
def address():
    return f"127.0.0.1:{free_port()}"


class Host:
    """A process of the run, in a thread."""

    def __init__(self, address, processes, process, about=ABOUT, timeout=5.0):
        self.lines, self.error = None, None
        arguments = Place(address, processes, process), timeout, about
        self.thread = threading.Thread(target=self._call, args=arguments)
        self.thread.start()

    def _call(self, *arguments):
        try:
            self.lines = call_roll(*arguments)
        except HostsError as error:
            self.error = str(error)

    def end(self):
        self.thread.join(30)
        assert not self.thread.is_alive()
        for line in (self.lines or {}).values():
            line.close()
        return self.lines or self.error


def stranger(address) -> socket.socket:
    host, port = address.rsplit(":", 1)
    for _ in range(200):
        with contextlib.suppress(OSError):
            return socket.create_connection((host, int(port)), timeout=5)
        time.sleep(0.01)
    raise AssertionError("nobody answers")


def test_who_is_missing_is_named_on_all_who_came(address):
    came = [Host(address, 4, process, timeout=1.0) for process in (0, 2)]
    for error in (host.end() for host in came):
        assert "got 2 of 4 processes within 1 s" in error
        assert "missing: 1, 3; here: 0" in error
    with pytest.raises(HostsError, match="got no answer of process 0"):
        call_roll(Place(address, 4, 1), 0.3, ABOUT)


def test_hosts_that_differ_are_refused_by_field_on_all(address):
    others = {1: ABOUT, 2: {**ABOUT, "config.steps": 200, "config.lr": 0.1}, 3: {**ABOUT, "jax": "0.10.3"}}
    came = [Host(address, 4, 0), *(Host(address, 4, process, about) for process, about in others.items())]
    errors = [host.end() for host in came]
    assert len(set(errors)) == 1
    lines = errors[0].splitlines()
    assert [line.split(":")[0] for line in lines[1:-1]] == ["  config.steps", "  jax", "  config.lr"]
    assert "100 (process 0), 200 (process 2 (" in lines[1]
    assert '"0.10.3"' not in lines[2]
    assert "0.10.2 (process 0), 0.10.3 (process 3 (" in lines[2]
    assert "null (process 0), 0.1 (process 2 (" in lines[3]
    assert "to fix: run the same command on every host" in lines[-1]


def test_another_number_of_processes_is_a_difference(address):
    came = [Host(address, 2, 0), Host(address, 3, 1)]
    assert all("processes: 2 (process 0), 3 (process 1 (" in host.end() for host in came)


HTTP = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
NONSENSE = [
    HTTP,
    bytes(range(256)) * 8,
    b"\n\n\n",
    b"null\n",
    b"3\n",
    b'"process"\n',
    b"[1, 2]\n",
    b"[" * 100_000 + b"\n",
    b"9" * 10_000 + b"\n",
    b'{"process": 1}\n',
    b'{"process": true, "about": {}}\n',
    b'{"process": 1.0, "about": {}}\n',
    b'{"process": "1", "about": {}}\n',
    b'{"process": [1], "about": {}}\n',
    b'{"process": 1, "about": [1]}\n',
    b'{"process": 1, "name": NaN, "about": null}\n',
    b'{"about": {}, "goodbye": true}\n',
    "\ufeff{}\n".encode("utf-16"),
]


def test_strangers_change_nothing(address):
    """None of them counts, blocks the others, or ends the roll call."""
    first = Host(address, 3, 0, timeout=20.0)
    silent = [stranger(address) for _ in range(5)]
    half = stranger(address)
    half.sendall(b'{"process": 1, "na')
    for text in NONSENSE:
        one = stranger(address)
        with contextlib.suppress(OSError):
            one.sendall(text)
        one.close()
    flood = stranger(address)
    with contextlib.suppress(OSError):
        for _ in range(64):
            flood.sendall(b"x" * 2**16)  # 4 MB without the end of a line
    began = time.monotonic()
    others = [Host(address, 3, process) for process in (1, 2)]
    assert len(first.end()) == 2
    assert all(isinstance(host.end(), dict) for host in others)
    assert time.monotonic() - began < 15  # the silent ones are not waited for: that would take 20
    for one in (*silent, half, flood):
        one.close()


def test_who_says_nothing_is_dropped(address, monkeypatch):
    monkeypatch.setattr(roll_call, "PATIENCE", 0.2)
    monkeypatch.setattr(roll_call, "WAITING", 3)
    first = Host(address, 2, 0, timeout=20.0)
    silent = [stranger(address) for _ in range(6)]
    for one in silent:
        assert one.recv(1) == b""  # closed
    other = Host(address, 2, 1)
    assert isinstance(first.end(), dict)
    assert isinstance(other.end(), dict)


def test_a_second_call_of_a_process_is_refused_and_one_that_died_may_call_again(address):
    hello = json.dumps({"process": 1, "name": "early", "about": {"processes": 3, **ABOUT}}).encode() + b"\n"
    first = Host(address, 3, 0, timeout=20.0)
    early = stranger(address)
    early.sendall(hello)
    time.sleep(0.2)
    double = Host(address, 3, 1)
    assert "got two calls of process 1, from early and" in double.end()
    beyond = Host(address, 3, 7)
    assert "got a call of process 7; expected 1 to 2" in beyond.end()
    early.close()
    again, last = Host(address, 3, 1), Host(address, 3, 2)
    assert len(first.end()) == 2
    assert isinstance(again.end(), dict)
    assert isinstance(last.end(), dict)


@pytest.mark.parametrize(
    "answer", [HTTP, b"null\n", b"{}\n", b"\x00" * 100 + b"\n", b'{"complete": 1}\n', b'{"error": 3}\n']
)
def test_something_else_at_the_address(address, answer):
    with socket.create_server(("127.0.0.1", int(address.split(":")[1]))) as server:
        caller = Host(address, 2, 1)
        connection, _ = server.accept()
        connection.sendall(answer)
        assert "that is none of process 0" in caller.end()
        connection.close()


def test_a_process_0_that_ends_early(address):
    with socket.create_server(("127.0.0.1", int(address.split(":")[1]))) as server:
        caller = Host(address, 2, 1)
        server.accept()[0].close()
        assert "ended, or fell silent, before all had called" in caller.end()


def test_a_port_in_use_is_said(address):
    with (
        socket.create_server(("", int(address.split(":")[1]))),
        pytest.raises(HostsError, match=r"cannot be had .*to fix: end what uses it"),
    ):
        call_roll(Place(address, 2, 0), 1.0, ABOUT)


def test_names_do_not_reach_the_terminal_as_commands():
    text = differences({"process 1": {"a\x1b[2J": "\x1b]0;x\x07"}}, {})
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "a?[2J: null (process 0), ?]0;x? (process 1)" in text
    many = differences({"process 1": {str(i): i for i in range(100)}}, {})
    assert "and 80 more" in many


def test_last_digits_are_no_difference():
    assert differences({"b": {"x": [1.0, 2.000001]}}, {"x": [1.0, 2.0]}) is None
    assert differences({"b": {"x": [1.0, 2.001]}}, {"x": [1.0, 2.0]})
    assert differences({"b": {"x": True}}, {"x": 1})


def test_lines_come_whole_whatever_the_pieces(monkeypatch):
    monkeypatch.setattr(of_lines, "LINE", 50)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = Line(ours)
        assert line.heard() == []
        for piece, wanted in [(b'{"a"', []), (b": 1}\n{", [{"a": 1}]), (b"}\nno\n[1]\n", [{}, {}, {}])]:
            theirs.sendall(piece)
            assert line.heard() == wanted
        theirs.sendall(b"y" * 60)
        assert line.heard() == [{}]  # forgotten
        theirs.sendall(b'\n{"b": 2}\n')
        assert line.heard() == [{}, {"b": 2}]
        theirs.close()
        assert line.heard() is None


def test_garbage_on_an_open_line_loses_nobody_and_its_end_does(monkeypatch):
    from jaxdiff.training import hosts

    ended: list[int] = []

    def end(status: int) -> None:
        ended.append(status)
        raise SystemExit

    monkeypatch.setattr(hosts.os, "_exit", end)
    pairs = [socket.socketpair() for _ in range(3)]
    lines = {f"process {i} (x)": Line(ours) for i, (ours, _) in enumerate(pairs, 1)}
    thread = threading.Thread(target=_quiet, args=(hosts._watch, lines))
    thread.start()
    for text in NONSENSE:
        pairs[0][1].sendall(text if text.endswith(b"\n") else text + b"\n")
    pairs[1][1].sendall(b'{"goodbye": true}\n')
    time.sleep(0.2)
    pairs[1][1].close()  # after its goodbye
    time.sleep(0.2)
    assert thread.is_alive()
    assert not ended
    pairs[2][1].close()
    thread.join(10)
    assert ended == [hosts.LOST]
    assert b'"lost": "process 3 (x)"' in pairs[0][1].recv(1000)
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def _quiet(watch, lines):
    with contextlib.suppress(SystemExit):
        watch(lines)
