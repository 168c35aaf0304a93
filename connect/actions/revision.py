"""Optimistic concurrency: whether an incident changed since the author of an action looked at it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connect.actions.outcome import FieldChange, JsonEvent, Moved, State

#: The fields of a state that matter to whoever acts; others follow from them, or are timers.
COMPARED = (
    "status",
    "waiting",
    "severity",
    "severity_by_hand",
    "coverage",
    "counts_as_downtime",
    "scope",
    "tenant_ids",
    "component",
    "impact",
    "tier",
    "ticket_id",
    "phone_call_id",
    "merged_into",
    "started_at",
    "restored_at",
    "ended_at",
    "responded_at",
    "updated_at",
)


def moved(seen: int, present: State, earlier: State | None, recent: Sequence[JsonEvent] = ()) -> Moved | None:
    """What changed since revision `seen`, or None where nothing that matters did. `earlier` is the state at `seen`, as
    far as it is known; `recent` are other people's actions that `present` may not show yet."""
    revision = int(present["revision"])
    if revision <= seen:  # the author may even have seen a newer one than this reader
        return Moved(seen, revision, (), tuple(recent), present) if recent else None
    changes = None if earlier is None else tuple(changes_between(earlier, present))
    if changes == () and not recent:
        return None
    return Moved(seen, revision, changes, tuple(recent), present)


def changes_between(before: State, after: State) -> Iterator[FieldChange]:
    """The fields that matter and differ, then the clocks."""
    for name in COMPARED:
        if before.get(name) != after.get(name):
            yield FieldChange(name, before.get(name), after.get(name))
    old, new = _clocks(before), _clocks(after)
    for name in old | new:
        if name in new and old.get(name) != new[name]:  # those gone are only no longer listed
            yield FieldChange(name, old.get(name), new[name])


def _clocks(state: State) -> dict[str, dict[str, object]]:
    return {
        f"clock.{clock['metric']}.{clock['instance']}": {
            "state": clock["state"],
            "deadline": clock.get("deadline"),
        }
        for clock in state.get("clocks", ())
    }
