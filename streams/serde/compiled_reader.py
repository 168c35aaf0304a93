"""A reader compiled for one Avro record schema: straight-line Python in place of a walk over the schema.

It reads the encodings that writers usually produce. On anything else, damaged or rare, it raises, and the codec gives
those bytes to fastavro, which reads them or reports what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import cast

from streams.serde.compiled import Compiled, UnknownTypeError, fields_of, is_position, other_branch
from streams.serde.position_lists import keep_positions, known_positions

ReadRecord = Callable[[bytes, int], tuple[dict[str, object], int]]
"""Takes bytes and the offset of a record in them; returns the record and its end, which is beyond the bytes when some
are missing. Raises any exception for bytes that it can't read."""

_LONGEST = 9


def _long(data: bytes, at: int) -> tuple[int, int]:
    """A number in zigzag and variable length, and where it ends."""
    first = data[at]
    if first < 0x80:
        return first >> 1 ^ -(first & 1), at + 1
    digits = int.from_bytes(data[at : at + 8], "little")
    if digits & 0x8080808080808080 == 0x0080808080808080:  # eight, as an instant of our times has
        pairs = digits & 0x007F007F007F007F | digits >> 1 & 0x3F803F803F803F80
        fours = pairs & 0x00003FFF00003FFF | pairs >> 2 & 0x0FFFC0000FFFC000
        rest = fours & 0x0FFFFFFF | fours >> 4 & 0xFFFFFFF0000000
        return rest >> 1 ^ -(rest & 1), at + 8
    rest = shift = 0
    for end in range(at, at + _LONGEST):
        digit = data[end]
        rest |= (digit & 0x7F) << shift
        if digit < 0x80:
            return rest >> 1 ^ -(rest & 1), end + 1
        shift += 7
    raise ValueError(f"the number at {at} is very long")


def _doubled_count(data: bytes, at: int) -> tuple[int, int]:
    """A count that is not one plain byte, doubled as such a byte has it, and where it ends."""
    count, end = _long(data, at)
    if count < 0:
        raise ValueError(f"the count at {at} is negative")
    return count << 1, end


_NAMES: dict[str, object] = {
    "long": _long,
    "doubled_count": _doubled_count,
    "double": Struct("<d").unpack_from,
    "keep_positions": keep_positions,
    "known_positions": known_positions,
    "BOOLEANS": (False, True),
}


def reader_of(fingerprint: bytes, schema: Mapping[str, object]) -> ReadRecord | None:
    """The reader of a schema as fastavro parsed it, compiled once for each fingerprint; None for a schema with types
    that are not read here."""
    return _readers.of(fingerprint, schema)


class _Compiler:
    """Turns a schema into the source of a function and the objects that it names."""

    def __init__(self) -> None:
        self._names: dict[str, object] = dict(_NAMES)
        self._known: dict[str, Mapping[str, object]] = {}
        self._lines = ["def read(data, at):"]
        self._depth = 1
        self._count = 0

    def compile(self, schema: Mapping[str, object]) -> ReadRecord:
        self._write(f"return {self._record(fields_of(schema))}, at")
        exec(compile("\n".join(self._lines), "<avro reader>", "exec"), self._names)  # nosec B102
        return cast(ReadRecord, self._names["read"])

    def _write(self, *lines: str) -> None:
        self._lines += ["    " * self._depth + line for line in lines]

    def _name(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def _value(self, schema: object) -> str:
        """Writes what reads a value, and gives the expression that has it then."""
        if isinstance(schema, list):
            return self._nullable(schema)
        if isinstance(schema, str):
            return self._value(self._known[schema]) if schema in self._known else self._plain(schema)
        definition = cast(Mapping[str, object], schema)
        kind = str(definition["type"])
        if kind == "array":
            return self._array(definition["items"])
        if kind not in {"enum", "record"}:
            return self._plain(kind)
        self._known[str(definition["name"])] = definition
        if kind == "record":
            return self._record(fields_of(definition))
        symbols, name = self._name(), self._name()
        self._names[symbols] = {
            2 * n: symbol for n, symbol in enumerate(cast(list[str], definition["symbols"])) if n < 64
        }
        self._write(f"{name} = {symbols}[data[at]]", "at += 1")
        return name

    def _plain(self, kind: str) -> str:
        name = self._name()
        match kind:
            case "string" | "bytes":
                self._size()
                decoded = ".decode()" if kind == "string" else ""
                self._write("end = at + (size >> 1)", f"{name} = data[at:end]{decoded}", "at = end")
            case "long" | "int":
                self._write(
                    f"{name} = data[at]",
                    f"if {name} & 0x80: {name}, at = long(data, at)",
                    f"else: {name}, at = {name} >> 1 ^ -({name} & 1), at + 1",
                )
            case "boolean":
                self._write(f"{name} = BOOLEANS[data[at]]", "at += 1")
            case "double":
                self._write(f"({name},) = double(data, at)", "at += 8")
            case _:
                raise UnknownTypeError(kind)
        return name

    def _size(self) -> None:
        """Read a count into `size`, doubled."""
        self._write("size = data[at]", "if size & 0x81: size, at = doubled_count(data, at)", "else: at += 1")

    def _nullable(self, branches: list[object]) -> str:
        null, other = other_branch(branches)
        name = self._name()
        self._write("branch = data[at]", "at += 1", f"if branch == {2 * null}: {name} = None")
        self._write(f"elif branch == {2 - 2 * null}:")
        self._depth += 1
        self._write(f"{name} = {self._value(other)}")
        self._depth -= 1
        self._write("else: raise ValueError(branch)")
        return name

    def _record(self, fields: list[Mapping[str, object]]) -> str:
        values = [(field["name"], self._value(field["type"])) for field in fields]
        return "{" + ", ".join(f"{name!r}: {value}" for name, value in values) + "}"

    def _array(self, items: object) -> str:
        if is_position(items):
            return self._positions(items)
        name = self._name()
        self._write(f"{name} = []")
        self._size()
        self._write("while size:")
        self._depth += 1
        self._write("for _ in range(size >> 1):")
        self._depth += 1
        self._write(f"{name}.append({self._value(items)})")
        self._depth -= 1
        self._size()
        self._depth -= 1
        return name

    def _positions(self, items: object) -> str:
        """An array of positions in one block, of which the first may be known."""
        name, begin, ends = self._name(), self._name(), self._name()
        self._size()
        self._write(f"{name}, {ends}, {begin} = [], [], at", "if size:")
        self._depth += 1
        self._write(f"{name}, at = known_positions(data, at, size >> 1)", f"for _ in range((size >> 1) - len({name})):")
        self._depth += 1
        self._write(f"{name}.append({self._value(items)})", f"{ends}.append(at)")
        self._depth -= 1
        self._size()
        self._write("if size: raise ValueError('more than one block')")
        self._write(f"{name} = keep_positions(data, {begin}, {name}, {ends})")
        self._depth -= 1
        return name


_readers: Compiled[ReadRecord] = Compiled(lambda schema: _Compiler().compile(schema))
