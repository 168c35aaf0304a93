"""The policies that are shipped, loaded once."""

from __future__ import annotations

from functools import cache

from streams.policy.load import default_policies_dir, load_policies
from streams.sla.policy import Policies


@cache
def shipped_policies() -> Policies:
    """With `scalr-emergency` as the default."""
    return Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
