"""Breaches that the agents publish only after their incident has ended say so in a header, restarted or not (R12)."""

from __future__ import annotations

import pytest
from agent_harness import Cluster, play
from story import merged, opened, policies, reopened, resolved, run, texts

from streams.serde.cloudevents_headers import INCIDENT_ENDED, extensions_of
from streams.sla.instants import DAY, parse_rfc3339

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
