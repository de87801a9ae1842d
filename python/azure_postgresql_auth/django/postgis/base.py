"""Django's PostGIS backend, with connections that log in with Microsoft Entra ID."""

from __future__ import annotations

from django.contrib.gis.db.backends.postgis import base as postgis

from azure_postgresql_auth.django import base

__all__ = ["DatabaseWrapper"]


class DatabaseWrapper(base.DatabaseWrapper, postgis.DatabaseWrapper):
    """A PostGIS database of a Django project; takes the settings of `azure_postgresql_auth.django`."""
