"""Credentials that serve synchronous and asynchronous code alike, any number of threads and event loops, and forks.

They take the constructor keywords of azure-identity's classes of the same names, and have their `get_token` and
`get_token_info`, so that they also work with Azure's other clients; for asynchronous clients, `aio` has the same
classes with coroutines. Settings from the environment are read when a
token is needed. `get_token` returns a cached token while it is good, and renews it in the background before it expires.

Each also takes these of azure-identity's options:

- `additionally_allowed_tenants`: tenants that `get_token(tenant_id=...)` may name, besides the credential's own; "*"
  for all
- `proxies`: as requests has them, `{"https": "http://proxy:3128"}`; by default the environment's. Managed identity
  uses none
- `connection_verify`: path of a PEM file, or of a directory of them, with the certification authorities to trust
- `connection_timeout`, `read_timeout`: seconds that connecting takes and that the service is silent at most

Others that cannot matter here, such as `logging_enable` and `retry_total`, are ignored, with a line in the log; those
that would have to change how requests are made, such as `transport`, are refused with `TypeError`.

Their values are checked when they are made (`ValueError`); whether they work shows when a token is asked for
(`EntraConnectionValueError`).

Those that hold no secret can be pickled: as what they were made with, never with a token.
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

# They are named, and pickled, as what programs import.
for _name in __all__:
    if _name.endswith("Credential") and globals()[_name].__module__.startswith(f"{__name__}."):
        globals()[_name].__module__ = __name__
