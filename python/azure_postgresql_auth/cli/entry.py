"""What may be in an entry of a file that is read line by line."""

from __future__ import annotations

from azure_postgresql_auth.cli.failure import USAGE, Failure


def check(**fields: str) -> None:
    """Check that no field would begin another line; the fields are named as in the error, which does not show them.

    Raises:
        Failure: a field has a line break.
    """
    for name, field in fields.items():
        if not {"\n", "\r"}.isdisjoint(field):
            message = f"the {name} has a line break, which the file cannot hold"
            raise Failure(message, USAGE)
