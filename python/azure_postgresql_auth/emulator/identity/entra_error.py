"""How Entra words a refusal."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any


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
