"""`doctor` on the login: what the server and the driver refuse, and why."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from azure_postgresql_auth.cli import drivers
from azure_postgresql_auth.cli.doctor import driver_errors

from tests.support.platforms import WINDOWS, needs_modes, needs_root
from tests.support.servers import Server, mute_postgresql

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.doctor import Doctor

# The drivers' wheels for Windows have a libpq without GSSAPI.
WITHOUT_GSSAPI = "GSSAPI support is not compiled in" if WINDOWS else "GSSAPI encryption required"


class TestLogin:
    def test_the_role_is_missing(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = identity = emulator.add_identity("it's new", role=None)
        report = doctor()
        assert report.code == 18
        oid = identity.object_id
        assert report.cause == f'the server has no role "it\'s new" for this identity (object id {oid})'
        assert report.remedy == "create or correct the role with the SQL below"
        assert f"pgaadauth_create_principal_with_oid('it''s new', '{oid}', 'service', false, false);" in report.sql
        assert f"ON ROLE \"it's new\" IS 'aadauth,oid={oid},type=service';" in report.sql
        assert len(report.verdict) < 200

    def test_the_role_is_another_objects(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.add_identity("before", role="orders")
        emulator.identity = identity = emulator.add_identity("orders", role=None)
        report = doctor()
        assert report.code == 18
        assert "-- if it has another object id, such as that of an identity of the same name that was" in report.sql
        assert f'SECURITY LABEL FOR "pgaadauth" ON ROLE "orders" IS \'aadauth,oid={identity.object_id}' in report.sql

    def test_the_token_names_nobody(self, doctor: Doctor, emulator: Emulator) -> None:
        claims = {"xms_mirid": None}
        for kind, who, remedy in (
            (
                "user-assigned",
                "a managed identity",
                "omit user= (and PGUSER) to log in as the identity itself; or if",
            ),
            (
                "service-principal",
                "an application",
                'if "team" is a group, make the identity a member of it; or create',
            ),
        ):
            emulator.identity = someone = emulator.add_identity(kind, kind, database_claims=claims)
            report = doctor("user=team")
            assert report.cause == f'the server has no role "team" for {who} (object id {someone.object_id})'
            assert report.remedy.startswith(remedy)

    def test_not_a_member_of_the_group(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.add_group("team", [])
        emulator.identity = emulator.add_identity("ann@contoso.com", "user")
        report = doctor("user=team")
        assert report.code == 18
        oid = emulator.identity.object_id
        assert f"team, as given; the token is of ann@contoso.com, a user (object id {oid})" in report.text
        assert report.cause == f'the server has no role "team" for ann@contoso.com, a user (object id {oid})'
        assert report.remedy == (
            'omit user= (and PGUSER) to log in as "ann@contoso.com"; or if "team" is a group, make the identity a '
            "member of it; or create or correct the role with the SQL below"
        )
        assert ", 'user', false, false)" in report.sql

    @pytest.mark.parametrize(
        ("kind", "role_type", "cause", "type_"),
        [
            (
                "user-assigned",
                "user",
                "was created as a user's or a group's, and the token is an application's",
                "service",
            ),
            ("user", "service", "was created as a service's, and the token is a user's", "user"),
        ],
    )
    def test_the_roles_type_is_wrong(
        self, doctor: Doctor, emulator: Emulator, kind: str, role_type: str, cause: str, type_: str
    ) -> None:
        emulator.identity = emulator.add_identity("someone", kind, role_type=role_type)
        report = doctor()
        assert (report.code, cause in report.cause) == (18, True)
        assert f",type={type_}';" in report.sql

    def test_the_token_was_revoked(self, doctor: Doctor, emulator: Emulator) -> None:
        token = emulator.token(emulator.identity)
        emulator.revoke("emulator-identity")
        report = doctor(f"user=emulator-identity password={token}")
        assert report.code == 18
        assert report.cause.startswith("the server does not accept the token: it was revoked, or its tenant")

    def test_the_tenant_is_another(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("foreign", claims={"tid": "another"})
        report = doctor()
        assert "its tenant another is not the server's" in report.cause

    def test_a_password_that_is_no_token(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor("user=emulator-identity password=hunter2")
        assert report.code == 18
        assert report.cause == 'the server takes "emulator-identity" for an Entra role, and the password is not a token'
        assert "hunter2" not in report.text

    def test_the_token_has_no_object_id(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("odd", claims={"oid": None})
        assert doctor().cause == "the token has no object id (oid)"

    def test_the_database_is_missing(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor("dbname=nothing")
        assert (report.code, report.cause) == (18, 'the identity is accepted, but there is no database "nothing"')

    def test_it_may_not_connect(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.sql("CREATE DATABASE closed")
        try:
            emulator.sql("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
            report = doctor("dbname=closed")
        finally:
            emulator.sql("DROP DATABASE closed")
        assert report.remedy == 'GRANT CONNECT ON DATABASE "closed" TO "emulator-identity";'

    def test_the_role_may_not_log_in(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("sleeper")
        emulator.sql("ALTER ROLE sleeper NOLOGIN")
        report = doctor()
        assert (report.cause, report.remedy) == ('the role "sleeper" may not log in', 'ALTER ROLE "sleeper" LOGIN;')

    @pytest.mark.usefixtures("emulator")
    def test_a_parameter_of_the_server_is_wrong(self, doctor: Doctor) -> None:
        report = doctor("options=-cno_such_parameter=1")
        assert 'unrecognized configuration parameter "no_such_parameter"' in report.cause
        assert report.remedy.startswith("correct or remove it: in options (PGOPTIONS)")

    @pytest.mark.parametrize(
        ("sqlstate", "message", "cause"),
        [
            ("53300", "sorry, too many clients already", "all of the server's connections are in use"),
            ("53300", "remaining connection slots are reserved for roles with", "connections are in use"),
            ("57P03", "the database system is starting up", "the server is starting, stopping or recovering"),
            ("28000", 'no pg_hba.conf entry for host "1.2.3.4", user "x", SSL encryption', "access rules do not admit"),
            ("28000", "The access token has expired. Please acquire a new one", "has expired by the server's clock"),
            (
                "28000",
                "The access token does not have a valid audience claim.",
                "does not accept tokens for https://oss",
            ),
            ("XX000", "something that nobody has seen before", "refuses the login: something that nobody has seen"),
        ],
    )
    def test_the_servers_words_are_explained(
        self, doctor: Doctor, emulator: Emulator, sqlstate: str, message: str, cause: str
    ) -> None:
        emulator.refuse(message, sqlstate)
        report = doctor()
        assert (report.code, cause in report.cause) == (18, True), report.verdict
        assert report.remedy


class TestDriver:
    @pytest.mark.parametrize("name", ["psycopg", "psycopg2"])
    @pytest.mark.parametrize(
        ("settings", "reason", "remedy"),
        [
            pytest.param(
                "sslcert={0}/client.crt sslkey={0}/client.key",
                "has group or world access",
                "chmod 0600 the key file",
                marks=needs_modes,
            ),
            ("sslcert={0}/client.crt sslkey={0}/gone", "but not private key file", "remove sslcert and sslkey"),
            ("channel_binding=require", "channel binding required", "remove channel_binding"),
            ("require_auth=scram-sha-256", "server requested a cleartext password", "remove require_auth"),
            ("target_session_attrs=standby", "not in hot standby mode", "the login works; remove target_session"),
            ("target_session_attrs=read-only", "session is not read-only", "the login works; remove target_session"),
            ("gssencmode=require", WITHOUT_GSSAPI, "remove gssencmode"),
            ("connect_timeout=soon", "connect_timeout", "correct the setting that this"),
            ("ssl_max_protocol_version=TLSv1.1", "invalid SSL protocol version range", "correct the setting that this"),
        ],
    )
    def test_its_reason_is_told(
        self,
        doctor: Doctor,
        emulator: Emulator,
        client_certificate: Path,
        name: str,
        settings: str,
        reason: str,
        remedy: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        driver = next(driver for driver in drivers.ALL if driver.name == name)
        monkeypatch.setattr(drivers, "ALL", (driver,))
        report = doctor(settings.format(client_certificate.as_posix()))
        assert report.code == 18
        assert report.cause.startswith(f"{name} ended the login on this machine: ")
        assert reason in report.cause
        assert "connection to server" not in report.cause
        assert report.remedy.startswith(remedy)

    def test_asyncpgs_reason_is_told(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drivers, "ALL", drivers.ALL[2:])
        monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
        report = doctor()
        assert report.cause.startswith("asyncpg ended the login on this machine: None of the hosts match")

    @needs_root
    def test_the_home_of_another_user(self, emulator: Emulator, tmp_path: Path) -> None:
        (tmp_path / ".postgresql").mkdir()
        tmp_path.chmod(0o700)
        script = (
            "import os, psycopg2\n"
            "os.setgid(65534)\n"
            "os.setuid(65534)\n"
            f"psycopg2.connect('{emulator.dsn}', user='x', password='x', sslrootcert='system')"
        )
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        text = driver_errors.read(Exception(done.stderr.partition("OperationalError: ")[2])).text
        assert text == f'could not open certificate file "{tmp_path}/.postgresql/postgresql.crt": Permission denied'
        assert driver_errors.explained("psycopg2", text).remedy.startswith("HOME, where libpq looks for a client")

    def test_a_server_that_answers_nothing_after_the_login(self, doctor: Doctor, emulator: Emulator) -> None:
        with Server(mute_postgresql) as server:
            report = doctor(
                f"host=127.0.0.1 port={server.port} user=u password=secret sslmode=disable connect_timeout=1"
            )
        assert (report.code, report.cause) == (18, "the server did not complete the login: no answer within 6 s")
        assert report.remedy.startswith("increase connect_timeout")

    @pytest.mark.parametrize(
        ("text", "remedy"),
        [
            ('invalid URI query parameter: "plugin"', "give a URL with plugin=entra to SQLAlchemy's create_engine"),
            ('unrecognized configuration parameter "entra_client_id"', "give a URL with plugin=entra to SQLAlchemy's"),
            (
                "fe_sendauth: no password supplied",
                "connect with this package, which supplies the token; with SQLAlchemy",
            ),
            ("server closed the connection unexpectedly", "try again; if it persists"),
            ("timeout expired", "increase connect_timeout"),
            ("SSL error: unexpected eof while reading", "try again; if it persists"),
            ("expected authentication request from server, but received H", "check host and port"),
        ],
    )
    def test_what_programs_report(self, text: str, remedy: str) -> None:
        error = Exception(f'connection to server at "localhost" (::1), port 5432 failed: {text}')
        assert driver_errors.explained("psycopg2", driver_errors.read(error).text).remedy.startswith(remedy)

    def test_every_address_has_a_reason(self) -> None:
        refused = 'connection to server at "h" (::1), port 1 failed: Connection refused'
        other = 'connection to server on socket "/tmp/x" failed: FATAL:  no pg_hba.conf entry'
        assert driver_errors.read(Exception(f"{refused}\n{refused}")) == ("Connection refused", False)
        assert driver_errors.read(Exception(f"{refused}\n{other}")) == ("no pg_hba.conf entry", True)
        assert driver_errors.read(TimeoutError()) == ("TimeoutError", False)
