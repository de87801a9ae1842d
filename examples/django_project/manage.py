"""Django's command line.

    python manage.py check --database default
    python manage.py migrate
    python manage.py test
    python manage.py createsuperuser
    python manage.py createapplication confidential client-credentials --name billing --user 1
    python manage.py runserver

Requires the extras `django` and `psycopg3`, and `django-oauth-toolkit`. The environment variables POSTGRES_SERVER and
POSTGRES_DATABASE set the server and the database; the default credential logs in.
"""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    execute_from_command_line(sys.argv)
