"""Checks of `body` and `authentication` of a source, across their keys."""

from __future__ import annotations

from collections.abc import Iterator

from connect.intake.formats.source_format import SourceFormat
from connect.intake.mapping.body_keys import BODY_VALUES
from connect.intake.mapping.body_rules import IGNORED, OPENED, RESOLVED, UPDATED, WAITING, WAITING_ENDED
from connect.intake.mapping.entry_checks import NEVER_APPLIES, entry_problems, path_problems, unreachable
from connect.intake.mapping.headers import PREFIX, own_header_problems
from streams.config_files.problems import KeyPath

_LISTS = ("incident", "state", "author", "who", "text", "visibility")
_PATHS = ("items", "left_out", "message", "ticket")
_TIMES = ("time", "opened_at", "resolved_at")
Problems = Iterator[tuple[KeyPath, str]]


def secret_problems(keys: dict[str, object], here: KeyPath) -> Problems:
    """A source has secrets, unless a proxy has verified its certificate."""
    given = keys.get("authentication")
    by_proxy = isinstance(given, dict) and "proxy_subject" in given
    if by_proxy and "secrets" in keys:
        yield (*here, "secrets"), "a client certificate proves this sender; allowed: leaving it out"
    elif not by_proxy and "secrets" not in keys:
        yield here, "secrets: this key is missing; allowed: a list of {env: NAME} or {file: PATH}"
    if "body" in keys and "replay_window" in keys and not _has_signed_time(given):
        what = "no signed time can be compared with it; allowed: with `timestamp` below `authentication: hmac`"
        yield (*here, "replay_window"), what


def _has_signed_time(authentication: object) -> bool:
    signature = authentication.get("hmac") if isinstance(authentication, dict) else None
    return isinstance(signature, dict) and "timestamp" in signature


def body_problems(keys: dict[str, object], source: KeyPath, form: SourceFormat) -> Problems:
    """What can never match or never count, and times that are missing."""
    body, here = keys.get("body"), (*source, "body")
    if not isinstance(body, dict):
        return
    for name in _LISTS:
        entries = body.get(name)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict):
                yield from entry_problems(name, entry, (*here, name, index), form, BODY_VALUES.get(name))
        if name == "state":
            for index in unreachable(entries):
                yield (*here, name, index), f"{NEVER_APPLIES}; allowed: above that"
    yield from own_header_problems(keys, source)
    for name in _PATHS:
        if isinstance(body.get(name), str):
            yield from path_problems(str(body[name]), (*here, name), form)
            if name in ("items", "left_out") and str(body[name]).startswith(PREFIX):
                yield (*here, name), f"{name} are in the body, never in a header; allowed: alerts, $.more"
    for name in _TIMES:
        given = body.get(name)
        for index, each in enumerate(given if isinstance(given, list) else [given]):
            path = each.get("from") if isinstance(each, dict) else each
            if isinstance(path, str) and path != "receipt":
                yield from path_problems(path, (*here, name, index), form)
    yield from _unused_and_missing(body, here)


def _unused_and_missing(body: dict[str, object], here: KeyPath) -> Problems:
    facts = set(_facts(body.get("state")))
    if not facts:
        return  # reported by the schema
    if OPENED not in facts:
        yield (*here, "state"), "no value means opened, so no incident ever begins; allowed: at least one that does"
    if UPDATED not in facts:
        for name in ("text", "visibility"):
            if name in body:
                yield (*here, name), "no value of `state` means updated, so it never counts; allowed: leaving it out"
    if WAITING_ENDED in facts and not facts & WAITING.keys():
        what = f"{WAITING_ENDED} without anything to wait for; allowed: with {' or '.join(WAITING)}"
        yield (*here, "state"), what
    if "left_out" in body and "items" not in body:
        yield (*here, "left_out"), "without `items` nothing can be left out; allowed: with `items`"
    if "time" in body:
        return
    for fact in sorted(facts - {IGNORED}):
        own = {OPENED: "opened_at", RESOLVED: "resolved_at"}.get(fact)
        if own is None or own not in body:
            names = "time" if own is None else f"time or {own}"
            yield here, f"{names}: is missing, and {fact} needs one; allowed: a path, or the word receipt"
            return


def _facts(state: object) -> Iterator[str]:
    for entry in state if isinstance(state, list) else []:
        if not isinstance(entry, dict):
            continue
        table = entry.get("values")
        for given in table.values() if isinstance(table, dict) else [entry.get("value")]:
            for each in given if isinstance(given, list) else [given]:
                if each is not None:
                    yield str(each)
