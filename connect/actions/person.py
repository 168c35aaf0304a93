"""Who acts: an authenticated person with roles, perhaps limited to some tenants."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from streams.sla.events import Who
from streams.sla.limits import check_id


class Role(StrEnum):
    """What a person may do; `permissions.TABLE` says what each role allows."""

    VIEWER = "viewer"
    RESPONDER = "responder"
    BILLING = "billing"
    ADMIN = "admin"


#: Roles as messages list them.
ROLE_NAMES = ", ".join(Role)


@dataclass(frozen=True, slots=True)
class Person:
    """A person whom a sign-in has authenticated, or `ANONYMOUS`.

    `id` is what events name in `who.id`: 1 to 128 characters, no control character. `tenants` limits the person to
    these tenants; None: every tenant. Raises InvalidInputError for ids that no event can carry.
    """

    id: str
    name: str
    roles: frozenset[Role]
    tenants: frozenset[str] | None = None
    signed_in: bool = True

    def __post_init__(self) -> None:
        check_id(self.id, "person")
        for tenant in self.tenants or ():
            check_id(tenant, "tenants")

    @property
    def who(self) -> Who:
        """The author as events name it: the customer's own people are limited to their tenants."""
        return Who("support" if self.tenants is None else "customer", self.id)


#: Whoever uses a board on its own machine without sign-in: reads everything, does nothing.
ANONYMOUS = Person("anonymous", "anonymous", frozenset({Role.VIEWER}), signed_in=False)
