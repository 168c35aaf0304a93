"""The content of a report: the highest statement of each tenant's month, issued credits, and breaches that were not
retracted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from board.queries.attainment import METRICS, AttainmentRow
from cli.reports.verdicts import Verdicts
from streams.money import formatted
from streams.sla.instants import HOUR, MINUTE, SECOND, Month, month_of

Fields = Mapping[str, object]
DEFAULT_ZONE = "UTC"


class StatementRow(NamedTuple):
    """The statement with the highest revision of a tenant's month; durations in microseconds."""

    tenant: str
    month: str
    status: str
    revision: int
    availability_percent: str
    guarantee_met: bool
    downtime: int
    excluded: int
    eligible: int
    credit_percent: str
    credit_minor: int
    issued_minor: int
    waived_minor: int
    currency: str
    claimable_until: int | None
    flags: tuple[str, ...]
    policy: tuple[str, str] | None = None


class BreachRow(NamedTuple):
    """How many breaches of one kind were not retracted in a month."""

    month: str
    severity: str
    metric: str
    breaches: int


class Report(NamedTuple):
    """Statements by tenant and month; breaches by month, severity and metric; shares of clocks met by severity.
    `as_of` is the latest record read."""

    statements: list[StatementRow]
    breaches: list[BreachRow]
    as_of: int
    attainment: list[AttainmentRow] = []

    @property
    def missed(self) -> bool:
        """Whether a guarantee was missed in a month whose statement is final or adjusted."""
        return any(not row.guarantee_met for row in self.statements if row.status != "provisional")


@dataclass(slots=True)
class Reporting:
    """Takes the records of the credits and alerts topics, each partition's in its order, and adds them up.

    With `tenant` only what concerns it: its own statements, breaches of incidents that name it or are platform-wide,
    by the months of its contract's zone; without it, breaches go by months in UTC.
    """

    tenant: str | None = None
    months: Collection[str] | None = None
    _verdicts: Verdicts = field(default_factory=Verdicts)
    _statements: dict[tuple[str, str], Fields] = field(default_factory=dict)
    _issued: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    _breaches: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    _zone: str = DEFAULT_ZONE
    _as_of: int = 0

    def take(self, event_type: str, record: Fields, arrival: int) -> None:
        """One record; types that the report does not use are passed over."""
        self._as_of = max(self._as_of, arrival)
        match event_type:
            case "credit.statement" if self._wants(record):
                self._state(record)
            case "credit.issued" if self._wants(record):
                amount = cast(Mapping[str, int], record["amount"])["amount_minor"]
                tenant, month = str(record["tenant_id"]), str(record["month"])
                self._issued[str(record["event_id"])] = (tenant, month, amount)
            case "sla.met" if self._concerns(record):
                self._verdicts.take(event_type, record)
            case "sla.breached" if self._concerns(record):
                self._verdicts.take(event_type, record)
                at = cast(int, record["occurred_at"])
                self._breaches[str(record["event_id"])] = (at, str(record["severity"]), str(record["metric"]))
            case "sla.breach_retracted":
                self._verdicts.take(event_type, record)
                self._breaches.pop(str(record["breach_id"]), None)

    def report(self) -> Report:
        """What has been taken so far."""
        issued: Counter[tuple[str, str]] = Counter()
        for tenant, month, amount in self._issued.values():
            issued[tenant, month] += amount
        wanted = {key: record for key, record in self._statements.items() if self._in_time(key[1])}
        statements = [_row(record, issued[key]) for key, record in sorted(wanted.items())]
        counts = Counter(
            (month_of(at, self._zone), severity, metric) for at, severity, metric in self._breaches.values()
        )
        breaches = [BreachRow(*key, count) for key, count in sorted(counts.items()) if self._in_time(key[0])]
        return Report(statements, breaches, self._as_of, self._verdicts.by_severity(self._zone, self.months))

    def _in_time(self, month: str) -> bool:
        return self.months is None or month in self.months

    def _state(self, record: Fields) -> None:
        key = str(record["tenant_id"]), str(record["month"])
        if self.tenant is not None:
            self._zone = str(cast(Fields, record["period"])["time_zone"])
        known = self._statements.get(key)
        if known is None or cast(int, record["revision"]) > cast(int, known["revision"]):
            self._statements[key] = record

    def _wants(self, record: Fields) -> bool:
        return self.tenant in {None, record["tenant_id"]}

    def _concerns(self, record: Fields) -> bool:
        if self.tenant is None or record["scope"] == "platform":
            return True
        return self.tenant in cast(Iterable[str], record["tenant_ids"])


def _row(record: Fields, issued_minor: int) -> StatementRow:
    credit = cast(Mapping[str, object], record["credit"])
    return StatementRow(
        tenant=str(record["tenant_id"]),
        month=Month(str(record["month"])),
        status=str(record["status"]),
        policy=_policy(record),
        revision=cast(int, record["revision"]),
        availability_percent=str(cast(Fields, record["availability"])["percent"]),
        guarantee_met=bool(record["guarantee_met"]),
        downtime=cast(int, record["downtime_s"]),
        excluded=cast(int, record["excluded_s"]),
        eligible=cast(int, record["eligible_s"]),
        credit_percent=str(record["credit_percent"]),
        credit_minor=cast(int, credit["amount_minor"]),
        issued_minor=issued_minor,
        waived_minor=cast(Mapping[str, int], record["waived"])["amount_minor"],
        currency=str(credit["currency"]),
        claimable_until=cast(int | None, record["claimable_until"]),
        flags=tuple(cast(Iterable[str], record["flags"])),
    )


def _policy(record: Fields) -> tuple[str, str] | None:
    policy = cast(Mapping[str, str] | None, record.get("policy"))
    return None if policy is None else (policy["name"], policy["version"])


def duration_text(micros: int) -> str:
    """A duration for people: 3h 12m, 12m 30s, 0; seconds only where there are no hours."""
    hours, rest = divmod(micros, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds = f"{rest / SECOND:g}s"
    if hours:
        return f"{hours:,}h {minutes:02d}m"
    if minutes:
        return f"{minutes}m" if rest == 0 else f"{minutes}m {seconds}"
    return seconds if rest else "0"


#: Columns for people, of statements and of breaches.
STATEMENT_HEADS = (
    "tenant",
    "month",
    "status",
    "availability",
    "guarantee",
    "downtime",
    "credit",
    "issued so far",
)
BREACH_HEADS = ("month", "severity", "guaranteed time", "breaches")


#: Columns for people: of each metric the share met.
ATTAINMENT_HEADS = ("severity", "response met", "updates met", "resolution met")


def attainment_cells(row: AttainmentRow) -> tuple[str, ...]:
    """Shares as people read them, under ATTAINMENT_HEADS; percentages are rounded down."""
    shown = []
    for metric in METRICS:
        share = row.shares.get(metric)
        percent = "-" if share is None else f"{share.met * 1000 // share.total / 10:.1f} %"
        shown.append(percent if share is None else f"{percent} ({share.met:,} of {share.total:,})")
    return row.key, *shown


def statement_cells(row: StatementRow) -> tuple[str, ...]:
    """A statement as people read it, under STATEMENT_HEADS."""
    credit = formatted(row.credit_minor, row.currency)
    return (
        row.tenant,
        row.month,
        f"{row.status}, revision {row.revision}",
        f"{row.availability_percent} %",
        "met" if row.guarantee_met else "missed",
        duration_text(row.downtime),
        f"{credit} ({row.credit_percent} %)" if row.credit_minor else credit,
        formatted(row.issued_minor, row.currency),
    )


def breach_cells(row: BreachRow) -> tuple[str, ...]:
    """A count of breaches as people read it, under BREACH_HEADS."""
    return row.month, row.severity, row.metric, f"{row.breaches:,}"


def tables_of(report: Report) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """The report as tables for people: title, heads, rows."""
    return [
        ("availability and credits", STATEMENT_HEADS, [statement_cells(row) for row in report.statements]),
        ("breaches that stand", BREACH_HEADS, [breach_cells(row) for row in report.breaches]),
        ("guaranteed times kept", ATTAINMENT_HEADS, [attainment_cells(row) for row in report.attainment]),
    ]
