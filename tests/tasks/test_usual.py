"""What known images look like to a model, and that others are said."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from exact_models import IMAGE, Gaussian, exact

from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.commands import usual as usual_command
from jaxdiff.commands.folders import options as folder_options
from jaxdiff.data.files.write import write_image
from jaxdiff.data.pairs import Segmentation, signed_distance
from jaxdiff.tasks.segment import Segmented
from jaxdiff.tasks.usual import FEWEST, Look, Usual, load_usual, look

KNOWN = Usual(
    doubt=tuple(np.linspace(0.1, 0.5, 39)),
    contrast=tuple(np.linspace(0.6, 0.9, 39)),
    settings={"samples": 2, "solver": "dpmpp"},
    parameters="abc",
)


def test_doubt_and_contrast_are_what_they_say():
    model = exact(Gaussian(), Segmentation(), window=(16, 16), input_units=(0.0, 1.0))
    labels = np.zeros((20, 20), np.int32)
    labels[:10] = 1
    image = np.where(labels > 0, 5.0, 1.0)[..., None]
    sure = Segmented(labels, (labels > 0).astype(np.float32), np.zeros((20, 20), np.float32), labels - 0.5)
    assert look(model, image, sure) == Look(0.0, pytest.approx(1.0))
    unsure = sure._replace(uncertainty=np.full((20, 20), 0.25, np.float32))
    assert look(model, image, unsure).doubt == pytest.approx(0.25 * 400 / 200)
    noisy = image + np.random.default_rng(0).normal(0, 2, image.shape)
    assert look(model, noisy, sure).contrast == pytest.approx(4 / (4 + 4), abs=0.06)
    assert look(model, image, sure._replace(labels=0 * labels)).contrast == 0


def test_familiar_is_a_rank_among_the_known():
    assert KNOWN.familiar(Look(0.3, 0.75)) == pytest.approx(1.0, abs=0.06)
    assert KNOWN.familiar(Look(0.6, 0.75)) == pytest.approx(2 / 40)
    assert KNOWN.familiar(Look(0.3, 0.1)) == pytest.approx(2 / 40)
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(400):  # an image of the known kind is called odd as seldom as promised
        doubt, contrast = rng.normal(size=(2, 40))
        known = Usual(doubt=tuple(doubt[1:]), contrast=tuple(contrast[1:]), settings={})
        below += known.familiar(Look(doubt[0], contrast[0])) <= 0.1
    assert below / 400 < 0.1 + 4 * np.sqrt(0.1 * 0.9 / 400)


def test_an_image_beyond_all_known_ones_is_said():
    with pytest.warns(UserWarning, match=r"unlike all 39 .*0\.7 bits a pixel of foreground \(at most 0\.5\)"):
        KNOWN.say_odd(Look(0.7, 0.8))
    with pytest.warns(UserWarning, match=r"objects explain 0\.1 of its contrast \(at least 0\.6\)"):
        KNOWN.say_odd(Look(0.3, 0.1))
    KNOWN.say_odd(Look(0.5, 0.6))


def test_it_is_kept_beside_the_run(tmp_path):
    assert load_usual(tmp_path) is None
    KNOWN.save(tmp_path)
    assert load_usual(tmp_path) == KNOWN
    assert load_usual(tmp_path).checksum == KNOWN.checksum != dataclasses.replace(KNOWN, checkpoint=1).checksum
    assert KNOWN.unlike(KNOWN.settings, None, "abc") is None
    assert KNOWN.unlike({**KNOWN.settings, "samples": 4}, None, "abc") == "samples 4, it is of 2"
    assert KNOWN.unlike({**KNOWN.settings, "fuse": "vote"}, None, "abc") == "fuse vote, it is of None"
    assert KNOWN.unlike(KNOWN.settings, 7, "abc") == "checkpoint 7, it is of None"
    assert "trained anew" in (KNOWN.unlike(KNOWN.settings, None, "xyz") or "")
    (tmp_path / "usual.json").write_text('{"format": 1, "doubt": "x"}')
    with pytest.raises(ValueError, match=r"usual\.json"):
        load_usual(tmp_path)
    with pytest.raises(ValueError, match=f"{FEWEST} known images"):
        Usual(doubt=(0.1,), contrast=(0.5,), settings={})


def test_the_commands_keep_it_and_say_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    run = tmp_path / "run"
    run.mkdir()
    model = exact(Gaussian(std=0.02), Segmentation(), window=(24, 24), units=(0.0, 1.0), input_units=(1000.0, 100.0))
    model = model.__class__(**{**vars(model), "run": run})
    monkeypatch.setattr(folder_options, "load", lambda run, step=None, **_: model)
    monkeypatch.setattr(usual_command, "load", lambda run, step=None, **_: model)
    monkeypatch.setattr(usual_command, "read_run", lambda run: {})
    grid = np.indices((24, 24))
    for i in range(FEWEST + 1):
        distance = signed_distance(((grid[0] - 12) ** 2 + (grid[1] - 10 - i / 9) ** 2 < 49).astype(np.int32))
        write_image(f"in/{i:02}.ome.tif", np.rint(1000 + 100 * distance).astype(np.uint16)[..., None], IMAGE)
    args = ["segment", "--input", "in", "--run", str(run), "--samples", "2", "--calls", "2", "--out"]
    assert script.run(COMMANDS["sample"], [*args, "known"], "sample.py") == 0
    assert script.run(COMMANDS["usual"], [str(run), "--segmented", "known"], "jaxdiff usual") == 0
    assert script.run(COMMANDS["usual"], [str(run), "--segmented", "known"], "jaxdiff usual") == 2
    for name in sorted(Path("in").iterdir())[1:]:
        name.unlink()
    write_image("in/odd.ome.tif", np.random.default_rng(0).integers(990, 1010, (24, 24, 1)).astype(np.uint16), IMAGE)
    assert script.run(COMMANDS["sample"], [*args, "other"], "sample.py") == 0
    familiar, odd = json.loads((tmp_path / "other" / "summary.json").read_text())["files"]
    assert 2 / (FEWEST + 2) <= familiar["numbers"]["familiar"] <= 1
    assert not any("unlike all" in text for text in familiar["warnings"])
    assert any("unlike all 21" in text for text in odd["warnings"])
    assert (
        script.run(COMMANDS["sample"], [*args, "known", "--resume"], "sample.py") == 2
    )  # half of it would be familiar
    table = (tmp_path / "other" / "00_objects.csv").read_text().splitlines()
    assert table[0].endswith(",image_familiar")
    assert float(table[1].rpartition(",")[2]) == familiar["numbers"]["familiar"]
    capsys.readouterr()
    assert script.run(COMMANDS["sample"], [*args, "voted", "--fuse", "vote"], "sample.py") == 0
    assert "not compared with known ones, " in (said := capsys.readouterr().out)
    assert "fuse vote, it is of mean" in said
    assert "familiar" not in json.loads((tmp_path / "voted" / "summary.json").read_text())["files"][0]["numbers"]


def summary(**changes):
    options = {**dict.fromkeys(usual_command.OPTIONS), "samples": 2, "calls": 2, "solver": "dpmpp", "solver_fields": []}
    options |= {"fuse": "mean", "dynamic": 2.5, "least": 20, "parameters": "abc"}
    done = {"status": "done", "numbers": {"doubt": 0.1, "contrast": 0.5}}
    return {"options": options, "complete": True, "files": [done] * FEWEST} | changes


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (None, "without summary.json"),
        ([], "summary.json: values []"),
        (summary(files=3), "files 3"),
        (summary(files=[1] * 30), "values 1"),
        (summary(complete=False), "a command that was stopped"),
        (summary(options={"fuse": "mean"}), "no field calls"),
        (summary(options={"samples": 2}), "without doubt and contrast"),
        (summary(files=[{"status": "done", "numbers": {"doubt": 0.1}}] * FEWEST), "without doubt and contrast"),
        (summary(files=[{"status": "done", "numbers": {"doubt": "nan", "contrast": 1.0}}] * 30), "doubt 'nan'"),
        (summary(files=[*summary()["files"][1:], {"status": "done", "blank": True}]), "19 images with light"),
        (summary(), "parameters are others"),
    ],
)
def test_results_that_tell_nothing_are_refused(tmp_path, monkeypatch, stored, said):
    if stored is not None:
        (tmp_path / "summary.json").write_text(json.dumps(stored))
    monkeypatch.setattr(usual_command, "read_run", lambda run: {})
    monkeypatch.setattr(usual_command, "load", lambda run, step=None, **_: exact(Gaussian(), Segmentation()))
    with pytest.raises(ValueError, match=re.escape(said)):
        usual_command.keep(usual_command.UsualImages(run=tmp_path / "run", segmented=tmp_path))
    assert not (tmp_path / "run" / "usual.json").exists()
