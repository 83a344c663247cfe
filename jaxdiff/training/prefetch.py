"""Batches on their devices before they are asked for."""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol


class Positioned(Protocol):
    """An endless iterator whose position can be saved."""

    def __next__(self) -> Any: ...

    def get_state(self) -> dict[str, Any]: ...

    def set_state(self, state: dict[str, Any]) -> None: ...


class Prefetch:
    """`prepare(batch)` of each batch of a loader, up to `ahead` of them before their turn.

    JAX copies to devices while it goes on: with `prepare` placing the batch there, its copy runs beside the steps before.
    The position is that behind the batch last returned. An error of the loader is raised when its batch's turn comes.
    """

    def __init__(self, loader: Positioned, prepare: Callable[[Any], Any], ahead: int = 2):
        self._loader, self._prepare, self._ahead = loader, prepare, ahead
        self._queue: deque[tuple[Any, dict[str, Any]]] = deque()
        self._state = loader.get_state()

    def __next__(self) -> Any:
        while len(self._queue) <= self._ahead and not (self._queue and isinstance(self._queue[-1][0], Exception)):
            try:
                batch = self._prepare(next(self._loader))
            except Exception as error:
                batch = error
            self._queue.append((batch, self._loader.get_state()))
        batch, state = self._queue.popleft()
        if isinstance(batch, Exception):
            raise batch
        self._state = state
        return batch

    def get_state(self) -> dict[str, Any]:
        """Position and identity of the loader, as JSON values."""
        return self._state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to a saved position."""
        self._loader.set_state(state)
        self._queue.clear()
        self._state = state
