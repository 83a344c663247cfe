"""One file from the web: resumed, retried, checked, and there as a whole or not at all."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from jaxdiff.data.errors import DataError

BLOCK = 2**20


def fetch(
    url: str, path: str | Path, sha256: str | None = None, tries: int = 5, wait: float = 1.0, timeout: float = 60.0
) -> Path:
    """Download `url` to `path`, unless it is there already and its checksum is right.

    A broken transfer goes on where it stopped (also in a later call) if the server offers ranges and names the
    version of its file; otherwise it starts again. Between tries the wait doubles. Without a given `sha256` that of
    the first download is written beside the file, path.sha256, and holds from then on.

    Raises DataError when all tries fail, for an answer such as 404, and for a wrong checksum (nothing is kept then).
    """
    path = Path(path)
    record = path.with_name(path.name + ".sha256")
    expected = sha256.lower() if sha256 else record.read_text().split()[0] if record.exists() else None
    if path.exists():
        _verify(path, expected, f"{path}, as found on disk", "remove it, to download it again")
        return path

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    for attempt in range(tries):
        try:
            _transfer(url, partial, timeout)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == tries - 1:
                raise _failed(url, error) from error
        except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
            if attempt == tries - 1:
                raise _failed(url, error) from error
        time.sleep(wait * 2**attempt)
    try:
        digest = _verify(partial, expected, f"{url}", "try again later, or leave out the checksum if the file is new")
    except DataError:
        partial.unlink()
        raise
    finally:
        _version_file(partial).unlink(missing_ok=True)
    record.write_text(f"{digest}  {path.name}\n")
    os.replace(partial, path)
    return path


def _transfer(url: str, partial: Path, timeout: float) -> None:
    """Fill `partial` to its full length, from its end where the server's file is the same as before."""
    version = _version_file(partial)
    have = partial.stat().st_size if partial.exists() and version.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "jaxdiff"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version.read_text())
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing after our end: start again, the length will tell
            version.unlink(missing_ok=True)
            raise ConnectionError("the server has no such range") from error
        raise
    with response:
        goes_on = response.status == 206
        have = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if tag and not tag.startswith("W/"):
            version.write_text(tag)
        elif not goes_on:
            version.unlink(missing_ok=True)
        with (
            partial.open("ab" if goes_on else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=partial.stem, disable=None) as bar,
        ):
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
    size = partial.stat().st_size
    if total is not None and size != total:
        raise ConnectionError(f"the transfer ended after {size} of {total} bytes")


def _verify(path: Path, expected: str | None, what: str, fix: str) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and digest != expected:
        raise DataError(f"{what} with SHA-256 {digest}", expected, fix)
    return digest


def _version_file(partial: Path) -> Path:
    return partial.with_name(partial.name + ".version")


def _failed(url: str, error: Exception) -> DataError:
    return DataError(f"{error} from {url}", "a download", "check the connection and try again; what came is kept")
