"""Errors as data: what programs can rely on, whatever the texts say."""

from __future__ import annotations

import ast
import copy
import importlib
import pickle
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import azure_postgresql_auth
import pytest
from azure_postgresql_auth import _core, core, errors, identity, psycopg3
from azure_postgresql_auth._engine import refusal, registry
from azure_postgresql_auth.cli.doctor import credential as doctor_credential
from azure_postgresql_auth.errors import Attempt, EntraConnectionValueError, ErrorReport

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.drivers import Driver

GUID = "11111111-2222-3333-4444-555555555555"
SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
CODES = {code: exception for code, exception, _, _ in _core.error_codes()}


def report_of(credential: Any) -> ErrorReport:
    with pytest.raises(EntraConnectionValueError) as raised:
        credential.get_token(SCOPE)
    return raised.value.report


class TestReports:
    def test_a_refusal_has_entras_code_and_a_remedy_for_the_credential(self, emulator: Emulator) -> None:
        app = emulator.add_identity("app", "service-principal")
        report = report_of(identity.ClientSecretCredential(emulator.tenant_id, app.client_id, "wrong-secret"))
        assert (report.code, report.service_code) == ("authentication_failed", "AADSTS7000215")
        assert report.remedy == "use the secret's value, which is shown once, not its id"
        (attempt,) = report.attempts
        assert (attempt.credential, attempt.status) == ("ClientSecretCredential", "refused")
        assert attempt.summary == "AADSTS7000215: Invalid client secret provided"
        assert "Trace ID: " in attempt.reason
        assert "wrong-secret" not in repr(report)

    def test_throttling_has_retry_after(self, emulator: Emulator) -> None:
        emulator.fail(429, headers={"Retry-After": "60"})
        report = report_of(identity.ManagedIdentityCredential())
        assert (report.code, report.retry_after) == ("throttled", 60.0)
        assert [attempt.retry_after for attempt in report.attempts] == [60.0]

    def test_a_service_that_fails_has_refused_nothing(self, emulator: Emulator) -> None:
        emulator.fail(501)  # as 500 and 503, which are tried again, so that it takes seconds
        app = emulator.add_identity("app", "service-principal")
        secret = identity.ClientSecretCredential(emulator.tenant_id, app.client_id, app.client_secret or "")
        for credential in (identity.ManagedIdentityCredential(), secret):
            report = report_of(credential)
            assert report.code == "no_answer"
            assert report.remedy.startswith("the service itself fails: try again later")

    @pytest.mark.usefixtures("nowhere")
    def test_a_chain_lists_all_that_it_asked(self) -> None:
        report = report_of(identity.DefaultAzureCredential())
        assert report.code == "credential_unavailable"
        names = ["EnvironmentCredential", "WorkloadIdentityCredential", "ManagedIdentityCredential"]
        assert [attempt.credential for attempt in report.attempts][:3] == names
        assert {attempt.status for attempt in report.attempts} == {"unavailable"}
        native = [attempt for attempt in report.attempts if attempt.credential != "azure-identity"]
        assert all(attempt.seconds is not None for attempt in native)

    def test_a_link_that_is_refused_ends_the_search(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        app = emulator.add_identity("app", "service-principal")
        for name, value in {**emulator.client_secret_env(app), "AZURE_CLIENT_SECRET": "wrong-secret"}.items():
            monkeypatch.setenv(name, value)
        report = report_of(identity.DefaultAzureCredential())
        assert (report.code, report.attempts[-1].credential) == ("authentication_failed", "EnvironmentCredential")
        assert report.remedy.startswith("put a secret that is valid now into AZURE_CLIENT_SECRET")

    @pytest.mark.usefixtures("emulator")
    def test_a_search_that_succeeds_is_data_as_well(self) -> None:
        credential = identity.DefaultAzureCredential()
        credential.get_token(SCOPE)
        attempts = registry.resolve(credential).provider.attempts()
        assert [attempt.status for attempt in attempts] == ["unavailable", "unavailable", "succeeded"]
        assert attempts[-1].credential == "ManagedIdentityCredential"

    def test_a_setting_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
            monkeypatch.setenv(name, '"a-value"')
        report = report_of(identity.EnvironmentCredential())
        assert (report.code, report.remedy) == ("misconfigured", "remove them")
        assert report.attempts[0].reason.startswith("AZURE_TENANT_ID is enclosed in quotation marks")

    def test_drivers_errors_have_it(self, driver: Driver, emulator: Emulator) -> None:
        credential = identity.ManagedIdentityCredential(client_id=GUID)
        with pytest.raises(Exception, match="Could not retrieve Entra credentials: ") as raised:
            driver.who(driver.on(emulator), credential)
        assert isinstance(raised.value, EntraConnectionValueError)
        assert raised.value.report.attempts[0].credential == "ManagedIdentityCredential"
        copied = [pickle.loads(pickle.dumps(raised.value)), copy.copy(raised.value)]  # noqa: S301 - ours
        assert [error.report for error in copied] == [raised.value.report] * 2
        assert [str(error) for error in copied] == [str(raised.value)] * 2

    def test_what_a_credential_raises_is_told_from_a_refusal(self, emulator: Emulator) -> None:
        class Broken:
            def get_token(self, *_: str, **__: Any) -> Any:
                message = "no such vault"
                raise LookupError(message)

        with pytest.raises(EntraConnectionValueError) as raised:
            psycopg3.EntraConnection.connect(emulator.dsn, credential=Broken())
        assert raised.value.report == ErrorReport("credential_raised", "no such vault")

    def test_errors_that_a_program_makes(self) -> None:
        for name, kind in vars(errors).items():
            if isinstance(kind, type) and issubclass(kind, errors.AzurePgEntraError):
                error = kind("a text of its own")
                assert str(error) == "a text of its own"
                assert error.report.attempts == ()
                assert error.report.code == "unknown" or CODES[error.report.code] == name

    @pytest.mark.parametrize("name", ["asyncpg", "psycopg2", "psycopg3", "sqlalchemy"])
    def test_a_traceback_names_drivers_errors_where_programs_import_them(self, name: str) -> None:
        module = importlib.import_module(f"azure_postgresql_auth.{name}")
        for error in (module.EntraOperationalError, module.InsecureTransportOperationalError):
            assert error.__module__ == module.__name__
            assert copy.deepcopy(error("x")).args == pickle.loads(pickle.dumps(error("x"))).args == ("x",)  # noqa: S301 - made here

    def test_records_do_not_change(self) -> None:
        attempt = Attempt("C", "refused", "no", seconds=0.5)
        report = ErrorReport("throttled", attempts=(attempt,))
        for record in (attempt, report):
            with pytest.raises(AttributeError, match="read-only"):
                record.remedy = "other"
            with pytest.raises(AttributeError, match="read-only"):
                del record.remedy
            same = pickle.loads(pickle.dumps(record))  # noqa: S301 - ours
            assert (same, hash(same)) == (record, hash(record))
            assert record != object()
        assert "status='refused'" in repr(attempt)


class TestTables:
    def test_codes(self) -> None:
        for code, exception, meaning, remedy in _core.error_codes():
            assert hasattr(errors, exception) or exception == "ValueError", code
            assert meaning.endswith(".")
            assert remedy.endswith(".")

    def test_every_kind_of_refusal_is_found_by_each_of_its_words(self) -> None:
        kinds = [found.kind for found in refusal.REFUSALS]
        assert len(set(kinds)) == len(kinds)
        for found in refusal.REFUSALS:
            for words in found.words:
                told = refusal.find(f"FATAL:  {words.replace('…', 'x').upper()}")
                assert told is not None
                assert told.kind == found.kind
            if found.sqlstate:
                assert refusal.find("in Worten, die niemand kennt", found.sqlstate) is found


_WORDS = {"removeprefix", "removesuffix", "partition", "rpartition", "split", "replace", "startswith", "endswith"}
_LOOKS = {"search", "match", "fullmatch", "sub", "findall", "finditer"}
_FOREIGN = {
    # What is read are the words of drivers, of operating systems and of azure-identity.
    "_engine/fallback.py",
    "cli/doctor/certificate.py",
    "cli/doctor/driver_errors.py",
    "cli/doctor/installation.py",
}


def reads_an_errors_text(node: ast.AST) -> bool:
    """Whether code takes `str(error)` apart."""

    def is_text(value: ast.AST) -> bool:
        return (
            isinstance(value, ast.Call)
            and getattr(value.func, "id", "") in {"str", "text_of"}
            and any(re.search("error|exc|raised", ast.unparse(argument)) for argument in value.args)
        )

    if isinstance(node, ast.Compare):
        return any(is_text(value) for value in node.comparators)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return (node.func.attr in _WORDS and is_text(node.func.value)) or (
            node.func.attr in _LOOKS and any(is_text(argument) for argument in node.args)
        )
    return False


def test_no_module_reads_the_text_of_an_error_of_ours() -> None:
    package = Path(azure_postgresql_auth.__file__).parent
    found = {
        f"{path.relative_to(package).as_posix()}:{node.lineno}"  # type: ignore[attr-defined]
        for path in package.rglob("*.py")
        if path.relative_to(package).as_posix() not in _FOREIGN
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if reads_an_errors_text(node)
    }
    assert found == set()


def test_the_doctor_renders_the_data_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sentences say: each is a text that no rule could know."""
    attempts = tuple(
        Attempt(f"{status.title()}Credential", status, f"qwx {status}", f"qws {status}", f"qwr {status}", seconds=0.25)
        for status in ("unavailable", "not_ready", "refused")
    )

    error = EntraConnectionValueError("qwt")

    def login(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(core, "login", login)
    for code, asked, cause, remedy in (
        ("credential_unavailable", attempts[:1], "no credential is set up here", None),
        ("credential_unavailable", attempts[:2], "Not_ReadyCredential is not ready: qws not_ready", "qwr not_ready"),
        ("authentication_failed", attempts, "RefusedCredential was refused: qws refused", "qwr refused"),
        ("timeout", (), "qwc", "qwm"),
    ):
        error.report = ErrorReport(code, "qwc", "qwm", attempts=asked)
        context: Any = SimpleNamespace(plan=SimpleNamespace(has_credentials=False), credential=None, scope=SCOPE)
        *earlier, last = doctor_credential.check(context)
        assert (last.status, last.cause) == ("failure", cause)
        assert last.remedy == remedy or remedy is None
        assert all(finding.status == "passed over" for finding in earlier)
