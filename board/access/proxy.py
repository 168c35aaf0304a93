"""People whom a reverse proxy has authenticated: headers that count only from the proxy's networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.datastructures import Headers

from board.settings import BoardSettings
from connect.actions.person import Person, Role
from streams.sla.limits import InvalidInputError

#: The value that stands for every tenant, where a header or claim limits people to tenants.
EVERY_TENANT = "*"


class HeaderProblem(Exception):  # noqa: N818 -- it names what is wrong
    """The proxy's headers name no person; the message says why."""


def identity_headers(headers: Headers, settings: BoardSettings) -> list[str]:
    """The names of those headers of a request that would name a person or its rights."""
    names = (
        settings.proxy_user_header,
        settings.proxy_name_header,
        settings.proxy_groups_header,
        settings.proxy_tenants_header,
    )
    return [name for name in names if name and name in headers]


def person_of_headers(headers: Headers, settings: BoardSettings) -> Person:
    """The person that the proxy's headers name. Raises HeaderProblem, also for a header that is there twice: one of
    both may be the client's own."""
    identity = _one(headers, settings.proxy_user_header)
    if not identity:
        raise HeaderProblem(f"the reverse proxy sent no {settings.proxy_user_header}")
    groups = _list(_one(headers, settings.proxy_groups_header))
    tenants = None
    if settings.proxy_tenants_header:
        tenants = limited_to(_list(_one(headers, settings.proxy_tenants_header)))
    name = _one(headers, settings.proxy_name_header) or identity
    try:
        return Person(identity, name, roles_of_groups(groups, settings.roles), tenants)
    except InvalidInputError as error:
        raise HeaderProblem(f"the reverse proxy's headers name nobody: {error}") from error


def roles_of_groups(groups: Iterable[str], mapping: Mapping[str, frozenset[Role]]) -> frozenset[Role]:
    """The roles of some groups. Without a mapping, a group with the name of a role gives that role."""
    if not mapping:
        return frozenset(Role(each) for each in groups if each in set(Role))
    return frozenset().union(*(mapping.get(each, frozenset()) for each in groups))


def limited_to(tenants: Iterable[str]) -> frozenset[str] | None:
    """The tenants that a header or claim names; None for every tenant. No tenant at all: the person sees none."""
    found = frozenset(tenants)
    return None if found == {EVERY_TENANT} else found - {EVERY_TENANT}


def _one(headers: Headers, name: str) -> str:
    values = headers.getlist(name)
    if len(values) > 1:
        raise HeaderProblem(f"the header {name} is there {len(values)} times; the reverse proxy must replace it")
    # Headers are latin-1 to the server; proxies send UTF-8.
    return values[0].encode("latin-1").decode("utf-8", "replace").strip() if values else ""


def _list(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
