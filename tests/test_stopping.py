"""SIGTERM, Ctrl-C and closed terminals in real processes: one line and the right status, whatever the process is doing."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from child_process import python

from jaxdiff import script

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")
ROOT = Path(__file__).parents[1]
STOPS = [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]

COMMAND = """
import sys, time
from jaxdiff import script, stopping
stopping.GRACE = 0.3

def command(args, prog):
    print("begun", flush=True)
{body}
    return 0

script.script(command, [], "prog")
"""
WAITING = "    time.sleep(60)"
BODIES = {
    "waiting": WAITING,
    "in a library that takes it for an error": """
    try:
        time.sleep(60)
    except BaseException as error:
        raise RuntimeError("wrapped") from error
""",
    "in a destructor": """
    class Slow:
        def __del__(self):
            time.sleep(60)
    Slow()
""",
    "in a call that does not look": """
    import hashlib
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
""",
    "importing": """
    import pathlib, tempfile
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "slow.py").write_text("import time\\ntry:\\n    time.sleep(60)\\nexcept:\\n    pass\\n")
        sys.path.insert(0, folder)
        import slow
""",
}


def child(*arguments, **environment):
    return python(*arguments, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("signum", "status", "word"), STOPS)
def test_one_line_and_the_status(signum, status, word, body):
    with child("-c", COMMAND.format(body=body)) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.1)
        process.send_signal(signum)
        out, error = process.communicate(timeout=20)
    assert process.returncode == status
    assert error == f"prog: {word}\n"
    assert out == ""


@pytest.mark.parametrize("body", ["importing", "in a call that does not look"])
def test_no_lock_stays_where_the_process_ends_at_once(tmp_path, body):
    """No `finally` runs there; the folder was made for the lock, and goes with it."""
    out = tmp_path / "new" / "out"
    held = f"    from jaxdiff.lock import only_writer\n    lock = only_writer({str(out)!r})\n    lock.__enter__()\n"
    held += "    print('held', flush=True)\n"
    with child("-c", COMMAND.format(body=held + BODIES[body])) as process:
        assert [process.stdout.readline() for _ in "12"] == ["begun\n", "held\n"]
        assert [path.name for path in out.iterdir()] == [".jaxdiff.lock"]
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (143, "prog: terminated\n")
    assert not (tmp_path / "new").exists()


SAVES = """
    try:
        print("at work", flush=True)
        time.sleep(60)
    finally:
        print("saves", file=sys.stderr, flush=True)
        open(sys.argv[1], "w").close()
"""


def test_a_terminal_that_closes_ends_it_as_a_signal_does_and_what_is_said_after_that_is_no_error(tmp_path):
    """Its messages lead to nothing any more, which must not keep it from saving."""
    parent, terminal = os.openpty()
    owner = "import fcntl, signal, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    owner += "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # the tests may run under nohup
    with subprocess.Popen(
        [sys.executable, "-c", owner + COMMAND.format(body=SAVES), str(tmp_path / "saved")],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    ) as process:
        os.close(terminal)
        said = b""
        while b"at work" not in said:
            said += os.read(parent, 1000)
        os.close(parent)
        assert process.wait(20) == 129
    assert (tmp_path / "saved").exists()


def test_a_closed_terminal_is_nothing_to_a_command_under_nohup():
    body = "    os.kill(os.getpid(), 1)\n    print('goes on')"
    code = "import os, signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + COMMAND.format(body=body)
    with child("-c", code) as process:
        out, error = process.communicate(timeout=20)
    assert (process.returncode, out, error) == (0, "begun\ngoes on\n", "")


def test_what_is_under_way_is_put_in_order_and_a_second_signal_does_not_wait_for_that():
    body = """
    try:
        print("at work", flush=True)
        time.sleep(60)
    finally:
        print("in order", flush=True)
        time.sleep(60)
"""
    with child("-c", COMMAND.format(body=body)) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "at work\n"]
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "in order\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=10)
    assert process.returncode == 143  # of the first
    assert error == "prog: terminated\n"


@pytest.mark.parametrize(("signum", "status", "word"), STOPS)
@pytest.mark.parametrize("where", ["a thread", "an exit function"])
def test_while_a_process_that_is_done_leaves(signum, status, word, where):
    """Signals that came after the last line of a task used to end it without a word, or with a traceback."""
    body = f"""
    import atexit, threading
    def slow():
        threading.main_thread().join() if {where == "a thread"} else None
        print("leaving", flush=True)
        time.sleep(60)
    atexit.register(slow) if {where == "an exit function"} else threading.Thread(target=slow).start()
"""
    with child("-c", COMMAND.format(body=body)) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "leaving\n"]
        time.sleep(0.1)
        process.send_signal(signum)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (status, f"prog: {word}\n")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_in_the_last_moments_of_the_interpreter_the_status_is_that_of_the_command(signum):
    """After the exit functions the interpreter has no handlers any more: here in one that comes after ours."""
    first = "import atexit, time\natexit.register(lambda: (print('last', flush=True), time.sleep(1)))\n"
    with child("-c", first + COMMAND.format(body="")) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "last\n"]
        process.send_signal(signum)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (0, "")


@pytest.mark.parametrize(("signum", "status", "word"), STOPS)
@pytest.mark.parametrize(
    "command",
    [
        ("train.py", "configs/demo.py"),
        ("sample.py", "segment", "--input", "nowhere", "--out", "nowhere"),
        ("-m", "jaxdiff", "prepare", "nowhere", "--out", "nowhere", "--name", "x"),
    ],
)
def test_while_jax_is_imported(command, signum, status, word, tmp_path):
    """A module of JAX's name says when its import begins, and stays there."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with child(*command, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}") as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signum)
        _, error = process.communicate(timeout=20)
    assert process.returncode == status
    prog = "jaxdiff prepare" if command[0] == "-m" else command[0]
    assert error == f"{prog}: {word}\n"


@pytest.mark.parametrize(("signum", "status", "word"), STOPS)
def test_between_the_handlers_and_the_command(signum, status, word):
    """Nothing catches an exception there yet: it used to be a traceback."""
    code = "from jaxdiff import stopping; import time; stopping.install('prog'); print('begun', flush=True); time.sleep(60)"
    with child("-c", code) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signum)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (status, f"prog: {word}\n")


def test_the_handlers_come_before_the_commands_are_imported():
    """The console script imports `jaxdiff.__main__`, whose imports are those of a few milliseconds."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"] == {
        "jaxdiff": "jaxdiff.__main__:main"
    }
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from jaxdiff.__main__ import main
print({{"typing", "pathlib", "threading", "jaxdiff.cli"}} & {{*sys.modules}})
import signal, types
sys.modules["jaxdiff.cli"] = types.ModuleType("jaxdiff.cli")
sys.modules["jaxdiff"].cli = sys.modules["jaxdiff.cli"]
sys.modules["jaxdiff.cli"].main = lambda: print(signal.getsignal(signal.SIGTERM).__module__)
main()
"""
    with child("-S", "-c", code) as process:
        out, error = process.communicate(timeout=20)
    assert (out, error) == ("set()\njaxdiff.stopping\n", "")


def test_a_handler_of_its_own_is_left_to_do_what_it_does():
    """As training's, which saves first: the watch must not end the process meanwhile."""
    body = """
    import signal
    def handle(*_):
        stopping.notice()
        seen.append(1)
        signal.signal(signal.SIGTERM, before)
    seen, before = [], signal.signal(signal.SIGTERM, handle)
    import hashlib
    print("at work", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**6)
    print("saved", len(seen), flush=True)
"""
    with child("-c", COMMAND.format(body=body)) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "at work\n"]
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (0, "saved 1\n", "")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_left_ends_it_without_a_word(stream):
    body = f"""
    time.sleep(0.2)
    for i in range(100_000):
        print(i, file=sys.{stream})
"""
    with child("-c", COMMAND.format(body=body)) as process:
        process.stdout.readline()
        getattr(process, stream).close()
        setattr(process, stream, None)
        out, error = process.communicate(timeout=20)
    assert process.returncode == 141
    assert (out or "") + (error or "") == ""


def test_help_for_a_reader_that_left():
    for command in (("-m", "jaxdiff", "--help"), ("sample.py", "--help")):
        with child(*command, PYTHONUNBUFFERED="") as process:
            process.stdout.close()
            process.stdout = None
            _, error = process.communicate(timeout=20)
        assert (process.returncode, error) == (141, ""), command


def test_a_pipe_that_is_not_the_output_is_an_error(capsys):
    def command(args, prog):
        raise BrokenPipeError(32, "Broken pipe")

    assert script.run(command, [], "prog") == 2
    assert "Broken pipe" in capsys.readouterr().err


CLOSED = """
import os, sys
from jaxdiff import stopping
stopping.install("prog")
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
from tqdm import tqdm
for _ in tqdm(range(2), desc="steps"):
    print("out", flush=True)
    print("error", file=sys.stderr, flush=True)
os.write(2, b"of a library")
os.write(file, f"{file > 2} {sys.stdin.read()!r}".encode())
"""


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_leads_nowhere(closed, tmp_path):
    command = f'exec "$0" "$@" {closed}'
    arguments = [sys.executable, "-c", CLOSED, str(tmp_path / "file")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command, *arguments], env=environment, input="", capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout == ("" if ">&- " in f"{closed} ".replace("2>&-", "") else "out\nout\n")
    assert ("steps" in done.stderr) == ("2>&-" not in closed)
    assert (tmp_path / "file").read_text() == "True ''"  # nothing that was said is in it


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_an_error_that_cannot_be_said_has_its_status_all_the_same():
    body = "    raise ValueError('got a; expected b; to fix: c')"
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", COMMAND.format(body=body)]
        done = subprocess.run(command, cwd=ROOT, stderr=full, stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("command", [("-m", "jaxdiff", "--help"), ("-m", "jaxdiff")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_that_takes_no_more_is_said_and_is_no_traceback(command, unbuffered, stream):
    """What is printed waits in the process until the end, unless Python is told otherwise."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: full},
            text=True,
            timeout=60,
        )
    helped = "--help" in command
    assert done.returncode == (0 if helped and stream == "stderr" else 2)
    if helped and stream == "stdout":
        assert done.stderr.count("\n") == 1
        assert "No space left" in done.stderr
        assert "to fix:" in done.stderr


def test_letters_that_the_terminal_has_not_are_written_out():
    with child("-m", "jaxdiff", "--help", PYTHONIOENCODING="ascii") as process:
        out, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (0, "")
    assert "\\u2026" in out
