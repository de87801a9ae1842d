"""The command line: `token`, `exec`, `inspect` and what all commands share."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from azure_postgresql_auth import core
from azure_postgresql_auth.cli import main
from azure_postgresql_auth.tls import AZURE_ROOTS

from tests.support.cli import COMMAND, LOGIN
from tests.support.credentials import make_token
from tests.support.platforms import LIMIT, needs_shell, needs_signals
from tests.support.polling import eventually

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run

AZURE = "srv.postgres.database.azure.com"
DATABASE = "https://ossrdbms-aad.database.windows.net"
WHO_ENV = """
import json, os, pathlib, sys
env = {name: value for name, value in os.environ.items() if name.startswith("PG")}
line = pathlib.Path(env["PGPASSFILE"]).read_text() if "PGPASSFILE" in env else ""
print(json.dumps({"env": env, "argv": sys.argv, "line": line}))
"""


def in_child(cli: Run, *arguments: str, **options: Any) -> dict[str, Any]:
    """Return what a program that `exec` runs finds in its environment."""
    done = cli("exec", "--", sys.executable, "-c", WHO_ENV, *arguments, **options)
    assert (done.returncode, done.stderr) == (0, "")
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


class TestToken:
    def test_the_token_alone_is_a_password(self, cli: Run, emulator: Emulator) -> None:
        done = cli("token")
        assert (done.returncode, done.stderr) == (0, "")
        token = done.stdout.removesuffix("\n")
        assert core.decode_jwt(token)["aud"] == DATABASE
        psycopg.connect(emulator.dsn, user=emulator.identity.name, password=token).close()

    def test_json_has_the_pair(self, cli: Run, emulator: Emulator) -> None:
        told = json.loads(cli("token", "--format", "json").stdout)
        assert json.loads(cli("token", "--json").stdout).keys() == told.keys()
        assert told["user"] == emulator.identity.name
        assert told["expires_on"] == core.decode_jwt(told["password"])["exp"]

    def test_a_user_that_is_given_is_not_looked_for(self, cli: Run, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("nameless", claims={"xms_mirid": None}, role="team")
        assert json.loads(cli("token", "--format", "json", "--user", "team").stdout)["user"] == "team"
        assert json.loads(cli("token", "--format", "json", env={"PGUSER": "team"}).stdout)["user"] == "team"
        assert cli("token").returncode == 0
        done = cli("token", "--format", "json")
        assert (done.returncode, done.stdout) == (1, "")
        assert "give --user, the name of the PostgreSQL role" in done.stderr
        assert "Traceback" not in done.stderr

    @needs_shell
    def test_env_is_for_a_shell(self, cli: Run, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("it's a name", "user")
        script = f'eval "$({shlex.join(COMMAND)} token --format env)"; {shlex.join([sys.executable, "-c", LOGIN])}'
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "it's a name\n"

    def test_env_protects_the_token_on_its_way(self, cli: Run, emulator: Emulator) -> None:
        nothing = {"PGHOST": None, "PGSSLMODE": None, "PGSSLROOTCERT": None}
        for arguments in ((), ("--host", AZURE)):
            lines = cli("token", "--format", "env", *arguments, env=nothing).stdout.splitlines()
            assert "export PGSSLMODE=verify-full" in lines
            assert f"export PGSSLROOTCERT={shlex.quote(AZURE_ROOTS)}" in lines

    def test_pgpass_is_a_line_that_libpq_reads(self, cli: Run, emulator: Emulator, tmp_path: Path) -> None:
        emulator.identity = emulator.add_identity("a:b\\c", "user")
        file = tmp_path / "pgpass"
        for host in ((), ("--host", "localhost")):
            file.write_text(cli("token", "--format", "pgpass", *host).stdout)
            file.chmod(0o600)
            with psycopg.connect(emulator.dsn, user="a:b\\c", passfile=str(file)) as connection:
                assert connection.info.user == "a:b\\c"
        assert file.read_text().startswith("localhost:*:*:a\\:b\\\\c:")

    def test_host_and_scope_choose_the_audience(self, cli: Run, emulator: Emulator) -> None:
        for arguments, audience in (
            (("--host", "srv.postgres.database.usgovcloudapi.net"), "https://ossrdbms-aad.database.usgovcloudapi.net"),
            (("--scope", "https://management.azure.com/.default"), "https://management.azure.com"),
        ):
            assert core.decode_jwt(cli("token", *arguments).stdout)["aud"] == audience
        assert cli("token", "--host", AZURE, "--scope", "x/.default").returncode == 2

    def test_without_a_credential_it_says_what_was_tried(self, cli: Run, emulator: Emulator) -> None:
        emulator.fail(400)
        done = cli("token")
        assert (done.returncode, done.stdout) == (1, "")
        assert "no credential produced a token\n  EnvironmentCredential: " in done.stderr
        assert "Traceback" not in done.stderr
        for arguments in (("--debug", "token"), ("token", "--debug")):
            done = cli(*arguments)
            assert "Traceback" in done.stderr
            assert "DEBUG DefaultAzureCredential: after" in done.stderr

    @needs_signals
    def test_ctrl_c_prints_no_traceback(self, emulator: Emulator) -> None:
        emulator.fail(hang=True)
        process = subprocess.Popen([*COMMAND, "token"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        eventually(lambda: emulator.token_requests)
        process.send_signal(signal.SIGINT)
        assert (*process.communicate(timeout=60), process.returncode) == ("", "", 130)


class TestExec:
    def test_the_program_logs_in(self, cli: Run, emulator: Emulator) -> None:
        done = cli("exec", "--", sys.executable, "-c", LOGIN, f"host=localhost port={emulator.port} dbname=postgres")
        assert (done.stdout, done.stderr, done.returncode) == (f"{emulator.identity.name}\n", "", 0)

    def test_it_finds_all_in_its_environment_and_nothing_in_its_arguments(self, cli: Run, emulator: Emulator) -> None:
        seen = in_child(cli, f"host={AZURE} dbname=postgres", env={"PGSSLMODE": None, "PGSSLROOTCERT": None})
        env = seen["env"]
        assert env["PGUSER"] == emulator.identity.name
        assert env["PGSSLMODE"] == "verify-full"
        assert env["PGSSLROOTCERT"] == AZURE_ROOTS
        token = seen["line"].removeprefix("*:*:*:*:").removesuffix("\n")
        assert core.decode_jwt(token)["aud"] == DATABASE
        assert token not in str([seen["argv"], env])
        assert not Path(env["PGPASSFILE"]).parent.exists()

    def test_given_settings_take_precedence(self, cli: Run, emulator: Emulator) -> None:
        env = in_child(cli, f"postgresql://team@{AZURE}/db?sslmode=require")["env"]
        assert (env["PGUSER"], env["PGSSLMODE"]) == ("team", "verify-full")  # the string's own still wins over these
        assert "PGSSLROOTCERT" in env
        env = in_child(cli, "host=elsewhere.example user=team", env={"PGSSLMODE": None, "PGSSLROOTCERT": None})["env"]
        # Python's arguments can mean anything, so the server is not known.
        assert (env["PGUSER"], env["PGSSLMODE"], env["PGSSLROOTCERT"]) == ("team", "verify-full", AZURE_ROOTS)
        assert env["PGGSSENCMODE"] == "disable"
        line = in_child(cli, "host=a.postgres.database.usgovcloudapi.net", env={"PGPASSWORD": "old"})["line"]
        assert core.decode_jwt(line.rpartition(":")[2])["aud"] == "https://ossrdbms-aad.database.usgovcloudapi.net"

    def test_unknown_host_gets_azures_tls_settings(self, cli: Run, emulator: Emulator) -> None:
        env = in_child(cli, env={"PGSSLMODE": None, "PGSSLROOTCERT": None, "PGHOST": None})["env"]
        assert (env["PGSSLMODE"], env["PGSSLROOTCERT"]) == ("verify-full", AZURE_ROOTS)

    def test_user_and_password_of_its_own_need_no_token(self, cli: Run, emulator: Emulator) -> None:
        env = in_child(cli, f"host={AZURE} user=admin password=secret")["env"]
        assert not {"PGPASSWORD", "PGPASSFILE"} & set(env)
        assert emulator.token_requests == []

    def test_one_of_several_servers_needs_a_token(self, cli: Run, emulator: Emulator) -> None:
        own = "postgresql://ada:secret@db.example.com/orders"
        for strings in ((own, f"postgresql://{AZURE}/orders"), (f"postgresql://{AZURE}/orders", own)):
            seen = in_child(cli, *strings)
            assert seen["env"]["PGUSER"] == emulator.identity.name
            assert core.decode_jwt(seen["line"].rpartition(":")[2])["aud"] == DATABASE

    def test_unencrypted_connection_is_refused_before_a_token_is_requested(self, cli: Run, emulator: Emulator) -> None:
        done = cli("exec", "psql", f"host={AZURE} sslmode=disable")
        assert (done.returncode, done.stdout) == (1, "")
        assert "sslmode=disable could send the token" in done.stderr
        assert "allow_insecure_transport" not in done.stderr
        assert emulator.token_requests == []

    def test_exit_codes_are_the_programs(self, cli: Run, emulator: Emulator, tmp_path: Path) -> None:
        text = tmp_path / "text"
        text.write_text("no program")
        assert cli("exec", "--", sys.executable, "-c", "raise SystemExit(7)").returncode == 7
        assert cli("exec", "--", "no-such-program").returncode == 127
        assert cli("exec", "--", str(text)).returncode == 126
        assert cli("exec").returncode == 2
        emulator.fail(400)
        assert cli("exec", "--", sys.executable, "-c", "raise SystemExit(7)").returncode == 1

    def test_connections_after_the_tokens_expiry_work(self, cli: Run, emulator: Emulator) -> None:
        emulator.lifetime = 10
        script = (
            "import os, psycopg, time\n"
            "for wait in 0, 6, 6:\n"
            "    time.sleep(wait)\n"
            "    with psycopg.connect('') as connection: print(connection.info.user, flush=True)\n"
            "print(os.environ['PGPASSFILE'])"
        )
        # A password of the environment would be preferred to the file.
        done = cli("exec", "--", sys.executable, "-c", script, env={"PGPASSWORD": "stale"})
        *users, path = done.stdout.splitlines()
        assert (done.returncode, done.stderr, users) == (0, "", [emulator.identity.name] * 3)
        assert not Path(path).exists()

    def test_an_outage_leaves_the_program_alone(self, cli: Run, emulator: Emulator, tmp_path: Path) -> None:
        emulator.lifetime = 3
        script = (
            "import os, sys, time\n"
            "while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
            "print(os.path.getsize(os.environ['PGPASSFILE']) > 1000)"
        )
        with ThreadPoolExecutor() as pool:
            running = pool.submit(cli, "exec", "--", sys.executable, "-c", script, str(tmp_path / "end"))
            eventually(lambda: [request.status for request in emulator.token_requests] == [200])
            emulator.fail(503)
            # The renewals fail, and the token expires.
            eventually(lambda: {request.status for request in emulator.token_requests} == {200, 503})
            time.sleep(emulator.lifetime)
            (tmp_path / "end").touch()
            done = running.result()
        assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


class TestInspect:
    def test_a_pasted_token_needs_no_network(self, cli: Run, emulator: Emulator) -> None:
        user = emulator.add_identity("guest_gmail.com#EXT#@contoso.com", "user", role=None)
        token = emulator.token(user, lifetime=7300)
        done = cli("inspect", "-", input=f"  {token[:50]}\n{token[50:]} \n", env={"TZ": "CET-1CEST"})
        assert (done.returncode, done.stderr) == (0, "")
        lines = dict(line.split(None, 1) for line in done.stdout.replace("user name", "user_name").splitlines())
        assert lines["user_name"] == "guest_gmail.com#EXT#@contoso.com, by upn"
        assert lines["who"] == "a guest user"
        assert lines["tenant"] == emulator.tenant_id
        assert lines["audience"] == f"{DATABASE} (Azure Database for PostgreSQL, public cloud)"
        assert "CE" in lines["expires"]
        assert "(in 2 h 1 min)" in lines["expires"]
        assert token.rpartition(".")[2] not in done.stdout
        assert emulator.token_requests == []

    def test_json_is_for_programs_and_has_no_signature(self, cli: Run, emulator: Emulator) -> None:
        token = emulator.token(emulator.identity)
        done = cli("inspect", "--json", token)
        told = json.loads(done.stdout)
        assert (told["user"], told["user_from"], told["problems"]) == (emulator.identity.name, "xms_mirid", [])
        assert told["claims"] == core.decode_jwt(token)
        assert token.rpartition(".")[2] not in done.stdout
        assert "other users of this machine can see a token" in done.stderr

    def test_by_default_the_token_of_logins(self, cli: Run, emulator: Emulator) -> None:
        assert emulator.identity.name in cli("inspect").stdout
        assert len(emulator.token_requests) == 1

    @pytest.mark.parametrize(
        ("claims", "problem"),
        [
            ({"aud": "https://management.azure.com/"}, "not for Azure Database for PostgreSQL"),
            ({"exp": 1}, "expired"),
            ({"nbf": 2**33}, "is not valid for another"),
            ({"exp": 10**30}, "the token's exp, 1e+30, is not a date"),
            ({"exp": 10**18}, "the token's exp, 1000000000000000000, is not a date"),
            ({"exp": -1e30, "iat": 1e300}, "the token's exp, -1e+30, is not a date"),
            ({"nbf": "soon"}, "the token's nbf, soon, is not a date"),
        ],
    )
    def test_what_makes_a_login_fail_is_told(self, cli: Run, claims: dict[str, Any], problem: str) -> None:
        done = cli("inspect", "-", input=make_token(**{"aud": DATABASE, "upn": "a@b", **claims}))
        assert done.returncode == 1
        assert problem in done.stderr

    def test_nothing_that_a_terminal_acts_on_is_printed(self, cli: Run) -> None:
        # OSC 52 sets the clipboard; U+202E writes backwards; a line break would forge a line.
        evil = "\x1b]52;c;ZWNobw==\x07\x9b31m\u202e\r\nwho  root"
        claims = {"aud": evil, "upn": evil, "exp": evil, "tid": [evil], evil: {evil: evil}}
        done = cli("inspect", "-", input=make_token(**claims))
        assert done.returncode == 1
        for printed in (done.stdout, done.stderr):
            assert all(one.isprintable() or one == "\n" for one in printed)
        assert "\\x1b]52;c;ZWNobw==\\x07\\x9b31m\\u202e\\r\\nwho  root, by upn" in done.stdout
        assert "\nwho  root" not in done.stdout + done.stderr
        told = json.loads(cli("inspect", "--json", "-", input=make_token(**claims)).stdout)
        assert told["user"] == evil

    def test_a_locale_without_the_characters(self, cli: Run) -> None:
        done = cli("inspect", "-", input=make_token(aud=DATABASE, upn="名前"), env={"PYTHONIOENCODING": "ascii"})
        assert (done.returncode, done.stderr) == (0, "")
        assert "\\u540d\\u524d, by upn" in done.stdout

    def test_what_is_no_token(self, cli: Run) -> None:
        done = cli("inspect", "-", input="eyJrandom")
        assert (done.returncode, done.stdout) == (1, "")
        assert "Invalid JWT token format" in done.stderr
        assert "eyJrandom" not in done.stderr

    @pytest.mark.parametrize(
        ("claims", "kind"),
        [
            ({"xms_mirid": "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x"}, "a user-assigned managed"),
            (
                {"xms_mirid": "/providers/Microsoft.Web/sites/x"},
                "the system-assigned identity of Microsoft.Web/sites/x",
            ),
            ({"idtyp": "app", "appidacr": "2", "xms_idrel": "7 24"}, "a managed identity"),
            ({"idtyp": "app", "appidacr": "1"}, "an application"),
            ({"upn": "a@b"}, "a user"),
            ({"upn": "a_b#EXT#@c"}, "a guest user"),
            ({"unique_name": "live.com#a@b", "idp": "live.com", "tid": "t"}, "none: live.com#a@b is a guest's home"),
            ({"unique_name": "live.com#a@b", "idp": "live.com", "tid": "t"}, "form a_b#EXT#@TENANT.onmicrosoft.com"),
        ],
    )
    def test_principal_of_a_token(self, cli: Run, claims: dict[str, Any], kind: str) -> None:
        assert kind in cli("inspect", "-", input=make_token(aud=DATABASE, **claims)).stdout


class TestHelp:
    def test_every_command_has_an_example(self, capsys: pytest.CaptureFixture[str]) -> None:
        def help_of(*command: str) -> str:
            with pytest.raises(SystemExit, match="^0$"):
                main([*command, "--help"])
            return capsys.readouterr().out

        listed = help_of().partition("\n  COMMAND\n")[2].partition("\n\n")[0]
        commands = [line.split()[0] for line in listed.splitlines()]
        assert {"token", "exec", "inspect"} <= set(commands)
        for name in commands:
            _, _, text = help_of(name).partition("\n\n")
            description, *_ = re.split(
                r"^(?:positional arguments|options|optional arguments):$", text, flags=re.MULTILINE
            )
            assert f"azure-postgresql-auth {name}" in description, name

    @pytest.mark.parametrize(
        ("arguments", "usage", "said"),
        [
            (("token", "--usr", "x"), "token", "unrecognized arguments: --usr x (did you mean --user?)"),
            (("exec", "--scpe=x", "--", "psql"), "exec", "unrecognized arguments: --scpe=x (did you mean --scope?)"),
            (("exec", "--scpe", "x", "psql"), "exec", "--scpe (did you mean --scope?)"),
            (("emulator", "--lifetimes", "1", "--", "true"), "emulator", "(did you mean --lifetime?)"),
            (("pgbouncer", "--auth-file", "x", "--pidfile", "y"), "pgbouncer", "(did you mean --pid-file?)"),
            (("doctor", "--xyz"), "doctor", "unrecognized arguments: --xyz"),
            (("tokn",), "[-h]", "there is no command tokn (did you mean token?)"),
            (("xyz",), "[-h]", "there is no command xyz; the commands are token, exec, inspect, "),
            (("--debgu", "token"), "[-h]", "(did you mean --debug?)"),
            (("token", "--json", "--format", "env"), "token", "not allowed with"),
        ],
    )
    def test_a_mistyped_argument_shows_the_commands_usage(
        self, cli: Run, arguments: tuple[str, ...], usage: str, said: str
    ) -> None:
        done = cli(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"usage: azure-postgresql-auth {usage}")
        assert said in done.stderr

    @pytest.mark.parametrize(
        ("name", "ending"),
        [
            ("emulator", "[-- COMMAND ...]"),
            ("exec", "[--] PROGRAM ..."),
            ("pgpass", "[-- COMMAND ...]"),
            ("proxy", "[-- COMMAND ...]"),
        ],
    )
    def test_the_usage_names_the_program_to_run(self, cli: Run, name: str, ending: str) -> None:
        usage, _, _ = cli(name, "--help").stdout.partition("\n\n")
        assert " ".join(usage.split()).endswith(f"] {ending}")

    def test_help_and_version(self, cli: Run) -> None:
        assert cli("help", "exec").stdout == cli("exec", "--help").stdout
        assert cli("help").stdout == cli("--help").stdout
        assert cli("-V").stdout == cli("--version").stdout

    def test_two_dashes_of_the_program_are_its_own(self, cli: Run, emulator: Emulator) -> None:
        echo = (sys.executable, "-c", "import sys; print(*sys.argv[1:])", "a", "--", "b")
        for arguments in (("exec", "--", *echo), ("exec", *echo), ("--debug", "exec", "--", *echo)):
            assert cli(*arguments).stdout == "a -- b\n"

    def test_the_program_answers_to_its_name(self, cli: Run) -> None:
        installed = Path(sys.executable).with_name("azure-postgresql-auth")
        if not installed.exists():
            pytest.skip("the package is not installed with its scripts")
        assert subprocess.check_output([installed, "--version"], text=True) == cli("--version").stdout
        assert cli().returncode == 2

    @needs_shell
    def test_bash_accepts_its_completion(self, cli: Run) -> None:
        script = cli("completion", "bash").stdout
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0

    def test_completion(self, cli: Run, tmp_path: Path) -> None:
        assert "pgpass" in cli("completion", "bash").stdout
        assert "complete -c azure-postgresql-auth" in cli("completion", "fish").stdout
        (tmp_path / "shtab.py").write_text("raise ImportError")
        done = cli("completion", "zsh", env={"PYTHONPATH": str(tmp_path)})
        assert (done.returncode, done.stdout) == (1, "")
        assert "pip install 'azure-postgresql-auth-rs[completion]'" in done.stderr


@needs_shell
@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "--user", b"\xff"],
        ["doctor", b"host=\xff"],
        ["proxy", b"\xff", "--listen", "0"],
        ["exec", "--", "psql", b"user=\xff"],
        ["pgpass", "--once", "--file", "unused", "--host", "localhost", "--user", b"\xff"],
    ],
)
def test_what_is_not_utf8_is_refused_in_words(emulator: Emulator, arguments: list[Any]) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert done.stderr.startswith("azure-postgresql-auth: an argument or a variable holds bytes that are not UTF-8")


def test_no_command_but_version_looks_up_the_distribution() -> None:
    # Reading it is slow, and a package that was only copied (a serverless bundle, PyInstaller) has no metadata.
    script = (
        "import sys; from azure_postgresql_auth.cli import parser; sys.modules['importlib.metadata'] = None;"
        "print(parser.parse(['inspect']).module); parser.parse(['-V'])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=LIMIT)
    assert ended.stdout == "inspect\n"
    assert "ModuleNotFoundError" in ended.stderr
