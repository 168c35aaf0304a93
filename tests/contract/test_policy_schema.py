"""The published JSON Schema of policy files: it is current, describes every key, and fits what is shipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streams.config_files.yaml_reader import read_placed
from streams.policy.json_schema import policy_schema, rendered
from streams.policy.load import default_policies_dir, filled_in, read_document

COMMITTED = Path(__file__).resolve().parents[2] / "schemas" / "policy.schema.json"
SHIPPED = sorted(default_policies_dir().glob("*/*.yaml"))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(COMMITTED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_committed_schema_is_the_generated_one() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == rendered(), (
        "run: python -m streams.policy.json_schema > schemas/policy.schema.json"
    )


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_policies_fit_the_schema_as_written_and_filled_in(
    validator: jsonschema.Draft202012Validator, path: Path
) -> None:
    validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    validator.validate(filled_in(read_document(path)))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_other_yaml_readers_read_shipped_policies_alike(path: Path) -> None:
    assert read_placed(path).data == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_every_key_is_described_and_every_default_told() -> None:
    for name, key in _keys(policy_schema()):
        assert key.get("description"), f"{name} has no description"
        if "default" in key:
            assert "Default: " in key["description"], f"{name} does not tell its default"


def _keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for owner, model in [("policy", schema), *schema["$defs"].items()]:
        for name, key in model["properties"].items():
            yield f"{owner}.{name}", key


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rulez",), []),
        (("version",), 1),
        (("severities", "P1", "response"), {"within": "P1M"}),
        (("severities", "P1", "response"), {"within": "PT0S"}),
        (("severities", "P1", "response"), {"within": "PT1H", "business_days": 1}),
        (("severities", "P1", "updates"), {}),
        (("severities", "P1", "warn_at"), [1]),
        (("severities", "P5"), {"response": None}),
        (("components", "A B"), {"title": {"en": "A", "ja": "B"}, "covered": True, "guaranteed": True}),
        (("calendar", "hours"), {"mon-fri": "9-17"}),
        (("calendar", "hours"), {"mon-fry": "09:00-17:00"}),
        (("calendar", "hours"), {}),
        (("guarantee", "percent"), 99.9),
        (("guarantee", "percent"), "100.5"),
        (("downtime", "impacts"), ["cosmetic", "cosmetic"]),
        (("credit", "step"), "full"),
        (("statements", "provisional_every"), "PT0.5S"),
        (("rules",), [{"name": "a", "when": {"tier": [4]}, "severity": "P1"}]),
    ],
    ids=str,
)
def test_the_schema_refuses_what_editors_should_underline(
    validator: jsonschema.Draft202012Validator, path: tuple[str, ...], value: object
) -> None:
    document: Any = filled_in(read_document(default_policies_dir() / "scalr-emergency" / "1.yaml"))
    inner = document
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    assert not validator.is_valid(document)
