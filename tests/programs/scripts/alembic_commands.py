"""Alembic's commands, with the URL in alembic.ini, where a percent sign is doubled: the role's name has an @."""

import os
import subprocess
import sys
import time
from pathlib import Path

REVISION = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "1", None
def upgrade():
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))
def downgrade():
    op.drop_table("things")
"""


def alembic(*arguments: str) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "alembic", *arguments], check=True)


template, driver = sys.argv[1:]
alembic("init", "--template", template, "migrations")
Path("migrations", "versions", "1.py").write_text(REVISION, "utf-8")
url = f"postgresql+{driver}://{os.environ['ROLE'].replace('@', '%%40')}@{os.environ['PLACE']}?plugin=entra"
ini = Path("alembic.ini")
lines = [
    f"sqlalchemy.url = {url}" if line.startswith("sqlalchemy.url") else line
    for line in ini.read_text("utf-8").splitlines()
]
ini.write_text("\n".join(lines), "utf-8")
for command in (["upgrade", "head"], ["downgrade", "base"], ["upgrade", "head"], ["current"]):
    begun = time.monotonic()
    alembic(*command)
    # Each process logs in with its own token, and the last one starts after the token of the first has expired.
    time.sleep(max(0.0, float(os.environ["SECONDS"]) / 3 - (time.monotonic() - begun)))
print("done")
