"""`doctor` on the connection and its TLS; each test breaks one thing."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.doctor import AZURE, Doctor
from tests.support.platforms import needs_named_pipes
from tests.support.servers import DroppingServer, answering

if TYPE_CHECKING:
    import pytest
    from azure_postgresql_auth.emulator import Emulator


class TestConnection:
    def test_nothing_listens(self, doctor: Doctor, emulator: Emulator, port: int) -> None:
        report = doctor(f"port={port}")
        assert (report.code, report.cause) == (13, f"nothing listens at localhost port {port}")
        assert report.remedy.startswith("check the port (5432; 6432 for PgBouncer)")

    def test_a_firewall_drops_everything(self, doctor: Doctor, emulator: Emulator) -> None:
        with DroppingServer() as server:
            report = doctor(f"port={server.port} connect_timeout=2")
        assert report.code == 13
        assert report.cause == f"localhost port {server.port} does not answer: something on the way drops the packets"
        assert "firewall rules (Networking)" in report.remedy


class TestTls:
    def test_server_without_tls(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("no-tls")
        report = doctor()
        assert (report.code, report.cause) == (
            14,
            f"localhost port {emulator.port} does not support TLS, so no token is sent to it",
        )
        assert emulator.logins == []

    def test_it_is_too_old(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("old-tls")
        report = doctor()
        assert (report.code, report.cause) == (14, f"localhost port {emulator.port} does not support TLS 1.2 or later")

    def test_another_servers_certificate(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("other-name")
        report = doctor()
        assert (report.code, report.cause) == (
            14,
            "the server's certificate is for replica.example.com, not for localhost",
        )
        assert report.remedy.startswith("connect to the server's own name, with hostaddr")
        assert "would pass with sslmode=verify-ca or require" in report.text
        assert doctor("sslmode=verify-ca").code == 0

    def test_an_expired_certificate(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("expired-certificate")
        report = doctor()
        assert report.code == 14
        assert re.fullmatch(r"the server's certificate ended \w{3} [ \d]\d [\d:]{8} \d{4} GMT", report.cause)
        assert report.remedy.startswith("check this machine's clock")
        assert "would pass with sslmode=require" in report.text

    def test_roots_of_another_authority(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        from azure_postgresql_auth.tls import AZURE_ROOTS

        report = doctor(f"sslrootcert={Path(AZURE_ROOTS).as_posix()}")
        assert report.code == 14
        assert report.cause.startswith(
            "the server's certificate, issued by azure_postgresql_auth emulator, does not lead to a trusted root"
        )
        assert report.remedy.startswith("name a file with the root of azure_postgresql_auth emulator with sslrootcert")

    def test_settings_keep_azures_roots_away(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        import trustme

        other = (tmp_path / "other.pem").as_posix()
        trustme.CA().cert_pem.write_to_path(other)
        report = doctor(f"host={AZURE} hostaddr=127.0.0.1 sslrootcert={other}")
        assert report.remedy == f"remove sslrootcert and PGSSLROOTCERT, now {other}: Azure's own roots are used then"

    def test_intercepted_tls(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("PGSSLMODE", "PGSSLROOTCERT"):
            monkeypatch.delenv(name)
        report = doctor(f"host={AZURE} hostaddr=127.0.0.1")
        assert report.code == 14
        assert report.remedy.startswith("something between here and Azure intercepts TLS")

    def test_a_file_of_roots_that_is_not_there(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        missing = f"{tmp_path.as_posix()}/nothing.pem"
        report = doctor(f"sslrootcert={missing}")
        assert report.cause == f"sslmode=verify-full needs root certificates, and {missing} does not exist"

    def test_a_file_of_roots_that_holds_none(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        (tmp_path / "empty.pem").touch()
        broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        (tmp_path / "broken.pem").write_text(broken + Path(emulator.ca_file).read_text())
        (tmp_path / "folder.pem").mkdir()
        for name, why in (
            ("empty", "it has no certificates in PEM format"),
            ("broken", "it has no certificates in PEM format"),
            ("folder", "it is not a regular file"),
        ):
            path = (tmp_path / f"{name}.pem").as_posix()
            report = doctor(f"sslrootcert={path}")
            assert (report.code, report.cause) == (14, f"the root certificates in {path} cannot be used: {why}")
            assert report.remedy.startswith("name a file of certificates with sslrootcert")

    @needs_named_pipes
    def test_a_named_pipe_instead_of_a_file_of_roots(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe.pem"
        os.mkfifo(pipe)
        # What opens the pipe would wait for this, and find nothing to read.
        writer = threading.Timer(10, lambda: pipe.write_bytes(b""))
        writer.start()
        report = doctor(f"sslrootcert={pipe}")
        assert writer.is_alive()
        writer.cancel()
        assert (report.code, report.cause) == (
            14,
            f"the root certificates in {pipe} cannot be used: it is not a regular file",
        )

    def test_it_closes_at_once(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("hang-up")
        report = doctor()
        assert report.cause == f"localhost port {emulator.port} accepts connections and closes them at once"

    def test_server_does_not_answer_the_tls_request(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("silence")
        report = doctor("connect_timeout=2")
        assert report.cause == f"localhost port {emulator.port} accepts connections and then does not answer"

    def test_an_error_before_tls(self, doctor: Doctor, emulator: Emulator) -> None:
        fields = b"SFATAL\0C53300\0Mwords of anybody\0\0"
        with answering(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields) as server:
            report = doctor(f"port={server.port}")
        assert (report.code, report.cause) == (
            14,
            f"localhost port {server.port} refuses connections with an error, before TLS",
        )
        assert "words of anybody" not in report.text

    def test_it_is_no_postgresql(self, doctor: Doctor, emulator: Emulator) -> None:
        with answering(b"HTTP/1.1 400 Bad Request\r\n") as server:
            cause = doctor(f"port={server.port}").cause
        assert cause == f"what listens at localhost port {server.port} does not speak PostgreSQL"

    def test_server_closes_during_the_handshake(self, doctor: Doctor, emulator: Emulator) -> None:
        with answering(b"S") as server:
            assert f"localhost port {server.port}" in doctor(f"port={server.port}").cause

    def test_no_tls_passes_where_it_may(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("PGSSLMODE", "PGSSLROOTCERT"):
            monkeypatch.delenv(name)
        emulator.fail_server("no-tls")
        report = doctor()
        assert "the server does not support TLS, and sslmode allows that" in report.text
        assert (report.code, report.cause) == (18, "the server requires TLS, and the connection did not use it")
