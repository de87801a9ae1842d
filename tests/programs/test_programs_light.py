"""Real programs that are quickly installed: logins by URL, or by this package's connection classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.environments import ROOT, Environment
from tests.support.programs import SCRIPTS

if TYPE_CHECKING:
    from tests.support.programs import Program, Programs

LIGHT = Environment(
    "light-programs",
    (
        "alembic",
        "apscheduler>=3.11,<4",
        "asyncpg",
        "celery",
        "django",
        "fastapi",
        "flask-sqlalchemy",
        "langgraph",
        "langgraph-checkpoint-postgres",
        "optuna",
        "peewee",
        "procrastinate[django]",
        "psycopg[binary,pool]",
        "psycopg2-binary",
        "sqlalchemy[asyncio]",
        "sqlmodel",
        "tortoise-orm",
        "uvicorn",
    ),
)
# The tests' own environment has the newest; the module that programs import is the same.
OLDER = {
    f"sqlalchemy-{version}": Environment(
        f"sqlalchemy-{version}",
        (f"sqlalchemy[asyncio]=={version}.*", "psycopg[binary]", "psycopg2-binary", "asyncpg", "pg8000"),
        ("3.11", "3.10", "3.12", "3.9"),
    )
    for version in ("1.4", "2.0")
}
pytestmark = pytest.mark.timeout(900)
# Name of the program, its script and arguments.
PROGRAMS = {
    "alembic": ["alembic_commands.py", "generic", "psycopg"],
    "alembic-async": ["alembic_commands.py", "async", "asyncpg"],
    "apscheduler": ["apscheduler_jobs.py"],
    "celery": ["celery_results.py"],
    "flask-sqlalchemy": ["flask_sqlalchemy_pages.py"],
    "langgraph": ["langgraph_savers.py"],
    "optuna": ["optuna_studies.py"],
    "peewee": ["peewee_models.py"],
    "procrastinate": ["procrastinate_worker.py"],
    "procrastinate-django": ["procrastinate_django.py"],
    "sqlmodel": ["sqlmodel_fastapi.py"],
    "tortoise": ["tortoise_models.py"],
    **{name: ["sqlalchemy_drivers.py"] for name in OLDER},
}


def test_they_outlive_their_tokens(programs: Programs) -> None:
    """All at once, in one test: each has to outlive some tokens."""
    pythons = {name: OLDER.get(name, LIGHT).python() for name in PROGRAMS}
    started: list[Program] = []
    for name, (script, *arguments) in PROGRAMS.items():
        program = programs.make(name, pythons[name], "user" if "alembic" in name else "user-assigned")
        program.start(str(program.python), str(SCRIPTS / script), *arguments)
        started.append(program)
    for program in started:
        assert program.running[0].wait(400) == 0, (program.name, program.logs())
        assert "done" in program.logs()
        program.check()


def test_the_page_shows_code_that_runs_here() -> None:
    page = (ROOT / "docs" / "programs.md").read_text("utf-8")
    shown = [block for block in re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if "def " in block]
    scripts = "\n".join(path.read_text("utf-8") for path in SCRIPTS.glob("*.py"))
    run = {line.strip() for line in scripts.splitlines()}
    assert len(shown) == 4
    for line in filter(None, (line.strip() for block in shown for line in block.splitlines())):
        assert line in run or "HOST" in line, line
