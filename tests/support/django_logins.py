"""Identities of a Django project's databases, and Django's reports of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.views.debug import ExceptionReporter

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator, Identity


SECRET = "Never-Seen~1"


def principal(emulator: Emulator, name: str = "orders-app") -> Identity:
    """Create a service principal."""
    return emulator.add_identity(name, "service-principal")


def beside(identity: Identity, emulator: Emulator) -> dict[str, Any]:
    """Return its settings beside Django's own."""
    return {
        "TENANT_ID": emulator.tenant_id,
        "CLIENT_ID": identity.client_id,
        "CLIENT_SECRET": identity.client_secret,
        "USER": identity.role,
    }


def aad(identity: Identity, emulator: Emulator) -> dict[str, Any]:
    """Return its settings in AAD_OPTIONS."""
    options = {
        "SP_TENANT_ID": emulator.tenant_id,
        "SP_CLIENT_ID": identity.client_id,
        "SP_CLIENT_SECRET": identity.client_secret,
        "REFRESH_BEFORE_MINUTES": 5,
    }
    return {"AAD_OPTIONS": options, "USER": identity.role}


def report(error: BaseException) -> list[str]:
    """Return Django's debug page and report by mail for this error, with DEBUG."""
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next  # without the test's own frame
    reporter = ExceptionReporter(None, type(error), error, error.__traceback__)
    return [reporter.get_traceback_html(), reporter.get_traceback_text(), repr(error), str(error)]
