"""benchmarks/results/restoration.json: what was chosen and measured, each entry with its machine."""

from functools import partial

from benchmarks.tasks.store import check_new as _check_new
from benchmarks.tasks.store import get as _get
from benchmarks.tasks.store import put as _put
from benchmarks.tasks.store import read as _read

NAME = "restoration"
check_new, get, put, read = (partial(f, name=NAME) for f in (_check_new, _get, _put, _read))
