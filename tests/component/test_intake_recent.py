"""An operator sees the last requests of an intake and what became of each; nobody else does, and memory is bounded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from intake_bench import ROOT, SECRETS, Bench, recorded, run, served, token
from structlog.testing import capture_logs
from structlog.typing import EventDict
from typer.testing import CliRunner

from cli.main import app
from cli.services import intake_watch
from cli.services.intake_watch import IntakeRequests, Recorded, WatchFailed, followed, index_of, save
from connect.intake.loaded_mapping import MappingLoader
from connect.intake.mapping_file import mapping_in
from connect.intake.outcome import RejectedItem
from connect.intake.translate import Translation
from connect.intake.web.recent_requests import RecentRequests
from streams.errors import SettingsError

OPERATOR = "operator-token-00001"
EXAMPLE = ROOT / "examples" / "intake.yaml"


async def listed(bench: Bench, query: str = "") -> list[dict[str, Any]]:
    async with bench.client.get(f"/v1/requests{query}", headers={"Authorization": f"Bearer {OPERATOR}"}) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        found: list[dict[str, Any]] = (await answer.json())["requests"]
        return found


def test_each_request_is_listed_with_what_became_of_it_and_without_headers() -> None:
    async def scenario() -> None:
        async with served(operator=OPERATOR) as bench:
            await bench.hook("prometheus", recorded("alertmanager-unmapped"))
            await bench.hook("prometheus", recorded("alertmanager-watchdog"))
            await bench.hook("zendesk", recorded("zendesk-created"), X_Zendesk_Webhook_Signature="wrong")
            await bench.post("/v1/hooks/nobody", {})
            first, second, third, fourth = await listed(bench)
            assert (first["source"], first["path"], first["status"]) == ("prometheus", "/v1/hooks/prometheus", 422)
            assert first["body"].encode() == recorded("alertmanager-unmapped")
            assert [each["type"] for each in first["published"]] == ["incident.opened"]
            assert (first["rejected"][0]["item"], first["rejected"][0]["code"]) == ("alerts[0]", "invalid")
            assert "the mapping ignores it" in second["ignored"][0]["reason"]
            assert (third["source"], third["status"], "body" in third) == ("zendesk", 401, False)
            assert "X-Zendesk-Webhook-Signature is missing" in third["error"]
            assert (fourth["source"], fourth["status"]) == ("unknown", 404)
            assert [each["number"] for each in await listed(bench, "?after=1&limit=2")] == [3, 4]
            whole = json.dumps(await listed(bench))
            assert not [secret for secret in SECRETS.values() if secret in whole]
            held = bench.intake.metrics.registry.get_sample_value("sla_intake_held_bytes", {"what": "recent"})
            assert held
            assert held > len(first["body"])

    run(scenario)


def test_the_body_of_a_slack_request_is_shown_without_its_token_and_address() -> None:
    async def scenario() -> None:
        async with served(operator=OPERATOR) as bench:
            press = json.loads(recorded("slack/press"))
            assert "hooks.slack" in press["response_url"]
            status, _, _ = await bench.hook("slack", urlencode({"payload": json.dumps(press)}).encode())
            assert status == 200
            (shown,) = await listed(bench)
            kept = json.loads(parse_qs(shown["body"])["payload"][0])
            assert kept["actions"] == press["actions"]
            assert press["token"] not in shown["body"]
            assert "hooks.slack" not in shown["body"]

    run(scenario)


def test_tokens_of_sources_do_not_show_requests_and_without_an_operator_none_is_kept() -> None:
    async def scenario() -> None:
        async with served(operator=OPERATOR) as bench:
            for headers in (token("services"), token("billing"), {}, {"Authorization": f"Bearer {OPERATOR}x"}):
                async with bench.client.get("/v1/requests", headers=headers) as answer:
                    assert answer.status == 401
            async with bench.client.get(
                "/v1/requests?limit=many", headers={"Authorization": f"Bearer {OPERATOR}"}
            ) as answer:
                assert (answer.status, await answer.json()) == (
                    400,
                    {"error": "limit: expected a number, at most 10,000"},
                )
        async with served() as bench:
            await bench.hook("prometheus", recorded("alertmanager-firing"))
            async with bench.client.get("/v1/requests", headers={"Authorization": f"Bearer {OPERATOR}"}) as answer:
                assert answer.status == 404
                assert "set SLA_INTAKE_OPERATOR_TOKEN" in (await answer.json())["error"]
            held = bench.intake.metrics.registry.get_sample_value("sla_intake_held_bytes", {"what": "recent"})
            assert held == 0

    run(scenario)


def test_the_operator_token_is_long_and_of_no_source_and_can_be_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "operator"
    monkeypatch.setenv("SLA_INTAKE_OPERATOR_TOKEN_FILE", str(file))
    loader = MappingLoader(EXAMPLE, SECRETS | {"SLA_INTAKE_OPERATOR_TOKEN_FILE": str(file)})
    for text, told in ((SECRETS["SLA_INTAKE_BILLING_TOKEN"], "secret of the source billing"), ("hunter2", "too short")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError, match=told) as caught:
            loader.load()
        assert text not in str(caught.value)
    file.write_text(OPERATOR, encoding="utf-8")
    operator = loader.load().operator
    assert operator is not None
    assert operator.equals(OPERATOR)
    assert file in loader.files()


def test_memory_is_bounded_and_refused_requests_displace_no_others() -> None:
    recent = RecentRequests(limit=10, max_bytes=64 * 1024)
    recent.switch(on=True)
    recent.add("p", "/v1/hooks/p", "application/json", b"x" * 9000, 202, Translation(), 0)
    (large,) = recent.after(0, 10)
    assert json.loads(large)["bytes"] == 9000
    assert "body" not in json.loads(large), "over an eighth of the memory"
    recent.add("p", "/v1/hooks/p", "application/json", b"\xff", 202, Translation(), 0)
    for _ in range(500):
        recent.add_rejected("q", "/x" * 1000, 401, "y" * 10_000, 0)
    kept = [json.loads(each) for each in recent.after(0, 1000)]
    assert [each["source"] for each in kept[:3]] == ["p", "p", "q"]
    assert kept[1]["body_base64"] == "/w=="
    assert len(kept) <= 2 + 50
    many = Translation(rejected=[RejectedItem("", "invalid", "z" * 8000)] * 90)
    recent.add("r", "/v1/hooks/r", "application/json", b"{}", 422, many, 0)
    assert "rejected" not in json.loads(recent.after(0, 1000)[-1]), "an outcome that is too large is left out"
    for _ in range(100):
        recent.add("p", "/v1/hooks/p", "application/json", b"x" * 8000, 202, Translation(), 0)
        assert recent.bytes_used <= 64 * 1024 + 64 * 1024
    recent.switch(on=False)
    assert (recent.bytes_used, recent.after(0, 10)) == (0, [])


def test_watched_requests_are_shown_and_saved_and_two_mappings_compared_over_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLA_INTAKE_OPERATOR_TOKEN", OPERATOR)
    folder = tmp_path / "requests"

    async def scenario() -> str:
        async with served(operator=OPERATOR) as bench:
            await bench.hook("prometheus", recorded("alertmanager-unmapped"))
            await bench.hook("jira", recorded("jira-created"))
            event = {"incident_id": "services-1", "time": "2026-04-10T08:00:00Z", "scope": "platform"}
            event |= {"component": "api", "impact": "cosmetic", "channel": "api"}
            status, _, _ = await bench.post("/v1/incidents", event, **token("services"))
            assert status == 202
            await bench.post("/v1/hooks/prometheus", {})
            url = str(bench.client.make_url("/"))
            words = ["intake", "watch", "--once", "--url", url, "--save", str(folder)]
            done = await asyncio.to_thread(CliRunner().invoke, app, words)
            assert done.exit_code == 0, done.output
            words = ["intake", "watch", "--once", "--url", url, "--json", "--last", "1"]
            as_json = await asyncio.to_thread(CliRunner().invoke, app, words)
            assert [json.loads(line)["status"] for line in as_json.output.splitlines()] == [401]
            return done.output

    shown = asyncio.run(scenario())
    assert "prometheus /v1/hooks/prometheus: 422" in shown
    assert "reject alerts[0] as invalid: component: labels.service is 'printer'" in shown
    assert "publish incident.opened of services-1" in shown
    assert "refused: the token is missing" in shown
    assert shown.count("not saved") == 1
    old = tmp_path / "old.yaml"
    text = EXAMPLE.read_text(encoding="utf-8")
    old.write_text(text.replace("frontend: ui", "frontend: ui, printer: ui"), encoding="utf-8")
    done = CliRunner().invoke(app, ["intake", "test", str(folder), "--mapping", str(EXAMPLE)])
    assert done.exit_code == 1, done.output
    assert "as services (api):" in done.output
    assert "publish to incident-events: incident.opened of services-1" in done.output
    done = CliRunner().invoke(app, ["intake", "test", str(folder), "--mapping", str(EXAMPLE), "--against", str(old)])
    assert done.output.splitlines()[-1] == "1 of 3 requests differ"


def test_watching_goes_on_after_a_restart_of_the_intake() -> None:
    answers = iter(
        [
            Recorded("one", [{"number": 6}, {"number": 7}]),
            Recorded("one", []),
            Recorded("two", [{"number": 9}]),
            Recorded("two", [{"number": 1}, {"number": 9}]),
            Recorded("two", [{"number": 10}]),
        ]
    )
    asked = []

    class Answers(IntakeRequests):
        def read(self, after: int, limit: int) -> Recorded:
            asked.append((after, limit))
            return next(answers)

    seen = followed(Answers("http://intake", OPERATOR), 2, once=False, wait=lambda _: None)
    assert [next(seen)["number"] for _ in range(5)] == [6, 7, 1, 9, 10]
    assert [after for after, _ in asked] == [0, 7, 7, 0, 9]
    with pytest.raises(WatchFailed, match="is the intake running there"):
        IntakeRequests("http://127.0.0.1:1", OPERATOR).read(0, 1)


def test_a_saved_name_stays_within_its_folder(tmp_path: Path) -> None:
    request = {"number": 1, "received_at": "2026-04-10T08:00:00Z", "source": "../../x", "path": "/", "body": "{}"}
    assert intake_watch.save(request | {"media_type": "application/json"}, tmp_path / "in")
    (file,) = [each for each in (tmp_path / "in").iterdir() if not each.name.startswith(".")]
    assert file.name == "2026-04-10T080000Z-000001-x.json"
    (tmp_path / "in" / intake_watch.INDEX).write_text("{}\n", encoding="utf-8")
    with pytest.raises(WatchFailed, match=r"requests.jsonl:1: is not a line of"):
        intake_watch.index_of(tmp_path / "in")


def test_a_token_that_says_who_sends_and_that_several_sources_have_is_told() -> None:
    """The first source that has it counts, with whatever that may publish."""
    shared = SECRETS["SLA_INTAKE_BILLING_TOKEN"]
    for other, name in (("SLA_INTAKE_SERVICES_TOKEN", "services"), ("SLA_INTAKE_JIRA_SECRET", "jira")):
        loaded = MappingLoader(EXAMPLE, SECRETS | {other: shared}).load()
        assert [sorted(names) for names in loaded.shared] == [sorted(("billing", name))]
    both = SECRETS | {"SLA_INTAKE_ZENDESK_SECRET": SECRETS["SLA_INTAKE_JIRA_SECRET"]}
    assert MappingLoader(EXAMPLE, both).load().shared == ()

    async def logged() -> list[EventDict]:
        async with served() as bench:
            with capture_logs() as logs:
                bench.intake.use(replace(MappingLoader(EXAMPLE, SECRETS).load(), shared=(("billing", "services"),)))
            return [each for each in logs if each["event"] == "secret_shared"]

    (entry,) = asyncio.run(logged())
    assert entry["sources"] == ["billing", "services"]


def test_headers_that_the_mapping_reads_are_kept_and_saved_and_no_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(operator=OPERATOR) as bench:
            loaded = bench.intake._mapping.loaded
            text = (ROOT / "examples/intake/uptime-kuma.yaml").read_text(encoding="utf-8")
            source = mapping_in(text.replace("from: monitor.id", "from: header:X-Monitor").encode(), "m")["uptime-kuma"]
            bench.intake.use(replace(loaded, sources={**loaded.sources, source.name: source}))
            body = (ROOT / "examples/intake/recorded/uptime-kuma/1-down.json").read_bytes()
            for monitor in ("a", "b"):
                status, answer, _ = await bench.hook("uptime-kuma", body, X_Monitor=monitor, Cookie="c=1")
                assert (status, answer["published"][0]["subject"]) == (202, f"uptime-kuma-{monitor}")  # type: ignore[index]
            (first, _) = await listed(bench)
            assert first["headers"] == {"x-monitor": ["a"]}
            assert save(first, tmp_path)
            ((_, about),) = index_of(tmp_path).items()
            assert about["headers"] == {"x-monitor": ("a",)}

    run(scenario)
