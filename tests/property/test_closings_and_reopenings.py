"""A closing and the alerts of a reopening after it in one transaction, as the core publishes them: no page is left
open, and no breach of the reopening loses its page.

Records of a transaction have one timestamp and are in two topics, so what a page knows of their order is less than what
was published. The oracle applies each output with a timestamp of its own.
"""

from __future__ import annotations

from typing import Any

from histories import TIMES, arriving
from hypothesis import given, settings
from hypothesis import strategies as st
from story import (
    MONDAY,
    Line,
    annulled,
    linked,
    merged,
    opened,
    reclassified,
    reopened,
    resolved,
    responded,
    run,
    severity_set,
    tell,
    updated,
)

from connect.notify.destinations.kind import Destination
from connect.notify.destinations.registry import DESTINATION_KINDS
from connect.notify.page import Page
from connect.notify.page_store_rows import StoredPages, changes
from connect.notify.triggers import PageTrigger, page_trigger
from connect.secret_refs import SecretRef
from streams.sla.instants import HOUR, MINUTE, format_rfc3339

#: It sends every message, so an alert never takes the place of an earlier one.
TO = Destination("d", DESTINATION_KINDS["webhook"], SecretRef("env", "X"))
IMPACTS = ["complete_outage", "cosmetic"]
#: Minutes. A window of an hour has its reminder ten minutes before its end.
LAGS = st.sampled_from([0, 0, 0, 1, 55, 60, 115, 300, 24 * 60])


class Published(list[dict[str, Any]]):
    """Outputs, shown in one line each."""

    def __repr__(self) -> str:
        return repr(tell(self))


@st.composite
def facts(draw: st.DrawFn) -> Line:
    at = draw(TIMES)
    return draw(
        st.sampled_from(
            [
                resolved(at), resolved(at), resolved(at), reopened(at), reopened(at), reopened(at), updated(at),
                responded(at), merged(at), annulled(at), linked(at), severity_set(at, "P1"), severity_set(at, "P4"),
                *(reclassified(at, impact=each) for each in IMPACTS),
            ]
        )
    )  # fmt: skip


@st.composite
def published(draw: st.DrawFn) -> Published:
    """Alerts and closings of one incident, in the order in which they are published."""
    first, second = (format_rfc3339(MONDAY + draw(st.integers(44, 72)) * 15 * MINUTE) for _ in "12")
    lines = [opened("10:00", "complete_outage"), responded("10:10"), resolved(first), reopened(second)]
    lines += draw(st.lists(facts(), max_size=5))
    lines = [line | {"id": f"e{number}"} for number, line in enumerate(lines)]
    lags = draw(st.lists(LAGS, min_size=len(lines), max_size=len(lines)))
    outputs = run(*arriving(lines, lags), until=format_rfc3339(MONDAY + 80 * HOUR))
    return Published(each for each in outputs if not isinstance(page_trigger(each), str))


def sequence(outputs: list[tuple[int, dict[str, Any]]]) -> Page:
    page = Page("inc")
    for at, output in outputs:
        made = page_trigger(output, at)
        assert isinstance(made, PageTrigger)
        after = page.apply(made, TO, at, busy=False)
        page = stored(page, after)
    return page


def stored(before: Page, after: Page) -> Page:
    """As it is read back after a crash, everything delivered."""
    while after.pending:
        after = after.started().delivered()
    found = StoredPages("d")
    for row in changes("d", before, after):
        found.read(row.key, row.value)
    read = {page.incident: page for page in found.pages()}
    if not after.over and after != before:
        assert read[after.incident] == after
    return after


@settings(max_examples=settings.default.max_examples * 4 // 5)
@given(
    outputs=published(),
    share=st.floats(0, 1),
    sizes=st.lists(st.sampled_from([1, 2, 5, 50]), min_size=5, max_size=5),
    late=st.integers(0, 3),
)
def test_a_closing_and_a_reopening_of_one_transaction(
    outputs: Published, share: float, sizes: list[int], late: int
) -> None:
    """`share` of the outputs are published so far, in transactions of `sizes` in turn; closings are read `late`
    transactions after the alerts."""
    outputs = Published(outputs[: round(share * len(outputs))])
    numbers = [number for number in range(len(outputs)) for _ in range(sizes[number % len(sizes)])][: len(outputs)]
    rank = [
        (n + late, 1) if each["type"] == "incident.closed" else (n, 0) for n, each in zip(numbers, outputs, strict=True)
    ]
    read = sorted(zip(rank, numbers, outputs, strict=True), key=lambda each: each[0])
    page = sequence([(number, each) for _, number, each in read])

    oracle = sequence(list(enumerate(outputs)))
    assert page.open.keys() <= oracle.open.keys(), "a page that nobody ends"
    # A breach that is found only after the closing is listed by it, and may end with it.
    closings = [each["data"]["clocks"] for each in outputs if each["type"] == "incident.closed"]
    listed = {f"{clock['metric']}/{clock['instance']}" for clocks in closings for clock in clocks}
    assert oracle.breached - listed <= page.open.keys(), "a breach of the reopening has no page"
