"""Breaches that the agents publish only after their incident has ended say so in a header, restarted or not (R12)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from agent_harness import Cluster, play
from story import (
    merged,
    micros,
    opened,
    policies,
    reopened,
    resolved,
    responded,
    run,
    shipped,
    tell,
    texts,
    updated,
    with_severity,
)

from streams.serde.cloudevents_headers import INCIDENT_ENDED, extensions_of
from streams.sla.instants import DAY, HOUR, parse_rfc3339
from streams.sla.policy import Policies, Target

LATE = "16:00"
STORY = [
    opened("10:00", of="ended", received=LATE),
    resolved("13:30", of="ended", received=LATE),
    opened("10:00", of="merged", received=LATE),
    merged("12:30", of="merged", into="ended", received=LATE),
    opened("10:00", of="again", received=LATE),
    resolved("13:30", of="again", received=LATE),
    reopened("15:30", of="again", received=LATE),
    opened("10:00", of="in-time", received=LATE),
]


@pytest.mark.parametrize("restarts", [False, True])
def test_the_agents_say_which_breaches_are_late(restarts: bool) -> None:
    cluster = Cluster(policies(), max_cached=1, mark_every=DAY)
    if restarts:
        cluster.before_each = cluster.rebuild
    play(cluster, texts(STORY), until=parse_rfc3339("2026-03-02T18:00:00Z"))
    alerts = [send for send in cluster.sends if send.topic == "sla.alerts"]
    found = {dict(send.headers)["ce_id"].decode(): extensions_of(send.headers).get(INCIDENT_ENDED) for send in alerts}
    expected = run(*STORY, until="18:00", extensions=True)
    assert found == {each["id"]: each.get(INCIDENT_ENDED) for each in expected if each["type"].startswith("sla.")}
    late = {(each["subject"], each[INCIDENT_ENDED][11:16]) for each in expected if INCIDENT_ENDED in each}
    assert late == {("ended", "13:30"), ("merged", "12:30")}


def test_r3_a_breach_that_a_policy_added_later_does_not_have_is_retracted_at_the_next_event() -> None:
    """A version in force since before the opening judges an incident that another one has judged. So do time zone data
    or holidays that another release has."""
    cluster = Cluster(policies(), partitions=1)
    cluster.publish(opened("10:00"), micros("10:00"))
    cluster.pass_time(micros("12:30"))
    longer = with_severity(shipped(), "P1", response=Target(within=4 * HOUR))
    second = replace(longer, version="2", digest="second", effective_from=micros("09:00"))
    cluster._policies = Policies.of([shipped(), second], "scalr-emergency")
    cluster.rebuild_all()
    cluster.publish(responded("12:40"), micros("12:40"))
    cluster.publish(updated("12:45"), micros("12:45"))
    cluster.publish(resolved("12:50"), micros("12:50"))
    alerts = tell(cluster.outputs("alerts"), "breached", "retracted", "met")
    assert alerts == [
        "breached response 1 12:00",
        "retracted response 1 12:00 late_evidence",
        "met response 1 12:40",
        "met update 1 12:45",
    ]
    assert cluster.doubled() == []
