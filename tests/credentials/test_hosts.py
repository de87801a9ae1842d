"""Managed identity on every kind of host."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Callable

import pytest
from azure_postgresql_auth import core, errors, identity, service_connector
from azure_postgresql_auth.psycopg3 import EntraConnection

from tests.support.credentials import failure, make_token, object_id
from tests.support.platforms import LIMIT, WINDOWS
from tests.support.polling import quickest
from tests.support.servers import DroppingServer, Server
from tests.support.tools import saying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.machine import Relay

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
RESOURCE = SCOPE[: -len("/.default")]
GUID = "11111111-2222-3333-4444-555555555555"


NO_FALLBACK: Any = {
    "exclude_visual_studio_code_credential": True,
    "exclude_broker_credential": True,
    "exclude_shared_token_cache_credential": True,
}


def own_chain() -> identity.ChainedTokenCredential:
    return identity.ChainedTokenCredential(identity.ManagedIdentityCredential(), identity.AzureCliCredential())


def connected_service() -> Any:
    """Make what Service Connector's variables lead to on a developer's machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_POSTGRESQL_CONNECTIONSTRING", "host=localhost dbname=db")
        # A process keeps the credential that it makes here.
        return importlib.reload(service_connector).psycopg()["credential"]


@pytest.fixture
def on(nowhere: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the environment of a host."""

    def move(host: str) -> Emulator:
        for name, value in nowhere.host_env(host).items():
            if name != "AZURE_POD_IDENTITY_AUTHORITY_HOST":
                monkeypatch.setenv(name, value)
        return nowhere

    return move


@pytest.mark.parametrize("host", ["service-fabric", "azure-ml", "cloud-shell"])
@pytest.mark.parametrize("credential", [identity.ManagedIdentityCredential, identity.DefaultAzureCredential])
def test_hosts(on: Any, host: str, credential: Any) -> None:
    emulator = on(host)
    assert object_id(credential()) == emulator.identity.object_id
    assert [(request.endpoint, request.resource) for request in emulator.token_requests] == [(host, RESOURCE)]


class TestServiceFabric:
    def test_another_certificate(self, on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        emulator = on("service-fabric")
        monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", "00" * 20)
        text = failure(identity.ManagedIdentityCredential())
        assert "failed: invalid peer certificate" in text
        assert text.endswith("alone: check IDENTITY_ENDPOINT and IDENTITY_SERVER_THUMBPRINT")
        assert emulator.token_requests == []

    def test_no_thumbprint(self, on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        on("service-fabric")
        monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", "abc")
        assert failure(identity.ManagedIdentityCredential()) == (
            'IDENTITY_SERVER_THUMBPRINT="abc": expected the 40 hexadecimal digits of a SHA-1 thumbprint'
        )

    def test_one_identity_only(self, on: Any) -> None:
        on("service-fabric")
        assert failure(identity.ManagedIdentityCredential(client_id=GUID)) == (
            "Service Fabric gives an application the one identity of its manifest; name none"
        )

    def test_wrong_header(self, on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        on("service-fabric")
        monkeypatch.setenv("IDENTITY_HEADER", "wrong-header")
        text = failure(identity.ManagedIdentityCredential())
        assert text == "Secret is not found in the request headers. (127.0.0.1 answered 401)"


class TestAzureMl:
    @pytest.mark.parametrize("kind", ["client_id", "object_id", "resource_id"])
    def test_user_assigned(self, on: Any, kind: str) -> None:
        second = on("azure-ml").add_identity("second")
        assert object_id(identity.ManagedIdentityCredential(**{kind: getattr(second, kind)})) == second.object_id

    def test_wrong_secret(self, on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        on("azure-ml")
        monkeypatch.setenv("MSI_SECRET", "wrong-secret")
        text = failure(identity.ManagedIdentityCredential())
        assert text == "The secret header is missing or wrong. (127.0.0.1 answered 401)"


def test_cloud_shell_gives_one_identity_only(on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = on("cloud-shell")
    text = failure(identity.ManagedIdentityCredential(client_id=GUID))
    assert text == "Cloud Shell gives the identity of the person who opened it; name none"
    # As a link of the default chain it gets the client id, as in azure-identity.
    monkeypatch.setenv("AZURE_CLIENT_ID", GUID)
    assert object_id(identity.DefaultAzureCredential()) == emulator.identity.object_id


ARC = """
import os, sys
from azure_postgresql_auth import core, identity
named = dict(argument.split("=") for argument in sys.argv[1:])
try:
    print(core.decode_jwt(identity.ManagedIdentityCredential(**named).get_token(core.AZURE_DB_FOR_POSTGRES_SCOPE).token)["oid"])
except Exception as error:
    print(error)
"""


class TestAzureArc:
    """The agent's directory is the emulator's: on Windows by a variable, elsewhere by a mount namespace."""

    def run(self, emulator: Emulator, *arguments: str) -> str:
        emulator.arc_keys.mkdir(parents=True, exist_ok=True)
        mount = (
            "mount -t tmpfs tmpfs /var/opt && mkdir -p /var/opt/azcmagent/tokens && "
            f'mount --bind {emulator.arc_keys} /var/opt/azcmagent/tokens && exec "$@"'
        )
        namespace = [] if WINDOWS else ["unshare", "-rm", "sh", "-c", mount, "sh"]
        command = [*namespace, sys.executable, "-c", ARC, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        if namespace and ("unshare" in done.stderr or "mount" in done.stderr):
            pytest.skip(f"this system lets nobody mount: {done.stderr}")
        assert done.stderr == ""
        return done.stdout.strip()

    @pytest.fixture
    def arc(self, on: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        return on("azure-arc")

    def test_logs_in(self, arc: Emulator) -> None:
        assert self.run(arc) == arc.identity.object_id
        assert [request.status for request in arc.token_requests] == [401, 200]
        second = arc.add_identity("second")
        assert self.run(arc, f"client_id={second.client_id}") == second.object_id

    def test_a_key_that_is_too_large(self, arc: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("secrets.token_hex", lambda size=32: "a" * (8192 if size == 32 else size))
        text = self.run(arc)
        assert text.endswith(
            "aaaaaaaa.key is larger than 4096 bytes, so it is no key; it was not sent (127.0.0.1 answered 401)"
        )

    @pytest.mark.skipif(WINDOWS, reason="there is no mount namespace to be outside of")
    def test_without_the_directory(self, arc: Emulator) -> None:
        """Outside the namespace there is no such file."""
        text = failure(identity.ManagedIdentityCredential())
        assert arc.token_requests[0].status == 401
        assert (
            ".key could not be read: No such file or directory (os error 2); the user that this runs as has to be a "
            in text
        )


@pytest.mark.usefixtures("nowhere")
def test_incomplete_variables_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9")
    assert failure(identity.ManagedIdentityCredential()) == (
        "IDENTITY_ENDPOINT is set, but neither IDENTITY_HEADER (App Service, Service Fabric) nor IMDS_ENDPOINT "
        "(Azure Arc) is"
    )


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("name", ["IDENTITY_ENDPOINT", "MSI_ENDPOINT"])
@pytest.mark.parametrize("bad", ["relative", "ftp://x", "http://"])
def test_endpoints_are_urls(name: str, bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    monkeypatch.setenv(name, bad)
    assert failure(identity.ManagedIdentityCredential()) == f'{name}="{bad}" is not an http URL'
    monkeypatch.setenv(name, "ftp://ada:password@host")
    assert failure(identity.ManagedIdentityCredential()) == f'{name}="ftp://****@host" is not an http URL'


def test_a_federated_token_counts_as_a_managed_identity(nowhere: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in azure-identity, where all of Kubernetes' variables are there."""
    pod = nowhere.add_identity("pod")
    for name, value in nowhere.workload_identity_env(pod).items():
        if name != "AZURE_POD_IDENTITY_AUTHORITY_HOST":
            monkeypatch.setenv(name, value)
    assert object_id(identity.ManagedIdentityCredential()) == pod.object_id
    assert object_id(identity.ManagedIdentityCredential(client_id=pod.client_id)) == pod.object_id
    monkeypatch.delenv("AZURE_CLIENT_ID")
    assert failure(identity.ManagedIdentityCredential()).startswith("not set: AZURE_CLIENT_ID")


@pytest.fixture
def signed_in(nowhere: Emulator, tool: Any) -> str:
    """Return the object id of the account that is signed in to the Azure CLI."""
    person = nowhere.add_identity("dev@contoso.com", "user")
    answer = {"accessToken": nowhere.token(person), "expires_on": int(time.time()) + 3600}
    tool("az", saying(json.dumps(answer)))
    return person.object_id


def seconds_of(credential: Any, expected: str) -> float:
    """Return how long a credential takes for a token of this principal.

    To know how long a chain takes before its last link, subtract the link's own time: a program starts slowly on some
    systems.
    """
    begun = time.monotonic()
    assert object_id(credential) == expected
    return time.monotonic() - begun


class TestSomebodyElseAtTheAddress:
    """Other clouds, captive portals and cluster tools answer at IMDS' address, too."""

    @pytest.fixture(
        params=[
            (401, '<?xml version="1.0"?><html><title>401 - Unauthorized</title></html>'),
            (403, "forbidden: the host is unreachable"),
            (404, "<html><title>404: Not Found</title></html>"),
            (404, '{"code": 404, "message": "HTTP 404 Not Found"}'),
            (405, "Method Not Allowed"),
            (502, "<html>Bad Gateway</html>"),
            (200, "<html>Welcome to the guest network</html>"),
            (503, ""),
        ],
        ids=str,
    )
    def imposter(self, request: pytest.FixtureRequest, nowhere: Emulator, relay: Relay) -> str:
        status, body = request.param
        nowhere.fail(status, body=body)
        relay.start()
        page = "" if not body or body[0] == "{" else " with a page of HTML"
        return (
            f"127.0.0.1 answered {status}{page}, not as Azure's metadata service does, so this machine has no managed "
            f"identity endpoint"
        )

    @pytest.mark.parametrize("chain", [identity.DefaultAzureCredential, own_chain, connected_service])
    def test_a_chain_goes_on(self, imposter: str, signed_in: str, chain: Any) -> None:
        assert imposter

        def go_on() -> float:
            return seconds_of(chain(), signed_in) - seconds_of(identity.AzureCliCredential(), signed_in)

        assert quickest(go_on, below=0.9) < 0.9

    def test_without_other_links_it_fails_at_once(self, imposter: str) -> None:
        def fail() -> None:
            assert failure(identity.ManagedIdentityCredential()) == imposter

        assert quickest(fail, below=0.9) < 0.9


class TestLateImds:
    """Which is no missing one."""

    def test_a_slow_answer_is_waited_for_where_nothing_else_is_there(self, nowhere: Emulator, relay: Relay) -> None:
        relay.start()
        nowhere.latency = 1.3
        assert object_id(identity.DefaultAzureCredential(**NO_FALLBACK)) == nowhere.identity.object_id
        # The endpoint is known from now on, so it is not probed again.
        nowhere.latency = 0
        nowhere.reset_counters()
        assert object_id(own_chain()) == nowhere.identity.object_id
        assert [request.status for request in nowhere.token_requests] == [200]

    def test_an_answer_that_was_too_late_counts_for_the_next(
        self, nowhere: Emulator, relay: Relay, signed_in: str
    ) -> None:
        relay.start()
        nowhere.latency = 1.3
        assert object_id(own_chain()) == signed_in
        time.sleep(1.5)
        nowhere.latency = 0
        assert object_id(own_chain()) == nowhere.identity.object_id

    def test_a_service_that_comes_up_is_found_in_seconds(self, nowhere: Emulator, relay: Relay) -> None:
        with pytest.raises(errors.EntraConnectionValueError, match="could not be reached .*refused"):
            own_chain().get_token(SCOPE)
        relay.start()
        for _ in range(60):
            with contextlib.suppress(errors.EntraConnectionValueError):
                assert object_id(own_chain()) == nowhere.identity.object_id
                return
            time.sleep(0.1)
        pytest.fail("still remembered as missing")

    @pytest.mark.usefixtures("signed_in")
    def test_one_that_was_there_before_is_asked_again(self, nowhere: Emulator, relay: Relay) -> None:
        """A gateway's error page is then a failure, and no reason to log in as another identity."""
        relay.start()
        assert object_id(own_chain()) == nowhere.identity.object_id
        nowhere.fail(502, times=1, body="<html>Bad Gateway</html>")
        assert object_id(own_chain()) == nowhere.identity.object_id


class TestNotUpYet:
    """Identity sidecars start beside the program that needs them."""

    @pytest.mark.parametrize("host", ["app-service", "imds"])
    def test_is_waited_for(self, nowhere: Emulator, relay: Relay, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if host == "app-service":
            monkeypatch.setenv("IDENTITY_ENDPOINT", f"{relay.url}/msi/token")
            monkeypatch.setenv("IDENTITY_HEADER", nowhere.env["IDENTITY_HEADER"])
        credential = identity.ManagedIdentityCredential()

        def give_up() -> None:
            with pytest.raises(errors.EntraConnectionValueError, match=r"refused\b.*asked again"):
                core.login(credential, timeout=0.4)

        assert quickest(give_up, below=1) < 1
        begun = time.monotonic()
        relay.start_after(1.0)
        assert core.decode_jwt(core.login(credential, timeout=20).password)["oid"] == nowhere.identity.object_id
        assert time.monotonic() - begun < 4.6

    def test_by_a_driver(self, nowhere: Emulator, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{relay.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", nowhere.env["IDENTITY_HEADER"])
        relay.start_after(1.0)
        with EntraConnection.connect(nowhere.dsn, connect_timeout=20) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (nowhere.identity.role,)


class TestExpiries:
    """What endpoints write of a token's end."""

    @pytest.mark.parametrize("skew", [0, 900, -900])
    @pytest.mark.parametrize(
        "form",
        [
            '"expires_on": "{at}"',
            '"expires_on": {at}.5',
            '"expires_on": "{at}.5"',
            '"expires_on": "{iso}Z"',
            '"expires_on": "{iso}.123+00:00"',
            '"expires_on": "{us} +00:00"',
            '"expires_in": {left}',
            '"expires_in": "{left}.0", "expires_on": "0"',
            '"expires_on": null',
        ],
    )
    def test_form(self, emulator: Emulator, skew: int, form: str) -> None:
        """By the endpoint's own clock, where it states a date; a byte order mark does not matter."""
        emulator.clock_skew = skew
        at = int(time.time()) + skew + 3600
        iso, us = (time.strftime(text, time.gmtime(at)) for text in ("%Y-%m-%dT%H:%M:%S", "%m/%d/%Y %H:%M:%S"))
        token = make_token(oid="x", exp=at)
        body = f'{{"access_token": "{token}", {form.format(at=at, iso=iso, us=us, left=3600)}}}'
        emulator.fail(200, body=b"\xef\xbb\xbf" + body.encode())
        found = identity.ManagedIdentityCredential().get_token(SCOPE)
        assert found.expires_on == pytest.approx(time.time() + 3600, abs=35)


@pytest.fixture(params=[Server, DroppingServer], ids=["never answers", "drops packets"])
def dead_imds(
    request: pytest.FixtureRequest, nowhere: Emulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Server]]:
    """Start an unresponsive metadata service at an address that has not been used before."""
    with contextlib.ExitStack() as stack:

        def make() -> Server:
            server: Server = stack.enter_context(request.param())
            monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url)
            return server

        yield make


def looks_within(seconds: float) -> int:
    """Return how often a chain looks for a missing service again: after 2 seconds, then after twice as long."""
    looks, pause = 0, 2.0
    while seconds > pause:
        seconds, looks, pause = seconds - pause, looks + 1, 2 * pause
    return looks


@pytest.mark.parametrize("chain", [lambda: identity.DefaultAzureCredential(**NO_FALLBACK), own_chain])
def test_a_dead_imds_costs_a_second_once(dead_imds: Callable[[], Server], signed_in: str, chain: Any) -> None:
    """Not once for each credential or connection."""
    later_ones = []

    def first() -> float:
        begun = time.monotonic()
        server = dead_imds()
        took = seconds_of(chain(), signed_in)
        assert took > 0.9
        seen = len(server.clients)
        later = [seconds_of(chain(), signed_in) for _ in range(3)]
        looked = len(server.clients) - seen
        # It is remembered for some seconds, in which a machine whose programs start slowly may not come this far.
        assert looked <= looks_within(time.monotonic() - begun - 0.9)
        alone = [seconds_of(identity.AzureCliCredential(), signed_in) for _ in range(3)]
        later_ones.append(sum(later) - sum(alone) - looked)
        return took - min(alone)

    assert quickest(first, below=1.8) < 1.8
    assert min(later_ones) < 0.9


@pytest.mark.parametrize("chain", [lambda: identity.DefaultAzureCredential(**NO_FALLBACK), own_chain])
def test_imds_gets_three_seconds_when_it_is_the_only_candidate(dead_imds: Callable[[], Server], chain: Any) -> None:
    """A virtual machine whose service is slow, which only waiting can distinguish from a missing one."""

    def fail() -> None:
        with pytest.raises(
            errors.EntraConnectionValueError, match="127.0.0.1 did not answer within 1 s, so this machine"
        ):
            chain().get_token(SCOPE)

    def first() -> float:
        server = dead_imds()
        begun = time.monotonic()
        fail()
        took = time.monotonic() - begun
        assert took >= 2.9
        assert quickest(fail, below=0.2) < 0.2
        assert len(server.clients) <= 1
        return took

    assert quickest(first, below=3.8) < 3.8


def test_imds_is_looked_for_once(imds: Emulator) -> None:
    for _ in range(3):
        object_id(identity.DefaultAzureCredential())
    assert [request.status for request in imds.token_requests].count(200) == 3
    assert [request.status for request in imds.token_requests].count(400) <= 1


def test_the_managed_identity_alone_is_not_looked_for(imds: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    # An address that no other test has had remembered.
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] + "/./")
    assert object_id(identity.DefaultAzureCredential()) == imds.identity.object_id
    assert [request.status for request in imds.token_requests] == [200]
