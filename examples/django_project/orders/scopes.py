"""The scopes of the API."""

from __future__ import annotations

from typing import Any

from oauth2_provider.scopes import SettingsScopes


class PermissionScopes(SettingsScopes):
    """Use Django's permissions as scopes: a client can have the permissions of its user."""

    def get_available_scopes(self, application: Any = None, *arguments: Any, **keywords: Any) -> list[str]:
        """Return the permissions that the client's user has."""
        scopes: list[str] = super().get_available_scopes(application, *arguments, **keywords)
        if application is None:
            return scopes
        return [scope for scope in scopes if application.user is not None and application.user.has_perm(scope)]

    def get_default_scopes(self, application: Any = None, *arguments: Any, **keywords: Any) -> list[str]:
        """Return all available scopes, for clients that do not name any."""
        return self.get_available_scopes(application, *arguments, **keywords)
