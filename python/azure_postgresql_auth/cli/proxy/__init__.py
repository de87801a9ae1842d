"""`proxy`: logs in for programs in any language, which connect to this machine instead of the server.

Python reads the arguments, opens the sockets that clients come in by, and waits. The engine does everything else, on
threads of its own.
"""

from __future__ import annotations

from azure_postgresql_auth.cli.proxy.service import run

__all__ = ["run"]
