"""When to renew a token that is kept in a file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

_LONGEST_PAUSE: Final = 60.0
_SHORTEST_PAUSE: Final = 0.25
_FIRST_RETRY: Final = 1.0
_PARTS_OF_LIFE: Final = 20


def keep_fresh(look: Callable[[], float], wait: Callable[[float], bool]) -> None:
    """Call `look` repeatedly: after a twentieth of the remaining lifetime, and at least once a minute.

    Args:
        look: renews the tokens that need it, and returns when the first of them expires, in seconds since 1970; 0 if a
            renewal failed. It is then called again soon, with a longer pause after each failure.
        wait: waits for a number of seconds, and returns whether to stop.
    """
    retry = _FIRST_RETRY
    while True:
        good_until = look()
        if good_until:
            retry = _FIRST_RETRY
            pause = max(_SHORTEST_PAUSE, min(_LONGEST_PAUSE, (good_until - time.time()) / _PARTS_OF_LIFE))
        else:
            pause = retry
            retry = min(retry * 2, _LONGEST_PAUSE)
        if wait(pause):
            return
