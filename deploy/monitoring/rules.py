"""The alert rules of Prometheus: one table, from which rules.yaml and the PrometheusRule are written.

Each rule has a severity: `critical` wakes somebody, `warning` waits for working hours. Summaries may use labels of the
expression, `{{ $labels.agent }}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

#: What runbook_url begins with; deploy/k8s/README.md says how to put an address of one's own.
RUNBOOKS: Final = "https://sla-clocks.example/docs/runbooks/"

#: On every alert, so that Alertmanager can keep them away from the intake: to it, a critical alert is an outage of the
#: company's service.
OF_THE_PRODUCT: Final = {"product": "sla-clocks"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert. `hold` is for how long the expression has to be true, as Prometheus writes durations."""

    name: str
    severity: Literal["critical", "warning"]
    hold: str
    summary: str
    expression: str

    @property
    def runbook(self) -> str:
        """The name of its runbook in docs/runbooks: `SlaTaskHalted` is explained in `task-halted.md`."""
        return "-".join(word.lower() for word in re.findall("[A-Z][a-z]*", self.name.removeprefix("Sla"))) + ".md"

    def as_data(self) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            **({"for": self.hold} if self.hold else {}),
            "labels": {"severity": self.severity, **OF_THE_PRODUCT},
            "annotations": {"summary": self.summary, "runbook_url": RUNBOOKS + self.runbook},
        }


#: A worker that had a partition keeps its last figures of it.
_OF_RUNNING: Final = 'and on (instance, agent, partition) (sla_task_state{state="running"} == 1)'


def _grown(series: str, window: str, labels: str) -> str:
    """Whether a counter grew. `increase` does not see the first value of a series, which comes with its first count."""
    new = f"({series} unless {series} offset {window})"
    return f"sum by ({labels}) (increase({series}[{window}]) > 0 or {new} > 0) > 0"


def _quantile(share: str, histogram: str, labels: str, limit: str) -> str:
    return f"histogram_quantile({share}, sum by (le, {labels}) (rate({histogram}_bucket[5m]))) > {limit}"


GROUPS: Final[dict[str, tuple[Rule, ...]]] = {
    "sla-worker": (
        Rule(
            "SlaTaskHalted",
            "critical",
            "1m",
            "Task {{ $labels.agent }}-{{ $labels.partition }} is halted and waits for a person",
            'max by (agent, partition) (sla_task_state{state="halted"}) == 1',
        ),
        Rule(
            "SlaNoWorker",
            "critical",
            "3m",
            "No worker decides anything: no task runs",
            'absent(sla_task_state{state="running"} == 1)',
        ),
        Rule(
            "SlaTopicsUnusable",
            "critical",
            "2m",
            "Topics of the worker {{ $labels.instance }} are missing or hidden from it, or their settings are wrong",
            "max by (instance) (sla_topics_unusable) == 1",
        ),
        Rule(
            "SlaPartitionsWithoutLeader",
            "critical",
            "2m",
            "No broker leads partitions that the worker {{ $labels.instance }} reads or writes",
            "max by (instance) (sla_partitions_without_leader) > 0",
        ),
        Rule(
            "SlaPartitionsUndecided",
            "critical",
            "2m",
            "Nobody decides partitions of which the worker {{ $labels.instance }} has some topics, and another program "
            "the others",
            "max by (instance) (sla_partitions_undecided) > 0",
        ),
        Rule(
            "SlaTaskRecovering",
            "critical",
            "15m",
            "Task {{ $labels.agent }}-{{ $labels.partition }} has been recovering for 15 minutes",
            'max by (agent, partition) (sla_task_state{state="recovering"}) == 1',
        ),
        Rule(
            "SlaTaskRestarts",
            "warning",
            "5m",
            "Tasks of the agent {{ $labels.agent }} fail and restart again and again",
            "sum by (agent) (increase(sla_task_failures_total[15m])) > 5",
        ),
        Rule(
            "SlaTimersLate",
            "critical",
            "5m",
            "1% of the timers of the agent {{ $labels.agent }} fire more than 5 s late",
            _quantile("0.99", "sla_task_timer_lag_seconds", "agent", "5"),
        ),
        Rule(
            "SlaConsumerLag",
            "warning",
            "15m",
            "Workers are behind: the inputs of the agent {{ $labels.agent }} wait in Kafka",
            "sum by (agent) (sla_task_lag_records) > 10000",
        ),
        Rule(
            "SlaInputStalled",
            "critical",
            "1m",
            "Task {{ $labels.agent }}-{{ $labels.partition }} applies nothing although inputs wait in Kafka",
            "max by (agent, partition) (sla_task_stalled_seconds) > 120",
        ),
        Rule(
            "SlaOpenTransaction",
            "critical",
            "1m",
            "Records of task {{ $labels.agent }}-{{ $labels.partition }} can't be read: a transaction of another "
            "program is open",
            "max by (agent, partition) (sla_task_open_transaction_seconds) > 120",
        ),
        Rule(
            "SlaSlowTransactions",
            "warning",
            "10m",
            "5% of the transactions of the agent {{ $labels.agent }} take more than 2 s",
            _quantile("0.95", "sla_task_transaction_seconds", "agent", "2"),
        ),
        Rule(
            "SlaManyRejects",
            "critical",
            "5m",
            "More than half of the latest inputs of partition {{ $labels.partition }} are rejected by the agent "
            "{{ $labels.agent }}",
            f"max by (agent, partition) (sla_reject_share > 0.5 {_OF_RUNNING})",
        ),
        Rule(
            "SlaInternalRejects",
            "warning",
            "",
            "The agent {{ $labels.agent }} has rejected an input because of a defect",
            _grown('sla_rejected_total{code="internal"}', "15m", "agent"),
        ),
        Rule(
            "SlaStatementsWait",
            "warning",
            "5m",
            "Statements of ledger partition {{ $labels.partition }} have waited for an incident partition for 10 "
            "minutes",
            "max by (partition) (sla_ledger_waiting_seconds > 600"
            ' and on (instance, partition) (sla_task_state{agent="ledger",state="running"} == 1))',
        ),
        Rule(
            "SlaInputsOutOfTurn",
            "critical",
            "",
            "Ledger partition {{ $labels.partition }} applies inputs before their turn: too many wait for an incident "
            "partition",
            _grown("sla_ledger_inputs_out_of_turn_total", "15m", "partition"),
        ),
        Rule(
            "SlaBackfillLasts",
            "warning",
            "5m",
            "A load of history has held what is due in task {{ $labels.agent }}-{{ $labels.partition }} for 6 hours",
            f"max by (agent, partition) (sla_backfill_holding_seconds > 21600 {_OF_RUNNING})",
        ),
        Rule(
            "SlaSchemasAwaited",
            "critical",
            "5m",
            "Task {{ $labels.agent }}-{{ $labels.partition }} waits for the schema registry",
            f"max by (agent, partition) (sla_task_waiting == 1 {_OF_RUNNING})",
        ),
        Rule(
            "SlaTimestampsIgnored",
            "warning",
            "",
            "An alien record, or one from a wrong clock, is in a topic of the agent {{ $labels.agent }}",
            _grown("sla_task_timestamps_ignored_total", "15m", "agent"),
        ),
        Rule(
            "SlaStateNotPublished",
            "warning",
            "",
            "The present state of an incident could not be published and is outdated",
            _grown("sla_incident_states_failed_total", "15m", "job"),
        ),
        Rule(
            "SlaUnknownNames",
            "warning",
            "",
            "Events name a {{ $labels.kind }} that nothing knows",
            _grown("sla_unknown_references_total", "1h", "kind"),
        ),
        Rule(
            "SlaContradictoryTimes",
            "warning",
            "",
            "An incident ends before it begins or is opened, so it counts no downtime, or too much",
            _grown("sla_contradictory_times_total", "1h", "job"),
        ),
    ),
    "sla-notifier": (
        Rule(
            "SlaDestinationDown",
            "critical",
            "5m",
            "The destination {{ $labels.destination }} accepts no notifications",
            "min by (destination) (sla_notify_up) == 0",
        ),
        Rule(
            "SlaRoutingRefused",
            "warning",
            "5m",
            "The notifier {{ $labels.instance }} refuses its new routing file or secrets and goes on with the old ones",
            "max by (instance) (sla_notify_routing_outdated) == 1",
        ),
        Rule(
            "SlaNotificationsParked",
            "critical",
            "",
            "Notifications to {{ $labels.destination }} were given up and parked",
            _grown("sla_notify_parked_total", "15m", "destination"),
        ),
        Rule(
            "SlaAlertsDeliveredLate",
            "critical",
            "5m",
            "5% of the alerts reach {{ $labels.destination }} more than a minute late",
            _quantile("0.95", "sla_notify_arrival_to_delivery_seconds", "destination", "60"),
        ),
    ),
    "sla-intake": (
        Rule(
            "SlaIntakeFails",
            "critical",
            "5m",
            "More than 5% of the requests of the source {{ $labels.source }} fail",
            'sum by (source) (rate(sla_intake_requests_total{status=~"5.."}[5m]))'
            " / sum by (source) (rate(sla_intake_requests_total[5m])) > 0.05",
        ),
        Rule(
            "SlaIntakeUnauthorized",
            "warning",
            "10m",
            "More than half of the requests of the source {{ $labels.source }} have a wrong secret",
            'sum by (source) (rate(sla_intake_requests_total{status="401"}[5m]))'
            " / sum by (source) (rate(sla_intake_requests_total[5m])) > 0.5",
        ),
        Rule(
            "SlaRequestsTurnedAway",
            "warning",
            "",
            "Requests of the source {{ $labels.source }} come too fast, too large or too slowly; none is kept",
            _grown('sla_intake_requests_total{status=~"408|413|429"}', "15m", "source"),
        ),
        Rule(
            "SlaMappingRefused",
            "warning",
            "5m",
            "The intake {{ $labels.instance }} refuses its new mapping or secrets and goes on with the old ones",
            "max by (instance) (sla_intake_mapping_outdated) == 1",
        ),
        Rule(
            "SlaMonitorsUnwatched",
            "warning",
            "5m",
            "The intake {{ $labels.instance }} does not notice that monitors are silent",
            "max by (instance) (sla_intake_heartbeats_problem) == 1",
        ),
        Rule(
            "SlaIntakeClockDiffers",
            "warning",
            "5m",
            "The clock of the intake {{ $labels.instance }} differs from Kafka's by more than a minute",
            "max by (instance) (abs(sla_intake_clock_ahead_seconds)) > 60",
        ),
        Rule(
            "SlaChangeNotApplied",
            "warning",
            "",
            "A change at {{ $labels.source }} can't be expressed as an event and needs a person",
            _grown("sla_intake_unapplied_total", "15m", "source"),
        ),
    ),
    "sla-board": (
        Rule(
            "SlaBoardStale",
            "warning",
            "5m",
            "The board {{ $labels.instance }} shows outdated data",
            "min by (instance) (sla_board_up) == 0",
        ),
        Rule(
            "SlaBoardBehind",
            "warning",
            "15m",
            "The board {{ $labels.instance }} is behind its topics",
            "sum by (instance) (sla_board_lag_records) > 10000",
        ),
        Rule(
            "SlaSignInsFail",
            "warning",
            "",
            "Many sign-ins to the board fail: {{ $labels.reason }}",
            "sum by (reason) (increase(sla_board_sign_in_failures_total[10m])) > 20",
        ),
        Rule(
            "SlaAuditEventsWait",
            "warning",
            "10m",
            "Kafka does not take the audit log of the board {{ $labels.instance }}",
            "max by (instance) (sla_board_audit_waiting_events) > 0",
        ),
    ),
    "sla-processes": (
        Rule(
            "SlaConnectionsRefused",
            "critical",
            "",
            "{{ $labels.instance }} refuses HTTP connections: all that it may have are in use",
            _grown('sla_http_connections_closed_total{reason="refused"}', "10m", "instance"),
        ),
        Rule(
            "SlaFewFilesLeft",
            "warning",
            "10m",
            "{{ $labels.instance }} has more than 80% of the files open that it may",
            "max by (instance) (process_open_fds / process_max_fds and on (instance) sla_build_info) > 0.8",
        ),
        Rule(
            "SlaMixedReleases",
            "warning",
            "1h",
            "Processes of different releases have run side by side for an hour",
            "count(count by (version) (sla_build_info)) > 1",
        ),
    ),
}
RULES: Final = tuple(rule for group in GROUPS.values() for rule in group)


def as_data() -> dict[str, Any]:
    """All groups as Prometheus reads them."""
    return {"groups": [{"name": name, "rules": [rule.as_data() for rule in rules]} for name, rules in GROUPS.items()]}
