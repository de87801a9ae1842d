"""Identities and groups, and the roles that they log in as."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

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
    """Who exists."""

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
