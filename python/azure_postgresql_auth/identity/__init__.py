"""Credentials that serve synchronous and asynchronous code alike, any number of threads and event loops, and forks.

They take the constructor keywords of azure-identity's classes of the same names, and have the methods `get_token` and
`get_token_info`, so they also work with Azure's other clients. For asynchronous clients, `aio` has the same classes
with coroutines. Environment variables are read when a token is fetched. `get_token` returns a cached token while it is
valid; the token is renewed in the background before it expires.

Each class also takes these options of azure-identity:

- `additionally_allowed_tenants`: tenants that `get_token(tenant_id=...)` may name, besides the credential's own; "*"
  for all
- `proxies`: a dictionary in the format of requests, `{"https": "http://proxy:3128"}`; by default from the environment.
  Requests for managed identities do not use a proxy
- `connection_verify`: path of a PEM file, or of a directory of PEM files, with the certification authorities to trust
- `connection_timeout`, `read_timeout`: seconds to wait at most for a connection, and for the service's next data

Options that do not affect tokens here, such as `logging_enable` and `retry_total`, are ignored and logged. Options that
would change how requests are made, such as `transport`, raise `TypeError`.

Constructors check the values of their arguments (`ValueError`). Whether a credential works becomes known when a token
is requested (`EntraConnectionValueError`).

Credentials without a secret can be pickled. The pickle contains the constructor's arguments, never a token.
"""

from __future__ import annotations

from azure_postgresql_auth._shapes import AccessToken, AccessTokenInfo, AsyncTokenCredential, TokenCredential
from azure_postgresql_auth.identity._applications import (
    AzurePipelinesCredential,
    CertificateCredential,
    ClientAssertionCredential,
    ClientCertificateCredential,
    ClientSecretCredential,
    EnvironmentCredential,
)
from azure_postgresql_auth.identity._chains import ChainedTokenCredential, DefaultAzureCredential
from azure_postgresql_auth.identity._machines import (
    AzureCliCredential,
    AzureDeveloperCliCredential,
    AzurePowerShellCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

__all__ = [
    "AccessToken",
    "AccessTokenInfo",
    "AsyncTokenCredential",
    "AzureCliCredential",
    "AzureDeveloperCliCredential",
    "AzurePipelinesCredential",
    "AzurePowerShellCredential",
    "CertificateCredential",
    "ChainedTokenCredential",
    "ClientAssertionCredential",
    "ClientCertificateCredential",
    "ClientSecretCredential",
    "DefaultAzureCredential",
    "EnvironmentCredential",
    "ManagedIdentityCredential",
    "TokenCredential",
    "WorkloadIdentityCredential",
]

# Show and pickle the classes under the public module, from which programs import them.
for _name in __all__:
    globals()[_name].__module__ = __name__
