"""R20, R26: contract terms that no incident can need any more are evicted from every incident partition."""

from __future__ import annotations

import pytest
from agent_harness import INCIDENTS, Cluster
from story import Line, contract, micros, opened, policies, reclassified

from agents.changelog.incidents import CONTRACT
from streams.runtime.processor import Effects, SubjectFailed
from streams.sla.arrival import TimeLimits
from streams.sla.contracts import ContractCopies
from streams.sla.incidents import contract_retention
from streams.sla.incidents.contract_retention import EVICTION
from streams.sla.instants import DAY

SHORT = TimeLimits(retain_months=6)
YEARS = (2023, 2024, 2025, 2026, 2027)


def begin(year: int) -> str:
    return f"{year}-01-01T00:00:00Z"


def terms(year: int, of: str = "acme") -> Line:
    return contract(begin(year), begin(year), of=of, tier=year % 3 + 1, id=f"c-{of}-{year}")


def published(cluster: Cluster, line: Line) -> None:
    cluster.publish(line, micros(line["time"]))


def cluster_of(*lines: Line, partitions: int = 2) -> Cluster:
    cluster = Cluster(policies(), SHORT, partitions=partitions, mark_every=30 * DAY)
    for line in lines:
        published(cluster, line)
    return cluster


def input_everywhere(cluster: Cluster, at: str) -> None:
    """An input for each incident partition: the first one after a start."""
    names = {cluster.own(f"inc-{number}"): f"inc-{number}" for number in range(50)}
    assert len(names) == cluster.topics.partitions
    for name in names.values():
        published(cluster, opened(at, "cosmetic", of=name, id=f"o-{name}"))


def kept(cluster: Cluster) -> list[str]:
    """The ids of the terms in the rows of the incident partitions, once for each partition."""
    return sorted(key.decode().split("\x1f")[-1].split("@")[0] for key in cluster.rows(INCIDENTS, CONTRACT))


def classified(cluster: Cluster) -> dict[str, str]:
    return {o["subject"]: o["data"]["severity"] for o in cluster.outputs() if o["type"] == "incident.classified"}


def test_r26_terms_that_later_ones_replaced_before_the_limit_are_evicted_everywhere() -> None:
    cluster = cluster_of(*map(terms, YEARS))
    cluster.pass_time(micros("2027-06-20T00:00:00Z"))
    assert kept(cluster) == ["c-acme-2026"] * 2 + ["c-acme-2027"] * 2  # December 2026 is among the six months
    cluster.pass_time(micros("2027-09-20T00:00:00Z"))
    assert kept(cluster) == ["c-acme-2027"] * 2


def test_r26_rows_of_earlier_releases_are_evicted_after_the_start() -> None:
    cluster = cluster_of(*map(terms, YEARS[:-1]))
    saved = [dict(task.rows) for task in cluster.tasks.values()]
    cluster.pass_time(micros("2026-12-20T00:00:00Z"))
    assert kept(cluster) == ["c-acme-2026"] * 2
    for task, rows in zip(cluster.tasks.values(), saved, strict=True):  # as if nothing had ever been evicted
        task.rows.update(rows)
    cluster.rebuild_all()
    input_everywhere(cluster, "2026-12-21T00:00:00Z")
    cluster.pass_time(micros("2026-12-21T00:00:02Z"))
    assert kept(cluster) == ["c-acme-2026"] * 2


def test_r20_terms_at_the_opening_of_an_incident_that_is_open_stay() -> None:
    outage = opened("2023-06-01T00:00:00Z", "material_aspect", tenants=["acme"], component="backups", id="o-1")
    cluster = cluster_of(terms(2023), outage, *map(terms, YEARS[1:]))
    severity = classified(cluster)["inc"]
    cluster.pass_time(micros("2027-12-20T00:00:00Z"))
    # The other partition has no incident of the tenant.
    assert kept(cluster) == sorted(["c-acme-2027", *(f"c-acme-{year}" for year in YEARS)])
    cluster.rebuild_all()
    published(cluster, reclassified("2027-12-21T00:00:00Z", impact="complete_outage"))
    published(cluster, reclassified("2027-12-21T01:00:00Z", impact="material_aspect"))
    assert classified(cluster)["inc"] == severity


def test_r20_a_late_incident_is_judged_by_the_terms_of_its_opening() -> None:
    cluster = cluster_of(*map(terms, YEARS))
    cluster.pass_time(micros("2027-01-15T00:00:00Z"))
    late = opened("2026-12-20T00:00:00Z", "material_aspect", tenants=["acme"], of="late", id="o-late")
    cluster.publish(late, micros("2027-01-20T00:00:00Z"))
    assert classified(cluster)["late"] == ("P1" if 2026 % 3 == 0 else "P2")


def test_r26_many_tenants_are_looked_at_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    step = 10
    monkeypatch.setattr(contract_retention, "STEP", step)
    tenants = [f"t{number:03}" for number in range(2 * step + 1)]
    cluster = cluster_of(*(terms(year, of) for year in YEARS for of in tenants), partitions=1)
    assert len(kept(cluster)) == 2 * len(tenants)
    effects = Effects()
    processor = cluster.tasks[INCIDENTS, 0].processor
    assert processor.fire(micros("2027-12-20T00:00:00Z"), 1, effects) == 1
    assert 0 < len(effects.rows) <= step
    cluster.rebuild_all()  # that step is lost
    input_everywhere(cluster, "2027-12-19T00:00:00Z")
    cluster.pass_time(micros("2027-12-20T00:00:00Z"))
    assert len(kept(cluster)) == len(tenants)


def test_r27_an_eviction_that_crashes_is_tried_again_at_the_next_start_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next input would make it due at once, and so the task start again without end."""

    def crashing(*_: object) -> None:
        raise ValueError("odd")

    cluster = cluster_of(*map(terms, YEARS[:-1]), partitions=1)
    task = cluster.tasks[INCIDENTS, 0]
    with monkeypatch.context() as broken:
        broken.setattr(ContractCopies, "evict", crashing)
        with pytest.raises(SubjectFailed) as failed:
            task.processor.fire(micros("2026-09-20T00:00:00Z"), 1, Effects())
        assert failed.value.subject == EVICTION
        cluster.rebuild(task)
        effects = Effects()
        task.processor.quarantine(EVICTION, "odd", effects, 3)
        cluster._commit(task, effects)
        input_everywhere(cluster, "2026-09-21T00:00:00Z")
        cluster.pass_time(micros("2026-12-20T00:00:00Z"))
    cluster.rebuild(task)
    published(cluster, reclassified("2026-12-21T00:00:00Z", impact="complete_outage", of="inc-0"))
    cluster.pass_time(micros("2026-12-21T00:00:02Z"))
    assert kept(cluster) == ["c-acme-2026"]
