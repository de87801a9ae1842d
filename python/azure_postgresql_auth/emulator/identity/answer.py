"""The responses of identity endpoints, with errors in Entra's format, and the data for the request's record."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Answer:
    """An HTTP status and a JSON object, with the request's resource and client for the record."""

    status: int
    body: Mapping[str, Any]
    resource: str
    client_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def entra_error(error: str, code: int, text: str, *, status: int = 400) -> tuple[int, dict[str, Any]]:
    """Return an error in Entra's format, including the ids and the time in its description."""
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
