"""R29 on several partitions: no row and no later record names who was erased, also after restarts; R18 and R16 too."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from agent_harness import AGENTS, INCIDENTS, Cluster, play
from story import (
    claimed,
    contract,
    erased,
    linked,
    maintenance,
    merged,
    opened,
    policies,
    reclassified,
    resolved,
    responded,
    severity_set,
    shipped,
    texts,
)

from agents.policy_rows import KIND, TOLD
from cli.outcome import disagreements, outcome_of
from streams.errors import PolicyChanged, PseudonymKeyChanged
from streams.simulate import simulate
from streams.sla.book import Horizons
from streams.sla.erasure import Erasures
from streams.sla.instants import DAY, parse_rfc3339

KEYED = replace(Horizons(), pseudonym_key=b"a key")
NAME = Erasures(b"a key").pseudonym("acme")
UNTIL = parse_rfc3339("2026-04-20T00:00:00Z")
BEFORE = [
    contract("2026-02-20T00:00:00Z", id="c-1"),
    contract("2026-02-20T00:00:00Z", of="other"),
    maintenance("2026-02-20T00:00:00Z", "1 09:00", "1 12:00", tenants=["acme", "other"]),
    opened("10:00", tenants=["acme", "other"]),
    linked("10:01", "ACME-77"),
    severity_set("10:02", "P2"),
    responded("10:05"),
    reclassified("11:00", of="late-opened", tenants=["acme"]),
    claimed("12:00", "2026-03"),
]
AFTER = [
    opened("10:30", of="late-opened", tenants=["other"], received="1 00:30"),
    linked("1 01:00", "ACME-78"),
    opened("1 02:00", of="second", tenants=["acme"]),
    resolved("1 03:00", of="second"),
    resolved("1 20:00"),
    merged("1 21:00", of="late-opened", into="inc"),
    contract("2026-02-20T00:00:00Z", id="c-2", charge=4_321, received="2 00:00"),
    contract("2026-02-20T00:00:00Z", id="c-1"),
]


def test_r29_nothing_kept_and_nothing_later_names_the_tenant() -> None:
    cluster = Cluster(policies(), KEYED, mark_every=DAY)
    lines = texts([*BEFORE, *AFTER])
    play(cluster, lines[: len(BEFORE)], until=parse_rfc3339("2026-03-03T00:00:00Z"))
    cluster.publish(erased("1 00:00", id="gone"), parse_rfc3339("2026-03-03T00:00:00Z"))
    waiting = cluster.rows(INCIDENTS, "w")
    named = [key for shard in cluster.shards.values() for key, row in shard.rows.items() if b"acme" in key + row]
    assert {key.split(b"\x1f")[0] for key in named} == {b"w"}, "but for what may yet be rejected as it came"
    assert len(waiting) == len(named)
    sent = len(cluster.sends)
    cluster.rebuild_all()
    play(cluster, lines[len(BEFORE) :], until=UNTIL)
    cluster.rebuild_all()
    rows = [key + row for shard in cluster.shards.values() for key, row in shard.rows.items()]
    assert not any(b"acme" in row.lower() for row in rows)
    assert any(NAME.encode() in row for row in rows)
    assert not any(b"acme" in (send.key or b"") + (send.value or b"") for send in cluster.sends[sent:])
    assert cluster.codes() == []
    assert cluster.doubled() == []


@pytest.mark.parametrize("restarts", [False, True])
def test_r29_r32_simulate_agrees_also_across_restarts(restarts: bool) -> None:
    lines = texts([*BEFORE, erased("1 00:00", id="gone"), *AFTER])
    cluster = Cluster(policies(), KEYED, mark_every=DAY)
    if restarts:
        turns = count()
        cluster.before_each = lambda shard: cluster.rebuild(shard) if next(turns) % 37 == 0 else None
    play(cluster, lines, until=UNTIL)
    expected = outcome_of(simulate(lines, policies(), until=UNTIL, horizons=KEYED))
    assert disagreements(expected, cluster.outcome()) == []
    assert cluster.outcome().issued == expected.issued
    assert any(tenant == NAME for tenant, _ in expected.statements)
    assert cluster.doubled() == []


def test_r29_another_key_stops_the_worker() -> None:
    cluster = Cluster(policies(), KEYED)
    play(cluster, texts([*BEFORE, erased("1 00:00")]), until=parse_rfc3339("2026-03-04T00:00:00Z"))
    cluster._horizons = replace(KEYED, pseudonym_key=b"another")
    for shard in cluster.shards.values():
        with pytest.raises(PseudonymKeyChanged, match="SLA_PSEUDONYM_KEY"):
            cluster.rebuild(shard)


def test_r18_every_partition_knows_each_version_that_any_decided_by() -> None:
    cluster = Cluster(policies())
    play(cluster, texts([opened("10:00")]), until=parse_rfc3339("2026-03-03T00:00:00Z"))
    own = cluster.own("inc")
    assert len(cluster.rows(INCIDENTS, KIND)) == 1
    for agent in AGENTS:
        places = {int(key.rpartition(b"@")[2]) for key in cluster.rows(agent, TOLD)}
        assert places == set(range(4)) - ({own} if agent == INCIDENTS else set())
    # A worker with other content under the label is stopped on a partition that never used it.
    idle = next(s for s in cluster.shards.values() if s.partition != own and s.agent == INCIDENTS)
    changed = replace(shipped(), digest="0" * 64)
    cluster._policies = type(cluster._policies).of([changed], changed.name)
    with pytest.raises(PolicyChanged, match="other content"):
        cluster.rebuild(idle)


def test_r18_a_version_that_only_others_have_used_may_be_missing_here() -> None:
    newer = replace(shipped(), version="2", digest="2" * 64, effective_from=parse_rfc3339("2026-03-01T00:00:00Z"))
    cluster = Cluster(policies(newer))
    play(cluster, texts([opened("10:00")]), until=parse_rfc3339("2026-03-03T00:00:00Z"))
    cluster._policies = policies()
    used = {key.rpartition(b"@")[2] for key in cluster.rows(INCIDENTS, KIND)}
    for shard in cluster.shards.values():
        if shard.agent == INCIDENTS and b"%d" % shard.partition in used:
            with pytest.raises(PolicyChanged, match="does not have"):
                cluster.rebuild(shard)
        else:
            cluster.rebuild(shard)
            assert shard.rows
