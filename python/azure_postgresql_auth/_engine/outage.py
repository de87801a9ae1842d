"""Names the server in network errors that do not name it.

psycopg, psycopg2 and pg8000 name the host in the text of their errors. asyncpg passes on what the event loop raises,
such as "Name or service not known", or a `TimeoutError` without a text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth._engine.refusal import DOCTOR

if TYPE_CHECKING:
    from azure_postgresql_auth._core import ConnectionPlan


def locate(error: BaseException, plan: ConnectionPlan) -> None:
    """Add a note with the server's name to a network error. Python versions before 3.11 do not support notes."""
    if not isinstance(error, OSError) or not hasattr(error, "add_note"):
        return
    hosts, _, ports = plan.target or ((), (), ())
    servers = ", ".join(filter(None, hosts))
    if servers:
        port = f", port {', '.join(ports)}" if any(ports) else ""
        error.add_note(f"The server is {servers}{port}. {DOCTOR}")
