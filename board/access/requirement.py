"""What each address of the board requires. A route declares it among its dependencies; without, the board won't start.

`AccessControl` (enforce.py) decides before a request's body is read. The declaration runs once more in the endpoint and
raises when nobody decided, so that a route is closed wherever it is mounted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi import Depends, FastAPI, Request
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import compile_path

from connect.actions.permissions import Permission


@dataclass(frozen=True, slots=True)
class Requirement:
    """`permission`: what the person must be allowed to; None: everybody, also who is not signed in. `scoped`: the
    address shows a person who is limited to tenants nothing of others; without, it is closed to such people."""

    permission: Permission | None
    scoped: bool = False

    def __call__(self, request: Request) -> None:
        if self.permission is not None and getattr(request.state, GRANTED, None) != self:
            raise RuntimeError(f"nobody checked {self.permission} for {request.url.path}")


#: The attribute of a request's state that says which requirement was checked.
GRANTED = "granted"


def requires(permission: Permission, *, scoped: bool = False) -> Any:
    """For `dependencies` of a router or route: only for people with this permission."""
    return Depends(Requirement(permission, scoped))


def open_to_all() -> Any:
    """For `dependencies` of a router or route: also for people who are not signed in."""
    return Depends(Requirement(None))


class Address(NamedTuple):
    """An address of the board, and what it requires."""

    path: str
    methods: frozenset[str]
    requirement: Requirement


class Addresses:
    """Every address of an application, in the order in which requests are matched.

    Raises ValueError for routes that declare no requirement, or several.
    """

    def __init__(self, app: FastAPI) -> None:
        self.all = tuple(_declared(iter_route_contexts(app.routes)))
        self._matchers = [(compile_path(each.path)[0], each) for each in self.all]

    def find(self, method: str, path: str) -> Address | None:
        """The address that answers a request; None when there is none."""
        wanted = "GET" if method == "HEAD" else method
        matching = (each for pattern, each in self._matchers if pattern.match(path))
        return next((each for each in matching if wanted in each.methods or method in each.methods), None)


def _declared(routes: Iterable[RouteContext]) -> Iterator[Address]:
    for route in routes:
        path = route.path or "?"
        found = [each.dependency for each in getattr(route, "dependencies", None) or ()]
        found = [each for each in found if isinstance(each, Requirement)]
        if len(found) != 1:
            raise ValueError(f"{path}: a route declares what it requires exactly once; this one {len(found)} times")
        yield Address(path, frozenset(route.methods or ()), found[0])
