"""`sla verify` names whatever single field of a statement or an issued credit is changed (R3, R25, R26).

Digests and ids are made anew after each change, as whoever changes a statement on purpose would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from story import (
    Line,
    amended,
    annulled,
    claimed,
    contract,
    erased,
    maintenance,
    merged,
    opened,
    policies,
    resolved,
    run,
    shipped,
    texts,
    with_credit,
)
from test_verify import Verify, digest_anew, verify  # noqa: F401 -- a fixture

from streams.replay.verify import ReplayedMonths, check_with_events
from streams.serde.cloudevents_json import from_json
from streams.sla.arrival import TimeLimits
from streams.sla.credits.submitted import SubmittedCredit, TermDifference, submitted_credit, submitted_statement
from streams.sla.credits.verify import check_alone, check_id
from streams.sla.credits.verify_issued import check_credit, has_statement
from streams.sla.credits.verify_revision import Months
from streams.sla.erasure import Erasures
from streams.sla.events import Rejection
from streams.sla.ids import output_id
from streams.sla.instants import DAY, HOUR, SECOND, format_rfc3339, parse_rfc3339
from streams.sla.policy import Policies

END = "2026-06-20T00:00:00Z"
KEY = b"k" * 32
LIMITS = replace(TimeLimits(), pseudonym_key=KEY)


@cache
def plans() -> Policies:
    return policies(with_credit(replace(shipped(), name="auto", digest="a" * 64), claim="automatic"))


@cache
def history() -> list[Line]:
    """Accounts in two zones, by two plans. A claim before and one after the final statement, a credit that is waived,
    one that grows, late evidence, a merge, maintenance, an erasure."""
    lines = [
        contract("2026-02-01T00:00:00Z", id="c-1"),
        contract("2026-02-01T00:00:00Z", of="tokyo", zone="Asia/Tokyo", plan="auto", charge=77_777, id="c-2"),
        contract("2026-02-01T00:00:00Z", of="gone", charge=30_000, currency="EUR", id="c-3"),
        maintenance("2026-03-08T00:00:00Z", "2026-03-10T01:00:00Z", "2026-03-10T03:00:00Z", id="m"),
        opened("2026-03-10T00:00:00Z", of="i-1", id="o-1"),
        resolved("2026-03-11T03:00:00Z", of="i-1", id="z-1"),
        opened("2026-03-20T00:00:00Z", of="i-2", tenants=["tokyo"], id="o-2"),
        opened("2026-03-20T01:00:00Z", of="i-3", tenants=["tokyo", "acme"], component="ui", id="o-3"),
        merged("2026-03-20T02:00:00Z", of="i-3", into="i-2", id="g-3"),
        resolved("2026-03-20T06:00:00Z", of="i-2", id="z-2"),
        claimed("2026-03-25T00:00:00Z", "2026-03", id="k-1"),
        amended("2026-04-06T00:00:00Z", of="i-1", restored="2026-03-10T20:00:00Z", id="a-1"),
        amended("2026-04-08T10:00:01.5Z", of="i-2", restored="2026-03-22T00:00:00Z", id="a-2"),
        claimed("2026-04-09T00:00:00Z", "2026-03", of="gone", id="k-2"),
        annulled("2026-04-12T00:00:07Z", of="i-1", id="n-1"),
        opened("2026-04-20T00:00:00Z", of="i-4", tenants=["gone", "acme"], id="o-4"),
        resolved("2026-04-21T12:00:00Z", of="i-4", id="z-4"),
        erased("2026-05-15T00:00:00Z", of="gone", id="e-3"),
        amended("2026-05-20T00:00:00Z", of="i-4", restored="2026-04-22T12:00:00Z", id="a-4"),
    ]
    return [line | {"receivedtime": line["time"]} for line in lines]


@cache
def outputs() -> list[Line]:
    told = run(*history(), until=END, using=plans(), time_limits=LIMITS)
    return [one for one in told if one["type"] in ("credit.statement", "credit.issued")]


class Case(NamedTuple):
    """One changed field of one output, and all outputs with it."""

    index: int
    field: str
    kind: str
    changed: Line


def values(name: str, old: object) -> Iterator[tuple[str, object]]:
    """Other values of a field, each with what kind of change it is."""
    if isinstance(old, bool):
        yield "other", not old
    elif isinstance(old, int | float):
        for kind, value in (("+1", old + 1), ("-1", old - 1), ("negative", -old - 1), ("twice", old * 2 + 2)):
            if value != old:
                yield kind, value
    elif isinstance(old, str) and len(old) > 18 and old[4] == "-" and old[10] == "T":
        for kind, span in (("+1 µs", 1), ("+1 s", SECOND), ("-1 h", -HOUR), ("+1 d", DAY), ("-40 d", -40 * DAY)):
            yield kind, format_rfc3339(parse_rfc3339(old) + span)
    elif name == "month":
        assert isinstance(old, str)
        for value in ("2026-01", "2026-07", old.replace("-0", "-"), f" {old}", f"{old}-01", "2026-13", "next"):
            if value != old:
                yield repr(value), value
    elif name == "status" or name == "cause":
        other = ["provisional", "final", "adjusted"] if name == "status" else ["automatic", "claimed", "adjusted"]
        yield from ((value, value) for value in other if value != old)
    elif name == "currency":
        yield from ((value, value) for value in ("JPY", "usd") if value != old)
    elif name == "percent" or name == "credit_percent":
        yield from ((value, value) for value in ("0", "12.345678", f"{old}0") if value != old)
    elif name == "time_zone":
        yield from ((value, value) for value in ("Europe/Lisbon", "Etc/UTC", "Mars/Base") if value != old)
    elif isinstance(old, str):
        yield "other", "x" + old[1:]
        yield "longer", old + "x"


def fields(value: Any, *path: str | int) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from fields(item, *path, name)
    elif isinstance(value, list):
        for number, item in enumerate(value[:2]):
            yield from fields(item, *path, number)
    else:
        yield path, value


#: Fields of statements that cannot be recomputed: which library was installed is not an event, and the numbers of
#: lines are no positions of a topic. `digest` covers the versions.
NOT_RECOMPUTED = {"data.calendar_version", "data.tzdata_version"}
POSITIONS = ("topic", "partition", "offset")
#: Without these in the schema the line is none; `type` and `specversion` say what it is.
FORM = {"type", "specversion"}


def is_true_as_well(field: str, kind: str, line: Line) -> bool:
    """A provisional statement that is dated at a later one of its instants, where nothing has changed by then, says
    what was true at that instant."""
    return field == "time" and kind == "+1 d" and line["data"].get("status") == "provisional"


def changed_at(value: Any, path: tuple[str | int, ...], new: object) -> Any:
    """A copy with another value in one place; the rest is shared."""
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = changed_at(value[path[0]], path[1:], new)
    return copied


def cases() -> Iterator[Case]:
    """One case for each field of each tenant's statements of a status, or credits of a cause, and each kind of change;
    those of a field that says nothing (0, false, none) apart. The last of several that are alike is tried."""
    found: dict[tuple[object, ...], Case] = {}
    for case, old in all_cases():
        data = outputs()[case.index]["data"]
        found[data.get("status"), data.get("cause"), data["tenant_id"], case.field, case.kind, bool(old)] = case
    yield from found.values()


def all_cases() -> Iterator[tuple[Case, object]]:
    """Each with the value that was there."""
    for index, one in enumerate(outputs()):
        for path, old in fields(one):
            field = ".".join(map(str, path))
            if field in NOT_RECOMPUTED or field in FORM or path[-1] in POSITIONS:
                continue
            name = str(path[-1])
            for kind, value in values(name, old):
                yield Case(index, field, kind, changed_at(one, path, value)), old
        if one["type"] == "credit.statement":
            flagged = changed_at(one, ("data", "flags"), ["unknown_plan"])
            yield Case(index, "data.flags", "more", flagged), one["data"]["flags"]
            yield Case(index, "data.claimable_until", "none", changed_at(one, ("data", "claimable_until"), None)), True


def forged(line: Line, field: str) -> Line:
    """The line with its digest and its id made anew, unless these are what was changed."""
    data = line["data"].copy()
    line = line | {"data": data}
    if line["type"] == "credit.statement":
        if field != "data.digest":
            digest_anew(data)
        parts = "credit.statement", data["tenant_id"], data["month"], data["revision"], data["digest"]
    else:
        parts = "credit.issued", data["tenant_id"], data["month"], data["statement_revision"], data["cause"]
    return line if field == "id" else line | {"id": output_id(*parts)}


def submitted(line: Line) -> Any:
    """The statement or credit of a line; None for one that the schema refuses, which the command says."""
    parsed = from_json(line)
    if isinstance(parsed, Rejection):
        return None
    issued = line["type"] == "credit.issued"
    return submitted_credit(parsed[1]) if issued else submitted_statement(parsed[1], line["data"])


@cache
def unchanged() -> list[Any]:
    return [submitted(line) for line in outputs()]


class Judge:
    """What is wrong with some statements and credits, as the command finds it."""

    def __init__(self, given: list[Any]) -> None:
        self.statements = [one for one in given if not isinstance(one, SubmittedCredit)]
        self.credits = [one for one in given if isinstance(one, SubmittedCredit)]

        self.months = Months(self.statements, Erasures(KEY))

    def alone(self, which: int, credit: bool) -> TermDifference | None:
        if credit:
            one = self.credits[which]
            unknown = None if has_statement(one, self.months.of(one)) else TermDifference("month", "", "not given")
            return check_credit(one, self.months.of(one), plans()) or unknown
        given = self.statements[which]
        return check_alone(given, plans(), self.months.of(given)) or check_id(given)

    def with_events(
        self, which: int, credit: bool, found: dict[int, TermDifference | None], log: ReplayedMonths
    ) -> TermDifference | None:
        """`found` is what each statement differs in from the events, which `log` has applied."""
        if not credit:
            return found[which]
        one = self.credits[which]
        return check_credit(one, self.months.of(one), plans(), log.expected_credits(self.months.of(one)))


def test_the_history_has_what_statements_can_say() -> None:
    told = [one["data"] for one in outputs()]
    assert {one["status"] for one in told if "status" in one} == {"provisional", "final", "adjusted"}
    assert {one["cause"] for one in told if "cause" in one} == {"automatic", "claimed", "adjusted"}
    assert any(one["waived"]["amount_minor"] for one in told if "waived" in one)
    assert any(one["exclusions"] for one in told if "exclusions" in one)
    assert len({one["tenant_id"] for one in told}) == 4


def test_all_of_it_is_verified_as_it_is() -> None:
    judge, lines = Judge(unchanged()), texts(history())
    log = ReplayedMonths(plans(), LIMITS)
    assert set(check_with_events(judge.statements, lines, log).values()) == {None}
    assert {judge.alone(which, False) for which in range(len(judge.statements))} == {None}
    for one in judge.credits:
        of = judge.months.of(one)
        assert check_credit(one, of, plans(), log.expected_credits(of)) is None, one


def with_one(index: int, changed: Any) -> Judge:
    return Judge([*unchanged()[:index], changed, *unchanged()[index + 1 :]])


def name_of(case: Case) -> str:
    data = outputs()[case.index]["data"]
    which = f"{data['tenant_id']} {data['month']} {data.get('status', data.get('cause'))}"
    return f"{case.changed['type']} {which}: {case.field} {case.kind}"


def only_events_tell() -> Iterator[tuple[Case, int, bool, Any]]:
    """The cases that are not found without the events: which statement or credit it is, and what it is changed to."""
    tried = 0
    for case in cases():
        index, field, kind, changed = case
        tried += 1
        if is_true_as_well(field, kind, changed):
            continue
        one = submitted(forged(changed, field))
        if one is None or one == unchanged()[index]:
            assert one is None, f"{field} {kind} changes nothing"
            continue
        credit = changed["type"] == "credit.issued"
        which = sum(each["type"] == changed["type"] for each in outputs()[:index])
        if with_one(index, one).alone(which, credit) is None:
            yield case, which, credit, one
    assert tried > 1_000


def rounds(waiting: list[tuple[Case, int, bool, Any]]) -> Iterator[list[tuple[Case, int, bool, Any]]]:
    """The cases in as few rounds as may be. In each, one statement or credit of a month is changed at most: nothing of
    a month follows from the statements of another."""
    while waiting:
        chosen: dict[object, tuple[Case, int, bool, Any]] = {}
        for each in waiting:
            data = outputs()[each[0].index]["data"]
            changed = each[0].changed["data"]
            assert (changed["tenant_id"], changed["month"]) == (data["tenant_id"], data["month"]), name_of(each[0])
            chosen.setdefault((data["tenant_id"], data["month"]), each)
        yield [*chosen.values()]
        waiting = [each for each in waiting if each not in [*chosen.values()]]


def test_each_change_of_one_field_is_named() -> None:
    lines, missed = texts(history()), []
    for chosen in rounds([*only_events_tell()]):
        given = list(unchanged())
        for case, _, _, one in chosen:
            given[case.index] = one
        judge, log = Judge(given), ReplayedMonths(plans(), LIMITS)
        found = check_with_events(judge.statements, lines, log)
        missed += [
            name_of(case) for case, which, credit, _ in chosen if judge.with_events(which, credit, found, log) is None
        ]
    assert not missed, "\n".join(missed)
