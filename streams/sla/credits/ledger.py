"""All accounts of one partition: contract facts, impacts, maintenance and claims become statements and credits."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla import events as ev
from streams.sla.arrival import TimeLimits, check_time
from streams.sla.credits.account import Account, Claim
from streams.sla.credits.erase_tenant import Renamed, erase
from streams.sla.credits.impact_index import PLATFORM, Impacts, tenants_of
from streams.sla.credits.maintenance import Maintenance
from streams.sla.credits.month_close import MonthClose, MonthRow
from streams.sla.erasure import Erasures
from streams.sla.impact import ImpactCopy
from streams.sla.instants import LATEST, Month
from streams.sla.policy import Policies
from streams.sla.timers import Timers


class LedgerDecision(NamedTuple):
    """What follows from one input or timer. `kept` says that the input itself is state from now on, under the names
    of `erasures`."""

    outputs: list[ev.Output]
    months: list[MonthRow]
    rejection: ev.Rejection | None = None
    duplicate: bool = False
    kept: bool = False
    renamed: Renamed | None = None


class Ledger:
    """The accounts of one partition. With `partitions` > 0 statements wait until every incident partition is known to
    have passed their instant (R26); simulation has one partition and no marks. Instants in microseconds."""

    def __init__(self, policies: Policies, time_limits: TimeLimits, partitions: int = 0, partition: int = 0) -> None:
        self._partition = partition
        self._policies = policies
        self._time_limits = time_limits
        self._accounts: dict[str, Account] = {}
        self._impacts = Impacts()
        self._maintenance = Maintenance()
        self._marks: dict[int, int] = dict.fromkeys(range(partitions), -1)
        self._timers = Timers()
        self._clock = 0
        self._closing = MonthClose(self._impacts, self._maintenance)
        self.erasures = Erasures(time_limits.pseudonym_key)

    def __len__(self) -> int:
        return len(self._accounts)

    # -- inputs ------------------------------------------------------------------------------------------------------

    def apply(self, event: ev.Event, arrival: int, position: ev.Position) -> LedgerDecision:
        """Fold one checked contract, claim, erasure or maintenance event in, named as `erasures` has it (R1, R5, R24,
        R26, R29)."""
        maintenance = isinstance(event.payload, ev.MaintenanceScheduled | ev.MaintenanceCancelled)
        known = self._maintenance.identity(event) if maintenance else self._identity(event)
        if known is not None:
            return self._repeated(event, known)
        refused = check_time(event, arrival, self._time_limits)
        if refused is not None:
            return LedgerDecision([], [], refused)
        if maintenance:
            return self.maintain(event, arrival, position)
        self._arrived(arrival, backfill=event.backfill)
        if isinstance(event.payload, ev.TenantErased):
            renamed = None
            if event.subject not in self.erasures:
                if self.erasures.pseudonym(event.subject) in self._accounts:
                    message = "another tenant has this one's pseudonym for its id: give that one another, then erase"
                    return LedgerDecision([], [], ev.Rejection("conflict", message, event.id))
                renamed = self.erase(event.subject, self._partition)
            event = self.erasures.event(event)
            self._account(event.subject).keep(event, arrival, position)
            return self._decision(kept=True)._replace(renamed=renamed)
        account = self._account(event.subject)
        if isinstance(event.payload, ev.CreditClaimed):
            return self._claim(account, event, arrival, position)
        assert isinstance(event.payload, ev.ContractSet)
        before = account.contracts.first if len(account.contracts) else None
        account.keep(event, arrival, position)
        # The earliest fact decides zone and currency of every month (R24).
        everything = before is not None and account.contracts.first != before
        self._touch(account, account.begin if everything else event.payload.valid_from, LATEST, arrival)
        return self._decision(kept=True)

    def keep(self, event: ev.Event, arrival: int, position: ev.Position) -> None:
        """Restore a kept event, as it was kept."""
        if isinstance(event.payload, ev.MaintenanceScheduled | ev.MaintenanceCancelled):
            self._maintenance.add(event, arrival, position)
        elif isinstance(event.payload, ev.CreditClaimed):
            self._keep_claim(self._account(event.subject), event, arrival, position)
        else:
            self._account(event.subject).keep(event, arrival, position)

    def erase(self, tenant: str, home: int) -> Renamed:
        """Know a tenant by its pseudonym alone from now on, wherever it is named here; `home` is the partition of its
        account (R29)."""
        renamed = erase(tenant, home, self.erasures, self._accounts, self._impacts, self._maintenance)
        self._timers.set(tenant, None)
        if renamed.name in self._accounts:
            self._schedule(self._accounts[renamed.name])
        return renamed

    @staticmethod
    def _keep_claim(account: Account, event: ev.Event, arrival: int, position: ev.Position) -> None:
        """Remember the earliest claim of a month."""
        assert isinstance(event.payload, ev.CreditClaimed)
        account.keep(event, arrival, position)
        month = Month(event.payload.month)
        claim = Claim(event.time, event.id, position)
        account.claims[month] = min(account.claims.get(month, claim), claim)

    def _claim(self, account: Account, event: ev.Event, arrival: int, position: ev.Position) -> LedgerDecision:
        """R26: a claim in time is remembered; later it is `too_late`; repeats are ignored."""
        assert isinstance(event.payload, ev.CreditClaimed)
        refused = self._closing.refuse_claim(account, event)
        if refused is not None:
            return LedgerDecision([], [], refused)
        self._keep_claim(account, event, arrival, position)
        self._closing.claimed(account, Month(event.payload.month), event.time)
        return self._decision(kept=True)

    def _identity(self, event: ev.Event) -> bytes | None:
        """The digest of the fact with this event's identity, if there is one (R1)."""
        account = self._accounts.get(event.subject)
        return None if account is None else account.digest(event)

    def maintain(self, event: ev.Event, arrival: int, position: ev.Position) -> LedgerDecision:
        """A maintenance fact, or its copy from another partition: weigh anew what it touches (R23)."""
        self._arrived(arrival, backfill=event.backfill)
        if self._maintenance.identity(event) is not None:
            return LedgerDecision([], [], duplicate=True)
        for window in self._maintenance.add(event, arrival, position):
            tenants = list(self._accounts) if window.scope == "platform" else sorted(window.tenant_ids)
            for tenant in tenants:
                if tenant in self._accounts:
                    self._touch(self._accounts[tenant], window.start, window.end, arrival)
        return self._decision(kept=True)

    def impact(self, copy: ImpactCopy, arrival: int, *, backfill: bool) -> LedgerDecision:
        """An incident's impact list changed: the copy with the highest revision stands (R21, R22)."""
        self._arrived(arrival, backfill=backfill)
        copy = self.erasures.impacts(copy)
        old = self._impacts.get(copy.incident_id)
        if old is not None and old.revision >= copy.revision:
            return LedgerDecision([], [], duplicate=True)
        changed = (set(old.impacts) if old is not None else set()) ^ set(copy.impacts)
        self.keep_impact(copy)
        if changed:
            start = min(i.start for i in changed)
            end = LATEST if any(i.end is None for i in changed) else max(i.end or 0 for i in changed)
            named = tenants_of(changed)
            for tenant in list(self._accounts) if PLATFORM in named else sorted(named & self._accounts.keys()):
                self._touch(self._accounts[tenant], start, end, arrival)
        return self._decision(kept=True)

    def keep_impact(self, copy: ImpactCopy) -> None:
        """Take an impact list in without weighing it; also how one is restored."""
        self._impacts.put(copy)

    def kept_impact(self, incident_id: str) -> ImpactCopy:
        """The impact list of an incident as it is kept; there must be one."""
        return self._impacts[incident_id]

    def mark(self, partition: int, instant: int) -> None:
        """Every input of an incident partition that arrived by `instant` has been applied (R26)."""
        if instant > self._marks.get(partition, -1):
            self._marks[partition] = instant

    # -- timers ------------------------------------------------------------------------------------------------------

    def _passed(self) -> int:
        return min(self._marks.values(), default=LATEST)

    def next_due(self) -> int | None:
        """The earliest instant at which a statement is due, of those that no incident partition holds back."""
        return self._timers.next_due(self._passed())

    def first_due(self, before: int, *, quiet: bool = False) -> tuple[int, str] | None:
        """The earliest timer due strictly before an instant, as (due, tenant). Months that were past when their
        contract arrived wait until the load has been quiet (R32), or until `quiet` says that no more is to come."""
        return self._timers.first_due(min(before, self._passed() + 1), quiet=quiet)

    def fire(self, before: int, *, quiet: bool = False) -> LedgerDecision | None:
        """Let the earliest ripe timer act; None when there is none."""
        chosen = self.first_due(before, quiet=quiet)
        if chosen is None:
            return None
        due, tenant = chosen
        quiet = quiet or self._timers.quiet_at < min(before, self._passed() + 1)
        self._clock = max(self._clock, due + 1)
        account = self._accounts[tenant]
        self._closing.fire(account, due, quiet=quiet)
        self._schedule(account)
        return self._decision()

    def _touch(self, account: Account, start: int, end: int, arrival: int) -> None:
        """Something that an account's months within [start, end) depend on has changed. Of the months to come the
        first is enough: what lasts longer is seen when it has been evaluated."""
        if len(account.contracts):
            self._closing.weigh_again(account, start, min(end, max(self._clock, start) + 1), arrival)
            self._schedule(account)

    def quarantine(self, tenant: str) -> None:
        """Its closes crash: they act no more until the next input of the tenant; its state is kept (R27)."""
        self._timers.quarantine(tenant)

    def release(self, tenant: str) -> bool:
        """Let a quarantined tenant's timers act again; False when it was not quarantined."""
        if not self._timers.release(tenant):
            return False
        if tenant in self._accounts:
            self._schedule(self._accounts[tenant])
        return True

    def last_input(self, tenant: str) -> ev.Position | None:
        """Where the contract fact of a tenant lies that rules last."""
        account = self._accounts.get(tenant)
        return [*account.contracts][-1].position if account is not None and len(account.contracts) else None

    def _schedule(self, account: Account) -> None:
        live: list[int] = [at for m in account.adjusting if (at := account.stated(m).adjust_at) is not None]
        held = None
        closing = account.next_close()
        if closing is not None:
            if closing[0] <= account.known_at:
                held = closing[0]
            else:
                live.append(closing[0])
        for month in list(account.touched):
            instant = account.next_provisional(month, self._clock)
            if instant is None:
                account.touched.discard(month)
            else:
                live.append(instant)
        self._timers.set(account.tenant, min(live, default=None), held)

    # -- state -------------------------------------------------------------------------------------------------------

    def _account(self, tenant: str) -> Account:
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = Account(tenant, self._policies, self._time_limits.lateness)
        return account

    def _arrived(self, arrival: int, *, backfill: bool) -> None:
        self._clock = max(self._clock, arrival)
        if backfill:
            self._timers.quiet_not_before(arrival + self._time_limits.backfill_quiet)

    def _repeated(self, event: ev.Event, known: bytes) -> LedgerDecision:
        if known == event.digest:
            return LedgerDecision([], [], duplicate=True)
        message = f"event {event.id} of {event.source} arrived before with other content; the first stands"
        return LedgerDecision([], [], ev.Rejection("conflict", message, event.id))

    def _decision(self, *, kept: bool = False) -> LedgerDecision:
        outputs, rows = self._closing.take()
        return LedgerDecision(outputs, rows, kept=kept)

    def restore_month(self, row: MonthRow) -> None:
        self._account(row.tenant).state(row.month, row.stated)

    def restored(self, clock: int, quiet_at: int) -> None:
        """All rows are back: index the timers as of the instant reached."""
        self._clock = max(self._clock, clock)
        self._timers.quiet_not_before(quiet_at)
        for account in self._accounts.values():
            account.touch_open_months(self._clock)
            self._schedule(account)

    @property
    def quiet_at(self) -> int:
        """No backfill is expected after this instant (R32)."""
        return self._timers.quiet_at
