"""Inputs of a ledger partition that wait, because earlier ones may be missing: nothing is lost and nothing doubled."""

from __future__ import annotations

from typing import Any

import pytest
from agent_harness import INCIDENTS, LEDGER, Cluster, StreamTask, ready_of
from story import amended, annulled, claimed, contract, erased, maintenance, opened, policies, resolved
from structlog.testing import capture_logs

from agents.changelog import early_erasures
from agents.changelog.early_inputs import OVERHEAD, EarlyInput, EarlyInputs
from agents.ledger import LedgerProcessor
from agents.watermark_wait import LONG_WAIT
from streams.internal_topics import with_arrival
from streams.kafka.partitioner import partition_of
from streams.metrics import REGISTRY
from streams.runtime.processor import Effects, Record, SubjectFailed
from streams.sla.credits.ledger import Ledger
from streams.sla.credits.month_close import OUT_OF_ORDER
from streams.sla.instants import DAY, HOUR, MINUTE, parse_rfc3339

EARLY = "@early"
MARCH = parse_rfc3339("2026-03-01T00:00:00Z")
NOW = MARCH + 100 * DAY
ERASED_AT = MARCH + 27 * DAY
Line = dict[str, Any]


def behind(*lines: Line, partitions: int = 2) -> Cluster:
    """A deployment that has the inputs, months after they arrived, and whose incident partitions are not known to have
    read theirs."""
    cluster = Cluster(policies(), partitions=partitions)
    cluster.clock.instant = NOW
    for line in lines:
        cluster.publish(line, parse_rfc3339(line["time"]))
    return cluster


def apply_erasure(cluster: Cluster, name: str, limit: int = 100) -> None:
    """Erase a tenant in its ledger partition alone; at most so many timers are fired."""
    task, ready, at = (
        cluster.tasks[LEDGER, cluster.own(name)],
        ready_of(erased("2026-03-28T00:00:00Z", of=name)),
        ERASED_AT,
    )
    topic = cluster.topics.name("contract-events")
    effects = Effects()
    task.processor.apply(Record(topic, task.partition, 99, at, name.encode(), ready.value, ready.headers), effects)
    cluster._commit(task, effects)
    effects = Effects()
    task.processor.fire(at + DAY, limit, effects)
    cluster._commit(task, effects)


class Standing(Cluster):
    """One incident partition reads nothing until it is started."""

    def __init__(self, *of: Any, **more: Any) -> None:
        super().__init__(*of, partitions=2, **more)
        self.clock.instant = NOW
        self.standing: list[Record] | None = []

    def deliver(self, task: StreamTask, record: Record) -> None:
        if self.standing is not None and (task.agent, task.partition) == (INCIDENTS, 1):
            self.standing.append(record)
        else:
            super().deliver(task, record)

    def fire(self, task: StreamTask, before: int) -> None:
        if self.standing is None or (task.agent, task.partition) != (INCIDENTS, 1):
            super().fire(task, before)

    def start(self) -> None:
        unread, self.standing = self.standing or [], None
        for record in unread:
            self.deliver(self.tasks[INCIDENTS, 1], record)
            self.settle()
        self.pass_time(NOW)


def credit_outputs(cluster: Cluster) -> list[tuple[Any, ...]]:
    found = []
    for each in cluster.outputs():
        if each["type"].startswith("credit."):
            data = each["data"]
            amount = (data.get("credit") or data["amount"])["amount_minor"]
            found.append((each["type"].split(".")[1], each["time"][:16], data.get("status"), amount))
    return found


def test_terms_and_maintenance_that_wait_are_known_elsewhere_at_once() -> None:
    at = "2026-03-01T00:00:00Z"
    cluster = behind(
        contract(at), contract(at, charge=70_000), maintenance(at, "2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z")
    )
    assert len(cluster.rows(LEDGER, EARLY)) == 4, "two of the tenant, the maintenance here and its copy"
    assert cluster.rows(LEDGER, "e") == {}
    assert len(cluster.rows(INCIDENTS, "c")) == 4, "two facts in two partitions"
    cluster.rebuild_all()
    cluster.pass_time(NOW)
    assert cluster.rows(LEDGER, EARLY) == {}
    assert len(cluster.rows(LEDGER, "e")) == 4
    assert len(cluster.rows(INCIDENTS, "c")) == 4, "nothing is copied twice"


def test_a_gauge_counts_the_inputs_that_wait() -> None:
    cluster = behind(*(contract("2026-03-01T00:00:00Z", id=f"c-{n}", charge=1_000 + n) for n in range(3)))
    home = cluster.own("acme")

    def waiting() -> float | None:
        assert cluster.tasks[LEDGER, home].processor.problems(NOW) == []
        return REGISTRY.get_sample_value("sla_ledger_early_inputs", {"partition": str(home)})

    assert waiting() == 3
    cluster.rebuild_all()
    assert waiting() == 3
    cluster.fire(cluster.tasks[LEDGER, home], NOW)
    assert waiting() == 3
    (problem,) = cluster.tasks[LEDGER, home].processor.problems(NOW + LONG_WAIT)
    assert "inputs (3) since 2026-03-01T00:00:00Z have waited 10 minutes for incident partition 0, 1" in problem
    cluster.pass_time(NOW)
    assert waiting() == 0


def test_r1_what_repeats_an_input_that_waits_is_ignored_and_what_contradicts_it_is_rejected() -> None:
    first = contract("2026-03-01T00:00:00Z", id="c-1")
    cluster = behind(first, first, contract("2026-03-01T00:00:00Z", id="c-1", charge=1))
    cluster.rebuild_all()
    cluster.publish(first, MARCH + MINUTE)
    assert cluster.codes() == ["conflict"]
    assert len(cluster.rows(LEDGER, EARLY)) == 1
    cluster.pass_time(NOW)
    cluster.publish(first, NOW)
    assert cluster.codes() == ["conflict"]


@pytest.mark.parametrize("rebuilt", [False, True])
def test_an_input_whose_headers_look_like_those_of_a_copy_is_applied_in_its_turn(rebuilt: bool) -> None:
    """Headers are their publisher's: only a record of an internal topic has an envelope."""
    envelope = {
        "sla_route": b"ledger",
        "sla_kind": b"copy",
        "sla_origin_topic": b"sla.contract-events",
        "sla_origin_partition": b"0",
        "sla_origin_offset": b"7",
        "sla_origin_arrival": b"253402300799000000",
    }
    cluster = behind()
    ready = ready_of(contract("2026-03-01T00:00:00Z"))
    headers = [*envelope.items(), *ready.headers, ("trace", None)]
    cluster.put(ready.topic, cluster.own("acme"), ready.value, MARCH, key=b"acme", headers=headers)
    assert len(cluster.rows(LEDGER, EARLY)) == 1
    if rebuilt:
        cluster.rebuild_all()
    cluster.pass_time(NOW)
    assert cluster.codes() == []
    assert cluster.rows(LEDGER, EARLY) == {}
    assert len(cluster.rows(LEDGER, "e")) == 1


@pytest.mark.parametrize("name", ["e", "acme-" + "x" * 70])
def test_r29_an_erasure_reads_only_the_waiting_inputs_that_name_its_tenant(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short id is part of many texts, and a rebuilt deployment may have a hundred thousand inputs that wait."""
    cluster = behind(
        contract("2026-03-01T00:00:00Z", of=name),
        *(opened("2026-03-25T00:00:00Z", of=f"eee{n}", tenants=["eee", "acme-x"]) for n in range(5)),
        opened("2026-03-25T00:00:00Z", of="f", tenants=["b", name]),
        partitions=1,
    )
    redact, read = EarlyInputs.redact, list[EarlyInput]()

    def counted(self: EarlyInputs, early: EarlyInput, effects: Effects) -> None:
        read.append(early)
        redact(self, early, effects)

    monkeypatch.setattr(EarlyInputs, "redact", counted)
    apply_erasure(cluster, name)
    assert [early.record.key for early in read] == [b"f"]
    assert not [value for value in cluster.rows(LEDGER, EARLY).values() if b"acme-xx" in value]


def test_r26_a_claim_that_waits_is_rejected_in_its_turn_with_its_record_untouched() -> None:
    cluster = behind(contract("2026-03-01T00:00:00Z"), claimed("2026-08-01T00:00:00Z", "2026-03"), partitions=1)
    assert len(cluster.rows(LEDGER, EARLY)) >= 1
    cluster.rebuild_all()
    cluster.clock.instant = NOW + 100 * DAY
    assert cluster.codes() == []
    cluster.pass_time(NOW + 100 * DAY)
    (reject,) = cluster.rejects()
    assert (reject.code, reject.place) == ("too_late", ("contract-events", 0, 1))
    assert ("ce_type", b"credit.claimed") in reject.headers


def test_r28_a_maintenance_takes_no_more_events_while_they_wait_than_afterwards() -> None:
    lines = [
        maintenance(f"2026-03-02T00:{n // 60:02}:{n % 60:02}Z", "2026-03-05T00:00:00Z", "2026-03-06T00:00:00Z")
        for n in range(201)
    ]
    cluster = behind(contract("2026-03-01T00:00:00Z"), *lines)
    assert cluster.codes() == ["oversize"]
    cluster.pass_time(NOW)
    assert cluster.codes() == ["oversize"]


@pytest.mark.parametrize("rebuilt", [False, True])
def test_r29_an_erasure_reaches_inputs_that_wait(rebuilt: bool) -> None:
    lines = [
        contract("2026-03-01T00:00:00Z"),
        claimed("2026-03-20T00:00:00Z", "2026-03"),
        maintenance("2026-03-20T00:00:00Z", "2026-03-22T00:00:00Z", "2026-03-23T00:00:00Z", tenants=["acme", "b"]),
        opened("2026-03-25T00:00:00Z", tenants=["acme", "b"]),
        resolved("2026-03-27T00:00:00Z"),
    ]
    cluster = behind(*lines, erased("2026-03-28T00:00:00Z"), amended("2026-04-06T00:00:00Z", counts=False))
    rows = {key: value for task in cluster.tasks.values() for key, value in task.rows.items()}
    assert any(key.startswith(EARLY.encode()) for key in rows)
    assert not [key for key, value in rows.items() if b"acme" in key + value]
    if rebuilt:
        cluster.rebuild_all()
    cluster.pass_time(NOW)
    assert cluster.codes() == []
    in_turn = Cluster(policies(), partitions=2)
    for line in [*lines, amended("2026-04-06T00:00:00Z", counts=False)]:
        in_turn.pass_time(parse_rfc3339(line["time"]))
        in_turn.publish(line, parse_rfc3339(line["time"]))
    in_turn.pass_time(NOW)
    assert credit_outputs(cluster) == credit_outputs(in_turn)


@pytest.mark.parametrize("slices", [False, True])
@pytest.mark.parametrize("rebuilt", [False, True])
def test_r26_r29_a_restart_after_an_early_erasure_leaves_out_no_statement(
    rebuilt: bool, slices: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that an erasure replaces do not say that time has reached it."""
    if slices:
        monkeypatch.setattr("streams.sla.credits.ledger.SLICE", 0)
    names = ["acme", "b", "c"]
    lines = [*(contract("2026-03-01T00:00:00Z", of=name) for name in names), opened("2026-03-05T00:00:00Z")]
    lines += [opened("2026-03-06T00:00:00Z", "cosmetic", of="listed", tenants=names)]
    lines += [opened("2026-03-06T01:00:00Z", "cosmetic", of="other", tenants=names)]
    in_turn, cluster = Cluster(policies(), partitions=2), Standing(policies())
    cluster.standing = None
    for each in (in_turn, cluster):
        for line in lines:
            each.pass_time(parse_rfc3339(line["time"]))
            each.publish(line, parse_rfc3339(line["time"]))
        each.pass_time(MARCH + 8 * DAY)
    cluster.standing = []
    cluster.publish(erased("2026-03-28T00:00:00Z"), ERASED_AT)
    for partition in range(2):
        cluster.fire(cluster.tasks[LEDGER, partition], ERASED_AT + DAY)
    if rebuilt:
        cluster.rebuild_all()
    late = amended("2026-04-10T00:00:00Z", counts=False)
    in_turn.pass_time(parse_rfc3339(late["time"]))
    for each in (in_turn, cluster):
        each.publish(late, parse_rfc3339(late["time"]))
    cluster.start()
    in_turn.pass_time(NOW)
    assert sorted(credit_outputs(cluster)) == sorted(credit_outputs(in_turn))


def test_r27_an_input_that_makes_the_code_raise_in_its_turn_is_rejected_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = behind(
        contract("2026-03-01T00:00:00Z"),
        opened("2026-03-25T00:00:00Z", tenants=["acme"]),
        resolved("2026-03-27T00:00:00Z"),
        partitions=1,
    )
    apply_impacts, task = Ledger.apply_impacts, cluster.tasks[LEDGER, 0]

    def raises(self: Ledger, copy: Any, *of: Any, **more: Any) -> Any:
        if copy.impacts[0].end is not None:
            raise RuntimeError("boom")
        return apply_impacts(self, copy, *of, **more)

    monkeypatch.setattr(Ledger, "apply_impacts", raises)
    with pytest.raises(SubjectFailed) as failed:
        cluster.pass_time(NOW)
    cluster.rebuild(task)
    effects = Effects()
    task.processor.quarantine(failed.value.subject, "boom", effects, 3)
    cluster._commit(task, effects)
    assert cluster.codes() == ["internal"]
    cluster.pass_time(NOW)
    assert "final" in [status for _, _, status, _ in credit_outputs(cluster)]
    assert cluster.rows(LEDGER, EARLY) == {}


def test_r27_an_input_that_cannot_be_redacted_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its key nor its value is in the reject, because they may name an erased tenant."""
    cluster = behind(*(contract("2026-03-01T00:00:00Z", of=name) for name in ("acme", "beta")), partitions=1)
    task, redacted = cluster.tasks[LEDGER, 0], EarlyInputs.redacted
    waiting = len(cluster.rows(LEDGER, EARLY))

    def raises(self: EarlyInputs, early: EarlyInput) -> EarlyInput:
        if early.event is not None and early.event.subject == "acme":
            raise RuntimeError("boom")
        return redacted(self, early)

    monkeypatch.setattr(EarlyInputs, "redacted", raises)
    with pytest.raises(SubjectFailed) as failed:
        apply_erasure(cluster, "acme")
    cluster.rebuild(task)
    effects = Effects()
    with capture_logs() as logs:
        task.processor.quarantine(failed.value.subject, "boom", effects, 3)
    cluster._commit(task, effects)
    assert [each["position"] for each in logs if each["event"] == "early_input_not_redacted"]
    (reject,) = cluster.rejects()
    assert (reject.code, reject.send.key, reject.send.value) == ("internal", None, None)
    assert dict(reject.send.headers)["sla_original_topic"].endswith(b"contract-events")
    assert len(cluster.rows(LEDGER, EARLY)) == waiting - 1
    cluster.pass_time(NOW)
    assert cluster.rows(LEDGER, EARLY) == {}
    assert cluster.codes() == ["internal"]
    assert "final" in [status for _, _, status, _ in credit_outputs(cluster)]


def test_r27_want_of_memory_costs_no_input_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reject would have neither key nor value."""
    cluster = behind(contract("2026-03-01T00:00:00Z"), partitions=1)
    inputs = cluster.tasks[LEDGER, 0].processor._early.inputs
    early = inputs.get(next(iter(inputs.values)))

    def scarce(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(EarlyInputs, "redacted", scarce)
    with pytest.raises(MemoryError):
        cluster.tasks[LEDGER, 0].processor.quarantine(early.subject, "boom", Effects(), 3)


def test_live_inputs_wait_once_an_incident_partition_does_not_say_how_far_it_is() -> None:
    """Those that come until it would have answered do not; nor do any while all partitions run."""
    cluster = Cluster(policies(), partitions=2)
    cluster.publish(contract("2026-03-01T00:00:00Z"), MARCH)
    cluster.pass_time(MARCH + HOUR)
    name = next(name for name in "abcdef" if cluster.own(name) == cluster.own("acme"))
    ledger, at = cluster.tasks[LEDGER, cluster.own("acme")], MARCH + 10 * HOUR
    cluster.clock.instant = at
    for minute in (0, 1, 3):
        cluster.publish(annulled("2026-03-01T01:00:00Z", of=name) | {"id": f"{minute}"}, at + minute * MINUTE)
        cluster.publish(claimed("2026-03-01T01:00:00Z", "2026-03") | {"id": f"c{minute}"}, at + minute * MINUTE)
    assert len(cluster.rows(LEDGER, EARLY)) == 1
    processor: LedgerProcessor = ledger.processor
    cluster.clock.instant = at + 3 * MINUTE
    cluster.fire(ledger, at + 3 * MINUTE + 1)
    assert processor.problems(at + 3 * MINUTE) == []
    (problem,) = processor.problems(at + 20 * MINUTE)
    assert "have waited 17 minutes for incident partition" in problem
    cluster.pass_time(at + 20 * MINUTE)
    assert cluster.rows(LEDGER, EARLY) == {}
    assert cluster.codes() == []


def test_r26_an_adjusted_statement_has_no_instant_before_the_one_that_it_adjusts() -> None:
    """The partition of a maintenance stood still, so that the final statement lacked its window."""
    cluster = Cluster(policies(), partitions=2)
    own = cluster.own("acme")
    other = next(name for name in map(str, range(100)) if cluster.own(name) != own)
    lines = [
        contract("2026-03-01T00:00:00Z"),
        opened("2026-03-25T00:00:00Z", tenants=["acme"]),
        resolved("2026-03-27T00:00:00Z"),
    ]
    for line in lines:
        cluster.publish(line, parse_rfc3339(line["time"]))
    standing = cluster.tasks.pop((LEDGER, 1 - own))
    running, end = dict(cluster.tasks), parse_rfc3339("2026-04-10T00:00:00Z")
    cluster.tasks[LEDGER, 1 - own] = standing
    for _ in range(4):
        for task in running.values():
            cluster.fire(task, end)
            copies, cluster._internal = cluster._internal, type(cluster._internal)()
            for agent, record in copies:
                if (agent, record.partition) in running:
                    cluster.deliver(running[agent, record.partition], record)
    window = ("2026-03-25T00:00:00Z", "2026-03-27T00:00:00Z")
    cluster.publish(maintenance("2026-03-20T00:00:00Z", *window, of=other), parse_rfc3339("2026-03-20T00:00:00Z"))
    cluster.pass_time(NOW)
    assert [each[1:] for each in credit_outputs(cluster) if each[2] != "provisional"][:2] == [
        ("2026-04-04T00:00", "final", 50_000),
        ("2026-04-04T01:00", "adjusted", 0),
    ]


RUNNING = [name for name in map(str, range(100)) if partition_of(name, 2) == 0][:20]
OVER = [
    contract("2026-03-01T00:00:00Z"),
    *(opened(f"2026-03-{day:02}T00:00:00Z", of=name, tenants=["acme"]) for day, name in enumerate(RUNNING, 2)),
    *(resolved(f"2026-03-{day:02}T02:00:00Z", of=name) for day, name in enumerate(RUNNING, 2)),
    *(annulled(f"2026-04-20T00:{minute:02}:00Z", of=name) for minute, name in enumerate(RUNNING)),
]


def at_limit(*, early_bytes: int, rebuilt: bool = False) -> Standing:
    """The running incident partition has read all its input, up to what came after the final statement of March."""
    cluster = Standing(policies(), early_bytes=early_bytes)
    for line in sorted(OVER, key=lambda each: str(each["time"])):
        cluster.publish(line, parse_rfc3339(line["time"]))
        if rebuilt:
            cluster.rebuild(cluster.tasks[LEDGER, cluster.own("acme")])
    return cluster


@pytest.mark.parametrize("rebuilt", [False, True])
def test_beyond_the_limit_the_earliest_inputs_are_applied_and_statements_say_so(rebuilt: bool) -> None:
    rows = at_limit(early_bytes=1 << 30).rows(LEDGER, EARLY).values()
    assert len(rows) > 20
    limit = sum(len(row) + OVERHEAD for row in rows) // 6
    with capture_logs() as logs:
        cluster = at_limit(early_bytes=limit, rebuilt=rebuilt)
    home = cluster.own("acme")
    largest = max(len(row) + OVERHEAD for row in rows)
    waiting = cluster.rows(LEDGER, EARLY).values()
    assert limit // 2 < sum(len(row) + OVERHEAD for row in waiting) <= limit + largest
    logged = [each for each in logs if each["event"] == "early_inputs_limit_reached"]
    assert logged
    assert rebuilt or len(logged) == 1, "once, however many are applied"
    assert logged[0]["waits_for"] == (1,)
    assert (REGISTRY.get_sample_value("sla_ledger_inputs_out_of_turn_total", {"partition": str(home)}) or 0) > 0
    assert credit_outputs(cluster) == [], "statements wait for the partition that stands still"
    cluster.start()
    assert cluster.rows(LEDGER, EARLY) == {}
    stated = [each["data"] for each in cluster.outputs() if each["type"] == "credit.statement"]
    march = [each for each in stated if each["month"] == "2026-03" and each["status"] != "provisional"]
    assert [(each["status"], each["flags"]) for each in march] == [("final", [OUT_OF_ORDER]), ("adjusted", [])]
    assert march[0]["downtime_s"] < len(RUNNING) * 7_200, "it counts annulments that arrived after its instant"
    assert march[1]["downtime_s"] == 0
    assert OUT_OF_ORDER not in [flag for each in stated if each["month"] != "2026-03" for flag in each["flags"]]


def test_below_the_limit_nothing_is_applied_before_its_turn() -> None:
    cluster = at_limit(early_bytes=1 << 30)
    waiting = cluster.rows(LEDGER, EARLY)
    assert len(waiting) > 50
    cluster.start()
    stated = [each["data"] for each in cluster.outputs() if each["type"] == "credit.statement"]
    assert not [each for each in stated if each["flags"]]
    assert [each["status"] for each in stated if each["month"] == "2026-03"][-2:] == ["final", "adjusted"]


@pytest.mark.parametrize("rebuilt", [False, True])
def test_r29_an_erasure_of_many_waiting_inputs_goes_on_between_other_work(
    rebuilt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_erasures, "SLICE_BYTES", 1)
    cluster = Standing(policies())
    first, *more = OVER
    cluster.publish(contract("2026-02-25T00:00:00Z", of="b"), MARCH - 4 * DAY)
    for line in sorted([first, *more[:40]], key=lambda each: str(each["time"])):
        cluster.publish(line, parse_rfc3339(line["time"]))
    task = cluster.tasks[LEDGER, cluster.own("acme")]

    def named() -> int:
        return sum(b"acme" in value for value in task.rows.values())

    before = named()
    assert before == 41
    apply_erasure(cluster, "acme", limit=4)
    assert before - 4 <= named() < before, "one row a slice"
    assert cluster.rows(LEDGER, "@early_erasure")
    if rebuilt:
        cluster.rebuild(task)
    left = named()
    effects, ready = Effects(), ready_of(first)
    topic = cluster.topics.name(ready.topic)
    task.processor.apply(
        Record(topic, task.partition, 100, ERASED_AT + DAY, b"acme", ready.value, ready.headers), effects
    )
    assert effects.rows == {}, "it repeats one that waits, under the name or the pseudonym"
    cluster.publish(annulled("2026-03-29T00:00:00Z", of=RUNNING[0]), ERASED_AT + 2 * DAY)
    assert named() <= left
    cluster.fire(task, ERASED_AT + 3 * DAY)
    assert named() == 0
    assert not cluster.rows(LEDGER, "@early_erasure")
    assert cluster.codes() == []
    cluster.start()
    assert cluster.rows(LEDGER, EARLY) == {}
    assert cluster.codes() == []


@pytest.mark.parametrize("rebuilt", [False, True])
def test_r11_what_a_partition_sent_while_its_clock_was_years_ahead_waits_for_no_such_instant(rebuilt: bool) -> None:
    now = MARCH + 26 * DAY
    cluster = Cluster(policies(), partitions=2)
    cluster.publish(contract("2026-03-01T00:00:00Z"), MARCH)
    cluster.pass_time(now)
    home = cluster.own("acme")
    elsewhere = Cluster(policies(), partitions=2)
    for line in (opened("2026-03-26T00:00:00Z", tenants=["acme"]), resolved("2026-03-26T12:00:00Z")):
        elsewhere.publish(line, now)
    copies = [each for each in elsewhere.sends if each.topic == "sla.ledger-internal" and each.key == b"inc"]
    with capture_logs() as logs:
        for send in [each for each in copies if each.partition == home]:
            carrier = Record(send.topic, send.partition, 0, now, send.key, send.value, send.headers)
            ahead = with_arrival(carrier, now + 1_800 * DAY)
            cluster.put("ledger-internal", home, send.value, now, key=send.key, headers=ahead.headers)
    assert [each["arrival"] for each in logs if each["event"] == "arrival_ahead"] == ["2031-03-01T00:00:00Z"]
    if rebuilt:
        cluster.rebuild_all()
    cluster.pass_time(now + HOUR)
    assert cluster.rows(LEDGER, EARLY) == {}
    assert cluster.tasks[LEDGER, home].processor.problems(now + HOUR) == []
    cluster.pass_time(MARCH + 40 * DAY)
    stated = [each["data"] for each in cluster.outputs() if each["type"] == "credit.statement"]
    assert [each["downtime_s"] for each in stated if each["status"] == "final"] == [43_200]


def test_r27_a_failure_is_not_charged_to_a_later_input_with_the_same_number() -> None:
    """After a restart a number is used again, while the task remembers the failures of its subjects."""
    lines = [contract(f"2026-03-0{day}T00:00:00Z", charge=1_000 * day) for day in (1, 2)]
    cluster = Cluster(policies(), partitions=2)
    cluster.clock.instant = NOW
    task, subjects = cluster.tasks[LEDGER, cluster.own("acme")], []
    for line in lines:
        cluster.publish(line, parse_rfc3339(line["time"]))
        (row,) = cluster.rows(LEDGER, EARLY)
        subjects.append(task.processor._early.inputs.first().subject)
        if line is lines[0]:
            cluster.pass_time(parse_rfc3339("2026-03-01T12:00:00Z"))
            assert cluster.rows(LEDGER, EARLY) == {}
            cluster.rebuild_all()
    assert row.startswith(b"@early\x1f0@"), "the number is used again"
    assert subjects[0] != subjects[1]
    effects = Effects()
    task.processor.quarantine(subjects[0], "boom", effects, 3)
    assert (effects.rows, effects.sends) == ({}, [])
    task.processor.quarantine(subjects[1], "boom", effects, 3)
    cluster._commit(task, effects)
    assert cluster.codes() == ["internal"]
    assert cluster.rows(LEDGER, EARLY) == {}


def test_r27_a_tenant_whose_name_is_that_of_a_kind_of_rows_is_quarantined_as_any_other() -> None:
    cluster = Cluster(policies(), partitions=1)
    effects = Effects()
    cluster.tasks[LEDGER, 0].processor.quarantine(EARLY, "boom", effects, 3)
    cluster._commit(cluster.tasks[LEDGER, 0], effects)
    assert cluster.codes() == ["internal"]


def test_r29_an_input_that_is_rejected_before_its_slice_is_rejected_without_the_name() -> None:
    cluster = Standing(policies())
    for line in (contract("2025-11-01T00:00:00Z"), claimed("2026-03-20T00:00:00Z", "2025-11")):
        cluster.publish(line, parse_rfc3339(line["time"]))
    assert len(cluster.rows(LEDGER, EARLY)) == 2
    apply_erasure(cluster, "acme", limit=0)
    assert cluster.rows(LEDGER, "@early_erasure")
    for partition in (0, 1):
        cluster.tasks[LEDGER, cluster.own("acme")].processor._ledger.timers.apply_watermark(partition, NOW)
    cluster.start()
    (reject,) = cluster.rejects()
    assert reject.code == "too_late"
    assert b"acme" not in (reject.send.value or b"") + (reject.send.key or b"")
    assert not cluster.rows(LEDGER, "@early_erasure")
