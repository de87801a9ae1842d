"""`doctor` on the installation, the settings and the server's name; each test breaks one thing."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doctor import AZURE, Doctor, Report, install, unresolved

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run


class TestInstallation:
    def test_both_distributions(self, doctor: Doctor, emulator: Emulator, site: Path) -> None:
        install(site, "azure-postgresql-auth", "1.1.0")
        report = doctor()
        assert report.code == 10
        assert "azure-postgresql-auth and azure-postgresql-auth-rs are both installed" in report.cause
        assert report.remedy.startswith("pip uninstall azure-postgresql-auth azure-postgresql-auth-rs")

    def test_a_stand_in_for_the_other_distribution(self, doctor: Doctor, emulator: Emulator, site: Path) -> None:
        """It satisfies the requirements of libraries and has no files that could replace ours."""
        install(site, "azure-postgresql-auth", "1.1.0")
        (info,) = site.glob("azure_postgresql_auth-*.dist-info")
        (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
        report = doctor()
        assert (report.code, report.cause) == (0, "The login works.")

    def test_an_old_driver(self, doctor: Doctor, emulator: Emulator, site: Path) -> None:
        install(site, "asyncpg", "0.27.0")
        report = doctor()
        assert report.code == 0
        assert report.cause == "The login works, but: asyncpg 0.27.0 is older than 0.30, which this package is made for"

    def test_a_driver_that_cannot_be_loaded(self, cli: Run, emulator: Emulator, tmp_path: Path) -> None:
        (tmp_path / "psycopg.py").write_text("raise ImportError('no pq wrapper available')")
        done = cli("doctor", env={"PYTHONPATH": str(tmp_path)})
        assert done.returncode == 0
        assert "psycopg2: logged in as" in done.stdout
        assert "psycopg is installed but cannot be loaded (no pq wrapper available)" in done.stdout.splitlines()[-1]

    @pytest.mark.parametrize(("missing", "by"), [(("psycopg",), "psycopg2"), (("psycopg", "psycopg2"), "asyncpg")])
    def test_the_next_driver_logs_in(
        self, cli: Run, emulator: Emulator, tmp_path: Path, missing: tuple[str, ...], by: str
    ) -> None:
        for name in missing:
            (tmp_path / f"{name}.py").write_text("raise ImportError('gone')")
        assert f"{by}: logged in as emulator-identity" in cli("doctor", env={"PYTHONPATH": str(tmp_path)}).stdout
        failed = cli("doctor", "user=nobody", env={"PYTHONPATH": str(tmp_path)})
        assert failed.returncode == 18
        assert (
            'the server has no role "nobody" for emulator-identity, a user-assigned managed identity (obj'
            in Report(18, failed.stdout).verdict
        )

    def test_no_driver(self, cli: Run, emulator: Emulator, tmp_path: Path) -> None:
        for name in ("psycopg", "psycopg2", "asyncpg"):
            (tmp_path / f"{name}.py").write_text("raise ImportError('gone')")
        (tmp_path / "sitecustomize.py").write_text(
            "from importlib import metadata\n"
            "version = metadata.version\n"
            "def hide(name):\n"
            "    if name.startswith(('psycopg', 'asyncpg')): raise metadata.PackageNotFoundError(name)\n"
            "    return version(name)\n"
            "metadata.version = hide\n"
        )
        done = cli("doctor", env={"PYTHONPATH": str(tmp_path)})
        assert done.returncode == 3
        assert done.stdout.splitlines()[-1] == "Nothing wrong was found, but the login itself was not tried."
        assert "pip install 'azure-postgresql-auth-rs[psycopg3]'" in done.stdout
        assert emulator.logins == []


class TestSettings:
    def test_unencrypted_connection_is_refused(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor(f"host={AZURE} hostaddr=127.0.0.1 sslmode=disable")
        assert report.code == 11
        assert report.cause.startswith("sslmode=disable could send the token")
        assert report.remedy.startswith("remove sslmode and PGSSLMODE")
        # What has nothing to do with it is looked at all the same.
        assert "ManagedIdentityCredential gave a token" in report.text

    def test_no_host(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PGHOST")
        report = doctor("dbname=postgres")
        assert (report.code, report.cause) == (11, "no host is given, so the login goes to a server on this machine")

    def test_another_service(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor("host=srv.mysql.database.azure.com hostaddr=127.0.0.1 sslmode=require")
        assert "srv.mysql.database.azure.com is a server of another service" in report.cause

    def test_a_private_endpoints_name(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor("host=srv.privatelink.postgres.database.azure.com hostaddr=127.0.0.1 sslmode=require")
        assert report.cause.endswith("is a private endpoint's name, which is not in the certificate")
        assert report.remedy.startswith("connect to srv.postgres.database.azure.com;")

    @pytest.mark.parametrize(
        ("conninfo", "complaint"),
        [
            ("host", "no host"),
            ("host=a port", "cannot be read"),
            ("host=a,b port=1,2,3", "the same number of"),
            ("host=a port=x", "expected a number"),
            ("host=a port=0", "expected numbers from 1 to 65535"),
            ("host=a,b port=5432,65536", "expected numbers from 1 to 65535"),
            ("host=a port=-1", "expected numbers from 1 to 65535"),
            ("host=a.postgres.database.azure.com,b.postgres.database.chinacloudapi.cn", "different Azure clouds"),
        ],
    )
    def test_invalid_settings(
        self, emulator: Emulator, conninfo: str, complaint: str, monkeypatch: pytest.MonkeyPatch, cli: Run
    ) -> None:
        done = cli("doctor", conninfo, env={"PGHOST": None})
        assert complaint in done.stderr + done.stdout
        assert "Traceback" not in done.stderr

    def test_a_time_limit_that_no_timer_takes(self, doctor: Doctor, emulator: Emulator) -> None:
        assert doctor("connect_timeout=99999999999999").code in {0, 18}  # as libpq takes it


class TestName:
    def test_it_does_not_exist(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", unresolved(socket.EAI_NONAME, "Name or service not known"))
        report = doctor(f"host={AZURE}")
        assert (report.code, report.cause) == (12, f"the name {AZURE} does not exist here")
        assert "private DNS zone" in report.remedy
        assert doctor("host=db.example.com").remedy == "check the spelling"

    def test_no_name_server(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", unresolved(socket.EAI_AGAIN, "Temporary failure"))
        report = doctor(f"host={AZURE}")
        assert (report.code, report.cause) == (12, f"no name server answered for {AZURE}")

    def test_one_resolvable_host_of_two_is_enough(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve = socket.getaddrinfo

        def one(host: Any, *arguments: Any, **keywords: Any) -> Any:
            return (unresolved(socket.EAI_NONAME, "gone") if host == "gone.invalid" else resolve)(
                host, *arguments, **keywords
            )

        monkeypatch.setattr(socket, "getaddrinfo", one)
        report = doctor(f"host=gone.invalid,localhost port={emulator.port},{emulator.port}")
        assert report.code in {0, 18}  # libpq resolves by itself
        assert "the name gone.invalid does not exist here" in report.cause
