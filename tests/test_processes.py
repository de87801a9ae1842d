"""Forks and exits: what a server does to a library that has threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PRELUDE = """
import asyncio, os, sys, threading, time, warnings
from azure_postgresql_auth import core, identity
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later on forks of threaded processes

def ask(credential): return core.get_entra_conninfo(credential)["password"]
def ask_async(credential): return asyncio.run(core.get_entra_conninfo_async(credential))["password"]

def fork(child):
    pid = os.fork()
    if pid == 0:
        try:
            child()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return pid

def reap(pids, seconds=30):
    end = time.monotonic() + seconds
    for pid in pids:
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert status == 0, f"child ended with {status}"
                break
            if time.monotonic() > end:
                os.kill(pid, 9); os.waitpid(pid, 0)
                raise SystemExit("a child hangs")
            time.sleep(0.001)
"""


def execute(emulator: Emulator, *arguments: str, exit_code: int = 0) -> str:
    """Runs Python among the emulator's variables; gives what it printed, once it ended as it should, in silence."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **emulator.env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (exit_code, ""), done.stdout
    return done.stdout


def run(emulator: Emulator, script: str) -> str:
    return execute(emulator, "-c", PRELUDE + textwrap.dedent(script))


class TestFork:
    def test_a_child_keeps_its_parents_token(self, emulator: Emulator) -> None:
        run(
            emulator,
            """
            credential = identity.ManagedIdentityCredential()
            token = ask(credential)
            def child():
                assert ask(credential) == ask_async(credential) == token
                pids = [fork(grandchild)]
                reap(pids)
            def grandchild():
                assert ask(credential) == ask_async(credential) == token
            reap([fork(child) for _ in range(10)])
            """,
        )
        assert len(emulator.token_requests) == 1

    def test_a_child_fetches_its_own(self, emulator: Emulator) -> None:
        run(
            emulator,
            """
            credential = identity.ManagedIdentityCredential()
            def child():
                assert ask(credential)
                assert ask_async(identity.ManagedIdentityCredential())
                # A certificate store and TLS are set up anew as well.
                reap([fork(lambda: ask(identity.ManagedIdentityCredential()))])
            reap([fork(child) for _ in range(10)])
            assert ask(credential)
            """,
        )
        assert len(emulator.token_requests) == 31

    @pytest.mark.parametrize("kind", ["native", "secret", "python"])
    def test_forked_in_the_middle_of_fetches(self, emulator: Emulator, kind: str) -> None:
        emulator.latency = 0.01
        principal = emulator.add_identity("app", "service-principal")
        make = {
            "native": "identity.ManagedIdentityCredential()",
            "secret": f"identity.ClientSecretCredential({emulator.tenant_id!r}, {principal.client_id!r}, "
            f"{principal.client_secret!r})",
            "python": "Slow()",
        }[kind]
        run(
            emulator,
            f"""
            class Slow:
                def get_token(self, *scopes, **_):
                    time.sleep(0.01)
                    class Token: token = {emulator.token(emulator.identity)!r}; expires_on = time.time() + 60
                    return Token

            def ask(credential): return core.get_entra_token(credential)
            def ask_async(credential): return asyncio.run(core.get_entra_token_async(credential))

            stop = threading.Event()
            shared = [{make}]
            def fetch():
                while not stop.is_set():
                    shared[0] = {make}
                    ask(shared[0])
            def child():
                # What the parent was fetching never arrives here; what it had is there.
                assert ask(shared[0])
                assert ask_async({make})
            threads = [threading.Thread(target=fetch, daemon=True) for _ in range(3)]
            for thread in threads: thread.start()
            pids = []
            for _ in range(60):
                pids.append(fork(child))
                if len(pids) >= 4: reap([pids.pop(0)])
            reap(pids)
            stop.set()
            for thread in threads: thread.join()
            """,
        )

    def test_forked_during_the_very_first_use(self, emulator: Emulator) -> None:
        for _ in range(10):
            run(
                emulator,
                """
                credential = identity.ManagedIdentityCredential()
                thread = threading.Thread(target=ask, args=(credential,))
                thread.start()
                reap([fork(lambda: ask(credential)) for _ in range(4)])
                thread.join()
                """,
            )

    def test_forked_during_the_very_first_use_of_a_python_credential(self, emulator: Emulator) -> None:
        script = """
        import os, sys, threading, time
        from azure_postgresql_auth import core
        class Credential:
            def get_token(self, *scopes, **_):
                class Token: token = "a.e30.c"; expires_on = time.time() + 60
                return Token
        thread = threading.Thread(target=core.get_entra_token, args=(Credential(),))
        thread.start()
        pids = []
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                core.get_entra_token(Credential())
                os._exit(0)
            pids.append(pid)
        thread.join()
        end = time.monotonic() + 20
        while pids and time.monotonic() < end:
            done, status = os.waitpid(-1, os.WNOHANG)
            assert status == 0, status
            if done: pids.remove(done)
        for pid in pids: os.kill(pid, 9)
        sys.exit(len(pids))
        """
        for _ in range(10):
            execute(emulator, "-W", "ignore", "-c", textwrap.dedent(script))

    def test_forked_with_an_event_loop_that_waits(self, emulator: Emulator) -> None:
        emulator.latency = 0.2
        run(
            emulator,
            """
            credential = identity.ManagedIdentityCredential()
            async def main():
                waiting = asyncio.ensure_future(core.get_entra_token_async(credential))
                await asyncio.sleep(0.05)
                pid = fork(lambda: ask(credential))
                token = await waiting
                await asyncio.to_thread(reap, [pid]) if hasattr(asyncio, "to_thread") else reap([pid])
                assert token == await core.get_entra_token_async(credential)
            asyncio.run(main())
            """,
        )
        assert len(emulator.token_requests) == 2

    @pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
    def test_multiprocessing(self, emulator: Emulator, method: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        script = tmp_path_factory.mktemp("multiprocessing") / "main.py"
        script.write_text(
            textwrap.dedent(
                """
                import multiprocessing, sys, warnings
                from azure_postgresql_auth import identity
                from azure_postgresql_auth.psycopg3 import EntraConnection

                credential = identity.ManagedIdentityCredential()

                def work(_):
                    with EntraConnection.connect(credential=credential) as connection:
                        return connection.execute("SELECT session_user").fetchone()[0]

                if __name__ == "__main__":
                    warnings.simplefilter("ignore", DeprecationWarning)
                    print(work(0))
                    with multiprocessing.get_context(sys.argv[1]).Pool(4) as pool:
                        print(*set(pool.map(work, range(20))))
                """
            )
        )
        printed = execute(emulator, str(script), method)
        assert printed.split() == [emulator.identity.role, emulator.identity.role]


class TestExit:
    """However a process ends: its own exit code, nothing on stderr, no waiting for what nobody waits for."""

    @pytest.mark.parametrize(
        "ending",
        [
            # A native fetch in flight that a daemon thread waits for.
            "threading.Thread(target=ask, args=(credential,), daemon=True).start(); time.sleep(0.02)",
            # Many of them, so that some come back just then.
            (
                "[threading.Thread(target=ask, args=(identity.ManagedIdentityCredential(),), daemon=True).start() "
                "for _ in range(20)]; time.sleep(0.1)"
            ),
            # An await in flight.
            "asyncio.run(asyncio.wait_for(core.get_entra_token_async(credential), 0.02))",
            # Tasks that nobody awaits.
            "asyncio.run(leave_tasks())",
            # Given up, with the fetch still under way.
            "core.login(credential, timeout=0.02)",
            # A login from an atexit hook.
            "import atexit; atexit.register(ask, credential)",
            # Python credentials in flight, on threads and on event loops of threads.
            "[threading.Thread(target=ask, args=(Slow(),), daemon=True).start() for _ in range(5)]; time.sleep(0.02)",
            "[threading.Thread(target=ask_async, args=(Slow(),), daemon=True).start() for _ in range(5)]",
            # The same while logins begin and end all the time.
            "[threading.Thread(target=ask_on, daemon=True).start() for _ in range(5)]; time.sleep(0.1)",
        ],
    )
    def test_with_work_in_flight(self, emulator: Emulator, ending: str) -> None:
        emulator.latency = 0.1
        run(
            emulator,
            f"""
            class Slow:
                def get_token(self, *scopes, **_):
                    time.sleep(30)

            class Quick:
                def get_token(self, *scopes, **_):
                    class Token: token = "a.e30.c"; expires_on = time.time() + 60
                    return Token

            def ask_on():
                while True: core.get_entra_token(Quick())

            async def leave_tasks():
                leave_tasks.kept = [asyncio.ensure_future(core.get_entra_token_async(credential)) for _ in range(5)]
                await asyncio.sleep(0.02)

            credential = identity.ManagedIdentityCredential()
            for _ in range(8):
                pid = os.fork()
                if pid == 0:
                    try:
                        {ending}
                    except Exception:
                        pass
                    sys.exit(7)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            """,
        )

    def test_hooks_that_were_there_before_us_wait_for_threads_that_log_in(self, emulator: Emulator) -> None:
        """Their turn at exit comes after that of hooks that were registered later."""
        emulator.latency = 0.2
        script = """
        import atexit, sys, threading
        started = []
        atexit.register(lambda: [thread.join() for thread in started])
        from azure_postgresql_auth import core, identity
        class Credential:
            def get_token(self, *scopes, **_):
                import time
                time.sleep(0.2)
                class Token: token = "a.e30.c"; expires_on = time.time() + 60
                return Token
        for credential in (identity.ManagedIdentityCredential(), Credential()):
            started.append(threading.Thread(target=core.get_entra_token, args=(credential,), daemon=True))
            started[-1].start()
        sys.exit(7)
        """
        execute(emulator, "-c", textwrap.dedent(script), exit_code=7)

    def test_a_wait_that_was_given_up_breaks_no_pipe(self, emulator: Emulator) -> None:
        """Programs that write to pipes often let SIGPIPE end them."""
        emulator.latency = 0.3
        run(
            emulator,
            """
            import signal
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            credential = identity.ManagedIdentityCredential()
            for give_up in (
                lambda: core.login(credential, timeout=0.05),
                lambda: asyncio.run(core.login_async(credential, timeout=0.05)),
            ):
                try: give_up()
                except Exception: pass
            assert ask(credential)
            """,
        )

    def test_a_fresh_process(self, emulator: Emulator) -> None:
        emulator.latency = 0.05
        for _ in range(20):
            run(
                emulator,
                """
                for _ in range(5):
                    threading.Thread(target=ask, args=(identity.ManagedIdentityCredential(),), daemon=True).start()
                time.sleep(0.05)
                """,
            )


@pytest.mark.parametrize("kind", ["native", "python"])
def test_gevent(emulator: Emulator, kind: str) -> None:
    """Greenlets that wait let others run, whatever the credential."""
    pytest.importorskip("gevent")
    emulator.latency = 0.3
    script = """
    from gevent import monkey
    monkey.patch_all()
    import sys, time, gevent
    from azure_postgresql_auth import core, identity

    class Credential:
        calls = 0
        def get_token(self, *scopes, **_):
            Credential.calls += 1
            time.sleep(0.3)
            class Token: token = "a.e30.c"; expires_on = time.time() + 60
            return Token

    ticks = []
    def tick():
        while True:
            ticks.append(1)
            gevent.sleep(0.01)

    gevent.spawn(tick)
    credential = Credential() if sys.argv[1] == "python" else identity.ManagedIdentityCredential()
    asked = [gevent.spawn(core.get_entra_token, credential) for _ in range(20)]
    gevent.joinall(asked, raise_error=True, timeout=20)
    assert len({greenlet.value for greenlet in asked}) == 1
    assert Credential.calls <= 1
    assert len(ticks) > 10, ticks
    """
    execute(emulator, "-W", "ignore", "-c", textwrap.dedent(script), kind)


def test_a_second_interpreter_is_refused_in_words(emulator: Emulator) -> None:
    script = """
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        inner = (
            "import sys; sys.path[:] = " + repr(sys.path) + "\\n"
            "try: import azure_postgresql_auth.core\\n"
            "except ImportError as error: print(error, flush=True)"
        )
        interpreters.run_string(interpreters.create(), inner)
        ask(identity.ManagedIdentityCredential())
    """
    assert "subinterpreters" in run(emulator, script)


def test_a_command_line_ends_with_the_process(emulator: Emulator, tmp_path: Path) -> None:
    tool = tmp_path / "az"
    tool.write_text(f"#!/bin/sh\nsleep 600 &\necho $! $$ > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/pids\nwait\n")
    tool.chmod(0o755)
    script = f"""
        os.environ["PATH"] = {str(tmp_path)!r} + ":" + os.environ["PATH"]
        threading.Thread(target=ask, args=(identity.AzureCliCredential(),), daemon=True).start()
        while not os.path.exists("{tmp_path}/pids"): time.sleep(0.01)
    """
    run(emulator, script)
    deadline = time.monotonic() + 10
    for pid in (tmp_path / "pids").read_text().split():
        while is_running(int(pid)):
            assert time.monotonic() < deadline, "it goes on"
            time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
