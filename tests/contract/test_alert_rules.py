"""Alert rules fire for what they are meant for and for nothing else: each has a case of series for which it fires, and
series for which it does not. promtool computes them; without it on the PATH that test is skipped."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from cli.settings.generated_files import ROOT
from deploy.monitoring.dashboards import DASHBOARDS
from deploy.monitoring.rules import RULES, RUNBOOKS, Rule

Series = dict[str, str]
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not on the PATH"
)
BY_NAME = {rule.name: rule for rule in RULES}
TASK = 'agent="incidents",partition="3",instance="w1"'
AGENT = {"agent": "incidents"}
OF_TASK = {"agent": "incidents", "partition": "3"}
RUNS = {f'sla_task_state{{{TASK},state="running"}}': "1x60"}
STOPPED = {f'sla_task_state{{{TASK},state="running"}}': "0x60"}


class Case(NamedTuple):
    """Series by name, one value a minute; after `minutes` the alert has exactly these labels. `silent` are other sets
    of series, for each of which it does not fire."""

    fires: Series
    labels: dict[str, str]
    silent: tuple[Series, ...]
    minutes: int = 40


def growing(name: str, labels: str) -> tuple[Series, tuple[Series, ...]]:
    """For counters of which any growth counts: the first value of a new series, and a later one; none without."""
    series = f"{name}{{{labels}}}"
    return {series: "_x35 1x10"}, ({series: "5x60"}, {series: "_x5 1x60"}, {series: "0x60"})


def histogram(name: str, labels: str, below: str, above: str) -> Series:
    """One observation a second, all of them between two bounds."""
    of = f"{name}_bucket{{{labels}"
    return {
        f'{of},le="{below}"}}': "0x60",
        f'{of},le="{above}"}}': "0+60x60",
        f'{of},le="+Inf"}}': "0+60x60",
    }


def growth(name: str, labels: str, alert: dict[str, str], minutes: int = 40) -> Case:
    return Case(growing(name, labels)[0], alert, growing(name, labels)[1], minutes)


def state(name: str, value: str = "1x60", labels: str = TASK) -> Series:
    return {f'sla_task_state{{{labels},state="{name}"}}': value}


def gauge(name: str, instance: str, wrong: str = "1x60", right: str = "0x60") -> Case:
    """The alert of one process by its gauge; `right` are values without it."""
    series = f'{name}{{instance="{instance}"}}'
    return Case({series: wrong}, {"instance": instance}, ({series: right},))


CASES: dict[str, Case] = {
    "SlaTaskHalted": Case(state("halted"), OF_TASK, (state("halted", "0x60"), state("recovering"))),
    "SlaNoWorker": Case(state("running", "1x30 0x30"), {}, (RUNS,)),
    "SlaTopicsUnusable": gauge("sla_topics_unusable", "w1"),
    "SlaPartitionsWithoutLeader": gauge("sla_partitions_without_leader", "w1", "2x60"),
    "SlaPartitionsUndecided": gauge("sla_partitions_undecided", "w1"),
    "SlaTaskRecovering": Case(state("recovering"), OF_TASK, (state("recovering", "0x29 1x30"), RUNS)),
    "SlaTaskRestarts": Case(
        {f'sla_task_failures_total{{{TASK},kind="TaskFenced"}}': "0+1x60"},
        AGENT,
        ({f'sla_task_failures_total{{{TASK},kind="TaskFenced"}}': "0x30 1x30"},),
    ),
    "SlaTimersLate": Case(
        histogram("sla_task_timer_lag_seconds", 'agent="incidents"', "5", "10"),
        AGENT,
        (histogram("sla_task_timer_lag_seconds", 'agent="incidents"', "0.5", "1"),),
    ),
    "SlaConsumerLag": Case(
        {f"sla_task_lag_records{{{TASK}}}": "20000x60"},
        AGENT,
        ({f"sla_task_lag_records{{{TASK}}}": "9000x60"}, {f"sla_task_lag_records{{{TASK}}}": "20000x35 0x30"}),
    ),
    "SlaInputStalled": Case(
        {f"sla_task_stalled_seconds{{{TASK}}}": "0+60x60"},
        OF_TASK,
        ({f"sla_task_stalled_seconds{{{TASK}}}": "100x60"},),
    ),
    "SlaOpenTransaction": Case(
        {f"sla_task_open_transaction_seconds{{{TASK}}}": "0+60x60"},
        OF_TASK,
        ({f"sla_task_open_transaction_seconds{{{TASK}}}": "100x60"},),
    ),
    "SlaSlowTransactions": Case(
        histogram("sla_task_transaction_seconds", 'agent="incidents"', "2", "5"),
        AGENT,
        (histogram("sla_task_transaction_seconds", 'agent="incidents"', "0.05", "0.1"),),
    ),
    "SlaManyRejects": Case(
        {f"sla_reject_share{{{TASK}}}": "0.9x60", **RUNS},
        OF_TASK,
        ({f"sla_reject_share{{{TASK}}}": "0.4x60", **RUNS}, {f"sla_reject_share{{{TASK}}}": "0.9x60", **STOPPED}),
    ),
    "SlaInternalRejects": growth("sla_rejected_total", 'agent="incidents",code="internal"', AGENT),
    "SlaInputsOutOfTurn": growth("sla_ledger_inputs_out_of_turn_total", 'partition="3"', {"partition": "3"}),
    "SlaStatementsWait": Case(
        {
            'sla_ledger_waiting_seconds{partition="3",instance="w1"}': "0+60x60",
            'sla_task_state{agent="ledger",partition="3",instance="w1",state="running"}': "1x60",
        },
        {"partition": "3"},
        (
            {
                'sla_ledger_waiting_seconds{partition="3",instance="w1"}': "300x60",
                'sla_task_state{agent="ledger",partition="3",instance="w1",state="running"}': "1x60",
            },
            {
                'sla_ledger_waiting_seconds{partition="3",instance="w1"}': "0+60x60",
                'sla_task_state{agent="ledger",partition="3",instance="w1",state="running"}': "0x60",
            },
        ),
    ),
    "SlaBackfillLasts": Case(
        {f"sla_backfill_holding_seconds{{{TASK}}}": "0+1000x60", **RUNS},
        OF_TASK,
        (
            {f"sla_backfill_holding_seconds{{{TASK}}}": "21000x60", **RUNS},
            {f"sla_backfill_holding_seconds{{{TASK}}}": "30000x60", **STOPPED},
        ),
    ),
    "SlaSchemasAwaited": Case(
        {f"sla_task_waiting{{{TASK}}}": "1x60", **RUNS},
        OF_TASK,
        ({f"sla_task_waiting{{{TASK}}}": "0x60", **RUNS}, {f"sla_task_waiting{{{TASK}}}": "1x60", **STOPPED}),
    ),
    "SlaTimestampsIgnored": growth("sla_task_timestamps_ignored_total", TASK, AGENT),
    "SlaStateNotPublished": growth("sla_incident_states_failed_total", 'job="sla"', {"job": "sla"}),
    "SlaContradictoryTimes": Case(
        {'sla_contradictory_times_total{job="sla"}': "0x60 1x60"},
        {"job": "sla"},
        ({'sla_contradictory_times_total{job="sla"}': "7x200"},),
        90,
    ),
    "SlaUnknownNames": Case(
        {'sla_unknown_references_total{kind="plan"}': "0x60 1x60"},
        {"kind": "plan"},
        ({'sla_unknown_references_total{kind="plan"}': "7x200"},),
        90,
    ),
    "SlaDestinationDown": Case(
        {'sla_notify_up{destination="on-call"}': "1x30 0x30"},
        {"destination": "on-call"},
        ({'sla_notify_up{destination="on-call"}': "1x60"}, {'sla_notify_up{destination="on-call"}': "1x37 0x30"}),
    ),
    "SlaRoutingRefused": gauge("sla_notify_routing_outdated", "n1"),
    "SlaNotificationsParked": growth("sla_notify_parked_total", 'destination="on-call"', {"destination": "on-call"}),
    "SlaAlertsDeliveredLate": Case(
        histogram("sla_notify_arrival_to_delivery_seconds", 'destination="on-call"', "60", "300"),
        {"destination": "on-call"},
        (histogram("sla_notify_arrival_to_delivery_seconds", 'destination="on-call"', "1", "2"),),
    ),
    "SlaIntakeFails": Case(
        {
            'sla_intake_requests_total{source="jira",status="503"}': "0+1x60",
            'sla_intake_requests_total{source="jira",status="202"}': "0+10x60",
        },
        {"source": "jira"},
        (
            {
                'sla_intake_requests_total{source="jira",status="503"}': "0+1x60",
                'sla_intake_requests_total{source="jira",status="202"}': "0+100x60",
            },
        ),
    ),
    "SlaIntakeUnauthorized": Case(
        {'sla_intake_requests_total{source="jira",status="401"}': "0+10x60"},
        {"source": "jira"},
        (
            {
                'sla_intake_requests_total{source="jira",status="401"}': "0+10x60",
                'sla_intake_requests_total{source="jira",status="202"}': "0+20x60",
            },
        ),
    ),
    "SlaRequestsTurnedAway": Case(
        {'sla_intake_requests_total{source="datadog",status="429"}': "0+1x60"},
        {"source": "datadog"},
        ({'sla_intake_requests_total{source="datadog",status="202"}': "0+1x60"},),
    ),
    "SlaMappingRefused": gauge("sla_intake_mapping_outdated", "i1"),
    "SlaMonitorsUnwatched": gauge("sla_intake_heartbeats_problem", "i1"),
    "SlaIntakeClockDiffers": gauge("sla_intake_clock_ahead_seconds", "i1", "-90x60", "50x60"),
    "SlaChangeNotApplied": growth(
        "sla_intake_unapplied_total", 'source="zendesk",change="deleted"', {"source": "zendesk"}
    ),
    "SlaBoardStale": gauge("sla_board_up", "b1", "0x60", "1x60"),
    "SlaBoardBehind": Case(
        {'sla_board_lag_records{instance="b1",topic="alerts"}': "20000x60"},
        {"instance": "b1"},
        ({'sla_board_lag_records{instance="b1",topic="alerts"}': "20x60"},),
    ),
    "SlaSignInsFail": Case(
        {'sla_board_sign_in_failures_total{reason="unknown_token"}': "0+5x60"},
        {"reason": "unknown_token"},
        ({'sla_board_sign_in_failures_total{reason="unknown_token"}': "0+1x60"},),
    ),
    "SlaAuditEventsWait": gauge("sla_board_audit_waiting_events", "b1", "3x60", "0x35 3x60"),
    "SlaConnectionsRefused": growth(
        "sla_http_connections_closed_total", 'instance="i1",reason="refused"', {"instance": "i1"}
    ),
    "SlaFewFilesLeft": Case(
        {
            'process_open_fds{instance="i1"}': "900x60",
            'process_max_fds{instance="i1"}': "1024x60",
            'sla_build_info{instance="i1",version="1"}': "1x60",
        },
        {"instance": "i1"},
        (
            {'process_open_fds{instance="other"}': "900x60", 'process_max_fds{instance="other"}': "1024x60"},
            {
                'process_open_fds{instance="i1"}': "90x60",
                'process_max_fds{instance="i1"}': "1024x60",
                'sla_build_info{instance="i1",version="1"}': "1x60",
            },
        ),
    ),
    "SlaMixedReleases": Case(
        {
            'sla_build_info{instance="w1",version="1"}': "1x100",
            'sla_build_info{instance="w2",version="2"}': "1x100",
        },
        {},
        (
            {
                'sla_build_info{instance="w1",version="1"}': "1x100",
                'sla_build_info{instance="w2",version="1"}': "1x100",
            },
        ),
        90,
    ),
}


def summary(rule: Rule, labels: dict[str, str]) -> str:
    """The summary with its labels, as Prometheus fills them in."""
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], rule.summary)


def unit_test(rule: Rule, series: Series, minutes: int, labels: dict[str, str] | None) -> dict[str, Any]:
    """One test as promtool reads it; without labels nothing may fire."""
    expected = []
    if labels is not None:
        annotations = {"summary": summary(rule, labels), "runbook_url": RUNBOOKS + rule.runbook}
        expected = [{"exp_labels": {**rule.as_data()["labels"], **labels}, "exp_annotations": annotations}]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": rule.name, "exp_alerts": expected}],
    }


def test_every_rule_has_a_case_and_every_case_a_rule() -> None:
    assert set(CASES) == set(BY_NAME)
    assert all(case.silent for case in CASES.values())
    for rule in RULES:
        assert summary(rule, CASES[rule.name].labels)


def promtool(folder: Path, *words: str) -> None:
    done = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@NEEDS_PROMTOOL
def test_the_queries_of_dashboards_are_valid(tmp_path: Path) -> None:
    """promtool checks rules only, so each query becomes one."""
    panels = [panel for each in DASHBOARDS for row in each.rows.values() for panel in row]
    queries = [query.replace("$__rate_interval", "5m") for panel in panels for query in panel.queries.values()]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool(tmp_path, "check", "rules", "queries.yaml")


@NEEDS_PROMTOOL
def test_each_rule_fires_for_its_case_and_for_nothing_else(tmp_path: Path) -> None:
    """Each rule is in a file of its own: promtool computes all rules of a file for every test."""
    files = []
    for name, case in CASES.items():
        rule = BY_NAME[name]
        tests = [unit_test(rule, case.fires, case.minutes, case.labels)]
        tests += [unit_test(rule, series, case.minutes, None) for series in case.silent]
        group = {"name": name, "rules": [rule.as_data()]}
        (tmp_path / f"{name}.rules.yaml").write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
        data = {"rule_files": [f"{name}.rules.yaml"], "evaluation_interval": "1m", "tests": tests}
        (tmp_path / f"{name}.tests.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
        files.append(f"{name}.tests.yaml")
    promtool(tmp_path, "check", "rules", str(ROOT / "deploy" / "monitoring" / "rules.yaml"))
    promtool(tmp_path, "test", "rules", *files)
