"""What each serving command has imported by the time it serves: processes of tests start from there."""

from __future__ import annotations

WORKED_OUT = "tests.preloaded.worked_out"
IMPORTS = {
    "worker": (
        WORKED_OUT,
        "cli.main",
        "cli.services.worker",
        "agents.worker",
        "faust.assignor.leader_assignor",
        "faust.tables.manager",
    ),
    "intake": (WORKED_OUT, "cli.main", "cli.services.intake", "connect.intake.service"),
    "notify": (WORKED_OUT, "cli.main", "cli.services.notify", "connect.notify.service"),
    "board": (WORKED_OUT, "cli.main", "cli.services.board", "board.service", "sqlite3"),
}
