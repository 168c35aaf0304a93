"""Bad input of every kind, between good neighbours: exactly one reject each, with the original as it was (R27, R28)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog
from agent_harness import INCIDENTS, LEDGER, Cluster, ready_of
from story import (
    Line,
    amended,
    annulled,
    claimed,
    contract,
    maintenance,
    merged,
    micros,
    opened,
    policies,
    policy_applied,
    reclassified,
    resolved,
    responded,
    shipped,
    updated,
)

from agents.changelog.input_rows import DERIVED_LIMIT
from agents.changelog.ledger import FACT
from agents.reject_log import RejectLog, about
from streams.errors import PolicyChanged
from streams.internal_topics import TO_INCIDENTS, TO_LEDGER, unwrap, wrap
from streams.runtime.processor import Effects, Record
from streams.serde.cloudevents_json import parse_line
from streams.serde.codec import encode
from streams.sla.events import Rejection
from streams.sla.instants import DAY, HOUR, MINUTE
from streams.sla.policy import Policies

START = micros("10:00")
GOOD = encode(*parse_line('{"specversion":"1.0","id":"g","type":"incident.resolved","source":"/g","subject":"inc",'
                          '"time":"2026-03-02T10:00:00Z","data":{}}'))  # type: ignore[misc]  # fmt: skip
KEY = b"not the subject"
HEADERS = [("sla_error_code", b"orphan"), ("empty", None), ("twice", b"1"), ("twice", b"2"), ("sla_route", b"mine")]
TEXT = "é" * 2_500


def value(line: Line) -> bytes:
    return ready_of(line).value


def unchecked(line: Line, **changed: Any) -> bytes:
    """An event that no careful publisher would send."""
    kind, fields = Cluster(policies()).codec.decode(value(line))  # type: ignore[misc]
    return encode(str(kind), {**fields, **changed})  # type: ignore[dict-item]


def mark() -> bytes:
    fields = {
        "event_id": "m",
        "source": "/sla/incidents",
        "subject": "partition-0",
        "occurred_at": START,
        "partition": 0,
        "marked_until": START,
    }
    return encode("time.mark", fields)


PERSON = {"kind": "support", "id": "ann"}
BAD: dict[str, tuple[str, str, bytes | None]] = {
    "no value": ("undecodable", "incident-events", None),
    "empty": ("undecodable", "incident-events", b""),
    "text": ("undecodable", "incident-events", b'{"json": "is not Avro"}'),
    "one byte": ("undecodable", "contract-events", b"\xc3"),
    "truncated": ("undecodable", "incident-events", GOOD[:-1]),
    "only the head": ("undecodable", "incident-events", GOOD[:10]),
    "trailing bytes": ("undecodable", "incident-events", GOOD + b"\0"),
    "a length that lies": ("undecodable", "incident-events", GOOD[:10] + b"\xff" * 9 + b"\x01" + GOOD[10:]),
    "confluent": ("unknown_schema", "incident-events", b"\0\0\0\0\7" + GOOD[10:]),
    "unknown fingerprint": ("unknown_schema", "contract-events", b"\xc3\x01" + b"\7" * 8 + GOOD[10:]),
    "contract as incident": ("unknown_type", "incident-events", value(contract("10:00"))),
    "incident as contract": ("unknown_type", "contract-events", GOOD),
    "an output": ("unknown_type", "incident-events", mark()),
    "a state row": ("unknown_type", "contract-events", encode("state.mark", {"partition": 0, "until": 1})),
    "too heavy": ("oversize", "incident-events", GOOD + b"\0" * 256 * 1024),
    "a megabyte": ("oversize", "contract-events", b"\xff" * 1_000_000),
    "many tenants": (
        "oversize",
        "incident-events",
        unchecked(opened("10:00", tenants=["t"]), tenant_ids=[f"t{n}" for n in range(1_001)]),
    ),
    "long text": ("oversize", "incident-events", unchecked(updated("10:00"), text=TEXT)),
    "cycle": ("cycle", "incident-events", unchecked(merged("10:00"), into="inc")),
    "one pair of eyes": ("four_eyes", "incident-events", unchecked(annulled("10:00"), approver=PERSON)),
    "amended alone": ("four_eyes", "incident-events", unchecked(amended("10:00", counts=True), approver=PERSON)),
    "policy alone": (
        "four_eyes",
        "incident-events",
        unchecked(policy_applied("10:00", "scalr-emergency", "1"), approver={"kind": "support", "id": None}),
    ),
    "unknown policy": ("invalid", "incident-events", value(policy_applied("10:00", "nowhere", "9"))),
    "no id": ("invalid", "incident-events", unchecked(resolved("10:00"), event_id="")),
    "a control character": ("invalid", "incident-events", unchecked(resolved("10:00"), subject="a\x1fb")),
    "another tenant": ("invalid", "contract-events", unchecked(contract("10:00"), tenant_id="other")),
    "before 1970": ("invalid", "incident-events", unchecked(resolved("10:00"), occurred_at=-1)),
    "future": ("future", "incident-events", value(resolved("11:00"))),
    "future contract": ("future", "contract-events", value(contract("11:00"))),
    "too late": ("too_late", "incident-events", value(resolved("2026-01-20T00:00:00Z"))),
    "too late maintenance": (
        "too_late",
        "contract-events",
        value(maintenance("2026-01-20T00:00:00Z", "10:00", "11:00")),
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_each_bad_record_is_rejected_once_and_its_neighbours_are_processed(what: str) -> None:
    code, topic, raw = BAD[what]
    cluster = Cluster(policies(), mark_every=DAY)
    arrival = START + MINUTE
    cluster.publish(opened("10:00", of="before"), arrival)
    # It lies where its subject belongs or where nobody knows better; in the second place its key is None.
    partition = cluster.own("acme" if topic == "contract-events" else "inc")
    for key in (KEY, None):
        record = cluster.put(topic, partition, raw, arrival, key=key, headers=HEADERS)
        rejects = cluster.rejects()[-1]
        assert rejects.place == (topic, record.partition, record.offset)
        assert (rejects.send.key, rejects.send.value, rejects.headers) == (key, raw, HEADERS)
        added = dict(rejects.send.headers[len(HEADERS) :])
        assert added["sla_original_timestamp"] == b"%d" % (arrival // 1_000)
        assert (rejects.code, rejects.attempts) == (code, 1)
        assert rejects.message
    cluster.publish(opened("10:00", of="after"), arrival)
    cluster.rebuild_all()
    cluster.pass_time(arrival + HOUR)
    assert cluster.codes() == [code, code]
    assert set(cluster.outcome().classified) == {"before", "after"}


def test_a_conflict_names_its_own_coordinates_and_the_first_stands() -> None:
    cluster = Cluster(policies())
    cluster.publish(opened("10:00"), START)
    cluster.publish({"id": "r", **responded("10:05")}, START + 6 * MINUTE)
    cluster.publish({"id": "c", **contract("10:00")}, START + 6 * MINUTE)
    wrong = (cluster.own("inc") + 1) % 4
    cluster.rebuild_all()
    record = cluster.publish({"id": "r", **responded("10:06")}, START + 7 * MINUTE, partition=wrong)
    other = cluster.publish({"id": "c", **contract("10:01")}, START + 7 * MINUTE)
    places = [(rejects.code, *rejects.place[1:]) for rejects in cluster.rejects()]
    assert places == [("conflict", wrong, record.offset), ("conflict", other.partition, other.offset)]


def test_a_claim_that_is_too_late_is_rejected() -> None:
    cluster = Cluster(policies(), mark_every=DAY)
    cluster.publish(contract("2026-02-20T00:00:00Z"), micros("2026-02-20T00:00:00Z"))
    cluster.pass_time(START + 100 * DAY)
    cluster.publish(claimed("99 10:00", "2026-02"), START + 100 * DAY)
    assert cluster.codes() == ["too_late"]


def test_a_claim_that_turns_out_to_be_too_late_once_its_contract_is_known_is_rejected_with_its_coordinates() -> None:
    cluster = Cluster(policies(), mark_every=DAY)
    claim = cluster.publish(claimed("99 10:00", "2026-03"), START + 100 * DAY)
    cluster.publish(contract("2026-02-20T00:00:00Z", backfill=True), START + 100 * DAY)
    assert cluster.codes() == []
    cluster.rebuild_all()
    cluster.pass_time(START + 102 * DAY)
    (rejects,) = cluster.rejects()
    assert (rejects.code, rejects.place) == ("too_late", ("contract-events", claim.partition, claim.offset))
    assert len(cluster.rows(LEDGER, FACT)) == 1, "the claim is not stored any more"
    cluster.rebuild_all()
    cluster.pass_time(START + 104 * DAY)
    assert cluster.codes() == ["too_late"]


def test_history_that_became_known_in_the_future_does_not_silence_an_incident() -> None:
    def breaches(*lines: Line) -> tuple[int, list[str]]:
        cluster = Cluster(policies())
        cluster.publish(contract("09:00"), START)
        cluster.publish(opened("10:00"), START)
        for line in lines:
            cluster.publish(line, START + 2 * MINUTE)
        cluster.pass_time(START + 20 * HOUR)
        return sum(output["type"] == "sla.breached" for output in cluster.outputs()), cluster.codes()

    history = updated("10:01", visibility="internal") | {"backfill": True}
    expected, codes = breaches(history | {"receivedtime": "2026-03-02T10:05:00Z"})
    assert (expected > 0, codes) == (True, [])
    assert breaches() == (expected, [])
    assert breaches(history | {"receivedtime": "9999-01-01T00:00:00Z"}) == (expected, ["future"])


def test_an_impact_list_can_not_outgrow_a_record() -> None:
    """A thousand tenants, changed over and over: refused in time, and the incident can still end."""
    cluster = Cluster(policies(), mark_every=DAY)
    tenants = [f"{n:0128d}" for n in range(1_000)]
    cluster.publish(opened("10:00", tenants=tenants), START)
    for number in range(1, 40):
        impact = ["material_aspect", "complete_outage"][number % 2]
        cluster.publish(reclassified(f"10:{number:02d}", impact=impact), START + number * MINUTE)
    cluster.publish(resolved("10:40"), START + 40 * MINUTE)
    assert set(cluster.codes()) == {"oversize"}
    assert max(len(send.value or b"") for send in cluster.sends) < DERIVED_LIMIT
    assert "inc" in cluster.outcome().closed


# -- the shared topic --------------------------------------------------------------------------------------------------

ENVELOPES: dict[str, Callable[[Record], list[tuple[str, bytes | None]]]] = {
    "none": lambda _: [],
    "someone else's": lambda _: [("sla_route", b"incidents")],
    "a number that is none": lambda r: [*enclosed(r)[:3], ("sla_origin_partition", b"x"), *enclosed(r)[4:]],
    "a header without value": lambda r: [("sla_route", None), *enclosed(r)[1:]],
    "an unknown route": lambda r: [("sla_route", b"board"), *enclosed(r)[1:]],
    "bytes that are no text": lambda r: [*enclosed(r)[:2], ("sla_origin_topic", b"\xff"), *enclosed(r)[3:]],
}


def enclosed(record: Record, kind: bytes = b"forwarded", route: bytes = TO_INCIDENTS) -> list[tuple[str, bytes]]:
    return wrap(record, route, kind, "sla.shared", 0).headers


def an_input(raw: bytes = GOOD) -> Record:
    return Record("sla.incident-events", 1, 7, START, KEY, raw, (("note", b"1"),))


@pytest.mark.parametrize("what", ENVELOPES)
def test_what_no_agent_wrote_to_the_shared_topic_is_rejected_once(what: str) -> None:
    cluster = Cluster(policies())
    headers = ENVELOPES[what](an_input())
    record = cluster.put("shared", 0, GOOD, START, headers=headers)
    (rejects,) = cluster.rejects()
    assert (rejects.code, rejects.place) == ("undecodable", ("shared", 0, record.offset))
    assert rejects.headers == headers


@pytest.mark.parametrize("route", [TO_INCIDENTS, TO_LEDGER])
@pytest.mark.parametrize(("code", "raw"), [("undecodable", b"junk"), ("unknown_type", value(responded("10:00")))])
def test_a_copy_that_can_not_be_used_is_rejected_as_it_lies(route: bytes, code: str, raw: bytes) -> None:
    """With its envelope and the shared topic's coordinates: a retry there is all that can bring it back."""
    cluster = Cluster(policies())
    headers = enclosed(an_input(), b"copy", route)
    record = cluster.put("shared", 2, raw, START, key=KEY, headers=headers)
    (rejects,) = cluster.rejects()
    assert (rejects.code, rejects.place, rejects.headers) == (code, ("shared", 2, record.offset), headers)
    assert (rejects.send.key, rejects.send.value) == (KEY, raw)


def test_a_record_forwarded_to_a_partition_that_is_not_its_own_is_no_loop() -> None:
    """Workers that disagree on the number of partitions must not split an incident in two."""
    cluster = Cluster(policies())
    wrong = (cluster.own("inc") + 1) % 4
    cluster.put("shared", wrong, GOOD, START, headers=enclosed(an_input()))
    (rejects,) = cluster.rejects()
    assert (rejects.code, rejects.place) == ("internal", ("incident-events", 1, 7))
    assert cluster.rows(INCIDENTS, "w") == {}


def test_internal_rejects_carry_the_original() -> None:
    """Of a forwarded record the original; of a copy, and of an input that imitates an envelope, what lies there."""
    cluster = Cluster(policies())
    for agent in (INCIDENTS, LEDGER):
        processor = cluster.tasks[agent, 0].processor
        original = an_input()._replace(headers=tuple(enclosed(an_input())))
        forwarded = Record("sla.shared", 0, 3, START, KEY, GOOD, tuple(enclosed(original)))
        copy = forwarded._replace(headers=tuple(enclosed(original, b"copy")))
        for record, place in (
            (forwarded, ("sla.incident-events", b"7")),
            (copy, ("sla.shared", b"3")),
            (original, ("sla.incident-events", b"7")),
        ):
            effects = Effects()
            processor.reject(record, "internal", "boom", effects, 3)
            (send,) = effects.sends
            why = dict(send.headers[-7:])
            assert (why["sla_original_topic"].decode(), why["sla_original_offset"]) == place
            assert why["sla_attempts"] == b"3"
            assert send.headers[:-7] == list(copy.headers if record is copy else original.headers)


def test_an_envelope_gives_back_what_was_put_in() -> None:
    headers = (("sla_route", b"a"), ("sla_kind", None), ("x", b"\xff"))
    record = Record("other.topic", 3, 2**40, START + 1, None, None, headers)  # type: ignore[arg-type]
    send = wrap(record, TO_LEDGER, b"forwarded", "sla.shared", 1)
    routed = unwrap(Record(send.topic, 1, 0, 0, send.key, send.value, tuple(send.headers)))
    assert routed == (TO_LEDGER, True, record)


# -- policies ----------------------------------------------------------------------------------------------------------


def test_a_worker_with_other_policies_than_the_state_refuses_it() -> None:
    cluster = Cluster(policies())
    cluster.publish(contract("2026-02-20T00:00:00Z"), START)
    cluster.publish(opened("10:00"), START)
    cluster.pass_time(START + 40 * DAY)
    for agent in (INCIDENTS, LEDGER):
        assert cluster.rows(agent, "@policy")
    changed = Policies.of([replace(shipped(), digest="0" * 64)], shipped().name)
    missing = Policies.of([replace(shipped(), name="other")], "other")
    for agent, using, said in (
        (INCIDENTS, changed, "other content"),
        (LEDGER, changed, "other content"),
        (INCIDENTS, missing, "does not have"),
    ):
        task = next(s for (name, _), s in cluster.tasks.items() if name == agent and policy_rows(s.rows))
        other = Cluster(using)
        fresh = other.tasks[agent, task.partition]
        fresh.rows = task.rows
        with pytest.raises(PolicyChanged, match=said):
            other.rebuild(fresh)


def policy_rows(rows: dict[bytes, bytes]) -> list[bytes]:
    return [key for key in rows if key.startswith(b"@policy\x1f")]


# -- logs --------------------------------------------------------------------------------------------------------------


def test_a_reject_is_logged_with_what_is_known_of_it() -> None:
    with structlog.testing.capture_logs() as logs:
        cluster = Cluster(policies())
        cluster.put("incident-events", cluster.own("inc"), unchecked(merged("10:00"), into="inc"), START)
        cluster.put("contract-events", 2, b"junk", START)
        cluster.put("contract-events", cluster.own("acme"), unchecked(contract("10:00"), plan=""), START)
    cycle, junk, plan = logs
    assert cycle == {
        "event": "rejected",
        "log_level": "warning",
        "agent": "incidents",
        "partition": cluster.own("inc"),
        "topic": "sla.incident-events",
        "input_partition": cluster.own("inc"),
        "offset": 0,
        "code": "cycle",
        "message": "into: is the incident itself",
        "incident": "inc",
    }
    assert (junk["agent"], junk["partition"], junk["code"]) == ("ledger", 2, "undecodable")
    assert plan["tenant"] == "acme"
    assert about("maintenance.cancelled", "m-1") == {"maintenance": "m-1"}


def test_rejects_are_logged_once_a_second_for_each_code() -> None:
    now = [10.0]
    with structlog.testing.capture_logs() as logs:
        log = RejectLog("incidents", 3, lambda: now[0])
        for second in (10.0, 10.2, 10.9, 11.0, 11.1, 13.0):
            now[0] = second
            log.rejected(an_input(), Rejection("future", "later"), {})
        log.rejected(an_input(), Rejection("orphan", "alone" * 500), {"incident": "inc"})
    assert [(line["code"], line.get("suppressed")) for line in logs] == [
        ("future", None),
        ("future", 2),
        ("future", 1),
        ("orphan", None),
    ]
    assert len(logs[-1]["message"]) == 256
