"""Nothing that a sender may write makes the intake's core raise: recorded payloads with any part replaced (R27)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from connect.intake import translate
from connect.intake.formats import cloudevents, registry
from connect.intake.formats.rest import ROUTES
from connect.intake.formats.source_format import Receipt
from connect.intake.kafka_records import reject_record
from connect.intake.mapping_file import load_mapping
from connect.intake.outcome import RequestOutcome
from connect.intake.web.openapi_examples import EXAMPLES, STRUCTURED_EXAMPLE
from connect.intake.web.responses import translation_response

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    **load_mapping(ROOT / "examples" / "intake.yaml"),
    **load_mapping(ROOT / "examples" / "intake" / "feedback.yaml"),
    **load_mapping(ROOT / "examples" / "intake" / "statuspage.yaml"),
}
RECORDED = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "tests/data/intake").glob("*.json")
}

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["\ud800", "x" * 5000, "2026-04-10T08:00:00Z", "9999-12-31T23:59:59.9999999-23:59", "\0", "*"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "key", "name", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


@st.composite
def mutated(draw: st.DrawFn, payload: Any) -> bytes:
    for _ in range(draw(st.integers(min_value=1, max_value=3))):
        payload = replaced(payload, draw(st.sampled_from(places(payload))), draw(VALUES))
    return json.dumps(payload).encode()


def answered(translation: translate.Translation, source: str, content: bytes) -> None:
    """What follows a translation has to work too: the answer, and the record of the rejected topic."""
    assert translation_response(translation).status in {202, 403, 422}
    if translation.rejected:
        reject_record(source, "application/json", content, translation.rejected, 0, bytes(16))
    for ready in translation.events:
        ready.record.key.encode()


@settings(max_examples=settings.default.max_examples * 6)
@given(st.data())
def test_webhooks(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(RECORDED)))
    content = data.draw(mutated(RECORDED[name]))
    source = SOURCES[name.partition("-")[0].replace("alertmanager", "prometheus")]
    answered(translate.webhook(source, content), source.name, content)


JSON_SENDERS = [
    (load_mapping(ROOT / "examples" / "intake" / f"{folder.name}.yaml")[folder.name], json.loads(path.read_bytes()))
    for folder in sorted((ROOT / "examples" / "intake" / "recorded").iterdir())
    for path in sorted(folder.iterdir())
]


@settings(max_examples=settings.default.max_examples * 3)
@given(st.data())
def test_any_json(data: st.DataObject) -> None:
    source, payload = data.draw(st.sampled_from(JSON_SENDERS))
    content = data.draw(mutated(payload))
    answered(translate.webhook(source, content, 1_791_800_000_000_000), source.name, content)
    registry.format_of(source).without_secrets(content)


PRESS = json.loads((ROOT / "tests/data/intake/slack/press.json").read_text(encoding="utf-8"))


@settings(max_examples=settings.default.max_examples * 4)
@given(st.data())
def test_presses_of_buttons(data: st.DataObject) -> None:
    source, form = SOURCES["slack"], registry.FORMATS["slack"]
    content = urlencode({"payload": data.draw(mutated(PRESS)), "x": data.draw(st.sampled_from(["", "1"]))}).encode()
    found = translate.webhook(source, content)
    answered(found, source.name, form.without_secrets(content))
    assert form.reply is not None
    problems = tuple(each.reason for each in (*found.ignored, *found.rejected))
    told = RequestOutcome(tuple((each.event_type, each.subject) for each in found.events), problems)
    reply = form.reply(form.parse(content), source, told)
    assert reply is None or reply.url.startswith("https://hooks.slack.com/")


PAGES = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "tests/data/intake/statuspage").glob("*.json"))
]


@settings(max_examples=settings.default.max_examples * 3)
@given(st.data())
def test_webhooks_of_status_pages(data: st.DataObject) -> None:
    source, form = SOURCES["status"], registry.FORMATS["statuspage"]
    content = data.draw(mutated(data.draw(st.sampled_from(PAGES))))
    source = replace(source, component_incidents=data.draw(st.booleans()))
    answered(translate.webhook(source, content), source.name, form.without_secrets(content))
    assert isinstance(list(form.views(form.parse(content), source, Receipt())), list)


@settings(max_examples=settings.default.max_examples * 2)
@given(st.data())
def test_plain_json_and_cloudevents(data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(ROUTES))
    content = data.draw(mutated(EXAMPLES[route.event_type]))
    path_id = data.draw(st.text(min_size=1, max_size=140)) if route.subject == "{id}" else None
    source = SOURCES["services"]
    answered(translate.plain_json(source, route, path_id, content), source.name, content)
    batch = data.draw(mutated([STRUCTURED_EXAMPLE]))
    answered(translate.cloud_events(source, cloudevents.BATCH, {}, batch), source.name, batch)


@given(st.binary(max_size=40))
def test_bytes(content: bytes) -> None:
    for source in SOURCES.values():
        if source.format == "api":
            answered(translate.cloud_events(source, cloudevents.STRUCTURED, {}, content), source.name, content)
        else:
            answered(translate.webhook(source, content), source.name, content)
