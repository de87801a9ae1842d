"""What servers serve."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

wsgi = get_wsgi_application()
asgi = get_asgi_application()

if os.environ.get("DJANGO_CONNECT_FIRST"):
    # As programs do that look into their database while they are imported; gunicorn's workers are forked after that.
    from django.db import connection

    connection.ensure_connection()
