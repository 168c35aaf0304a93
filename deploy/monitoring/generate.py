"""`python -m deploy.monitoring.generate [--check]` writes what follows from the tables of monitoring, or checks it.

That is docs/metrics.md from the table of metrics, the alert rules of Prometheus and of its operator from rules.py, and
the dashboards of Grafana from dashboards.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.monitoring import dashboards, metrics_table, rules

ROOT: Final = Path(__file__).resolve().parents[2]
#: kustomize reads no files outside of a component's folder, so dashboards are there, and compose mounts that folder.
COMPONENT: Final = "deploy/k8s/components/monitoring"
DASHBOARDS: Final = f"{COMPONENT}/dashboards"
_WRITTEN: Final = "# Written by `python -m deploy.monitoring.generate` from deploy/monitoring/rules.py.\n"


def files() -> Mapping[str, str]:
    """Path from the root and text of each generated file."""
    found = {
        "docs/metrics.md": metrics_table.document(),
        "deploy/monitoring/rules.yaml": _yaml(rules.as_data()),
        f"{COMPONENT}/prometheus-rule.yaml": _yaml(
            {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "PrometheusRule",
                "metadata": {"name": "sla"},
                "spec": rules.as_data(),
            }
        ),
    }
    for each in dashboards.DASHBOARDS:
        text = json.dumps(dashboards.as_data(each), indent=1, ensure_ascii=False)
        found[f"{DASHBOARDS}/{each.uid}.json"] = f"{text}\n"
    return found


def _yaml(data: Mapping[str, Any]) -> str:
    return _WRITTEN + yaml.safe_dump(data, sort_keys=False, width=10_000)


def main(arguments: Sequence[str]) -> int:
    """Write all files, or with --check say which differ; the exit code."""
    code = 0
    for name, text in files().items():
        path = ROOT / name
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{name} is out of date: run python -m deploy.monitoring.generate")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
