"""The default credential: its order, its switches, and what is asked last."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from azure.identity import DefaultAzureCredential as AzuresDefault
from azure_postgresql_auth import core, errors, identity
from azure_postgresql_auth._engine import registry

from tests.support.credentials import Token, object_id
from tests.support.platforms import LIMIT
from tests.support.polling import quickest
from tests.support.tools import saying

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
NATIVE = [
    "EnvironmentCredential",
    "WorkloadIdentityCredential",
    "ManagedIdentityCredential",
    "AzureCliCredential",
    "AzurePowerShellCredential",
    "AzureDeveloperCliCredential",
]
NO_FALLBACK: Any = {
    "exclude_visual_studio_code_credential": True,
    "exclude_broker_credential": True,
    "exclude_shared_token_cache_credential": True,
}


def attempts(credential: Any) -> list[str]:
    """Who was asked, by the failure."""
    with pytest.raises(errors.EntraConnectionValueError) as raised:
        credential.get_token(SCOPE)
    lines = str(raised.value).splitlines()
    assert lines[0] == "Could not retrieve Entra credentials: no credential produced a token"
    return [line.split(":")[0].strip() for line in lines[1:] if line.startswith("  ") and line[2] != " "]


class TestOrder:
    def test_every_link(self, emulator: Emulator, tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Everything is set up; the first links are taken away one by one."""
        principal = emulator.add_identity("app", "service-principal")
        federated = emulator.add_identity("pod")
        people = [emulator.add_identity(f"{name}@contoso.com", "user") for name in ("az", "pwsh", "azd")]
        soon = int(time.time()) + 3600
        tokens = [emulator.token(person) for person in people]
        answers = {
            "az": json.dumps({"accessToken": tokens[0], "expires_on": soon}),
            "pwsh": f"entra-token:{soon}:{tokens[1]}",
            "azd": json.dumps({"token": tokens[2]}),
        }
        settings: list[tuple[Any, dict[str, str]]] = [
            (principal, emulator.client_secret_env(principal)),
            (federated, emulator.workload_identity_env(federated)),
            (emulator.identity, {name: emulator.env[name] for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")}),
        ]
        for name in {name for _, setting in settings for name in setting if name.startswith(("AZURE_", "IDENTITY_"))}:
            if name != "AZURE_AUTHORITY_HOST":
                monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
        for program, answer in answers.items():
            tool(program, saying(answer))
        for who, setting in settings:
            with monkeypatch.context() as patch:
                for name, value in setting.items():
                    patch.setenv(name, value)
                patch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
                assert object_id(identity.DefaultAzureCredential()) == who.object_id
        for who, program in zip(people, answers):
            assert object_id(identity.DefaultAzureCredential()) == who.object_id
            tool(program, saying(code=1))

    @pytest.mark.usefixtures("nowhere")
    def test_no_credential_is_configured(self) -> None:
        assert attempts(identity.DefaultAzureCredential(**NO_FALLBACK)) == NATIVE

    @pytest.mark.usefixtures("nowhere")
    def test_a_link_that_is_not_set_up_costs_nothing(self) -> None:
        attempts(identity.DefaultAzureCredential(**NO_FALLBACK))

        def ten() -> None:
            for _ in range(10):
                attempts(identity.DefaultAzureCredential(**NO_FALLBACK))

        assert quickest(ten, below=0.5) < 0.5

    def test_a_wrong_secret_is_not_passed_over(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        principal = emulator.add_identity("app", "service-principal")
        for name, value in {**emulator.client_secret_env(principal), "AZURE_CLIENT_SECRET": "wrong"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(errors.EntraConnectionValueError, match="EnvironmentCredential: AADSTS7000215"):
            identity.DefaultAzureCredential().get_token(SCOPE)
        assert [request.endpoint for request in emulator.token_requests] == ["token"]

    def test_chained_token_credential(self, emulator: Emulator) -> None:
        chain = identity.ChainedTokenCredential(
            identity.EnvironmentCredential(), identity.ManagedIdentityCredential(), identity.AzureCliCredential()
        )
        assert object_id(chain) == emulator.identity.object_id
        with pytest.raises(ValueError, match="at least one"):
            identity.ChainedTokenCredential()
        with pytest.raises(ValueError, match=r"azure\.identity\.ChainedTokenCredential"):
            identity.ChainedTokenCredential(object())  # type: ignore[arg-type]

    def test_a_default_chain_as_a_link(self, emulator: Emulator, tool: Any) -> None:
        answer = {"accessToken": emulator.token(emulator.identity), "expires_on": int(time.time()) + 3600}
        tool("az", saying(json.dumps(answer)))
        nothing = identity.DefaultAzureCredential(exclude_cli_credential=True)
        assert object_id(identity.ChainedTokenCredential(nothing, identity.AzureCliCredential()))


class TestSwitches:
    @pytest.mark.usefixtures("nowhere")
    @pytest.mark.parametrize(
        ("variable", "keywords", "expected"),
        [
            ("prod", {}, NATIVE[:3]),
            (" PROD ", {}, NATIVE[:3]),
            ("dev", NO_FALLBACK, NATIVE[3:]),
            ("AzureCliCredential", {}, NATIVE[3:4]),
            ("azurepowershellcredential", {}, NATIVE[4:5]),
            ("EnvironmentCredential", {}, NATIVE[:1]),
            ("prod", {"exclude_environment_credential": True}, NATIVE[1:3]),
            ("prod", {"exclude_cli_credential": False}, NATIVE[:4]),
            ("", NO_FALLBACK, NATIVE),
        ],
    )
    def test_variable(self, variable: str, keywords: Any, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", variable)
        found = attempts(identity.DefaultAzureCredential(**keywords)) if len(expected) > 1 else None
        if found is None:
            with pytest.raises(errors.EntraConnectionValueError, match=expected[0]) as raised:
                identity.DefaultAzureCredential(**keywords).get_token(SCOPE)
            assert len(str(raised.value).splitlines()) == 2
        else:
            assert found == expected
        # azure-identity chooses the same.
        theirs = [type(credential).__name__ for credential in AzuresDefault(**keywords).credentials]
        theirs = [name.replace("FailedDACCredential", "WorkloadIdentityCredential") for name in theirs]
        assert theirs == expected

    @pytest.mark.usefixtures("nowhere")
    def test_invalid_value_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the object is made, as in azure-identity."""
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "azurecli")
        with pytest.raises(ValueError, match="AZURE_TOKEN_CREDENTIALS"):
            AzuresDefault()
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
            identity.DefaultAzureCredential()
        assert str(raised.value) == (
            'AZURE_TOKEN_CREDENTIALS="azurecli": one of dev, prod, EnvironmentCredential, WorkloadIdentityCredential, '
            "ManagedIdentityCredential, VisualStudioCodeCredential, AzureCliCredential, AzurePowerShellCredential, "
            "AzureDeveloperCliCredential, InteractiveBrowserCredential"
        )

    @pytest.mark.usefixtures("nowhere")
    def test_the_variable_can_be_demanded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for value in (None, "", " "):
            if value is not None:
                monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", value)
            with pytest.raises(ValueError, match="AZURE_TOKEN_CREDENTIALS"):
                AzuresDefault(require_envvar=True)
            with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
                identity.DefaultAzureCredential(require_envvar=True)
            assert str(raised.value) == (
                "AZURE_TOKEN_CREDENTIALS is not set, which require_envvar=True demands: dev, prod or a credential"
            )
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")
        identity.DefaultAzureCredential(require_envvar=True)

    def test_keywords(self) -> None:
        with pytest.raises(TypeError, match="exclude_typo.*one of exclude_environment_credential") as raised:
            identity.DefaultAzureCredential(exclude_typo_credential=True)
        everything: Any = dict.fromkeys(re.findall(r"exclude_\w+", str(raised.value).partition("one of")[2]), True)
        with pytest.raises(ValueError, match="^every credential is excluded; at least one is required$"):
            identity.DefaultAzureCredential(**everything)
        with pytest.raises(TypeError, match="tenant_id"):
            identity.DefaultAzureCredential(tenant_id="x")

    def test_managed_identity_client_id(self, imds: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        second = imds.add_identity("second")
        named = identity.DefaultAzureCredential(managed_identity_client_id=second.client_id)
        assert object_id(named) == second.object_id
        monkeypatch.setenv("AZURE_CLIENT_ID", second.client_id)
        assert object_id(identity.DefaultAzureCredential()) == second.object_id
        # None means the system-assigned one, as in azure-identity.
        system = identity.DefaultAzureCredential(managed_identity_client_id=None)
        assert object_id(system) == imds.identity.object_id

    def test_workload_identity(self, nowhere: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        pod = nowhere.add_identity("pod")
        for name, value in nowhere.workload_identity_env(pod).items():
            if name not in {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_POD_IDENTITY_AUTHORITY_HOST"}:
                monkeypatch.setenv(name, value)
        credential = identity.DefaultAzureCredential(
            workload_identity_client_id=pod.client_id, workload_identity_tenant_id=nowhere.tenant_id
        )
        assert object_id(credential) == pod.object_id


class Theirs:
    """Stands for azure-identity's default credential."""

    made: list[dict[str, Any]] = []  # noqa: RUF012 - cleared by the fixture
    error: Exception | None = None
    answer: Any = None

    def __init__(self, **keywords: Any) -> None:
        self.made.append(keywords)

    def get_token(self, scope: str) -> Any:
        assert scope == SCOPE
        if self.error is not None:
            raise self.error
        return self.answer


@pytest.fixture
def theirs(nowhere: Emulator, monkeypatch: pytest.MonkeyPatch) -> type[Theirs]:
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", Theirs)
    monkeypatch.setattr(Theirs, "made", [])
    monkeypatch.setattr(Theirs, "error", None)
    monkeypatch.setattr(Theirs, "answer", Token(nowhere.token(nowhere.identity), time.time() + 3600))
    return Theirs


class TestFallback:
    """azure-identity, for what only it can do."""

    def test_is_asked_when_no_native_credential_is_configured(self, nowhere: Emulator, theirs: type[Theirs]) -> None:
        credential = identity.DefaultAzureCredential(
            visual_studio_code_tenant_id="t", exclude_interactive_browser_credential=False
        )
        for _ in range(3):
            assert object_id(credential) == nowhere.identity.object_id
        keywords = theirs.made.pop()
        assert theirs.made == []
        assert keywords.pop("visual_studio_code_tenant_id") == "t"
        asked = {name for name, excluded in keywords.items() if not excluded}
        assert asked == {
            "exclude_shared_token_cache_credential",
            "exclude_visual_studio_code_credential",
            "exclude_interactive_browser_credential",
            "exclude_broker_credential",
        }
        AzuresDefault(**{name: value for name, value in keywords.items() if "browser" not in name})

    def test_serves_event_loops_and_later_logins(self, nowhere: Emulator, theirs: type[Theirs]) -> None:
        credential = identity.DefaultAzureCredential()

        async def main() -> list[str]:
            return await asyncio.gather(*(core.get_entra_token_async(credential) for _ in range(20)))

        assert len(set(asyncio.run(main()))) == 1
        assert core.get_entra_conninfo(credential)["user"] == nowhere.identity.role
        assert len(theirs.made) == 1

    def test_renews_its_tokens(self, nowhere: Emulator, theirs: type[Theirs], monkeypatch: pytest.MonkeyPatch) -> None:
        first = Token(nowhere.token(nowhere.identity), time.time() + 2)
        monkeypatch.setattr(Theirs, "answer", first)
        credential = identity.DefaultAzureCredential()
        assert credential.get_token(SCOPE).token == first.token
        time.sleep(max(0.0, first.expires_on - time.time()))
        renewed = Token(nowhere.token(nowhere.identity), time.time() + 3600)
        monkeypatch.setattr(Theirs, "answer", renewed)
        assert credential.get_token(SCOPE).token == renewed.token
        assert len(theirs.made) == 1

    def test_has_no_token_either(
        self, nowhere: Emulator, theirs: type[Theirs], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs.error = RuntimeError(
            "DefaultAzureCredential failed.\nAttempted credentials:\n\tA: no\n\tB: none\nTo mitigate"
        )
        credential = identity.DefaultAzureCredential()
        assert attempts(credential) == [*NATIVE, "azure-identity"]
        with pytest.raises(errors.EntraConnectionValueError) as raised:
            credential.get_token(SCOPE)
        assert str(raised.value).splitlines()[-4:-1] == [
            "  azure-identity: returned no token either",
            "    A: no",
            "    B: none",
        ]
        # And the native links are asked again first.
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            monkeypatch.setenv(name, nowhere.env[name])
        assert object_id(credential) == nowhere.identity.object_id

    def test_what_a_signal_handler_raises_leaves_nobody_waiting(
        self, nowhere: Emulator, theirs: type[Theirs], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class TimeLimitError(BaseException):
            pass

        def interrupted(thread: threading.Thread) -> None:
            if thread.name == "azure-pg-auth-fallback":
                raise TimeLimitError
            start(thread)

        start = threading.Thread.start
        credential = identity.DefaultAzureCredential()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(TimeLimitError) as raised:
                credential.get_token(SCOPE)
        # The error is held yet, with the frames that it passed through.
        assert raised.tb is not None
        with ThreadPoolExecutor() as pool:
            assert pool.submit(object_id, credential).result(LIMIT) == nowhere.identity.object_id

    @pytest.mark.usefixtures("nowhere")
    def test_installed_azure_identity(self) -> None:
        with pytest.raises(
            errors.EntraConnectionValueError, match="azure-identity: returned no token either"
        ) as raised:
            identity.DefaultAzureCredential().get_token(SCOPE)
        assert "VisualStudioCodeCredential" in str(raised.value)
        assert "BrokerCredential" in str(raised.value)

    @pytest.mark.usefixtures("theirs")
    def test_is_of_the_process_default_too(self, nowhere: Emulator) -> None:
        registry.entries.pop(id(None), None)
        assert core.get_entra_conninfo()["user"] == nowhere.identity.role
        registry.entries.pop(id(None), None)

    def test_is_not_asked_where_a_link_was_refused(
        self, emulator: Emulator, theirs: type[Theirs], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        principal = emulator.add_identity("app", "service-principal")
        for name, value in {**emulator.client_secret_env(principal), "AZURE_CLIENT_SECRET": "wrong"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(errors.EntraConnectionValueError, match="AADSTS7000215"):
            identity.DefaultAzureCredential().get_token(SCOPE)
        assert theirs.made == []

    SCRIPT = """
import sys
from azure_postgresql_auth import core, errors, identity
if sys.argv[1] == "absent":
    sys.modules["azure.identity"] = None
try:
    identity.DefaultAzureCredential().get_token(core.AZURE_DB_FOR_POSTGRES_SCOPE)
except errors.EntraConnectionValueError as error:
    print(*(line for line in str(error).splitlines() if line.startswith("  azure-identity")))
print("azure.identity" in sys.modules)
"""

    def run(self, argument: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", self.SCRIPT, argument], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.splitlines()

    @pytest.mark.usefixtures("emulator")
    def test_is_never_imported_before(self) -> None:
        assert self.run("present") == ["False"]

    @pytest.mark.usefixtures("nowhere")
    def test_says_nothing_on_stderr(self) -> None:
        """Its warnings go to the program's log, if there is one; the error has their text."""
        pytest.importorskip("azure.identity")
        assert self.run("present") == ["  azure-identity: returned no token either", "True"]

    @pytest.mark.usefixtures("nowhere")
    def test_is_not_installed(self, tmp_path: Path) -> None:
        assert os.environ["PATH"] == str(tmp_path)
        assert self.run("absent")[0] == (
            "  azure-identity: not installed; `pip install azure-identity` would add the shared token cache, Visual "
            "Studio Code, the account broker of Windows and WSL"
        )
