"""What is made for monitoring: generated files are current, name only metrics that exist, and every rule has a
runbook."""

from __future__ import annotations

import re

import pytest
import yaml

from cli.settings.generated_files import ROOT
from deploy.monitoring import dashboards, generate
from deploy.monitoring.metrics_table import exported_name, series_names
from deploy.monitoring.rules import RULES, RUNBOOKS, Rule
from streams.metrics import ALL
from streams.runtime.errors import RecordFailed, TaskHalted, TimersFailed, WorkerRefused

FILES = generate.files()
PANELS = [panel for each in dashboards.DASHBOARDS for row in each.rows.values() for panel in row]
#: What every process has beside the table of metrics (`streams.metrics.measure_process`).
OF_THE_PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
}
OF_PROMETHEUS = {"instance", "job", "le"}
HEADS = ["## Signs", "## Cause", "## Check", "## What to do", "## Escalate"]
RUNBOOK_FILES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


def series_in(expression: str) -> set[str]:
    """The names of series in PromQL: label matchers and the arguments of `by` and `on` left out."""
    bare = re.sub(r"\{[^}]*\}|\b(?:by|on) \([^)]*\)", "", expression)
    return set(re.findall(r"\b(?:sla|process)_[a-z_]+\b", bare))


@pytest.mark.parametrize("name", FILES)
def test_generated_files_are_current(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == FILES[name], "run python -m deploy.monitoring.generate"


def test_every_metric_has_its_process_and_its_row() -> None:
    table = FILES["docs/metrics.md"]
    for name in ("sla_breaches_total", "sla_open_incidents", "sla_task_lag_records", "sla_notify_up"):
        assert table.count(f"| `{name}` |") == 1
    heads = [line for line in table.splitlines() if line.startswith("## ")]
    assert len(heads) == len(set(heads)) == 6


def test_rules_and_dashboards_name_only_metrics_that_exist() -> None:
    known = series_names() | OF_THE_PROCESS
    named = {name: series_in(rule.expression) for rule in RULES for name in [rule.name]}
    named |= {panel.title: set().union(*map(series_in, panel.queries.values())) for panel in PANELS}
    assert {name: found - known for name, found in named.items() if found - known} == {}
    assert all(named.values()), "a rule or panel without a metric"
    assert set().union(*named.values()) >= OF_THE_PROCESS, "an exception that is not needed any more"


def labels_in(expression: str) -> set[str]:
    """The labels that PromQL matches, groups or joins by."""
    found = set(re.findall(r"(\w+)=~?\"", expression))
    for names in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        found |= {name.strip() for name in names.split(",")}
    return found


def test_rules_and_dashboards_name_only_labels_that_their_metrics_have() -> None:
    has = {exported_name(metric): set(metric.labels) for metric in ALL}
    queries = {rule.name: rule.expression for rule in RULES}
    queries |= {f"{panel.title} {legend}": query for panel in PANELS for legend, query in panel.queries.items()}
    wrong = {}
    for name, query in queries.items():
        metrics = {re.sub("_(bucket|sum|count)$", "", series) for series in series_in(query)}
        known = set().union(*(has.get(each, set()) for each in metrics)) | OF_PROMETHEUS
        if labels_in(query) - known:
            wrong[name] = labels_in(query) - known
    assert wrong == {}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_has_its_runbook(rule: Rule) -> None:
    text = (ROOT / "docs" / "runbooks" / rule.runbook).read_text("utf-8")
    assert text.startswith(f"# {rule.name}: ")
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADS
    assert all(len(section.strip().split("\n", 1)[-1]) > 20 for section in text.split("\n## ")[1:])


def test_the_list_of_alerts_in_the_operations_document_is_complete() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    listed = re.findall(r"^\| \[(Sla\w+)\]\(runbooks/([a-z-]+\.md)\) \| (\w+) \| (.*) \|$", text, re.MULTILINE)
    assert [row[:3] for row in listed] == [(rule.name, rule.runbook, rule.severity) for rule in RULES]
    summaries = {rule.name: re.sub(r"\{\{ \$(?:labels\.)?(\w+) \}\}", r"*\1*", rule.summary) for rule in RULES}
    assert {row[0]: row[3] for row in listed} == summaries


def test_the_guide_says_what_to_do_about_every_error_that_halts_a_task() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    table = text[text.index("### A halted task") : text.index("### A recreated topic")]
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE))))
    halts = {each.__name__ for each in TaskHalted.__subclasses__()} - {WorkerRefused.__name__}
    assert explained >= {*halts, RecordFailed.__name__, TimersFailed.__name__}


def test_every_runbook_has_its_rule_and_names_are_unique() -> None:
    assert [path.name for path in RUNBOOK_FILES] == sorted({rule.runbook for rule in RULES})
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_prometheus_and_its_operator_get_the_same_rules() -> None:
    rules = yaml.safe_load(FILES["deploy/monitoring/rules.yaml"])
    assert yaml.safe_load(FILES[f"{generate.COMPONENT}/prometheus-rule.yaml"])["spec"] == rules
    found = [each for group in rules["groups"] for each in group["rules"]]
    assert [each["annotations"]["runbook_url"] for each in found] == [RUNBOOKS + rule.runbook for rule in RULES]


def test_panels_do_not_overlap_and_fit_into_the_columns() -> None:
    for each in dashboards.DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        panels = dashboards.as_data(each)["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        for panel in panels:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells
