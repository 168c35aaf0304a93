"""`sla what-if`: a small story with known differences; the same as two simulations, by any number of shards."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from story import (
    Line,
    amended,
    contract,
    maintenance,
    micros,
    opened,
    policies,
    policy_applied,
    resolved,
    responded,
    run,
    shipped,
    texts,
    updated,
    with_credit,
    with_severity,
)
from typer.testing import CliRunner

from cli.main import app
from cli.replay.outcome import Outcome, data_of, outcome_of
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.replay.what_if import PLATFORM, PolicyComparer
from streams.replay.what_if_result import Comparison, MonthChange, compare, credits_of, replacing
from streams.replay.what_if_run import ComparisonJob
from streams.replay.what_if_run import run as run_job
from streams.sla.arrival import TimeLimits
from streams.sla.instants import HOUR
from streams.sla.policy import Policies, Policy, Target

ROOT = Path(__file__).parents[2]
EXAMPLES = [ROOT / "examples" / "data" / name for name in ("contracts.jsonl", "code-hosting-2022-2024.jsonl")]
SHIPPED = default_policies_dir() / "scalr-emergency" / "1.yaml"

STRICTER = with_credit(
    with_severity(replace(shipped(), version="2", digest="2"), "P1", response=Target(HOUR)), step="started"
)
END = "2026-05-01T00:00:00Z"
STORY = [
    contract("2026-02-01T00:00:00Z", of="acme"),
    contract("2026-02-01T00:00:00Z", of="globe", currency="EUR"),
    # Answered after 90 minutes: late only under the stricter policy. 11 hours are 1.5 %: half a point under 99.
    opened("10:00", of="inc-1", tenants=["acme"]),
    responded("11:30", of="inc-1"),
    *(updated(f"{hour}:30", of="inc-1") for hour in range(12, 21)),
    resolved("21:00", of="inc-1"),
    # Never answered by either, and platform-wide.
    opened("1 10:00", of="inc-2", component="guest_agent"),
    resolved("1 12:30", of="inc-2"),
    # Answered at once.
    opened("2 10:00", of="inc-3", tenants=["globe"]),
    responded("2 10:10", of="inc-3"),
    resolved("2 10:20", of="inc-3"),
]


def compared(
    lines: Sequence[Line], *, old: Policies, new: Policies, parts: int = 1, until: str = END, backfill: bool = False
) -> Comparison:
    results = []
    for number in range(parts):
        comparer = PolicyComparer(
            old, new, TimeLimits(), part=number, parts=parts, until=micros(until), backfill=backfill
        )
        for index, line in enumerate(texts(lines), 1):
            comparer.read(index, line)
        results.append(comparer.end())
    return compare(results, *(credits_of(results, side, TimeLimits()) for side in (old, new)))


def stricter() -> Policies:
    return replacing([shipped()], [STRICTER], {"scalr-emergency"})


def test_breaches_and_credits_that_differ_are_named() -> None:
    found = compared(STORY, old=policies(), new=stricter())
    # The first window starts at the response, or at its breach, whichever is earlier.
    assert [one[:3] for one in found.gained] == [
        ("inc-1", "response", 1),
        ("inc-1", "update", 1),
        ("inc-2", "update", 1),
    ]
    assert found.lost == []
    assert found.months == [MonthChange("acme", "2026-03", "USD", 0, 10_000, True, False, False)]
    rows = {row.tenant: row for row in found.rows}
    assert [row.tenant for row in found.rows] == ["acme", "globe", PLATFORM]
    assert rows["acme"][1:5] == (0, 2, 2, 0)
    assert rows["acme"].credits == (("USD", 0, 10_000),)
    assert rows[PLATFORM][1:5] == (1, 2, 1, 0)
    assert not rows["globe"].differs
    assert found.total[1:5] == (1, 4, 3, 0)
    assert found.total.credits == (("EUR", 0, 0), ("USD", 0, 10_000))


def test_a_guarantee_that_is_missed_or_met_is_named_without_a_credit(tmp_path: Path) -> None:
    lines = texts([*STORY[:2], opened("10:00", tenants=["acme"]), responded("10:10"), resolved("11:00")])
    text = SHIPPED.read_text(encoding="utf-8").replace('version: "1"', 'version: "2"')
    file = tmp_path / "candidate.yaml"
    file.write_text(text.replace('guarantee: {percent: "99.9"}', 'guarantee: {percent: "99.5"}'), encoding="utf-8")
    assert "99.5" in file.read_text(encoding="utf-8")
    args = ["-", "--policy", str(file), "--until", END]
    table = call(*args, stdin="\n".join(lines))
    assert "guarantee now met: 1 month\n  acme 2026-03\n" in table.stdout, table.stdout + table.stderr
    assert "1 → 0" in table.stdout
    told = json.loads(call(*args, "--format", "json", stdin="\n".join(lines)).stdout)
    month = {"tenant": "acme", "month": "2026-03", "currency": "USD", "old": 0, "new": 0, "final": True}
    assert told["months"] == [{**month, "guarantee_met_old": False, "guarantee_met_new": True}]
    assert told["tenants"][0]["guarantee_missed"] == {"old": 1, "new": 0}
    rows = list(csv.DictReader(io.StringIO(call(*args, "--format", "csv", stdin="\n".join(lines)).stdout)))
    month_row = next(row for row in rows if row["row"] == "month")
    assert (month_row["guarantee_met_old"], month_row["guarantee_met_new"]) == ("false", "true")
    back = json.loads(
        call("-", "--policy", "scalr-emergency", "--against", file, "--json", stdin="\n".join(lines)).stdout
    )
    assert back["months"][0]["guarantee_met_new"] is False


def test_a_month_whose_time_under_contract_is_taken_away_counts_as_stated_until_it_is_adjusted() -> None:
    lines = [
        *STORY[:2],
        opened("10:00", tenants=["acme"]),
        resolved("5 10:00"),
        contract("2026-04-10T00:00:00Z", "2026-02-01T00:00:00Z", end="2026-02-02T00:00:00Z", id="ended"),
    ]
    for until, credit in (("2026-04-10T00:30:00Z", 100_000), ("2026-04-10T02:30:00Z", 0)):
        found = compared(lines, old=policies(), new=policies(), until=until)
        assert found.total.credits == (("EUR", 0, 0), ("USD", credit, credit))
        told = outcome_of(run(*lines, until=until)).statements["acme", "2026-03"]
        assert data_of(told)["credit"] == {"amount_minor": credit, "currency": "USD"}


def test_the_other_way_round_what_was_gained_is_lost() -> None:
    there = compared(STORY, old=policies(), new=stricter())
    back = compared(STORY, old=stricter(), new=policies())
    assert [one[:3] for one in back.lost] == [one[:3] for one in there.gained]
    assert (back.gained, back.total.credits[1]) == ([], ("USD", 10_000, 0))


def test_an_incident_of_two_tenants_counts_for_each_and_once_in_total() -> None:
    lines = [*STORY[:2], opened("10:00", tenants=["acme", "globe"]), responded("11:30"), resolved("11:31")]
    found = compared(lines, old=policies(), new=stricter())
    assert [(row.tenant, row.gained) for row in found.rows] == [("acme", 1), ("globe", 1)]
    assert found.total.gained == 1


def test_r18_an_event_that_applies_a_replaced_policy_applies_what_stands_there() -> None:
    other = replace(STRICTER, name="strict", version="9")
    lines = [
        *STORY[:2],
        opened("10:00", tenants=["acme"]),
        policy_applied("10:05", "scalr-emergency", "1"),
        responded("11:30"),
        resolved("11:31"),
    ]
    names = {"scalr-emergency", "strict"}
    both = {"old": replacing([shipped()], [shipped()], names), "new": replacing([shipped()], [other], names)}
    assert compared(lines, **both).total.gained == 1


#: Late, corrected, refused and repeated facts, loaded and live, beside the story.
MESSY = [
    *STORY[:4],
    {**STORY[3]},
    "no JSON",
    maintenance("1 00:00", "2 00:00", "2 01:00", id="m"),
    *STORY[4:],
    opened("3 00:00", of="inc-4", tenants=["acme", "globe"], id="o4"),
    responded("3 00:30", of="inc-4", received="3 04:30", id="r4"),
    amended("3 06:00", of="inc-4", restored="3 05:00", id="a4"),
    resolved("3 05:30", of="inc-4", received="3 06:10", id="z4"),
    opened("-20 00:00", of="inc-5", id="o5", backfill=True),
    resolved("-19 00:00", of="inc-5", id="z5", backfill=True),
    responded("3 07:00", of="never-opened", id="r6"),
    opened("4 00:00", of="inc-7", tenants=["acme"], id="o7"),
]


def standing(outcome: Outcome) -> set[tuple[str, str, object]]:
    clocks = (
        (str(e["subject"]), str(data_of(e)["metric"]), data_of(e)["instance"]) for e in outcome.standing_breaches()
    )
    return set(clocks)


@pytest.mark.parametrize("backfill", [False, True])
def test_it_is_the_difference_of_two_simulations(backfill: bool) -> None:
    found = compared(MESSY, old=policies(), new=stricter(), parts=5, backfill=backfill)
    old, new = (
        outcome_of(run(*MESSY, until=END, using=using, backfill=backfill)) for using in (policies(), stricter())
    )
    assert {one[:3] for one in found.gained} == standing(new) - standing(old)
    assert {one[:3] for one in found.lost} == standing(old) - standing(new)
    assert (found.total.old, found.total.new) == (len(standing(old)), len(standing(new)))
    credits = {
        (tenant, month): tuple(data_of(side.statements[tenant, month])["credit"]["amount_minor"] for side in (old, new))
        for tenant, month in old.statements.keys() & new.statements.keys()
    }
    closed = {(one.tenant, one.month): (one.old, one.new) for one in found.months if one.final}
    assert closed == {key: pair for key, pair in credits.items() if pair[0] != pair[1]}
    assert found == compared(MESSY, old=policies(), new=stricter(), backfill=backfill)


def test_processes_come_to_the_same_over_the_real_data(tmp_path: Path) -> None:
    tree = load_policies(default_policies_dir())
    hosting = next(one for one in tree if one.name == "code-hosting")
    new = with_credit(with_severity(hosting, "P1", response=Target(HOUR // 4)), step="started")
    old_side, new_side = (replacing(tree, [one], {"code-hosting"}) for one in (hosting, new))
    job = ComparisonJob(
        [str(path) for path in EXAMPLES], old_side, new_side, TimeLimits(), micros("2025-06-01T00:00:00Z"), True
    )
    found = run_job(job, processes=2)
    lines = [line for path in EXAMPLES for line in path.read_text(encoding="utf-8").splitlines()]
    outcomes = [outcome_of(simulate(lines, side, until=job.until, backfill=True)) for side in (old_side, new_side)]
    assert found.total[1:3] == tuple(len(standing(outcome)) for outcome in outcomes)
    sums = {one.currency: (one.old, one.new) for one in found.total.credits}
    for currency, pair in sums.items():
        for amount, outcome in zip(pair, outcomes, strict=True):
            money = [data_of(one)["credit"] for one in outcome.statements.values()]
            assert sum(m["amount_minor"] for m in money if m["currency"] == currency) == amount
    assert any(old != new for old, new in sums.values())


def call(*words: object, stdin: str | None = None) -> Result:
    result: Result = CliRunner().invoke(app, ["what-if", *map(str, words)], input=stdin)
    return result


@pytest.fixture
def candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SLA_DEFAULT_POLICY", "SLA_POLICIES", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    text = SHIPPED.read_text(encoding="utf-8").replace("within: PT2H", "within: PT1H")
    text = text.replace("step: whole", "step: started").replace('version: "1"', 'version: "2"')
    file = tmp_path / "candidate.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_formats_and_exit_codes(candidate: Path) -> None:
    stdin = "\n".join(texts(STORY))
    table = call("-", "--policy", candidate, "--until", END, stdin=stdin)
    assert table.exit_code == 0, table.stderr
    assert table.stdout.startswith(f"scalr-emergency 1 → scalr-emergency 2 ({candidate}), over {len(STORY)} events\n")
    assert "$0.00 → $100.00   +$100.00" in table.stdout
    assert "1 other tenant: no difference" in table.stdout
    assert "  inc-1  P1 response 1, due 2026-03-02T11:00:00Z (acme)" in table.stdout
    told = json.loads(call("-", "--policy", candidate, "--until", END, "--format", "json", stdin=stdin).stdout)
    assert told["total"]["breaches"] == {"old": 1, "new": 4, "gained": 3, "lost": 0}
    assert [row["tenant"] for row in told["tenants"]] == ["acme", PLATFORM]
    written = call("-", "--policy", candidate, "--until", END, "--format", "csv", stdin=stdin).stdout
    rows = list(csv.DictReader(io.StringIO(written)))
    assert [row["row"] for row in rows].count("breach") == 3
    assert [row["credit_minor_new"] for row in rows if row["row"] == "month"] == ["10000"]
    same = call("-", "--policy", "scalr-emergency", stdin=stdin)
    assert (same.exit_code, "no difference in breaches and credits" in same.stdout) == (0, True)


@pytest.mark.parametrize(
    "words",
    [
        ["-", "-", "--policy", "scalr-emergency"],
        ["-", "--policy", "nobody"],
        ["-", "--policy", "scalr-emergency@9"],
        ["-", "--policy", "scalr-emergency", "--until", "soon"],
        ["absent.jsonl", "--policy", "scalr-emergency"],
        ["-"],
    ],
)
def test_wrong_use_ends_with_2(words: list[str]) -> None:
    assert call(*words, stdin="").exit_code == 2


def test_without_against_a_candidate_is_compared_with_the_policy_of_its_name(tmp_path: Path, candidate: Path) -> None:
    hosting = default_policies_dir() / "code-hosting" / "1.yaml"
    own = tmp_path / "mine.yaml"
    own.write_text(hosting.read_text(encoding="utf-8").replace('version: "1"', 'version: "2"'), encoding="utf-8")
    stdin = "\n".join(texts(STORY))
    assert call("-", "--policy", own, stdin=stdin).stdout.startswith("code-hosting 1 → code-hosting 2 (")
    assert call("-", "--policy", "code-hosting", stdin=stdin).stdout.startswith("scalr-emergency 1 → code-hosting 1,")


def used(policy: Policy) -> str:
    return f"{policy.name} {policy.version}"


def test_each_policy_stands_for_both_names() -> None:
    other = replace(STRICTER, name="strict", version="9")
    side = replacing([shipped(), other], [other], {"scalr-emergency", "strict"})
    assert {used(side.at(name, 0)) for name in ("scalr-emergency", "strict", None, "unknown")} == {"strict 9"}


@pytest.mark.parametrize("text", ["", "no event\n", "\n{}\n"], ids=["empty", "no JSON", "no event"])
def test_files_without_an_event_are_not_said_to_show_no_difference(text: str, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(text, encoding="utf-8")
    ended = CliRunner().invoke(app, ["what-if", str(file), "--policy", "scalr-emergency"])
    assert ended.exit_code == 2
    assert "no event to compare" in ended.output
