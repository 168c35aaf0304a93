"""Effects of proposals start without anybody who opens them: once each, within a bounded queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from proposing_board import Deployment
from story import erased, texts

from board.background import Background
from board.background.jobs import BackgroundJobs, Job, TooManyJobs
from board.dependencies import BoardContext
from board.ingest.status import IngestStatus
from board.proposals.proposal import Proposal
from board.proposals.starting import EffectStarter
from streams.sla.instants import DAY

INCIDENTS = ("outage", "late-p1", "waiting", "linked", "by-hand", "reopened")


class Jobs:
    """A queue of four jobs, none of which ends before a test says so."""

    waiting = 8

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.full = False

    def all(self) -> list[Job]:
        return self.jobs[::-1]

    def start(self, _: BoardContext, found: Proposal) -> None:
        if self.full:
            raise TooManyJobs("full")
        name = found.proposed.proposal_id
        self.jobs.append(Job(f"job-{len(self.jobs)}", name, None, "queued", 0))

    def end(self, status: Any) -> None:
        self.jobs = [replace(each, status=status) for each in self.jobs]

    @property
    def keys(self) -> list[str]:
        return [each.key for each in self.jobs]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    yield made
    made.engine.dispose()


def proposed(deployment: Deployment, *incidents: str) -> list[str]:
    found, ann = [], deployment.person("ann")
    for incident in incidents:
        revision = ann.get(f"/api/v1/incidents/{incident}").json()["state"]["revision"]
        body = {"action": "annul", "form": {"reason": "a drill"}, "revision": revision, "action_id": incident}
        answer = ann.post(f"/api/v1/incidents/{incident}/proposals", json=body)
        assert answer.status_code == 202, answer.text
        found.append(answer.json()["proposal_id"])
        deployment.clock.move(1)
    deployment.turn()
    return found


def starter_of(deployment: Deployment, jobs: Jobs, status: IngestStatus | None = None) -> EffectStarter:
    context = deployment.app.state.context
    background: Background = replace(context.background, effects=cast(BackgroundJobs, jobs))
    ingest = context.ingest if status is None else lambda: status
    return EffectStarter(replace(context, background=background, ingest=ingest), jobs.start)


def test_each_is_started_once_and_half_of_the_queue_stays_free(deployment: Deployment) -> None:
    jobs = Jobs()
    starter = starter_of(deployment, jobs)
    assert starter.start_missing() == 0
    names = proposed(deployment, *INCIDENTS)
    assert starter.start_missing() == 4
    assert starter.start_missing() == 0
    assert jobs.keys == names[:4]
    for name in names[:4]:
        deployment.compute(name)
    jobs.end("done")
    assert starter.start_missing() == 2
    assert jobs.keys == names
    jobs.end("failed")
    assert starter.start_missing() == 0, "what failed is not tried again and again"


def test_nothing_starts_for_what_is_decided_or_while_history_is_read(deployment: Deployment) -> None:
    (name,) = proposed(deployment, "outage")
    jobs = Jobs()
    behind = starter_of(deployment, jobs, IngestStatus(failure=None, reached_end=False))
    assert behind.start_missing() == 0
    jobs.full = True
    assert starter_of(deployment, jobs).start_missing() == 0
    deployment.person("bob").post(f"/api/v1/proposals/{name}/decline", json={"reason": ""})
    deployment.turn()
    jobs.full = False
    assert starter_of(deployment, jobs).start_missing() == 0
    proposed(deployment, "waiting")
    deployment.clock.move(15 * DAY)
    assert starter_of(deployment, jobs).start_missing() == 0
    assert jobs.keys == []


def test_an_effect_that_went_with_an_erased_tenant_is_computed_again(deployment: Deployment) -> None:
    names, jobs = proposed(deployment, "outage"), Jobs()
    starter = starter_of(deployment, jobs)
    assert starter.start_missing() == 1
    deployment.compute(names[0])
    jobs.end("done")
    assert starter.start_missing() == 0
    deployment.lines += texts([erased("2026-11-20T11:00:00Z", of="acme")])
    deployment.ingest_topics()
    assert starter.start_missing() == 1
    assert jobs.keys == [names[0]] * 2
