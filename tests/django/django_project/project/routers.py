"""Reads go to the replica, whose identity may do nothing else."""

from __future__ import annotations

from typing import Any


class Replica:
    """A router, as Django's documentation has it."""

    def db_for_read(self, _model: Any, **_hints: Any) -> str:
        """Where to read."""
        return "replica"

    def db_for_write(self, _model: Any, **_hints: Any) -> str:
        """Where to write."""
        return "default"

    def allow_relation(self, *_objects: Any, **_hints: Any) -> bool:
        """All are in one database."""
        return True

    def allow_migrate(self, alias: str, *_: Any, **_hints: Any) -> bool:
        """Where tables are made."""
        return alias == "default"
