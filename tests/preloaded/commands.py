"""What each serving command has imported by the time it serves: processes of tests start from there."""

from __future__ import annotations

IMPORTS = {
    "worker": (
        "cli.main",
        "cli.services.worker",
        "agents.worker",
        "faust.assignor.leader_assignor",
        "faust.tables.manager",
    ),
    "intake": ("cli.main", "cli.services.intake", "connect.intake.service"),
    "notify": ("cli.main", "cli.services.notify", "connect.notify.service"),
    "board": ("cli.main", "cli.services.board", "board.service", "sqlite3"),
}
