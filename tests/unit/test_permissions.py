"""Every role and permission, with own, foreign and all tenants, as one table."""

from __future__ import annotations

from itertools import product

import pytest

from connect.actions.permissions import PLATFORM, TABLE, Allowed, Denied, Permission, allowed, may_read
from connect.actions.person import ANONYMOUS, Person, Role
from streams.sla.events import Who
from streams.sla.limits import InvalidInputError

READS = {each for each in Permission if each.value.startswith("read-")}
#: What a role does besides reading; written apart from the product's table.
DOES = {
    Role.VIEWER: set(),
    Role.RESPONDER: {
        Permission.WORK_ON_INCIDENTS,
        Permission.PLAN_MAINTENANCE,
        Permission.RETRY_REJECTED,
        Permission.PROPOSE,
        Permission.APPROVE,
    },
    Role.BILLING: {Permission.CLAIM_CREDIT, Permission.IMPORT_CONTRACTS},
    Role.ADMIN: set(Permission),
}


def person(role: Role, tenants: set[str] | None = None) -> Person:
    return Person("kim", "Kim", frozenset({role}), None if tenants is None else frozenset(tenants))


def expected(role: Role, permission: Permission) -> bool:
    return permission in DOES[role] or (permission in READS and permission is not Permission.READ_AUDIT)


def test_every_permission_is_in_the_table_and_an_admin_has_it() -> None:
    assert set(TABLE) == set(Permission)
    assert all(Role.ADMIN in roles for roles in TABLE.values())


@pytest.mark.parametrize(("role", "permission"), list(product(Role, Permission)))
def test_a_role_allows_what_its_row_says(role: Role, permission: Permission) -> None:
    unlimited, limited = person(role), person(role, {"acme", "beta"})
    for concerned in (PLATFORM, {"acme"}, {"acme", "gamma"}):
        decision = allowed(unlimited, permission, concerned)
        assert isinstance(decision, Allowed) == expected(role, permission)
        if isinstance(decision, Denied):
            assert decision.cause == "role"
    for concerned, cause in (({"acme"}, None), ({"acme", "beta"}, None), ({"acme", "gamma"}, "tenant")):
        decision = allowed(limited, permission, concerned)
        if not expected(role, permission):
            assert isinstance(decision, Denied)
            assert decision.cause == "role"
        elif cause is None:
            assert decision == Allowed()
        else:
            assert isinstance(decision, Denied)
            assert decision.cause == cause
            assert "gamma" not in decision.reason
    for concerned in (PLATFORM, set()):
        decision = allowed(limited, permission, concerned)
        assert isinstance(decision, Denied)
        assert decision.cause == ("platform" if expected(role, permission) else "role")


@pytest.mark.parametrize("permission", Permission)
def test_an_anonymous_person_reads_and_is_asked_to_sign_in_for_the_rest(permission: Permission) -> None:
    decision = allowed(ANONYMOUS, permission)
    if expected(Role.VIEWER, permission):
        assert decision == Allowed()
    else:
        assert isinstance(decision, Denied)
        assert decision.cause == "sign_in"


def test_without_a_role_nothing_is_allowed() -> None:
    nobody = Person("kim", "Kim", frozenset())
    assert all(isinstance(allowed(nobody, each, {"acme"}), Denied) for each in Permission)
    decision = allowed(nobody, Permission.WORK_ON_INCIDENTS)
    assert isinstance(decision, Denied)
    assert decision.reason == "work-on-incidents needs the role responder or admin; kim has: none"


def test_a_person_without_any_tenant_sees_and_does_nothing() -> None:
    limited = person(Role.ADMIN, set())
    assert all(isinstance(allowed(limited, each, {"acme"}), Denied) for each in Permission)


def test_a_limited_person_reads_scoped_areas_alone() -> None:
    limited, unlimited = person(Role.VIEWER, {"acme"}), person(Role.VIEWER)
    for area in READS - {Permission.READ_AUDIT}:
        assert may_read(limited, area, scoped=True) == Allowed()
        assert isinstance(may_read(limited, area, scoped=False), Denied)
        assert may_read(unlimited, area, scoped=False) == Allowed()
        assert isinstance(may_read(Person("kim", "Kim", frozenset()), area, scoped=True), Denied)


def test_events_name_a_person_as_support_and_a_limited_one_as_customer() -> None:
    assert person(Role.RESPONDER).who == Who("support", "kim")
    assert person(Role.RESPONDER, {"acme"}).who == Who("customer", "kim")


@pytest.mark.parametrize("identity", ["", "x" * 129, "kim\n"])
def test_an_id_that_no_event_can_carry_is_no_person(identity: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^person: "):
        Person(identity, "Kim", frozenset())
