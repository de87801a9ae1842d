"""Real programs that take long to install: `make test-programs` runs them, one after the other."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.environments import ENVIRONMENTS, Environment
from tests.support.programs import LIVES, SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.programs import Programs

_DISK = 8 * 1024**3
"""Bytes that have to be free before one is installed."""
_LIFETIME = 10.0
"""Seconds that a token is good for. It is used until a tenth is left, and large programs stall for as long as a second
between asking for the token and sending it, while they start."""
PROGRAMS = {
    "airflow": (
        "airflow_scheduler.py",
        Environment("airflow", ("apache-airflow==3.*", "psycopg[binary]", "psycopg2-binary", "asyncpg")),
    ),
    "superset": (
        "superset_databases.py",
        Environment(
            "superset",
            ("apache-superset", "psycopg2-binary", "rich", "flask-caching==2.3.1", "cachetools"),
            ("3.11", "3.10"),
        ),
    ),
    "chainlit": ("chainlit_chats.py", Environment("chainlit", ("chainlit", "asyncpg"))),
    "dagster": (
        "dagster_storage.py",
        Environment("dagster", ("dagster", "dagster-postgres", "psycopg2-binary")),
    ),
    # Later versions of dbt-core need a package that downloads a program when it is installed.
    "dbt": ("dbt_models.py", Environment("dbt", ("dbt-core<1.12", "dbt-postgres", "asyncpg"))),
    "jupyterhub": ("jupyterhub_users.py", Environment("jupyterhub", ("jupyterhub", "psycopg[binary]"))),
    "phoenix": ("phoenix_server.py", Environment("phoenix", ("arize-phoenix[pg]",))),
    "openwebui": (
        "openwebui_users.py",
        Environment("openwebui", ("open-webui",), ("3.12", "3.11"), without=("torch",)),
    ),
    "pgadmin": ("pgadmin_servers.py", Environment("pgadmin", ("pgadmin4",))),
    "prefect": ("prefect_server.py", Environment("prefect", ("prefect",))),
    "mlflow": ("mlflow_tracking.py", Environment("mlflow", ("mlflow", "psycopg[binary]"))),
    "synapse": ("synapse_homeserver.py", Environment("synapse", ("matrix-synapse", "psycopg2-binary"))),
}
pytestmark = [pytest.mark.programs, pytest.mark.timeout(1800)]


@pytest.fixture(params=PROGRAMS)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a program's name, and delete its environment in the end, which holds up to a gigabyte."""
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(ENVIRONMENTS).free < _DISK:
        pytest.skip(f"less than {_DISK // 1024**3} GB of disk are free")
    yield request.param
    PROGRAMS[request.param][1].remove()


def test_program_outlives_its_tokens(programs: Programs, name: str) -> None:
    script, environment = PROGRAMS[name]
    programs.emulator.lifetime = _LIFETIME
    program = programs.make(name, environment.python(), SECONDS=str(_LIFETIME * LIVES + 1))
    program.start(str(program.python), str(SCRIPTS / script))
    assert program.running[0].wait(900) == 0, program.logs()
    assert "done" in program.logs()
    program.check()
