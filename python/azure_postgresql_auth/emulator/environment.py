"""The addresses of the emulator's services, and the environment variables with which programs find them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from azure_postgresql_auth.emulator.identity import entra, managed_identity
from azure_postgresql_auth.emulator.part import Part

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator.identity.directory import Identity

_FEDERATED_TOKEN_SECONDS = 86_400


class Environment(Part):
    """The emulator's addresses, files and environment variables."""

    @property
    def host(self) -> str:
        """The server's host name, which is in its certificate."""
        return "localhost"

    @property
    def port(self) -> int:
        """The server's port."""
        return self._running.port

    @property
    def database(self) -> str:
        """The database to connect to."""
        return self._running.backend.database

    @property
    def ca_file(self) -> str:
        """Path of the PEM file with the CA that issued the certificates of the server and the token endpoint."""
        return str(self._running.certificates.ca_file)

    @property
    def tenant_id(self) -> str:
        """The id of the Entra tenant."""
        return self._running.directory.tenant_id

    @property
    def dsn(self) -> str:
        """The server as a libpq URL without user and password."""
        return f"postgresql://{self.host}:{self.port}/{self.database}?sslmode=verify-full&sslrootcert={self.ca_file}"

    @property
    def env(self) -> dict[str, str]:
        """The variables with which Azure SDKs find the managed identity endpoints, and libpq the server."""
        identities = self._running.identities
        return {
            "IDENTITY_ENDPOINT": identities.managed_identity_url + managed_identity.APP_SERVICE_PATH,
            "IDENTITY_HEADER": identities.header,
            **self._common_env(),
        }

    def client_secret_env(self, identity: Identity | str) -> dict[str, str]:
        """Return the variables for a service principal that logs in with its secret.

        Args:
            identity: the service principal, or its name.

        Raises:
            ValueError: the identity has no secret, or no identity has this name.
        """
        identity = self._running.directory.identity(identity)
        if identity.client_secret is None:
            message = f"{identity.name!r} has no client secret: add it with kind='service-principal'"
            raise ValueError(message)
        return {
            **self._common_env(),
            "AZURE_TENANT_ID": self.tenant_id,
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_CLIENT_SECRET": identity.client_secret,
        }

    def client_certificate_env(
        self, identity: Identity | str, *, form: str = "pem", password: str | None = None
    ) -> dict[str, str]:
        """Return the variables for a service principal that logs in with a certificate; register a new one per call.

        Args:
            identity: an identity of kind "service-principal", or its name.
            form: format of the certificate file, "pem" or "pkcs12".
            password: password that encrypts the private key.

        Raises:
            ValueError: the kind or the form is another one, or no identity has this name.
        """
        identity = self._running.directory.identity(identity)
        if identity.client_secret is None:
            message = f"kind={identity.kind!r}: certificates belong to kind='service-principal'"
            raise ValueError(message)
        run = self._running
        path = run.work / f"certificate-{identity.object_id}.{form}"
        _write(path, run.identities.keys.make(identity, form, password))
        environment = {
            **self._common_env(),
            "AZURE_TENANT_ID": self.tenant_id,
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_CLIENT_CERTIFICATE_PATH": str(path),
        }
        return {**environment, "AZURE_CLIENT_CERTIFICATE_PASSWORD": password} if password else environment

    def host_env(self, host: str) -> dict[str, str]:
        """Return the variables that programs find on a host with managed identities, other than that of `env`.

        Args:
            host: "azure-arc", "service-fabric", "azure-ml" or "cloud-shell". Clients of Azure Arc read keys only from
                /var/opt/azcmagent/tokens; the emulator writes them to `arc_keys`. On Windows the variables say where.

        Raises:
            ValueError: the host is unknown.
        """
        run = self._running
        urls = run.identities.managed_identity_url, run.identities.authority_url
        return {**self._common_env(), **run.identities.hosts.variables(host, urls, run.certificates.thumbprint())}

    def pipelines_url(self, identity: Identity | str, system_access_token: str) -> str:
        """Start a job of Azure Pipelines for an identity, and return its SYSTEM_OIDCREQUESTURI."""
        identity = self._running.directory.identity(identity)
        identities = self._running.identities
        return identities.authority_url + identities.pipelines.open_job(identity, system_access_token)

    @property
    def arc_keys(self) -> Path:
        """The directory with the keys of Azure Arc's agent, to be mounted at /var/opt/azcmagent/tokens."""
        return self._running.identities.hosts.keys

    def workload_identity_env(self, identity: Identity | str) -> dict[str, str]:
        """Return the variables of a Kubernetes pod that acts as an identity; each call rotates the token file.

        Raises:
            ValueError: this kind of identity cannot be federated, or no identity has this name.
        """
        identity = self._running.directory.identity(identity)
        if identity.kind not in {"service-principal", "user-assigned"}:
            message = f"kind={identity.kind!r}: workload identity needs a service-principal or user-assigned identity"
            raise ValueError(message)
        run = self._running
        token = entra.federated_token(run.issuer, identity, run.identities.authority_url, _FEDERATED_TOKEN_SECONDS)
        path = run.work / f"federated-token-{identity.object_id}"
        _write(path, token.encode())
        return {
            **self._common_env(),
            "AZURE_TENANT_ID": self.tenant_id,
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_FEDERATED_TOKEN_FILE": str(path),
        }

    def _common_env(self) -> dict[str, str]:
        run = self._running
        bundle = str(run.certificates.bundle_file)
        # Some programs read the name in lower case first, if it is set.
        exempt = [name for name in ("NO_PROXY", "no_proxy") if name == "NO_PROXY" or name in os.environ]
        return {
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": run.identities.managed_identity_url,
            "AZURE_AUTHORITY_HOST": run.identities.authority_url,
            "SSL_CERT_FILE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            **{name: ",".join(filter(None, (os.environ.get(name), "localhost,127.0.0.1"))) for name in exempt},
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGDATABASE": self.database,
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": self.ca_file,
            # Allows SQLAlchemy's engine plugin to log in to the emulator.
            "AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS": f"{self.host}:{self.port}",
        }


def _write(path: Path, secret: bytes) -> None:
    """Replace a file atomically, with one that other users can never read."""
    descriptor, fresh = tempfile.mkstemp(dir=path.parent)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(secret)
    Path(fresh).replace(path)
