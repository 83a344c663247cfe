"""One writer at a time: pairs of processes, kills, links, litter, and what stands where the lock should be."""

import contextlib
import errno
import json
import os
import signal
import threading
from pathlib import Path

import pytest
from child_process import python

pytest.importorskip("fcntl")
from jaxdiff import lock
from jaxdiff.lock import NAME, LockedError, only_writer, only_writer_of

FOLDER = os.path.dirname(lock.__file__)
LOADED = f"""
import sys, time, types
package = sys.modules["jaxdiff"] = types.ModuleType("jaxdiff")  # without what it imports, which takes seconds
package.__path__ = [{FOLDER!r}]
from jaxdiff import lock
"""
HOLDER = f"""{LOADED}
with lock.only_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""
COUNTER = f"""{LOADED}
from pathlib import Path
folder, tries = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(tries):
    with lock.only_writer(folder, wait=True):
        count = int((folder / "count").read_text()) if (folder / "count").exists() else 0
        time.sleep(0.001)
        (folder / "count").write_text(str(count + 1))
"""


def child(code, *arguments):
    return python("-I", "-c", code, *arguments)


def begun(process) -> str:
    return process.stdout.readline().strip() or pytest.fail(process.communicate()[1])


def test_another_process_is_refused_with_the_name_of_the_first_and_a_killed_one_has_none(tmp_path):
    out = tmp_path / "a" / "out"
    with child(HOLDER, out) as process:
        assert begun(process) == "held"
        with pytest.raises(LockedError) as refused, only_writer(out):
            pass
        said = str(refused.value)
        assert f"process {process.pid} on {os.uname().nodename} since 20" in said
        assert f"-c {out}" in said
        assert all(part in said for part in ("got ", "; expected ", "; to fix: "))
        process.send_signal(signal.SIGKILL)
        process.wait()
    with only_writer(out):
        pass
    assert not (tmp_path / "a").exists() or list(out.iterdir()) == []


def test_it_belongs_to_the_folder_and_not_to_its_name(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "link").symlink_to(out)
    monkeypatch.chdir(tmp_path)
    with only_writer(out):
        for name in ("link", "out", "./out/../out", tmp_path / "link"):
            with pytest.raises(LockedError), only_writer(name):
                pass
        with only_writer(tmp_path), only_writer(out / "below"):  # others
            pass


def test_threads_keep_each_other_out(tmp_path):
    refused = []

    def second():
        try:
            with only_writer(tmp_path):
                pass
        except LockedError as error:
            refused.append(error)

    with only_writer(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1
    second()
    assert len(refused) == 1


def test_no_count_is_lost_between_processes_that_make_and_remove_folder_and_lock(tmp_path):
    """The file is removed each time: one who waited for it must not hold it beside one who made the next."""
    processes, tries, out = 4, 25, tmp_path / "made" / "out"
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(child(COUNTER, out, tries)) for _ in range(processes)]
        assert [begun(one) for one in children] == ["ready"] * processes
        for one in children:
            one.stdin.write("\n")
            one.stdin.flush()
        assert [one.wait(60) for one in children] == [0] * processes
    assert (out / "count").read_text() == str(processes * tries)
    assert [path.name for path in out.iterdir()] == ["count"]


def test_what_was_made_for_the_lock_alone_goes_again(tmp_path):
    with pytest.raises(RuntimeError), only_writer(tmp_path / "a" / "b"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with only_writer(tmp_path / "a"):
        assert json.loads((tmp_path / "a" / NAME).read_text())["process"] == os.getpid()
    assert list((tmp_path / "a").iterdir()) == []  # it was there before
    with only_writer(tmp_path / "b" / "c"):
        (tmp_path / "b" / "c" / "result").touch()
    assert [path.name for path in (tmp_path / "b" / "c").iterdir()] == ["result"]
    with only_writer_of(tmp_path / "file.zip"):
        assert (tmp_path / ".file.zip.lock").exists()
        with pytest.raises(LockedError), only_writer_of(tmp_path / "file.zip"):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("text", [b"", b"null", b"[1]", b"[" * 5000, b"\xff", b'{"process": 1}', b"{\n" * 9000])
def test_a_lock_that_says_nonsense(tmp_path, text):
    with only_writer(tmp_path):
        (tmp_path / NAME).write_bytes(text)
        with pytest.raises(LockedError, match="it does not say which"), only_writer(tmp_path):
            pass
    (tmp_path / NAME).write_bytes(text)  # of a killed one
    with only_writer(tmp_path):
        pass


def test_its_words_do_not_reach_the_terminal_as_commands(tmp_path):
    with only_writer(tmp_path):
        holder = {"process": 1, "host": "\x1b[2J", "since": "now", "command": "a\nb"}
        (tmp_path / NAME).write_text(json.dumps(holder))
        with pytest.raises(LockedError, match=r"on \?\[2J since now: a\?b"), only_writer(tmp_path):
            pass


def test_what_stands_in_its_place(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / NAME).symlink_to(precious)
    with pytest.raises(OSError, match="nothing can be written"), only_writer(tmp_path / "link"):
        pass
    assert precious.read_text() == "mine"
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / NAME)
    with pytest.raises(LockedError, match="is no file"), only_writer(tmp_path / "pipe"):
        pass
    (tmp_path / "folder" / NAME).mkdir(parents=True)
    with pytest.raises(OSError, match="nothing can be written"), only_writer(tmp_path / "folder"):
        pass
    with pytest.raises(OSError, match=r"precious, where nothing can be written .*; to fix: another folder"):
        only_writer(precious).__enter__()
    with pytest.raises(OSError, match="nothing can be written"):
        only_writer(precious / "below").__enter__()


def test_a_folder_that_may_only_be_read(tmp_path):
    (tmp_path / "out").mkdir(mode=0o555)
    code = HOLDER
    if os.getuid() == 0:  # who may write everywhere
        code = HOLDER.replace("\nwith ", "\nimport os; os.setuid(65534)\nwith ")
        for above in (tmp_path, *tmp_path.parents[:2]):
            above.chmod(above.stat().st_mode | 0o011)
    with child(code, tmp_path / "out") as process:
        said = process.communicate("\n", timeout=30)[1]
    assert "PermissionError: got " in said
    assert "to fix: another folder, or its permissions" in said


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="no locks .* nothing keeps a second process"), only_writer(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_does_not_matter(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with only_writer(tmp_path), pytest.raises(LockedError, match="it does not say which"), only_writer(tmp_path):
        pass


def test_folders_with_a_lock_alone_are_empty():
    assert lock.is_lock(Path("x") / NAME)
    assert lock.is_lock(Path(f"{NAME}.3"))
    assert not lock.is_lock(Path("x.lock"))


def test_numbered_folders_are_each_process_own(tmp_path):
    code = f"""{LOADED}
from pathlib import Path
for _ in range(10):
    print(lock.numbered(Path(sys.argv[1]) / "demo").name)
"""
    with child(code, tmp_path / "samples") as one, child(code, tmp_path / "samples") as other:
        names = [process.communicate(timeout=30)[0].split() for process in (one, other)]
    assert sorted(names[0] + names[1]) == sorted(f"demo_{i}" for i in range(1, 21))
