"""What the agents keep: rows of waiting facts, without texts, evicted in time; nothing for what is repeated."""

from __future__ import annotations

from agent_harness import INCIDENTS, LEDGER, Cluster, play
from story import amended, contract, maintenance, micros, opened, policies, resolved, responded, texts, updated
from structlog.testing import capture_logs

from agents.changelog.incidents import LONG_BYTES
from streams.metrics import REGISTRY
from streams.runtime.processor import Effects
from streams.sla.arrival import TimeLimits
from streams.sla.instants import DAY, MINUTE

START = micros("10:00")


def test_facts_wait_for_their_opening_across_a_rebuild() -> None:
    cluster = Cluster(policies())
    cluster.publish(responded("10:05"), START + 6 * MINUTE)
    assert len(cluster.rows(INCIDENTS, "w")) == 1
    cluster.rebuild_all()
    cluster.publish(opened("10:00"), START + 7 * MINUTE)
    assert cluster.rows(INCIDENTS, "w") == {}
    assert [o["type"] for o in cluster.outputs() if o["type"] == "sla.met"] == ["sla.met"]
    cluster.pass_time(START + 3 * DAY)
    assert cluster.codes() == []


def test_a_load_stays_quiet_across_a_rebuild_though_its_fact_only_waits() -> None:
    """R32: the opening may still come; without the quiet remembered, the fact would be an orphan at once."""
    cluster = Cluster(policies())
    now = START + 500 * DAY
    cluster.publish(responded("10:05", backfill=True), now)
    cluster.rebuild_all()
    cluster.publish(opened("10:00", backfill=True), now + MINUTE)
    assert cluster.codes() == []
    assert "sla.met" in cluster.outcome().kinds


SECRET = "Ada Lovelace rang"


def test_texts_stay_out_of_rows_but_of_the_waiting_one() -> None:
    cluster = Cluster(policies())
    telling = opened("10:00")
    telling["data"]["summary"] = "x" * 500 + SECRET
    update, judged = updated("10:06"), amended("10:08", counts=True)
    update["data"]["text"] = judged["data"]["reason"] = SECRET
    cluster.publish(update, START + 6 * MINUTE)
    assert [SECRET.encode() in row for row in cluster.rows(INCIDENTS, "w").values()] == [True]
    cluster.publish(telling, START + 7 * MINUTE)
    cluster.publish(judged, START + 8 * MINUTE)
    for task in cluster.tasks.values():
        assert not any(SECRET.encode() in row for row in task.rows.values())
    cluster.rebuild_all()
    for line in (telling, update, judged):
        cluster.publish(line, START + 9 * MINUTE)
    assert cluster.codes() == [], "the digest is over the texts too, so the same input is the same"
    update["data"]["text"] = "other"
    cluster.publish({**update, "id": _id_of(cluster, "incident.updated")}, START + 9 * MINUTE)
    assert cluster.codes() == ["conflict"]


def _id_of(cluster: Cluster, event_type: str) -> str:
    for row in cluster.rows(INCIDENTS, "i").values():
        decoded = cluster.codec.decode(row)
        for fact in decoded[1]["facts"]:  # type: ignore[index,union-attr]
            kind, fields = cluster.codec.decode(fact["event"])  # type: ignore[misc]
            if kind == event_type:
                return str(fields["event_id"])  # type: ignore[index]
    raise AssertionError(event_type)


def test_an_evicted_incident_leaves_a_marker_and_the_marker_goes_too() -> None:
    time_limits = TimeLimits(retain_closed=10 * DAY, retain_markers=20 * DAY)
    cluster = Cluster(policies(), time_limits, mark_every=DAY)
    play(cluster, texts([opened("10:00"), responded("10:05"), resolved("11:00")]), until=START + DAY)
    assert len(cluster.rows(INCIDENTS, "i")) >= 3
    cluster.pass_time(START + 12 * DAY)
    assert (len(cluster.rows(INCIDENTS, "i")), len(cluster.rows(INCIDENTS, "m"))) == (0, 1)
    cluster.rebuild_all()
    cluster.publish(updated("10:30"), START + 13 * DAY)
    assert cluster.codes() == ["too_late"]
    cluster.pass_time(START + 40 * DAY)
    assert cluster.rows(INCIDENTS, "m") == {}


def test_repeated_input_makes_no_rows_and_no_outputs() -> None:
    cluster = Cluster(policies(), mark_every=400 * DAY)
    lines = [opened("10:00"), responded("10:05"), contract("09:00"), maintenance("09:00", "1 09:00", "1 12:00")]
    waits = updated("10:05", of="unknown")
    for line in [*lines, waits]:
        cluster.publish(line, START + 6 * MINUTE)
    cluster.pass_time(START + 6 * MINUTE + 1)  # the ledger has asked how far incident partitions are
    rows = {where: dict(task.rows) for where, task in cluster.tasks.items()}
    sent = len(cluster.sends)
    for line in [*lines, waits]:
        cluster.publish(line, START + 7 * MINUTE, partition=0)
    assert {where: task.rows for where, task in cluster.tasks.items()} == rows
    forwarded = [send for send in cluster.sends[sent:] if send.topic.endswith("-internal")]
    assert len(cluster.sends) - sent == len(forwarded)


def test_nothing_acts_and_nothing_is_written_when_nothing_is_due() -> None:
    cluster = Cluster(policies(), mark_every=DAY)
    cluster.publish(opened("10:00"), START)
    for task in cluster.tasks.values():
        effects = Effects()
        assert task.processor.fire(START, 10, effects) == 0
        assert (effects.sends, effects.rows) == ([], {})


def test_r32_a_load_makes_no_false_breach_though_its_contract_comes_last() -> None:
    """The copy of a contract may be long on its way: until the load is quiet no default deadline is published."""
    cluster = Cluster(policies())
    now = START + 500 * DAY
    history = [
        opened("10:00", "material_aspect", tenants=["acme"], backfill=True),
        responded("10:20", backfill=True),
        updated("12:05", backfill=True),
        resolved("13:00", backfill=True),
    ]
    for line in history:
        cluster.publish(line, now)
    cluster.publish(contract("1 10:00", "2026-01-01T00:00:00Z", tier=3, backfill=True), now)
    cluster.pass_time(now + 30 * DAY)
    kinds = [o["type"] for o in cluster.outputs()]
    assert "sla.breached" not in kinds
    assert "sla.breach_retracted" not in kinds
    assert kinds.count("sla.met") >= 2


def test_a_long_incident_is_read_back_from_its_rows() -> None:
    """From some kilobytes on rows are appended in place; nothing of them may differ."""
    few, many = Cluster(policies(), max_cached=1, mark_every=DAY), Cluster(policies(), mark_every=DAY)
    for cluster in (few, many):
        cluster.publish(opened("10:00"), START)
        cluster.publish(opened("10:00", of="other", id="other"), START)
        cluster.pass_time(START + 4 * DAY)
        cluster.publish(responded("3 10:00", of="other", id="answer"), START + 4 * DAY)
        cluster.publish(updated("11:00"), START + 4 * DAY)
        cluster.publish(resolved("1 10:00"), START + 4 * DAY)
    rows = [row for key, row in few.rows(INCIDENTS, "i").items() if key.startswith(b"i\x1finc\x1f")]
    assert sum(map(len, rows)) > 2 * LONG_BYTES
    assert few.outputs() == many.outputs()


def test_r20_flagged_classifications_are_counted() -> None:
    def counted(flag: str) -> float:
        return REGISTRY.get_sample_value("sla_classifications_flagged_total", {"flag": flag}) or 0.0

    before = counted("unknown_component"), counted("no_contract")
    cluster = Cluster(policies())
    cluster.publish(opened("10:00", component="apo", tenants=["nobody"]), START)
    assert (counted("unknown_component"), counted("no_contract")) == (before[0] + 1, before[1] + 1)


def test_r20_r23_unknown_plans_components_and_tenants_are_counted_once_and_applied() -> None:
    kinds = ("plan", "component", "tenant")

    def counted() -> list[float]:
        return [REGISTRY.get_sample_value("sla_unknown_references_total", {"kind": kind}) or 0.0 for kind in kinds]

    before = counted()
    cluster = Cluster(policies())
    cluster.publish(contract("09:00", plan="gold"), START)
    window = maintenance("09:00", "1 09:00", "1 12:00", components=["api", "apo"], tenants=["acme", "amce"])
    with capture_logs() as logs:
        cluster.publish(window, START)
        cluster.publish(window, START)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 1]
    named = {(log["kind"], log["name"], log["event_type"]) for log in logs if log["event"] == "unknown_reference"}
    assert named == {("component", "apo", "maintenance.scheduled"), ("tenant", "amce", "maintenance.scheduled")}
    assert cluster.codes() == []
    assert len(cluster.rows(LEDGER, "e")) == 1 + cluster.topics.partitions


def test_r20_an_unknown_tenant_beside_a_known_one_is_counted_once() -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("sla_unknown_references_total", {"kind": "tenant"}) or 0.0

    before = counted()
    cluster = Cluster(policies())
    cluster.publish(contract("09:00"), START)
    with capture_logs() as logs:
        cluster.publish(opened("10:00", tenants=["acme", "amce"]), START)
        cluster.publish(opened("10:00", of="both-unknown", tenants=["amce", "beta"]), START)  # flagged no_contract
        cluster.publish(resolved("10:30"), START)
    assert counted() == before + 1
    assert [log["name"] for log in logs if log["event"] == "unknown_reference"] == ["amce"]
