"""R29 on several partitions: no row and no later record names who was erased, also after restarts; R18 and R16 too."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from agent_harness import AGENTS, INCIDENTS, LEDGER, Cluster, play
from story import (
    Line,
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

from agents.changelog.policies import ELSEWHERE, KIND
from cli.replay.outcome import disagreements, outcome_of
from streams.errors import PolicyChanged, PseudonymKeyChanged
from streams.replay.simulate import simulate
from streams.runtime.processor import Effects
from streams.sla.arrival import TimeLimits
from streams.sla.erasure import Erasures
from streams.sla.events import Rejection
from streams.sla.incidents.timeline import Timeline
from streams.sla.instants import DAY, parse_rfc3339

KEYED = replace(TimeLimits(), pseudonym_key=b"a key")
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
    named = [key for task in cluster.tasks.values() for key, row in task.rows.items() if b"acme" in key + row]
    assert {key.split(b"\x1f")[0] for key in named} == {b"w"}, "but for what may yet be rejected as it came"
    assert len(waiting) == len(named)
    sent = len(cluster.sends)
    cluster.rebuild_all()
    play(cluster, lines[len(BEFORE) :], until=UNTIL)
    cluster.rebuild_all()
    rows = [key + row for task in cluster.tasks.values() for key, row in task.rows.items()]
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
        cluster.before_each = lambda task: cluster.rebuild(task) if next(turns) % 37 == 0 else None
    play(cluster, lines, until=UNTIL)
    expected = outcome_of(simulate(lines, policies(), until=UNTIL, time_limits=KEYED))
    assert disagreements(expected, cluster.outcome()) == []
    assert cluster.outcome().issued == expected.issued
    assert any(tenant == NAME for tenant, _ in expected.statements)
    assert cluster.doubled() == []


def test_r29_another_key_stops_the_worker() -> None:
    cluster = Cluster(policies(), KEYED)
    play(cluster, texts([*BEFORE, erased("1 00:00")]), until=parse_rfc3339("2026-03-04T00:00:00Z"))
    cluster._time_limits = replace(KEYED, pseudonym_key=b"another")
    for task in cluster.tasks.values():
        with pytest.raises(PseudonymKeyChanged, match="SLA_PSEUDONYM_KEY"):
            cluster.rebuild(task)


def test_r18_every_partition_knows_each_version_that_any_decided_by() -> None:
    cluster = Cluster(policies())
    play(cluster, texts([opened("10:00")]), until=parse_rfc3339("2026-03-03T00:00:00Z"))
    own = cluster.own("inc")
    assert len(cluster.rows(INCIDENTS, KIND)) == 1
    for agent in AGENTS:
        places = {int(key.rpartition(b"@")[2]) for key in cluster.rows(agent, ELSEWHERE)}
        assert places == set(range(4)) - ({own} if agent == INCIDENTS else set())
    # A worker with other content under the label is stopped on a partition that never used it.
    idle = next(s for s in cluster.tasks.values() if s.partition != own and s.agent == INCIDENTS)
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
    for task in cluster.tasks.values():
        if task.agent == INCIDENTS and b"%d" % task.partition in used:
            with pytest.raises(PolicyChanged, match="does not have"):
                cluster.rebuild(task)
        else:
            cluster.rebuild(task)
            assert task.rows


def loaded(*lines: Line, key: str = "a key") -> Cluster:
    cluster = Cluster(policies(), replace(KEYED, pseudonym_key=key.encode()), mark_every=DAY)
    play(cluster, texts(lines), until=parse_rfc3339("2026-03-06T00:00:00Z"))
    return cluster


def names_left(cluster: Cluster) -> list[bytes]:
    return [key for task in cluster.tasks.values() for key, row in task.rows.items() if b"acme" in (key + row).lower()]


def test_r27_r29_the_next_input_under_the_old_name_lifts_a_quarantine() -> None:
    cluster = loaded(contract("2026-02-20T00:00:00Z"), erased("1 00:00"))
    home = cluster.tasks[LEDGER, cluster.own("acme")]
    effects = Effects()
    home.processor.quarantine(NAME, "it crashed", effects, 3)
    cluster._commit(home, effects)
    assert len(cluster.rows(LEDGER, "q")) == 1
    cluster.publish(claimed("5 00:00", "2026-03"), parse_rfc3339("2026-03-07T00:00:00Z"))
    assert cluster.rows(LEDGER, "q") == {}
    cluster.pass_time(UNTIL)
    assert (NAME, "2026-03") in cluster.outcome().statements


def test_r29_r32_inputs_under_the_pseudonym_find_its_account() -> None:
    lines = [
        *(contract("2026-02-20T00:00:00Z"), opened("10:00", tenants=["acme"]), resolved("2 12:00")),
        *(erased("3 00:00"), claimed("4 00:00", "2026-03", of=NAME), erased("5 00:00", of=NAME, id="twice")),
        *(
            contract("6 00:00", "2026-02-20T00:00:00Z", of=NAME, charge=77_700),
            opened("7 00:00", of="x", tenants=["acme"]),
        ),
        *(opened("8 00:00", of="y", tenants=["acme", NAME, "acme"]), responded("8 01:00", of="y")),
    ]
    cluster = Cluster(policies(), KEYED, mark_every=DAY)
    play(cluster, texts(lines), until=UNTIL)
    expected = outcome_of(simulate(texts(lines), policies(), until=UNTIL, time_limits=KEYED))
    assert disagreements(expected, cluster.outcome()) == []
    assert cluster.outcome().issued == expected.issued
    assert {tenant for tenant, _ in expected.issued} == {NAME}
    assert len(cluster.rows(LEDGER, "@erased")) == 4
    listed = [o["data"]["tenant_ids"] for o in cluster.outputs() if o["subject"] == "y" and "tenant_ids" in o["data"]]
    assert listed
    assert all(names == [NAME] for names in listed)
    assert cluster.doubled() == []


def test_r29_a_restart_after_an_erasure_continues_at_the_same_instant() -> None:
    window = maintenance("00:00", "5 09:00", "5 12:00", tenants=["acme"], received="20:00")
    cluster = loaded(contract("2026-02-20T00:00:00Z"), window, erased("20:01"))
    before = {
        task.partition: task.processor._ledger._maintenance._facts
        for task in cluster.tasks.values()
        if task.agent == LEDGER
    }
    cluster.rebuild_all()
    after = {
        task.partition: task.processor._ledger._maintenance._facts
        for task in cluster.tasks.values()
        if task.agent == LEDGER
    }
    assert before == after


def test_r27_r29_an_incident_that_can_not_be_folded_keeps_nobody_from_being_erased(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = loaded(*(opened("10:00", of=f"inc-{n}", tenants=["acme"]) for n in range(8)))
    refold = Timeline.refold

    def fragile(self: Timeline, *args: Any) -> None:
        if self.id == "inc-3":
            raise ValueError("it crashes")
        refold(self, *args)

    monkeypatch.setattr(Timeline, "refold", fragile)
    cluster.publish(erased("5 00:00"), parse_rfc3339("2026-03-07T00:00:00Z"))
    assert names_left(cluster) == []
    assert [key.split(b"\x1f")[1].partition(b"@")[0] for key in cluster.rows(INCIDENTS, "q")] == [b"inc-3"]
    assert cluster.codes() == ["internal"]


def test_r29_names_that_are_listed_only_later_go_too() -> None:
    wide = opened("10:00", of="wide")
    window = maintenance("00:00", "1 09:00", "1 12:00", of="m-wide", tenants=["acme"])
    other = [opened("10:00", tenants=["other"]), linked("10:01", "ACME-TICKET"), responded("10:02")]
    late = [erased("2 00:00"), reclassified("2 01:00", tenants=["acme"]), linked("2 02:00", "ACME-TICKET-2")]
    cluster = loaded(wide, window, *other, *late, {**window, "id": "again"}, {**window, "id": "again"})
    assert names_left(cluster) == []
    cluster.rebuild_all()
    play(cluster, texts([resolved("9 00:00", id="end")]), until=UNTIL)
    lines = texts([wide, window, *other, *late, {**window, "id": "again"}, {**window, "id": "again"}])
    expected = outcome_of(
        simulate([*lines, *texts([resolved("9 00:00", id="end")])], policies(), until=UNTIL, time_limits=KEYED)
    )
    assert disagreements(expected, cluster.outcome()) == []
    assert cluster.codes() == []


def test_r18_of_two_contents_that_are_missing_here_the_first_stands() -> None:
    cluster = Cluster(policies())
    task = cluster.tasks[INCIDENTS, 0]
    rows = task.processor._policy_rows
    for digest in ("a" * 64, "b" * 64):
        effects = Effects()
        rows.used_elsewhere({"name": "unknown", "version": "2", "digest": digest}, effects)
        cluster._commit(task, effects)
    kept = [cluster.codec.decode(row) for row in cluster.rows(INCIDENTS, ELSEWHERE).values()]
    assert [row[1]["digest"] for row in kept if not isinstance(row, Rejection)] == ["a" * 64]
