"""Both agents together: what simulation says (R32), across rebuilds, with copies and forwarded records."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random  # noqa: TID251 -- seeded
from typing import NamedTuple

import pytest
from agent_harness import INCIDENTS, LEDGER, Cluster, StreamTask, play, ready_of
from histories import LAGS, PATIENT, arriving, stories
from hypothesis import given, settings
from hypothesis import strategies as st
from story import (
    Line,
    amended,
    annulled,
    claimed,
    contract,
    maintenance,
    micros,
    opened,
    policies,
    reclassified,
    reopened,
    resolved,
    responded,
    texts,
    updated,
)

from agents import incidents
from agents.metrics import FORWARDED
from cli.demo.command import history
from cli.replay.outcome import Outcome, disagreements, outcome_of
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.runtime.processor import Record
from streams.sla.credits import rechecks
from streams.sla.events import Rejection
from streams.sla.incidents import incident_queue
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.instants import DAY, HOUR, MINUTE, Month, parse_rfc3339
from streams.sla.policy import Policies

UNTIL = parse_rfc3339("2026-06-20T00:00:00Z")
START = micros("10:00")


def tenant_in(cluster: Cluster, partition: int) -> str:
    """A tenant whose ledger partition is this one."""
    return next(name for n in range(1_000) if cluster.own(name := f"t{n}") == partition)


def incident_in(cluster: Cluster, partition: int) -> str:
    return next(name for n in range(1_000) if cluster.own(name := f"inc{n}") == partition)


def restless(cluster: Cluster, seed: int, maximum: int) -> None:
    """After every k records or timers, k random, one processor is rebuilt: the one at work, or any. The pauses grow
    slowly: with thousands of timers, and as many rows to restore, the same pace would take minutes."""
    random = Random(seed)
    left, rebuilt = [random.randint(1, maximum)], [0]
    tasks = list(cluster.tasks.values())

    def before(task: StreamTask) -> None:
        left[0] -= 1
        if left[0] <= 0:
            rebuilt[0] += 1
            left[0] = random.randint(1, maximum + rebuilt[0] // 20)
            cluster.rebuild(random.choice([task, task, *tasks]))

    cluster.before_each = before


# -- agreement with simulation (R32) -----------------------------------------------------------------------------------


class OfRealData(NamedTuple):
    lines: list[str]
    until: int
    hosting: Policies
    outcome: Outcome
    states: list[dict[str, object]]


@pytest.fixture(scope="module")
def real_data() -> OfRealData:
    """All of the real data, and what simulation says of it."""
    until = parse_rfc3339("2026-03-01T00:00:00Z")
    hosting = Policies.of(load_policies(default_policies_dir()), "code-hosting")
    lines = list(history())
    said = list(simulate(lines, hosting, until=until, backfill=True, states=True))
    states = [each for each in said if each["type"] == "incident.state"]
    return OfRealData(
        lines, until, hosting, outcome_of(each for each in said if each["type"] != "incident.state"), states
    )


def test_r32_all_of_the_real_data(real_data: OfRealData) -> None:
    lines, until, hosting, expected, states = real_data
    cluster = Cluster(hosting, act_limit=7, max_cached=10)
    restless(cluster, 1, 600)
    play(cluster, lines, until=until, loaded_at=until - DAY)
    found = cluster.outcome()
    assert disagreements(expected, found) == []
    check_states(cluster, states)
    assert found.kinds["impact.changed"] == expected.kinds["impact.changed"]
    assert cluster.doubled() == []
    assert cluster.codes() == []


@settings(max_examples=settings.default.max_examples // 5)
@given(stories(), st.data())
def test_r32_any_story(lines: list[Line], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if data.draw(st.booleans()):  # every recheck is queued
            patch.setattr(rechecks, "MONTHS_AT_ONCE", -1)
            patch.setattr(rechecks, "MONTHS_PER_STEP", 1)
        if data.draw(st.booleans()):  # every re-evaluation is queued
            patch.setattr(incidents, "SLICE", 0)
            patch.setattr(incident_queue, "SLICE", 1)
        check_story(lines, data)


def check_story(lines: list[Line], data: st.DataObject) -> None:
    lags = data.draw(st.lists(LAGS, min_size=len(lines), max_size=len(lines)))
    lags[-3] = min(lags[-3], 300)
    arrived = texts(arriving(lines, lags))
    limits = {
        "act_limit": data.draw(st.sampled_from([1, 2, 1_000])),
        "max_cached": data.draw(st.sampled_from([1, 4_000])),
    }
    cluster = Cluster(policies(), PATIENT, mark_every=DAY, **limits)
    if data.draw(st.booleans()):
        restless(cluster, data.draw(st.integers(0, 99)), 5)
    play(cluster, arrived, until=UNTIL)
    said = list(simulate(arrived, policies(), until=UNTIL, time_limits=PATIENT, states=True))
    expected = outcome_of(each for each in said if each["type"] != "incident.state")
    assert disagreements(expected, cluster.outcome()) == []
    assert cluster.doubled() == []
    check_states(cluster, said)


def check_states(cluster: Cluster, simulated: Iterable[Line]) -> None:
    """The topic of states ends at the states of a simulation; each is newer than the one before, and has its own id."""
    expected = {each["subject"]: dict(each["data"]) for each in simulated if each["type"] == "incident.state"}
    found = {key: each["data"] for key, each in cluster.latest("incident-state").items()}
    for state in (*expected.values(), *found.values()):
        state.pop("revision")
    assert found == expected
    revisions: dict[str, int] = {}
    values: dict[str, bytes] = {}
    for send in cluster.sends:
        if send.topic == "sla.incident-state" and send.value is not None:
            decoded = cluster.codec.decode(send.value)
            assert not isinstance(decoded, Rejection)
            incident, revision, name = (str(decoded[1][each]) for each in ("incident_id", "revision", "event_id"))
            assert int(revision) > revisions.get(incident, 0)
            assert values.setdefault(name, send.value) == send.value
            revisions[incident] = int(revision)


STORY = [
    contract("2026-02-20T00:00:00Z", tier=1, received="2026-02-20T00:00:00Z"),
    maintenance("2026-02-20T00:00:00Z", "1 09:00", "1 12:00", received="2026-02-20T00:00:00Z"),
    responded("10:05", received="10:06"),
    opened("10:00", "material_aspect", tenants=["acme"], received="10:10"),
    updated("10:50", received="10:50"),
    opened("11:00", of="wide", received="11:00"),
    amended("12:00", started="09:00", of="wide", received="12:30"),
    resolved("1 10:00", of="wide", received="1 10:00"),
    resolved("13:00", received="2 00:00"),
    claimed("5 00:00", "2026-03", received="5 00:00"),
    contract("6 00:00", "2026-02-20T00:00:00Z", tier=2, charge=7_777, received="6 00:00"),
]


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_r32_a_told_story(seed: int | None) -> None:
    cluster = Cluster(policies(), act_limit=1, mark_every=DAY)
    if seed is not None:
        restless(cluster, seed, 3)  # a ledger that is rebuilt asks for watermarks, which are records again
    play(cluster, texts(STORY), until=UNTIL)
    expected = outcome_of(simulate(texts(STORY), policies(), until=UNTIL))
    assert disagreements(expected, cluster.outcome()) == []
    assert cluster.outcome().issued == expected.issued
    assert cluster.doubled() == []


@pytest.mark.parametrize("day", [3, 4, 19])
def test_r32_an_outage_that_lasts_for_months_is_stated_after_a_restart_too(day: int) -> None:
    """Nothing but time makes such months differ, and no row is newer than the last final statement."""
    lines = texts([contract("2026-02-20T00:00:00Z", received="2026-02-20T00:00:00Z"), opened("10:00")])
    cluster = Cluster(policies(), mark_every=HOUR)
    play(cluster, lines, until=parse_rfc3339(f"2026-06-{day:02d}T12:00:00Z"))
    cluster.rebuild_all()
    cluster.pass_time(UNTIL + 1)
    assert disagreements(outcome_of(simulate(lines, policies(), until=UNTIL)), cluster.outcome()) == []
    assert cluster.doubled() == []


def test_a_crash_inside_apply_leaves_nothing_half_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record is applied once in a transaction that is lost, and once more after the state was rebuilt."""
    cluster = Cluster(policies(), mark_every=DAY)
    whole = Cluster(policies(), mark_every=DAY)
    deliver = cluster.deliver

    def deliver_twice(task: StreamTask, record: Record) -> None:
        cluster.fire(task, max(record.arrival, task.time))
        cluster.crash(task, record._replace(arrival=max(record.arrival, task.time)))
        deliver(task, record)

    monkeypatch.setattr(cluster, "deliver", deliver_twice)
    for each in (cluster, whole):
        play(each, texts(STORY), until=UNTIL)
    # A ledger that was rebuilt asks for its watermark again, so there may be more of them.
    said = [[each for each in of.outputs() if each["type"] != "time.mark"] for of in (cluster, whole)]
    assert said[0] == said[1]

    apply = IncidentStore.apply

    def failing(book: IncidentStore, *args: object) -> object:
        apply(book, *args)  # type: ignore[arg-type]
        raise RuntimeError("after the state was changed")

    task = whole.tasks[INCIDENTS, whole.own("inc")]
    rows = dict(task.rows)
    with monkeypatch.context() as patched:
        patched.setattr(IncidentStore, "apply", failing)
        with pytest.raises(RuntimeError, match="after the state"):
            whole.publish(updated("109 00:00"), UNTIL)
    assert task.rows == rows
    whole.rebuild(task)
    said = len(whole.outputs())
    whole.publish(reopened("110 00:00"), UNTIL + DAY)
    assert len(whole.outputs()) > said, "the rebuilt state goes on"


# -- forwarding --------------------------------------------------------------------------------------------------------


def test_a_record_on_the_wrong_partition_is_processed_once_on_its_own() -> None:
    cluster = Cluster(policies(), mark_every=DAY)
    incident, tenant = incident_in(cluster, 2), tenant_in(cluster, 1)
    agreed = contract("9:00", of=tenant)
    counted = FORWARDED.labels(INCIDENTS)._value.get()
    cluster.publish(agreed, START - HOUR, partition=3)
    record = cluster.publish(opened("10:00", of=incident, tenants=[tenant]), START, partition=0)
    assert list(cluster.rows(INCIDENTS, "i")) == [b"i\x1f" + incident.encode() + b"\x1f0@2"]
    assert [key.rpartition(b"@")[2] for key in cluster.rows(LEDGER, "e")] == [b"1"]
    changed = next(o for o in cluster.outputs() if o["type"] == "impact.changed")
    assert changed["data"]["evidence"] == [{"topic": record.topic, "partition": 0, "offset": record.offset}]
    assert FORWARDED.labels(INCIDENTS)._value.get() == counted + 1
    cluster.publish(agreed, START, partition=3)
    assert cluster.outcome().kinds["incident.classified"] == 1
    assert cluster.codes() == []


def test_a_forwarded_orphan_is_rejected_as_it_was() -> None:
    cluster = Cluster(policies())
    ours = [("sla_route", b"mine"), ("sla_origin_offset", b"x"), ("note", None), ("note", b"2")]
    ready = ready_of(responded("10:00"))
    wrong = (cluster.own("inc") + 1) % 4
    record = cluster.put("incident-events", wrong, ready.value, START, key=None, headers=ours)
    cluster.rebuild_all()
    cluster.pass_time(START + 25 * HOUR)
    (rejects,) = cluster.rejects()
    assert (rejects.code, rejects.place) == ("orphan", ("incident-events", wrong, record.offset))
    assert rejects.headers == ours
    assert (rejects.send.key, rejects.send.value) == (None, ready.value)
    assert cluster.rows(INCIDENTS, "w") == {}
    cluster.pass_time(START + 99 * HOUR)
    assert len(cluster.rejects()) == 1


def test_a_forwarded_record_keeps_its_arrival() -> None:
    """R5, R32: it is judged by when it came in, though its own partition is far ahead by then."""
    cluster = Cluster(policies())
    cluster.fire(cluster.tasks[INCIDENTS, cluster.own("inc")], START + 36 * DAY)
    cluster.publish(opened("10:00", "cosmetic"), START, partition=(cluster.own("inc") + 1) % 4)
    assert cluster.codes() == []
    decoded = cluster.codec.decode(next(iter(cluster.rows(INCIDENTS, "i").values())))
    assert decoded[1]["facts"][0]["arrival"] == START  # type: ignore[index,union-attr]


# -- copies ------------------------------------------------------------------------------------------------------------


def test_contract_terms_reach_every_incident_partition_and_fold_anew() -> None:
    cluster = Cluster(policies())
    for partition in range(4):
        cluster.publish(opened("10:00", "material_aspect", of=incident_in(cluster, partition), tenants=["acme"]), START)
    assert {e["data"]["severity"] for e in cluster.outcome().classified.values()} == {"P2"}
    cluster.rebuild_all()
    cluster.publish(contract("10:01", "2026-01-01T00:00:00Z", tier=1), START + MINUTE)
    assert len(cluster.rows(INCIDENTS, "c")) == 4
    said = cluster.outcome().classified.values()
    assert len(said) == 4
    assert {(e["data"]["severity"], *e["data"]["flags"]) for e in said} == {("P1",)}


def heard(cluster: Cluster) -> set[int]:
    """Ledger partitions that keep an impact list."""
    return {int(key.rpartition(b"@")[2]) for key in cluster.rows(LEDGER, "i")}


def test_impacts_reach_the_ledger_partitions_they_concern() -> None:
    wide = Cluster(policies())
    wide.publish(opened("10:00"), START)
    assert heard(wide) == {0, 1, 2, 3}
    cluster = Cluster(policies())
    first, second = tenant_in(cluster, 1), tenant_in(cluster, 3)
    cluster.publish(opened("10:00", tenants=[first]), START)
    assert heard(cluster) == {1}
    cluster.publish(reclassified("10:30", tenants=[second]), START + 30 * MINUTE)
    assert heard(cluster) == {1, 3}
    cluster.publish(annulled("10:40"), START + 40 * MINUTE)
    rows = list(cluster.rows(LEDGER, "i").values())
    assert len(set(rows)) == 1, "a tenant taken off the incident learns that it is no downtime either"


@pytest.mark.parametrize("ending", [annulled("10:40"), amended("10:40", started="10:30")])
def test_who_heard_of_a_platform_wide_impact_hears_that_it_is_gone(ending: Line) -> None:
    """Narrowed to one tenant, then annulled: nothing in the list is platform-wide any more."""
    cluster = Cluster(policies(), mark_every=DAY)
    tenants = [tenant_in(cluster, partition) for partition in range(4)]
    lines = [contract("2026-02-20T00:00:00Z", of=tenant, received="2026-02-20T00:00:00Z") for tenant in tenants]
    lines += [opened("10:00"), reclassified("10:30", tenants=tenants[:1]), ending, resolved("12:00")]
    play(cluster, texts(lines), until=UNTIL)
    assert disagreements(outcome_of(simulate(texts(lines), policies(), until=UNTIL)), cluster.outcome()) == []


def test_an_earlier_opening_for_one_tenant_takes_the_platform_wide_one_back() -> None:
    cluster = Cluster(policies(), mark_every=DAY)
    tenants = [tenant_in(cluster, partition) for partition in range(4)]
    lines = [contract("2026-02-20T00:00:00Z", of=tenant, received="2026-02-20T00:00:00Z") for tenant in tenants]
    lines += [opened("10:00"), opened("09:00", tenants=tenants[:1], received="10:30"), resolved("12:00")]
    play(cluster, texts(lines), until=UNTIL)
    assert disagreements(outcome_of(simulate(texts(lines), policies(), until=UNTIL)), cluster.outcome()) == []


def test_maintenance_reaches_the_other_ledger_partitions_once() -> None:
    cluster = Cluster(policies())
    window = maintenance("10:00", "1 09:00", "1 12:00")
    for arrival in (START, START + 1):
        cluster.publish(window, arrival)
    kept = cluster.rows(LEDGER, "e")
    assert sorted(key.rpartition(b"@")[2] for key in kept) == [b"0", b"1", b"2", b"3"]
    copies = [send for send in cluster.sends if send.topic == "sla.ledger-internal" and send.key == b"m-1"]
    assert len(copies) == 3


@pytest.mark.parametrize("contract_first", [True, False])
def test_r1_a_maintenance_that_is_named_like_a_tenant_replaces_nothing_of_it(*, contract_first: bool) -> None:
    """Rows have the identity of their event: the one that arrives second would take the place of the first."""
    terms = contract("2026-02-20T00:00:00Z") | {"id": "1", "source": "/operations"}
    window = maintenance("2026-02-20T00:00:00Z", "1 09:00", "1 12:00", of="acme") | {"id": "1", "source": "/operations"}
    lines = [terms, window] if contract_first else [window, terms]
    cluster = Cluster(policies())
    for line in lines:
        cluster.publish(line, parse_rfc3339("2026-02-20T00:00:00Z"))
    assert cluster.codes() == ["conflict"]
    simulated = list(simulate(texts(lines), policies()))
    assert [output["data"]["code"] for output in simulated] == ["conflict"]  # type: ignore[index]
    cluster.rebuild_all()
    cluster.pass_time(parse_rfc3339("2026-03-05T00:00:00Z"))
    assert cluster.outcome().kinds["credit.statement"] == (1 if contract_first else 0)


def test_no_final_before_every_partition_has_passed_its_instant() -> None:
    cluster = Cluster(policies(), mark_every=MINUTE)
    cluster.publish(contract("2026-02-20T00:00:00Z"), parse_rfc3339("2026-02-20T00:00:00Z"))
    final_at = parse_rfc3339("2026-03-04T00:00:00Z")
    after = final_at + HOUR
    for partition in (0, 1, 3):
        cluster.fire(cluster.tasks[INCIDENTS, partition], after)
    cluster.settle()
    cluster.pass_time(after, [LEDGER])
    assert "credit.statement" not in cluster.outcome().kinds
    cluster.fire(cluster.tasks[INCIDENTS, 2], final_at + 1)
    cluster.settle()
    cluster.rebuild_all()
    cluster.pass_time(after, [LEDGER])
    statement = cluster.outcome().statements["acme", Month("2026-02")]
    assert statement["data"]["status"] == "final"  # type: ignore[index]


def test_claims_are_issued_once() -> None:
    cluster = Cluster(policies(), mark_every=DAY)
    lines = [
        contract("2026-02-20T00:00:00Z", received="2026-02-20T00:00:00Z"),
        opened("10:00"),
        resolved("5 10:00"),
        claimed("6 00:00", "2026-03"),
        claimed("7 00:00", "2026-03"),
    ]
    restless(cluster, 5, 2)
    play(cluster, texts(lines), until=UNTIL)
    assert cluster.outcome().kinds["credit.issued"] == 1
    late = claimed("109 00:00", "2026-03")
    cluster.publish(late, UNTIL + 2)
    assert cluster.codes() == ["too_late"]
