"""One real Kafka for the whole session; each test keeps to topics of its own by a prefix."""

import itertools
import re
from collections.abc import Iterator

import pytest

from cli.broker import start_broker

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """The bootstrap address of a broker that all tests share: do not stop, pause or restart it."""
    with start_broker() as running:
        yield running.bootstrap


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A start for topic, group and transactional ids that no other test has."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    return f"t{next(_numbers)}-{name[:40]}-"
