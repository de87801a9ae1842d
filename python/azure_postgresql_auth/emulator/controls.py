"""What can be set while the emulator runs: lifetimes, clocks, limits and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.emulator import values
from azure_postgresql_auth.emulator.identity.faults import Fault
from azure_postgresql_auth.emulator.part import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_postgresql_auth.emulator.identity.faults import Settings


class Controls(Part):
    """How the services behave."""

    _settings: Settings

    @property
    def lifetime(self) -> float:
        """Seconds that tokens issued from now on are good for."""
        return self._settings.lifetime

    @lifetime.setter
    def lifetime(self, seconds: float) -> None:
        self._settings.lifetime = values.seconds("lifetime", seconds)

    @property
    def latency(self) -> float:
        """Seconds that the identity endpoints take to answer."""
        return self._settings.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._settings.latency = values.seconds("latency", seconds)

    @property
    def clock_skew(self) -> float:
        """Seconds that Azure's clock is ahead of this machine's.

        The identity endpoints date their answers and tokens by it, and they and the server verify by it.
        """
        return self._settings.clock_skew

    @clock_skew.setter
    def clock_skew(self, seconds: float) -> None:
        self._settings.clock_skew = values.seconds("clock_skew", seconds, negative=True)

    def fail(  # noqa: PLR0913
        self,
        status: int = 503,
        *,
        times: int | None = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        hang: bool = False,
        reset: bool = False,
        truncate: bool = False,
    ) -> None:
        """Make the identity endpoints fail, in the place of a failure set before.

        Args:
            status: HTTP status of the answer.
            times: how many requests for tokens fail; None: all until `heal`.
            body: of the answer, by default an error as the endpoint words it.
            headers: more headers, such as Retry-After.
            hang: take the request and never answer.
            reset: take the request and reset the connection.
            truncate: answer well, but close the connection in the middle of the body.

        Raises:
            TypeError, ValueError: `status` or `times` is out of range, or not a whole number.
        """
        values.status(status)
        values.count("times", times)
        self._settings.faults.set(Fault(status, times, body, dict(headers or {}), hang, reset, truncate))

    def fail_server(self, kind: str) -> None:
        """Make the server fail until `heal`.

        Args:
            kind: "no-tls" has none, "old-tls" refuses TLS 1.2 and later, "other-name" a certificate for another host,
                "expired-certificate" one that ended yesterday; "silence" never answers, "hang-up" closes at once.

        Raises:
            ValueError: a bad kind.
        """
        self._running.server_faults.set(kind)

    def refuse(self, message: str, sqlstate: str = "28000") -> None:
        """Make the server refuse every login in these words, until `heal`.

        Raises:
            ValueError: the message is empty, or the SQLSTATE is none.
        """
        self._running.server_faults.refusal = values.refusal(message, sqlstate)

    def heal(self) -> None:
        """End the failures; token requests that hang are closed."""
        self._settings.faults.set(None)
        self._running.server_faults.set(None)
        self._running.server_faults.refusal = None

    def throttle(self, per_second: float | None = 20, concurrent: int | None = 5) -> None:
        """Answer 429 with Retry-After above these limits, by default those of IMDS; None for the first ends it.

        Raises:
            TypeError, ValueError: a limit is not a number above 0.
        """
        values.limit("per_second", per_second)
        values.count("concurrent", concurrent, least=1)
        self._settings.throttle.limit(per_second, None if per_second is None else concurrent)
