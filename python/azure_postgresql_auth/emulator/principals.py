"""Identities, groups and their roles."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth.emulator import values
from azure_postgresql_auth.emulator.identity.directory import Group, Identity
from azure_postgresql_auth.emulator.part import Part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROLE_TYPES = {"user": "user", "guest": "user"}  # every other kind is a "service"


class _SameAsName:
    def __repr__(self) -> str:
        return "<same as name>"


_SAME_AS_NAME = _SameAsName()


class Principals(Part):
    """The emulator's methods for identities and groups."""

    @property
    def identity(self) -> Identity:
        """The identity for which the managed identity endpoints answer if a request does not name one."""
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
        """Create a principal and, by default, a role for it.

        Args:
            name: the user principal name of a user, otherwise the display or resource name.
            kind: "user-assigned", "system-assigned", "service-principal", "user" or "guest". A guest's name contains
                #EXT#, as in pat_example.org#EXT#@contoso.onmicrosoft.com; the tokens name only its home account.
            role: name of the role; by default the principal's name. None to create no role.
            role_type: "user", "service" or "group", to create the role with another type than the principal's.
            claims: claims that override those of the identity's tokens; None as a value removes a claim.
            database_claims: the same, only for database tokens. With {"xms_mirid": None}, only tokens for Azure
                Resource Manager name the identity.
            default: True to make it the identity of `self.identity`.

        Raises:
            TypeError: the name or the role is not a text.
            ValueError: the kind or type is unknown; the role belongs to another identity or is the server's
                administrator; or PostgreSQL rejects the role's name.
        """
        run = self._running
        values.text("name", name)
        role_name = name if isinstance(role, _SameAsName) else role
        if role_name is not None:
            values.text("role", role_name)
        identity = run.directory.new_identity(name, kind, role_name, claims or {}, database_claims or {})
        if role_name is not None:
            self._create_role(role_name, role_type or _ROLE_TYPES.get(kind, "service"), [identity])
        run.directory.identities.append(identity)
        if default:
            run.directory.default = identity
        return identity

    def add_group(self, name: str, members: Sequence[Identity | str] = ()) -> Group:
        """Create a group and its role; its members log in as the role with their own tokens.

        Args:
            name: name of the group and of its role.
            members: identities or their names.

        Raises:
            TypeError: the name is not a text, or `members` is one.
            ValueError: no identity has the name of a member; or the role is not valid, as for `add_identity`.
        """
        if isinstance(members, str):
            message = f"members={members!r}: expected a list of identities or names"
            raise TypeError(message)
        values.text("name", name)
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
        """Delete an identity or a group, and its role. Open connections stay open.

        In a server that the emulator started, what the role owns is dropped; transactions that use its tables are
        ended.

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
