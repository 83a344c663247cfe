"""Commands to a side and its answers: one JSON object a line on its standard input and output; arrays are .npy files."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def serve(side: Any) -> None:
    """Answers commands {"do": method, ...arguments} with what the method of `side` returns, until the pipe closes.

    Standard output is the pipe's alone: whatever libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(side, command.pop("do"))(**command)
        print(json.dumps(answer), file=answers, flush=True)


class Peer:
    """A running side: `peer("sample", calls=8)` is its method's answer."""

    def __init__(self, python: str, module: str, **environment: str):
        self.module = module
        self.process = subprocess.Popen(
            [python, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environment},
        )

    def __call__(self, do: str, **arguments: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.module} ended in {do!r} with status {self.process.wait()}: see its output above")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
