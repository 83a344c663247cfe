"""The examples of docs/data.md run as they stand."""

import re
import runpy
from pathlib import Path

from jaxdiff.data.config import open_data
from jaxdiff.data.loader import Loader

IMPORTS = """
from dataclasses import dataclass

import numpy as np

from jaxdiff.data.config import Tfds, open_data
from jaxdiff.data.dataset import finish, hold_out
from jaxdiff.data.info import DataInfo
from jaxdiff.data.sources.source import Memory

"""


def test_the_page_on_data(images, tmp_path, monkeypatch, capsys):
    images("my_images", num=4, shape=(70, 80))
    images("my_masks", num=4, shape=(70, 80), high=9)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    script = tmp_path / "page.py"
    script.write_text(IMPORTS + "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)))
    scope = runpy.run_path(str(script), run_name="page")

    assert (tmp_path / "patches.png").exists()
    assert "3 to train on, 1 held out" in capsys.readouterr().out
    assert len(scope["data"].train) == 3
    data = open_data(scope["Discs"](), (16, 16), 0)
    assert next(Loader(data.train, data.normaliser, (16, 16), 4))["image"].shape == (4, 16, 16, 1)
