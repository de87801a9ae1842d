"""The subjects of the benchmark: one function each, which runs the probes and returns figures."""

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
"""Numbers of rounds: of cold starts, whose time is mostly the driver's own, of probes that take less than a second, and
of those that take several seconds."""

ANSWERING = 0.1
"""Seconds that the endpoint takes in the concurrent subject, so that all connections wait before it answers."""

AT_ONCE = {1: 3, 20: 3, 100: 3, 1000: 1}
"""Numbers of concurrent connections, each with its number of rounds."""

LIFETIME, OUTAGE, LOGGING_IN = 10.0, (13.0, 17.0), 32.0
"""Seconds: the lifetime of a token, the begin and the end of the outage, and the total."""


def startup(turns: Turns) -> Figures:
    """Measure the cold start to the first row, by credential."""
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
            turns.take(1, "startup", credential, variables=variables)  # to have the files in the disk cache
            found = turns.take(STARTS, "startup", credential, variables=variables)
            figures.update(summarised(found, f"{kind}: "))
            figures[f"{kind}: above static and endpoint, ms"] = above(found, "wall, ms", less=delays[endpoint])
            figures[f"{kind}: CPU above static, ms"] = above(found, "CPU, ms")
            figures[f"{kind}: memory above static, MB"] = above(found, "memory, MB")
    return figures


def _make_az(folder: Path, token: str) -> Path:
    """Install a command line tool that answers at once; its own time is measured like that of the endpoints."""
    answer = {"accessToken": token, "expires_on": int(time.time()) + 3600}
    (folder / "token.json").write_text(json.dumps(answer), "utf-8")
    tool = folder / "az"
    tool.write_text(f"#!/bin/sh\nexec /bin/cat '{folder}/token.json'\n", "utf-8")
    tool.chmod(0o755)
    return tool


def _milliseconds(tool: Path, times: int = 25) -> float:
    """Return the tool's own time, started as cheaply as possible, because starting it is the candidate's part."""
    took = []
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    for _ in range(times):
        begun = time.perf_counter()
        os.waitpid(os.posix_spawn(tool, [str(tool)], {}, file_actions=silent), 0)
        took.append(time.perf_counter() - begun)
    return rounded(statistics.median(took) * 1e3)


def imports(turns: Turns) -> Figures:
    """Measure import time, modules and memory, in excess of psycopg's own."""
    found = turns.take(SHORT, "imports")
    return {**summarised(found), "memory above static, MB": above(found, "memory, MB")}


def installed(turns: Turns) -> Figures:
    """Return the distributions that pip adds to a driver's environment."""
    return {
        measure: {candidate: summary([value]) for candidate, value in by_candidate.items()}
        for measure, by_candidate in weight(turns.candidates).items()
    }


def cached(turns: Turns) -> Figures:
    """Measure a login whose token is cached."""
    return summarised(turns.take(LONG, "cached", candidates=turns.among("ours", "peer")))


def connection(turns: Turns) -> Figures:
    """Measure the CPU that a cached login adds to a connection over TLS."""
    return summarised(turns.take(5, "connection", candidates=turns.among("ours", "peer")))


def concurrency(turns: Turns) -> Figures:
    """Measure concurrent first connections: token requests and time."""
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
    """Measure how long an event loop is blocked while the endpoint is slow."""
    with turns.service.taking(0.5):
        found = turns.take(7, "gap")
    return {**summarised(found), **less(found, ": waiting, ms", ": idle, ms", ": above idle, ms")}


def churn(turns: Turns) -> Figures:
    """Measure logins per second through a pool."""
    return summarised(turns.take(3, "churn"))


def outage(turns: Turns) -> Figures:
    """Measure renewal of short tokens and an outage of the identity service, with both candidates at the same time."""
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
    """Measure decoding of tokens of 1, 2 and 7 KB."""
    sizes = json.dumps({size: _token(turns, size * 1024) for size in (1, 2, 7)})
    variables = {**turns.variables, "BENCH_TOKENS": sizes}
    return summarised(turns.take(LONG, "tokens", candidates=turns.among("ours", "peer"), variables=variables))


def _token(turns: Turns, size: int) -> str:
    """Return a user's token of at least this size; the user's groups make it larger."""
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
    """Measure how cost grows."""
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
