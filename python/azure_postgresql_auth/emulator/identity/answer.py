"""What an identity endpoint answers, how Entra words its errors, and what goes into the record of the request."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Answer:
    """An HTTP status and a JSON object, for a request about a resource by a client."""

    status: int
    body: Mapping[str, Any]
    resource: str
    client_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def entra_error(error: str, code: int, text: str, *, status: int = 400) -> tuple[int, dict[str, Any]]:
    """Word an error as Entra does, ids and time in the description included."""
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    timestamp = dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    return status, {
        "error": error,
        "error_description": f"AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\n"
        f"Timestamp: {timestamp}",
        "error_codes": [code],
        "timestamp": timestamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }
