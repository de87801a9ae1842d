"""The credentials that run a developer tool, with fake tools."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import core, identity

from tests.support.credentials import failure, make_token, object_id
from tests.support.platforms import WINDOWS
from tests.support.servers import Server
from tests.support.tools import HANGING, install, saying

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
RESOURCE = SCOPE[: -len("/.default")]
GUID = "11111111-2222-3333-4444-555555555555"
RECORD = """
folder, directory = os.path.dirname(sys.argv[0]), os.path.basename(os.getcwd()).lower()
colour = os.environ.get("AZURE_CORE_NO_COLOR", "") + os.environ.get("NO_COLOR", "")
record(os.path.join(folder, "calls"), directory, colour, *sys.argv[1:])
"""
DIRECTORY = "windows" if WINDOWS else "bin"
"""Where tools run: one without files of the user's."""

TOOLS = pytest.mark.parametrize(
    ("credential", "program", "sign_in"),
    [
        (identity.AzureCliCredential, "az", "az login --tenant"),
        (identity.AzureDeveloperCliCredential, "azd", "azd auth login --tenant-id"),
        (identity.AzurePowerShellCredential, "pwsh", "Connect-AzAccount -Tenant"),
    ],
)


class TestCommands:
    """What is run, and what is made of its answer."""

    def test_az(self, nowhere: Emulator, tool: Any, tmp_path: Path) -> None:
        answer = {"accessToken": nowhere.token(nowhere.identity), "expires_on": int(time.time()) + 3600}
        tool("az", RECORD + saying(json.dumps(answer)))
        credential = identity.AzureCliCredential(tenant_id=GUID, subscription="My subscription")
        assert object_id(credential) == nowhere.identity.object_id
        assert object_id(credential) == nowhere.identity.object_id
        expected = f"account get-access-token --output json --resource {RESOURCE} --tenant {GUID}"
        expected += " --subscription My subscription"
        assert (tmp_path / "calls").read_text() == f"{DIRECTORY} true {expected}\n"

    def test_old_az_states_no_expiry_in_seconds(self, tool: Any) -> None:
        """Only the local time, which need not be this machine's; the token has it, too."""
        expires_on = int(time.time()) + 3000
        answer = {"accessToken": make_token(exp=expires_on), "expiresOn": "2019-06-20 02:57:58.123456"}
        tool("az", RECORD + saying(json.dumps(answer)))
        assert identity.AzureCliCredential().get_token(SCOPE).expires_on == expires_on

    def test_azd(self, nowhere: Emulator, tool: Any, tmp_path: Path) -> None:
        expires_on = int(time.time()) + 3000
        answer = {
            "token": nowhere.token(nowhere.identity),
            "expiresOn": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires_on)),
        }
        tool("azd", RECORD + saying(json.dumps(answer)))
        credential = identity.AzureDeveloperCliCredential(tenant_id=GUID)
        assert object_id(credential) == nowhere.identity.object_id
        assert credential.get_token(SCOPE).expires_on == expires_on
        expected = f"auth token --output json --no-prompt --scope {SCOPE} --tenant-id {GUID}"
        assert (tmp_path / "calls").read_text() == f"{DIRECTORY} true {expected}\n"

    def test_powershell(self, nowhere: Emulator, tool: Any, tmp_path: Path) -> None:
        expires_on = int(time.time()) + 3600
        answer = f"WARNING: a module speaks\n\nentra-token:{expires_on}:{nowhere.token(nowhere.identity)}\n"
        tool("pwsh", RECORD + saying(answer))
        credential = identity.AzurePowerShellCredential(tenant_id=GUID)
        assert object_id(credential) == nowhere.identity.object_id
        assert credential.get_token(SCOPE).expires_on == expires_on
        call, _, script = (tmp_path / "calls").read_text().rpartition(" ")
        assert call == f"{DIRECTORY} true -NoProfile -NonInteractive -EncodedCommand"
        text = base64.b64decode(script).decode("utf-16-le")
        assert f"ResourceUrl = '{RESOURCE}'" in text
        assert f"TenantId = '{GUID}'" in text

    def test_powershell_gets_no_scope_that_is_a_script(self, tool: Any) -> None:
        tool("pwsh", saying(code=1))
        with pytest.raises(ValueError, match="scope="):
            identity.AzurePowerShellCredential().get_token("'; Remove-Item x; '")


ESCAPE = "\x1b"
NOISE = {
    "colours": (f"{ESCAPE}[0m{ESCAPE}[1;32m", f"{ESCAPE}[0m{ESCAPE}[K\n"),
    "a byte order mark": ("\ufeff", ""),
    "warnings": ("WARNING: {azure-cli} can be updated\nSecond line ", "\nDone {}."),
    "notices": ('{"type": "consoleMessage", "data": {"message": "A new version"}}\n', '{"type": "consoleMessage"}\n'),
    "white space": ("\r\n \r\n", "\r\n"),
}


def test_programs_below_the_current_directory_are_not_run(
    nowhere: Emulator, tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative directories of PATH, for which an empty one stands too, are passed over, not taken for the tool's."""
    tool("az", saying(json.dumps({"accessToken": nowhere.token(nowhere.identity), "expires_on": 4e9})))
    here = tmp_path / "here"
    here.mkdir()
    install(here, "az", saying("{}", code=1))
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", os.path.join("..", "here"), str(tmp_path)]))  # noqa: PTH118
    assert object_id(identity.AzureCliCredential()) == nowhere.identity.object_id


class TestNoise:
    """What stands around the answer: colours, marks, warnings, notices of updates."""

    @TOOLS
    @pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
    def test_the_token_is_found(
        self, nowhere: Emulator, tool: Any, credential: Any, program: str, sign_in: str, noise: tuple[str, str]
    ) -> None:
        assert sign_in
        before, after = noise
        tool(program, saying(f"{before}{answer(nowhere, program)}{after}\n"))
        assert object_id(credential()) == nowhere.identity.object_id

    @TOOLS
    @pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="Windows has no SIGCHLD")
    def test_a_program_that_ignores_sigchld(
        self, nowhere: Emulator, tool: Any, credential: Any, program: str, sign_in: str
    ) -> None:
        """The system then keeps no exit status."""
        command = sign_in.rpartition(" ")[0]
        code = (
            "import signal, sys; from azure_postgresql_auth import identity\n"
            "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
            f"credential = identity.{credential.__name__}()\n"
            f"try: print(credential.get_token({SCOPE!r}).token)\n"
            "except Exception as error: print(error)"
        )
        tool(program, saying(answer(nowhere, program)))
        run = [sys.executable, "-c", code]
        said = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
        assert core.decode_jwt(said)["oid"] == nowhere.identity.object_id
        tool(program, saying(errors=f"not logged in, run `{command}` to login\n", code=1))
        said = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
        assert said.endswith(f"{credential.__name__}: not signed in; run `{command}`")


def answer(emulator: Emulator, program: str) -> str:
    """Write a token as this command line does."""
    soon, token = int(time.time()) + 3600, emulator.token(emulator.identity)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(soon))
    return {
        "az": json.dumps({"accessToken": token, "expires_on": soon}, indent=2),
        "azd": json.dumps({"token": token, "expiresOn": at}),
        "pwsh": f"entra-token:{soon}:{token}",
    }[program]


class TestFailures:
    """The error says what to do."""

    @pytest.mark.usefixtures("nowhere")
    @TOOLS
    def test_not_installed(self, credential: Any, program: str, sign_in: str) -> None:
        assert sign_in
        text = failure(credential())
        assert text.endswith(f"({program}) is not installed or not on PATH")

    @pytest.mark.usefixtures("nowhere")
    @TOOLS
    def test_a_file_that_is_no_program(self, tmp_path: Path, credential: Any, program: str, sign_in: str) -> None:
        assert sign_in
        (tmp_path / program).write_text("not executable")
        assert failure(credential()).endswith("is not installed or not on PATH")

    @TOOLS
    def test_not_signed_in(self, tool: Any, credential: Any, program: str, sign_in: str) -> None:
        command = sign_in.rpartition(" ")[0]
        tool(program, saying(errors=f"Please run {command}: not logged in, run `{command}` to login\n", code=1))
        assert failure(credential()) == f"not signed in; run `{command}`"
        assert failure(credential(tenant_id=GUID)) == f"not signed in; run `{sign_in} {GUID}`"

    @TOOLS
    def test_wrong_tenant(self, tool: Any, credential: Any, program: str, sign_in: str) -> None:
        words = f"ERROR: AADSTS90002: Tenant {GUID!r} not found. To log in, run `{sign_in}`. Correlation ID: {GUID}"
        tool(program, saying(errors=f"{words}\n", code=1))
        text = failure(credential(tenant_id=GUID))
        assert text == (
            f"{words}. There is no such tenant in this cloud: check the tenant id, and the cloud that "
            f"AZURE_AUTHORITY_HOST names; `{sign_in} {GUID}` signs in again."
        )

    @TOOLS
    def test_a_sign_in_that_is_over(self, tool: Any, credential: Any, program: str, sign_in: str) -> None:
        """The tool's own command has the scope that needs it, and is told once, with nothing that clings to it."""
        command = f"{sign_in.rpartition(' ')[0]} --scope https://ossrdbms-aad.database.windows.net/.default"
        words = f"ERROR: AADSTS70043: The refresh token has expired. Correlation ID: {GUID} Timestamp: 2026-11-26Z"
        tool(program, saying(errors=f"{words}\nInteractive authentication is needed. Please run:\n{command}\n", code=1))
        assert failure(credential()) == f"{words}. The sign-in has expired by a policy of the tenant: run `{command}`."

    @TOOLS
    def test_any_other_failure(self, tool: Any, credential: Any, program: str, sign_in: str) -> None:
        command = sign_in.rpartition(" ")[0]
        tool(program, saying(errors="ERROR: The subscription does not exist.\n", code=1))
        expected = f"ERROR: The subscription does not exist.; if you are not signed in, run `{command}`"
        assert failure(credential()) == expected
        tool(program, saying(code=3))
        assert (
            failure(credential()) == f"`{program}` failed without a message; if you are not signed in, run `{command}`"
        )

    @TOOLS
    @pytest.mark.parametrize("answer", ["{not json", "{}", "[1]", ""])
    def test_no_token(self, tool: Any, credential: Any, program: str, sign_in: str, answer: str) -> None:
        assert sign_in
        tool(program, RECORD + saying(answer))
        text = failure(credential())
        assert text == f"`{program}` did not return a token, but {json.dumps(answer)}; check that it is up to date"

    @TOOLS
    def test_what_it_says_shows_no_token(self, tool: Any, credential: Any, program: str, sign_in: str) -> None:
        assert sign_in
        token = make_token(sub="secret")
        tool(program, saying(errors=f"no use: {token}\n", code=1))
        text = failure(credential())
        assert token not in text
        assert "no use: ****" in text

    @TOOLS
    def test_what_it_answers_shows_no_token_of_another_kind(
        self, tool: Any, credential: Any, program: str, sign_in: str
    ) -> None:
        """One that is not a JWT, without a date: az before 2.54 states only a local time."""
        assert sign_in
        token = "EwB/+A8" * 100
        answer = json.dumps({"accessToken": token, "token": token, "expiresOn": "soon"})
        tool(program, RECORD + saying(answer))
        text = failure(credential())
        assert "did not return a token" in text
        assert "EwB" not in text

    def test_azd_in_json(self, tool: Any) -> None:
        error = json.dumps({"error": "no project exists", "suggestion": "none"})
        tool("azd", saying(errors=f"{error}\n", code=1))
        assert failure(identity.AzureDeveloperCliCredential()).startswith("no project exists; ")

    def test_powershell_without_its_module(self, tool: Any) -> None:
        tool("pwsh", saying("entra-no-module\n"))
        text = failure(identity.AzurePowerShellCredential())
        assert text.startswith("PowerShell's module Az.Accounts 2.2.0 or later is not installed")

    def test_what_az_leaves_running_and_warns_of_does_not_matter(self, tool: Any, nowhere: Emulator) -> None:
        """It updates itself and sends telemetry in the background, with the pipes that it was given."""
        background = "child = subprocess.Popen([sys.executable, '-IS', '-c', 'import time; time.sleep(30)'])\n"
        warnings = "say('WARNING: ' + 'x' * (3 << 20), sys.stderr)\n"
        tool("az", background + warnings + saying(answer(nowhere, "az")))
        assert core.get_entra_token(identity.AzureCliCredential(process_timeout=20))

    @TOOLS
    def test_hanging_command_is_stopped(self, tool: Any, credential: Any, program: str, sign_in: str) -> None:
        """With all that it started."""
        assert sign_in
        for seconds in (0.5, 2, 8, 32):  # on a busy machine, programs take their time to start
            with Server(lambda process: process.recv(1)) as server:
                tool(program, HANGING.format(port=server.port))
                text = failure(credential(process_timeout=seconds))
                assert text == (
                    f"`{program}` did not answer within {seconds} s and was stopped; process_timeout= allows more time"
                )
                if len(server.clients) == 2:
                    # Whoever ends closes its connection.
                    assert server.finish()
                    return
        pytest.fail("it did not start")


@TOOLS
@pytest.mark.parametrize(("bad", "letter"), [("x; touch y", "';'"), ("$(id)", "'$'"), ("a b", "' '"), ("'", r"'\''")])
def test_tenants_are_checked(credential: Any, program: str, sign_in: str, bad: str, letter: str) -> None:
    assert program
    assert sign_in
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        credential(tenant_id=bad)
    assert str(raised.value) == (
        f"tenant_id contains {letter}; give a directory (tenant) id such as 11111111-2222-3333-4444-555555555555, "
        f"or a domain"
    )


@pytest.mark.parametrize("bad", ["x; touch y", "$(id)", '"', "a/b"])
def test_subscriptions_are_checked(bad: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        identity.AzureCliCredential(subscription=bad)
    assert str(raised.value) == (
        f"subscription={json.dumps(bad)}: expected letters, digits, '_', '-', '.' and spaces; if its name has others, "
        f"give its id"
    )
