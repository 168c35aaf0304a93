"""A report from the records of the topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from board.reports.report import BreachRow, Report, StatementRow
from cli.reports.erased_names import ErasedNames
from cli.reports.verdicts import Verdicts
from streams.sla.instants import Month, month_of

Fields = Mapping[str, object]
DEFAULT_ZONE = "UTC"


@dataclass(slots=True)
class Reporting:
    """Takes the records of the credits and alerts topics, each partition's in its order, and adds them up.

    With `tenant` only what concerns it: its own statements, breaches of incidents that name it or are platform-wide,
    by the months of its contract's zone; without it, breaches go by months in UTC. The months of an erased tenant go by
    its pseudonym, whichever name their records have.
    """

    tenant: str | None = None
    months: Collection[str] | None = None
    names: ErasedNames = field(default_factory=ErasedNames)
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
        pseudonyms = self.names.pseudonyms({tenant for tenant, _ in self._statements})
        issued: Counter[tuple[str, str]] = Counter()
        for tenant, month, amount in self._issued.values():
            issued[pseudonyms.get(tenant, tenant), month] += amount
        latest: dict[tuple[str, str], Fields] = {}
        for (tenant, month), record in self._statements.items():
            if self._in_time(month):
                _keep_latest(latest, (pseudonyms.get(tenant, tenant), month), record)
        statements = [_row(key[0], latest[key], issued[key]) for key in sorted(latest)]
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
        _keep_latest(self._statements, key, record)

    def _wants(self, record: Fields) -> bool:
        return self.tenant is None or self.names.same(str(record["tenant_id"]), self.tenant)

    def _concerns(self, record: Fields) -> bool:
        if self.tenant is None or record["scope"] == "platform":
            return True
        tenant = self.tenant
        return any(self.names.same(name, tenant) for name in cast(Iterable[str], record["tenant_ids"]))


def _keep_latest(statements: dict[tuple[str, str], Fields], key: tuple[str, str], record: Fields) -> None:
    known = statements.get(key)
    if known is None or cast(int, record["revision"]) > cast(int, known["revision"]):
        statements[key] = record


def _row(tenant: str, record: Fields, issued_minor: int) -> StatementRow:
    credit = cast(Mapping[str, object], record["credit"])
    return StatementRow(
        tenant=tenant,
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
