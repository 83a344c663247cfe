"""The micro-batch: what fits, what is fast, and what happens when memory runs out later."""

import json
import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from bulk_jobs import rounded, small_job

from jaxdiff.bulk import bulk, memory
from jaxdiff.bulk.memory import choose_batch, free_bytes, is_out_of_memory


def no_memory() -> jax.errors.JaxRuntimeError:
    """The error that a device raises."""
    return jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes.")


def fake(batch: int, bytes_each: int = 100):
    return SimpleNamespace(batch=batch, size=batch, bytes=bytes_each * batch)


class Exhausted:
    """Programs of which those larger than `fits` run out of memory when they draw image `at` or a later one."""

    def __init__(self, build, fits, at=0, waiting=False):
        self.build, self.fits, self.at, self.waiting = build, fits, at, waiting
        self.built = []

    def __call__(self, batch):
        self.built.append(batch)
        program, late = self.build(batch), self

        class Program:
            size, calls, bytes = program.size, program.calls, program.bytes

            def __init__(self):
                self.batch = batch

            def __call__(self, first, cond):
                if batch > late.fits and first + self.size > late.at:
                    if late.waiting:
                        return Late(), Late()
                    raise no_memory()
                return program(first, cond)

        return Program()


class Late:
    """A result that turns out not to be there when it is fetched."""

    def __len__(self):
        return 4

    def __array__(self, *_, **__):
        raise no_memory()


def test_the_real_error_is_recognised_and_others_are_not():
    with pytest.raises(jax.errors.JaxRuntimeError) as error:
        jnp.zeros((2**42,), jnp.float32).block_until_ready()
    assert is_out_of_memory(error.value)
    assert is_out_of_memory(no_memory())
    assert not is_out_of_memory(jax.errors.JaxRuntimeError("INTERNAL: RESOURCE unknown"))
    assert not is_out_of_memory(MemoryError())


def test_free_memory_is_shared_by_the_devices_of_a_host():
    one, four = (free_bytes(jax.devices()[0], sharing) for sharing in (1, 4))
    assert one is not None
    assert four is not None
    assert 3 < one / four < 5


@pytest.mark.parametrize(
    ("free", "saturates", "expected"),
    [
        (10**9, 64, 64),
        (10**9, 16, 16),
        (100 * 64, 1024, 64),
        (100 * 20, 1024, 16),
        (100 * 3, 1024, 2),
        (None, 256, 256),
    ],
)
def test_the_largest_batch_that_fits_and_still_pays(monkeypatch, free, saturates, expected):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(memory, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def run(program):
        clock.now += 0.1 * max(1.0, program.batch / saturates)

    chosen = choose_batch(fake, run, free)
    assert chosen.program.batch == expected


def test_not_even_one_image():
    with pytest.raises(ValueError, match="not one image fits"):
        choose_batch(fake, lambda program: None, 10)


def test_the_compiler_says_how_much_memory_a_micro_batch_needs(build):
    small, large = (build(batch).bytes for batch in (4, 16))
    assert 4 * 4 * 64 < small < large
    assert 2 < large / small < 8


def test_batch_and_shard_are_chosen_and_written_down(model, build, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "SECONDS", 0.0)
    out = tmp_path / "out"
    bulk(small_job(model, out, batch=None, shard=None), build)
    manifest = json.loads((out / "manifest.json").read_text())
    [section] = manifest["sections"]
    assert str(section["batch"]) in section["rates"]
    assert section["batch"] in memory.BATCHES
    assert manifest["request"]["shard"] % section["batch"] == 0
    assert "images/s" in capsys.readouterr().err


@pytest.mark.parametrize("waiting", [False, True], ids=["when dispatched", "when fetched"])
def test_out_of_memory_later_halves_the_micro_batch(model, build, images, tmp_path, capsys, waiting):
    out = tmp_path / "out"
    exhausted = Exhausted(build, fits=2, at=20, waiting=waiting)
    assert bulk(small_job(model, out), exhausted) == 0
    assert exhausted.built == [4, 2]
    assert "micro-batch 2 from here on" in capsys.readouterr().err

    manifest = json.loads((out / "manifest.json").read_text())
    assert [section["batch"] for section in manifest["sections"]] == [4, 2]
    batches = [shard["batch"] for shard in manifest["shards"]]
    assert batches[:2] == [4, 4]  # finished ones keep theirs
    assert batches[2:] == [2, 2]
    stored = zarr.open_group(out / "images.zarr", mode="r")["image"][:]
    for shard in manifest["shards"]:
        rows = slice(shard["first"], shard["first"] + shard["num"])
        np.testing.assert_array_equal(stored[rows], rounded(images(shard["batch"])[rows]))


def test_a_resume_keeps_the_smaller_micro_batch(model, build, tmp_path):
    out = tmp_path / "out"
    bulk(small_job(model, out), Exhausted(build, fits=2, at=20))
    shutil.rmtree(out / "images.zarr" / "image" / "c" / "3")
    again = Exhausted(build, fits=2)
    assert bulk(small_job(model, out), again) == 0  # with --batch 4, as the first time
    assert again.built == [2]


def test_a_resume_that_does_not_fit_is_refused_until_told(model, build, tmp_path, capsys):
    out = tmp_path / "out"
    bulk(small_job(model, out), build)
    (out / "shards" / "00001.json").unlink()
    with pytest.raises(ValueError, match=r"does not fit into the device's memory.*--batch 2"):
        bulk(small_job(model, out), Exhausted(build, fits=2))
    assert not (out / "sections").exists()
    with pytest.raises(ValueError, match="begun with 4"):
        bulk(small_job(model, out, batch=8), build)
    assert bulk(small_job(model, out, batch=2), Exhausted(build, fits=2)) == 0
    assert "a new section with micro-batch 2" in capsys.readouterr().err
    manifest = json.loads((out / "manifest.json").read_text())
    assert [shard["batch"] for shard in manifest["shards"]] == [4, 2, 4, 4]


def test_no_memory_for_a_single_image(model, build, tmp_path):
    with pytest.raises(ValueError, match="a single image"):
        bulk(small_job(model, tmp_path / "out"), Exhausted(build, fits=0))
