"""The kinds of destinations. A new one is a new module and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from connect.notify.destinations.kind import DestinationKind
from connect.notify.destinations.pagerduty import PAGERDUTY
from connect.notify.destinations.slack import SLACK
from connect.notify.destinations.webhook import WEBHOOK

DESTINATION_KINDS: Mapping[str, DestinationKind] = {kind.name: kind for kind in (PAGERDUTY, SLACK, WEBHOOK)}
"""Each kind by the name that routing files use."""
