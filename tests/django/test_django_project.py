"""A Django project does all that Django projects do, on every version of Django here."""

from __future__ import annotations

import re
import shutil
from ctypes.util import find_library
from pathlib import Path
from typing import TYPE_CHECKING

import django
import pytest
from azure_postgresql_auth.emulator import Emulator

from tests.support.django import needs_pools
from tests.support.django_project import THIS, made, on_every_stack, on_postgis, on_this_stack
from tests.support.platforms import FORKS, needs_fork, needs_server

if TYPE_CHECKING:
    from tests.support.django_project import Project

SHOP = "from shop.models import Customer, Order; from shop.views import who;"


@on_every_stack
def test_the_life_of_a_project(project: Project, emulator: Emulator) -> None:
    assert "Applying shop.0001_initial... OK" in project.manage("migrate")
    script = """
from django.core.management import call_command
from django.test import Client
call_command("check", databases=["default"])
call_command("makemigrations", check_changes=True)
call_command("inspectdb", "shop_order")
print(Client().get("/orders/").content.decode())
"""
    printed = project.manage("shell", "-c", script)
    assert "no issues" in printed
    assert "No changes detected" in printed
    assert "class ShopOrder(models.Model):" in printed
    assert '{"orders": 0, "user": "emulator-identity"}' in printed
    # Its own tests, in databases that are made and dropped, one for each process. A given server's roles may not yet.
    emulator.sql(f'ALTER ROLE "{emulator.identity.role}" CREATEDB')
    tested = project.manage("test", "--noinput", "--parallel", "2")
    assert re.search(r"Ran 7 tests in .*\n\nOK\n", tested)
    assert tested.count("Destroying test database") == 3
    assert all(login.accepted for login in emulator.logins)
    processes = 3 if FORKS else 5
    assert len(emulator.token_requests) <= processes, "one for each process, and none for those that it forks"


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_dbshell(project: Project, emulator: Emulator) -> None:
    assert "session_user" in project.manage("dbshell", "--", "-c", "SELECT session_user")
    assert emulator.logins
    assert all(login.accepted for login in emulator.logins)


def test_databases_with_identities(project: Project, emulator: Emulator) -> None:
    reader = emulator.add_identity("reader", "service-principal")
    entry = project.entry()
    replica = project.entry(
        USER="reader",
        TENANT_ID=emulator.tenant_id,
        CLIENT_ID=reader.client_id,
        CLIENT_SECRET=reader.client_secret,
        TEST={"MIRROR": "default"},
    )
    project = project.using({"default": entry, "replica": replica}, DJANGO_ROUTERS='["project.routers.Replica"]')
    project.manage("migrate")
    emulator.sql("GRANT pg_read_all_data TO reader")
    script = SHOP + (
        "ada = Customer.objects.create(name='Ada'); assert ada._state.db == 'default';"
        "found = Customer.objects.get(); assert found._state.db == 'replica';"
        "assert Customer.objects.using('default').get() == found;"
        "from django.db import connections, ProgrammingError;"
        "ask = lambda alias: connections[alias].cursor().execute('SELECT session_user') or None;"
        "cursors = {alias: connections[alias].cursor() for alias in connections};"
        "[cursor.execute('SELECT session_user') for cursor in cursors.values()];"
        "print({alias: cursor.fetchone()[0] for alias, cursor in cursors.items()})"
    )
    assert "{'default': 'emulator-identity', 'replica': 'reader'}" in project.manage("shell", "-c", script)
    refused = project.manage("shell", "-c", SHOP + "Customer.objects.using('replica').create(name='Eve')", code=1)
    assert "permission denied for table shop_customer" in refused
    checked = project.manage("check", "--database", "default", "--database", "replica")
    assert "no issues" in checked


@on_this_stack
def test_checks_in_one_line_each(project: Project, emulator: Emulator) -> None:
    emulator.fail(400)
    databases = {
        "default": project.entry(),
        "half": project.entry(TENANT_ID="t", CLIENT_ID="c"),
        "clear": project.entry(HOST="db.example.com", OPTIONS={"sslmode": "disable"}),
        "other": project.entry(OPTIONS={"credential": "nowhere.to_be_found"}),
    }
    aliases = [word for alias in databases for word in ("--database", alias)]
    printed = project.using(databases).manage("check", *aliases, code=1)
    found = dict(re.findall(r"^\?: \(azure_postgresql_auth\.(\w+)\) DATABASES\['(\w+)'\]", printed, re.MULTILINE))
    assert found == {"E002": "default", "E003": "clear", "E001": "other"}, printed
    assert len(re.findall(r"^\?: \(azure_postgresql_auth", printed, re.MULTILINE)) == 4
    migrated = project.using(databases).manage("migrate", code=1)
    assert "(azure_postgresql_auth.E002)" in migrated
    assert "Traceback" not in migrated


@needs_fork
def test_a_child_leaves_its_parents_connections_alone(project: Project, emulator: Emulator) -> None:
    script = """
import os
from django.db import connection, connections
from shop.views import who
before = [who(), connection.connection.info.backend_pid]
for close_first in (True, False):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if close_first:
                connections.close_all()
            assert who() == before[0]
            assert connection.connection.info.backend_pid != before[1]
            connections.close_all()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert [who(), connection.connection.info.backend_pid] == before
"""
    project.manage("shell", "-c", script)
    assert len(emulator.token_requests) == 1, "children have the parent's"
    version = project.run("-c", "import django; print(*django.VERSION[:2])").stdout
    if project.env["DJANGO_DRIVER"] == "psycopg" and tuple(map(int, version.split())) >= (5, 1):
        pooled = project.entry(OPTIONS={"pool": {"min_size": 1, "max_size": 2}})
        project.using({"default": pooled}).manage("shell", "-c", script)


@on_this_stack
@needs_fork
@pytest.mark.skipif(django.VERSION < (5,), reason="Django 4.2 lets any program go on, on a new connection")
def test_a_child_does_not_go_on_with_its_parents_transaction(project: Project) -> None:
    script = """
import os
from django.db import ProgrammingError, connection, transaction
from shop.views import who
with transaction.atomic():
    before = [who(), connection.connection.info.backend_pid]
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            try:
                who()
            except ProgrammingError as error:
                assert "Cannot open a new connection in an atomic block" in str(error)
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert [who(), connection.connection.info.backend_pid] == before
try:
    with transaction.atomic():
        pid = os.fork()
    # The child's block ends without a message to the server, and later queries use a new connection.
    assert [who(), connection.connection.info.backend_pid == before[1]] == [before[0], pid != 0]
except BaseException:
    if pid == 0:
        os._exit(1)
    raise
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    project.manage("shell", "-c", script)


def test_a_debug_page_shows_no_secret(project: Project, emulator: Emulator) -> None:
    app = emulator.add_identity("app", "service-principal")
    assert app.client_secret
    entry = project.entry(
        USER="nobody",
        AAD_OPTIONS={
            "SP_TENANT_ID": emulator.tenant_id,
            "`SP_CLIENT_SECRET`": app.client_secret,
            "SP_CLIENT_ID": app.client_id,
        },
    )
    script = (
        "from django.test import Client; page = Client(raise_request_exception=False).get('/orders/');"
        "print(page.status_code, page.content.decode())"
    )
    printed = project.using({"default": entry}, DJANGO_DEBUG="1").run("manage.py", "shell", "-c", script).stdout
    assert re.search(r"^500 ", printed, re.MULTILINE)
    assert "password authentication failed for user &quot;nobody&quot;" in printed
    assert "conn_params" in printed
    assert app.client_secret not in printed
    assert "eyJ" not in printed, "a token"


@on_postgis
def test_geodjango(project: Project, emulator: Emulator) -> None:
    """As far as a server without PostGIS lets it."""
    packages = Path(project.python).parent.parent
    (gdal,), (geos,) = (
        list(packages.glob(f"lib/*/site-packages/{name}"))
        for name in ("pyogrio.libs/libgdal*", "shapely.libs/libgeos_c*")
    )
    entry = project.entry(ENGINE="azure_postgresql_auth.django.postgis")
    project = project.using({"default": entry}, DJANGO_GDAL=str(gdal), DJANGO_GEOS=str(geos))
    script = """
from django.contrib.gis.db.backends.postgis.base import DatabaseWrapper
from django.core.management import call_command
from django.db import connection, connections
from shop.views import who
assert isinstance(connections["default"], DatabaseWrapper)
assert type(connection.ops).__name__ == "PostGISOperations"
assert who() == "emulator-identity"
with connection._nodb_cursor() as cursor:
    cursor.execute("SELECT current_database()")
    assert cursor.fetchone() == ("postgres",)
call_command("check", databases=["default"])
"""
    assert "no issues" in project.manage("shell", "-c", script)
    assert 'extension "postgis" is not available' in project.manage("migrate", code=1)
    assert all(login.accepted for login in emulator.logins)


POSTGIS_SERVERS = sorted(Path("/usr/share/postgresql").glob("*/extension/postgis.control"))


@needs_server
@pytest.mark.skipif(not POSTGIS_SERVERS, reason="Debian's postgresql-*-postgis-3 is not installed")
@pytest.mark.parametrize("options", [{}, pytest.param({"pool": True}, marks=needs_pools)])
def test_geodjango_on_postgis(options: dict[str, object]) -> None:
    """Places are stored and found, in databases of the project and of its tests."""
    gdal, geos = (find_library(name) for name in ("gdal", "geos_c"))
    programs = Path("/usr/lib/postgresql", POSTGIS_SERVERS[-1].parts[-3], "bin")
    with Emulator(postgres=programs) as emulator:
        # As an administrator does; also for the databases that the test runner creates.
        emulator.sql("CREATE EXTENSION postgis", database="template1")
        databases = made(THIS, emulator)
        project = next(databases)
        entry = project.entry(ENGINE="azure_postgresql_auth.django.postgis", OPTIONS=options)
        project = project.using({"default": entry}, DJANGO_GDAL=str(gdal), DJANGO_GEOS=str(geos))
        assert "Applying shop.0001_initial... OK" in project.manage("migrate")
        script = """
from django.contrib.gis.db import models
from django.contrib.gis.db.models.functions import Distance
from django.contrib.gis.geos import Point, Polygon
from django.contrib.gis.measure import D
from django.db import connection
from shop.views import who

class Branch(models.Model):
    name = models.CharField(max_length=20)
    place = models.PointField(geography=True)
    area = models.PolygonField(null=True)
    class Meta:
        app_label = "shop"

with connection.schema_editor() as editor:
    editor.create_model(Branch)
berlin, potsdam, munich = Point(13.40, 52.52), Point(13.06, 52.40), Point(11.58, 48.14)
Branch.objects.create(name="Berlin", place=berlin, area=Polygon.from_bbox((13, 52, 14, 53)))
Branch.objects.create(name="Munich", place=munich)
near = Branch.objects.filter(place__distance_lte=(potsdam, D(km=50))).annotate(away=Distance("place", potsdam))
(found,) = near
assert (found.name, found.place.coords, found.place.srid) == ("Berlin", (13.40, 52.52), 4326)
assert 25 < found.away.km < 30, found.away
assert Branch.objects.get(area__contains=berlin).name == "Berlin"
assert type(connection.ops).__name__ == "PostGISOperations"
print("PostGIS", connection.ops.postgis_lib_version(), who())
"""
        printed = project.manage("shell", "-c", script)
        assert re.search(r"^PostGIS 3\.\S+ emulator-identity$", printed, re.MULTILINE), printed
        assert "no issues" in project.manage("check", "--database", "default")
        if not options:
            assert re.search(r"Ran 7 tests in .*\n\nOK\n", project.manage("test", "--noinput"))
        assert all(login.accepted for login in emulator.logins)
        next(databases, None)
