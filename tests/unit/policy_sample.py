"""A small valid policy that tests change, and the way to write it down."""

from pathlib import Path

SMALL = """\
policy: small
version: "1"
title: {en: Small, ja: 小}
components:
  api: {title: {en: API, ja: API}, covered: true, guaranteed: true}
severities:
  P1:
    response: {within: PT2H}
    updates: {every: PT1H}
  P2: {response: {within: PT4H}}
  P3: {response: null}
  P4: {response: {business_days: 1}}
rules:
  - {name: outage, when: {impact: [complete_outage]}, severity: P1}
  - {name: rest, when: {}, severity: P3}
calendar: {hours: {mon-fri: "09:00-17:00"}}
"""


def write(tmp_path: Path, text: str, name: str = "small.yaml") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
