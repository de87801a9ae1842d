"""The command line's parser. The arguments of each command are defined in its module."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, Any

import azure_postgresql_auth
from azure_postgresql_auth.cli.terminal import PROGRAM, data

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Final, NoReturn

COMMANDS: Final = {
    "token": "print a token",
    "exec": "run psql, pg_dump, ... with a login",
    "inspect": "show what is in a token",
    "doctor": "find out why a login fails",
    "pgbouncer": "keep PgBouncer's passwords fresh",
    "pgpass": "keep a password file fresh",
    "proxy": "log in for programs in any language",
    "emulator": "emulate Azure on this machine, for tests",
    "completion": "print a shell completion script",
    "help": "show a command's help",
}
"""The commands by name, which is also the name of the module, with a summary."""
_TAKES_A_PROGRAM: Final = ("exec", "emulator", "pgpass", "proxy")

_DESCRIPTION: Final = """\
Microsoft Entra ID logins to Azure Database for PostgreSQL, for any tool.

The identity is found as in the library: the environment, a workload identity, a managed identity, `az login`,
`Connect-AzAccount`, `azd auth login`. AZURE_TOKEN_CREDENTIALS and AZURE_CLIENT_ID select one of them."""

_DEBUG: Final = "show tracebacks and a log"
_EXIT_CODES: Final = """\
exit codes:
  0  success
  1  failure; the reason is on stderr (with --debug, a traceback and a log, too)
  2  invalid arguments
  128 plus the signal's number, if a signal ended the command
  `doctor`, `exec`, `inspect`, `proxy` and `emulator` have further exit codes, see their help"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Shows the program to run as its `metavar` has it; argparse would double the ellipsis, or show nothing else."""

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.dest != "command":
            return super()._format_args(action, default_metavar)
        return f"[{action.metavar}]" if action.nargs == "*" else str(action.metavar)


class _Parser(argparse.ArgumentParser):
    """A parser that reports an unknown option with its own usage and the most similar option."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # typeshed has three overloads
        """Parse the arguments; end the process with exit code 2 if one is unknown.

        argparse would print the usage of the main parser, which does not show the command's options.
        """
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.refuse(unknown)
        return options, unknown

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Report unknown arguments, and end the process with exit code 2."""
        known = [option for action in self._actions for option in action.option_strings]
        nearest = next(filter(None, (_nearest(text.partition("=")[0], known) for text in unknown)), "")
        self.error(f"unrecognized arguments: {' '.join(unknown)}{nearest}")


def _nearest(text: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - only for errors

    found = difflib.get_close_matches(text, known, 1)
    return f" (did you mean {found[0]}?)" if found else ""


class _Version(argparse.Action):
    """Print the version. It is looked up only here, because that is slow, and fails for a package without metadata."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the version and exit."""
        data(f"{PROGRAM} {azure_postgresql_auth.__version__}")
        parser.exit()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; invalid ones end the process with exit code 2."""
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    parser, commands = _build(() if name is None else (name,))
    if name is not None and name not in commands:
        parser.error(f"there is no command {name}{_nearest(name, COMMANDS)}; the commands are {', '.join(COMMANDS)}")
    program: list[str] = []
    if "--" in arguments and name in _TAKES_A_PROGRAM:
        # Split here, because versions of argparse handle it differently.
        end = list(arguments).index("--")
        arguments, program = arguments[:end], list(arguments[end:])
    options = parser.parse_args(arguments)
    before = list(getattr(options, "command", ()))
    if name is not None and before and before[0].startswith("-"):
        # argparse takes an option that `exec` does not have for the beginning of the program's command line.
        commands[name].refuse(before[:1])
    options.command = [*before, *(program if before else program[1:])]
    return options


def build() -> argparse.ArgumentParser:
    """Return the parser with all commands' arguments, for shell completion."""
    return _build(COMMANDS)[0]


def _build(loaded: Collection[str]) -> tuple[_Parser, dict[str, _Parser]]:
    """Return the parser, and those of the commands in `loaded`; other commands are only listed."""
    parser = _Parser(PROGRAM, description=_DESCRIPTION, epilog=_EXIT_CODES, formatter_class=_Formatter)
    parser.add_argument("-V", "--version", action=_Version, help="show program's version number and exit")
    parser.add_argument("--debug", action="store_true", help=_DEBUG)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parsers = {}
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, formatter_class=_Formatter)
        if name not in loaded:
            continue
        parsers[name] = command
        module = importlib.import_module(f"azure_postgresql_auth.cli.{name}")
        command.description, command.epilog = module.DESCRIPTION, getattr(module, "EPILOG", None)
        # Also after the command; SUPPRESS keeps the value of an option before it.
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=_DEBUG)
        command.set_defaults(module=name)
        module.add_arguments(command)
    return parser, parsers
