"""History of ticket systems and status pages: what each row becomes, and what is wrong with it."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from cli.events.publish_lines import BadLine, prepare
from connect.history_import import export_file, json_text
from connect.history_import.event_store import EventStore
from connect.history_import.json_text import UnreadableExport
from connect.history_import.mapping import load_import_mapping
from connect.history_import.rows import ImportedRow, imported
from connect.history_import.status_page import NotAPage, page_rows
from connect.history_import.ticket_rows import ticket_rows
from connect.intake.mapping_file import MappingError, load_mapping
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.serde.cloudevents_json import format_line
from streams.sla.policy import Policies

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "import"
EXAMPLES = ROOT / "examples" / "import"
Json = dict[str, Any]

#: A mapping for the CSV files of these tests.
MAPPING = """
version: 1
name: desk
times: {format: ["%d.%m.%Y %H:%M", rfc3339], zone: Europe/Berlin}
id: Id
title: Title
opened: Opened
resolved: Resolved
status: Status
component: [{from: Area, values: {API: api, Web: ui}}]
impact: [{from: Priority, values: {high: material_aspect, low: cosmetic}}]
tenants: [{from: Customer, values: {Acme: acme}}]
"""
JSON = MAPPING + "file: {format: json}\n"
HEAD = "Id,Title,Opened,Resolved,Status,Area,Priority,Customer\n"
GOOD = "1,It fails,10.04.2026 10:00,10.04.2026 11:00,closed,API,high,Acme\n"


def rows_of(file: Path, mapping: Path, warnings: list[str] | None = None) -> tuple[list[ImportedRow], list[Json]]:
    warn = [].append if warnings is None else warnings.append
    with EventStore() as store:
        found = list(imported(ticket_rows(file, load_import_mapping(mapping), warn), store))
        return found, [json.loads(line) for line in store.lines()]


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    """Imports the text of a CSV file with the mapping above, changed."""

    def run(text: str | bytes, mapping: str = MAPPING) -> tuple[list[ImportedRow], list[Json]]:
        (tmp_path / "import.yaml").write_text(mapping, encoding="utf-8")
        (tmp_path / "export").write_bytes(text if isinstance(text, bytes) else text.encode())
        return rows_of(tmp_path / "export", tmp_path / "import.yaml")

    return run


def problem(rows: list[ImportedRow]) -> str:
    (found,) = [problem for row in rows for problem in row.problems]
    return found


@pytest.mark.parametrize(
    ("file", "mapping", "subject", "updates"),
    [
        ("zendesk.json", "zendesk", "zendesk-4711", 4),
        ("zendesk.csv", "zendesk-csv", "zendesk-4711", 0),
        ("jira.csv", "jira-csv", "jira-10001", 2),
        ("jira.json", "jira-json", "jira-10001", 1),
        ("servicenow.csv", "servicenow", "servicenow-INC0010001", 0),
        ("zammad.json", "zammad", "zammad-81", 2),
        ("zammad.csv", "zammad-csv", "zammad-31081", 0),
    ],
)
def test_the_examples_import_their_systems(file: str, mapping: str, subject: str, updates: int) -> None:
    """The same incident in each system: the API fails for acme from 8:00 to 9:50."""
    rows, events = rows_of(DATA / file, EXAMPLES / f"{mapping}.yaml")
    assert not [row for row in rows if row.problems]
    ours = [each for each in events if each["subject"] == subject]
    opened, resolved = (
        next(each for each in ours if each["type"] == f"incident.{kind}") for kind in ("opened", "resolved")
    )
    assert (opened["time"], resolved["time"]) == ("2026-04-10T08:00:00Z", "2026-04-10T09:50:00Z")
    assert (opened["data"]["component"], opened["data"]["tenant_ids"]) == ("api", ["acme"])
    assert opened["data"]["channel"] == "ticket"
    assert len([each for each in ours if each["type"] == "incident.updated"]) == updates
    assert all(not isinstance(prepare(1, json.dumps(each), backfill=True), BadLine) for each in events)


def test_a_ticket_of_zammad_that_was_closed_again_ends_at_its_last_close(tmp_path: Path) -> None:
    """`close_at` is when it was closed first."""
    tickets = json.loads((DATA / "zammad.json").read_text(encoding="utf-8"))[:1]
    tickets[0]["last_close_at"] = "2026-04-10T12:00:00.000Z"
    (file := tmp_path / "tickets.json").write_text(json.dumps(tickets), encoding="utf-8")
    _, events = rows_of(file, EXAMPLES / "zammad.yaml")
    assert [each["time"] for each in events if each["type"] == "incident.resolved"] == ["2026-04-10T12:00:00Z"]


def test_comments_answer_the_incident_in_the_simulation() -> None:
    _, events = rows_of(DATA / "zendesk.json", EXAMPLES / "zendesk.yaml")
    ours = [each for each in events if each["subject"] == "zendesk-4711"]
    by = [
        (each["data"]["who"]["kind"], each["data"]["visibility"]) for each in ours if each["type"] == "incident.updated"
    ]
    assert by == [("customer", "public"), ("support", "public"), ("support", "internal"), ("support", "public")]
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    outputs = list(simulate([format_line(each) for each in ours], policies))
    assert [each["data"]["metric"] for each in outputs if each["type"] == "sla.met"] == ["response", "update"]  # type: ignore[index]
    assert not [each for each in outputs if each["type"] in {"sla.breached", "sla.rejected"}]


def test_events_are_in_the_order_of_their_times_whatever_that_of_the_rows(desk: Any) -> None:
    later = GOOD.replace("1,It", "2,It").replace("10.04.2026 1", "09.04.2026 1")
    _, events = desk(HEAD + GOOD + later)
    assert [each["subject"] for each in events] == ["desk-2", "desk-2", "desk-1", "desk-1"]
    assert desk(HEAD + later + GOOD)[1] == events


def test_a_repeated_row_counts_once_and_one_that_contradicts_is_wrong(desk: Any) -> None:
    rows, events = desk(HEAD + GOOD + GOOD + GOOD.replace("11:00", "12:00"))
    assert [row.outcome for row in rows] == ["events", "repeated", "wrong"]
    assert rows[1].repeats == "line 2"
    assert problem(rows) == "line 2 is about desk-1 too, with other values; remove one of them"
    assert len(events) == 2


@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_marks_and_line_ends_do_not_matter(desk: Any, head: bytes, end: str) -> None:
    _, events = desk(head + (HEAD + GOOD).replace("\n", end).encode())
    assert len(events) == 2


def test_other_encodings_and_delimiters(desk: Any) -> None:
    text = (HEAD + GOOD.replace("It fails", "Störung")).replace(",", ";")
    for content in (text.encode("utf-16"), text.encode()):
        assert desk(content)[1][0]["data"]["summary"] == "Störung"
    assert desk(text.encode("cp1252"), MAPPING + "file: {encoding: cp1252}\n")[1][0]["data"]["summary"] == "Störung"
    with pytest.raises(UnreadableExport, match="encoding: cp1252"):
        desk(text.encode("cp1252"))
    tabs = (HEAD + GOOD).replace(",", "\t")
    assert len(desk(tabs)[1]) == 2
    assert len(desk(tabs.replace("\t", "^"), MAPPING + "file: {delimiter: '^'}\n")[1]) == 2


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (
            "1,It fails,10.04.2026 10:00,,closed,API,high,Acme\n",
            "Resolved: is empty, but Status is 'closed', which means resolved",
        ),
        (
            "1,It fails,yesterday,,open,API,high,Acme\n",
            "Opened: 'yesterday' is no time; allowed: %d.%m.%Y %H:%M, rfc3339",
        ),
        ("1,It fails,,,open,API,high,Acme\n", "Opened: is empty"),
        (",It fails,10.04.2026 10:00,,open,API,high,Acme\n", "Id: is empty"),
        (
            "1,It fails,10.04.2026 10:00,10.04.2026 09:00,closed,API,high,Acme\n",
            "Resolved: is before Opened; check formats and zone",
        ),
        (
            "1,It fails,10.04.2026 10:00,,open,Billing,high,Acme\n",
            "ticket 1: component: Area is 'Billing', which line 10",
        ),
        ("1,It fails,10.04.2026 10:00,,open,API,high,Umbrella\n", "tenants: Customer is 'Umbrella', which line 12"),
        ("1,It fails,10.04.2026 10:00,,open,API,high,*\n", "tenants: Customer is '*'"),
        ("1,It fails,10.04.2026 10:00,,open,=API(),high,Acme\n", "Area: is a formula of a spreadsheet"),
        ("1,It fails,10.04.2026 10:00\n", "has 3 values; the file has 8 columns"),
        (f"{'9' * 200},It fails,10.04.2026 10:00,,open,API,high,Acme\n", "event_id: has 212 characters"),
    ],
)
def test_a_wrong_row_says_why_and_the_others_stay(desk: Any, row: str, what: str) -> None:
    rows, events = desk(HEAD + GOOD.replace("1,It", "7,It") + row)
    assert what in problem(rows)
    assert [each.place for each in rows if each.problems] == ["line 3"]
    assert len(events) == 2


def test_a_formula_in_a_title_is_only_a_title(desk: Any) -> None:
    rows, events = desk(HEAD + GOOD.replace("It fails", "=2+2 fails"))
    assert not rows[0].problems
    assert events[0]["data"]["summary"] == "=2+2 fails"


def test_an_open_ticket_with_an_end_stays_open_and_says_so(desk: Any) -> None:
    rows, events = desk(HEAD + GOOD.replace("closed", "open"))
    assert [each["type"] for each in events] == ["incident.opened"]
    assert rows[0].notes == ("Status is 'open', which means open: Resolved does not count",)
    waiting = MAPPING + "states: {resolved: [closed], waiting_customer: [pending]}\n"
    rows, _ = desk(HEAD + "1,It fails,10.04.2026 10:00,,pending,API,high,Acme\n", waiting)
    assert "no clock pauses" in rows[0].notes[0]


def test_of_several_fields_the_first_that_is_not_empty_is_the_time(desk: Any) -> None:
    mapping = MAPPING.replace("resolved: Resolved", "resolved: [Resolved, Closed]")
    head, row = HEAD.replace("Title", "Closed"), "1,10.04.2026 12:00,10.04.2026 10:00,{},closed,API,high,Acme\n"
    assert desk(head + row.format(""), mapping.replace("title: Title\n", ""))[1][1]["time"] == "2026-04-10T10:00:00Z"
    _, events = desk(head + row.format("10.04.2026 11:00"), mapping.replace("title: Title\n", ""))
    assert events[1]["time"] == "2026-04-10T09:00:00Z"
    rows, _ = desk(head + row.format("").replace("10.04.2026 12:00", ""), mapping.replace("title: Title\n", ""))
    assert "Resolved and Closed: is empty" in problem(rows)


@pytest.mark.parametrize(
    ("given", "utc", "note"),
    [
        ("25.10.2026 02:30", "2026-10-25T00:30:00Z", "happens twice, the first counts"),
        ("29.03.2026 02:30", "2026-03-29T01:30:00Z", "does not exist, it is moved forward"),
        ("29.03.2026 04:30", "2026-03-29T02:30:00Z", ""),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z", ""),
    ],
)
def test_local_times_that_a_change_of_clocks_repeats_or_skips(desk: Any, given: str, utc: str, note: str) -> None:
    rows, events = desk(f"{HEAD}1,It fails,{given},,open,API,high,Acme\n")
    assert events[0]["time"] == utc
    assert (note in rows[0].notes[0]) if note else not rows[0].notes


@pytest.mark.parametrize(
    ("form", "given"),
    [("epoch_seconds", "1775808000"), ("epoch_milliseconds", "1775808000250"), ("epoch_seconds", "1775808000.25")],
)
def test_seconds_and_milliseconds_since_1970(desk: Any, form: str, given: str) -> None:
    mapping = MAPPING.replace('"%d.%m.%Y %H:%M", rfc3339', form)
    _, events = desk(f"{HEAD}1,It fails,{given},,open,API,high,Acme\n", mapping)
    assert events[0]["time"] == ("2026-04-10T08:00:00.25Z" if "25" in given else "2026-04-10T08:00:00Z")


@pytest.mark.parametrize("given", ["0", "-1", "1e-999999"])
def test_a_number_that_means_no_time_is_like_an_empty_field(desk: Any, given: str) -> None:
    numbers = MAPPING.replace('"%d.%m.%Y %H:%M", rfc3339', "epoch_seconds")
    rows, _ = desk(f"{HEAD}1,It fails,{given},,open,API,high,Acme\n", numbers)
    assert rows[0].problems == ("Opened: is empty; it is when the ticket was created",)
    rows, events = desk(f"{HEAD}1,It fails,1775808000,{given},open,API,high,Acme\n", numbers)
    assert (rows[0].problems, [each["type"] for each in events]) == ((), ["incident.opened"])


@pytest.mark.parametrize("given", ["9e999999", "1e300000", "NaN", "-Infinity", "now"])
def test_a_number_that_is_no_time_is_wrong_in_its_row(desk: Any, given: str) -> None:
    rows, events = desk(
        f"{HEAD}1,It fails,{given},,open,API,high,Acme\n", MAPPING.replace('"%d.%m.%Y %H:%M", rfc3339', "epoch_seconds")
    )
    assert rows[0].problems == (f"Opened: {given!r} is no time; allowed: epoch_seconds",)
    assert not events


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file is empty"),
        (HEAD.replace("Opened", "Created") + GOOD, "there is no column 'Opened', which the import file reads"),
        (HEAD + '1,"It fails\n', "line 2: not CSV"),
        ("[1", "line 1: not JSON: expected a comma"),
        ('{"a": 1}\nx', "there is no list of tickets"),
        ('{"a": tru', "line 1: not JSON of a ticket"),
        ('[{"a": 1, "a": 2}]', "a"),
    ],
)
def test_a_file_that_has_no_rows_is_refused(desk: Any, text: str, what: str) -> None:
    with pytest.raises(UnreadableExport, match=what.replace("[", r"\[")):
        desk(text, JSON if text[:1] in ("[", "{") else MAPPING)


def test_json_is_not_taken_for_csv(desk: Any) -> None:
    with pytest.raises(UnreadableExport, match=r"export: it looks like JSON; write `file: \{format: json\}`"):
        desk("[]")


TICKET = {
    "Id": 1,
    "Title": "It fails",
    "Opened": "2026-04-10T08:00:00Z",
    "Status": "open",
    "Area": "API",
    "Priority": "high",
    "Customer": "Acme",
}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([TICKET, {**TICKET, "Id": 2}]),
        json.dumps(
            {"count": 2, "page": {"rows": []}, "tickets": [TICKET, {**TICKET, "Id": 2}], "next": None}, indent=2
        ),
        f"{json.dumps(TICKET)}\n\n{json.dumps({**TICKET, 'Id': 2})}\n",
        f"\ufeff{json.dumps(TICKET, indent=4)} {json.dumps({**TICKET, 'Id': 2})}",
    ],
)
def test_json_in_every_usual_form(desk: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk in (7, 64 * 1024):
        monkeypatch.setattr(json_text, "_CHUNK", chunk)
        rows, events = desk(text, JSON)
        assert [each["subject"] for each in events] == ["desk-1", "desk-2"]
        assert not [row for row in rows if row.problems]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"tickets": [%s], "next_page": "x"}\n{"count": 2, "tickets": [%s, %s]}\n{"tickets": []}', 3),
        ("[%s]\n[%s, %s]", 3),
        ("[][%s]", 1),
        ('{"tickets": [%s], "users": [1, {"a": "]"}]}', 1),
    ],
)
def test_the_pages_of_an_api_are_read_one_after_another(desk: Any, text: str, rows: int) -> None:
    found, events = desk(text % tuple(json.dumps({**TICKET, "Id": number}) for number in range(rows)), JSON)
    assert [each.place for each in found] == [f"ticket {number + 1}" for number in range(rows)]
    assert [each["subject"] for each in events if each["type"] == "incident.opened"] == [
        f"desk-{number}" for number in range(rows)
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"tickets": [%s], "isLast": true, "isLast": false}', "line 1: 'isLast' is named twice"),
        ('{"Id": 1,\n"Id": 2, "x": %s}', "line 2: 'Id' is named twice, and which value is meant can't be known"),
        ('{"tickets": [%s], "x": [1,2 GARBAGE', "line 1: not JSON of a ticket: "),
        ('{"tickets": [%s]', "line 1: not JSON: expected a comma and a value, or '}', got the end of the file"),
        ('{"tickets": [%s]}\n{"error": "too many requests"}', "line 2: there is no list of tickets"),
        ('{"tickets": [%s]}\n[]', r"line 2: not JSON: expected '\{', got '\['"),
        ('[%s]\n{"tickets": []}', r"line 2: not JSON: expected '\[', got '\{'"),
        ("[%s,]", "line 1: not JSON: expected a comma and a value, or ']', got ']'"),
        ("[%s] GARBAGE", r"line 1: not JSON: expected '\[', got 'G'"),
        ('{"tickets": [%s], "issues": []}', "'tickets' and 'issues' are lists of tickets; name the one to be read"),
        ('{"tickets": [%s], "tickets": []}', "'tickets' and 'tickets' are lists of tickets"),
    ],
)
def test_what_follows_a_list_of_tickets_is_read_or_refused(desk: Any, text: str, problem: str) -> None:
    with pytest.raises(UnreadableExport, match=problem):
        desk(text % json.dumps(TICKET), JSON)


@pytest.mark.parametrize("row", ["x" * 5_000, 'x,"' + "y" * 900 + "\n" + "y" * 900 + '"', 'x,"' + "y\n" * 3_000])
def test_a_row_without_an_end_is_refused_before_it_is_read(
    desk: Any, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_file, "_LONGEST_ROW", 1_000)
    with pytest.raises(UnreadableExport, match=r"line \d+: a row has more than 1,000 characters"):
        desk(HEAD + row, MAPPING)


def test_other_readers_of_csv_keep_their_limit(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    long = "x" * (before + 1)
    (tmp_path / "import.yaml").write_text(MAPPING, encoding="utf-8")
    (tmp_path / "export").write_text(HEAD + GOOD + GOOD.replace("It fails", long), encoding="utf-8")
    mapping = load_import_mapping(tmp_path / "import.yaml")
    for row, title in zip(
        export_file.export_rows(tmp_path / "export", mapping, pytest.fail), ("It fails", long), strict=True
    ):
        assert row.fields["Title"] == title
        assert csv.field_size_limit() == before, "also while the file is read"


def test_half_surrogates_are_repaired(desk: Any, tmp_path: Path) -> None:
    broken = {**TICKET, "Title": "It \ud800 fails"}
    _, events = desk(json.dumps([broken]), JSON)
    assert events[0]["data"]["summary"] == "It \ufffd fails"
    rows, _ = desk(json.dumps([{**broken, "Id": "\ud800"}]), JSON)
    assert rows[0].key == "\ufffd"


def test_a_list_of_another_name_is_named_in_the_import_file(desk: Any) -> None:
    _, events = desk(json.dumps({"data": [TICKET, 7]}), MAPPING + "file: {format: json, rows: data}\n")
    assert len(events) == 1


def test_the_memory_for_a_row_is_limited(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_file, "_LONGEST_ROW", 1000)
    with pytest.raises(UnreadableExport):
        desk(json.dumps([{**TICKET, "Title": "x" * 300_000}])[:-2], JSON)
    with pytest.raises(UnreadableExport, match="a row has more than 1,000 characters"):
        desk(HEAD + GOOD.replace("It fails", "x" * 3000))


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("id: Id", "id: Id\nidd: X", "import.yaml:6: idd: unknown key"),
        ("zone: Europe/Berlin", "zone: Europe/Berln", "Europe/Berlin"),
        (", zone: Europe/Berlin", "", "has no zone; allowed: `zone: UTC`"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y", "does not say year, month, day, hour and minute"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%Q", "is no pattern of times"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M %Z", "names of zones are not read"),
        ("api, Web: ui}}]", "api}}, {value: }]", "component"),
        ("material_aspect", "material", "'material' is not a valid impact"),
        ("tenants: [", "tenants: [{scope: platform}, ", "never applies"),
        ("opened: Opened", "opened: [Opened, a..b]", "import.yaml:7: opened: 'a..b' is not a path"),
        ("name: desk", "name: desk\nfile: {format: json}\nignore: [{'a[': x}]", "is no JMESPath expression"),
        ("name: desk", "name: Desk", "not a name of a source"),
        ("name: desk", "name: desk\nfile: {encoding: utf-9}", "is no encoding"),
        ("name: desk", "name: desk\nfile: {encoding: hex}", "import.yaml:4: file.encoding: 'hex' is no encoding"),
    ],
)
def test_mistakes_in_an_import_file_are_named_with_their_line(desk: Any, before: str, after: str, what: str) -> None:
    with pytest.raises(MappingError) as caught:
        desk(HEAD + GOOD, MAPPING.replace(before, after))
    assert what in str(caught.value)


# -- status pages ------------------------------------------------------------------------------------------------------

PAGE_MAPPING = """
version: 1
sources:
  gh:
    format: statuspage
    secrets: [{env: NOT_READ}]
    source: /status/code-hosting
    component: [{from: incident.components.name}]
    impact:
      - from: incident.impact
        values: {critical: complete_outage, major: material_aspect, minor: processing_delay, none: cosmetic}
    tier: [{when: {incident.impact: [critical]}, value: 1}, {value: 2}]
    tenants: [{scope: platform}]
"""
IMPACTS = {
    "complete_outage": "critical",
    "material_aspect": "major",
    "processing_delay": "minor",
    "cosmetic": "none",
}


def page_source(tmp_path: Path) -> Any:
    (tmp_path / "intake.yaml").write_text(PAGE_MAPPING, encoding="utf-8")
    return load_mapping(tmp_path / "intake.yaml")["gh"]


def page_of(events: list[Json]) -> Json:
    """The public JSON of a page that had these incidents."""
    by_subject: dict[str, list[Json]] = defaultdict(list)
    for event in events:
        by_subject[event["subject"]].append(event)
    incidents = []
    for subject, ours in by_subject.items():
        posts: list[Json] = []
        for number, each in enumerate(ours):
            over = each["type"] == "incident.resolved" or (posts and posts[-1]["status"] == "resolved")
            post = {"id": f"p{number:03}", "status": "resolved" if over else "investigating", "body": ""}
            shown = each["data"].get("restored_at", each["time"])
            posts.append({**post, "created_at": each["time"], "display_at": shown})
        opened = ours[0]["data"]
        incidents.append(
            {
                "id": subject.removeprefix("gh-"),
                "name": opened["summary"],
                "status": "resolved",
                "created_at": ours[0]["time"],
                "started_at": opened["started_at"],
                "updated_at": ours[-1]["time"],
                "impact": IMPACTS[opened["impact"]],
                "components": [{"id": "c", "name": opened["component"]}],
                "incident_updates": posts[::-1],
            }
        )
    return {"page": {"id": "kctbh9vrtdwd", "name": "Code hosting"}, "incidents": incidents}


def plain(event: Json) -> tuple[str, str, str, Json]:
    data = {key: value for key, value in event["data"].items() if value is not None}
    if event["type"] == "incident.resolved":
        data = {"restored_at": data.get("restored_at", event["time"])}
    return event["subject"], event["time"], event["type"], data


def test_the_shipped_history_is_what_the_import_of_its_page_gives(tmp_path: Path) -> None:
    """examples/data was made from a status page: the same incidents, posts and times, under other ids."""
    text = (ROOT / "examples" / "data" / "code-hosting-2022-2024.jsonl").read_text(encoding="utf-8")
    history = [json.loads(line) for line in text.splitlines()]
    history = [each for each in history if each["type"] != "incident.amended"]
    with EventStore() as store:
        rows = list(imported(page_rows(page_of(history), page_source(tmp_path)), store))
        events = [json.loads(line) for line in store.lines()]
    assert [row.outcome for row in rows] == ["events"] * 389
    key = lambda each: json.dumps(each, sort_keys=True)  # noqa: E731
    assert sorted(map(plain, events), key=key) == sorted(map(plain, history), key=key)
    assert [each["time"] for each in events] == sorted(each["time"] for each in events)


def test_a_page_of_one_incident_and_one_maintenance(tmp_path: Path) -> None:
    recorded = ROOT / "tests" / "data" / "intake" / "statuspage"
    incident, maintenance = (
        json.loads((recorded / f"{name}.json").read_text(encoding="utf-8"))["incident"]
        for name in ("resolved", "maintenance-in-progress")
    )
    source = page_source(tmp_path)
    document = {"page": {}, "incidents": [incident], "scheduled_maintenances": [maintenance]}
    with EventStore() as store:
        first, second = imported(page_rows(document, source), store)
        types = [json.loads(line)["type"] for line in store.lines()]
    assert types == [
        "incident.opened",
        "incident.updated",
        "incident.updated",
        "incident.resolved",
        "maintenance.scheduled",
    ]
    (event, _), *_ = second.events
    assert event["data"]["announced_at"] == "2026-05-01T09:00:00Z"  # type: ignore[index]
    assert "counts as announced when it was created" in second.notes[0]
    assert (first.place, second.place) == ("incidents[0]", "scheduled_maintenances[0]")
    for other in ([incident, maintenance], {"page": {}, "incident": incident}):
        with EventStore() as store:
            assert all(row.events for row in imported(page_rows(other, source), store))


@pytest.mark.parametrize(
    ("resolved", "outcome"),
    [
        ("2026-04-10T09:50:00Z", "2026-04-10T09:50:00Z"),
        (None, "incident.resolved_at"),
        ("soon", "incident.resolved_at"),
    ],
)
def test_an_incident_without_posts_ends_when_the_page_says(tmp_path: Path, resolved: str | None, outcome: str) -> None:
    recorded = ROOT / "tests" / "data" / "intake" / "statuspage" / "resolved.json"
    incident = json.loads(recorded.read_text(encoding="utf-8"))["incident"] | {"resolved_at": resolved}
    incident["incident_updates"] = []
    with EventStore() as store:
        (row,) = imported(page_rows({"incidents": [incident]}, page_source(tmp_path)), store)
        events = [json.loads(line) for line in store.lines()]
    assert [each["type"] for each in events] == ["incident.opened", "incident.resolved"][: 2 * len(events)]
    assert outcome in (events[-1]["data"]["restored_at"] if events else row.problems[0])


def test_an_incident_that_is_malformed_is_wrong_and_the_others_stay(tmp_path: Path) -> None:
    document = {"incidents": [7, {"id": "a"}, {"id": "b", "status": "resolved", "created_at": "x"}]}
    with EventStore() as store:
        rows = list(imported(page_rows(document, page_source(tmp_path)), store))
    assert [row.problems[0].partition(":")[0] for row in rows] == ["incident", "incident.status", "incident.created_at"]


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"months": []}, "history.json"),
        ({"a": 1}, "the object has a"),
        ({}, "nothing"),
        ("x", "expected a JSON object"),
    ],
)
def test_what_is_no_page_is_refused_with_what_to_save(tmp_path: Path, document: Any, what: str) -> None:
    with pytest.raises(NotAPage, match=what):
        list(page_rows(document, page_source(tmp_path)))


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ('{"tickets": [], "next_page": null, "count": 9}', ""),
        ('{"tickets": [], "next_page": "https://desk.example/2.json", "count": 9}', "next_page is 'https://desk"),
        ('{"tickets": [], "next_page": "x", "count": 9} {"tickets": [], "next_page": null}', ""),
        ('{"tickets": [], "next_page": "x", "end_of_stream": true}', ""),
        ('{"tickets": [], "meta": {"has_more": true}, "links": {"next": "x"}}', "meta.has_more is true"),
        ('{"tickets": [], "meta": {"has_more": false}, "links": {"next": "x"}}', ""),
        ('{"issues": [], "nextPageToken": "abc", "isLast": false}', "isLast is false"),
        ('{"startAt": 50, "maxResults": 50, "total": 51, "issues": []}', "total is 51, and 0 were read"),
        ('{"startAt": 0, "maxResults": 50, "total": 0, "issues": []}', ""),
        ("[]", ""),
    ],
)
def test_pages_that_say_that_there_are_more_are_told(tmp_path: Path, pages: str, told: str) -> None:
    """What Zendesk, by offset and by cursor, and both versions of Jira say."""
    (tmp_path / "map.yaml").write_text(JSON)
    file = tmp_path / "tickets.json"
    file.write_text(pages)
    warnings: list[str] = []
    rows_of(file, tmp_path / "map.yaml", warnings)
    assert len(warnings) == bool(told)
    assert all(told in each and "there are more tickets" in each for each in warnings)
