"""The findings of steps, and the context that steps share."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import Final

    from azure_postgresql_auth._core import ConnectionPlan
    from azure_postgresql_auth.cli.doctor.program_url import ProgramUrl
    from azure_postgresql_auth.cli.token_info import TokenInfo

OK: Final = "ok"
WARNING: Final = "warning"
FAILURE: Final = "failure"
PASSED_OVER: Final = "passed over"

_LONGEST_STEP: Final = 300.0
"""Seconds. A greater connect_timeout means that a program waits forever, which the doctor does not."""
_TOKEN: Final = re.compile(r"eyJ[\w-]*\.[\w-]+(?:\.[\w-]*)?")
_SECRETS: Final = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "IDENTITY_HEADER",
    "MSI_SECRET",
    "PGPASSWORD",
    "SYSTEM_ACCESSTOKEN",
)


class Finding(NamedTuple):
    """A finding, which is a line of the report."""

    status: str
    saw: str
    cause: str = ""
    """Of what is wrong, as it stands in the verdict."""
    remedy: str = ""
    sql: str = ""
    """SQL statements of the remedy, which are too long for the verdict."""
    seconds: float | None = None


class Advice(NamedTuple):
    """The cause of a problem, and its remedy."""

    cause: str
    remedy: str
    sql: str = ""


class Endpoint(NamedTuple):
    """A server in the settings."""

    host: str
    address: str
    """`hostaddr`, "" if there is none."""
    port: int

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket."""
        return not self.address and (not self.host or self.host.startswith(("/", "@")))

    def __str__(self) -> str:
        return f"{self.host or self.address} port {self.port}"


@dataclass
class Context:
    """The results of the steps so far."""

    parameters: dict[str, Any]
    """Libpq's, as they hold."""
    plan: ConnectionPlan
    scope: str
    endpoints: list[Endpoint]
    url: ProgramUrl
    settings: dict[str, str] = field(default_factory=dict)
    """The TLS settings that this package adds."""
    resolved: dict[Endpoint, list[str]] = field(default_factory=dict)
    reached: tuple[Endpoint, str] | None = None
    """The first server that can be reached, and its address."""
    credential: object = None
    """A new credential, so that no token comes from a cache."""
    link: str = ""
    """The credential that returned the token."""
    token: str = ""
    info: TokenInfo | None = None
    user: str = ""
    expired: Advice | None = None
    """Why the token's dates are invalid by this machine's clock, and the remedy; the server uses its own clock."""
    refused_for_dates: bool = False
    """Whether the server refused the login because of the dates."""
    suspicion: Advice | None = None
    """Why the user name may be wrong, and the remedy, in case the server refuses it."""

    @property
    def timeout(self) -> float:
        """Seconds for one step on the network."""
        return min(self.plan.timeout or 5.0, _LONGEST_STEP)

    def redacted(self, text: str) -> str:
        """Without what is secret."""
        text = _TOKEN.sub("(a token)", text)
        secrets = [str(self.plan.password or ""), self.token, *(os.environ.get(name, "") for name in _SECRETS)]
        for secret in filter(None, secrets):
            text = text.replace(secret, "****")
        return text


class Stopwatch:
    """Seconds since it was started."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """So far."""
        return time.monotonic() - self._begun
