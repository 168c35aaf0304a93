"""Reads a routing file: every mistake at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from connect.notify.routing.rules import GIVE_UP_AFTER, Destination, Match, PagerSeverity, Route, Routing
from connect.notify.routing.schema import DestinationKeys, MatchKeys, RoutingKeys
from streams.config_files.problems import KeyPath, Place, PolicyError, Problem, dotted
from streams.config_files.scalars import close_to
from streams.config_files.yaml_reader import read_checked

_NEEDED = {"pagerduty": ("routing_key",), "slack": ("url",), "webhook": ("url", "secrets")}
_OF_KIND = {"routing_key", "url", "api", "secrets", "severities"}
_MAY = {"pagerduty": {"routing_key", "api", "severities"}, "slack": {"url"}, "webhook": {"url", "secrets"}}


class RoutingError(PolicyError):
    """A routing file that can't be used, with every problem found in it."""


def load_routing(path: Path) -> Routing:
    """A routing file. Raises RoutingError, OSError when it can't be read."""
    document, _ = read_checked(path, RoutingKeys, _cross_checks, RoutingError)
    return Routing(
        {name: _destination(name, keys) for name, keys in document.destinations.items()},
        tuple(Route(_match(keys.match), tuple(keys.to), keys.go_on, keys.language) for keys in document.routes),
    )


def _cross_checks(data: object, file: str, places: Mapping[KeyPath, Place]) -> Iterator[Problem]:
    """What spans several keys, told even when other keys are wrong."""
    if not isinstance(data, dict):
        return
    destinations, routes = data.get("destinations"), data.get("routes")
    named = destinations if isinstance(destinations, dict) else {}
    for path, what in (*_of_destinations(named), *_of_routes(routes if isinstance(routes, list) else [], named)):
        place = next(places[path[:size]] for size in range(len(path), -1, -1) if path[:size] in places)
        yield Problem(file, place, dotted(path), what)


def _of_destinations(named: Mapping[str, object]) -> Iterator[tuple[KeyPath, str]]:
    for name, keys in named.items():
        kind = keys.get("kind") if isinstance(keys, dict) else None
        if not isinstance(keys, dict) or kind not in _NEEDED:
            continue
        for needed in _NEEDED[kind]:
            if needed not in keys:
                yield ("destinations", name), f"{needed}: a destination of kind {kind} needs this"
        for key in keys:
            if key in _OF_KIND - _MAY[kind]:
                yield ("destinations", name, key), f"this says nothing to kind {kind}; allowed: leaving it out"
        api = keys.get("api")
        if isinstance(api, str) and api.startswith("http:") and keys.get("allow_private") is not True:
            yield ("destinations", name, "api"), "this is not encrypted; allowed: https, or allow_private: true"


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
                known = ", ".join(named) or "none"
                yield path, f"there is no destination {name!r}{close_to(name, named)}; allowed: {known}"
    for name in named:
        if routes and name not in used:
            yield ("destinations", name), "no route leads here; allowed: a route with it in `to`, or leaving it out"


def _destination(name: str, keys: DestinationKeys) -> Destination:
    secret = keys.routing_key if keys.kind == "pagerduty" else keys.url
    assert secret is not None
    severities: dict[tuple[str, str], PagerSeverity] = {
        (event, severity): word
        for event, words in (keys.severities or {}).items()
        for severity, word in words.model_dump(exclude_none=True).items()
    }
    return Destination(
        name=name,
        kind=keys.kind,
        secret=secret.ref(),
        url=keys.api,
        signing=tuple(each.ref() for each in keys.secrets or ()),
        language=keys.language,
        zone=keys.time_zone,
        allow_private=keys.allow_private,
        timeout=keys.timeout,
        give_up_after=keys.give_up_after or GIVE_UP_AFTER[keys.kind],
        severities=severities,
    )


def _match(keys: MatchKeys) -> Match:
    given = keys.model_dump(exclude_none=True)
    return Match(**{name: frozenset(values) for name, values in given.items()})
