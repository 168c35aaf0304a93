"""What follows from one input or timer of the ledger: a closed union, of which callers match every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from streams.sla.credits.claims import RejectedClaim
from streams.sla.credits.erase_tenant import ErasedTenant
from streams.sla.credits.month_close import MonthRow
from streams.sla.credits.recheck_queue import Recheck
from streams.sla.credits.retention import EvictedRows
from streams.sla.decisions import Duplicate, Rejected
from streams.sla.events import Output
from streams.sla.impact import ImpactCopy


class Posted(NamedTuple):
    """An input or timer took effect. `months` are the month states that changed, `rechecks` the queued rechecks that
    changed, by number (None: done), `erased` the state that is now under a pseudonym, `evicted` what is
    to be deleted, `retention` up to where and whether more is to be evicted, `impacts` the lists whose rows are to be
    written anew, each with the arrival that the row gives, `rejected` the claims that were stored and are not any more.
    An input that is posted is state from now on, under the names of `Ledger.erasures`."""

    outputs: list[Output]
    months: list[MonthRow]
    rechecks: Mapping[int, Recheck | None] = MappingProxyType({})
    erased: ErasedTenant | None = None
    evicted: EvictedRows | None = None
    retention: tuple[int, bool] | None = None
    impacts: Sequence[tuple[ImpactCopy, int]] = ()
    rejected: Sequence[RejectedClaim] = ()


LedgerDecision = Posted | Duplicate | Rejected
"""What follows from one input: a closed union, of which callers match every case."""
