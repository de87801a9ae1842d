"""Credentials on their way to other processes: as a configuration, and never with a secret or a token."""

from __future__ import annotations

import copy
import functools
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from azure_postgresql_auth import asyncpg, core, errors, identity, psycopg2, psycopg3, sqlalchemy
from azure_postgresql_auth._engine.connect import Options
from azure_postgresql_auth.psycopg3 import EntraConnection

from tests.support.platforms import needs_fork

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

# ruff: noqa: S301 - what is unpickled here was pickled here

GUID = "11111111-2222-3333-4444-555555555555"
SECRET = identity.ClientSecretCredential(GUID, GUID, "a-secret")


class Preset(identity.ManagedIdentityCredential):
    """A program's subclass with other arguments."""

    def __init__(self, team: str, tags: object = None) -> None:
        super().__init__(client_id=GUID)
        self.team, self.tags = team, tags


PORTABLE: list[Any] = [
    identity.DefaultAzureCredential(exclude_cli_credential=True, process_timeout=5, authority="https://127.0.0.1:9"),
    identity.EnvironmentCredential(),
    identity.ManagedIdentityCredential(client_id=GUID),
    identity.ManagedIdentityCredential(identity_config={"object_id": GUID}),
    identity.WorkloadIdentityCredential(tenant_id=GUID, client_id=GUID, token_file_path="/no/such/file"),
    identity.AzureCliCredential(tenant_id=GUID, subscription="one"),
    identity.AzureDeveloperCliCredential(tenant_id=GUID),
    identity.ChainedTokenCredential(
        identity.ManagedIdentityCredential(), identity.ChainedTokenCredential(identity.AzureCliCredential())
    ),
    Preset("orders"),
]


def sent(what: Any) -> Any:
    """Return an unpickled copy."""
    return pickle.loads(pickle.dumps(what))


def bound(function: Any, credential: object = PORTABLE[2]) -> functools.partial[Any]:
    return functools.partial(function, credential=credential)


def arguments(credential: Any) -> Any:
    """Return the arguments in the pickle of a credential, and of the links of a chain."""
    _, (kind, args, kwargs) = credential.__reduce__()
    return kind, [arguments(arg) if isinstance(arg, identity.TokenCredential) else arg for arg in args], kwargs


@pytest.mark.parametrize("credential", PORTABLE, ids=lambda credential: type(credential).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_round_trip(credential: Any, protocol: int) -> None:
    pickled = pickle.dumps(credential, protocol)
    found = pickle.loads(pickled)
    assert found is not credential
    assert arguments(found) == arguments(credential)
    # However often it comes, and from whomever: one object, which has one token.
    assert pickle.loads(pickled) is found
    assert sent(found) is found


def test_picklable_alternatives(emulator: Emulator) -> None:
    second = emulator.add_identity("second")
    made = identity.ChainedTokenCredential(
        identity.EnvironmentCredential(),
        identity.ManagedIdentityCredential(identity_config={"client_id": second.client_id}),
    )
    assert made.get_token(core.AZURE_DB_FOR_POSTGRES_SCOPE)
    pickled = pickle.dumps(made)
    assert b"eyJ" not in pickled, "a token travels"
    with EntraConnection.connect(credential=pickle.loads(pickled)) as connection:
        assert connection.info.user == "second"
    assert [request.client_id for request in emulator.token_requests] == [second.client_id] * 2


def test_tasks_of_one_worker_share_a_token(emulator: Emulator) -> None:
    """As in a scheduler's worker: in threads, unpickled per task and deleted with it."""
    second = emulator.add_identity("second")
    pickled = pickle.dumps(identity.ManagedIdentityCredential(client_id=second.client_id))
    with ThreadPoolExecutor(8) as pool:
        users = list(pool.map(lambda _: core.get_entra_conninfo(pickle.loads(pickled))["user"], range(40)))
    assert set(users) == {"second"}
    assert len(emulator.token_requests) == 1


def test_different_arguments_are_different_credentials() -> None:
    several = [
        identity.ManagedIdentityCredential(),
        identity.ManagedIdentityCredential(client_id=GUID),
        identity.ManagedIdentityCredential(object_id=GUID),
        identity.ManagedIdentityCredential(identity_config={"client_id": GUID}),
        identity.ManagedIdentityCredential(identity_config={"object_id": GUID}),
        identity.WorkloadIdentityCredential(client_id=GUID),
        identity.ChainedTokenCredential(identity.ManagedIdentityCredential()),
        identity.ChainedTokenCredential(identity.ManagedIdentityCredential(), identity.AzureCliCredential()),
    ]
    assert len({id(sent(credential)) for credential in several}) == len(several)


def test_arguments_are_kept_as_they_were() -> None:
    config = {"client_id": GUID}
    credential = identity.ManagedIdentityCredential(identity_config=config)
    config["client_id"] = "another"
    assert arguments(sent(credential))[2] == {"identity_config": {"client_id": GUID}}


def test_subclasses() -> None:
    found = sent(Preset("orders", tags=["a", {"b": 1}]))
    assert (type(found), found.team, found.tags) == (Preset, "orders", ["a", {"b": 1}])
    assert sent(Preset("orders", tags=["a", {"b": 1}])) is found
    # What has no hash cannot be found again, but travels.
    assert sent(Preset("orders", tags=[{1}])).team == "orders"


@pytest.mark.parametrize("credential", [*PORTABLE, SECRET], ids=lambda credential: type(credential).__name__)
def test_a_copy_is_the_same(credential: Any) -> None:
    assert copy.copy(credential) is credential
    settings = {"default": {"OPTIONS": {"credential": credential}}}
    assert copy.deepcopy(settings)["default"]["OPTIONS"]["credential"] is credential


@pytest.mark.parametrize(
    "holder",
    [
        SECRET,
        identity.ChainedTokenCredential(identity.EnvironmentCredential(), SECRET),
        bound(EntraConnection.connect, SECRET),
    ],
)
def test_secrets_stay(holder: object) -> None:
    with pytest.raises(TypeError) as raised:
        pickle.dumps(holder)
    assert str(raised.value).startswith(
        "ClientSecretCredential holds a secret, and so it cannot be pickled. Make one in"
    )
    assert "a-secret" not in str(raised.value)


@pytest.mark.parametrize("pickler", [pickle, cloudpickle], ids=lambda pickler: pickler.__name__)
@pytest.mark.parametrize(
    "travels",
    [
        bound(psycopg2.EntraConnection),
        bound(psycopg3.EntraConnection.connect),
        bound(psycopg3.AsyncEntraConnection.connect),
        bound(asyncpg.connect),
        bound(asyncpg.create_pool),
        bound(sqlalchemy.create_asyncpg_engine),
    ],
    ids=lambda partial: f"{partial.func.__module__}.{partial.func.__qualname__}",
)
def test_partials_and_bound_methods(travels: functools.partial[Any], pickler: Any) -> None:
    """By cloudpickle too, that of Dask, Ray and Spark, which takes class methods apart."""
    found = pickle.loads(pickler.dumps(travels))
    assert found.func.__qualname__ == travels.func.__qualname__
    assert found.keywords == {"credential": sent(PORTABLE[2])}


@pytest.mark.parametrize("connect", [psycopg3.EntraConnection.connect, psycopg2.EntraConnection.connect])
def test_unpickled_class_method_connects(connect: Any, emulator: Emulator) -> None:
    credential = identity.ManagedIdentityCredential()
    pickle.loads(cloudpickle.dumps(bound(connect, credential)))(emulator.dsn).close()
    assert [login.accepted for login in emulator.logins] == [True]


@pytest.mark.parametrize(
    "public",
    [
        identity.AccessToken("x", 1),
        core.decode_jwt,
        core.parse_principal_name,
        identity.TokenCredential,
        sqlalchemy.EntraPlugin,
    ],
    ids=repr,
)
def test_a_pickle_names_public_modules_only(public: Any) -> None:
    pickled = pickle.dumps(public)
    assert b"azure_postgresql_auth._" not in pickled
    assert b"._" not in pickled
    assert pickle.loads(pickled) == public


def test_options() -> None:
    options = sent(Options(PORTABLE[2], "a-scope", allow_insecure_transport=True))
    assert (options.credential, options.scope) == (sent(PORTABLE[2]), "a-scope")
    assert options.allow_insecure_transport


@pytest.mark.parametrize(
    "kind",
    [
        errors.EntraConnectionValueError,
        errors.CredentialValueError,
        *(
            getattr(module, name)
            for module in (psycopg2, psycopg3, asyncpg, sqlalchemy)
            for name in ("EntraOperationalError", "InsecureTransportOperationalError")
        ),
    ],
)
def test_errors_travel_back(kind: type[Exception]) -> None:
    found = sent(kind("no credential produced a token"))
    assert (type(found), str(found)) == (kind, "no credential produced a token")


def log_in(connect: Any, _: object) -> tuple[str, int]:
    with connect() as connection:
        return connection.info.user, multiprocessing.current_process().pid or 0


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=needs_fork)])
def test_child_processes_log_in_by_themselves(emulator: Emulator, method: str) -> None:
    second = emulator.add_identity("second")
    credential = identity.ManagedIdentityCredential(client_id=second.client_id)
    connect = bound(EntraConnection.connect, credential)
    assert log_in(connect, None)[0] == "second"
    with multiprocessing.get_context(method).Pool(2) as pool:
        done = pool.map(functools.partial(log_in, connect), range(12), chunksize=1)
        pool.close()
        pool.join()
    assert {user for user, _ in done} == {"second"}
    assert len(emulator.token_requests) == 1 + len({pid for _, pid in done})


def test_unpickling_imports_what_it_needs(emulator: Emulator, tmp_path: Path) -> None:
    """A process that never heard of us, but has us installed."""
    path = tmp_path / "credential"
    path.write_bytes(pickle.dumps(identity.ManagedIdentityCredential()))
    script = (
        "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).get_token('https://x/.default').expires_on)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip().isdigit()
