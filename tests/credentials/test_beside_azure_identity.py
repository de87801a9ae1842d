"""Our default credential and azure-identity's, in the same environments: who answers, and what is sent."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable

import azure.identity
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential as AzuresDefault
from azure_postgresql_auth import core, errors, identity
from azure_postgresql_auth.emulator.identity.service import IdentityService

from tests.support.tools import install, saying

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator
    from azure_postgresql_auth.emulator.identity.http import Request

    from tests.support.machine import Relay

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
NOTHING = "stops at AzureDeveloperCliCredential"
MANAGED_IDENTITY = "stops at ManagedIdentityCredential"
ENVIRONMENT = "stops at EnvironmentCredential"
WORKLOAD = "stops at WorkloadIdentityCredential"

# Where the two differ, and why.
EARLY = "azure-identity reads its settings when the object is made and fails there; ours, where they are needed"
HALF = "azure-identity's managed identity looks at the same variables, and fails when it is made"
EMPTY = "a variable that is empty counts as not set"
GOES_ON = "azure-identity takes a host's refusal for a host that is not there, and logs in as whoever comes next"
LOOKS_FIRST = "azure-identity asks for the tenant's metadata first, which tells it that there is none"
NOT_ALL_AUTHORITY = "azure-identity does not tell workload identity of `authority`"
ASKS_ANYBODY = "azure-identity asks whoever answers at the metadata service's address for a token, several times"
ZERO = "azure-identity takes any text for yes"
ODD = "white space and quotation marks around a value are named, and asked for by nobody"


@dataclass(frozen=True)
class Row:
    """An environment, and who answers there.

    That is an identity's name, the link at which the search ends, or an error when the object is made.
    """

    here: str
    """What this machine has, of what `World` can build; what comes later overrides."""
    answers: str
    env: dict[str, str | None] = field(default_factory=dict)
    """Further variables; the name of an identity in braces is its client id, and None takes a variable away."""
    keywords: dict[str, Any] = field(default_factory=dict)
    theirs: str = ""
    """The endpoint that answers azure-identity, if it is another one."""
    reason: str = ""
    """Why the two differ in who answers or in what they send; "" where they do not."""

    def __str__(self) -> str:
        """Name the test."""
        told = [f"{name}={value}" for name, value in {**self.env, **self.keywords}.items()]
        return " ".join([self.here or "nothing", *told]).replace("credential", "")


IMDS = "AZURE_POD_IDENTITY_AUTHORITY_HOST"
NOWHERE = "https://127.0.0.1:9"
EXCLUDE = {
    name: {f"exclude_{name}_credential": True}
    for name in ("environment", "workload_identity", "managed_identity", "cli", "powershell", "developer_cli")
}
ROWS = [
    Row("", NOTHING),
    # A service principal.
    Row("secret", "app"),
    Row("certificate", "app"),
    Row("encrypted-certificate", "app"),
    Row("pkcs12", "app"),
    Row("certificate", "app", {"AZURE_CLIENT_SEND_CERTIFICATE_CHAIN": "true"}),
    Row("certificate", "app", {"AZURE_CLIENT_SEND_CERTIFICATE_CHAIN": "0"}, reason=ZERO),
    Row("certificate secret", "app"),
    Row("secret workload app-service az", "app", {"AZURE_CLIENT_ID": "{app}"}),
    Row("secret", ENVIRONMENT, {"AZURE_CLIENT_SECRET": "wrong"}),
    Row("secret az", ENVIRONMENT, {"AZURE_CLIENT_ID": "no-guid"}),
    Row("secret az", ENVIRONMENT, {"AZURE_CLIENT_ID": '"{app}"'}, reason=ODD),
    Row("secret az", ENVIRONMENT, {"AZURE_TENANT_ID": "11111111-2222-3333-4444-555555555555"}, reason=LOOKS_FIRST),
    Row("secret", "app", {"AZURE_AUTHORITY_HOST": NOWHERE}, {"authority": "{authority}"}),
    Row("secret az", ENVIRONMENT, {"AZURE_AUTHORITY_HOST": NOWHERE}),
    Row("secret az", ENVIRONMENT, {"AZURE_AUTHORITY_HOST": "http://127.0.0.1:9"}, {}, "ValueError", EARLY),
    Row("az", "az", {"AZURE_AUTHORITY_HOST": "http://127.0.0.1:9"}, {}, "ValueError", EARLY),
    # Half of one.
    Row("secret az", "az", {"AZURE_CLIENT_ID": None}),
    Row("secret az", "az", {"AZURE_TENANT_ID": None}),
    Row("secret az", "az", {"AZURE_CLIENT_SECRET": None}),
    Row("secret az", "az", {"AZURE_CLIENT_SECRET": ""}, {}, "ValueError", EMPTY),
    Row("secret app-service", "second", {"AZURE_CLIENT_SECRET": None, "AZURE_CLIENT_ID": "{second}"}),
    Row(
        "certificate az", ENVIRONMENT, {"AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere.pem"}, {}, "FileNotFoundError", EARLY
    ),
    Row("encrypted-certificate az", ENVIRONMENT, {"AZURE_CLIENT_CERTIFICATE_PASSWORD": "x"}, {}, "ValueError", EARLY),
    # Workload identity.
    Row("workload", "pod"),
    Row("workload app-service az", "pod"),
    Row("workload", "pod", {"AZURE_CLIENT_ID": "{app}"}, {"workload_identity_client_id": "{pod}"}),
    Row("workload", "pod", {"AZURE_CLIENT_ID": "{app}"}, {"managed_identity_client_id": "{pod}"}),
    Row("workload", "pod", {}, {"managed_identity_client_id": "{app}", "workload_identity_client_id": ""}),
    Row("workload", "pod", {}, {"managed_identity_client_id": "", "workload_identity_tenant_id": ""}),
    Row("workload", "pod", {"AZURE_TENANT_ID": None}, {"workload_identity_tenant_id": "{tenant}"}),
    Row("workload az", WORKLOAD, {"AZURE_CLIENT_ID": "no-guid"}),
    Row("workload az", WORKLOAD, {"AZURE_FEDERATED_TOKEN_FILE": "/nowhere"}),
    Row("workload az", "az", {"AZURE_FEDERATED_TOKEN_FILE": None}),
    Row("workload az", "az", {"AZURE_TENANT_ID": None}),
    Row("workload az", "az", {"AZURE_CLIENT_ID": None}, {}, "ValueError", HALF),
    Row(
        "workload az",
        "pod",
        {"AZURE_AUTHORITY_HOST": NOWHERE},
        {"authority": "{authority}"},
        WORKLOAD,
        NOT_ALL_AUTHORITY,
    ),
    Row("workload imds", "machine", {"AZURE_CLIENT_ID": None}, EXCLUDE["workload_identity"]),
    Row("workload imds", "machine", {"AZURE_CLIENT_ID": None, "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"}),
    # Managed identity.
    Row("app-service", "machine"),
    Row("app-service", "second", {"AZURE_CLIENT_ID": "{second}"}),
    Row("app-service", "second", {}, {"managed_identity_client_id": "{second}"}),
    Row("app-service", "machine", {"AZURE_CLIENT_ID": "{second}"}, {"managed_identity_client_id": None}),
    Row("app-service imds az", "machine"),
    Row("app-service az", MANAGED_IDENTITY, {"IDENTITY_HEADER": "wrong"}, {}, "az", GOES_ON),
    Row("app-service az", MANAGED_IDENTITY, {"AZURE_CLIENT_ID": "no-guid"}, {}, "az", GOES_ON),
    Row("app-service", "machine", {"AZURE_CLIENT_ID": "{second}"}, {"managed_identity_client_id": ""}),
    Row("app-service az", MANAGED_IDENTITY, {"AZURE_CLIENT_ID": '"{second}"'}, {}, "az", ODD),
    Row("service-fabric", "machine"),
    Row("service-fabric az", MANAGED_IDENTITY, {"AZURE_CLIENT_ID": "{second}"}),
    Row("service-fabric az", MANAGED_IDENTITY, {}, {"managed_identity_client_id": "{second}"}),
    Row("azure-arc az", MANAGED_IDENTITY),  # the key that it tells of is not in the one directory where it has to be
    Row("azure-ml", "machine"),
    Row("azure-ml", "second", {"AZURE_CLIENT_ID": "{second}"}),
    Row("azure-ml az", MANAGED_IDENTITY, {"MSI_SECRET": "wrong"}, {}, "az", GOES_ON),
    Row("cloud-shell", "machine"),
    Row("cloud-shell", "machine", {"AZURE_CLIENT_ID": "{second}"}),
    Row("cloud-shell", "machine", {}, {"managed_identity_client_id": "{second}"}),
    Row("imds", "machine"),
    Row("imds", "second", {"AZURE_CLIENT_ID": "{second}"}),
    Row("imds", "second", {}, {"managed_identity_client_id": "{second}"}),
    Row("imds", "machine", {"AZURE_CLIENT_ID": "{second}"}, {"managed_identity_client_id": None}),
    Row("imds az", "az", {"AZURE_CLIENT_ID": "no-guid"}),
    Row("imds az", "machine"),
    Row("imds az", "az", {}, EXCLUDE["managed_identity"]),
    Row("another-cloud az", "az", reason=ASKS_ANYBODY),
    # Developers' tools.
    Row("az pwsh azd", "az"),
    Row("pwsh azd", "pwsh"),
    Row("azd", "azd"),
    Row("az:signed-out pwsh azd", "pwsh"),
    Row("az:signed-out pwsh:signed-out azd", "azd"),
    Row("az:signed-out pwsh:signed-out azd:signed-out", NOTHING),
    Row("az:rubbish pwsh", "pwsh"),
    Row("pwsh:rubbish azd", "azd"),
    Row("azd:rubbish", NOTHING),
    Row("az:fails azd", "azd"),
    Row("az:hangs", NOTHING, {}, {"process_timeout": 2}),
    Row("az pwsh azd", "pwsh", {}, EXCLUDE["cli"]),
    Row("az pwsh azd", "azd", {}, {**EXCLUDE["cli"], **EXCLUDE["powershell"]}),
    Row("az", "stops at AzurePowerShellCredential", {}, {**EXCLUDE["cli"], **EXCLUDE["developer_cli"]}),
    # Switches.
    Row("secret az", "az", {"AZURE_TOKEN_CREDENTIALS": "dev"}),
    Row("az", MANAGED_IDENTITY, {"AZURE_TOKEN_CREDENTIALS": "prod"}),
    Row(
        "secret imds", "second", {"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential", "AZURE_CLIENT_ID": "{second}"}
    ),
    Row("imds", "machine", {"AZURE_TOKEN_CREDENTIALS": "managedidentitycredential"}),
    Row("secret az pwsh", "pwsh", {"AZURE_TOKEN_CREDENTIALS": "AzurePowerShellCredential"}),
    Row(
        "secret az",
        "az",
        {"AZURE_TOKEN_CREDENTIALS": "prod"},
        {**EXCLUDE["environment"], "exclude_cli_credential": False},
    ),
    Row("secret", "ValueError", {"AZURE_TOKEN_CREDENTIALS": "azurecli"}),
    Row("secret", "ValueError", {}, {"require_envvar": True}),
    Row("secret app-service", "machine", {"AZURE_CLIENT_ID": None}, EXCLUDE["environment"]),
]


class World:
    """What machines may have."""

    def __init__(self, emulator: Emulator, programs: Path, relay: Relay) -> None:
        self.emulator = emulator
        self.relay = relay
        self.programs = programs
        self.calls = programs / "calls"
        self.identities = {
            "app": emulator.add_identity("app", "service-principal", role=None),
            "pod": emulator.add_identity("pod", role=None),
            "second": emulator.add_identity("second", role=None),
            **{name: emulator.add_identity(f"{name}@x.com", "user", role=None) for name in ("az", "pwsh", "azd")},
            "machine": emulator.identity,
        }
        self.names = {**{name: who.client_id for name, who in self.identities.items()}, "tenant": emulator.tenant_id}
        self.names["authority"] = emulator.env["AZURE_AUTHORITY_HOST"]

    def environment(self, row: Row) -> dict[str, str]:
        """Build this machine."""
        common = ("AZURE_AUTHORITY_HOST", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NO_PROXY")
        found = {name: self.emulator.env[name] for name in common}
        found["PATH"] = str(self.programs)
        for piece in row.here.split():
            found.update(self._piece(piece))
        if not {"imds", "another-cloud"} & set(row.here.split()):
            found[IMDS] = "http://127.0.0.1:9"
        for name, value in row.env.items():
            found.pop(name, None)
            if value is not None:
                found[name] = self.named(value)
        return found

    def _piece(self, piece: str) -> dict[str, str]:
        emulator, app = self.emulator, self.identities["app"]
        program, _, state = piece.partition(":")
        if program in {"az", "pwsh", "azd"}:
            self._install(program, state)
            return {}
        password = "p w"
        made: dict[str, Callable[[], dict[str, str]]] = {
            "secret": lambda: emulator.client_secret_env(app),
            "certificate": lambda: emulator.client_certificate_env(app),
            "encrypted-certificate": lambda: emulator.client_certificate_env(app, password=password),
            "pkcs12": lambda: emulator.client_certificate_env(app, form="pkcs12", password=password),
            "workload": lambda: emulator.workload_identity_env(self.identities["pod"]),
            "app-service": lambda: {name: emulator.env[name] for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")},
            "imds": lambda: {IMDS: emulator.env[IMDS]},
            "another-cloud": self._another_cloud,
        }
        found = made.get(piece, lambda: emulator.host_env(piece))()
        # With it, clients on Windows would find Azure Arc's keys, but azure-identity reads it only when it is imported.
        found.pop("ProgramData", None)
        return found

    def _another_cloud(self) -> dict[str, str]:
        self.emulator.fail(404, body="<html><title>404: Not Found</title></html>")
        self.relay.start()
        return {IMDS: self.relay.url}

    def _install(self, name: str, state: str) -> None:
        soon = int(time.time()) + 3600
        token = self.emulator.token(self.identities[name])
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(soon))
        # The script of each package prints the result in another format.
        powershell = f"entra-token:{soon}:{token}\nazsdk%{token}%{soon}"
        answers = {
            "az": json.dumps({"accessToken": token, "expires_on": soon}),
            "pwsh": powershell,
            "azd": json.dumps({"token": token, "expiresOn": at}),
        }
        sign_in = {"az": "az login", "pwsh": "Connect-AzAccount", "azd": "azd auth login"}[name]
        does = {
            "": saying(answers[name]),
            "rubbish": saying("rubbish\n"),
            "signed-out": saying(errors=f"ERROR: not logged in, run `{sign_in}` to login\n", code=1),
            "hangs": "time.sleep(60)",
            "fails": saying(errors="ERROR: something else\n", code=1),
        }[state]
        # PowerShell gets a script, in which the packages differ.
        arguments = "" if name == "pwsh" else ", *sys.argv[1:]"
        install(self.programs, name, f"record({str(self.calls)!r}, {name!r}{arguments})\n{does}")

    def named(self, value: Any) -> Any:
        """Put what is named in braces."""
        return value.format(**self.names) if isinstance(value, str) else value


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return every token request, in the form that is compared."""
    seen: list[Any] = []
    answer = IdentityService.token_request

    def record(self: Any, endpoint: str, request: Request, how: Any) -> Any:
        if endpoint != "imds" or "metadata" in request.headers:
            seen.append(as_compared(request))
        return answer(self, endpoint, request, how)

    monkeypatch.setattr(IdentityService, "token_request", record)
    return seen


HEADERS = {"metadata", "x-identity-header", "secret", "authorization"}
# MSAL's cache of accounts wants the first; the others are different each time.
UNCOMPARED = {"client_info"}
OF_THE_MOMENT = {"exp", "iat", "nbf", "jti"}


def as_compared(request: Request) -> dict[str, Any]:
    """Return the parts of a request that the service evaluates, without those that differ in every request."""
    form: dict[str, Any] = {name: value for name, value in request.form.items() if name not in UNCOMPARED}
    if "client_assertion" in form:
        form["client_assertion"] = [read(segment) for segment in form["client_assertion"].split(".")[:2]]
    return {
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "headers": {name: value for name, value in request.headers.items() if name in HEADERS},
        "form": form,
    }


def read(segment: str) -> dict[str, Any]:
    """Decode the header or the claims of an assertion; MSAL pads the certificate's hash with `=`."""
    found = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return {
        name: value.rstrip("=") if name == "x5t" else value
        for name, value in found.items()
        if name not in OF_THE_MOMENT
    }


@dataclass(frozen=True)
class Outcome:
    """What came of a credential."""

    answers: str
    """As in `Row`."""
    links: list[str]
    """Those asked before the search ended without a token."""
    ran: list[str]
    """Command lines."""
    sent: list[Any]


def ask(credential_class: Any, keywords: dict[str, Any], world: World) -> tuple[str, list[str]]:
    try:
        credential = credential_class(**keywords)
    except (ValueError, OSError) as error:
        return type(error).__name__, []
    try:
        token = credential.get_token(SCOPE).token
    except (errors.EntraConnectionValueError, ClientAuthenticationError) as error:
        links = re.findall(r"^(?:\t|  )(\w+Credential): ", str(error), re.MULTILINE)
        return f"stops at {links[-1]}", links
    who = core.decode_jwt(token)["oid"]
    return next(name for name, each in world.identities.items() if each.object_id == who), []


@pytest.fixture
def world(emulator: Emulator, relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # azure-identity takes 5 s to notice that nothing listens at an address.
    monkeypatch.setattr(RequestsTransport, "sleep", lambda *_: None)
    return World(emulator, tmp_path, relay)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_same_requests_as_azure_identity(
    world: World, sent: list[Any], row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in world.emulator.env:
        monkeypatch.delenv(name, raising=False)
    for name, value in world.environment(row).items():
        monkeypatch.setenv(name, value)
    assert os.environ[IMDS].startswith("http://127.0.0.1:")
    keywords = {
        # Only azure-identity has these, and the default credential tries them last; here they would find nothing.
        **{f"exclude_{name}_credential": True for name in ("visual_studio_code", "broker", "shared_token_cache")},
        **{name: world.named(value) for name, value in row.keywords.items()},
    }
    found = []
    for credential_class, further in (
        (identity.DefaultAzureCredential, {}),
        # Else it asks login.microsoftonline.com whether an authority that it does not know is one.
        (AzuresDefault, {"disable_instance_discovery": True}),
    ):
        answers, links = ask(credential_class, {**keywords, **further}, world)
        ran = world.calls.read_text().splitlines() if world.calls.exists() else []
        found.append(Outcome(answers, links, ran, list(sent)))
        world.calls.unlink(missing_ok=True)
        sent.clear()
    ours, theirs = found
    assert (ours.answers, theirs.answers) == (row.answers, row.theirs or row.answers)
    assert ours.ran or ours.sent or row.answers not in world.identities
    if row.reason:
        assert ours != theirs, "they do not differ any more"
    else:
        assert ours == theirs


OTHER_TENANT = "azure-identity's managed identity ignores the tenant, and gives a token of its own"
IN_TOKEN = "ours looks into the token, which may be of that tenant although the credential names it differently"
NO_VERIFYING = "secrets would be sent to any server that answers"
OWN_CLIENT = "ours has an HTTP client of its own, and says so instead of leaving these out"
ELSEWHERE = "11111111-2222-3333-4444-555555555555"
CLAIMS = '{{"access_token": {{"nbf": {{"essential": true, "value": "1700000000"}}}}}}'  # for str.format


@dataclass(frozen=True)
class Call:
    """Keywords of a constructor and of `get_token`, and who answers, as in `Row`."""

    kind: str
    made_with: dict[str, Any]
    asked_with: dict[str, Any]
    answers: str
    theirs: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """Name the test."""
        return f"{self.kind} {self.made_with} {self.asked_with}"


ALLOWED: dict[str, Any] = {"additionally_allowed_tenants": ["*"]}
CALLS = [
    Call("ManagedIdentityCredential", {}, {"tenant_id": "{tenant}"}, "machine"),
    Call("ManagedIdentityCredential", {}, {"tenant_id": ELSEWHERE}, "refused", "machine", OTHER_TENANT),
    Call("ManagedIdentityCredential", {"client_id": ""}, {}, "machine"),
    Call("ManagedIdentityCredential", {"retry_total": 1, "logging_enable": True}, {}, "machine"),
    Call("ClientSecretCredential", {}, {"tenant_id": "{tenant}"}, "app"),
    Call("ClientSecretCredential", {}, {"tenant_id": ""}, "app"),
    Call("ClientSecretCredential", {}, {"claims": CLAIMS}, "app"),
    Call("ClientSecretCredential", {}, {"tenant_id": ELSEWHERE}, "refused", "", IN_TOKEN),
    Call("ClientSecretCredential", {"tenant_id": ELSEWHERE, **ALLOWED}, {"tenant_id": "{tenant}"}, "app"),
    Call("ClientSecretCredential", {"tenant_id": ELSEWHERE}, {"tenant_id": "{tenant}"}, "refused", "", IN_TOKEN),
    Call("ClientSecretCredential", {"authority": ""}, {}, "app"),
    Call("ClientSecretCredential", {"proxies": {"https": None}, "read_timeout": 30}, {}, "app"),
    Call("ClientSecretCredential", {"connection_verify": "{ca}"}, {}, "app"),
    Call("ClientSecretCredential", {"connection_verify": False}, {}, "ValueError", "app", NO_VERIFYING),
    Call("ClientSecretCredential", {"headers": {"x-a": "b"}}, {}, "TypeError", "app", OWN_CLIENT),
    Call("AzureCliCredential", {}, {"tenant_id": ELSEWHERE}, "az"),
    Call("AzureCliCredential", {"tenant_id": ""}, {}, "az"),
    Call("AzureCliCredential", {}, {"claims": CLAIMS}, "refused"),
]


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_get_token(world: World, sent: list[Any], call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in world.emulator.env:
        monkeypatch.delenv(name, raising=False)
    for name, value in world.environment(Row("app-service az", "")).items():
        monkeypatch.setenv(name, value)
    app = world.identities["app"]
    fixed: dict[str, Any] = {"disable_instance_discovery": True}
    if call.kind == "ClientSecretCredential":
        fixed.update(tenant_id=world.emulator.tenant_id, client_id=app.client_id, client_secret=app.client_secret)
    if call.kind == "AzureCliCredential":
        fixed.clear()
    world.names["ca"] = world.emulator.ca_file
    made_with, asked_with = (
        {name: world.named(value) for name, value in keywords.items()} for keywords in (call.made_with, call.asked_with)
    )
    found = []
    for package in (identity, azure.identity):
        answers = ""
        try:
            credential = getattr(package, call.kind)(**{**fixed, **made_with})
            who = core.decode_jwt(credential.get_token(SCOPE, **asked_with).token)["oid"]
            answers = next(name for name, each in world.identities.items() if each.object_id == who)
        except (ValueError, TypeError) as error:
            answers = type(error).__name__
        except (errors.EntraConnectionValueError, ClientAuthenticationError):
            answers = "refused"
        ran = world.calls.read_text().splitlines() if world.calls.exists() else []
        found.append(Outcome(answers, [], ran, list(sent)))
        world.calls.unlink(missing_ok=True)
        sent.clear()
    ours, theirs = found
    assert (ours.answers, theirs.answers) == (call.answers, call.theirs or call.answers)
    if call.reason:
        assert ours != theirs, "they do not differ any more"
    else:
        assert ours == theirs
