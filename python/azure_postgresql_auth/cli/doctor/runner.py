"""Run the steps in order, and print their report and the verdict."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import azure_postgresql_auth
from azure_postgresql_auth._core import scope_for
from azure_postgresql_auth.cli import conninfo, terminal
from azure_postgresql_auth.cli import logins as cli_login
from azure_postgresql_auth.cli.doctor import (
    certificate,
    connection,
    credential,
    installation,
    login,
    name_resolution,
    program_url,
    settings,
    token,
    user,
)
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, PASSED_OVER, WARNING, Context, Endpoint
from azure_postgresql_auth.cli.failure import USAGE, Failure

if TYPE_CHECKING:
    import argparse
    from typing import Final

    from azure_postgresql_auth.cli.doctor.finding import Finding

NOT_TRIED: Final = 3
_HIGHEST_PORT: Final = 65535
_STEPS: Final = (
    # Name, exit code of a failure, check, and the steps that it depends on.
    ("installation", 10, installation.check, ()),
    ("settings", 11, settings.check, ()),
    ("name", 12, name_resolution.check, ("settings",)),
    ("connection", 13, connection.check, ("name",)),
    ("tls", 14, certificate.check, ("connection",)),
    ("credential", 15, credential.check, ()),
    ("token", 16, token.check, ("credential",)),
    ("user", 17, user.check, ("credential",)),
    ("login", 18, login.check, ("tls", "token", "user")),
)
_CODES: Final = {name: failing for name, failing, _, _ in _STEPS}
_MARKS: Final = {OK: ("✓", "green"), WARNING: ("!", "yellow"), FAILURE: ("✗", "red"), PASSED_OVER: ("-", "dim")}


def run(options: argparse.Namespace) -> int:
    """Run the steps; return the exit code."""
    context = _context(options.conninfo)
    found: list[tuple[str, Finding]] = []
    taken: set[str] = set()
    code = 0
    for name, failing, check, needed in _STEPS:
        if not taken.issuperset(needed):
            continue
        with terminal.waiting(f"checking {name}"):
            findings = [_redacted(context, finding) for finding in check(context)]
        for finding in findings:
            found.append((name, finding))
            if not options.json:
                terminal.data(_line(name, finding))
        if any(finding.status == FAILURE for finding in findings):
            code = code or failing
        else:
            taken.add(name)
    tried = any(name == "login" and finding.status != PASSED_OVER for name, finding in found)
    code = code or (0 if tried else NOT_TRIED)
    if (code == NOT_TRIED and context.expired is not None) or (code == _CODES["login"] and context.refused_for_dates):
        # Judged only by this machine's clock, it was a warning.
        code = _CODES["token"]
    worst, verdict = _verdict(found, code)
    if options.json:
        terminal.data(json.dumps(_report(found, worst, verdict, code), indent=2))
    else:
        colour = "red" if worst and worst.status == FAILURE else "yellow" if worst else "green"
        terminal.data(terminal.painted(terminal.printable(verdict, keep=""), colour, sys.stdout))
        if worst and worst.sql:
            terminal.data(terminal.printable(worst.sql))
    return code


def _context(text: str) -> Context:
    url = program_url.read(text)
    try:
        # The settings step reports why a login is forbidden.
        plan = cli_login.PROGRAM.plan(conninfo.parse(url.conninfo), allow_insecure_transport=True)
        scope = plan.scope or scope_for(())
    except ValueError as error:
        raise Failure(
            cli_login.scope_problem(error, "name servers of one of them only") or str(error), USAGE
        ) from error
    parameters = plan.parameters()
    hosts, addresses, _ = plan.target or ((), (), ())
    hosts = hosts or ("",) * max(len(addresses), 1)
    addresses = addresses or ("",) * len(hosts)
    ports = str(parameters.get("port") or "5432").split(",")
    if len(ports) not in {1, len(hosts)} or len(addresses) != len(hosts):
        raise Failure("host, hostaddr and port have to list the same number of servers", USAGE)
    try:
        numbers = [int(port or "5432") for port in ports] * (len(hosts) if len(ports) == 1 else 1)
    except ValueError as error:
        raise Failure(f"port={parameters['port']}: expected a number", USAGE) from error
    if not all(0 < number <= _HIGHEST_PORT for number in numbers):
        raise Failure(f"port={parameters['port']}: expected numbers from 1 to {_HIGHEST_PORT}", USAGE)
    endpoints = [Endpoint(*place) for place in zip(hosts, addresses, numbers)]
    return Context(parameters, plan, scope, endpoints, url)


def _redacted(context: Context, finding: Finding) -> Finding:
    saw, cause, remedy, sql = map(context.redacted, (finding.saw, finding.cause, finding.remedy, finding.sql))
    return finding._replace(saw=saw, cause=cause, remedy=remedy, sql=sql)


def _line(name: str, finding: Finding) -> str:
    mark, colour = _MARKS[finding.status]
    label = mark if terminal.is_rich(sys.stdout) else f"{finding.status:<11}"
    seconds = "" if finding.seconds is None else f" ({finding.seconds:.2f} s)"
    indent = "\n" + " " * (14 + (2 if terminal.is_rich(sys.stdout) else 12))
    text = finding.saw
    if finding.status in {WARNING, FAILURE} and finding.remedy:
        text += f"\n{finding.remedy}"
    text = terminal.printable(text).replace("\n", indent)
    return f"{terminal.painted(label, colour, sys.stdout)} {name:<13} {text}{seconds}"


def _verdict(found: list[tuple[str, Finding]], code: int) -> tuple[Finding | None, str]:
    """Return the most important finding, if there is one, and the last line of the report."""
    for status in (FAILURE, WARNING):
        for _, finding in found:
            if finding.status == status:
                prefix = "" if status == FAILURE else "The login works, but: " if code == 0 else "So far: "
                return finding, f"{prefix}{finding.cause}. Remedy: {finding.remedy}"
    if code == NOT_TRIED:
        return None, "Nothing wrong was found, but the login itself was not tried."
    return None, "The login works."


def _report(found: list[tuple[str, Finding]], worst: Finding | None, verdict: str, code: int) -> dict[str, Any]:
    return {
        "version": azure_postgresql_auth.__version__,
        "steps": [{"step": name, **finding._asdict()} for name, finding in found],
        "cause": worst.cause if worst else None,
        "remedy": worst.remedy if worst else None,
        "sql": worst.sql if worst else None,
        "verdict": verdict,
        "exit_code": code,
    }
