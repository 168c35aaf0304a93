"""Kafka clients are constructed in streams/kafka alone; only its patches import private parts of the libraries."""

from __future__ import annotations

import ast
from pathlib import Path

from test_layers import MODULES, ROOT, parsed, wrong_in

from streams.package_conflicts import PACKAGES

KAFKA = ROOT / "streams" / "kafka"
PRODUCT = [path for path in MODULES if path.relative_to(ROOT).parts[0] in PACKAGES]
OUTSIDE = [path for path in PRODUCT if not path.is_relative_to(KAFKA)]
CLIENTS = {
    "AIOKafkaAdminClient",
    "AIOKafkaClient",
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "KafkaAdminClient",
    "KafkaClient",
    "KafkaConsumer",
    "KafkaProducer",
}


def mentioned(module: ast.Module) -> set[str]:
    """Names that the code uses, in imports, attributes and calls; texts and comments are free."""
    found = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
    found |= {node.attr for node in ast.walk(module) if isinstance(node, ast.Attribute)}
    return found | {
        alias.name for node in ast.walk(module) if isinstance(node, ast.ImportFrom | ast.Import) for alias in node.names
    }


def test_no_other_package_constructs_a_client() -> None:
    def constructed(path: Path) -> set[str]:
        text = path.read_text(encoding="utf-8")
        if not any(name in text for name in CLIENTS):  # most modules need not be parsed
            return set()
        return mentioned(parsed(path)) & CLIENTS

    assert wrong_in(OUTSIDE, constructed) == {}


def test_the_clients_are_constructed_there() -> None:
    there = set().union(*(mentioned(parsed(path)) for path in KAFKA.rglob("*.py")))
    assert there >= CLIENTS - {"AIOKafkaAdminClient", "KafkaClient"}


def test_private_parts_of_libraries_are_imported_by_patches_alone() -> None:
    private = {
        *("aiokafka.consumer.fetcher", "aiokafka.consumer.group_coordinator", "aiokafka.record"),
        *("aiokafka.producer", "aiokafka.client"),
        *("kafka.net.transport", "kafka.net.manager", "kafka.record", "kafka.consumer.fetcher"),
        *("kafka.producer.transaction_manager", "kafka.producer.kafka"),
    }
    importing = {
        path
        for path in PRODUCT
        if "kafka" in path.read_text(encoding="utf-8")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and any((node.module or "").startswith(each) for each in private)
    }
    patches = set((KAFKA / "patches").glob("for_*/[!_]*.py"))
    assert importing == patches


def test_every_patch_is_listed_in_the_architecture() -> None:
    listed = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in (KAFKA / "patches").glob("for_*/[!_]*.py"):
        assert f"`{path.parent.name}/{path.stem}`" in listed
