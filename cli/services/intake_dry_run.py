"""What `sla intake test` shows of recorded requests: their outcomes, why, and what another mapping makes of them."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from cli.services.intake_watch import index_of
from cli.support.exits import wrong_use

if TYPE_CHECKING:
    from connect.intake.mapping.rules import Source
    from connect.intake.translate import Translation


class DryRunOptions(NamedTuple):
    """The source, address and headers of the requests, where they do not say it; whether to explain the mapping, and to
    print one JSON object for each request."""

    source: str | None = None
    path: str | None = None
    explain: bool = False
    as_json: bool = False
    headers: Mapping[str, tuple[str, ...]] = {}


class RecordedBody(NamedTuple):
    """A recorded request. `name` is empty for a single one; source and address are known of saved ones."""

    name: str
    content: bytes
    source: str | None = None
    path: str | None = None
    headers: Mapping[str, tuple[str, ...]] = {}


def headers_of(given: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The headers that `--header` gives, by their names in lower case. Raises typer.Exit."""
    found: dict[str, tuple[str, ...]] = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not colon or not name.strip():
            wrong_use(f"--header: {each[:60]!r} is no header; write 'X-GitHub-Event: issues'")
        key = name.strip().lower()
        found[key] = (*found.get(key, ()), value.strip())
    return found


def bodies_in(place: Path) -> list[RecordedBody]:
    """A file, or the files of a folder by name; hidden ones and folders within it are left out. Raises OSError,
    WatchFailed for a wrong index."""
    if not place.is_dir():
        return [RecordedBody("", place.read_bytes())]
    files = sorted(each for each in place.iterdir() if each.is_file() and not each.name.startswith("."))
    if not files:
        wrong_use(f"{place} has no file; write the body of a request, as sent, into each")
    index = index_of(place)
    return [RecordedBody(each.name, each.read_bytes(), **index.get(each.name, {})) for each in files]


@dataclass(frozen=True, slots=True)
class BodyOutcome:
    """What becomes of a body: `translation` is None where the request would be refused, which `refusal` says. `why` is
    what each entry of the mapping gives, where it was asked for."""

    name: str
    sender: Source
    translation: Translation | None
    refusal: str = ""
    why: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether nothing would be rejected."""
        return self.translation is not None and not self.translation.rejected

    def lines(self) -> list[str]:
        """For people."""
        head = f"as {self.sender.name} ({self.sender.format}):"
        outcomes = [self.refusal] if self.translation is None else describe(self.translation)
        return [head, *outcomes, *self.why]

    def fields(self) -> dict[str, object]:
        """For programs; `events` are in the JSON form, each with its topic."""
        found: dict[str, object] = {
            "file": self.name or None,
            "source": self.sender.name,
            "format": self.sender.format,
            "accepted": self.accepted,
            "refused": self.refusal or None,
        }
        if self.translation is not None:
            found["events"] = [
                {"topic": each.record.topic, "event": _json_event(each.record.value)}
                for each in self.translation.events
            ]
            found["ignored"] = [{"item": each.item, "reason": each.reason} for each in self.translation.ignored]
            found["rejected"] = [
                {"item": each.item, "code": each.code, "reason": each.reason} for each in self.translation.rejected
            ]
            found["left_out_by_sender"] = self.translation.truncated
        return found | ({"why": list(self.why)} if self.why else {})


def show(where: Path, sources: Mapping[str, Source], bodies: Sequence[RecordedBody], options: DryRunOptions) -> bool:
    """Print the outcomes of each body; whether nothing would be rejected. `where` is the mapping file."""
    fine, senders = True, {}
    for body in bodies:
        outcome = outcome_of(sources, body, options)
        senders[outcome.sender.name] = outcome.sender
        fine &= outcome.accepted
        if options.as_json:
            typer.echo(json.dumps(outcome.fields(), ensure_ascii=False))
            continue
        if body.name:
            typer.echo(f"{body.name}:")
        for line in outcome.lines():
            typer.echo(f"  {line}" if body.name else line)
    for sender in senders.values():
        for warning in sender.warnings:
            typer.echo(f"{where}, {warning}", err=True)
    return fine


def compare(
    before: Mapping[str, Source], after: Mapping[str, Source], bodies: Sequence[RecordedBody], options: DryRunOptions
) -> bool:
    """Print what two mappings make of each body where it differs; whether nothing does."""
    differing = 0
    for body in bodies:
        outcomes = [outcome_of(each, body, options) for each in (before, after)]
        old, new = ({_without_lines(line): line for line in each.lines()} for each in outcomes)
        if old.keys() == new.keys():
            continue
        differing += 1
        if options.as_json:
            sides = dict(zip(("before", "after"), (each.fields() for each in outcomes), strict=True))
            typer.echo(json.dumps({"file": body.name or None, **sides}, ensure_ascii=False))
            continue
        typer.echo(f"{body.name or 'the request'}:")
        for sign, these, others in (("-", old, new), ("+", new, old)):
            for key, line in these.items():
                if key not in others:
                    typer.echo(f"{sign} {line}")
    typer.echo(f"{differing} of {len(bodies)} requests differ", err=options.as_json)
    return not differing


def _without_lines(line: str) -> str:
    """A line without lines of the mapping: they move whenever the file is edited."""
    return re.sub(r"\bline \d+", "line", line)


def outcome_of(sources: Mapping[str, Source], body: RecordedBody, options: DryRunOptions) -> BodyOutcome:
    """What becomes of a body."""
    from connect.intake.formats.registry import max_body_of
    from connect.intake.settings import read_intake_settings
    from connect.intake.web.parsed_memory import check_parsed_size
    from connect.intake.web.responses import RequestRejected

    sender, translation = translate_body(sources, body, options)
    size, limit = len(body.content), max_body_of(sender, read_intake_settings().max_body)
    if size > limit:
        refusal = f"refuse the request (413): the body has {size:,} bytes; at most {limit:,} are allowed"
        return BodyOutcome(body.name, sender, None, refusal)
    try:
        check_parsed_size(body.content)
    except RequestRejected as error:
        return BodyOutcome(body.name, sender, None, f"refuse the request (413): {error.reason}")
    path, headers = options.path or body.path, _headers(body, options)
    why = explanation(sender, body.content, path, headers) if options.explain else []
    return BodyOutcome(body.name, sender, translation, why=tuple(why))


def explanation(
    source: Source, content: bytes, path: str | None = None, headers: Mapping[str, tuple[str, ...]] | None = None
) -> list[str]:
    """What each entry of the mapping makes of each item of a body, or of a monitor that the path names."""
    from cli.services.heartbeat_dry_run import views
    from connect.intake.formats.registry import format_of
    from connect.intake.formats.source_format import Receipt
    from connect.intake.mapping.explanation import explain
    from connect.intake.mapping.headers import NO_HEADERS
    from streams.sla.events import Rejection

    form = format_of(source)
    payload = form.parse(content)
    if not form.heartbeats and (form.translate is None or isinstance(payload, Rejection)):
        return []
    lines = []
    receipt = Receipt(headers=headers or NO_HEADERS)
    shown = views(source, path) if form.heartbeats else form.views(payload, source, receipt)
    for item, view in shown:
        lines.append(f"why, {item}:" if item else "why:")
        lines += [f"  {line}" for line in explain(source, view)]
    return lines


def describe(translation: Translation) -> list[str]:
    """The outcomes of a body, line by line: events in the JSON form, then what is ignored or rejected and why."""
    from streams.serde.cloudevents_json import format_line

    lines = []
    for event in translation.events:
        lines.append(f"publish to {event.record.topic}: {event.event_type} of {event.subject}")
        lines.append(f"  {format_line(_json_event(event.record.value))}")
    for ignored in translation.ignored:
        lines.append(f"ignore {ignored.item or 'the request'}: {ignored.reason}")
    for rejected in translation.rejected:
        lines.append(f"reject {rejected.item or 'the request'} as {rejected.code}: {rejected.reason}")
    if translation.truncated:
        lines.append(f"missing: the sender left {translation.truncated} alerts out; set max_alerts: 0")
    if not lines:
        lines.append("nothing: the request contains no item")
    return lines


def _json_event(value: bytes | None) -> dict[str, object]:
    from streams.serde.cloudevents_json import to_json
    from streams.serde.codec import decode
    from streams.sla.events import Rejection

    decoded = decode(value)
    assert not isinstance(decoded, Rejection)
    return to_json(*decoded)


def translate_body(
    sources: Mapping[str, Source], body: RecordedBody, options: DryRunOptions
) -> tuple[Source, Translation]:
    """What the service would publish. Raises typer.Exit where it is not clear who sends the body."""
    from cli.services.heartbeat_dry_run import HEARTBEATS, silence
    from connect.intake import translate
    from connect.intake.formats import cloudevents, heartbeat, rest
    from connect.intake.formats.registry import detect, format_of
    from streams.time_source import SystemTimeSource

    content = body.content
    name = options.source or (body.source if body.source in sources else None)
    path = options.path or (None if body.path in {None, "/v1/events"} or _is_hook(body.path) else body.path)
    monitor = None if path is None or not path.startswith(HEARTBEATS) else path.removeprefix(HEARTBEATS)
    form = detect(content) if path is None else rest.FORMAT if monitor is None else heartbeat.FORMAT
    if name is not None:
        chosen = sources.get(name) or wrong_use(
            f"--source: there is no source {name!r}; there are: {', '.join(sources)}"
        )
    else:
        fitting = [each for each in sources.values() if form is None or each.format == form.name]
        # A body that looks like another format may be of a sender whose mapping says where things are.
        fitting = fitting or [each for each in sources.values() if each.body is not None]
        if len(fitting) != 1:
            names = ", ".join(each.name for each in fitting) or "none"
            what = body.name or "it"
            wrong_use(f"which source sends {what}? write --source NAME; of that format there are: {names}")
        chosen = fitting[0]
    if format_of(chosen).translate is not None:
        of_receipt = chosen.body is not None and chosen.body.of_receipt()
        at = SystemTimeSource().now() if of_receipt else None
        return chosen, translate.webhook(chosen, content, at, _headers(body, options))
    if format_of(chosen).heartbeats:
        if monitor is None:
            wrong_use(f"which monitor is it? write --path {HEARTBEATS}NAME")
        return chosen, silence(chosen, monitor)
    if path is None:
        batch = content.removeprefix(BOM_UTF8).lstrip()[:1] == b"["
        media_type = cloudevents.BATCH if batch else cloudevents.STRUCTURED
        return chosen, translate.cloud_events(chosen, media_type, {}, content)
    return chosen, _plain_json(chosen, path, content)


def _headers(body: RecordedBody, options: DryRunOptions) -> Mapping[str, tuple[str, ...]]:
    """Those that the body was recorded with, and those of the command, which win."""
    return {**body.headers, **options.headers}


def _is_hook(path: str | None) -> bool:
    return path is not None and path.startswith("/v1/hooks/")


def _plain_json(source: Source, path: str, content: bytes) -> Translation:
    from connect.intake import translate
    from connect.intake.formats import rest

    for route in rest.ROUTES:
        head, marker, tail = route.path.partition("{id}")
        middle = path.removeprefix(head).removesuffix(tail)
        if path == route.path or (marker and path == f"{head}{middle}{tail}" and middle and "/" not in middle):
            return translate.plain_json(source, route, middle if marker else None, content)
    return wrong_use(f"--path: there is no address {path}; there are: {', '.join(route.path for route in rest.ROUTES)}")
