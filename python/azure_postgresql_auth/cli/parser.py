"""Every command's arguments, and the help for them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

import azure_postgresql_auth
from azure_postgresql_auth.cli import proxy_arguments
from azure_postgresql_auth.cli.terminal import PROGRAM, data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import NoReturn

    Commands = argparse._SubParsersAction["_Parser"]  # noqa: SLF001 - typeshed has no other name for it

_SERVER = "myserver.postgres.database.azure.com"
_TAKES_A_COMMAND = ("exec", "emulator", "pgpass", "proxy")

_DESCRIPTION = """\
Microsoft Entra ID logins to Azure Database for PostgreSQL, for any tool.

Who logs in is found as in the library: what the environment says, a workload's or a managed identity, `az login`,
`azd auth login`. AZURE_TOKEN_CREDENTIALS and AZURE_CLIENT_ID choose."""

_EXIT_CODES = """\
exit codes:
  0  done
  1  not done; stderr says why (--debug: with the traceback and a log)
  2  invalid arguments
  128 and the number of the signal that ended it
  `doctor`, `exec`, `inspect`, `proxy` and `emulator` have more, see their help"""

_TOKEN = f"""\
Prints a token to log in with as the password.

  PGPASSWORD=$({PROGRAM} token) psql "host={_SERVER} dbname=postgres user=me@contoso.com sslmode=require"

pgAdmin takes `{PROGRAM} token` for a server's password exec command."""

_FORMATS = """\
formats:
  password  the token alone
  json      user, password and expires_on (seconds since 1970)
  env       lines for a shell: eval "$(... token --format env --host ...)"
  pgpass    a line of a password file; libpq before 13, 12.5, 11.10 and 10.15 (2020) cuts such long ones off"""

_EXEC = f"""\
Runs a program on libpq, logged in for as long as it runs: connections that it opens after the first token has expired
find a new one. It gets the signals, and its exit code is this command's.

  {PROGRAM} exec -- psql "host={_SERVER} dbname=postgres"
  {PROGRAM} exec -- pg_dump -h {_SERVER} -Fc -f orders.dump orders"""

_EXEC_END = """\
It gets PGUSER, PGPASSFILE, PGSSLMODE and PGSSLROOTCERT in its environment, and nothing in its arguments. PGPASSFILE is
a password file that only its owner can read, is kept fresh while the program runs, and is removed afterwards.
PGPASSWORD is removed from the environment, because libpq would prefer it. What the program's arguments or the
environment say about host, user and TLS is honoured.

Programs of the virtual environment that this command is called from are found first.

exit codes: the program's (a signal that ends it ends this command in the same way); 126 and 127 where it cannot be run
or found, as in a shell; 1 if there is no token"""

_INSPECT = f"""\
Says what is in a token: who, for what, until when, and which user name it gives. A token that is given needs no
network.

  pbpaste | {PROGRAM} inspect -"""

_INSPECT_END = """\
exit codes: 0 good for a login now, as far as can be seen; 1 not (expired, another audience, no token at all)"""

_EMULATOR = f"""\
Azure on this machine, for tests in any language: token endpoints, and a PostgreSQL that takes only their tokens.

  {PROGRAM} emulator -- pytest
  {PROGRAM} emulator --identity orders --identity ann@contoso.com:user --lifetime 60 > azure.env"""

_EMULATOR_END = """\
With a command, it runs with the variables set by which every Azure SDK and libpq find the emulator; it gets the
signals, and its exit code is this one's. Programs of the virtual environment that the emulator is called from are found
first.
Without a command, the variables are printed for a shell, and the emulator runs until SIGINT, SIGTERM or SIGHUP.

kinds of identities: user-assigned (the default), system-assigned, service-principal, user, guest. The endpoints answer
for the first; each has a role of its name. A service principal that is first gets AZURE_CLIENT_SECRET and the like.

exit codes: the command's (128 and the signal's number where one killed it); 126 and 127 where it cannot be run or
found; 1 where the emulator does not start"""

_COMPLETION = f"""\
Prints a script that makes a shell complete the arguments. Needs the extra `completion`.

  {PROGRAM} completion bash > ~/.local/share/bash-completion/completions/{PROGRAM}"""

_HELP = f"""\
Shows a command's help, and without a command what all of them do.

  {PROGRAM} help exec"""

_DOCTOR = f"""\
Walks the whole way of a login and says for each step what it saw, how long it took and what to do; at the end it names
the cause and the remedy, with SQL where that is the remedy. It changes nothing, and prints no token and no secret.

  {PROGRAM} doctor "host={_SERVER} dbname=postgres"

Without a connection string, PGHOST and the like say where to; its keywords and URIs are libpq's. The URLs of
SQLAlchemy, Django and asyncpg are read too."""

_DOCTOR_END = """\
exit codes: 0 the login works, perhaps with warnings; 3 nothing wrong was found, but there is no driver to log in with;
the first step that failed: 10 installation, 11 settings, 12 name, 13 connection, 14 tls, 15 credential, 16 token,
17 user, 18 login"""

_PGBOUNCER = f"""\
Keeps the tokens in PgBouncer's auth_file fresh, and tells PgBouncer of new ones. Other users' lines stay.

  {PROGRAM} pgbouncer --auth-file /etc/pgbouncer/userlist.txt --pid-file /run/pgbouncer/pgbouncer.pid
  {PROGRAM} pgbouncer --auth-file userlist.txt --once --identity orders=CLIENT_ID --identity billing=CLIENT_ID
  {PROGRAM} pgbouncer --auth-file /etc/pgbouncer/userlist.txt --host {_SERVER} --ini > pgbouncer.ini"""

_PGBOUNCER_END = """\
Run it as PgBouncer's user, or as root where only root can write the folder. The file is replaced atomically and keeps
its owner, group and mode, without what is wider than 0640. --pid-file reaches only a process that is PgBouncer; use
--admin-dsn where PgBouncer runs in another container. A token that the installed PgBouncer would not take for its
length is not written. While the identity service is down, the tokens that there are serve on. The log is a JSON object
on each line of stderr; SIGTERM and SIGINT stop the command, SIGHUP makes it look at once.

exit codes: 0 told to stop, or with --once all tokens are written and PgBouncer told; 1 not so"""


class _Parser(argparse.ArgumentParser):
    """A parser that answers a mistyped option with its own usage and the nearest option."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # typeshed has three overloads
        """Parse the arguments; end the process with exit code 2 where one is unknown.

        argparse would have the parser above complain, whose usage tells nothing about this one's options.
        """
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.refuse(unknown)
        return options, unknown

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Say which arguments are unknown, and end the process with exit code 2."""
        known = [option for action in self._actions for option in action.option_strings]
        nearest = next(filter(None, (_nearest(text.partition("=")[0], known) for text in unknown)), "")
        self.error(f"unrecognized arguments: {' '.join(unknown)}{nearest}")


def _nearest(text: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - for errors alone

    found = difflib.get_close_matches(text, known, 1)
    return f" (did you mean {found[0]}?)" if found else ""


_PGPASS = f"""\
Keeps a token in a password file fresh, for programs on libpq or asyncpg, which read it anew for every connection.

The programs have to verify the server themselves, or they send the token to whoever answers: sslmode=verify-full, and
sslrootcert with Azure's roots. The settings are checked as far as the environment has them, and printed.

  {PROGRAM} pgpass --file /run/app/pgpass --host {_SERVER} --user orders
  {PROGRAM} pgpass --file /run/app/pgpass --host {_SERVER} -- python -m synapse.app.homeserver"""

_PGPASS_END = """\
The file is replaced atomically, keeps its owner and has mode 0600, because libpq ignores one that others can read. Its
other lines stay. A command gets PGPASSFILE, PGHOST, PGUSER, PGSSLMODE and PGSSLROOTCERT, and the signals. While the
identity service is down, the token that there is serves on. The log is a JSON object on each line of stderr; SIGTERM
and SIGINT stop the command, SIGHUP makes it look at once.

exit codes: 0 told to stop, or with --once the token is written; 1 not so; the command's, if there is one"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; invalid ones end the process with exit code 2."""
    parser = _build()
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name is not None and name not in parser.commands:
        parser.parser.error(f"there is no command {name}{_nearest(name, parser.commands)}")
    command: list[str] = []
    if "--" in arguments and name in _TAKES_A_COMMAND:
        # By hand: versions of argparse differ in what they do with it.
        end = list(arguments).index("--")
        arguments, command = arguments[:end], list(arguments[end:])
    options = parser.parser.parse_args(arguments)
    before = list(getattr(options, "command", ()))
    if name is not None and before and before[0].startswith("-"):
        # argparse takes an option that `exec` does not have for the beginning of the program's command line.
        parser.commands[name].refuse(before[:1])
    options.command = [*before, *(command if before else command[1:])]
    return options


def build() -> argparse.ArgumentParser:
    """Return the parser; also what shell completion is made of."""
    return _build().parser


class _Version(argparse.Action):
    """Print the version, which is looked up only here: that takes long, and fails where a package was just copied."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it and end."""
        data(f"{PROGRAM} {azure_postgresql_auth.__version__}")
        parser.exit()


class _Parsers(NamedTuple):
    parser: _Parser
    commands: Mapping[str, _Parser]


def _build() -> _Parsers:
    parser = _Parser(
        PROGRAM, description=_DESCRIPTION, epilog=_EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-V", "--version", action=_Version, help="show program's version number and exit")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and a log")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_token(_command(commands, "token", "print a token", _TOKEN, _FORMATS))
    _add_exec(_command(commands, "exec", "run psql, pg_dump, ... logged in", _EXEC, _EXEC_END))
    _add_inspect(_command(commands, "inspect", "say what is in a token", _INSPECT, _INSPECT_END))
    _add_doctor(_command(commands, "doctor", "say why a login does not work", _DOCTOR, _DOCTOR_END))
    _add_pgbouncer(_command(commands, "pgbouncer", "keep PgBouncer's passwords fresh", _PGBOUNCER, _PGBOUNCER_END))
    _add_pgpass(_command(commands, "pgpass", "keep a password file fresh", _PGPASS, _PGPASS_END))
    proxy_arguments.add(
        _command(
            commands,
            "proxy",
            "log in for programs in any language",
            proxy_arguments.DESCRIPTION,
            proxy_arguments.EPILOG,
        )
    )
    _add_emulator(_command(commands, "emulator", "Azure on this machine, for tests", _EMULATOR, _EMULATOR_END))
    _add_completion(_command(commands, "completion", "complete arguments in a shell", _COMPLETION, None))
    _add_help(_command(commands, "help", "show a command's help", _HELP, None), commands.choices)
    return _Parsers(parser, commands.choices)


def _command(commands: Commands, name: str, help_: str, text: str, end: str | None) -> _Parser:
    parser = commands.add_parser(
        name, help=help_, description=text, epilog=end, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # Also after the command; what stands before it is kept.
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks and a log")
    parser.set_defaults(module=name)
    return parser


def _add_scope(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--host", metavar="HOST", help="the server; its name tells the Azure cloud")
    choice.add_argument("--scope", metavar="SCOPE", help="OAuth 2.0 scope of the token")


def _add_token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", metavar="ROLE", help="the role; by default PGUSER, else whom the token names")
    _add_scope(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--format", choices=("password", "json", "env", "pgpass"), default="password", help="default: password"
    )
    form.add_argument("--json", action="store_const", dest="format", const="json", help="the same as --format json")


def _add_exec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scope", metavar="SCOPE", help="OAuth 2.0 scope of the token; by default the server's")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="[--] PROGRAM ...", help="what to run")


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "token",
        nargs="?",
        metavar="TOKEN|-",
        help="a token, or - to read it from stdin, where nobody sees it; by default the one that logins would use",
    )
    _add_scope(parser)
    parser.add_argument("--json", action="store_true", help="the same for a program")


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("conninfo", nargs="?", default="", metavar="CONNINFO", help="a connection string")
    parser.add_argument("--json", action="store_true", help="the same for a program or a support ticket")


def _add_pgbouncer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--auth-file", required=True, metavar="FILE", help="PgBouncer's auth_file")
    telling = parser.add_mutually_exclusive_group()
    telling.add_argument("--pid-file", metavar="FILE", help="PgBouncer's pidfile: SIGHUP is sent there")
    telling.add_argument("--admin-dsn", metavar="CONNINFO", help="its admin console: it is told by RELOAD")
    parser.add_argument(
        "--identity",
        action="append",
        default=[],
        metavar="ROLE[=CLIENT_ID]",
        help="a role, and the client id of the managed or workload identity that logs in as it; may be given again; "
        "by default whom the default credential names",
    )
    _add_scope(parser)
    parser.add_argument("--once", action="store_true", help="one round, for cron and init containers")
    parser.add_argument(
        "--health-file",
        metavar="FILE",
        help="a file that is there while PgBouncer has valid tokens for all roles, and new at least every minute",
    )
    parser.add_argument("--ini", action="store_true", help="print a pgbouncer.ini to start from, and end")


def _add_pgpass(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", required=True, metavar="FILE", help="the password file: the programs' passfile")
    parser.add_argument(
        "--host",
        action="append",
        metavar="HOST",
        help="the server, as the programs name it; may be given again; by default PGHOST",
    )
    parser.add_argument("--user", metavar="ROLE", help="the role; by default PGUSER, else whom the token names")
    parser.add_argument("--scope", metavar="SCOPE", help="OAuth 2.0 scope of the token; by default the server's")
    parser.add_argument("--once", action="store_true", help="one round, for cron and init containers")
    parser.add_argument(
        "--health-file",
        metavar="FILE",
        help="a file that is there while the password file has a valid token, and new at least every minute",
    )
    parser.add_argument("command", nargs="*", metavar="-- COMMAND ...", help="what to run with the file")


def _add_emulator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--identity",
        action="append",
        default=[],
        metavar="NAME[:KIND]",
        help="who exists, with a role of that name; may be given again; by default emulator-identity",
    )
    parser.add_argument(
        "--lifetime", type=float, default=3600.0, metavar="SECONDS", help="how long tokens are good; default: 3600"
    )
    parser.add_argument(
        "--latency", type=float, default=0.0, metavar="SECONDS", help="how long the token endpoints take; default: 0"
    )
    parser.add_argument(
        "--dsn",
        metavar="URL",
        help="a local PostgreSQL to put behind, postgresql://ADMIN:PASSWORD@HOST:PORT/DATABASE; by default its own",
    )
    parser.add_argument("--json", action="store_true", help="print the variables as a JSON object, not for a shell")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND ...", help="what to run inside")


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "tcsh"))


def _add_help(parser: argparse.ArgumentParser, commands: Iterable[str]) -> None:
    parser.add_argument("topic", nargs="?", choices=sorted(commands), metavar="COMMAND", help="one of the commands")
