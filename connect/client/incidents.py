"""Publishes what happens to incidents: one method for each event type of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Unpack

from connect.client.delivery import Delivery
from connect.client.outgoing import Envelope, Instant, listed
from connect.client.publisher import Publisher
from streams.sla.events import Scope, Who
from streams.sla.severity import Severity

Impact = Literal["complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic"]
Awaited = Literal["customer", "third_party"]
Channel = Literal["monitor", "phone", "ticket", "api"]


class IncidentPublisher(Publisher):
    """Publishes what happens to incidents. Each method sends one event and returns its Delivery at once.

    `incident` is the incident's id, chosen by whoever opens it, at most 128 characters; texts are at most 4 KiB. Every
    method also takes `event_id`, `time`, `backfill`, `received_time` and `traceparent` (see `Envelope`). All raise
    InvalidEvent for what the product would reject, and BrokerUnavailable when Kafka accepts nothing; nothing was sent
    then. Events may come in any order: the product goes by their times.
    """

    def opened(
        self,
        incident: str,
        *,
        scope: Scope,
        component: str,
        impact: Impact,
        channel: Channel,
        tenant_ids: Sequence[str] | None = None,
        tier: int | None = None,
        summary: str | None = None,
        started_at: Instant | None = None,
        ticket_id: str | None = None,
        language: str | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """An incident became known; its response clock starts at `time`. `scope` "tenants" needs `tenant_ids`, at most
        1,000. `tier` is 1 to 3; `started_at` is when the fault began, default `time`."""
        data = {
            "scope": scope,
            "tenant_ids": listed(tenant_ids),
            "component": component,
            "impact": impact,
            "tier": tier,
            "channel": channel,
            "summary": summary,
            "started_at": started_at,
            "ticket_id": ticket_id,
            "language": language,
        }
        return self._send("incident.opened", incident, data, envelope)

    def responded(self, incident: str, *, who: Who, **envelope: Unpack[Envelope]) -> Delivery:
        """Somebody answered. An answer by support ends the response clock."""
        return self._send("incident.responded", incident, {"who": who}, envelope)

    def updated(
        self,
        incident: str,
        *,
        who: Who,
        visibility: Literal["public", "internal"],
        text: str | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """The customer received an update (public), or colleagues did (internal)."""
        return self._send("incident.updated", incident, {"who": who, "visibility": visibility, "text": text}, envelope)

    def update_requested(self, incident: str, *, who: Who, **envelope: Unpack[Envelope]) -> Delivery:
        """Somebody asked for an update; counts where updates are on request."""
        return self._send("incident.update_requested", incident, {"who": who}, envelope)

    def reclassified(
        self,
        incident: str,
        *,
        component: str | None = None,
        impact: Impact | None = None,
        tier: int | None = None,
        scope: Scope | None = None,
        tenant_ids: Sequence[str] | None = None,
        who: Who | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """The classification changes from `time` on: give at least one of these; `tenant_ids` go with `scope`
        "tenants"."""
        data = {
            "component": component,
            "impact": impact,
            "tier": tier,
            "scope": scope,
            "tenant_ids": listed(tenant_ids),
            "who": who,
        }
        return self._send("incident.reclassified", incident, data, envelope)

    def severity_set(
        self,
        incident: str,
        *,
        severity: Severity | None,
        who: Who,
        reason: str,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """Set the severity by hand; later facts do not change it. None returns the decision to the rules."""
        data = {"severity": severity, "who": who, "reason": reason}
        return self._send("incident.severity_set", incident, data, envelope)

    def waiting(self, incident: str, *, on: Awaited, who: Who | None = None, **envelope: Unpack[Envelope]) -> Delivery:
        """Work waits for another party; this pauses clocks where the policy says so."""
        return self._send("incident.waiting", incident, {"on": on, "who": who}, envelope)

    def waiting_ended(
        self, incident: str, *, on: Awaited, who: Who | None = None, **envelope: Unpack[Envelope]
    ) -> Delivery:
        """The wait is over."""
        return self._send("incident.waiting_ended", incident, {"on": on, "who": who}, envelope)

    def resolved(
        self,
        incident: str,
        *,
        restored_at: Instant | None = None,
        who: Who | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """The incident is resolved; `restored_at` is when the service was restored, default `time`."""
        return self._send("incident.resolved", incident, {"restored_at": restored_at, "who": who}, envelope)

    def reopened(
        self,
        incident: str,
        *,
        reason: str | None = None,
        started_at: Instant | None = None,
        who: Who | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """The incident is open again; `started_at` is when the fault came back, default `time`."""
        data = {"reason": reason, "started_at": started_at, "who": who}
        return self._send("incident.reopened", incident, data, envelope)

    def linked(
        self,
        incident: str,
        *,
        ticket_id: str | None = None,
        phone_call_id: str | None = None,
        who: Who | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """A ticket or a call is about this incident too: at least one of both."""
        data = {"ticket_id": ticket_id, "phone_call_id": phone_call_id, "who": who}
        return self._send("incident.linked", incident, data, envelope)

    def merged(self, incident: str, *, into: str, who: Who | None = None, **envelope: Unpack[Envelope]) -> Delivery:
        """The incident continues as part of another one."""
        return self._send("incident.merged", incident, {"into": into, "who": who}, envelope)

    def amended(
        self,
        incident: str,
        *,
        who: Who,
        approver: Who,
        reason: str,
        started_at: Instant | None = None,
        restored_at: Instant | None = None,
        counts_as_downtime: bool | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """Correct the past: give at least one of the three. Two people, both with an id, and different."""
        data = {
            "started_at": started_at,
            "restored_at": restored_at,
            "counts_as_downtime": counts_as_downtime,
            **_four_eyes(who, approver, reason),
        }
        return self._send("incident.amended", incident, data, envelope)

    def policy_applied(
        self,
        incident: str,
        *,
        policy: str,
        version: str,
        who: Who,
        approver: Who,
        reason: str,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """An open incident moves to another policy version. Two people, both with an id, and different."""
        data = {"policy": policy, "version": version, **_four_eyes(who, approver, reason)}
        return self._send("incident.policy_applied", incident, data, envelope)

    def annulled(
        self, incident: str, *, who: Who, approver: Who, reason: str, **envelope: Unpack[Envelope]
    ) -> Delivery:
        """It was never an incident: breaches are retracted, downtime is removed. Two people, both with an id, and
        different."""
        return self._send("incident.annulled", incident, _four_eyes(who, approver, reason), envelope)


def _four_eyes(who: Who, approver: Who, reason: str) -> Mapping[str, object]:
    return {"who": who, "approver": approver, "reason": reason}
