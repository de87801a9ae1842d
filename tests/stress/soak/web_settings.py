"""The settings of a Django project whose every request logs in."""

from __future__ import annotations

import os

from azure_postgresql_auth.identity import ManagedIdentityCredential

from tests.stress.soak.faults import CONNECT_TIMEOUT

CREDENTIAL = ManagedIdentityCredential()

DATABASES = {
    "default": {
        "ENGINE": "azure_postgresql_auth.django",
        "NAME": os.environ["PGDATABASE"],
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "OPTIONS": {"credential": CREDENTIAL, "connect_timeout": CONNECT_TIMEOUT},
    }
}
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.stress.soak.web"
SECRET_KEY = "for tests only"
USE_TZ = True
