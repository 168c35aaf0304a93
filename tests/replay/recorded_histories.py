"""What the golden histories are, how one is run, and what of its output a library update may change."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.serde.cloudevents_json import format_line
from streams.sla.instants import parse_rfc3339
from streams.sla.policy import Policies

HERE = Path(__file__).parent

#: Versions of libraries, and the digest that covers them: the same history told with newer tables of zones is the same.
LIBRARY_FIELDS = ("calendar_version", "tzdata_version", "digest")


class Golden(NamedTuple):
    """A recorded input NAME.in.jsonl, and how it was run."""

    name: str
    until: str | None = None
    backfill: bool = False
    policy: str = "scalr-emergency"

    @property
    def input(self) -> Path:
        return HERE / f"{self.name}.in.jsonl"

    @property
    def output(self) -> Path:
        return HERE / f"{self.name}.out.jsonl"

    def play(self) -> bytes:
        """What the product says to the recorded input now."""
        policies = Policies.of(load_policies(default_policies_dir()), self.policy)
        lines = self.input.read_text(encoding="utf-8").splitlines()
        until = None if self.until is None else parse_rfc3339(self.until)
        return written(simulate(lines, policies, until=until, backfill=self.backfill))


GOLDENS = [
    Golden("outage", "2026-07-15T00:00:00Z"),
    Golden("late-evidence", "2026-03-03T00:00:00Z"),
    Golden("severity-changes", "2026-03-06T00:00:00Z"),
    Golden("several-tenants", "2026-04-10T00:00:00Z", policy="code-hosting"),
    Golden("daylight-saving", "2026-04-10T00:00:00Z"),
    Golden("claimed-and-waived", "2026-05-01T00:00:00Z"),
    Golden("erased", "2026-04-20T00:00:00Z"),
    Golden("backfill", "2026-04-10T00:00:00Z", backfill=True),
    Golden("rejected", "2026-03-04T00:00:00Z"),
]


def written(outputs: Iterable[dict[str, object]]) -> bytes:
    """Outputs as lines, with a dash in place of what a library update changes."""
    lines = []
    for output in outputs:
        record = json.loads(format_line(output))
        if record["type"] == "credit.statement":
            # A statement's id names what it says, and says the digest; the digest has tests of its own.
            record["id"] = "-"
            record["data"] |= dict.fromkeys(LIBRARY_FIELDS, "-")
        lines.append(format_line(record) + "\n")
    return "".join(lines).encode()
