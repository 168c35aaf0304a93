"""R20: a contract fact re-evaluates only the incidents that it concerns, in slices, and goes on after a restart."""

from __future__ import annotations

from io import BytesIO

import pytest
from agent_harness import INCIDENTS, Cluster
from fastavro import schemaless_writer
from story import Line, contract, erased, micros, opened, policies, updated

from agents.changelog.incidents import STEP_KEY
from agents.incidents import IncidentsProcessor
from schemas import registry
from streams.runtime.processor import Effects
from streams.serde.codec import SINGLE_OBJECT
from streams.sla.incidents.incident_queue import SLICE
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND

START = micros("10:00")
MANY = 3 * SLICE
NAMES = [f"inc-{number:04d}" for number in range(MANY)]


def cluster_of(openings: int = MANY, **more: int) -> Cluster:
    """Incidents of a tenant whose contract is not known yet, opened seconds apart."""
    cluster = Cluster(policies(), partitions=1, **more)
    for number, name in enumerate(NAMES[:openings]):
        line = opened("10:00", "cosmetic", tenants=["acme"], of=name, id=name)
        cluster.publish(line, START + number * SECOND)
    return cluster


def severities(cluster: Cluster) -> dict[str, str]:
    return {
        each["subject"]: each["data"]["severity"] for each in cluster.outputs() if each["type"] == "incident.classified"
    }


def processor(cluster: Cluster) -> IncidentsProcessor:
    found = cluster.tasks[INCIDENTS, 0].processor
    assert isinstance(found, IncidentsProcessor)
    return found


def slice_of(cluster: Cluster) -> None:
    """Let one slice of the queue through."""
    task, store = cluster.tasks[INCIDENTS, 0], processor(cluster)._store
    due = store._state.queue.first_due()
    assert due is not None
    cluster.fire(task, due[0] + 1)


def test_r20_a_few_incidents_are_re_evaluated_with_the_contract_fact() -> None:
    cluster = cluster_of(SLICE)
    assert set(severities(cluster).values()) == {"P2"}
    cluster.publish(contract("09:00"), START + HOUR)
    assert set(severities(cluster).values()) == {"P4"}
    assert cluster.rows(INCIDENTS, "r") == {}


def test_r20_many_are_queued_and_re_evaluated_slice_by_slice() -> None:
    cluster = cluster_of()
    cluster.publish(contract("09:00"), START + HOUR)
    assert set(severities(cluster).values()) == {"P2"}
    assert len(cluster.rows(INCIDENTS, "r")) == 1
    slice_of(cluster)
    assert sum(each == "P4" for each in severities(cluster).values()) == SLICE
    cluster.rebuild_all()
    slice_of(cluster)
    assert sum(each == "P4" for each in severities(cluster).values()) == 2 * SLICE
    slice_of(cluster)
    assert set(severities(cluster).values()) == {"P4"}
    assert cluster.rows(INCIDENTS, "r") == {}


def test_r20_input_and_timers_of_others_go_between_slices() -> None:
    cluster = cluster_of()
    cluster.publish(opened("10:00", of="other", id="other"), START + HOUR)
    cluster.publish(contract("09:00"), START + 2 * HOUR + 1)
    done = sum(each == "P4" for each in severities(cluster).values())
    assert done == 0
    cluster.publish(updated("10:30", of="other"), START + 2 * HOUR + 2)
    kinds = [each["type"] for each in cluster.outputs() if each["subject"] == "other"]
    assert "sla.met" in kinds
    assert sum(each == "P4" for each in severities(cluster).values()) <= SLICE


def test_r20_an_event_of_a_queued_incident_finds_it_re_evaluated() -> None:
    cluster = cluster_of()
    cluster.publish(contract("09:00"), START + HOUR)
    cluster.publish(updated("10:30", of=NAMES[-1]), START + HOUR)
    assert severities(cluster)[NAMES[-1]] == "P4"
    assert sum(each == "P4" for each in severities(cluster).values()) == 1


def test_r26_no_watermark_passes_a_contract_fact_that_is_not_applied_everywhere() -> None:
    cluster = cluster_of(mark_every=SECOND)
    arrival = START + HOUR
    cluster.publish(contract("09:00"), arrival)
    processor(cluster)._watermarks.request(0, START + MINUTE, Effects())
    slice_of(cluster)
    marks = [each["data"]["marked_until"] for each in cluster.outputs() if each["type"] == "time.mark"]
    assert max(map(str, marks)) <= "2026-03-02T11:00:00Z"
    processor(cluster)._watermarks.request(0, arrival + SECOND, Effects())
    cluster.pass_time(arrival + MINUTE)
    marks = [each["data"]["marked_until"] for each in cluster.outputs() if each["type"] == "time.mark"]
    assert max(map(str, marks)) > "2026-03-02T11:00:00Z"


@pytest.mark.parametrize(
    "line",
    [
        contract("09:00", "10:00:01"),  # from after the openings
        contract("09:00", "2026-02-01T00:00:00Z", end="09:59"),  # until before them
    ],
)
def test_r20_what_a_contract_fact_cannot_concern_is_not_decoded(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of(max_cached=1)
    cluster.rebuild_all()
    steps, decoded = processor(cluster)._steps, list[str]()
    monkeypatch.setattr(steps, "steps", lambda incident_id: decoded.append(incident_id) or [])
    cluster.publish(line, START + HOUR)
    assert decoded == []
    assert cluster.rows(INCIDENTS, "r") == {}


def test_r20_another_charge_or_zone_concerns_no_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of()
    cluster.publish(contract("09:00", id="first"), START + HOUR)
    cluster.pass_time(START + HOUR + MINUTE)
    cluster.rebuild(cluster.tasks[INCIDENTS, 0])
    monkeypatch.setattr(processor(cluster)._steps, "steps", lambda incident_id: pytest.fail(f"{incident_id} decoded"))
    sent = len(cluster.sends)
    cluster.publish(contract("09:30", "09:00", charge=7, zone="Asia/Tokyo", id="second"), START + HOUR + 2 * MINUTE)
    assert {send.topic for send in cluster.sends[sent:]} <= {
        "sla.incidents-internal",
        "sla.ledger-internal",
        "sla.credits",
    }
    assert cluster.rows(INCIDENTS, "r") == {}


def test_r20_the_later_contract_fact_decides_where_two_are_queued() -> None:
    cluster = cluster_of()
    cluster.publish(contract("09:00", id="first"), START + HOUR)
    slice_of(cluster)
    cluster.publish(contract("09:01", "09:00", end="09:30", id="second"), START + HOUR)
    cluster.rebuild_all()
    cluster.pass_time(START + 2 * HOUR)
    assert set(severities(cluster).values()) == {"P2"}
    assert cluster.rows(INCIDENTS, "r") == {}


def test_r29_an_erasure_takes_the_queue_of_its_tenant() -> None:
    cluster = cluster_of()
    cluster.publish(contract("09:00"), START + HOUR)
    cluster.publish(erased("11:00"), START + HOUR)
    assert cluster.rows(INCIDENTS, "r") == {}
    cluster.pass_time(START + 2 * HOUR)
    assert set(severities(cluster).values()) == {"P4"}


def test_steps_of_the_version_before_are_restored() -> None:
    """They do not tell when their incident was opened: such an incident is decoded to find out."""
    cluster = cluster_of(4)
    schemas = registry.load().by_fingerprint.values()
    (old,) = [each for each in schemas if each.name == "state.incident_step" and each.version == 1]
    task = cluster.tasks[INCIDENTS, 0]
    for key, value in [(key, value) for key, value in task.rows.items() if key.startswith(STEP_KEY)]:
        decoded = cluster.codec.decode(value)
        fields = {name: field for name, field in decoded[1].items() if name != "opened_at"}  # type: ignore[union-attr]
        stream = BytesIO()
        stream.write(SINGLE_OBJECT + old.fingerprint)
        schemaless_writer(stream, old.parsed, fields)
        task.rows[key] = stream.getvalue()
    cluster.rebuild_all()
    cluster.publish(contract("09:00"), START + HOUR)
    assert set(severities(cluster).values()) == {"P4"}
    cluster.rebuild_all()
    cluster.pass_time(START + 10 * DAY)
    breached = {each["subject"] for each in cluster.outputs() if each["type"] == "sla.breached"}
    assert breached == set(NAMES[:4])
