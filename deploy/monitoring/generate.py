"""`python -m deploy.monitoring.generate [--check]` writes what follows from the tables of monitoring, or checks it.

That is docs/metrics.md from the table of metrics, the alert rules of Prometheus and of its operator from rules.py, and
the dashboards of Grafana from dashboards.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from cli.settings.generated_files import write_or_check
from deploy.monitoring import dashboards, metrics_table, rules

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
    return write_or_check(files(), "deploy.monitoring.generate", check="--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
