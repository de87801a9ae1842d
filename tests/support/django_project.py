"""A Django project on several versions of Django, each in its own environment.

Environments are created once, below `.venv`, and kept, so that later runs need no network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.django import ENGINE
from tests.support.locks import locked
from tests.support.platforms import LIMIT, WINDOWS
from tests.support.wheels import interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from azure_postgresql_auth.emulator import Emulator

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "tests" / "django" / "django_project"
SCRIPTS = "Scripts" if WINDOWS else "bin"
ENVIRONMENTS = Path(sys.prefix) / "django"
# For pip, before other fixtures remove proxies and certificates from the environment.
OUTER_WORLD = dict(os.environ)


class Stack(NamedTuple):
    """A version of Django, a driver, and the versions of Python to use, in order of preference."""

    name: str
    requirements: tuple[str, ...]
    pythons: tuple[str, ...]
    driver: str = "psycopg"

    def python(self) -> str:
        """Return the interpreter of the version's environment, which is created if necessary."""
        if not self.requirements:
            return sys.executable
        done = ENVIRONMENTS / self.name / "done"
        with _only_one_maker(self.name):
            if not done.is_file() or done.read_text("utf-8") != " ".join(self.requirements):
                self._set_up(done)
        return str(done.parent / SCRIPTS / "python")

    def _set_up(self, done: Path) -> None:
        wanted = " ".join(self.requirements)
        base = next(filter(None, map(interpreter, self.pythons)), None)
        if base is None:
            pytest.skip(f"no CPython {' or '.join(self.pythons)} here, which {self.name} needs")
        subprocess.run([base, "-m", "venv", "--clear", done.parent], check=True)
        python = str(done.parent / SCRIPTS / "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.requirements]
        installed = subprocess.run(install, env=OUTER_WORLD, capture_output=True, text=True, check=False)
        if installed.returncode:
            pytest.skip(f"{wanted} could not be installed: {installed.stderr.strip().splitlines()[-1]}")
        done.write_text(wanted, "utf-8")


@contextmanager
def _only_one_maker(name: str) -> Iterator[None]:
    """Hold a lock that is shared by the processes of a run, and by runs."""
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with locked(ENVIRONMENTS / f"{name}.lock"):
        yield


THIS = Stack("this", (), ())
PSYCOPG2 = Stack(
    "4.2-psycopg2", ("django~=4.2.0", "psycopg2-binary"), ("3.11", "3.12", "3.10", "3.9"), driver="psycopg2"
)
STACKS = [
    THIS,
    PSYCOPG2,
    Stack("4.2", ("django~=4.2.0", "psycopg[binary,pool]"), ("3.9", "3.10", "3.11", "3.12")),
    Stack("6.0", ("django~=6.0.0", "psycopg[binary,pool]"), ("3.13", "3.12", "3.14")),
    Stack("newest", ("django>=6.1", "psycopg[binary,pool]"), ("3.12", "3.13", "3.14")),
]


# GeoDjango's libraries, from wheels.
POSTGIS = Stack("postgis", ("django~=5.2.0", "psycopg[binary]", "pyogrio", "shapely"), ("3.11", "3.12", "3.13", "3.10"))


class Project(NamedTuple):
    """The project, with its own database on the emulator's server."""

    python: str
    env: dict[str, str]
    database: str

    def entry(self, **more: Any) -> dict[str, Any]:
        """Return an entry of `DATABASES`."""
        return {"ENGINE": ENGINE, "NAME": self.database, **more}

    def using(self, databases: Mapping[str, Any], **env: str) -> Project:
        """Return the same project with other databases."""
        return self._replace(env={**self.env, "DJANGO_DATABASES": json.dumps(databases), **env})

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run Python in the project."""
        done = subprocess.run(
            [self.python, *command],
            cwd=PROJECT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def manage(self, *command: str, code: int = 0) -> str:
        """Run `manage.py`; return its output."""
        done = self.run("-W", "error", "manage.py", *command, code=code)
        return done.stdout + done.stderr


def made(stack: Stack, emulator: Emulator) -> Iterator[Project]:
    database = f"shop_{stack.name.replace('-', '_').replace('.', '')}"
    python = stack.python()
    emulator.sql(f'DROP DATABASE IF EXISTS "{database}"')
    emulator.sql(f'CREATE DATABASE "{database}" OWNER "{emulator.identity.role}"')
    env = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        **emulator.env,
        "DJANGO_DRIVER": stack.driver,
        "EXPECTED_USER": emulator.identity.name,
        "PYTHONPATH": str(ROOT / "python"),
        # Keeps the source folder clean, although many processes run.
        "PYTHONPYCACHEPREFIX": str(ENVIRONMENTS / "pycache"),
    }
    project = Project(python, env, database)
    yield project.using({"default": project.entry()})
    emulator.sql(f'DROP DATABASE "{database}" WITH (FORCE)')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise the timeout of tests that may have to create an environment over the network."""
    for item in items:
        if "project" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(params=[THIS, PSYCOPG2], ids=lambda stack: stack.name)
def project(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[Project]:
    """Yield a project on the installed Django, or on another one if a test names it."""
    yield from made(request.param, emulator)


def _on(*stacks: Stack) -> pytest.MarkDecorator:
    def marks(stack: Stack) -> list[pytest.MarkDecorator]:
        return [] if stack in {THIS, PSYCOPG2} else [pytest.mark.versions]

    parameters = [pytest.param(stack, marks=marks(stack), id=stack.name) for stack in stacks]
    return pytest.mark.parametrize("project", parameters, indirect=True)


on_every_stack = _on(*STACKS)
on_postgis = _on(POSTGIS)
on_this_stack = _on(THIS)
