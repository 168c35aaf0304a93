"""Policies on the board: as customers read them, side by side, and what-if in the browser."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import Engine, select
from story import shipped, with_credit, with_severity
from typer.testing import CliRunner

from board.app import create_app
from board.background.jobs import Job
from board.background.what_if import WhatIfRequest, bounded, run_what_if
from board.pages.policy import paired
from board.pages.what_if import LARGEST_CANDIDATE
from board.queries.history import every_input, extent, history_lines
from board.settings import BoardSettings
from board.store.tables import incident
from cli.main import app as commands
from streams.policy.load import default_policies_dir, load_policies, load_policy
from streams.policy.render import Table
from streams.replay.what_if import PLATFORM
from streams.replay.what_if_files import as_csv
from streams.replay.what_if_result import ComparedTenant, Comparison, CreditSum, replacing
from streams.replay.what_if_run import ComparisonJob, run
from streams.settings import Settings
from streams.sla.arrival import TimeLimits
from streams.sla.instants import HOUR
from streams.sla.policy import Policies, Target
from tests.waiting import TIMEOUT_S

SHIPPED = (default_policies_dir() / "scalr-emergency" / "1.yaml").read_text(encoding="utf-8")
#: An hour to respond to P1, and credit for each started point.
CANDIDATE = SHIPPED.replace('version: "1"', 'version: "2"').replace("within: PT2H", "within: PT1H", 1)
STRICTER = with_credit(
    with_severity(replace(shipped(), version="2", digest="2"), "P1", response=Target(HOUR)), step="started"
)


def client_of(engine: Engine, deployed: Policies) -> TestClient:
    app = create_app(engine, BoardSettings(), kafka=Settings(), policies=deployed)
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


@pytest.fixture
def client(read_model: Engine) -> Iterator[TestClient]:
    found = client_of(read_model, Policies.of([shipped(), STRICTER], "scalr-emergency"))
    yield found
    found.app.state.context.background.close()  # type: ignore[attr-defined]


# -- reading ---------------------------------------------------------------------------------------------------------


def test_the_list_has_what_is_deployed_and_how_much_it_decided(client: TestClient, read_model: Engine) -> None:
    page = unescape(client.get("/policies").text)
    assert 'href="/policies/scalr-emergency/1"' in page
    assert 'href="/policies/scalr-emergency/2"' in page
    with read_model.connect() as connection:
        decided = len(connection.execute(select(incident.c.incident_id)).all())
    assert f'<td class="number">{decided}</td>' in page
    assert "is not deployed here as it was" not in page


def test_a_version_in_use_that_is_not_deployed_is_pointed_out(read_model: Engine) -> None:
    other = Policies.of([replace(shipped(), name="other")], "other")
    page = client_of(read_model, other).get("/policies").text
    assert "is not deployed here as it was" in page
    changed = Policies.of([replace(shipped(), digest="0")], "scalr-emergency")
    assert "with other content" in client_of(read_model, changed).get("/policies").text


def test_a_policy_is_shown_as_customers_read_it(client: TestClient) -> None:
    english = unescape(client.get("/policies/scalr-emergency/1").text)
    assert "2 hours" in english
    assert "99.9 %" in english
    japanese = client.get("/policies/scalr-emergency/1?lang=ja").text
    assert "2時間" in japanese
    assert client.get("/policies/scalr-emergency/77").status_code == 404
    assert client.get("/policies/scalr-emergency").status_code == 404


def test_two_versions_stand_side_by_side(client: TestClient) -> None:
    page = unescape(client.get("/policies?old=scalr-emergency@1&new=scalr-emergency@2").text)
    assert "P1 response 2 h → 1 h" in page
    assert "credit step whole → started" in page
    assert "<del>2 hours" in page
    assert "<ins>1 hour" in page
    same = unescape(client.get("/policies?old=scalr-emergency@1&new=scalr-emergency@1").text)
    assert "Nothing differs" in same
    assert "<ins>" not in same
    unknown = client.get("/policies", params={"old": "<b>@1", "new": "x"})
    assert unknown.status_code == 404
    assert "<b>" not in unknown.text.partition("<main")[2]


def test_rows_are_paired_by_the_cell_that_names_them() -> None:
    old = Table("t", ("a", "b"), (("1", "x"), ("2", "y"), ("3", "z")))
    new = Table("t", ("a", "b"), (("1", "x"), ("3", "w"), ("4", "v")))
    assert [(row.old, row.new, set(row.differing)) for row in paired(old, new)] == [
        (("1", "x"), ("1", "x"), set()),
        (("3", "z"), ("3", "w"), {1}),
        (None, ("4", "v"), {0, 1}),
        (("2", "y"), None, {0, 1}),
    ]


# -- candidates ------------------------------------------------------------------------------------------------------


def submit(client: TestClient, text: str, **fields: str) -> Response:
    return client.post("/what-if", data={"candidate": text, **fields}, files={"file": ("", b"")})


def test_the_form_has_the_policy_file_to_edit(client: TestClient) -> None:
    page = unescape(client.get("/what-if?base=scalr-emergency@1").text)
    assert SHIPPED in page
    assert '<option value="scalr-emergency">' in page


def test_mistakes_are_marked_at_their_lines(client: TestClient) -> None:
    lines = SHIPPED.splitlines()
    number = next(index for index, line in enumerate(lines, 1) if "within: PT2H" in line)
    lines[number - 1] = lines[number - 1].replace("PT2H", "PT2HOURS")
    lines.append("unknown_key: <script>alert(1)</script>")
    answer = submit(client, "\r\n".join(lines))
    assert answer.status_code == 422
    page = answer.text
    assert "<script>alert" not in page
    page = unescape(page)
    assert "2 mistakes" in page
    assert f'<div class="source wrong" id="line-{number}">' in page
    assert f'<div class="source wrong" id="line-{len(lines)}">' in page
    assert page.count('class="source wrong"') == 2
    assert "unknown key; allowed: " in page
    assert "PT2HOURS" in page.partition('<textarea id="candidate"')[2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "There is no candidate"),
        ("   \n", "There is no candidate"),
        ("a: [", "this is not YAML"),
        ("a: &x 1\nb: *x", "anchors are refused"),
        ("\0", "control character"),
        ("x" * (LARGEST_CANDIDATE + 1), "has more than 64 KiB"),
        ("x" * (5 * LARGEST_CANDIDATE), "has more than 64 KiB"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_reason(client: TestClient, text: str, says: str) -> None:
    answer = submit(client, text)
    assert answer.status_code == 422
    assert says in unescape(answer.text)
    assert client.app.state.context.background.what_ifs.all() == []  # type: ignore[attr-defined]


def test_an_unknown_policy_to_compare_with_is_refused(client: TestClient) -> None:
    answer = submit(client, CANDIDATE, against="nothing")
    assert answer.status_code == 422
    assert "no policy nothing to compare with" in answer.text


def test_a_body_of_unknown_size_is_refused(client: TestClient) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"candidate=x"

    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/what-if", content=pieces(), headers=headers).status_code == 411


# -- runs ------------------------------------------------------------------------------------------------------------


def finished(client: TestClient, location: str) -> Job:
    jobs = client.app.state.context.background.what_ifs  # type: ignore[attr-defined]
    job: Job = jobs.wait(location.rsplit("/", 1)[1], TIMEOUT_S)
    assert job.status == "done", job
    return job


def written(read_model: Engine, path: Path) -> Path:
    """The history that the read model keeps, as a file."""
    with read_model.connect() as connection:
        path.write_text("".join(f"{line}\n" for line in history_lines(connection, every_input())))
    return path


def test_a_candidate_runs_over_history_and_its_differences_are_those_of_the_command(
    client: TestClient, read_model: Engine, tmp_path: Path
) -> None:
    started = submit(client, CANDIDATE)
    assert started.status_code == 303, unescape(started.text)
    location = started.headers["location"]
    going_on = client.get(location).text
    assert 'hx-trigger="every 1s"' in going_on or "Download CSV" in going_on
    job = finished(client, location)

    candidate = tmp_path / "candidate.yaml"
    candidate.write_text(CANDIDATE)
    file = written(read_model, tmp_path / "history.jsonl")
    old = [shipped(), STRICTER]
    found = run(
        ComparisonJob(
            [str(file)],
            replacing(old, old, {"scalr-emergency"}),
            replacing(old, [load_policy(candidate)], {"scalr-emergency"}),
            TimeLimits(),
            None,
            False,
        ),
        processes=1,
    )
    assert job.result.csv == as_csv(found)
    assert job.result.total == found.total
    page = unescape(client.get(location).text)
    assert "hx-trigger" not in page
    differing = [row.tenant for row in found.rows if row.differs]
    assert differing
    assert all(name == PLATFORM or f'href="/tenants/{name}"' in page for name in differing)
    assert "P1 response 2 h → 1 h" in page
    rows = list(csv.DictReader(io.StringIO(client.get(f"{location}/differences.csv").text)))
    assert {row["breaches_gained"] for row in rows if row["row"] == "total"} == {str(found.total.gained)}


def test_the_result_is_that_of_sla_what_if(read_model: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLA_POLICIES", "SLA_DEFAULT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text(CANDIDATE)
    file = written(read_model, tmp_path / "history.jsonl")
    result = CliRunner().invoke(commands, ["what-if", str(file), "--policy", str(candidate), "--format", "csv"])
    assert result.exit_code == 0, result.output
    request = WhatIfRequest(
        read_model.url.render_as_string(hide_password=False),
        replacing(load_policies(default_policies_dir()), [shipped()], {"scalr-emergency"}),
        replacing(load_policies(default_policies_dir()), [load_policy(candidate)], {"scalr-emergency"}),
        TimeLimits(),
    )
    progress: list[tuple[int, int]] = []
    found = run_what_if(lambda done, total: progress.append((done, total)), request)
    assert found.csv is not None
    assert found.csv.encode() == result.stdout_bytes
    assert found.total.gained > 0
    assert [done for done, _ in progress] == [500, 1000, 1500]
    with read_model.connect() as connection:
        every = extent(connection, every_input())
    assert (found.events, found.first, found.last) == (every.events, every.first, every.last)


def test_a_file_takes_precedence_and_a_run_can_be_cancelled(client: TestClient) -> None:
    files = {"file": ("mine.yaml", CANDIDATE.encode())}
    started = client.post("/what-if", data={"candidate": "nonsense"}, files=files)
    assert started.status_code == 303
    again = client.post("/what-if", data={"candidate": "nonsense"}, files=files)
    assert again.headers["location"] == started.headers["location"]
    location = started.headers["location"]
    cancelled = client.post(f"{location}/cancel")
    assert (cancelled.status_code, cancelled.headers["location"]) == (303, location)
    jobs = client.app.state.context.background.what_ifs  # type: ignore[attr-defined]
    assert jobs.wait(location.rsplit("/", 1)[1], TIMEOUT_S).status == "cancelled"
    assert "The run was cancelled" in client.get(location).text
    assert client.get(f"{location}/differences.csv").status_code == 404
    assert client.post("/what-if/unknown/cancel").status_code == 404
    form = client.get("/what-if").text
    assert f'href="{location}"' in form


def test_the_queue_of_runs_is_bounded(client: TestClient) -> None:
    versions = [CANDIDATE.replace('version: "2"', f'version: "{number}"') for number in range(3, 10)]
    answers = [submit(client, text) for text in versions]
    assert {answer.status_code for answer in answers} == {303, 422}
    assert "4 candidates wait already" in answers[-1].text


def test_a_result_is_cut_to_what_a_page_shows() -> None:
    rows = [ComparedTenant(f"t{n}", 1, 2, 1, 0, (CreditSum("USD", 0, n),)) for n in range(300)]
    same = ComparedTenant("same", 1, 1, 0, 0, ())
    found = bounded(Comparison([*rows, same], rows[0], [], [], [], 10, 1), 1, 2)
    assert len(found.tenants) == 200
    assert found.tenants[0].tenant == "t299"
    assert (found.more_tenants, found.alike) == (100, 1)
    assert found.csv is not None
