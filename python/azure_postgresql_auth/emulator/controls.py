"""The emulator's settings that can change while it runs: lifetimes, clock, limits and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.emulator import values
from azure_postgresql_auth.emulator.identity.faults import Fault
from azure_postgresql_auth.emulator.part import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_postgresql_auth.emulator.identity.faults import Settings


class Controls(Part):
    """The emulator's methods that change how the services behave."""

    _settings: Settings

    @property
    def lifetime(self) -> float:
        """The lifetime of tokens that are issued from now on, in seconds."""
        return self._settings.lifetime

    @lifetime.setter
    def lifetime(self, seconds: float) -> None:
        self._settings.lifetime = values.seconds("lifetime", seconds)

    @property
    def latency(self) -> float:
        """The time that the identity endpoints take to answer, in seconds."""
        return self._settings.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._settings.latency = values.seconds("latency", seconds)

    @property
    def clock_skew(self) -> float:
        """The time by which Azure's clock is ahead of this machine's, in seconds.

        The identity endpoints date their responses and tokens by Azure's clock, and tokens are verified by it.
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
        """Make the identity endpoints fail; replaces a failure that was set before.

        Args:
            status: HTTP status of the response.
            times: number of token requests that fail; None for all until `heal`.
            body: body of the response; by default an error in the endpoint's format.
            headers: further headers, such as Retry-After.
            hang: True to accept requests and never respond.
            reset: True to accept requests and reset the connection.
            truncate: True to respond with a token, but close the connection in the middle of the body.

        Raises:
            TypeError: `status` or `times` is not a whole number.
            ValueError: `status` or `times` is out of range.
        """
        values.status(status)
        values.count("times", times)
        self._settings.faults.set(Fault(status, times, body, dict(headers or {}), hang, reset, truncate))

    def fail_server(self, kind: str) -> None:
        """Make the server fail until `heal`.

        Args:
            kind: "no-tls" (TLS is not supported), "old-tls" (TLS 1.2 and later are not supported), "other-name" (the
                certificate is for another host), "expired-certificate" (the certificate expired yesterday), "silence"
                (the server never responds) or "hang-up" (the server closes connections at once).

        Raises:
            ValueError: the kind is unknown.
        """
        self._running.server_faults.set(kind)

    def refuse(self, message: str, sqlstate: str = "28000") -> None:
        """Make the server refuse every login with this message and SQLSTATE, until `heal`.

        Raises:
            ValueError: the message is empty, or the SQLSTATE is not valid.
        """
        self._running.server_faults.refusal = values.refusal(message, sqlstate)

    def heal(self) -> None:
        """End all failures; the connections of hanging token requests are closed."""
        self._settings.faults.set(None)
        self._running.server_faults.set(None)
        self._running.server_faults.refusal = None

    def throttle(self, per_second: float | None = 20, concurrent: int | None = 5) -> None:
        """Respond to token requests above these limits, by default those of IMDS, with status 429 and Retry-After.

        Args:
            per_second: requests per second; None to remove both limits.
            concurrent: requests at the same time; None for no limit.

        Raises:
            TypeError: a limit is not a number.
            ValueError: a limit is not above 0.
        """
        values.limit("per_second", per_second)
        values.count("concurrent", concurrent, least=1)
        self._settings.throttle.limit(per_second, None if per_second is None else concurrent)
