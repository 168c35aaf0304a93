"""What each role allows: one table of permissions, and the decision for a person and the tenants concerned."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from connect.actions.person import Person, Role


class Permission(StrEnum):
    """A read area, or a kind of action. The values are words of the audit log."""

    READ_INCIDENTS = "read-incidents"
    READ_TENANTS = "read-tenants"
    READ_OVERVIEW = "read-overview"
    READ_POLICIES = "read-policies"
    READ_WHAT_IF = "read-what-if"
    READ_REJECTS = "read-rejects"
    READ_SYSTEM = "read-system"
    READ_PROPOSALS = "read-proposals"
    READ_AUDIT = "read-audit"

    WORK_ON_INCIDENTS = "work-on-incidents"
    PLAN_MAINTENANCE = "plan-maintenance"
    RETRY_REJECTED = "retry-rejected"
    PROPOSE = "propose"
    APPROVE = "approve"
    CLAIM_CREDIT = "claim-credit"
    IMPORT_CONTRACTS = "import-contracts"
    ERASE_TENANT = "erase-tenant"


_EVERYBODY = frozenset(Role)
_RESPONDERS = frozenset({Role.RESPONDER, Role.ADMIN})
_BILLING = frozenset({Role.BILLING, Role.ADMIN})
_ADMINS = frozenset({Role.ADMIN})

#: The roles that have each permission.
TABLE: Mapping[Permission, frozenset[Role]] = MappingProxyType(
    {
        Permission.READ_INCIDENTS: _EVERYBODY,
        Permission.READ_TENANTS: _EVERYBODY,
        Permission.READ_OVERVIEW: _EVERYBODY,
        Permission.READ_POLICIES: _EVERYBODY,
        Permission.READ_WHAT_IF: _EVERYBODY,
        Permission.READ_REJECTS: _EVERYBODY,
        Permission.READ_SYSTEM: _EVERYBODY,
        Permission.READ_PROPOSALS: _EVERYBODY,
        Permission.READ_AUDIT: _ADMINS,
        Permission.WORK_ON_INCIDENTS: _RESPONDERS,
        Permission.PLAN_MAINTENANCE: _RESPONDERS,
        Permission.RETRY_REJECTED: _RESPONDERS,
        Permission.PROPOSE: _RESPONDERS,
        Permission.APPROVE: _RESPONDERS,
        Permission.CLAIM_CREDIT: _BILLING,
        Permission.IMPORT_CONTRACTS: _BILLING,
        Permission.ERASE_TENANT: _ADMINS,
    }
)

#: What takes two people.
FOUR_EYES = frozenset({Permission.PROPOSE, Permission.APPROVE})

#: Something that concerns every tenant or none by name: scope platform, a reject, a policy.
PLATFORM: Literal["platform"] = "platform"
Concerned = Set[str] | Literal["platform"]

Cause = Literal["sign_in", "role", "tenant", "platform", "token"]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The person may."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The person may not.

    `cause`: `sign_in` (nobody is signed in, and somebody with a role of `roles` may), `role` (none of the person's
    roles allows it; those of `roles` do), `tenant` (tenants are concerned that are not the person's), `platform` (every
    tenant is concerned, and the person is limited to some), `token` (a token vouches for the person, who would have to
    sign in). `reason` says it in English and names no foreign tenant.
    """

    cause: Cause
    permission: Permission
    roles: tuple[Role, ...]
    reason: str


def allowed(person: Person, permission: Permission, concerned: Concerned = PLATFORM) -> Allowed | Denied:
    """Whether a person has a permission for what concerns these tenants, or `PLATFORM`.

    Somebody limited to tenants acts only where every tenant concerned is the person's own; no tenant at all counts as
    `PLATFORM`. For lists, which show the person's own tenants only, use `may_read`.
    """
    missing = _without_role(person, permission)
    if missing is not None:
        return missing
    if person.tenants is None:
        return Allowed()
    roles = _roles_of(permission)
    if concerned == PLATFORM or not concerned:
        reason = f"{permission} concerns all tenants here; {person.id} is limited to some. Ask somebody without a limit"
        return Denied("platform", permission, roles, reason)
    if not set(concerned) <= person.tenants:
        reason = f"{permission} concerns tenants here that are not among those of {person.id}"
        return Denied("tenant", permission, roles, reason)
    return Allowed()


def may_read(person: Person, permission: Permission, *, scoped: bool) -> Allowed | Denied:
    """Whether a person may see a read area. Somebody limited to tenants sees only areas that are `scoped`: those that
    show nothing of other tenants."""
    missing = _without_role(person, permission)
    if missing is not None:
        return missing
    if person.tenants is not None and not scoped:
        reason = f"{permission} shows data of all tenants; {person.id} is limited to some. Ask somebody without a limit"
        return Denied("platform", permission, _roles_of(permission), reason)
    return Allowed()


def without_token(person: Person, permission: Permission) -> Denied | None:
    """What is denied to somebody for whom a token vouches, where others vouch for people too: whoever has a token and
    an account there could have two ids, and be both persons of a proposal."""
    if permission not in FOUR_EYES:
        return None
    reason = (
        f"{permission} needs {person.id} to sign in at the provider: with a token, one person could propose and approve"
    )
    return Denied("token", permission, _roles_of(permission), reason)


def _without_role(person: Person, permission: Permission) -> Denied | None:
    roles = _roles_of(permission)
    if person.roles & TABLE[permission]:
        return None
    needed = " or ".join(roles)
    if not person.signed_in:
        return Denied("sign_in", permission, roles, f"{permission} needs a signed-in person with the role {needed}")
    has = ", ".join(sorted(person.roles)) or "none"
    return Denied("role", permission, roles, f"{permission} needs the role {needed}; {person.id} has: {has}")


def _roles_of(permission: Permission) -> tuple[Role, ...]:
    return tuple(role for role in Role if role in TABLE[permission])
