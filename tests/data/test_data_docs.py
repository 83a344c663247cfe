"""The examples of docs/data.md run as they stand."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdiff.data.config import Tfds, open_data
from jaxdiff.data.dataset import finish, hold_out
from jaxdiff.data.info import DataInfo
from jaxdiff.data.loader import Loader
from jaxdiff.data.source import Memory


def test_the_page_on_data(images, tmp_path, monkeypatch, capsys):
    images("my_images", num=4, shape=(70, 80))
    images("my_masks", num=4, shape=(70, 80), high=9)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    look, tfds, another = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    scope = {"open_data": open_data, "Tfds": Tfds, "np": np, "dataclass": dataclass, "Memory": Memory}
    scope |= {"DataInfo": DataInfo, "hold_out": hold_out, "finish": finish, "__name__": __name__}
    exec(look, scope)
    assert (tmp_path / "patches.png").exists()
    assert "3 to train on, 1 held out" in capsys.readouterr().out
    exec(tfds, scope)
    assert len(scope["data"].train) == 3
    exec(another, scope)
    data = open_data(scope["Discs"](), (16, 16), 0)
    assert next(Loader(data.train, data.normaliser, (16, 16), 4))["image"].shape == (4, 16, 16, 1)
