"""Reads a routing file: every mistake at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from connect.notify.destinations.kind import Destination
from connect.notify.destinations.registry import DESTINATION_KINDS
from connect.notify.routing.rules import Match, Route, Routing
from connect.notify.routing.schema import CommonKeys, MatchKeys, RoutingKeys
from streams.config_files.problems import KeyPath, Place, PolicyError, Problem, dotted
from streams.config_files.scalars import close_to, listed
from streams.config_files.yaml_reader import check_content

_KIND_KEYS = frozenset(key for kind in DESTINATION_KINDS.values() for key in kind.keys.model_fields)


class RoutingError(PolicyError):
    """A routing file that can't be used, with every problem found in it."""


def load_routing(path: Path) -> Routing:
    """A routing file. Raises RoutingError, OSError when it can't be read."""
    return routing_in(path.read_bytes(), str(path))


def routing_in(content: bytes, file: str) -> Routing:
    """The content of a routing file. Raises RoutingError; its problems name `file`."""
    document, _ = check_content(content, file, RoutingKeys, _cross_checks, RoutingError)
    return Routing(
        {name: _destination(name, keys) for name, keys in document.destinations.items()},
        tuple(Route(_match(keys.match), tuple(keys.to), keys.continues, keys.language) for keys in document.routes),
    )


def _cross_checks(data: object, file: str, places: Mapping[KeyPath, Place]) -> Iterator[Problem]:
    """Problems that span several keys, reported even when other keys are wrong."""
    if not isinstance(data, dict):
        return
    destinations, routes = data.get("destinations"), data.get("routes")
    named = destinations if isinstance(destinations, dict) else {}
    for path, what in (*_of_destinations(named), *_of_routes(routes if isinstance(routes, list) else [], named)):
        place = next(places[path[:size]] for size in range(len(path), -1, -1) if path[:size] in places)
        yield Problem(file, place, dotted(path), what)


def _of_destinations(named: Mapping[str, object]) -> Iterator[tuple[KeyPath, str]]:
    for name, keys in named.items():
        kind = DESTINATION_KINDS.get(str(keys.get("kind"))) if isinstance(keys, dict) else None
        if not isinstance(keys, dict) or kind is None:
            continue
        for required in kind.required_keys:
            if required not in keys:
                yield ("destinations", name), f"{required}: a destination of kind {kind.name} needs this"
        for key in keys:
            if key in _KIND_KEYS and key not in kind.keys.model_fields:
                problem = f"this key does not apply to kind {kind.name}; allowed: leaving it out"
                yield ("destinations", name, key), problem
        for key, problem in kind.check(keys):
            yield ("destinations", name, key), problem


def _of_routes(routes: list[object], named: Mapping[str, object]) -> Iterator[tuple[KeyPath, str]]:
    used: set[str] = set()
    for index, route in enumerate(routes):
        to = route.get("to") if isinstance(route, dict) else None
        for where, name in enumerate(to if isinstance(to, list) else [to]):
            if not isinstance(name, str):
                continue
            used.add(name)
            if name not in named:
                path: KeyPath = ("routes", index, "to", *((where,) if isinstance(to, list) else ()))
                known = listed(named) or "none"
                yield path, f"there is no destination {name!r}{close_to(name, named)}; allowed: {known}"
    for name in named:
        if routes and name not in used:
            yield ("destinations", name), "no route leads here; allowed: a route with it in `to`, or leaving it out"


def _destination(name: str, keys: CommonKeys) -> Destination:
    kind = DESTINATION_KINDS[keys.kind]
    config = kind.configure(keys)
    return Destination(
        name=name,
        kind=kind,
        secret=config.secret,
        api=config.api,
        signing=config.signing,
        language=keys.language,
        zone=keys.time_zone,
        allow_private=keys.allow_private,
        timeout=keys.timeout,
        give_up_after=keys.give_up_after or kind.give_up_after,
        severities=config.severities,
        pages_per_minute=config.pages_per_minute or kind.pages_per_minute,
        title_links=config.title_links,
        buttons=config.buttons,
    )


def _match(keys: MatchKeys) -> Match:
    given = keys.model_dump(exclude_none=True)
    return Match(**{name: frozenset(values) for name, values in given.items()})
