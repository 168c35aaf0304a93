"""Checking a configuration file takes time in proportion to its size, however wrong it is; the size is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from policy_sample import SMALL

from connect.intake.mapping_file import MappingError, load_mapping
from connect.notify.routing.file import RoutingError, load_routing
from streams.config_files import yaml_reader
from streams.config_files.problems import PolicyError
from streams.policy.load import load_policy

#: CPU seconds for half a megabyte and more. PyYAML's pure reader alone takes 15 s or more; what is quadratic, minutes.
BUDGET_S = 8.0
SIZE = 600_000


@contextmanager
def within_budget() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < BUDGET_S


def entries(form: str) -> str:
    count = SIZE // len(form.format(10_000))
    return "".join(form.format(10_000 + number) for number in range(count))


def policy_of(components: str) -> str:
    return SMALL.replace(
        "rules:", f"rules:\n  - name: big\n    when: {{component: [{components}]}}\n    severity: P1", 1
    )


SOURCE = """  {}:
    format: alertmanager
    secrets: [{{env: A}}]
    component: [{{value: api}}]
    impact: [{{value: complete_outage}}]
    tenants: [{{value: acme}}]
"""


def source(more: str) -> str:
    return "version: 1\nsources:\n" + SOURCE.format("alerts") + more


ROUTING = "version: 1\ndestinations:\n  ops: {kind: slack, secret: {env: A}}\nroutes:\n"


@pytest.mark.parametrize(
    ("written", "load", "error"),
    [  # Texts are made in the test: every test process collects them all.
        pytest.param(lambda: policy_of(entries("c{}, ")), load_policy, PolicyError, id="undeclared components"),
        pytest.param(
            lambda: SMALL + "others:\n" + entries("  - c{}\n"), load_policy, PolicyError, id="an unknown list"
        ),
        pytest.param(
            lambda: source("    only_tenants: [" + entries("t{}, ") + "]\n"), load_mapping, None, id="tenants"
        ),
        pytest.param(
            lambda: source("    ignore:\n" + entries("      - {{no.x: t{}}}\n")), load_mapping, MappingError, id="paths"
        ),
        pytest.param(
            lambda: source("    tier:\n" + entries("      - {{value: t{}}}\n")), load_mapping, MappingError, id="tiers"
        ),
        pytest.param(
            lambda: "version: 1\nsources:\n" + entries(SOURCE.replace("{}", "a{}") + "    only_tenants: [acme]\n"),
            load_mapping,
            None,
            id="sources",
        ),
        pytest.param(
            lambda: ROUTING + "  - to: [" + entries("ops{}, ") + "]\n", load_routing, RoutingError, id="destinations"
        ),
        pytest.param(
            lambda: ROUTING + entries("  - {{sent_to: ops{}}}\n"), load_routing, RoutingError, id="unknown keys"
        ),
    ],
)
def test_half_a_megabyte_is_checked_within_seconds(
    tmp_path: Path, written: Callable[[], str], load: Callable[[Path], object], error: type[PolicyError] | None
) -> None:
    text = written()
    assert len(text) > 0.9 * SIZE
    file = tmp_path / "large.yaml"
    file.write_text(text, encoding="utf-8")
    with within_budget():
        if error is None:
            assert load(file)
        else:
            with pytest.raises(error) as caught:
                load(file)
            assert 0 < len(caught.value.problems) <= 2 * yaml_reader.MOST_PROBLEMS + 1
            assert ("there may be more problems" in str(caught.value)) is (len(caught.value.problems) > 1)
            assert len(str(caught.value)) < SIZE


def test_a_large_file_that_is_not_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("all:\n" + entries("  - c{}\n") + "  - [\nrest: {\n", encoding="utf-8")
    with within_budget():
        placed = yaml_reader.read_placed(file)
    (problem,) = placed.problems
    assert problem.place.line == file.read_text().count("\n") + 1
    assert "this is not YAML" in problem.what


def test_a_file_above_a_megabyte_is_refused_by_its_size(tmp_path: Path) -> None:
    file = tmp_path / "larger.yaml"
    file.write_text("version: 1\nall: [" + "a, " * 500_000 + "]\n", encoding="utf-8")
    (problem,) = yaml_reader.read_placed(file).problems
    assert problem.what == f"the file has {file.stat().st_size} bytes; allowed: at most 1048576"


@pytest.mark.parametrize(
    "text",
    [
        SMALL,
        "é: [日本, {x: y}]\r\n語: >\n  a\n\n  b\n? [k]\n: v\n\"q\": 'x'\ntrue: 0o17\n<<: {a: 1}\nb: !foo 12:30\nb: ~\n",
        "a: [1, 2",
        "a: 'x\nb: c",
        "a:\n\t- b",
        'a: "\\q"',
        "a: b: c",
    ],
)
def test_the_fast_reader_finds_the_same_at_the_same_places_as_the_pure_one(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    assert yaml_reader.FAST_LOADER is yaml.CSafeLoader
    fast = yaml_reader.read_placed(file)
    monkeypatch.setattr(yaml_reader, "FAST_LOADER", yaml.SafeLoader)
    assert fast == yaml_reader.read_placed(file)
    assert fast.places or fast.problems


@pytest.mark.parametrize("loader", [yaml.CSafeLoader, yaml.SafeLoader])
def test_an_escape_beyond_unicode_is_a_problem_of_the_file(
    tmp_path: Path, loader: type[yaml.SafeLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_reader, "FAST_LOADER", loader)
    file = tmp_path / "escape.yaml"
    file.write_text('version: 1\nsources: {"\\U00110000": 1}\n', encoding="utf-8")
    (problem,) = yaml_reader.read_placed(file).problems
    assert "this is not YAML: " in problem.what
