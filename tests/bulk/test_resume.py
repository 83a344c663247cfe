"""A bulk run continues after anything, and refuses what is not its own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bulk_jobs import data_files, small_job

from jaxdiff.bulk import bulk
from jaxdiff.bulk.disk import DiskFull, check_space
from jaxdiff.durable import sealed, unsealed
from jaxdiff.guidance import Guidance

HERE = Path(__file__).parent
CHILD = """
import sys, time
from bulk_jobs import small_job, small_model
from jaxdiff.bulk import bulk
from jaxdiff.bulk.run import program_of

class Slowly:
    def __init__(self, program):
        self.program, self.batch, self.size, self.calls, self.bytes = program, program.batch, program.size, 3, 0

    def __call__(self, first, cond):
        time.sleep(0.05)
        return self.program(first, cond)

job = small_job(small_model(), sys.argv[1], num=200, format=sys.argv[2], command="python this again")
sys.exit(bulk(job, lambda batch: Slowly(program_of(job, batch))))
"""


@contextlib.contextmanager
def child(out, format):
    """A run of 200 images at its own pace, in a process of its own."""
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(out), format],
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(path: Path, process) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(model, build, tmp_path_factory):
    """200 images without a disturbance."""
    out = tmp_path_factory.mktemp("whole") / "out"
    bulk(small_job(model, out, num=200), build)
    return data_files(out)


@pytest.mark.slow
def test_killed_then_terminated_then_continued_gives_the_same_bytes(model, build, whole, tmp_path):
    out = tmp_path / "out"
    with child(out, "zarr") as process:
        wait_for(out / "shards" / "00002.json", process)
        with pytest.raises(ValueError, match=f"another process is writing .*process {process.pid} on "):
            bulk(small_job(model, out, num=200), build)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    (out / ".partial" / "00009").write_bytes(b"half a file")
    (out / ".manifest.json.1.partial").write_bytes(b"{")
    times = {path.name: path.stat().st_mtime_ns for path in (out / "shards").glob("*.json")}

    with child(out, "zarr") as process:
        wait_for(out / "shards" / "00008.json", process)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
        assert process.returncode == 128 + signal.SIGTERM
    finished = sorted((out / "shards").glob("*.json"))
    assert f"{8 * len(finished)} of 200 images" in said
    assert "python this again" in said
    assert "Traceback" not in said
    for name, at in times.items():
        assert (out / "shards" / name).stat().st_mtime_ns == at  # never redone

    assert not json.loads((out / "manifest.json").read_text())["complete"]
    assert bulk(small_job(model, out, num=200), build) == 0
    assert data_files(out) == whole


def test_a_finished_run_does_nothing_again(model, undisturbed, capsys):
    def build(batch):
        raise AssertionError("compiled")

    out = undisturbed("zarr")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert bulk(small_job(model, out, verify=True), build) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "27 images" in capsys.readouterr().out


@pytest.mark.parametrize("format", ["zarr", "array_record"])
def test_damaged_and_missing_files_are_made_again(model, build, undisturbed, tmp_path, capsys, format):
    out = tmp_path / "out"
    job = small_job(model, out, format=format)
    bulk(job, build)
    files = [shard["files"][0]["path"] for shard in json.loads((out / "manifest.json").read_text())["shards"]]
    data = bytearray((out / files[1]).read_bytes())
    data[50] ^= 1
    (out / files[1]).write_bytes(data)
    bulk(job, build)
    assert (out / files[1]).read_bytes() == data  # its size is right: only checksums tell
    (out / files[2]).write_bytes(data[:60])
    (out / files[3]).unlink()
    bulk(small_job(model, out, format=format, verify=True), build)
    said = capsys.readouterr().err
    assert "shard 1 is made again" in said
    assert "another checksum" in said
    assert "60 bytes instead of" in said
    assert "missing" in said
    assert data_files(out) == data_files(undisturbed(format))


def test_another_request_is_refused_with_both_values(model, undisturbed):
    other = model.condition(27, 1)
    for options, words in {
        "seed": ({"seed": 7}, "seed: 0 in the manifest, 7 now"),
        "guidance": ({"guidance": Guidance(2.0)}, "guidance.scale: 1.0 in the manifest, 2.0 now"),
        "dtype": ({"dtype": "float32"}, "dtype: uint16 in the manifest, float32 now"),
        "format": ({"format": "array_record"}, "format: zarr in the manifest, array_record now"),
        "shard": ({"shard": 16}, "shard: 8 in the manifest, 16 now"),
        "num": ({"num": 28}, "num: 27 in the manifest, 28 now"),
        "labels": ({"cond": other}, "labels: 0 to 2 in turn in the manifest, 1 now"),
        "grid": ({"grid": [-4.0, 2.0]}, r"grid: \[-4.0, -1.0, 2.0\] in the manifest, \[-4.0, 2.0\] now"),
    }.values():
        job = small_job(model, undisturbed("zarr"))
        with pytest.raises(ValueError, match=words):
            bulk(type(job)(**{**vars(job), **options}))


def test_another_model_or_solver_is_refused(model, undisturbed):
    import jax

    import jaxdiff as jd

    job = small_job(model, undisturbed("zarr"), solver=jd.DPMpp(order=2, eta=0.5))
    with pytest.raises(ValueError, match=r"solver.options.eta: 1.0 in the manifest, 0.5 now"):
        bulk(job)
    job = small_job(model, undisturbed("zarr"), solver=jd.DDIM())
    with pytest.raises(ValueError, match=r"solver.class: .*DPMpp in the manifest, .*DDIM now"):
        bulk(job)
    changed = jax.tree.map(lambda leaf: leaf + 1e-6, model.denoise)
    with pytest.raises(ValueError, match="parameters: "):
        bulk(small_job(type(model)(**{**vars(model), "denoise": changed}), undisturbed("zarr")))


def test_a_folder_in_use_is_refused(model, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        bulk(small_job(model, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_shards_are_whole_micro_batches(model, build, tmp_path):
    with pytest.raises(ValueError, match=r"--shard 10 .*--shard 8"):
        bulk(small_job(model, tmp_path / "out", shard=10), build)


def test_a_model_that_gives_no_images_stops_at_the_first_shard(model, build, tmp_path):
    import jax

    broken = type(model)(**{**vars(model), "denoise": jax.tree.map(lambda leaf: leaf * float("nan"), model.denoise)})
    with pytest.raises(ValueError, match="not one is finite"):
        bulk(small_job(broken, tmp_path / "out"))
    assert not list((tmp_path / "out").glob("shards/*.json"))


@pytest.mark.parametrize("format", ["zarr", "array_record"])
def test_a_full_disk_is_a_clean_stop(model, build, undisturbed, tmp_path, format):
    """Writes of shard 2 go to /dev/full, where the system has no space left."""
    out = tmp_path / "out"
    (out / ".partial").mkdir(parents=True)
    job = small_job(model, out, format=format, command="python this again")

    class Filling:
        """The program, which lets the disk fill when shard 2 begins."""

        def __init__(self, program):
            self.program, self.batch, self.size, self.calls = program, program.batch, program.size, program.calls

        def __call__(self, first, cond):
            if first == 16:
                (out / ".partial" / "00002").symlink_to("/dev/full")
            return self.program(first, cond)

    (out / ".partial").rmdir()
    with pytest.raises(DiskFull, match=r"full disk .*16 of 27 images.*MB more.*python this again"):
        bulk(job, lambda batch: Filling(build(batch)))
    assert sorted(path.name for path in (out / "shards").iterdir()) == ["00000.json", "00001.json"]
    assert bulk(job, build) == 0
    assert data_files(out) == data_files(undisturbed(format))


def test_free_space_is_looked_at_first(model, build, tmp_path, monkeypatch):
    job = small_job(model, tmp_path / "out")

    class Usage:
        def __init__(self, free):
            self.free = free

    raw = 27 * 8 * 8 * 2
    for amount, raises, warns in ((raw, False, False), (raw - 1, False, True), (raw // 4 - 1, True, False)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, amount=amount: Usage(amount))
        (tmp_path / "out").mkdir(exist_ok=True)
        if raises:
            with pytest.raises(DiskFull, match=r"0\.0 MB of free space"):
                check_space(job)
        else:
            assert (check_space(job) is not None) == warns


def test_a_damaged_record_costs_its_shard(model, build, undisturbed, tmp_path, capsys):
    out = tmp_path / "out"
    job = small_job(model, out)
    bulk(job, build)
    capsys.readouterr()
    names = [out / "shards" / f"{i:05d}.json" for i in range(4)]
    names[0].write_bytes(b"\xff{")
    names[1].write_text("[" * 10_000)
    names[2].write_text(names[3].read_text())
    names[3].unlink()
    names[3].mkdir()
    assert bulk(job, build) == 0
    said = capsys.readouterr().err
    for i in range(4):
        assert f"shard {i} is made again" in said
    assert data_files(out) == data_files(undisturbed("zarr"))
    assert json.loads((out / "manifest.json").read_text())["complete"]
    names[1].write_text(names[1].read_text().replace('"num": 8', '"num": 7'))
    assert bulk(job, build) == 0
    assert "shard 1 is made again: got " in (said := capsys.readouterr().err)
    assert "a crc32 that is not that of the other values" in said


def changed(path, **values):
    """A record with other values, under a checksum that is right."""
    path.write_text(json.dumps(sealed({**unsealed(json.loads(path.read_text())), **values})))


@pytest.mark.parametrize("format", ["zarr", "array_record"])
def test_a_record_names_the_files_of_its_shard(model, build, undisturbed, tmp_path, capsys, format):
    out = tmp_path / "out"
    shutil.copytree(undisturbed(format), out)
    records = [out / "shards" / f"{i:05d}.json" for i in range(4)]
    files = [json.loads(path.read_text())["files"] for path in records]
    for of_shard in files[:3]:
        (out / of_shard[0]["path"]).unlink()
    changed(records[0], files=[])
    changed(records[1], files=files[3])
    changed(records[2], files=files[2][:-1] or files[3])
    changed(records[3], num=2)
    assert bulk(small_job(model, out, format=format, verify=True), build) == 0
    said = capsys.readouterr().err
    assert "shard 0 is made again: 00000.json names no files instead of" in said
    assert "shard 1 is made again: 00001.json names" in said
    assert "shard 2 is made again: 00002.json names" in said
    assert "shard 3 is made again: 00003.json is of images 24 to 25" in said
    assert data_files(out) == data_files(undisturbed(format))


@pytest.mark.parametrize("format", ["zarr", "array_record"])
def test_what_describes_a_complete_set_is_looked_at(model, undisturbed, tmp_path, capsys, format):
    def build(batch):
        raise AssertionError("compiled")

    out = tmp_path / "out"
    whole = data_files(undisturbed(format))
    shutil.copytree(undisturbed(format), out)
    described = [one["path"] for one in json.loads((out / "manifest.json").read_text())["descriptions"]]
    assert "sheet.png" in described
    assert set(whole) == {*described, *(path for path in whole if "/c/" in path or "array_record" in path)}
    for i, name in enumerate(described):
        if i % 3 == 0:
            (out / name).unlink()
        else:
            (out / name).write_bytes(b"" if i % 3 == 1 else whole[name][:-1] + b"?")
    assert bulk(small_job(model, out, format=format), build) == 0
    said = capsys.readouterr().err
    assert all(f"made again: {name} " in said for name in described)
    assert data_files(out) == whole
    assert bulk(small_job(model, out, format=format), build) == 0
    assert "made again" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("shards", "folder"),
        ("sections", "folder"),
        ("images.zarr", "folder"),
        ("images.zarr/image", "folder"),
        ("images.zarr/label/c", "folder"),
        ("images.zarr/image/c/1/0/0/0", "file"),
        ("images.zarr/zarr.json", "file"),
        ("sheet.png", "file"),
    ],
)
def test_something_else_in_the_place_of_a_file_or_folder_is_said_first(model, undisturbed, tmp_path, place, kind):
    def build(batch):
        raise AssertionError("compiled")

    def link(path):
        path.symlink_to(tmp_path / "nowhere")

    makers = {"a pipe": os.mkfifo, "a link that leads nowhere": link, "a file": Path.touch, "a folder": Path.mkdir}
    wrong = ["a pipe", "a folder"] if kind == "file" else ["a pipe", "a link that leads nowhere", "a file"]
    out = tmp_path / "out"
    for what in wrong:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(undisturbed("zarr"), out)
        if kind == "folder":
            shutil.rmtree(out / place, ignore_errors=True)
        else:
            (out / place).unlink()
        makers[what](out / place)
        with pytest.raises(ValueError, match=rf"got {out / place}, which is {what}; expected a {kind}, .*; to fix"):
            bulk(small_job(model, out), build)


def test_every_field_of_a_manifest_has_its_kind(model, undisturbed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(undisturbed("zarr"), out)
    path = out / "manifest.json"
    whole = json.loads(path.read_text())
    wrong = [None, [], {}, "x", -1, float("nan"), 10**400, True]
    for name in whole:
        others = [one for one in wrong if repr(one) != repr(whole[name])]
        for values in ({k: v for k, v in whole.items() if k != name}, *({**whole, name: one} for one in others)):
            path.write_text(json.dumps(values))
            with pytest.raises(ValueError, match=r"(?s)^got .*; expected .*; to fix: "):
                bulk(small_job(model, out))
    path.write_text(json.dumps(whole))
    assert bulk(small_job(model, out)) == 0


def test_two_processes_of_one_number_do_not_write_one_folder(model, build, tmp_path):
    out = tmp_path / "out"
    assert bulk(small_job(model, out, process=0, processes=2), build) == 0

    def held(batch):
        with pytest.raises(ValueError, match="another process is writing"):
            bulk(small_job(model, out, process=1, processes=2), build)
        return build(batch)

    assert bulk(small_job(model, out, process=1, processes=2), held) == 0
    assert json.loads((out / "manifest.json").read_text())["complete"]
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
