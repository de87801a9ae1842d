"""What runs beside the clients for as long as a block."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Background:
    """Calls `run` in a thread, which returns when `_end` is set."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self.run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def run(self) -> None:
        """Work until `_end` is set."""
        raise NotImplementedError
