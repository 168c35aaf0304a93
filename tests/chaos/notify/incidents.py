"""What agents write of incidents: alerts and closings, in transactions; and what stands in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 -- seeded
from typing import Any, NamedTuple

from aiokafka.structs import TopicPartition

from connect.notify.commit_texts import read_commit_text
from tests import page_triggers

from .broker import Broker
from .partition_log import Record, Sent

ALERTS, INCIDENTS, ROWS = "sla.alerts", "sla.incidents", "sla.notifications"
DELETED = "deleted by Kafka before it was read"
#: Both topics of a group were made anew, and no member that had known them had the partition (docs/notifications.md,
#: Topics that are made anew).
BEGAN_AS_NEW = "before its group began as a new one"
#: Both topics were made anew, one after the other, and alerts of the first are read again.
CLOSING_DELETED = "its closing was deleted before its alerts were read again"
_SEVERITIES = ["P1", "P2", "P3"]


class Alert(NamedTuple):
    """One that opens or updates a page."""

    id: str
    clock: str
    at: float


@dataclass
class Incident:
    """One incident as far as it was written."""

    name: str
    partition: int
    severity: str
    open: dict[str, str] = field(default_factory=dict)
    """Clocks that have not ended, each with the id of its last alert."""
    clocks: set[str] = field(default_factory=set)
    alerts: list[Alert] = field(default_factory=list)
    events: int = 0
    lost: str = ""
    """Why some of it did not reach every destination, where that is documented."""

    def superseded(self, clock: str) -> bool:
        """Whether a later update of it was due: the page of an earlier one is left out where it waits."""
        if not clock.startswith("update/"):
            return False
        updates = [int(each.partition("/")[2]) for each in self.clocks if each.startswith("update/")]
        return max(updates) > int(clock.partition("/")[2])

    def alert(self, name: str, clock: str, now: float) -> dict[str, Any]:
        metric, _, instance = clock.partition("/")
        given = {"instance": int(instance)} if name == "due" else {"metric": metric, "instance": int(instance)}
        event = self._event(name, given)
        self.open[clock] = event["id"]
        self.clocks.add(clock)
        self.alerts.append(Alert(event["id"], clock, now))
        return event

    def end(self, name: str, clock: str) -> dict[str, Any]:
        metric, _, instance = clock.partition("/")
        self.open.pop(clock, None)
        return self._event(name, {"metric": metric, "instance": int(instance)})

    def close(self) -> dict[str, Any]:
        self.open.clear()
        return self._event("closed", {"clocks": [_closed(each) for each in sorted(self.clocks)]})

    def _event(self, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
        self.events += 1
        id_ = f"{self.name}.{name}.{data.get('metric', '')}{data.get('instance', '')}.{self.events}"
        return page_triggers.event(
            name, self.name, id_, severity=self.severity, tenant_ids=[], scope="platform", **data
        )


def _closed(clock: str) -> dict[str, Any]:
    metric, _, instance = clock.partition("/")
    return {
        "metric": metric, "instance": int(instance), "deadline": None, "deadline_revision": 0, "verdict": "breached",
        "wall_s": 1, "business_s": 0,
    }  # fmt: skip


class Histories:
    """Writes all incidents."""

    def __init__(self, broker: Broker, random: Random) -> None:
        self.incidents: dict[str, Incident] = {}
        self._broker = broker
        self._random = random
        self._transactions = 0

    def incident_of(self, key: str) -> Incident | None:
        """By its name, or by the id of a message."""
        return self.incidents.get(key) or self.incidents.get(key.partition(".")[0])

    async def write(self, number: int, seconds: float) -> None:
        """One incident, which begins at some time."""
        random, loop = self._random, self._broker.loop
        until = loop.time() + seconds
        partition = random.choice(self._broker.partitions)
        name = f"inc-{number}"
        found = self.incidents[name] = Incident(name, partition, random.choice(_SEVERITIES))
        await asyncio.sleep(random.uniform(0, seconds * 0.7))
        update = 0
        for _ in range(random.choice([1, 1, 2])):  # again where it is reopened
            for _ in range(random.randrange(1, 7)):
                update = self._write_some(found, update)
                await asyncio.sleep(random.choice([0.001, 0.2, 2, 10, 25]) * random.random())
                if loop.time() > until:
                    break
            if random.random() >= 0.5:
                return
            ended = [found.end("met", each) for each in sorted(found.open) if random.random() < 0.3]
            self._transaction(found, ended, [found.close()])
            await asyncio.sleep(random.choice([0.05, 1, 20]) * random.random())

    def close(self, found: Incident) -> None:
        self._transaction(found, [], [found.close()])

    def _write_some(self, found: Incident, update: int) -> int:
        """Returns the number of the last update that was due."""
        random, now, what = self._random, self._broker.loop.time(), self._random.random()
        if what < 0.35:
            alerts = [found.alert(random.choice(["warning", "breached"]), "response/1", now)]
        elif what < 0.65:
            update += random.choice([0, 1, 1]) if update else 1
            alerts = [found.alert(random.choice(["due", "breached"]), f"update/{update}", now)]
        elif what < 0.85 and found.open:
            clock = random.choice(sorted(found.open))
            alerts = [found.end(random.choice(["met", "retracted"]), clock)]
        else:
            alerts = [found.alert("warning", "resolution/1", now), found.alert("breached", "response/1", now)]
        self._transaction(found, alerts, [])
        return update

    def _transaction(self, found: Incident, alerts: Sequence[Any], closings: Sequence[Any]) -> None:
        """All its records have one timestamp; the marker comes later, in each partition by itself."""
        now, name = self._broker.now_ms(), self._transactions
        self._transactions += 1
        for topic, events in ((ALERTS, alerts), (INCIDENTS, closings)):
            where = TopicPartition(topic, found.partition)
            log = self._broker.logs.get(where)
            if not events:
                continue
            if log is None:
                found.lost = DELETED
                continue
            log.begin(name)
            values = [page_triggers.value_of(each) for each in events]
            self._broker.append(where, [Sent(found.name.encode(), each) for each in values], "agent", now)
            longest = self._random.choice([0, 0.01, 0.05, 0.5])
            self._broker.net.later(longest * self._random.random(), lambda log=log: log.commit(name))

    # -- records that are deleted --------------------------------------------------------------------------------------

    def delete_read(self, topic: str, chance: float) -> None:
        """As retention does, of what every group has read."""
        for partition, log in self._broker.logs_of(topic).items():
            read = min(self._read_up_to(TopicPartition(topic, partition)), default=0)
            if self._random.random() < chance:
                log.delete_before(read)

    def make_anew(self, topic: str, after_s: float) -> None:
        """What some group has not read is lost."""
        for partition, log in self._broker.logs_of(topic).items():
            read = min(self._read_up_to(TopicPartition(topic, partition)), default=0)
            self._lose([each for each in log.records if each.offset >= read], DELETED)
            alerts = TopicPartition(ALERTS, partition)
            if (
                topic == INCIDENTS
                and alerts in self._broker.logs
                and alerts in {each for each, _ in self._broker.deleted}
            ):
                read_again = {each.key for each in self._broker.logs[alerts].records}
                self._lose([each for each in log.records if each.key in read_again], CLOSING_DELETED)
        self._broker.make_anew(topic, after_s)

    def begun_as_new(self, partitions: Collection[TopicPartition]) -> None:
        """A group without any offset in these partitions starts at their ends."""
        for where in partitions:
            other = where._replace(topic=INCIDENTS if where.topic == ALERTS else ALERTS)
            if other in partitions and {where, other} <= {each for each, _ in self._broker.deleted}:
                self._lose(self._broker.logs[where].records, BEGAN_AS_NEW)

    def _lose(self, records: Iterable[Record], reason: str) -> None:
        for each in records:
            if (found := self.incidents.get((each.key or b"").decode())) is not None:
                found.lost = reason

    def _read_up_to(self, where: TopicPartition) -> Sequence[int]:
        """By group; an offset of a topic that was deleted is none."""
        found = [group.committed.get(where, (0, "")) for group in self._broker.groups.values()]
        texts = [(offset, read_commit_text(text)) for offset, text in found]
        ours = self._broker.ids.get(where.topic)
        return [0 if text is not None and text.topic_id != ours else offset for offset, text in texts]
