"""What an identity endpoint answers, and what goes into the record of the request."""

from __future__ import annotations

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
