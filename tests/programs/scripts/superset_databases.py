"""Superset: its own database configured in code, an analysed one by URL, and a URL that tries to steal a token."""

import os
import subprocess
import sys
from pathlib import Path

Path("superset_config.py").write_text(
    f"""
import sys

from azure_postgresql_auth.psycopg2 import EntraConnection

SECRET_KEY = "for this test only, it protects nothing"
SQLALCHEMY_DATABASE_URI = "postgresql+psycopg2://{os.environ["PLACE"]}"
if sys.argv[1:3] == ["db", "upgrade"]:
    # Alembic makes an engine of its own, of the URL alone.
    SQLALCHEMY_DATABASE_URI += "?plugin=entra"
else:
    SQLALCHEMY_ENGINE_OPTIONS = {{"creator": lambda: EntraConnection("postgresql://{os.environ["PLACE"]}")}}
""",
    "utf-8",
)
environment = {
    **os.environ,
    "SUPERSET_CONFIG_PATH": str(Path("superset_config.py").resolve()),
    "SUPERSET_HOME": str(Path("home").resolve()),
    "FLASK_APP": "superset.app:create_app()",
}
USE = """
import os, time
from superset.app import create_app
with create_app().app_context():
    from superset.extensions import db
    from superset.models.core import Database
    place = os.environ["PLACE"]
    analysed = Database(database_name="analysed", sqlalchemy_uri=f"postgresql+psycopg2://{place}?plugin=entra")
    db.session.add(analysed)
    db.session.commit()
    end = time.monotonic() + float(os.environ["SECONDS"])
    while time.monotonic() < end:
        assert analysed.get_df("SELECT session_user")["session_user"][0] == os.environ["ROLE"]
        assert "dbs" in {table[0] for table in analysed.get_all_table_names_in_schema(None, "public")}
        time.sleep(0.2)
    evil = Database(database_name="evil", sqlalchemy_uri="postgresql+psycopg2://localhost:1/db?plugin=entra")
    for extra in ("{}", '{"engine_params": {"connect_args": {"host": "localhost", "sslmode": "disable"}}}'):
        evil.extra = extra
        try:
            evil.get_df("SELECT 1")
        except Exception as error:
            assert "plugin=entra" in str(error), error
        else:
            raise AssertionError
"""
superset = str(Path(sys.executable).parent / "superset")
for command in ([superset, "db", "upgrade"], [sys.executable, "-c", USE]):
    subprocess.run(command, env=environment, check=True)
print("done")
