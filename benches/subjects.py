"""What is measured: one function each, from the turns that candidates take to figures."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from environments import weight
from turns import above, less, rounded, summarised, summary

if TYPE_CHECKING:
    from turns import Figures, Turns

STARTS, SHORT, LONG = 41, 21, 9
"""Rounds of cold starts, whose time is mostly the driver's own, of others that take parts of a second, and of those
that take several."""

ANSWERING = 0.1
"""Seconds that the endpoint takes while many connect at once, so that it has not answered before all have asked."""

AT_ONCE = {1: 3, 20: 3, 100: 3, 1000: 1}
"""Concurrent connections, and how many rounds of them."""

LIFETIME, OUTAGE, LOGGING_IN = 10.0, (13.0, 17.0), 32.0
"""Seconds: of a token, of the outage's begin and end, of the whole."""


def startup(turns: Turns) -> Figures:
    """Cold start to the first row, by credential."""
    with tempfile.TemporaryDirectory() as tools:
        person = turns.service.call("add_identity", "bench@example.org", "user")
        tool = _make_az(Path(tools), turns.service.call("token", person))
        on_vm = {name: value for name, value in turns.variables.items() if not name.startswith("IDENTITY_")}
        developer = {**on_vm, "PATH": f"{tools}:{on_vm['PATH']}"}
        delays = {**turns.service.delays(), "az": _milliseconds(tool)}
        figures: Figures = {f"{of} alone, ms": {"endpoint": summary([delay])} for of, delay in delays.items()}
        for kind, credential, variables, endpoint in (
            ("managed identity", "ManagedIdentityCredential", turns.variables, "App Service"),
            ("default credential", "DefaultAzureCredential", on_vm, "IMDS"),
            ("Azure CLI", "AzureCliCredential", developer, "az"),
        ):
            turns.take(1, "startup", credential, variables=variables)  # what is read from disk is in memory then
            found = turns.take(STARTS, "startup", credential, variables=variables)
            figures.update(summarised(found, f"{kind}: "))
            figures[f"{kind}: above static and endpoint, ms"] = above(found, "wall, ms", less=delays[endpoint])
            figures[f"{kind}: CPU above static, ms"] = above(found, "CPU, ms")
            figures[f"{kind}: memory above static, MB"] = above(found, "memory, MB")
    return figures


def _make_az(folder: Path, token: str) -> Path:
    """A command line that answers at once; what it takes is measured as the endpoints are."""
    answer = {"accessToken": token, "expires_on": int(time.time()) + 3600}
    (folder / "token.json").write_text(json.dumps(answer), "utf-8")
    tool = folder / "az"
    tool.write_text(f"#!/bin/sh\nexec /bin/cat '{folder}/token.json'\n", "utf-8")
    tool.chmod(0o755)
    return tool


def _milliseconds(tool: Path, times: int = 25) -> float:
    """What it takes by itself; started as cheaply as can be, for what starts it is the candidate's part."""
    took = []
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    for _ in range(times):
        begun = time.perf_counter()
        os.waitpid(os.posix_spawn(tool, [str(tool)], {}, file_actions=silent), 0)
        took.append(time.perf_counter() - begun)
    return rounded(statistics.median(took) * 1e3)


def imports(turns: Turns) -> Figures:
    """Import time, modules and memory, above psycopg's own."""
    found = turns.take(SHORT, "imports")
    return {**summarised(found), "memory above static, MB": above(found, "memory, MB")}


def installed(turns: Turns) -> Figures:
    """What pip adds to a driver's environment."""
    return {
        measure: {candidate: summary([value]) for candidate, value in by_candidate.items()}
        for measure, by_candidate in weight(turns.candidates).items()
    }


def cached(turns: Turns) -> Figures:
    """A login whose token is cached."""
    return summarised(turns.take(LONG, "cached", candidates=turns.among("ours", "peer")))


def connection(turns: Turns) -> Figures:
    """CPU that a cached login adds to a connection."""
    # Without libpq's settings of the emulator: a certificate to load is not for a socket on this machine.
    variables = {name: value for name, value in turns.variables.items() if not name.startswith("PG")}
    found = turns.take(LONG, "connection", candidates=turns.among("ours", "peer"), variables=variables)
    return {**summarised(found), **less(found, ": with a login, us", ": with a token, us", ", us")}


def concurrency(turns: Turns) -> Figures:
    """First connections at once: requests, and how long it takes."""
    figures: Figures = {}
    with turns.service.taking(ANSWERING):
        for kind in ("threads", "tasks"):
            for number, rounds in AT_ONCE.items():
                found = turns.take(rounds, "concurrency", kind, str(number), counting=True)
                figures.update(summarised(found, f"{number} {kind}: "))
                for candidate, figure in found.items():
                    most = max(each["requests"] for each in figure)
                    figures[f"{number} {kind}: requests"][candidate]["max"] = rounded(most)
    return figures


def gap(turns: Turns) -> Figures:
    """How long an event loop stands still while the endpoint is slow."""
    with turns.service.taking(0.5):
        found = turns.take(7, "gap")
    return {**summarised(found), **less(found, ": waiting, ms", ": idle, ms", ": above idle, ms")}


def churn(turns: Turns) -> Figures:
    """Logins per second through a pool."""
    return summarised(turns.take(3, "churn"))


def outage(turns: Turns) -> Figures:
    """Renewal of short tokens, and an outage of the identity service: both candidates at the same time."""
    service = turns.service
    lifetime = service.get("lifetime")
    service.set("lifetime", LIFETIME)
    try:
        both = turns.among("ours", "peer")
        identities = {who.name: service.call("add_identity", f"outage-{who.name}") for who in both}
        probes = {who.name: turns.start(who, "outage", identities[who.name].client_id, str(LOGGING_IN)) for who in both}
        for process in probes.values():
            assert process.stdout is not None  # noqa: S101 - for the type checker
            process.stdout.readline()
        service.counted()
        for process in probes.values():
            assert process.stdin is not None  # noqa: S101 - for the type checker
            process.stdin.write("go\n")
            process.stdin.flush()
        begin, end = OUTAGE
        time.sleep(begin)
        service.call("fail", 503)
        time.sleep(end - begin)
        service.call("heal")
        figures: Figures = {}
        for name, process in probes.items():
            for measure, value in turns.finish(process).items():
                figures.setdefault(measure, {})[name] = summary([value])
        asked = [request.client_id for request in service.get("token_requests")]
        figures["requests"] = {name: summary([asked.count(who.client_id)]) for name, who in identities.items()}
        return figures
    finally:
        service.set("lifetime", lifetime)


def tokens(turns: Turns) -> Figures:
    """What is read from tokens of 1, 2 and 7 KB."""
    sizes = json.dumps({size: _token(turns, size * 1024) for size in (1, 2, 7)})
    variables = {**turns.variables, "BENCH_TOKENS": sizes}
    return summarised(turns.take(LONG, "tokens", candidates=turns.among("ours", "peer"), variables=variables))


def _token(turns: Turns, size: int) -> str:
    """A person's token of at least this size: what tokens grow by are the groups that somebody is in."""
    tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47"
    claims: dict[str, Any] = {
        "aud": "https://ossrdbms-aad.database.windows.net",
        "iss": f"https://sts.windows.net/{tenant}/",
        "iat": 1_760_000_000,
        "nbf": 1_760_000_000,
        "exp": 1_760_003_600,
        "oid": "7d7a2b6c-3c1f-4bb0-9d55-0d5c9a2f8a11",
        "tid": tenant,
        "groups": [],
        "upn": "bench@example.org",
        "ver": "1.0",
    }
    while True:
        token: str = turns.service.call("sign", claims)
        if len(token) >= size:
            return token
        number = len(claims["groups"])
        claims["groups"].append(f"{number:08x}-5d1c-4a0e-8f3e-{number:012x}")


def scale(turns: Turns) -> Figures:
    """Cost as work grows."""
    return summarised(turns.take(3, "scale", candidates=turns.among("ours", "peer")))


SUBJECTS: dict[str, Callable[[Turns], Figures]] = {
    "startup": startup,
    "imports": imports,
    "installed": installed,
    "cached": cached,
    "connection": connection,
    "concurrency": concurrency,
    "gap": gap,
    "churn": churn,
    "outage": outage,
    "tokens": tokens,
    "scale": scale,
}
