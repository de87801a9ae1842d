"""GeoDjango on PostGIS: `ENGINE = "azure_postgresql_auth.django.postgis"`, the same with Django's PostGIS backend."""
