"""The published JSON Schema of a policy file: `python -m streams.policy.json_schema > schemas/policy.schema.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from streams.policy.document import PolicyDocument
from streams.policy.targets import SparseKeys


def policy_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12. It covers keys, formats and enumerations; `sla policy check` checks the rest too."""
    body = PolicyDocument.model_json_schema()
    for model in SparseKeys.__subclasses__():
        for key in body["$defs"][model.__name__]["properties"].values():
            _without_null(key)
    _tidy(body)
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "urn:sla-clocks:schema:policy",
        "title": "Support policy",
        **body,
    }


def _without_null(key: dict[str, Any]) -> None:
    """A key that is absent by default either has a value or is left out: null is not allowed."""
    if key.get("default", "") is None:
        del key["default"]
    if "anyOf" in key:
        key.update(key.pop("anyOf")[0])


def _tidy(node: Any) -> None:
    """Drops the titles pydantic invents; closes mappings with patterned keys; forbids repetition in plain lists."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
        return
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str):
        del node["title"]
    if "patternProperties" in node:
        node["additionalProperties"] = False
    if node.get("type") == "array" and "$ref" not in node["items"]:
        node["uniqueItems"] = True
    for value in node.values():
        _tidy(value)


def rendered() -> str:
    """The text of the committed file."""
    return json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(rendered())
