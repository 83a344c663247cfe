"""A real HTTP server on this machine that breaks off, forgets, lies and recovers."""

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxdiff.data.config import BBBC039, open_data
from jaxdiff.data.errors import DataError
from jaxdiff.data.loader import Loader
from jaxdiff.data.sources import bbbc039
from jaxdiff.data.sources.download import fetch

BODY = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server:
    """Serves `files`; each entry of `faults` spoils one answer: an int breaks off after so many bytes."""

    def __init__(self):
        self.files: dict[str, bytes] = {"/file.bin": BODY}
        self.faults: list[int | str] = []
        self.ranges, self.etag = True, '"v1"'
        self.asked: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request):
        self.asked.append(request.headers.get("Range"))
        fault = self.faults.pop(0) if self.faults else None
        if fault == "busy" or request.path not in self.files:
            request.send_error(503 if fault == "busy" else 404)
            return
        body = self.files[request.path]
        start, wanted = 0, request.headers.get("Range")
        if wanted and self.ranges and request.headers.get("If-Range") == self.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        if self.etag:
            request.send_header("ETag", self.etag)
        request.end_headers()
        request.wfile.write(body[start : fault if isinstance(fault, int) else None])
        request.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def get(server, tmp_path, **options):
    return fetch(f"{server.url}/file.bin", tmp_path / "new" / "file.bin", wait=0.001, **options)


def test_a_download_is_whole_and_leaves_its_checksum(server, tmp_path):
    path = get(server, tmp_path, sha256=DIGEST.upper())
    assert path.read_bytes() == BODY
    assert {p.name for p in path.parent.iterdir()} == {"file.bin", "file.bin.sha256"}
    assert (path.parent / "file.bin.sha256").read_text() == f"{DIGEST}  file.bin\n"
    assert get(server, tmp_path) == path
    assert len(server.asked) == 1


def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path):
    server.faults = [100_000, "busy", 250_000]
    assert get(server, tmp_path, sha256=DIGEST).read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-", "bytes=100000-", "bytes=250000-"]


def test_a_later_call_goes_on_too(server, tmp_path):
    server.faults = [100_000]
    with pytest.raises(DataError, match="kept"):
        get(server, tmp_path, tries=1)
    assert not (tmp_path / "new" / "file.bin").exists()
    assert get(server, tmp_path, sha256=DIGEST).read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-"]


@pytest.mark.parametrize("how", ["no ranges", "no version", "new version"])
def test_without_ranges_or_after_a_change_it_starts_again(server, tmp_path, how):
    server.faults = [100_000]
    server.ranges = how != "no ranges"
    if how == "no version":
        server.etag = None
    with pytest.raises(DataError):
        get(server, tmp_path, tries=1)
    if how == "new version":
        server.etag, server.files["/file.bin"] = '"v2"', BODY[::-1]
    assert get(server, tmp_path).read_bytes() == server.files["/file.bin"]


def test_wrong_checksums_keep_nothing(server, tmp_path):
    with pytest.raises(DataError, match=DIGEST):
        get(server, tmp_path, sha256="0" * 64)
    assert not list((tmp_path / "new").iterdir())
    path = get(server, tmp_path)  # the first download is trusted
    path.write_bytes(BODY[:-1])
    with pytest.raises(DataError, match="remove it"):
        get(server, tmp_path)
    path.unlink()
    server.files["/file.bin"] = BODY[::-1]  # and holds for later ones
    with pytest.raises(DataError, match=DIGEST):
        get(server, tmp_path)
    assert not path.exists()


def test_hopeless_answers(server, tmp_path):
    with pytest.raises(DataError, match="404"):
        fetch(f"{server.url}/other.bin", tmp_path / "other.bin")
    assert len(server.asked) == 1
    server.faults = ["busy"] * 3
    with pytest.raises(DataError, match="503"):
        get(server, tmp_path, tries=3)
    server.http.server_close()
    with pytest.raises(DataError, match="refused"):
        get(server, tmp_path, tries=2)


def colours(labels):
    """A mask picture as the collection has it: few colours, so that touching nuclei differ."""
    picture = np.zeros((*labels.shape, 4), np.uint8)
    picture[..., 0] = np.where(labels > 0, 85 * (1 + labels % 3), 0)
    picture[..., 3] = 255
    return picture


@pytest.fixture
def archives(server):
    """Zip archives like the Broad's: 6 wells, 2 fields each; nuclei are squares, some of them touching."""
    rng = np.random.default_rng(1)
    images, masks = io.BytesIO(), io.BytesIO()
    labels = np.zeros((40, 48), np.uint16)
    labels[2:9, 3:12], labels[9:20, 3:12], labels[25:35, 30:40], labels[2:9, 30:40] = 1, 2, 4, 7
    with zipfile.ZipFile(images, "w") as image_zip, zipfile.ZipFile(masks, "w") as mask_zip:
        for well in range(6):
            for site in range(2):
                name = f"IXMtest_A{well:02}_s{site}_w1ABC"
                file = io.BytesIO()
                tifffile.imwrite(file, (rng.integers(100, 200, labels.shape) + 500 * (labels > 0)).astype(np.uint16))
                image_zip.writestr(f"images/{name}.tif", file.getvalue())
                file = io.BytesIO()
                Image.fromarray(colours(labels)).save(file, "PNG")
                mask_zip.writestr(f"masks/{name}.png", file.getvalue())
    server.files |= {"/BBBC039/images.zip": images.getvalue(), "/BBBC039/masks.zip": masks.getvalue()}
    return labels


def test_bbbc039_is_fetched_unpacked_and_split_by_well(server, archives, tmp_path, monkeypatch):
    monkeypatch.setattr(bbbc039.download, "__defaults__", (f"{server.url}/BBBC039/", None, None, 5, 0.001))
    server.faults = [2000, "busy"]
    data = open_data(BBBC039(tmp_path / "cells", download=True, validation=0.3), (16, 16), 0)
    assert (len(data.train), len(data.validation)) == (8, 4)
    wells = [{part[i]["name"].split("_")[1] for i in range(len(part))} for part in (data.train, data.validation)]
    assert not wells[0] & wells[1]
    mask = data.train[0]["mask"]
    pairs = {(int(a), int(b)) for a, b in zip(mask.ravel(), archives.ravel())}
    assert len(pairs) == 5  # one label for each nucleus, and the background
    assert (0, 0) in pairs
    assert next(Loader(data.train, data.normaliser, (16, 16), 4))["mask"].shape == (4, 16, 16)
    asked = len(server.asked)
    open_data(BBBC039(tmp_path / "cells", download=True), (16, 16), 0)
    assert len(server.asked) == asked


def test_damaged_archives_leave_no_half_folder(server, archives, tmp_path):
    server.files["/BBBC039/masks.zip"] = b"not a zip"
    with pytest.raises(DataError, match=r"masks\.zip"):
        bbbc039.download(tmp_path / "cells", f"{server.url}/BBBC039/")
    assert {p.name for p in (tmp_path / "cells").iterdir()} == {"archives", "images"}
    with pytest.raises(DataError, match="set download"):
        open_data(BBBC039(tmp_path / "nowhere"), (16, 16), 0)
