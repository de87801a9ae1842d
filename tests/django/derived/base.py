"""The backend's module that Django loads."""

from __future__ import annotations

from typing import Any

from azure_postgresql_auth.django import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Keeps its state in a setting of its own, as django-tenants' backend does with its current schema."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings_dict["SCHEMA"] = "public"
