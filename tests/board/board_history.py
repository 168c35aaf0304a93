"""A history of fourteen months at several tenants, told in lines as `sla publish` takes them, up to `NOW`.

What tests of the board may count on, all by their ids: `open-p1` (platform-wide outage that nobody has answered, its
response deadline is ahead), `late-p1` (answered too late, then silent: breaches), `waiting` (a customer is waited for),
`merged` (into `open-p1`), `annulled`, `reopened`, `hostile` (its component and summary are markup), `linked` (a ticket
and a call), `by-hand` (severity set by hand), and `inc-1` to `inc-240` at random, a score of them open.
"""

from __future__ import annotations

from random import Random  # noqa: TID251 -- seeded, so that every run has the same history
from typing import Any, Final

from story import (
    Line,
    amended,
    annulled,
    claimed,
    contract,
    linked,
    maintenance,
    maintenance_cancelled,
    merged,
    opened,
    reclassified,
    reopened,
    requested,
    resolved,
    responded,
    severity_set,
    texts,
    updated,
    waiting,
)

from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339, parse_rfc3339

NOW: Final = parse_rfc3339("2026-11-20T12:00:00Z")
START: Final = parse_rfc3339("2025-10-01T00:00:00Z")
TENANTS: Final = ("acme", "globex", "initech", "umbrella", "hooli")
MARKUP: Final = "<script>alert('x')</script>"
_COMPONENTS = ("api", "ui", "auto_scaling", "auto_healing", "guest_agent", "backups", "cron")
_IMPACTS = ("complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic")
_WEIGHTS = (12, 12, 20, 30, 26)
_SUMMARIES = (
    "Requests to the API fail with errors 502 and 503.",
    "The dashboard loads slowly.",
    "New servers are not started.",
    "エージェントが応答しません。",
    "A label is misspelt.",
)


def at(micros: int) -> str:
    return format_rfc3339(micros)


def story(incidents: int = 240, seed: int = 7) -> list[str]:
    """The history as JSON lines, in the order of arrival."""
    random = Random(seed)
    lines: list[Line] = [*_contracts(), *_maintenance(), *_told()]
    for number in range(1, incidents + 1):
        lines += _incident(random, f"inc-{number}", number > incidents - incidents // 12)
    for month, tenant, day in (("2026-06", "acme", "2026-07-10"), ("2026-06", "globex", "2026-07-12")):
        lines.append(claimed(f"{day}T08:00:00Z", month, of=tenant))
    lines.append(claimed(at(NOW - 2 * DAY), "2026-03", of="acme"))  # too late
    lines = [line for line in lines if parse_rfc3339(line["time"]) <= NOW]
    lines.sort(key=lambda line: line.get("receivedtime", line["time"]))
    return texts(lines)


def _contracts() -> list[Line]:
    before = at(START - 30 * DAY)
    lines = [
        contract(before, of=tenant, charge=100_000 * (number + 1), tier=number % 3 + 1)
        for number, tenant in enumerate(TENANTS[:4])
    ]
    lines.append(contract(before, of="hooli", charge=5_000_000, currency="JPY", zone="Asia/Tokyo", tier=1))
    lines.append(contract(at(NOW - 200 * DAY), of="acme", charge=150_000, tier=1))
    return lines


def _maintenance() -> list[Line]:
    begin = NOW - 100 * DAY
    window = {"components": ["api", "ui"]}
    return [
        maintenance(at(begin - 7 * DAY), at(begin), at(begin + 2 * HOUR), of="m-1", **window),
        maintenance(at(NOW - 9 * DAY), at(NOW + 2 * DAY), at(NOW + 2 * DAY + HOUR), of="m-2", tenants=["acme"]),
        maintenance(at(NOW - 60 * DAY), at(NOW - 50 * DAY), at(NOW - 50 * DAY + HOUR), of="m-3"),
        maintenance_cancelled(at(NOW - 55 * DAY), of="m-3"),
    ]


def _told() -> list[Line]:
    """The incidents with names of their own."""
    minutes = {n: at(NOW - n * MINUTE) for n in range(0, 600)}
    hostile = opened(minutes[500], "cosmetic", component=MARKUP, tenants=["acme"], of="hostile")
    hostile["data"]["summary"] = f"{MARKUP} & \"quotes\" 'too'"
    hostile["data"]["ticket_id"] = MARKUP
    open_p1 = opened(minutes[70], of="open-p1")
    open_p1["data"]["summary"] = _SUMMARIES[0]
    month = 30 * DAY
    lines = [
        open_p1,
        opened(minutes[400], of="late-p1", tenants=["globex"]),
        responded(minutes[250], of="late-p1"),
        updated(minutes[200], of="late-p1"),
        opened(minutes[300], "material_aspect", of="waiting", tenants=["acme"]),
        responded(minutes[290], of="waiting"),
        waiting(minutes[280], of="waiting"),
        opened(minutes[60], of="merged", tenants=["initech"]),
        merged(minutes[40], into="open-p1", of="merged"),
        opened(at(NOW - 3 * DAY), of="annulled", tenants=["umbrella"]),
        annulled(at(NOW - 2 * DAY), of="annulled"),
        opened(at(NOW - 5 * DAY), "material_aspect", of="reopened", tenants=["acme"]),
        responded(at(NOW - 5 * DAY + HOUR), of="reopened"),
        resolved(at(NOW - 4 * DAY), of="reopened"),
        reopened(at(NOW - HOUR), of="reopened"),
        hostile,
        opened(minutes[180], "processing_delay", of="linked", tenants=["hooli"], channel="ticket"),
        linked(minutes[170], "T-77", of="linked"),
        opened(minutes[120], "processing_delay", of="by-hand", tenants=["globex"]),
        severity_set(minutes[110], "P1", of="by-hand"),
        # A full outage of hours in a past month, for a credit to the cent; corrected with four eyes afterwards.
        opened(at(NOW - 5 * month), of="outage", tenants=["acme", "globex"], started=at(NOW - 5 * month - HOUR)),
        responded(at(NOW - 5 * month + 30 * MINUTE), of="outage"),
        resolved(at(NOW - 5 * month + 20 * HOUR), of="outage"),
        amended(at(NOW - 4 * month), restored=at(NOW - 5 * month + 16 * HOUR), of="outage"),
    ]
    # Rejected: one person for four eyes, an unknown status, and a fact of an incident that is never opened.
    mistaken = annulled(minutes[30], of="open-p1")
    mistaken["data"]["approver"] = mistaken["data"]["who"]
    too_late = updated(at(NOW - 80 * DAY), of="open-p1", received=at(NOW - 20 * MINUTE))
    return [*lines, mistaken, too_late, responded(at(NOW - 2 * DAY), of="never-opened")]


def _incident(random: Random, name: str, recent: bool) -> list[Line]:
    begin = (
        NOW - random.randrange(0, 10 * HOUR, MINUTE)
        if recent
        else START + random.randrange(0, NOW - 2 * DAY - START, MINUTE)
    )
    (impact,) = random.choices(_IMPACTS, _WEIGHTS)
    platform = random.random() < 0.08
    tenants = None if platform else random.sample(TENANTS, random.choice((1, 1, 1, 2)))
    ticket = impact in _IMPACTS[3:]
    first = opened(
        at(begin),
        impact,
        component=random.choice(_COMPONENTS),
        tenants=tenants,
        channel="ticket" if ticket else random.choice(("monitor", "phone")),
        of=name,
    )
    first["data"]["summary"] = random.choice(_SUMMARIES)
    if ticket:
        first["data"]["ticket_id"] = f"T-{name.removeprefix('inc-')}"
    lines: list[Line] = [first]
    moment = begin + random.randrange(0, 3 * HOUR, MINUTE)
    lines.append(responded(at(moment), of=name))
    end = moment + random.randrange(0, 6 * HOUR, MINUTE) + HOUR
    while (moment := moment + random.randrange(20, 100) * MINUTE) < end:
        lines.append(updated(at(moment), of=name))
        lines[-1]["data"]["text"] = random.choice(_SUMMARIES)
    lines += _turns(random, name, begin, end)
    if recent:
        return lines[: random.randrange(1, 4)]
    return [*lines, resolved(at(end), of=name)]


def _turns(random: Random, name: str, begin: int, end: int) -> list[Line]:
    middle: dict[str, Any] = {"time": at(begin + (end - begin) // 2), "of": name}
    match random.randrange(8):
        case 0:
            return [reclassified(middle["time"], of=name, impact=random.choice(_IMPACTS))]
        case 1:
            return [severity_set(severity=random.choice(("P1", "P2", "P3")), **middle)]
        case 2:
            return [requested(**middle)]
        case _:
            return []
