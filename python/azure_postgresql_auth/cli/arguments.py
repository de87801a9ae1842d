"""Arguments that several commands have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from typing import Final

SERVER: Final = "myserver.postgres.database.azure.com"
"""The server name in examples."""


def add_scope(parser: argparse.ArgumentParser) -> None:
    """Add `--host` and `--scope`."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--host", metavar="HOST", help="the server; its name determines the Azure cloud")
    choice.add_argument("--scope", metavar="SCOPE", help="OAuth 2.0 scope of the token")
