"""An incident of very many tenants: each ledger partition gets what is about its own tenants, and states the same."""

from __future__ import annotations

from typing import Any

import pytest
from agent_harness import LEDGER, Cluster, play
from story import Line, amended, annulled, contract, erased, opened, policies, reclassified, resolved, texts

from agents import impact_copies
from cli.replay.outcome import disagreements, outcome_of
from streams.internal_topics import unwrap
from streams.replay.simulate import simulate
from streams.runtime.processor import Record
from streams.sla.instants import DAY, parse_rfc3339

UNTIL = parse_rfc3339("2026-04-20T00:00:00Z")
TENANTS = [f"t-{number:03}" for number in range(120)]
#: Each change names others, so that the list has four intervals.
STORY = [
    opened("10:00", tenants=TENANTS, id="o"),
    reclassified("10:30", tenants=TENANTS[:90]),
    reclassified("11:00", tenants=TENANTS[30:]),
    resolved("1 12:00", id="z"),
    amended("4 00:00", restored="1 13:00", id="a"),
]


def with_contracts(lines: list[Line]) -> list[Line]:
    made = [
        contract("2026-02-20T00:00:00Z", of=tenant, id=f"c-{tenant}", received="2026-02-20T00:00:00Z")
        for tenant in TENANTS[::7]
    ]
    return [*made, *lines]


def copies(cluster: Cluster) -> list[tuple[int, dict[str, Any]]]:
    """The impact lists that ledger partitions were sent, with the partition."""
    found: list[tuple[int, dict[str, Any]]] = []
    for send in cluster.sends:
        if send.topic == "sla.ledger-internal":
            carrier = Record(send.topic, send.partition, 0, 0, send.key, send.value, send.headers)
            decoded: Any = cluster.codec.decode(send.value)
            if unwrap(carrier) is not None and decoded[0] == "impact.changed":
                found.append((send.partition, decoded[1]))
    return found


def test_each_ledger_partition_gets_its_own_tenants_alone() -> None:
    cluster = Cluster(policies())
    play(cluster, texts(with_contracts(STORY)), until=UNTIL)
    wide = [(at, one) for at, one in copies(cluster) if len(one["intervals"]) >= 3]
    assert {at for at, _ in wide} == {0, 1, 2, 3}
    for at, one in wide:
        named = {*one["tenant_ids"], *(name for each in one["intervals"] for name in each["tenant_ids"])}
        assert named
        assert {cluster.own(name) for name in named} == {at}
    published = [one for one in cluster.outputs("impacts") if one["type"] == "impact.changed"][-1]
    last = [one for _, one in wide[-4:]]
    names = [name for each in published["data"]["intervals"] for name in each["tenant_ids"]]
    assert sorted(names) == sorted(name for one in last for each in one["intervals"] for name in each["tenant_ids"])
    assert len(names) > impact_copies.WIDE


@pytest.mark.parametrize(
    "ending",
    [
        [],
        [annulled("6 00:00", id="n")],
        [reclassified("12:00", tenants=TENANTS[:1])],
        [reclassified("12:00", scope="platform")],
        [erased("3 00:00", of=TENANTS[7], id="e"), amended("7 00:00", restored="1 14:00", id="a-2")],
    ],
    ids=["as it is", "annulled", "one tenant left", "platform-wide", "erased"],
)
def test_statements_are_those_of_the_whole_list(ending: list[Line]) -> None:
    lines = texts(
        sorted([*with_contracts(STORY), *ending], key=lambda line: str(line.get("receivedtime", line["time"])))
    )
    cluster = Cluster(policies(), mark_every=DAY)
    play(cluster, lines, until=UNTIL)
    assert cluster.codes() == []
    assert disagreements(outcome_of(simulate(lines, policies(), until=UNTIL)), cluster.outcome()) == []


def test_a_list_that_was_stored_whole_gives_way_to_one_that_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a state has it that an earlier release wrote: nothing is stated twice, the end is the same."""
    lines = texts(with_contracts(STORY))
    expected = Cluster(policies(), mark_every=DAY)
    play(expected, lines, until=UNTIL)
    cluster = Cluster(policies(), mark_every=DAY)
    monkeypatch.setattr(impact_copies, "WIDE", 1 << 30)
    play(cluster, lines[:-1], until=parse_rfc3339("2026-03-05T00:00:00Z"))
    whole = max(map(len, cluster.rows(LEDGER, "i").values()))
    monkeypatch.undo()
    cluster.rebuild_all()
    play(cluster, lines[-1:], until=UNTIL)
    assert max(map(len, cluster.rows(LEDGER, "i").values())) < whole / 2
    assert disagreements(expected.outcome(), cluster.outcome()) == []
    assert cluster.doubled() == []
    assert sorted(one["id"] for one in cluster.outputs("credits")) == sorted(
        one["id"] for one in expected.outputs("credits")
    )
