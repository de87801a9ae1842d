"""The Entra tenant's identities and groups, and the owners of the server's roles."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS = ("user-assigned", "system-assigned", "service-principal", "user", "guest")
USERS = ("user", "guest")
GUEST = "#EXT#"
"""Separates the home account from the tenant in a guest's user principal name."""
MANAGED = ("user-assigned", "system-assigned")
ROLE_TYPES = ("user", "service", "group")

# The application that requests users' tokens: the Azure CLI, whose id is the same in every tenant.
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"


@dataclass(frozen=True, eq=False)
class Identity:
    """A principal of the tenant, created by `Emulator.add_identity`."""

    name: str
    kind: str
    role: str | None
    client_id: str
    object_id: str
    resource_id: str | None = None
    """The Azure resource id of a managed identity."""
    client_secret: str | None = field(default=None, repr=False)
    """The client secret of a service principal."""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    database_claims: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, eq=False)
class Group:
    """A security group. Its members log in with their own tokens, as the role with the group's name."""

    name: str
    object_id: str
    members: tuple[Identity, ...]

    @property
    def role(self) -> str:
        """The role's name, which is the group's."""
        return self.name


@dataclass(frozen=True)
class Role:
    """The owner of a role, and the type of that principal."""

    name: str
    type: str
    object_ids: frozenset[str]


class Directory:
    """All identities, groups and roles of an emulator."""

    def __init__(self) -> None:
        """Create an empty tenant with a new id."""
        self.tenant_id = str(uuid.uuid4())
        self.subscription_id = str(uuid.uuid4())
        self.identities: list[Identity] = []
        self.groups: list[Group] = []
        self.roles: dict[str, Role] = {}
        self.default: Identity | None = None

    def new_identity(
        self,
        name: str,
        kind: str,
        role: str | None,
        claims: Mapping[str, Any],
        database_claims: Mapping[str, Any],
    ) -> Identity:
        """Create an identity with new ids, without adding it to the directory."""
        if kind not in KINDS:
            message = f"kind={kind!r}: one of {', '.join(KINDS)}"
            raise ValueError(message)
        if kind == "guest" and GUEST not in name:
            message = f"name={name!r}: a guest is named like pat_example.org{GUEST}@contoso.onmicrosoft.com"
            raise ValueError(message)
        return Identity(
            name=name,
            kind=kind,
            role=role,
            client_id=AZURE_CLI if kind in USERS else str(uuid.uuid4()),
            object_id=str(uuid.uuid4()),
            resource_id=self._resource_id(name, kind),
            client_secret=secrets.token_urlsafe(30) if kind == "service-principal" else None,
            claims=dict(claims),
            database_claims=dict(database_claims),
        )

    def _resource_id(self, name: str, kind: str) -> str | None:
        types = {
            "user-assigned": "Microsoft.ManagedIdentity/userAssignedIdentities",
            "system-assigned": "Microsoft.Compute/virtualMachines",
        }
        if kind not in types:
            return None
        return f"/subscriptions/{self.subscription_id}/resourcegroups/emulator/providers/{types[kind]}/{name}"

    def identity(self, wanted: Identity | str) -> Identity:
        """Return an identity by its name. An identity as the argument is returned, even after its removal.

        Raises:
            ValueError: no identity, or more than one, has this name.
            TypeError: it is neither an identity nor a name.
        """
        found = _named(wanted, self.identities) if isinstance(wanted, str) else wanted
        if not isinstance(found, Identity):
            message = f"expected an identity or its name, not {type(wanted).__name__}"
            raise TypeError(message)
        return found

    def principal(self, wanted: Identity | Group | str) -> Identity | Group:
        """Return an identity or a group of this tenant.

        Raises:
            ValueError: none, or more than one, has this name.
            TypeError: it is neither an identity, nor a group, nor a name.
        """
        everybody: list[Identity | Group] = [*self.identities, *self.groups]
        found = _named(wanted, everybody) if isinstance(wanted, str) else wanted
        if not isinstance(found, (Identity, Group)):
            message = f"expected an identity, a group or a name, not {type(wanted).__name__}"
            raise TypeError(message)
        if found not in everybody:
            message = f"{found.name!r} does not belong to this emulator, or was removed"
            raise ValueError(message)
        return found

    def claim_role(self, name: str, role_type: str, object_ids: Sequence[str]) -> None:
        """Record the owner of a role; a role has one owner.

        Raises:
            ValueError: the role belongs to another principal, or the type is unknown.
        """
        if role_type not in ROLE_TYPES:
            message = f"role_type={role_type!r}: one of {', '.join(ROLE_TYPES)}"
            raise ValueError(message)
        if name in self.roles:
            message = f"role {name!r} belongs to another identity; pass another role= or role=None"
            raise ValueError(message)
        self.roles[name] = Role(name, role_type, frozenset(object_ids))

    def managed(self, query: Mapping[str, str]) -> Identity | None:
        """Return the managed identity that a request names, or the default one."""
        selectors = {
            "client_id": "client_id",
            "object_id": "object_id",
            "principal_id": "object_id",
            "mi_res_id": "resource_id",
            "msi_res_id": "resource_id",
        }
        wanted = [(selectors[key], value.lower()) for key, value in query.items() if key in selectors]
        if not wanted:
            return self.default
        for identity in self.identities:
            if identity.kind in MANAGED and all(
                (getattr(identity, attribute) or "").lower() == value for attribute, value in wanted
            ):
                return identity
        return None

    def application(self, client_id: str) -> Identity | None:
        """Return the application or user-assigned identity that may use the token endpoint."""
        for identity in self.identities:
            if identity.client_id == client_id.lower() and identity.kind in {"service-principal", "user-assigned"}:
                return identity
        return None


def _named(name: str, principals: Sequence[Identity | Group]) -> Identity | Group:
    found = [principal for principal in principals if principal.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        message = f"{name!r} is the name of {len(found)} identities; pass the identity itself"
    else:
        message = f"{name!r} is not known here; there are {', '.join(repr(known.name) for known in principals)}"
    raise ValueError(message)
