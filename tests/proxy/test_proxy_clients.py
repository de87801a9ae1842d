"""`proxy`: drivers and programs in many languages, through it to the emulator."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import psycopg2
import pytest

from tests.support.polling import eventually
from tests.support.proxy import (
    ROLE,
    Proxy,
    RunProxy,
    who,
)

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run(*command: str, timeout: float = 60, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@needs("psql")
def test_psql(proxy: Proxy) -> None:
    assert run("psql", proxy.conninfo, "-Atc", "SELECT session_user").strip() == ROLE
    assert run("psql", proxy.url, "-Atc", "SELECT session_user").strip() == ROLE


def test_python_drivers_without_any_of_ours(proxy: Proxy) -> None:
    with psycopg.connect(proxy.conninfo) as connection:
        assert who(connection) == ROLE
    second = psycopg2.connect(proxy.url)
    with second.cursor() as cursor:
        cursor.execute("SELECT session_user")
        assert cursor.fetchone() == (ROLE,)
    second.close()

    async def main() -> None:
        third = await asyncpg.connect(proxy.url)
        assert await third.fetchval("SELECT session_user") == ROLE
        await third.close()

    asyncio.run(main())
    assert proxy.figure("logins_total") == 3
    assert eventually(lambda: proxy.figure("connections_open") == 0)


@needs("pgbench")
def test_pgbench_with_many_clients(proxy: Proxy) -> None:
    run("pgbench", "-h", str(proxy.folder), "-U", ROLE, "-i", "-q", "postgres")
    done = run(
        "pgbench", "-h", str(proxy.folder), "-U", ROLE, "-S", "-M", "prepared", "-c", "20", "-t", "50", "postgres"
    )
    assert "number of failed transactions: 0 (0.000%)" in done
    run("pgbench", "-h", str(proxy.folder), "-U", ROLE, "-i", "-I", "d", "postgres")


PERL = """
use DBI;
print DBI->connect("dbi:Pg:host=$ARGV[0];dbname=postgres", $ARGV[1], "")->selectrow_array("SELECT session_user")
"""
RUBY = """
require "pg"
print PG.connect(host: ARGV[0], dbname: "postgres", user: ARGV[1]).exec("SELECT session_user").getvalue(0, 0)
"""
JAVA = """
public class Who {
    public static void main(String[] arguments) throws Exception {
        try (var connection = java.sql.DriverManager.getConnection(arguments[0], arguments[1], "")) {
            var found = connection.createStatement().executeQuery("SELECT session_user");
            found.next();
            System.out.print(found.getString(1));
        }
    }
}
"""
JAR = "/usr/share/java/postgresql.jar"


@pytest.mark.parametrize(("program", "arguments"), [("perl", ["-MDBD::Pg", "-e", PERL]), ("ruby", ["-e", RUBY])])
def test_other_languages_on_libpq(proxy: Proxy, program: str, arguments: list[str]) -> None:
    probe = {"perl": ["-MDBD::Pg", "-e", "1"], "ruby": ["-e", 'require "pg"']}[program]
    if shutil.which(program) is None or subprocess.run([program, *probe], check=False, capture_output=True).returncode:
        pytest.skip(f"{program}'s driver of PostgreSQL is not installed (Debian: libdbd-pg-perl, ruby-pg)")
    assert run(program, *arguments, str(proxy.folder), ROLE) == ROLE


def test_jdbc(proxy: Proxy, tmp_path: Path) -> None:
    if shutil.which("java") is None or not os.path.exists(JAR):  # noqa: PTH110
        pytest.skip("Java or its driver of PostgreSQL is not installed (Debian: libpostgresql-jdbc-java)")
    if shutil.which("javac") is None and "jdk.compiler" not in run("java", "--list-modules"):
        pytest.skip("Java's compiler is not installed (Debian: default-jdk-headless)")
    source = tmp_path / "Who.java"
    source.write_text(JAVA)
    url = f"jdbc:postgresql://127.0.0.1:{proxy.port}/postgres"
    assert run("java", "-cp", JAR, str(source), url, ROLE, timeout=100) == ROLE


GO = """
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "github.com/lib/pq"
)

func main() {
	db, err := sql.Open("postgres", os.Args[1])
	if err != nil {
		panic(err)
	}
	var who string
	if err := db.QueryRow("SELECT session_user").Scan(&who); err != nil {
		panic(err)
	}
	fmt.Print(who)
}
"""


def test_go(proxy: Proxy, tmp_path: Path) -> None:
    if shutil.which("go") is None or not os.path.isdir("/usr/share/gocode/src/github.com/lib/pq"):  # noqa: PTH112
        pytest.skip("Go or its driver of PostgreSQL is not installed (Debian: golang-go, golang-github-lib-pq-dev)")
    source = tmp_path / "who.go"
    source.write_text(GO)
    environment = {
        **os.environ,
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOCACHE": str(tmp_path / "cache"),
    }
    found = run("go", "run", str(source), f"{proxy.url}?sslmode=disable", env=environment, timeout=100)
    assert found == ROLE


DEBIANS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


@pytest.mark.skipif(not DEBIANS, reason="no PostgreSQL is installed (Debian: postgresql)")
def test_dump_restore_and_base_backup_by_the_servers_own_programs(
    run_proxy: RunProxy, emulator: Emulator, tmp_path: Path
) -> None:
    from azure_postgresql_auth.emulator import Emulator

    programs = DEBIANS[-1]
    with Emulator(postgres=programs) as old:
        variables = {name: value for name, value in old.env.items() if not name.startswith("PG")}
        server = f"localhost:{old.port}"
        proxy = run_proxy("--sslrootcert", old.ca_file, server=server, env=variables)
        target = proxy.conninfo
        run("psql", target, "-c", "CREATE TABLE dumped AS SELECT generate_series(1, 1000) AS number")
        run(str(programs / "pg_dump"), "-d", target, "-Fc", "-t", "dumped", "-f", str(tmp_path / "dump"))
        run("psql", target, "-c", "DROP TABLE dumped")
        run(str(programs / "pg_restore"), "-d", target, str(tmp_path / "dump"))
        assert run("psql", target, "-Atc", "SELECT count(*) FROM dumped").strip() == "1000"
        old.sql(f'ALTER ROLE "{ROLE}" REPLICATION')
        run(str(programs / "pg_basebackup"), "-d", target, "-D", str(tmp_path / "base"), "-X", "none", "-c", "fast")
        assert (tmp_path / "base" / "PG_VERSION").exists()
