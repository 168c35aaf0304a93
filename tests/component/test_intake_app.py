"""The intake's promises over HTTP: 202 after the acknowledgement only, and each refusal with its status."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from intake_bench import NOW, SECRETS, recorded, run, served, token, types
from structlog.testing import capture_logs
from yarl import URL

from connect.intake.formats import registry
from connect.intake.formats.rest import ROUTES
from connect.intake.mapping.expressions import parse_expression
from connect.intake.mapping.mapping_rule import Condition
from connect.intake.mapping.paths import parse_path
from connect.intake.permissions import FOUR_EYES
from connect.intake.web.openapi import document
from connect.intake.web.openapi_examples import EXAMPLES, STRUCTURED_EXAMPLE
from streams.runtime import dead_letter
from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.sla.instants import SECOND, parse_rfc3339

STRUCTURED = {"Content_Type": "application/cloudevents+json"}
BATCH = {"Content_Type": "application/cloudevents-batch+json"}


def test_202_comes_after_the_acknowledgement_and_not_before() -> None:
    async def scenario() -> None:
        async with served() as bench:
            bench.publisher.open.clear()
            asked = asyncio.create_task(bench.hook("prometheus", recorded("alertmanager-firing")))
            while len(bench.publisher.given) < 2:
                await asyncio.sleep(0)
            for _ in range(50):
                await asyncio.sleep(0)
            assert not asked.done()
            bench.publisher.open.set()
            status, body, _ = await asked
            assert status == 202
            assert [each["type"] for each in body["published"]] == ["incident.opened"] * 2  # type: ignore[index, attr-defined]
            assert types(bench) == ["incident.opened"] * 2

    run(scenario)


def test_an_alert_that_fires_on_after_a_resolution_reopens_its_incident_from_any_replica() -> None:
    """Prometheus was cut off: the same fingerprint and start again, at a replica that knows of no resolution."""

    async def scenario() -> None:
        async with served() as bench:

            async def published(name: str) -> list[dict[str, str]]:
                status, body, _ = await bench.hook("prometheus", recorded(f"alertmanager-{name}"))
                assert status == 202
                subject = "prometheus-3b4b9ea4f3ae8b1a-20260410T075200.123456Z"
                return [each for each in body["published"] if each["subject"] == subject]  # type: ignore[attr-defined]

            bench.clock.at = parse_rfc3339("2026-04-10T09:30:30Z")
            first = await published("firing")
            assert [each["type"] for each in first] == ["incident.opened", "incident.reopened"]
            bench.clock.at += 300 * SECOND
            assert await published("firing") == first, "a repeat within the step is the same event"
            reopened = [
                each for each in bench.publisher.acknowledged if dict(each.headers)["ce_type"].endswith(b"reopened")
            ]
            assert reopened[0] == reopened[2]
            decoded = decode(reopened[0].value)
            assert not isinstance(decoded, Rejection)
            assert decoded[1]["started_at"] == parse_rfc3339("2026-04-10T07:52:00.123456Z")
            assert decoded[1]["occurred_at"] == parse_rfc3339("2026-04-10T09:20:00Z")

    run(scenario)


def test_kafka_away_is_503_and_the_same_request_later_gets_in() -> None:
    async def scenario() -> None:
        async with served() as bench:
            bench.publisher.trouble = "Kafka is away"
            status, body, headers = await bench.hook("zendesk", recorded("zendesk-created"))
            assert (status, headers["Retry-After"]) == (503, "5")
            assert "counts once" in str(body["error"])
            async with bench.client.get("/ready") as answer:
                assert (answer.status, (await answer.json())["reasons"]) == (503, [{"reason": "Kafka is away"}])
            bench.publisher.trouble = None
            assert (await bench.hook("zendesk", recorded("zendesk-created")))[0] == 202
            first, second = bench.publisher.given
            assert first == second

    run(scenario)


def test_what_cannot_be_mapped_is_422_and_kept_untouched_once() -> None:
    """R27: the original bytes, with why; the good alert beside it is published."""

    async def scenario() -> None:
        async with served() as bench:
            body = recorded("alertmanager-unmapped")
            for _ in range(3):
                status, answer, _ = await bench.hook("prometheus", body)
                assert status == 422
                (told,) = answer["rejected"]  # type: ignore[misc]
                assert (told["item"], told["code"]) == ("alerts[0]", "invalid")  # type: ignore[index]
                assert "labels.service is 'printer'" in str(answer["error"])
            assert types(bench).count("invalid") == 1
            assert types(bench).count("incident.opened") == 3
            (kept,) = [each for each in bench.publisher.acknowledged if each.topic == "rejected"]
            headers = dict(kept.headers)
            assert (kept.value, kept.key) == (body, "prometheus")
            assert headers["content-type"] == b"application/json"
            assert headers[dead_letter.TOPIC] == b"intake/prometheus"
            assert headers[dead_letter.MESSAGE].startswith(b"alerts[0]: component: labels.service")
            assert int(headers[dead_letter.TIMESTAMP]) * 1000 == bench.clock.at
            place = [int(headers[name]) for name in (dead_letter.PARTITION, dead_letter.ATTEMPTS)]
            assert place == [0, 1]
            assert 0 < int(headers[dead_letter.OFFSET]) < 1 << 48
            assert SECRETS["SLA_INTAKE_PROMETHEUS_TOKEN"].encode() not in b"".join(headers.values())

    run(scenario)


def test_the_same_wrong_body_about_two_incidents_is_kept_twice() -> None:
    """The address and the attributes in headers say what a body means; headers of an attempt do not."""
    attributes = {
        "ce_id": "one",
        "ce_type": "incident.resolved",
        "ce_source": "/intake/services",
        "ce_subject": "services-1",
        "ce_time": "2026-04-10T07:00:00Z",
        "ce_specversion": "1.0",
    }
    structured = {"Content_Type": "application/cloudevents+json"}
    requests: list[tuple[str, dict[str, str]]] = [
        ("/v1/incidents/services-1/resolved", {}),
        ("/v1/incidents/services-2/resolved", {}),
        ("/v1/incidents/services-1/reopened", {}),
        ("/v1/events", attributes),
        ("/v1/events", attributes | {"ce_subject": "services-2"}),
        ("/v1/events", structured),
    ]

    async def scenario() -> None:
        async with served() as bench:
            for attempt in range(2):
                for path, headers in requests:
                    trace = dict.fromkeys(("traceparent", "ce_traceparent"), f"00-{attempt:032x}-{1:016x}-01")
                    status, answer, _ = await bench.post(path, {"zz": 1}, **token("services"), **headers, **trace)
                    assert status == 422, answer
            kept = [dict(each.headers) for each in bench.publisher.acknowledged if each.topic == "rejected"]
            assert len(kept) == len(requests)
            assert len({headers[dead_letter.OFFSET] for headers in kept}) == len(requests)

    run(scenario)


def test_a_reject_that_kafka_did_not_take_is_503_and_written_later() -> None:
    async def scenario() -> None:
        async with served() as bench:
            bench.publisher.trouble = "away"
            assert (await bench.hook("jira", b"{"))[0] == 503
            bench.publisher.trouble = None
            assert (await bench.hook("jira", b"{"))[0] == 422
            assert types(bench) == ["undecodable"]

    run(scenario)


def test_cloudevents_in_three_modes() -> None:
    async def scenario() -> None:
        async with served() as bench:
            mine = token("services")
            assert (await bench.post("/v1/events", STRUCTURED_EXAMPLE, **STRUCTURED, **mine))[0] == 202
            bad = STRUCTURED_EXAMPLE | {"type": "sla.breached"}
            status, answer, _ = await bench.post("/v1/events", [STRUCTURED_EXAMPLE, bad], **BATCH, **mine)
            assert (status, len(answer["published"])) == (422, 1)  # type: ignore[arg-type]
            binary = {f"ce-{name}": str(value) for name, value in STRUCTURED_EXAMPLE.items() if name != "data"}
            assert (await bench.post("/v1/events", STRUCTURED_EXAMPLE["data"], **binary, **mine))[0] == 202
            assert (await bench.post("/v1/events", b"x", Content_Type="text/plain", **mine))[0] == 415
            twice = [*binary.items(), ("ce-subject", "another"), ("Content-Type", "application/json"), *mine.items()]
            async with bench.client.post("/v1/events", data=b"{}", headers=twice) as answer:
                assert (answer.status, "has two values" in await answer.text()) == (400, True)
            first, _, _, last = bench.publisher.acknowledged
            assert first == last

    run(scenario)


def test_every_example_of_the_openapi_document_is_valid_and_accepted() -> None:
    schemas = document()["components"]["schemas"]

    async def scenario() -> None:
        async with served() as bench:
            for route in ROUTES:
                media = document()["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]
                example = media["examples"]["example"]["value"]
                schema = schemas[media["schema"]["$ref"].rpartition("/")[2]]
                jsonschema.Draft202012Validator.check_schema(schema)
                jsonschema.validate(example, schema)
                with pytest.raises(jsonschema.ValidationError):
                    jsonschema.validate(example | {"extra": 1}, schema)
                services = route.event_type.startswith("incident") and route.event_type not in FOUR_EYES
                who = "services" if services else "billing"
                status, answer, _ = await bench.post(route.path.replace("{id}", "inc-42"), example, **token(who))
                assert status == 202, answer
            assert len(types(bench)) == len(ROUTES) == 19
            async with bench.client.get("/openapi.json") as answer:
                assert (await answer.json()) == json.loads(json.dumps(document()))

    run(scenario)


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        ("", EXAMPLES["incident.opened"] | {"started_at": "2026-02-10T07:52:00Z"}, "too_late"),
        ("/inc-42/resolved", {"time": "2026-04-10T08:00:00Z", "restored_at": "2026-02-10T08:00:00Z"}, "too_late"),
        ("/inc-42/resolved", {"time": "2026-04-10T08:00:00Z", "restored_at": "9999-02-10T08:00:00Z"}, "future"),
        (
            "/inc-42/linked",
            EXAMPLES["incident.linked"] | {"backfill": True, "receivedtime": "9999-01-01T00:00:00Z"},
            "future",
        ),
    ],
)
def test_an_instant_that_every_worker_rejects_is_rejected_here(path: str, content: dict[str, Any], code: str) -> None:
    async def scenario() -> None:
        async with served() as bench:
            status, answer, _ = await bench.post(f"/v1/incidents{path}", content, **token("services"))
            assert status == 422, answer
            assert types(bench) == [code]
            months_ago = {"time": "2026-02-01T08:00:00Z", "started_at": "2026-02-01T08:00:00Z"}
            opening = EXAMPLES["incident.opened"] | months_ago
            assert (await bench.post("/v1/incidents", opening, **token("services")))[0] == 202  # it may be a repetition

    run(scenario)


def test_an_address_that_is_not_percent_encoded_utf_8_names_no_other_incident() -> None:
    async def scenario() -> None:
        async with served() as bench:
            body = {"time": NOW, "who": {"kind": "support", "id": "kim"}}
            for written, expected in (("caf%E9", 400), ("%FF", 400), ("caf%C3%A9", 202)):
                url = URL(f"/v1/incidents/{written}/resolved", encoded=True)
                async with bench.client.post(url, json=body, headers=token("services")) as answer:
                    assert answer.status == expected
                    assert (
                        expected == 202 or (await answer.json())["error"] == "the address is not percent-encoded UTF-8"
                    )
            assert [record.key for record in bench.publisher.acknowledged] == ["café"]

    run(scenario)


def test_unknown_addresses_and_methods_are_told_in_json() -> None:
    async def scenario() -> None:
        async with served() as bench:
            for path, status in (("/v1/hooks/nagios", 404), ("/v1/hooks/services", 404), ("/v2/x", 404)):
                found, body, _ = await bench.post(path, b"{}", **token("services"))
                assert (found, "error" in body) == (status, True)
            async with bench.client.get("/v1/incidents") as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, "POST")
            assert (
                await bench.post("/v1/incidents/%00/resolved", {"time": "2026-04-10T08:00:00Z"}, **token("services"))
            )[0] == 422
            # Headers that are not UTF-8: a trace context that is none counts as absent.
            odd = {"Content-Type": "text/\udcff; x=\udcfe", "X-Odd": "\udcff"}
            assert (await bench.hook("jira", b"{", **odd))[0] == 422
            opening = EXAMPLES["incident.opened"]
            assert (await bench.post("/v1/incidents", opening, traceparent="é", **token("services")))[0] == 202
            assert "traceparent" not in dict(bench.publisher.acknowledged[-1].headers)
            assert (await bench.post("/v1/incidents", b"{}", Content_Type="text/plain", **token("services")))[0] == 415

    run(scenario)


def test_how_it_is_shows_in_metrics_and_health_and_no_secret_in_any_log() -> None:
    async def scenario() -> None:
        with capture_logs() as logs:
            async with served() as bench:
                await bench.hook("prometheus", recorded("alertmanager-firing"))
                await bench.hook("prometheus", recorded("alertmanager-unmapped"))
                truncated = json.loads(recorded("alertmanager-watchdog")) | {"truncatedAlerts": 4}
                await bench.hook("prometheus", json.dumps(truncated).encode())
                await bench.hook("zendesk", recorded("zendesk-created"), **{"X-Zendesk-Webhook-Signature": "no"})
                for path in ("/healthz", "/live", "/ready"):
                    async with bench.client.get(path) as answer:
                        assert answer.status == 200
                async with bench.client.get("/metrics") as answer:
                    text = await answer.text()
                bench.intake.stopping = True
                async with bench.client.get("/ready") as answer:
                    assert answer.status == 503
        for line in (
            'sla_intake_published_total{source="prometheus",type="incident.opened"} 3.0',
            'sla_intake_refused_total{code="invalid",source="prometheus"} 1.0',
            'sla_intake_ignored_total{source="prometheus"} 1.0',
            'sla_intake_truncated_alerts_total{source="prometheus"} 4.0',
            'sla_intake_requests_total{source="zendesk",status="401"} 1.0',
            'sla_intake_held_bytes{what="bodies"} 0.0',
        ):
            assert line in text, text
        assert logs
        said = json.dumps(logs) + text
        assert not [secret for secret in SECRETS.values() if secret in said]

    run(scenario)


def test_a_change_that_no_event_expresses_is_counted_and_logged_with_its_incident() -> None:
    async def scenario() -> None:
        private = json.loads(recorded("zendesk-comment")) | {"type": "zen:event-type:ticket.comment_made_private"}
        with capture_logs() as logs:
            async with served() as bench:
                content = json.dumps(private).encode()
                status, body, _ = await bench.hook("zendesk", content)
                assert (status, body["published"]) == (202, [])
                async with bench.client.get("/metrics") as answer:
                    text = await answer.text()
        assert 'sla_intake_unapplied_total{change="comment_made_private",source="zendesk"} 1.0' in text
        (entry,) = [each for each in logs if each["event"] == "change_not_applied"]
        assert (entry["source"], entry["incident"]) == ("zendesk", "zendesk-5158")
        assert (entry["change"], entry["log_level"]) == ("comment_made_private", "warning")

    run(scenario)


def test_a_bug_of_ours_is_500_without_details() -> None:
    async def scenario() -> None:
        with capture_logs() as logs:
            async with served() as bench:
                bench.publisher.publish = None  # type: ignore[method-assign, assignment]
                status, body, _ = await bench.hook("jira", recorded("jira-created"))
                assert (status, body) == (500, {"error": "the intake failed; its log has the reason"})
                assert bench.intake._reader.budget.reserved == 0
        assert logs[-1]["log_level"] == "error"

    run(scenario)


def test_a_body_that_makes_the_code_fail_is_kept_and_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise TypeError("unhashable")

    monkeypatch.setitem(registry.FORMATS, "jira", replace(registry.FORMATS["jira"], translate=failing))

    async def scenario() -> None:
        async with served() as bench:
            status, answer, _ = await bench.hook("jira", recorded("jira-created"))
            assert (status, answer["rejected"][0]["code"]) == (422, "internal")  # type: ignore[index]
            assert types(bench) == ["internal"]

    run(scenario)


def test_an_incident_of_a_status_page_that_is_ignored_while_it_is_open_is_told() -> None:
    """Its page does not say what it was before, so it stays open: somebody has to end it."""

    async def scenario() -> None:
        payload = json.loads(recorded("statuspage/investigating"))
        async with served() as bench:
            loaded = bench.intake._mapping.loaded
            source = loaded.sources["status"]
            condition = Condition(parse_path("incident.impact"), frozenset(["none"]))
            ignoring = replace(source, ignore=((condition,),))
            bench.intake.use(replace(loaded, sources={**loaded.sources, "status": ignoring}))

            async def changes(*fields: dict[str, object]) -> list[str]:
                with capture_logs() as logs:
                    for each in fields:
                        content = json.dumps({**payload, "incident": {**payload["incident"], **each}}).encode()
                        status, _, _ = await bench.post("/v1/hooks/status", content, **token("statuspage"))
                        assert status == 202
                return [each["change"] for each in logs if each["event"] == "change_not_applied"]

            assert await changes({"id": "another", "impact": "none"}) == []
            assert await changes({}, {"impact": "none"}, {"impact": "none"}) == ["ignored_while_open"]

    run(scenario)


def test_an_end_that_is_ignored_while_the_incident_is_open_is_told() -> None:
    """Somebody adds an alert that is only noise to `ignore` while it fires: its end is ignored too, with 202."""
    outage = {"monitor": {"id": 7, "name": "noise"}, "heartbeat": {"time": "2026-04-10 07:50:00.000", "status": 0}}
    over = {**outage, "heartbeat": {"time": "2026-04-10 07:55:00.000", "status": 1}}
    pending = {**outage, "heartbeat": {"time": "2026-04-10 07:54:00.000", "status": 2}}
    firing, ended = (json.loads(recorded(f"alertmanager-{name}")) for name in ("firing", "resolved"))
    ended["alerts"] = ended["alerts"][:1]

    async def scenario() -> None:
        async with served() as bench:

            async def changes(name: str, *bodies: object) -> list[tuple[str, str]]:
                with capture_logs() as logs:
                    for body in bodies:
                        assert (await bench.hook(name, json.dumps(body).encode()))[0] == 202
                found = [each for each in logs if each["event"] == "change_not_applied"]
                return [(each["change"], each["incident"]) for each in found]

            def ignore(name: str, condition: Condition) -> None:
                loaded = bench.intake._mapping.loaded
                source = replace(loaded.sources[name], ignore=((condition,),))
                bench.intake.use(replace(loaded, sources={**loaded.sources, name: source}))

            assert await changes("prometheus", firing) == []
            assert await changes("uptime-kuma", outage) == []
            ignore("prometheus", Condition(parse_path("labels.alertname"), frozenset(["gatewaydown"])))
            ignore("uptime-kuma", Condition(parse_expression("monitor.name"), frozenset(["noise"])))
            never_opened = copy.deepcopy(ended)
            never_opened["alerts"][0]["fingerprint"] = "0" * 16
            told = [("ignored_while_open", "prometheus-3b4b9ea4f3ae8b1a-20260410T075200.123456Z")]
            assert await changes("prometheus", never_opened, ended, ended) == told, "once"
            assert await changes("uptime-kuma", pending, over, over) == [("ignored_while_open", "uptime-kuma-7")]
            unapplied = {"source": "prometheus", "change": "ignored_while_open"}
            found = bench.intake.metrics.registry.get_sample_value("sla_intake_unapplied_total", unapplied)
            assert found == 1

    run(scenario)


@pytest.mark.parametrize(
    ("name", "path", "value", "ends"),
    [
        ("jira", "issue.fields.issuetype.name", "[System] Incident", "jira-resolved"),
        ("zendesk", "detail.type", "INCIDENT", "zendesk-solved"),
    ],
)
def test_the_end_of_a_ticket_that_is_ignored_while_its_incident_is_open_is_told(
    name: str, path: str, value: str, ends: str
) -> None:
    async def scenario() -> None:
        async with served() as bench:
            opened = recorded(f"{name}-created")
            deleted = json.loads(opened)
            if name == "jira":
                deleted |= {"webhookEvent": "jira:issue_deleted"}
            else:
                deleted |= {"type": "zen:event-type:ticket.soft_deleted", "id": "another"}

            async def changes(*bodies: bytes) -> list[str]:
                with capture_logs() as logs:
                    for body in bodies:
                        assert (await bench.hook(name, body))[0] == 202
                return [each["change"] for each in logs if each["event"] == "change_not_applied"]

            loaded = bench.intake._mapping.loaded
            condition = Condition(parse_path(path), frozenset([value.casefold()]))
            ignoring = replace(loaded.sources[name], ignore=((condition,),))
            new = replace(loaded, sources={**loaded.sources, name: ignoring})
            for end in (recorded(ends), json.dumps(deleted).encode()):
                bench.intake.use(loaded)
                assert await changes(opened) == []
                bench.intake.use(new)
                assert await changes(recorded(f"{name}-comment"), end, end) == ["ignored_while_open"], "once"

    run(scenario)


def test_a_source_that_is_removed_is_told_for_its_open_incidents_stay_open() -> None:
    async def scenario() -> None:
        async with served() as bench:
            loaded = bench.intake._mapping.loaded
            with capture_logs() as logs:
                bench.intake.use(replace(loaded, sources={name: loaded.sources[name] for name in ("jira", "zendesk")}))
            removed = {each["source"] for each in logs if each["event"] == "source_removed"}
            assert removed == loaded.sources.keys() - {"jira", "zendesk"}

    run(scenario)


def test_items_that_are_rejected_again_and_again_are_logged_once_a_minute_and_counted() -> None:
    async def scenario() -> None:
        async with served() as bench:
            with capture_logs() as logs:
                for number in range(30):
                    bench.clock.at += 10 * SECOND
                    body = {"time": NOW, "incident_id": f"inc-{number}"}
                    assert (await bench.post("/v1/incidents", body, **token("services")))[0] == 422
            told = [each["left_out"] for each in logs if each["event"] == "items_rejected"]
            assert told == [0, 5, 5, 5, 5]
            code = {"source": "services", "code": "invalid"}
            assert bench.intake.metrics.registry.get_sample_value("sla_intake_refused_total", code) == 30

    run(scenario)
