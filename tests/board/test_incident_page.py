"""The incident page: why this severity, clocks, the picture, events with their evidence."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from board_history import NOW
from board_rows import add_entry, add_incident
from fastapi.testclient import TestClient
from page_client import page_client, shown
from sqlalchemy import Engine

from board.charts.timeline import SHAPES, ChartEvent, ChartRow, ChartSpan, timeline_svg
from board.pages.incident_texts import incident_phrases
from board.store.engine import writing
from streams.i18n.catalogues import LANGUAGES, Language
from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339, parse_rfc3339
from streams.topics import TOPIC_OF


@pytest.fixture
def client(read_model: Engine) -> TestClient:
    return page_client(read_model, NOW)


def page(client: TestClient, incident_id: str, language: str = "en") -> str:
    found = client.get(f"/incidents/{incident_id}?lang={language}")
    assert found.status_code == 200
    return found.text


def test_it_says_which_rule_decided_and_which_values_met_it(client: TestClient) -> None:
    text = shown(page(client, "late-p1"))
    assert (
        "Why P1? The rule “outage” of the policy matched. It applies to: complete outage, critical performance problem"
        in text
    )
    assert "impact complete outage ✓ decided" in text
    assert "component API Policy" not in text
    assert "What P1 promises First response 2 hours, 24x7 Public updates at least every hour" in text
    assert 'href="/policies/scalr-emergency/1"' in page(client, "late-p1")


def test_the_same_in_japanese(client: TestClient) -> None:
    text = shown(page(client, "late-p1", "ja"))
    assert "P1 の理由" in text
    assert "ポリシーの規則「outage」に当てはまりました。対象は次のとおりです。 全面停止" in text


def test_a_severity_that_was_set_by_hand_names_the_person(client: TestClient) -> None:
    text = shown(page(client, "by-hand"))
    assert "A person set the severity; no rule decided it." in text
    assert re.search(r"Set by \w+ \w+ at 2026-11-20 10:10:00", text)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"rule": "default"}, "No rule of the policy matches; its default severity applies."),
        ({"rule": "default", "flags": ["no_contract"]}, "None of the tenants had a contract when it opened; the"),
        ({"rule": "renamed"}, "This version of the policy has no rule renamed."),
        ({"policy_version": "99"}, "The board does not have this version of the policy"),
        ({"covered": False}, "The component is not covered: its incidents are tracked without deadlines."),
        ({"flags": ["channel_not_entitled"]}, "no tenant of it is an emergency member"),
        (
            {"flags": ["from_a_later_release"]},
            "Flag from_a_later_release: this version of the board has no explanation",
        ),
    ],
)
def test_what_decided_and_flags_are_explained(
    empty_read_model: Engine, given: dict[str, object], expected: str
) -> None:
    state = {"flags": given.pop("flags", []), "clocks": []}
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, "inc", data=json.dumps(state), **given)
    assert expected in shown(page(page_client(empty_read_model, NOW), "inc"))


def test_every_known_flag_has_an_explanation() -> None:
    from streams.sla.incidents.classification import STANDING_FLAGS

    known = {"default", "no_contract", "channel_not_entitled", "unknown_plan", *STANDING_FLAGS}
    assert set(incident_phrases("en").flags) == known


def test_clocks_have_state_deadline_and_what_they_took(client: TestClient) -> None:
    text = shown(page(client, "late-p1"))
    assert "response 1 ✕ breached 2026-11-20 05:20:00 2026-11-20 07:20:00" in text


def test_events_have_exact_times_authors_and_evidence(client: TestClient) -> None:
    text = shown(page(client, "late-p1"))
    assert re.search(r"2026-11-20 07:50:00 responded support ann · /desk incident-events \d \d+", text)
    assert re.search(
        r"2026-11-20 07:20:00 breached response 1 · deadline 2026-11-20 07:20:00 /sla/incidents alerts", text
    )


def test_merged_incidents_link_to_each_other(client: TestClient) -> None:
    merged = page(client, "merged")
    assert "Merged: work goes on in the other incident." in merged
    assert 'merged into <a href="/incidents/open-p1"' in merged
    assert 'merged from <a href="/incidents/merged"' in page(client, "open-p1")


def test_an_annulled_incident_is_marked(client: TestClient) -> None:
    text = shown(page(client, "annulled"))
    assert "Annulled: its breaches are retracted and its outage counts nowhere." in text
    assert "approved by" in text


def test_a_text_of_markup_is_shown_as_text(client: TestClient) -> None:
    text = page(client, "hostile")
    assert "<script>alert(" not in text
    assert "&lt;script&gt;alert(" in text


def test_an_unknown_incident_says_what_may_be_wrong(client: TestClient) -> None:
    found = client.get("/incidents/%3Cscript%3E")
    assert found.status_code == 404
    assert "There is no incident <script>" in unescape(found.text)
    assert "<script>" not in re.sub(r"<script[^>]+(src|application/json)[^>]*>", "", found.text)
    assert "SLA_BOARD_RETENTION" in found.text


def test_thousands_of_events_come_in_pages(empty_read_model: Engine) -> None:
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, "long", opened_at=NOW - HOUR)
        for offset in range(1200):
            add_entry(connection, "long", offset, occurred_at=NOW - HOUR + offset)
    client = page_client(empty_read_model, NOW)
    text, seen, pages = page(client, "long"), 0, 1
    assert "The picture shows the first 500 events." in text
    while True:
        seen += len(re.findall(r'class="nowrap mono"[^>]*>incident-events', text))
        after = re.search(r'hx-get="(\?after=[^"]+)"', text)
        if after is None:
            break
        text = client.get(f"/incidents/long{unescape(after[1])}", headers={"HX-Request": "true"}).text
        assert text.lstrip().startswith("<tr")
        pages += 1
    assert (seen, pages) == (1200, 3)


def test_a_fact_that_arrived_late_says_how_late(empty_read_model: Engine) -> None:
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, "inc")
        add_entry(connection, "inc", 1, occurred_at=NOW - 3 * HOUR, arrived_at=NOW, data='{"who":{"kind":"robot"}}')
    text = shown(page(page_client(empty_read_model, NOW), "inc"))
    assert "arrived 3 h 00 min later" in text
    assert "unknown · /desk" in text


def picture(rows: list[ChartRow], now: int | None = NOW, zone: str = "UTC") -> str:
    made = timeline_svg(rows, title="t<", description="d>", zone=ZoneInfo(zone), now=now, now_label="now")
    return str(made)


def test_the_picture_is_accessible_and_escaped() -> None:
    text = picture([ChartRow("<r>", [ChartSpan(NOW - HOUR, None, "outage", "<b>")])])
    assert 'role="img" aria-labelledby="timeline-title timeline-desc"' in text
    assert '<title id="timeline-title">t&lt;</title><desc id="timeline-desc">d&gt;</desc>' in text
    assert "<b>" not in text
    assert "&lt;r&gt;" in text


def test_nothing_to_show_is_no_picture() -> None:
    assert picture([ChartRow("empty")], now=None) == ""


@pytest.mark.parametrize("length", [1, MINUTE, HOUR, DAY, 30 * DAY, 4000 * DAY])
def test_the_axis_has_few_round_instants_of_the_zone(length: int) -> None:
    event = ChartEvent(NOW - length, "fact", "f")
    names = re.findall(r'class="tick-name"[^>]*>([^<]+)<', picture([ChartRow("r", (), [event])], zone="Asia/Kolkata"))
    assert len(names) <= 10
    if HOUR <= length < 10 * DAY:
        assert names
        assert all(name.endswith(("0", "5")) for name in names)


def test_bars_keep_within_the_picture_and_a_breach_is_hatched() -> None:
    spans = [
        ChartSpan(NOW - HOUR, NOW - MINUTE, "breached", "b", NOW - MINUTE),
        ChartSpan(NOW, None, "running", "r", NOW + 3 * HOUR),
    ]
    text = picture([ChartRow("r", spans)])
    assert text.count('fill="url(#hatch)"') == 1
    for left, width in re.findall(r'<rect[^>]* x="([\d.]+)"[^>]* width="([\d.]+)"', text):
        assert float(left) >= 0
        assert float(left) + float(width) <= 1000


def test_every_kind_has_a_shape_of_its_own_and_a_name() -> None:
    assert len(set(SHAPES.values())) == len(SHAPES)
    assert set(SHAPES) == set(incident_phrases("en").kinds)


def test_a_cursor_that_is_no_cursor_starts_at_the_beginning(client: TestClient) -> None:
    assert client.get("/incidents/open-p1?after=x~y").status_code == 200


def test_a_pause_is_shown(empty_read_model: Engine) -> None:
    clock = {"metric": "resolution", "instance": 1, "state": "paused", "started_at": format_rfc3339(NOW - HOUR)}
    clock |= {"deadline_revision": 2, "paused_since": format_rfc3339(NOW - MINUTE)}
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, "inc", data=json.dumps({"clocks": [clock]}), next_deadline=None, waiting="customer")
        add_entry(connection, "inc", 1, type="incident.waiting", data='{"on":"customer"}', occurred_at=NOW - MINUTE)
    text = page(page_client(empty_read_model, NOW), "inc")
    assert "paused since 2026-11-20 11:59:00" in shown(text)
    assert "(deadline changed 2 times)" in shown(text)
    assert 'class="span waiting"' in text
    assert 'class="span paused"' in text


GOLDEN = Path(__file__).parents[2] / "schemas" / "golden"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_event_of_the_contract_is_shown(empty_read_model: Engine, language: Language) -> None:
    """Golden events have a null and an absent value wherever the contract allows one."""
    with writing(empty_read_model).begin() as connection:
        add_incident(connection, "inc-1")
        for offset, file in enumerate(sorted(GOLDEN.glob("*.json"))):
            event = json.loads(file.read_text(encoding="utf-8"))
            topic = TOPIC_OF.get(event["type"])
            if topic in {"incident-events", "incidents", "alerts"}:
                add_entry(
                    connection,
                    "inc-1",
                    offset,
                    topic=topic,
                    type=event["type"],
                    occurred_at=parse_rfc3339(event["time"]),
                    data=json.dumps(event["data"]),
                )
    text = shown(page(page_client(empty_read_model, NOW), "inc-1", language))
    assert incident_phrases(language).states["paused"] in text  # the clock that is paused while it is classified
