"""Pages and digests against a slow model, while attempts fail or overlap with alerts, and processes end between rows.

Whatever was sent and has ended is resolved; nothing is resolved while its cause stands; what nobody needs is not sent;
what stands is shown; few messages wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect.notify.destination_pages import DestinationPages
from connect.notify.destinations.kind import Destination
from connect.notify.destinations.registry import DESTINATION_KINDS
from connect.notify.digest import key_of_digest
from connect.notify.message import DIGEST
from connect.notify.page_store_rows import StateRow, StoredPages
from connect.notify.pending_pages import PageKey
from connect.notify.triggers import REOPENED, PageTrigger
from connect.secret_refs import SecretRef

INCIDENTS = ("a", "b", "c")
CLOCKS = ("response/1", "resolution/1", "update/1", "update/2")
LISTED = [{"metric": metric, "instance": int(instance)} for metric, instance in (each.split("/") for each in CLOCKS)]
Clock = tuple[str, str]
Episode = tuple[str, str, int]
#: Of a page: a clock, whenever it began; of a digest: what it has alerts of.
Cause = Clock | Episode


class Record(NamedTuple):
    """What the topic has. `at` is the timestamp; a closing may be read late, after later alerts."""

    action: Literal["trigger", "resolve", "close"]
    incident: str
    clock: str
    at: int

    def trigger(self, offset: int) -> PageTrigger:
        event = {
            "id": f"e{offset}", "type": "sla.breached", "subject": self.incident, "time": "2026-01-01T00:00:00Z",
            "data": {"severity": "P1", "component": "api", "policy": {"name": "p", "version": "1"}, "clocks": LISTED},
        }  # fmt: skip
        return PageTrigger(event, self.action, "" if self.action == "close" else self.clock, self.at)


def standing(records: Iterable[Record]) -> Mapping[Clock, Episode]:
    """The model: which clocks have an alert that has not ended, each with how often it had begun."""
    found: dict[Clock, tuple[int, Episode]] = {}
    begun: dict[Clock, int] = {}
    for each in records:
        where = each.incident, each.clock
        if each.action == "trigger":
            if where not in found:
                begun[where] = begun.get(where, 0) + 1
            found[where] = each.at, (*where, begun[where])
        elif each.action == "resolve":
            found.pop(where, None)
        else:
            found = {clock: entry for clock, entry in found.items() if clock[0] != each.incident or entry[0] > each.at}
    return {clock: episode for clock, (_, episode) in found.items()}


@dataclass
class World:
    """One destination, its rows, the topic and the process that ends now and then."""

    kind: str
    log: list[Record] = field(default_factory=list)
    committed: int = 0
    position: int = 0
    furthest: int = 0
    stored: dict[bytes, bytes | None] = field(default_factory=dict)
    open_there: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    causes: dict[str, set[Cause]] = field(default_factory=dict)
    now: int = 0

    def __post_init__(self) -> None:
        kind = DESTINATION_KINDS[self.kind]
        self.to = Destination("d", kind, SecretRef("env", "X"))
        self.pages = DestinationPages(self.to, "sla")

    # -- what happens --------------------------------------------------------------------------------------------------

    def read(self, new: Iterable[Record], survive: int | None) -> None:
        """A batch: what was not committed before, otherwise new records."""
        self.now += 1
        if self.position == len(self.log):
            self.log += new
        rows: list[StateRow] = []
        for offset in range(self.position, min(self.position + 3, len(self.log))):
            record = self.log[offset]
            if record.action == "trigger":
                self.causes.setdefault(f"sla/{record.incident}/{record.clock}", set()).add(
                    (record.incident, record.clock)
                )  # type: ignore[arg-type]
            rows += self.pages.apply(0, record.trigger(offset), None, self.now).rows
            self.position = offset + 1
        self.furthest = max(self.furthest, self.position)
        if self.write(rows, survive):
            self.committed = self.position

    def fold(self, survive: int | None) -> None:
        self.now += 1
        keys = self.pages.foldable(self.pages.queue.waiting(0))
        if not keys:
            return
        digest = self.pages.digest_of(0, keys)
        before = {key: self.pages.queue.get(key) for key in keys}
        rows = self.pages.fold(digest, keys, self.now, self.now).change.rows
        alive = [standing(self.log[:prefix]) for prefix in self.prefixes()]
        taken = {
            (page.incident, each.clock)
            for page in before.values() if page is not None
            for each in page.pending if page.may_be_folded(each)
        }  # fmt: skip
        complete = self.write(rows, survive)
        if not complete:  # only some of the incidents know of it
            kept = {key.incident: self.pages.queue.get(key) for key in keys}
            named = str(key_of_digest(digest.incident))
            taken = {
                (incident, clock) for incident, clock in taken
                if (page := kept[incident]) is not None and clock in page.folded
                and named in page.folded[clock].digests
            }  # fmt: skip
        named = str(key_of_digest(digest.incident))
        episodes = {each[clock] for clock in taken for each in alive if clock in each}
        self.causes.setdefault(named, set()).update(episodes)

    def start(self, choice: int, survive: int | None) -> None:
        self.now += 1
        ready = [key for key in self.pages.queue.waiting(0) if key not in self.pages.in_flight]
        if not ready:
            return
        key = ready[choice % len(ready)]
        page = self.pages.queue.get(key)
        assert page is not None
        message = page.head
        rows = self.pages.start(key)
        if not self.write(rows, survive):
            return
        for there in self.keys_of(key):
            if message.action == "trigger":
                # An attempt whose outcome a crash has lost is repeated; its end follows.
                needed = self.may_stand(there, True) or there in self.started
                assert needed, f"nobody needs {message.id} about {there}"
                self.started.add(there)
            elif message.clock:
                assert there in self.started, f"the end of {there}, which was never sent"
                assert self.may_stand(there, False), f"{there} is resolved while its cause stands"

    def finish(self, choice: int, outcome: str, survive: int | None) -> None:
        """An attempt ends. `unknown`: it arrived, but its answer did not."""
        self.now += 1
        flying = sorted(self.pages.in_flight)
        if not flying:
            return
        key = flying[choice % len(flying)]
        if outcome != "failed":
            self.arrive(key)
        pages, sent = self.pages, outcome == "delivered"
        rows = pages.delivered(key, self.now) if sent else pages.failed(key, self.now, written=True)
        self.pages.in_flight.discard(key)
        self.write(rows, survive)

    def crash(self, arrived: bool) -> None:
        for key in sorted(self.pages.in_flight):
            if arrived:
                self.arrive(key)
        self.reload()

    # -- its parts -----------------------------------------------------------------------------------------------------

    def write(self, rows: list[StateRow], survive: int | None) -> bool:
        """Whether the process has lived on; otherwise only so many rows are stored."""
        complete = survive is None or survive >= len(rows)
        for row in rows if complete else rows[:survive]:
            self.stored.pop(row.key, None)
            self.stored[row.key] = row.value
        if not complete:
            self.reload()
        self.check_few_wait()
        return complete

    def reload(self) -> None:
        self.position = self.committed
        self.pages = DestinationPages(self.to, "sla")
        found = StoredPages("d")
        for key, value in self.stored.items():
            found.read(key, value)
        assert found.unreadable == 0
        for row in self.pages.load(0, found.pages(), self.now).rows:
            self.stored[row.key] = row.value

    def keys_of(self, key: PageKey) -> list[str]:
        page = self.pages.queue.get(key)
        assert page is not None
        if page.head.clock == "":  # in Slack: the end of all pages of an incident
            ended = sorted(each for each in self.causes if each.startswith(f"sla/{key.incident}/"))
            if REOPENED in page.head.event["data"]:  # it says that later alerts stand
                return [each for each in ended if not self.may_stand(each, True)]
            return ended
        assert page.head.key is not None
        return [page.head.key]

    def arrive(self, key: PageKey) -> None:
        page = self.pages.queue.get(key)
        assert page is not None
        if page.head.action == "trigger":
            self.open_there.update(self.keys_of(key))
        else:
            self.open_there.difference_update(self.keys_of(key))

    def may_stand(self, key: str, wanted: bool) -> bool:
        """Whether a page is needed, or is not, by what was read; after a crash, also by what had been read before."""
        return any(self.stands(key, prefix) is wanted for prefix in self.prefixes())

    def prefixes(self) -> range:
        """How much of the topic may be known: after a crash, what was read before may be stored."""
        return range(self.position, max(self.position, self.furthest) + 1)

    def stands(self, key: str, prefix: int) -> bool:
        alive = standing(self.log[:prefix])
        return any(each in alive or each in alive.values() for each in self.causes.get(key, ()))

    def check_few_wait(self) -> None:
        for key in self.pages.queue.waiting(0):
            page = self.pages.queue.get(key)
            assert page is not None
            limit = 3 if key_of_digest(key.incident) is not None else 3 * len(CLOCKS)
            assert len(page.pending) <= limit

    def settle(self) -> None:
        """Everything is read and delivered."""
        while self.pages.in_flight:
            self.finish(0, "delivered", None)
        while self.position < len(self.log):
            self.read((), None)
        while any(True for _ in self.pages.queue.waiting(0)):
            self.start(0, None)
            self.finish(0, "delivered", None)
        alive = standing(self.log)
        needless = [key for key in self.open_there if not self.stands(key, len(self.log))]
        assert needless == [], "pages that nobody ends"
        for clock, episode in alive.items():
            if not clock[1].startswith("update"):  # a later update takes the place of an earlier one
                shown = [key for key in self.open_there if self.causes[key] & {clock, episode}]
                assert shown, f"nobody knows of {clock}"
        if not alive:
            assert [key for key, value in self.stored.items() if value is not None] == []


records = st.builds(
    lambda action, incident, clock, late: (action, incident, clock, late),
    st.sampled_from(["trigger", "trigger", "trigger", "resolve", "close"]),
    st.sampled_from(INCIDENTS),
    st.sampled_from(CLOCKS),
    st.integers(0, 3),
)
survivors = st.one_of(st.none(), st.none(), st.integers(0, 8))
outcomes = st.sampled_from(["delivered", "delivered", "failed", "unknown"])
steps = st.one_of(
    st.tuples(st.just("read"), st.lists(records, min_size=1, max_size=3), survivors),
    st.tuples(st.just("read"), st.lists(records, min_size=1, max_size=3), survivors),
    st.tuples(st.just("fold"), survivors),
    st.tuples(st.just("start"), st.integers(0, 3), survivors),
    st.tuples(st.just("start"), st.integers(0, 3), survivors),
    st.tuples(
        st.just("finish"),
        st.integers(0, 3),
        st.sampled_from(["delivered", "delivered", "failed", "unknown"]),
        survivors,
    ),
    st.tuples(st.just("crash"), st.booleans()),
)


@pytest.mark.parametrize("kind", ["pagerduty", "slack"])
@settings(max_examples=settings.default.max_examples * 3)
@given(story=st.lists(steps, max_size=40))
def test_what_has_ended_is_resolved_and_what_stands_is_shown(kind: str, story: list[tuple[object, ...]]) -> None:
    world, at = World(kind), 0
    for name, *given_ in story:
        if name == "read":
            made, survive = given_
            batch = []
            for action, incident, clock, late in made:  # type: ignore[attr-defined]
                at += 1
                batch.append(Record(action, incident, clock, at - (late if action == "close" else 0)))
            world.read(batch, survive)  # type: ignore[arg-type]
        else:
            getattr(world, str(name))(*given_)
    world.settle()


def test_the_model_knows_late_closings() -> None:
    story = [
        Record("trigger", "a", "response/1", 1),
        Record("trigger", "a", "resolution/1", 3),
        Record("close", "a", "", 2),
    ]
    assert standing(story) == {("a", "resolution/1"): ("a", "resolution/1", 1)}
    assert DIGEST not in CLOCKS
