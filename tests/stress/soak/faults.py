"""What goes wrong, and by which words clients speak of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tests.stress.soak.events import Failure

LIFETIME = 4.0
"""Seconds of a token's life, here and nowhere else: renewed after 2 to 2.4, not sent after 3.6."""
LEEWAY = 0.1
"""The share of a life at whose end a token is not sent any more."""
ONE_FAILS_OF = 3
CONNECT_TIMEOUT = 20
"""Seconds that clients wait for a connection: for those of a server that stalls, and on a machine that is busy."""
POOL_TIMEOUT = 120.0
"""Seconds that callers of a pool wait for one that it has."""

IDENTITY: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503": {"status": 503},
    "429": {"status": 429},
    "429 for a second": {"status": 429, "headers": {"Retry-After": "1"}},
    "reset": {"reset": True},
    "hang": {"hang": True},
    "truncated JSON": {"truncate": True},
    "JSON of other types": {"status": 200, "body": '{"access_token": 7, "expires_on": []}'},
    "HTML": {"status": 200, "body": "<html></html>"},
    "a huge body": {"status": 200, "body": "{" + " " * (2 << 20)},
    "expired token": {"status": 200, "body": ""},  # filled in when its turn comes
}

SERVER: dict[str, float] = {"hang-up": 0.7, "too many clients": 0.7, "no-tls": 0.5}
"""Faults of the server, and for how many seconds each."""
STALL: dict[str, float] = {"silence": 0.7}
"""Those after which clients wait for their timeout."""
CLOCK = (90.0, 0.0, -90.0, 0.0)
"""By how many seconds Azure's clock is ahead, one after the other."""
STOPPED = LIFETIME * 1.6
"""Seconds for which a process is stopped."""

SLOW = 5.0
"""Seconds for a login without the library, of 0.05 elsewhere, that tell of a machine too busy for `CONNECT_TIMEOUT`."""

# Errors of drivers and of the proxy after these seconds.
TIMED_OUT = ("timeout expired", "TimeoutError", "did not answer the login in time")

# Errors of drivers whose backend was killed. Which one it is depends on the step that the driver was at.
KILLED = (
    # The server's own, and that of libpq, with and without TLS.
    "terminating connection",
    "closed the connection unexpectedly",
    "closed unexpectedly",
    # libpq's when reading or writing fails: fe-secure.c and fe-secure-openssl.c.
    "SSL SYSCALL error",
    "unexpected eof while reading",
    "could not receive data from server",
    "could not send data to server",
    "no connection to the server",
    # asyncpg's, the last of which comes between two of its own steps.
    "connection was closed",
    "connection is closed",
    "cannot switch to state",
)
KILLED_CONNECTION = "killed connection"
"""The reason for which such a failure is excused: at most once for each backend that was killed."""


class Window(NamedTuple):
    """A time in which logins may fail; by the monotonic clock, which all processes share."""

    kind: str
    name: str
    begun: float
    ended: float

    def overlaps(self, other: Window | Failure) -> bool:
        """Whether both have a moment in common."""
        return self.begun < other.ended and other.begun < self.ended
