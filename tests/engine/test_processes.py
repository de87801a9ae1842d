"""Forks and exits: what a server does to a library that has threads."""

from __future__ import annotations

import importlib.util
import multiprocessing
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.stress.process_load import ENDINGS, EXIT_CODE, KINDS
from tests.support.platforms import FORKS, needs_fork, needs_signals
from tests.support.polling import eventually
from tests.support.processes import LOAD, execute, run
from tests.support.servers import Server
from tests.support.tools import HANGING, install

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator


@pytest.fixture
def with_secret(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables of a service principal with a client secret."""
    for name, value in emulator.client_secret_env(emulator.add_identity("app", "service-principal")).items():
        monkeypatch.setenv(name, value)


@needs_fork
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
                # A certificate store and TLS are set up again as well.
                reap([fork(lambda: ask(identity.ManagedIdentityCredential()))])
            reap([fork(child) for _ in range(10)])
            assert ask(credential)
            """,
        )
        assert len(emulator.token_requests) == 31

    @pytest.mark.usefixtures("with_secret")
    @pytest.mark.parametrize("kind", KINDS)
    def test_forked_in_the_middle_of_fetches(self, emulator: Emulator, kind: str) -> None:
        emulator.latency = 0.01
        execute(emulator, str(LOAD), "fork", kind, "40")

    @pytest.mark.usefixtures("with_secret")
    @pytest.mark.parametrize("kind", KINDS)
    def test_forked_during_the_very_first_use(self, emulator: Emulator, kind: str) -> None:
        for _ in range(5):
            execute(emulator, str(LOAD), "first", kind, "4")

    def test_forked_with_an_event_loop_that_waits(self, emulator: Emulator) -> None:
        emulator.latency = 1.5  # on a busy machine the fork comes late
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


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(emulator: Emulator, method: str, tmp_path_factory: pytest.TempPathFactory) -> None:
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
    """However a process ends, its exit code is kept, stderr is empty, and it does not wait for background work."""

    @pytest.mark.usefixtures("with_secret")
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_with_work_in_flight(self, emulator: Emulator, ending: str) -> None:
        emulator.latency, emulator.lifetime = 0.1, 2.0
        if FORKS:
            execute(emulator, str(LOAD), "exits", ending, "4")
        execute(emulator, str(LOAD), "end", ending)
        execute(emulator, str(LOAD), "end", ending, str(EXIT_CODE), exit_code=EXIT_CODE)

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

    @pytest.mark.parametrize("kind", ["native", "python"])
    def test_a_login_in_a_finalizer(self, emulator: Emulator, kind: str) -> None:
        """Objects that live to the very end are finalized when other threads cannot run Python any more."""
        script = """
        import builtins, sys, time
        from azure_postgresql_auth import core, identity
        class Token:
            token, expires_on = "a.e30.c", time.time() + 60
        class Credential:
            def get_token(self, *scopes, **_):
                return Token
        class Lasting:
            credential = identity.ManagedIdentityCredential() if sys.argv[1] == "native" else Credential()
            def __del__(self, print=print, ask=core.get_entra_token):
                print(len(ask(self.credential)) > 0)
        builtins.lasting = Lasting()
        """
        assert execute(emulator, "-c", textwrap.dedent(script), kind) == "True\n"

    @needs_signals
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


@pytest.mark.parametrize("patched", ["before the import", "after the import"])
@pytest.mark.parametrize("kind", ["native", "python"])
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_greenlets(emulator: Emulator, library: str, kind: str, patched: str) -> None:
    """Greenlets that wait let others run, whatever the credential."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    emulator.latency = 1.0
    script = """
    import sys
    library, kind, patched = sys.argv[1:]
    if patched == "after the import":
        from azure_postgresql_auth import core, identity
    if library == "gevent":
        import gevent
        from gevent import monkey
        monkey.patch_all()
        spawn, sleep = gevent.spawn, gevent.sleep
        wait = lambda greenlet: greenlet.get(timeout=20)
    else:
        import eventlet
        eventlet.monkey_patch()
        spawn, sleep = eventlet.spawn, eventlet.sleep
        wait = lambda greenlet: greenlet.wait()
    import time
    from azure_postgresql_auth import core, identity

    class Credential:
        calls = 0
        def get_token(self, *scopes, **_):
            Credential.calls += 1
            time.sleep(1)
            class Token: token = "a.e30.c"; expires_on = time.time() + 60
            return Token

    ticks = []
    def tick():
        while True:
            ticks.append(1)
            sleep(0.01)

    spawn(tick)
    credential = Credential() if kind == "python" else identity.ManagedIdentityCredential()
    asked = [spawn(core.get_entra_token, credential) for _ in range(20)]
    assert len({wait(greenlet) for greenlet in asked}) == 1
    assert Credential.calls <= 1
    assert len(ticks) > 10, ticks
    """
    execute(emulator, "-W", "ignore", "-c", textwrap.dedent(script), library, kind, patched)


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
        other = interpreters.create()
        interpreters.run_string(other, inner)
        # Python 3.15 warns of one that is left at the end.
        interpreters.destroy(other)
        ask(identity.ManagedIdentityCredential())
    """
    assert "subinterpreters" in run(emulator, script)


def test_a_command_line_ends_with_the_process(emulator: Emulator, tmp_path: Path) -> None:
    with Server(lambda process: process.recv(1)) as server, ThreadPoolExecutor() as pool:
        install(tmp_path, "az", HANGING.format(port=server.port))
        script = f"""
            os.environ["PATH"] = {str(tmp_path)!r}
            threading.Thread(target=ask, args=(identity.AzureCliCredential(),), daemon=True).start()
            while not os.path.exists({str(tmp_path / "end")!r}): time.sleep(0.01)
        """
        running = pool.submit(run, emulator, script)
        eventually(lambda: len(server.clients) == 2 or running.done())
        (tmp_path / "end").touch()
        running.result()
        assert server.finish(), "it goes on"
