"""Compare the proxy with a direct TLS connection and PgBouncer, all with TLS to the server, and check its goals.

    make bench-proxy

It needs PostgreSQL and PgBouncer as Debian installs them, and takes about four minutes. On a busy machine only CPU and
memory can be compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trustme
from azure_postgresql_auth.emulator import Emulator
from azure_postgresql_auth.emulator.server.account import Account
from goals import Goal
from machine import Noise, description

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
PORT = 6599
ROUNDS = 3
SECONDS = "4"
IDLE = 300
MEGABYTES = 500
HERE = Path(__file__).parent
Figures = dict[str, float]
Summary = dict[str, dict[str, float]]
"""Median, minimum and maximum of each figure."""
Results = dict[str, dict[str, Summary]]
"""By subject and candidate."""


class Candidate(NamedTuple):
    """A way to the server."""

    name: str
    conninfo: str
    socket: str
    pid: int
    """The process whose CPU and memory are measured; 0 for none."""

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        if not self.pid:
            return 0.0
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def memory(self) -> int:
        """Return the kilobytes of its private memory."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))


@contextlib.contextmanager
def server(home: Path, account: Account) -> Iterator[None]:
    """Run a PostgreSQL that requires TLS and no password, so that the candidates differ only in the way to it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    (home / "cert.pem").write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    (home / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    (home / "key.pem").chmod(0o600)
    for path in (home, *home.iterdir()):
        account.give(path)
    run = [str(PROGRAMS[-1] / "initdb"), "-D", str(home / "data"), "-A", "trust", "-U", "bench", "--no-sync"]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL, cwd=home, **account.options())
    (home / "data" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\nlocal all all trust\n")
    settings = {
        "port": PORT,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": home,
        "ssl": "on",
        "ssl_cert_file": home / "cert.pem",
        "ssl_key_file": home / "key.pem",
        "max_connections": IDLE * 2,
        "fsync": "off",
    }
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    process = subprocess.Popen(
        [str(PROGRAMS[-1] / "postgres"), "-D", str(home / "data"), *words],
        stderr=subprocess.DEVNULL,
        cwd=home,
        **account.options(),
    )
    try:
        ready = [str(PROGRAMS[-1] / "pg_isready"), "-q", "-h", str(home), "-p", str(PORT)]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL")
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def pgbouncer(home: Path, account: Account) -> Iterator[int]:
    """Run PgBouncer in session mode, and yield its process id."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        message = "PgBouncer is not installed"
        raise SystemExit(message)
    (home / "users").write_text('"bench" ""\n')
    (home / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host=localhost port={PORT}\n[pgbouncer]\nunix_socket_dir={home}\nlisten_addr=\n"
        f"listen_port=6432\nauth_type=trust\nauth_file={home}/users\npool_mode=session\ndefault_pool_size={IDLE * 2}\n"
        f"max_client_conn={IDLE * 2}\nserver_tls_sslmode=verify-full\nserver_tls_ca_file={home}/ca.pem\n"
        "server_lifetime=0\n"
    )
    ini = str(home / "pgbouncer.ini")
    process = subprocess.Popen([program, ini], stderr=subprocess.DEVNULL, cwd=home, **account.options())
    try:
        wait_until((home / ".s.PGSQL.6432").exists, "PgBouncer")
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def proxy(home: Path, emulator: Emulator) -> Iterator[int]:
    """Run the proxy, and yield its process id."""
    command = [sys.executable, "-m", "azure_postgresql_auth", "proxy", f"localhost:{PORT}"]
    command += ["--sslrootcert", str(home / "ca.pem"), "--socket", str(home / "proxy"), "--stop-timeout", "0"]
    process = subprocess.Popen(command, env={**os.environ, **emulator.env}, stderr=subprocess.DEVNULL)
    try:
        wait_until((home / "proxy" / ".s.PGSQL.5432").exists, "the proxy")
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def wait_until(ready: Callable[[], bool], what: str) -> None:
    """Wait until a program is ready."""
    deadline = time.monotonic() + 30
    while not ready():
        if time.monotonic() > deadline:
            message = f"{what} did not start in time"
            raise SystemExit(message)
        time.sleep(0.05)


def pgbench(candidate: Candidate, *arguments: str) -> Figures:
    """Return the rate, and the CPU of a transaction."""
    before = candidate.cpu()
    command = ["pgbench", "-n", "-T", SECONDS, *arguments, candidate.conninfo]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = candidate.cpu() - before
    count = re.search(r"transactions actually processed: (\d+)", told)
    rate = re.search(r"tps = ([\d.]+)", told)
    if count is None or rate is None:
        raise SystemExit(told)
    return {"a second": float(rate[1]), "CPU, us": spent / int(count[1]) * 1e6}


def copied(candidate: Candidate, *sql: str, file: Path | None = None) -> Figures:
    """Return the rate and the CPU of a COPY."""
    before, begun = candidate.cpu(), time.monotonic()
    words = [word for statement in sql for word in ("-c", statement)]
    command = ["psql", "-q", candidate.conninfo, *words]
    with (file or Path(os.devnull)).open("rb") as source:
        subprocess.run(command, stdin=source, stdout=subprocess.DEVNULL, check=True)
    return {"MB a second": MEGABYTES / (time.monotonic() - begun), "CPU, s": candidate.cpu() - before}


def connect(candidate: Candidate) -> socket.socket:
    """Open a connection that needs hardly any memory here."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(candidate.socket)
    parameters = b"user\0bench\0database\0postgres\0\0"
    ask(client, struct.pack("!II", len(parameters) + 8, 3 << 16) + parameters)
    return client


def ask(client: socket.socket, request: bytes) -> None:
    """Send something, and read until the server is ready again."""
    client.sendall(request)
    answer = b""
    while not answer.endswith(b"Z\0\0\0\5I"):
        answer = answer[-10:] + client.recv(1 << 16)


def idle(candidate: Candidate) -> Figures:
    """Return the memory of an idle connection, new and after it has passed on 300 kB."""
    if not candidate.pid:
        return {}
    query = b"SELECT repeat('x', 300000)\0"
    query = b"Q" + struct.pack("!I", len(query) + 4) + query
    with contextlib.ExitStack() as stack:
        ask(stack.enter_context(connect(candidate)), query)
        before = candidate.memory()
        clients = [stack.enter_context(connect(candidate)) for _ in range(IDLE)]
        time.sleep(1)
        fresh = candidate.memory()
        for client in clients:
            ask(client, query)
        time.sleep(1)
        return {"kB": (fresh - before) / IDLE, "kB after bulk": (candidate.memory() - before) / IDLE}


def measured(candidates: list[Candidate], lines: Path) -> Results:
    """Measure every subject in rounds in which the candidates take turns."""
    out = f"COPY (SELECT repeat('x', 1000) FROM generate_series(1, {MEGABYTES * 1000})) TO STDOUT"  # noqa: S608
    subjects: dict[str, Callable[[Candidate], Figures]] = {
        # First, because memory that was used before is not returned.
        "idle connection": idle,
        "1 client": lambda candidate: pgbench(candidate, "-S", "-M", "prepared"),
        "32 clients": lambda candidate: pgbench(candidate, "-S", "-M", "prepared", "-c", "32"),
        "set-up": lambda candidate: pgbench(candidate, "-C", "-S"),
        "COPY out": lambda candidate: copied(candidate, out),
        "COPY in": lambda candidate: copied(candidate, "TRUNCATE sink", "COPY sink FROM STDIN", file=lines),
    }
    found: Results = {}
    for name, subject in subjects.items():
        rounds: dict[str, list[Figures]] = {candidate.name: [] for candidate in candidates}
        for _ in range(1 if name == "idle connection" else ROUNDS):
            for candidate in candidates:
                rounds[candidate.name].append(subject(candidate))
        found[name] = {
            who: {key: summary([figures[key] for figures in all_]) for key in all_[0]} for who, all_ in rounds.items()
        }
        for who, summaries in found[name].items():
            texts = (f"{key}: {told(key, values)}" for key, values in summaries.items())
            print(f"{name:16} {who:10} {', '.join(texts)}", flush=True)
    return found


def summary(values: list[float]) -> dict[str, float]:
    """Summarize a figure's rounds."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def told(key: str, values: dict[str, float]) -> str:
    """Return the median and the best value: the greatest rate, the least of everything else."""
    best = values["max" if key.endswith("a second") else "min"]
    return f"{values['median']:,.2f} ({best:,.2f})"


def goals(found: Results) -> list[Goal]:
    """Compare medians with the proxy's goals."""

    def median(subject: str, figure: str, who: str = "proxy") -> float:
        return found[subject][who][figure]["median"]

    def ratio(subject: str, figure: str, other: str) -> float:
        return median(subject, figure) / median(subject, figure, other)

    one, many, rate, flow = "1 client", "32 clients", "a second", "MB a second"
    added = 1e6 / median(one, rate) - 1e6 / median(one, rate, "direct")
    return [
        Goal("1 client, rate of direct TLS", "ratio of medians", ratio(one, rate, "direct"), 0.80, at_least=True),
        Goal("1 client, added us", "difference of medians", added, 25),
        Goal("1 client, rate of PgBouncer", "ratio of medians", ratio(one, rate, "PgBouncer"), 1.05, at_least=True),
        Goal("1 client, CPU of PgBouncer", "ratio of medians", ratio(one, "CPU, us", "PgBouncer"), 0.75),
        Goal("32 clients, rate of direct TLS", "ratio of medians", ratio(many, rate, "direct"), 1.0, at_least=True),
        Goal("32 clients, CPU of PgBouncer", "ratio of medians", ratio(many, "CPU, us", "PgBouncer"), 0.8),
        Goal(
            "COPY out, rate of direct",
            "ratio of medians",
            ratio("COPY out", flow, "direct"),
            0.95,
            at_least=True,
        ),
        Goal("COPY out, CPU of PgBouncer", "ratio of medians", ratio("COPY out", "CPU, s", "PgBouncer"), 0.6),
        Goal(
            "COPY in, rate of direct",
            "ratio of medians",
            ratio("COPY in", flow, "direct"),
            0.95,
            at_least=True,
        ),
        Goal("COPY in, CPU of PgBouncer", "ratio of medians", ratio("COPY in", "CPU, s", "PgBouncer"), 0.45),
        Goal("set-up, rate of direct TLS", "ratio of medians", ratio("set-up", rate, "direct"), 1.2, at_least=True),
        Goal("set-up, CPU, ms", "median", median("set-up", "CPU, us") / 1000, 1.0),
        Goal("idle connection, kB", "measured", median("idle connection", "kB"), 16),
        Goal("idle connection after bulk, kB", "measured", median("idle connection", "kB after bulk"), 16),
    ]


def main() -> int:
    """Measure, print, write `proxy.json`, and check the goals."""
    account, noise = Account.choose(), Noise()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        home = Path(name)
        home.chmod(0o755)
        stack.enter_context(server(home, account))
        direct = f"host=localhost port={PORT} user=bench dbname=postgres sslmode=verify-full sslrootcert={home}/ca.pem"
        for command in (
            ["pgbench", "-i", "-s", "10", "-q", direct],
            ["psql", "-qc", "CREATE UNLOGGED TABLE sink (line text)", direct],
        ):
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        bouncer = stack.enter_context(pgbouncer(home, account))
        ours = stack.enter_context(proxy(home, stack.enter_context(Emulator())))
        lines = home / "lines"
        with lines.open("wb") as file:
            for _ in range(MEGABYTES):
                file.write((b"y" * 999 + b"\n") * 1000)
        through = "user=bench dbname=postgres"
        candidates = [
            Candidate("direct", direct, "", 0),
            Candidate("PgBouncer", f"host={home} port=6432 {through}", f"{home}/.s.PGSQL.6432", bouncer),
            Candidate("proxy", f"host={home}/proxy {through}", f"{home}/proxy/.s.PGSQL.5432", ours),
        ]
        found = measured(candidates, lines)
    verdict = goals(found)
    print(
        "median (best)", *(f"{key}: {value}" for key, value in {**description(), **noise.figures()}.items()), sep=", "
    )
    print(*verdict, sep="\n")
    results = {
        "machine": description(),
        "noise": noise.figures(),
        "results": found,
        "verdict": [goal.recorded() for goal in verdict],
    }
    (HERE / "proxy.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(goal.met for goal in verdict) else 1


if __name__ == "__main__":
    sys.exit(main())
