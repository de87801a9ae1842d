"""The project's settings."""

from __future__ import annotations

import os
import secrets

DATABASES = {
    "default": {
        # No user and no password: they come from the managed identity, or from `az login`.
        "ENGINE": "azure_postgresql_auth.django",
        "HOST": os.environ.get("POSTGRES_SERVER", ""),
        "NAME": os.environ.get("POSTGRES_DATABASE", "postgres"),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    },
}

# The API's clients are stored in the database, with hashed secrets. A client has the permissions of the Django user to
# which it belongs. Its tokens are independent of the tokens with which Django logs in to the database.
OAUTH2_PROVIDER = {
    "ACCESS_TOKEN_EXPIRE_SECONDS": 300,
    "REFRESH_TOKEN_EXPIRE_SECONDS": 86_400,
    "ROTATE_REFRESH_TOKEN": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,  # stored as hashes
    "SCOPES": {"orders.view_order": "See orders", "orders.add_order": "Place orders"},
    "SCOPES_BACKEND_CLASS": "orders.scopes.PermissionScopes",
}

ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
DEBUG = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "oauth2_provider",
    "orders",
]
LOGIN_URL = "/admin/login/"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "project.urls"
# A new key at each start, which ends all sessions, is sufficient to try the project.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)
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
WSGI_APPLICATION = "project.wsgi.application"
