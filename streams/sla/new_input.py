"""Checks that a record must pass when it arrives, beside those of its values: contradictions, texts and that two people
are not one (R17, R20, R28).

Records that were accepted before are read without these checks (`facts.stored_event`): an earlier release may not have
had them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from streams.sla.limits import InvalidInputError, invalid, same_person

#: Control characters, but for line ends and tabs.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_TEXTS = ("summary", "text", "reason")
_TENANTS = ("tenant_ids", "tenant_id")
_APPROVER = "approver"
#: No tenant can have this id: it reads as "every tenant", which is what scope platform says.
WILDCARD = "*"


def checked_fields(names: Sequence[str]) -> tuple[str, ...]:
    """Those of a record's fields that `check_new_input` looks at, in the order of its checks."""
    return tuple(name for name in (*_TEXTS, *_TENANTS, _APPROVER) if name in names)


def check_new_input(fields: Mapping[str, Any], names: Sequence[str]) -> None:
    """Check these `checked_fields` of a record. Raises InvalidInputError."""
    for name in names:
        value = fields[name]
        if not value:
            continue
        if name in _TENANTS:
            _check_tenants(fields)
        elif name == _APPROVER:
            if same_person(fields["who"]["id"], value["id"]):
                raise InvalidInputError("four_eyes", "approver.id: reads as who.id; two different people are needed")
        elif not value.isprintable() and (found := _CONTROL.search(value)):
            problem = f"has the control character U+{ord(found[0]):04X}; allowed are line ends and tabs"
            raise invalid(name, problem)


def _check_tenants(fields: Mapping[str, Any]) -> None:
    tenant_ids = fields.get("tenant_ids")
    if tenant_ids:
        if fields["scope"] == "platform":
            raise invalid("tenant_ids", "scope platform concerns every tenant; leave tenant_ids out, or say tenants")
        if WILDCARD in tenant_ids:
            raise _wildcard(f"tenant_ids[{tenant_ids.index(WILDCARD)}]")
    if fields.get("tenant_id") == WILDCARD:
        raise _wildcard("tenant_id")


def _wildcard(field: str) -> Exception:
    return invalid(field, f"{WILDCARD!r} is no tenant; for every tenant, say scope platform without tenant_ids")
