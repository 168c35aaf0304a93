"""Erasures of tenants that early inputs name, in slices, so that other work comes between (R29).

An erasure is in force at once: inputs that arrive later are stored without the name, and one that is taken out before
its slice loses it then. While slices are left, a row says so; a restart then reads every early input for names.
"""

from __future__ import annotations

from typing import Final

from agents.changelog.early_inputs import EarlyInputs
from agents.changelog.input_rows import row_key
from streams.runtime.processor import Effects, SubjectFailed
from streams.serde.codec import Codec
from streams.sla.credits.erase_tenant import SLICE_INTERVAL

KIND = "@early_erasure"
#: Bytes of rows that are decoded in one slice: some ten milliseconds. A larger row is a slice of its own.
SLICE_BYTES: Final = 64 * 1024
#: Looking for a name in a row takes as long as decoding so many bytes, and a part of its length.
_SCAN_BYTES: Final = 16
_SCANS: Final = 64
#: A row is decoded rather than looked through for more names than this.
_MAX_NAMES: Final = 16


class EarlyErasures:
    """The erasures that have not reached every early input of one partition yet. Instants in microseconds."""

    def __init__(self, inputs: EarlyInputs, codec: Codec) -> None:
        self._inputs = inputs
        self._codec = codec
        self._due = 0
        self._erased: list[bytes] = []
        """Names, as rows have them, of the tenants that the next pass looks for."""
        self._unknown = False
        """Whether the next pass reads every row, because the names are not known."""
        self._names: tuple[bytes, ...] | None = ()
        """What the present pass looks for; None: it reads every row."""
        self._numbers: list[int] = []
        """The inputs that the present pass has not reached."""

    def erase(self, tenant: str, arrival: int, effects: Effects) -> None:
        """A tenant was erased: early inputs that name it name its pseudonym from now on."""
        if not len(self._inputs):
            return
        if self.next_due() is None:
            self._due = arrival
            effects.put(row_key(KIND), self._codec.encode("state.quiet", {"until": arrival}))
        self._erased.append(_avro_string(tenant))

    def restore(self, until: int) -> None:
        """Restore the row that says that slices are left."""
        self._unknown, self._due = True, until

    def restored(self, clock: int) -> None:
        """All rows are restored; `clock` is the instant reached."""
        self._due = max(self._due, clock)

    def next_due(self) -> int | None:
        """When the next slice is due; None when no name is left."""
        return self._due if self._numbers or self._erased or self._unknown else None

    def step(self, effects: Effects) -> None:
        """Do a slice. Raises SubjectFailed, with the input that raises an exception."""
        self._due += SLICE_INTERVAL
        if not self._numbers:
            self._begin()
        left = SLICE_BYTES
        while self._numbers and left > 0:
            number = self._numbers[-1]
            value = self._inputs.values.get(number, b"")
            left -= len(value) // _SCANS + _SCAN_BYTES
            if self._names is None or any(name in value for name in self._names):
                left -= len(value)
                self._redact(number, effects)
            self._numbers.pop()
        if self.next_due() is None:
            effects.put(row_key(KIND), None)

    def _redact(self, number: int, effects: Effects) -> None:
        early = self._inputs.get(number)
        if early is None:
            return
        try:
            self._inputs.redact(early, effects)
        except Exception as error:
            raise SubjectFailed(early.subject) from error

    def _begin(self) -> None:
        """Begin a pass: over the inputs of now, because those that come later have no name of an erased tenant."""
        everything = self._unknown or len(self._erased) > _MAX_NAMES
        self._names = None if everything else tuple(self._erased)
        self._erased, self._unknown = [], False
        self._numbers = list(self._inputs.values)


def _avro_string(text: str) -> bytes:
    """A string as it is in an Avro value: behind its length, so that a short name is not found within other texts."""
    encoded = text.encode()
    rest, length = 2 * len(encoded), bytearray()
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*length, rest]) + encoded
