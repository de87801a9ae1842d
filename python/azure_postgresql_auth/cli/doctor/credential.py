"""Each link of the credential chain, as the chain itself tells it."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from azure_postgresql_auth import core
from azure_postgresql_auth.cli.doctor import clocks
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, PASSED_OVER, WARNING, Context, Finding, Stopwatch
from azure_postgresql_auth.errors import AzurePgEntraError
from azure_postgresql_auth.identity import DefaultAzureCredential

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_GAVE: Final = re.compile(r"DefaultAzureCredential: (\S+) gave a token after ([\d.]+) s")
_FAILED: Final = re.compile(r"DefaultAzureCredential: after ([\d.]+) s, ([\w-]+): (.*)", re.DOTALL)
_NOTHING: Final = "no credential produced a token"

_ASSIGN: Final = (
    "assign the identity to this machine or app; AZURE_CLIENT_ID has to be its client id, or unset for the "
    "system-assigned one"
)
_SET_UP: Final = (
    "on your own machine: az login; on Azure: give this machine or app a managed identity; elsewhere: set "
    "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
)

_NO_ANSWER: Final = r"no token within|did not answer|timed out|dns error|no connection|os error|error sending request"
_NETWORK: Final = "check this machine's network and proxy (HTTPS_PROXY, NO_PROXY)"
_ENDPOINT: Final = (
    "check that the identity endpoint (IDENTITY_ENDPOINT, else http://169.254.169.254) is up, and that no firewall or "
    "network policy keeps this process from it; outside Azure, leave it out by AZURE_TOKEN_CREDENTIALS=dev"
)

# What a refusal says, and what to do about it; the first that fits.
_REMEDIES: Final = (
    (r"AADSTS7000215|AADSTS7000222", "put a secret that is valid now into AZURE_CLIENT_SECRET: its value, not its id"),
    (r"AADSTS700016", "check AZURE_CLIENT_ID and AZURE_TENANT_ID: the application is not in that tenant"),
    (r"AADSTS90002|AADSTS900023", "check AZURE_TENANT_ID, and by AZURE_AUTHORITY_HOST the cloud"),
    (
        r"Workload.*AADSTS700024",
        "the federated token has expired: see that its file, AZURE_FEDERATED_TOKEN_FILE, is renewed",
    ),
    (r"AADSTS700024", clocks.REMEDY),
    (r"AADSTS7002\d\d|AADSTS70021", "add a federated credential for this issuer, subject and audience to the identity"),
    (r"AADSTS50076|AADSTS50079|AADSTS700082|AADSTS70043|AADSTS50173", "sign in again: az login"),
    (r"invalid peer certificate|UnknownIssuer", "put the proxy's CA into the PEM file that SSL_CERT_FILE names"),
    (r"[Ii]dentity not found|has not been assigned|No User Assigned", _ASSIGN),
    (
        r"\b429\b|throttl",
        "wait, and let fewer processes ask: share a credential object, fork after the first login",
    ),
    (r"az login|not signed in|AADSTS", "sign in: az login"),
)


def check(context: Context) -> Iterator[Finding]:
    """Asks the default credential for a token, and tells what each link said to it."""
    if context.plan.has_credentials:
        yield Finding(PASSED_OVER, "user and password are given, so no token is asked for")
        return
    clock = Stopwatch()
    heard = _Heard()
    logger = logging.getLogger("azure_postgresql_auth")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(heard)
    logger.setLevel(logging.DEBUG)
    # Not also to who logs everything: the report has it.
    logger.propagate = level == logging.DEBUG
    error: Exception | None = None
    try:
        context.credential = DefaultAzureCredential()
        context.token = core.login(context.credential, context.scope, user_known=True).password
    except (AzurePgEntraError, ValueError) as raised:
        error = raised
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.removeHandler(heard)
    yield from _links(context, heard.texts, error, clock.seconds)


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _links(context: Context, texts: list[str], error: Exception | None, took: float) -> Iterator[Finding]:
    attempts = [match for text in texts if (match := _FAILED.fullmatch(text))]
    refused = _refused(error)
    for attempt in attempts:
        seconds, name, reason = float(attempt[1]), attempt[2], attempt[3]
        if name == refused:
            yield Finding(FAILURE, f"{name}: {reason}", *explained(reason, name), seconds=seconds)
        else:
            yield Finding(PASSED_OVER, f"{name}: {reason}", seconds=seconds)
    gave = next((match for text in texts if (match := _GAVE.fullmatch(text))), None)
    if gave:
        context.link = gave[1]
        yield Finding(OK, f"{gave[1]} gave a token", seconds=float(gave[2]))
        if error is not None:
            yield _not_usable(_text_of(error), gave[1])
    elif error is None:
        yield Finding(OK, "a token", seconds=took)
    elif not refused:
        text = _text_of(error)
        if _NOTHING in text and attempts:
            cause, remedy = _why_nothing([attempt[2] + ": " + attempt[3] for attempt in attempts])
            yield Finding(FAILURE, "none of these gave a token", cause, remedy, seconds=took)
        else:
            yield Finding(FAILURE, text, *explained(text), seconds=took)


def _not_usable(text: str, link: str) -> Finding:
    """Explain why a token that was given is not taken: mostly, its life is over by this machine's clock."""
    clock = clocks.compared(link)
    if clock is not None and clock.status == WARNING:
        return Finding(FAILURE, text, clock.cause, clock.remedy)
    return Finding(FAILURE, text, *explained(text))


def _text_of(error: Exception) -> str:
    return str(error).removeprefix("Could not retrieve Entra credentials: ")


def explained(reason: str, name: str = "") -> tuple[str, str]:
    """Return cause and remedy of a credential's failure.

    Args:
        reason: what it said.
        name: the credential's name, where one credential alone is meant.
    """
    cause, silent = _shortened(reason), re.search(_NO_ANSWER, reason) is not None
    if name:
        cause = f"{name} got no answer: {cause}" if silent else f"{name} was refused: {cause}"
    if silent:
        return cause, _ENDPOINT if name == "ManagedIdentityCredential" else _NETWORK
    return cause, _remedy(f"{name}: {reason}")


def _why_nothing(reasons: list[str]) -> tuple[str, str]:
    """Cause and remedy: of one that is there and is not ready, if there is such a one."""
    for reason in reasons:
        if not _is_absent(reason):
            return explained(reason)
    return "nothing is set up here to get a token with", _SET_UP


def _refused(error: Exception | None) -> str:
    """The link that ended the search; "" if none did.

    One that is set up and fails is the last of those that the chain lists, and others would have come after it.
    """
    if error is None:
        return ""
    lines = [line for line in str(error).splitlines() if re.match(r"  [\w-]+: ", line)]
    last = lines[-1].strip().partition(":")[0] if lines else ""
    return last if last in _MAY_REFUSE and not _is_absent(lines[-1]) else ""


_MAY_REFUSE: Final = ("EnvironmentCredential", "WorkloadIdentityCredential", "ManagedIdentityCredential")
_ABSENT: Final = ("not set:", "no managed identity endpoint", "is not set", "not installed")


def _is_absent(line: str) -> bool:
    return any(words in line for words in _ABSENT)


def _remedy(reason: str) -> str:
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, reason):
            return remedy
    return "see what it says above; with --debug there is a log of every request"


def _shortened(reason: str) -> str:
    """Its first sentence, Entra's own where it is quoted: what follows are ids, and what the remedy says."""
    text = re.sub(r"^.*?(?=AADSTS\d)", "", reason.splitlines()[0])
    text = re.split(r" Trace ID:| \(Trace|\. (?=[A-Z])", text, maxsplit=1)[0]
    return text.rstrip(". ")
