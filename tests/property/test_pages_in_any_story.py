"""Pages under any story of alerts, deliveries, failures and crashes: in order, nothing forgotten, nothing left open."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connect.notify.destinations.kind import Destination
from connect.notify.destinations.registry import DESTINATION_KINDS
from connect.notify.page import Page
from connect.notify.page_store_rows import StoredPages, changes
from connect.secret_refs import SecretRef
from tests.page_triggers import trigger

CLOCKS = st.sampled_from([("response", 1), ("update", 1), ("update", 2)])
ALERTS = st.tuples(st.sampled_from(["warning", "breached", "met", "retracted"]), CLOCKS)
#: An alert, an end of everything, a delivery that begins, its end, a failure, or kill -9.
STEPS = st.one_of(ALERTS, st.sampled_from(["closed", "begin", "delivered", "failed", "crash"]))


class Kitchen:
    """One page, the rows that keep it, and what the destination has heard."""

    def __init__(self, kind: str) -> None:
        self.destination = Destination("d", DESTINATION_KINDS[kind], SecretRef("env", "X"))
        self.page = Page("inc-1")
        self.log: dict[bytes, bytes | None] = {}
        self.busy = False
        self.heard: list[tuple[str, str, int]] = []
        self.asked: list[tuple[str, str]] = []
        self.now = 0

    def become(self, page: Page) -> None:
        self.log |= dict(changes("d", self.page, page))
        self.page = page

    def step(self, step: object) -> None:
        self.now += 1
        if isinstance(step, tuple):
            name, (metric, instance) = step
            clock = f"{metric}/{instance}"
            made = trigger(name, id_=f"e{self.now}", metric=metric, instance=instance)
            if made.action == "trigger" or clock in self.page.open:
                self.asked.append((clock, made.id))
            self.become(self.page.apply(made, self.destination, self.now, busy=self.busy))
        elif step == "closed":
            self.become(
                self.page.apply(trigger("closed", id_=f"e{self.now}"), self.destination, self.now, busy=self.busy)
            )
        elif step == "begin":
            self.busy = bool(self.page.pending)
            if self.busy:
                self.become(self.page.started())
        elif step == "crash":
            kept = StoredPages("d")
            for key, value in self.log.items():
                kept.read(key, value)
            pages = list(kept.pages())
            assert pages == ([] if self.page.over else [self.page])
            self.busy = False
        elif self.busy:
            head = self.page.head
            if step == "delivered":
                self.heard.append((head.action, head.clock, head.seq))
                self.become(self.page.delivered())
            else:
                self.become(self.page.failed(self.now))
            self.busy = False


@given(st.sampled_from(["pagerduty", "slack", "webhook"]), st.lists(STEPS, max_size=25))
def test_whatever_happens_the_end_is_told_last(kind: str, story: list[object]) -> None:
    kitchen = Kitchen(kind)
    for step in [*story, "crash", "closed"]:
        kitchen.step(step)
    while kitchen.page.pending:
        kitchen.step("begin")
        kitchen.step("delivered")
    assert kitchen.page.over
    assert set(kitchen.log.values()) <= {None}
    order = [seq for _, _, seq in kitchen.heard]
    assert order == sorted(order)
    last: dict[str, str] = {}
    for action, clock, _ in kitchen.heard:
        if clock:
            last[clock] = action
        else:
            last = dict.fromkeys(last, action)
    assert set(last.values()) <= {"resolve"}
    if kind == "webhook":  # machines hear each thing that happened
        shown = [seq for _, clock, seq in kitchen.heard if clock]
        assert len(shown) == len(kitchen.asked)
