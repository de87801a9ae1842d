"""What a client may ask for."""

from __future__ import annotations

from typing import Any

from oauth2_provider.scopes import SettingsScopes


class PermissionScopes(SettingsScopes):
    """Scopes are permissions of Django's: a client can have those of the user whom it belongs to."""

    def get_available_scopes(self, application: Any = None, *arguments: Any, **keywords: Any) -> list[str]:
        """Those that the administration pages give to the client's user."""
        scopes: list[str] = super().get_available_scopes(application, *arguments, **keywords)
        if application is None:
            return scopes
        return [scope for scope in scopes if application.user is not None and application.user.has_perm(scope)]

    def get_default_scopes(self, application: Any = None, *arguments: Any, **keywords: Any) -> list[str]:
        """All of them, for clients that name none."""
        return self.get_available_scopes(application, *arguments, **keywords)
