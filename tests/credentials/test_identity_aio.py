"""The asynchronous face of the credentials, as Azure's other clients see it."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiohttp import web
from azure.core.credentials_async import AsyncSupportsTokenInfo, AsyncTokenCredential
from azure.storage.blob.aio import BlobClient
from azure_postgresql_auth import core, errors, identity
from azure_postgresql_auth.identity import aio

from tests.support.credentials import make_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from azure.core.credentials import SupportsTokenInfo, TokenCredential
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.drivers import Driver

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
STORAGE = "https://storage.azure.com/.default"
GUID = "11111111-2222-3333-4444-555555555555"


CLASSES = [
    # Without aliases.
    name
    for name in identity.__all__
    if hasattr(getattr(identity, name), "get_token")
    and hasattr(getattr(identity, name), "close")
    and getattr(identity, name).__name__ == name
]


def make(kind: type[Any]) -> Any:
    if kind.__name__ == "ClientSecretCredential":
        return kind(GUID, GUID, "a-secret")
    if kind.__name__ == "CertificateCredential":
        return kind(GUID, GUID, certificate_data=make_certificate())
    if kind.__name__ == "ClientAssertionCredential":
        return kind(GUID, GUID, lambda: "an-assertion")
    if kind.__name__ == "AzurePipelinesCredential":
        return kind(tenant_id=GUID, client_id=GUID, service_connection_id=GUID, system_access_token="a-secret")
    if kind.__name__ == "ChainedTokenCredential":
        return kind(aio.ManagedIdentityCredential(), identity.AzureCliCredential())
    return kind()


def test_both_modules_have_the_same_names() -> None:
    """A class that is added to `identity` gets its line in `aio`."""
    assert [name for name in identity.__all__ if not hasattr(aio, name)] == []
    assert aio.__all__ == identity.__all__
    for name in CLASSES:
        asynchronous: Any = getattr(aio, name)
        assert inspect.iscoroutinefunction(asynchronous.get_token)
        assert inspect.iscoroutinefunction(asynchronous.get_token_info)
        assert asynchronous.__mro__[1:3] == (aio.ManagedIdentityCredential.__mro__[1], getattr(identity, name))


@pytest.mark.parametrize("name", CLASSES)
def test_azure_core_knows_them(name: str) -> None:
    async def main() -> None:
        credential = make(getattr(aio, name))
        for shape in (AsyncTokenCredential, AsyncSupportsTokenInfo):
            assert isinstance(credential, shape)
        async with credential as entered:
            assert entered is credential
        await credential.close()
        for scopes in ((), ("a", "b")):
            with pytest.raises(ValueError, match="exactly one scope"):
                await credential.get_token(*scopes)
        with pytest.raises(TypeError, match=rf"identity\.aio\.{name} is entered with `async with`"), credential:
            pass

    asyncio.run(main())


def test_type_checkers_know_them() -> None:
    """Checked when this file is: what azure-core's clients ask for."""
    synchronous: TokenCredential = identity.DefaultAzureCredential()
    synchronous_info: SupportsTokenInfo = identity.DefaultAzureCredential()
    asynchronous: AsyncTokenCredential = aio.DefaultAzureCredential()
    asynchronous_info: AsyncSupportsTokenInfo = aio.DefaultAzureCredential()
    assert all((synchronous, synchronous_info, asynchronous, asynchronous_info))


def test_tokens(emulator: Emulator) -> None:
    async def main() -> None:
        credential = aio.ManagedIdentityCredential()
        token = await credential.get_token(SCOPE, tenant_id=emulator.tenant_id, enable_cae=True)
        info = await credential.get_token_info(SCOPE, options={"tenant_id": emulator.tenant_id})
        assert (token.token, token.expires_on) == (info.token, info.expires_on)
        assert core.decode_jwt(token.token)["oid"] == emulator.identity.object_id
        assert token.token not in f"{token!r} {info!r}"

    asyncio.run(main())
    assert len(emulator.token_requests) == 1


def test_the_event_loop_runs_on(emulator: Emulator) -> None:
    emulator.latency = 0.2

    async def main() -> list[str]:
        credential = aio.ManagedIdentityCredential()
        order = []

        async def fetch() -> str:
            token = (await credential.get_token(SCOPE)).token
            order.append("token")
            return token

        async def tick() -> None:
            order.append("tick")

        tokens = await asyncio.gather(*[fetch() for _ in range(20)], tick())
        assert len(set(tokens)) == 2, "twenty times the same, and None"
        return order

    assert asyncio.run(main()) == ["tick", *["token"] * 20]
    assert len(emulator.token_requests) == 1


def test_bound_to_no_event_loop(emulator: Emulator) -> None:
    """One object on several event loops, in our own synchronous functions, and in a chain of either kind."""
    credential = aio.ManagedIdentityCredential()
    tokens = {asyncio.run(fetched(credential)) for _ in range(3)}
    assert tokens == {core.get_entra_token(credential), asyncio.run(core.get_entra_token_async(credential))}  # type: ignore[arg-type]
    assert len(emulator.token_requests) == 1
    # A chain has its own cache.
    assert core.get_entra_token(identity.ChainedTokenCredential(credential))
    assert asyncio.run(fetched(aio.ChainedTokenCredential(credential, identity.AzureCliCredential())))


async def fetched(credential: AsyncTokenCredential) -> str:
    async with credential:
        return (await credential.get_token(SCOPE)).token


def test_failures(emulator: Emulator) -> None:
    emulator.fail(400)
    with pytest.raises(errors.EntraConnectionValueError, match="ManagedIdentityCredential: "):
        asyncio.run(fetched(aio.ManagedIdentityCredential()))


@pytest.mark.usefixtures("azure_is_here")
def test_every_driver_takes_them(emulator: Emulator, driver: Driver) -> None:
    second = emulator.add_identity("second")
    credential = aio.ManagedIdentityCredential(client_id=second.client_id)
    assert driver.who(driver.on(emulator), credential) == "second"
    assert driver.who(driver.on(emulator), credential) == "second"
    assert len(emulator.token_requests) == 1


def test_pickle() -> None:
    found = pickle.loads(pickle.dumps(aio.ManagedIdentityCredential(client_id=GUID)))  # noqa: S301 - ours
    assert type(found) is aio.ManagedIdentityCredential
    made_of: Any = found.__reduce__()
    assert made_of[1] == (aio.ManagedIdentityCredential, (), {"client_id": GUID})
    with pytest.raises(TypeError, match="ClientSecretCredential holds a secret"):
        pickle.dumps(aio.ClientSecretCredential(GUID, GUID, "a-secret"))


def test_a_client_of_azures(emulator: Emulator, tmp_path: Path) -> None:
    """azure-storage-blob against a storage account that is a web server here."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    shown: list[str] = []

    async def blob(request: web.Request) -> web.Response:
        shown.append(request.headers["Authorization"])
        return web.Response(body=b"a blob", headers={"ETag": '"1"', "Content-Range": "bytes 0-5/6"})

    async def main() -> bytes:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        application = web.Application()
        application.router.add_get("/container/blob", blob)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        credential = aio.ManagedIdentityCredential()
        trusting: Any = {"connection_verify": str(tmp_path / "ca.pem")}
        async with credential, BlobClient(url, "container", "blob", credential=credential, **trusting) as client:
            found = await (await client.download_blob()).readall()
        await runner.cleanup()
        return found

    assert asyncio.run(main()) == b"a blob"
    (header,) = shown
    assert core.decode_jwt(header.removeprefix("Bearer "))["oid"] == emulator.identity.object_id
    assert [request.resource for request in emulator.token_requests] == [STORAGE.removesuffix("/.default")]
