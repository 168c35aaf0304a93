"""Policies with which a test sees within seconds what an approved proposal changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from streams.policy.load import default_policies_dir

#: Statements follow at once, and every incident is P4, which has few clocks. `PATIENT` gives it a quarter to respond.
BILLED_AT_ONCE, PATIENT = "billed-at-once", "patient"


def write_policies(directory: Path) -> Path:
    """The policies that are shipped, and these two."""
    shutil.copytree(default_policies_dir(), directory)
    shipped = yaml.safe_load((directory / "scalr-emergency" / "1.yaml").read_text(encoding="utf-8"))
    times = {"grace": "PT1S", "adjust_after": "PT1S"}
    soon = shipped | {"policy": BILLED_AT_ONCE, "rules": [], "default_severity": "P4", "statements": times}
    late = soon["severities"] | {"P4": soon["severities"]["P4"] | {"response": {"within": "P90D"}}}
    for policy in (soon, soon | {"policy": PATIENT, "severities": late}):
        (directory / policy["policy"]).mkdir()
        text = yaml.safe_dump(policy, allow_unicode=True)
        (directory / policy["policy"] / "1.yaml").write_text(text, encoding="utf-8")
    return directory
