"""What `sla --version` says: the release, the commit that it was built from, and the clients of Kafka that it uses."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

#: `git archive`, from which releases are built, writes the commit here (.gitattributes).
_ARCHIVED = "$Format:%H$"
_CHECKOUT = Path(__file__).parents[2]
_SHOWN = 12


def build_facts() -> dict[str, str]:
    """By name, in the order in which they are shown."""
    clients = ("aiokafka", "kafka-python", "faust-streaming")
    return {
        "sla": version("sla-clocks"),
        "commit": commit(),
        "Python": platform.python_version(),
        **{name: version(name) for name in clients},
    }


def commit() -> str:
    """The commit that this was built from, or that a checkout is at; "unknown" where neither can be told."""
    if not _ARCHIVED.startswith("$"):
        return _ARCHIVED[:_SHOWN]
    if not (_CHECKOUT / ".git").exists():
        return "unknown"
    try:
        command = ["git", "-C", str(_CHECKOUT), "describe", "--always", "--dirty", f"--abbrev={_SHOWN}", "--exclude=*"]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
