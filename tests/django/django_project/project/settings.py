"""Settings; what differs from test to test comes from the environment, as JSON."""

from __future__ import annotations

import json
import os
import sys

if os.environ.get("DJANGO_DRIVER") == "psycopg2":
    sys.modules["psycopg"] = None  # type: ignore[assignment] # Django would prefer it

DATABASES = json.loads(os.environ["DJANGO_DATABASES"])
DATABASE_ROUTERS = json.loads(os.environ.get("DJANGO_ROUTERS", "[]"))
DEBUG = bool(os.environ.get("DJANGO_DEBUG"))

GDAL_LIBRARY_PATH = os.environ.get("DJANGO_GDAL")
GEOS_LIBRARY_PATH = os.environ.get("DJANGO_GEOS")

ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "shop.urls"
SECRET_KEY = "for tests only"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
USE_TZ = True
WSGI_APPLICATION = "project.served.wsgi"
