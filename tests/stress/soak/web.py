"""The Django project's one page, and its WSGI application for gunicorn."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.stress.soak.web_settings")

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpResponse
from django.urls import path

from tests.stress.soak import events
from tests.stress.soak.web_settings import CREDENTIAL


def page(_: Any) -> HttpResponse:
    return HttpResponse(status=200 if query("django") else 503)


def query(client: str) -> bool:
    """Log in and run a query. Return whether that succeeded; what did not is reported."""
    login = events.attempt(client, CREDENTIAL)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:  # noqa: BLE001 - judged later
        # Django wraps the driver's errors.
        login.failed(error.__cause__ or error)
        return False
    login.succeeded()
    return True


urlpatterns = [path("", page)]
wsgi = get_wsgi_application()
