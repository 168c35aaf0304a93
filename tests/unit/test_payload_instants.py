"""R5: instants in a payload lie at most the lateness horizon before and the skew after their event's own time."""

from __future__ import annotations

import pytest
from story import Line, amended, contract, maintenance, opened, reopened, resolved, run, tell

from streams.sla.arrival import TimeLimits
from streams.sla.instants import DAY, MINUTE

AT = "2026-05-10T12:00:00Z"
OPENED, EARLIER = opened("2026-05-10T10:00:00Z"), resolved("2026-05-10T11:00:00Z", id="earlier")


def rejects(*lines: Line, time_limits: TimeLimits | None = None, backfill: bool = False) -> list[str]:
    return tell(run(*lines, time_limits=time_limits, backfill=backfill), "rejected")


@pytest.mark.parametrize("backfill", [False, True])
@pytest.mark.parametrize(
    ("instant", "code"),
    [
        ("1970-01-01T00:00:00Z", "too_late"),
        ("2026-04-05T11:59:59.999999Z", "too_late"),
        ("2026-04-05T12:00:00Z", None),
        ("2026-05-10T12:05:00Z", None),
        ("2026-05-10T12:05:00.000001Z", "future"),
        ("9999-01-01T00:00:00Z", "future"),
    ],
)
def test_r5_reported_instants_have_horizons(instant: str, code: str | None, backfill: bool) -> None:
    for number, lines in enumerate(
        (
            [opened(AT, started=instant)],
            [OPENED, resolved(AT, restored=instant)],
            [OPENED, EARLIER, reopened(AT, started=instant)],
        ),
        1,
    ):
        expected = [] if code is None else [f"rejected {code} line {number}"]
        assert rejects(*lines, backfill=backfill) == expected


@pytest.mark.parametrize(
    ("times", "code"),
    [
        ({"started": "1970-01-01T00:00:00Z"}, None),
        ({"started": "2020-01-01T00:00:00Z", "restored": "2020-01-02T00:00:00Z"}, None),
        ({"restored": "2026-05-10T12:05:00Z"}, None),
        ({"restored": "2026-05-10T12:05:01Z"}, "future"),
        ({"started": "9999-01-01T00:00:00Z"}, "future"),
        ({"started": "2020-01-01T00:00:00Z", "restored": "9999-01-01T00:00:00Z"}, "future"),
    ],
)
def test_r5_an_amendment_reaches_back_without_end_and_never_ahead(times: dict[str, str], code: str | None) -> None:
    assert rejects(OPENED, amended(AT, **times)) == ([] if code is None else [f"rejected {code} line 2"])


def test_r5_the_horizons_are_the_settings() -> None:
    limits = TimeLimits(lateness=2 * DAY, future_skew=MINUTE)
    assert rejects(opened(AT, started="2026-05-08T12:00:00Z"), time_limits=limits) == []
    assert rejects(opened(AT, started="2026-05-08T11:59:00Z"), time_limits=limits) == ["rejected too_late line 1"]
    assert rejects(opened(AT, started="2026-05-10T12:02:00Z"), time_limits=limits) == ["rejected future line 1"]


def test_r5_a_reject_says_which_instant_and_what_to_do() -> None:
    outputs = run(opened(AT, started="1970-01-01T00:00:00Z"))
    (message,) = [each["data"]["message"] for each in outputs if each["type"] == "sla.rejected"]
    for words in ("started_at 1970-01-01T00:00:00Z", "35 days", AT, "incident.amended"):
        assert words in message


def test_r5_contracts_and_maintenance_name_what_is_to_come() -> None:
    lines = [contract(AT, "2031-01-01T00:00:00Z"), maintenance(AT, "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z")]
    assert rejects(*lines) == []
