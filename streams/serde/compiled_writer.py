"""A writer compiled for one Avro record schema: straight-line Python in place of a walk over schema and record.

Encoded texts that repeat (policy references, titles, components, tenants) are cached. It writes only values of exactly
the types that the schema names; for anything else it raises, and the codec gives the record to fastavro.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from struct import Struct
from typing import TypeVar, cast

from streams.serde.compiled import Compiled, UnknownTypeError, fields_of, is_position, other_branch
from streams.sla.evidence import PositionRecords

WriteRecord = Callable[[bytes, Mapping[str, object]], bytes]
"""Takes the framing and a record; returns the bytes. Raises any exception for a record that it can't write."""
WriteOutput = Callable[..., bytes]
"""Takes the framing, the values of `ENVELOPE`, and the other fields as a record."""
WriteValues = Callable[[bytes, Sequence[object]], bytes]
"""Takes the framing and all values in the order of the schema's fields; so is each item of an array that is one of
them, where the schema defines the item's record there. Other records stay records."""

#: The fields that every output begins with, beside what it says.
ENVELOPE = ("event_id", "source", "subject", "occurred_at", "backfill", "traceparent")

#: Fields whose texts rarely repeat: caching them would only evict others.
_UNIQUE = frozenset(["event_id", "subject", "incident_id", "traceparent", "summary", "text", "reason", "message"])
_UNCACHED_FIELD = "event_id"
_CACHE_SIZE = 16_384
_INSTANTS = 1024
"""Numbers that are cached. More would hit more often, and cost more than they save: they displace other data from the
CPU's caches."""
_LAST_DIGITS = 256
_SHORT_LENGTHS = 1024

_Key = TypeVar("_Key")


def _digits(rest: int) -> bytes:
    """The variable length of a number that is not negative (Avro 1.11, Binary Encoding)."""
    written = bytearray()
    while rest > 0x7F:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    written.append(rest)
    return bytes(written)


class _Cache(dict[_Key, bytes]):
    """What a function makes of a key, for at most `size` keys. Reading it costs less than calling what `lru_cache`
    wraps; once it is full it begins anew."""

    def __init__(self, make: Callable[[_Key], bytes], size: int) -> None:
        super().__init__()
        self._make = make
        self._size = size

    def __missing__(self, key: _Key) -> bytes:
        made = self._make(key)
        if len(self) >= self._size:
            self.clear()
        self[key] = made
        return made


def _long(value: int) -> bytes:
    """Zigzag and variable length. Raises OverflowError beyond 64 bits."""
    rest = value << 1 if value >= 0 else ~(value << 1)
    if rest >> 64:
        raise OverflowError(f"{value} has more than 64 bits")
    return _digits(rest)


class _Longs(dict[int, bytes]):
    """`_long` of numbers that were written lately: the records about one input name the same instants. Only whole
    numbers may be looked up: to a dict 1.0 is 1."""

    def __missing__(self, value: int) -> bytes:
        rest = value << 1
        if 1 << 49 <= rest < 1 << 56:  # an instant of our times: eight digits, of which the last four rarely change
            low = rest & 0x7F | (rest & 0x3F80) << 1 | (rest & 0x1FC000) << 2 | (rest & 0xFE00000) << 3
            written = _four_bytes(low | 0x80808080) + _last_digits[rest >> 28]
        else:
            written = _long(value)
        if len(self) >= _INSTANTS:
            self.clear()
        self[value] = written
        return written


_four_bytes = Struct("<I").pack
_last_digits = _Cache(_digits, _LAST_DIGITS)
_longs = _Longs()


def _exact_long(value: int) -> bytes:
    """For values that may be anything: fastavro decides what to do with a boolean or a float."""
    return _longs[value] if value.__class__ is int else _mismatch(value)


def _exact_int(value: int) -> bytes:
    if not -(1 << 31) <= value < 1 << 31:
        raise OverflowError(f"{value} has more than 32 bits")
    return _exact_long(value)


def _mismatch(value: object) -> bytes:
    raise TypeError(f"{value!r} is not of the type that the schema names")


_LENGTH = [_long(number) for number in range(_SHORT_LENGTHS)]


def _text(value: str) -> bytes:
    written = value.encode()
    size = len(written)
    return (_LENGTH[size] if size < _SHORT_LENGTHS else _long(size)) + written


def _positions(write: Callable[[dict[str, object]], bytes], items: list[dict[str, object]]) -> Iterable[bytes]:
    """The items of an array of positions: those that an earlier list began with are not written again."""
    return items.each(write) if items.__class__ is PositionRecords else map(write, items)


_NAMES: dict[str, object] = {
    "positions": _positions,
    "long": _long,
    "LONGS": _longs,
    "exact_long": _exact_long,
    "exact_int": _exact_int,
    "mismatch": _mismatch,
    "TEXTS": _Cache(_text, _CACHE_SIZE),
    "double_": Struct("<d").pack,
    "LENGTH": _LENGTH,
    "BOOLEANS": {False: b"\x00", True: b"\x01"},
    "LISTS": (list, tuple),
}


def writer_of(fingerprint: bytes, schema: Mapping[str, object]) -> WriteRecord | None:
    """The writer of a schema as fastavro parsed it, compiled once for each fingerprint; None for a schema with types
    that are not written here."""
    return _writers.of(fingerprint, schema)


def output_writer_of(fingerprint: bytes, schema: Mapping[str, object]) -> WriteOutput | None:
    """The writer of an output's schema; None as for `writer_of`."""
    return _output_writers.of(fingerprint, schema)


def values_writer_of(fingerprint: bytes, schema: Mapping[str, object]) -> WriteValues | None:
    """A writer that takes values instead of records: no dict is built to be taken apart. None as for `writer_of`."""
    return _values_writers.of(fingerprint, schema)


class _Compiler:
    """Turns a schema into the source of a function and the objects that it names. With `values`, the items of arrays of
    records are tuples."""

    def __init__(self, *, values: bool = False) -> None:
        self._names: dict[str, object] = dict(_NAMES)
        self._known: dict[str, Mapping[str, object]] = {}
        self._values = values

    def compile(self, schema: Mapping[str, object]) -> WriteRecord:
        return self._function("head, record", ["head", *self._each(fields_of(schema), "record", "record")])

    def compile_output(self, schema: Mapping[str, object]) -> WriteOutput:
        fields = fields_of(schema)
        names = [str(field["name"]) for field in fields]
        if not set(names).issuperset(ENVELOPE):
            raise UnknownTypeError(schema["name"])
        places = [name if name in ENVELOPE else f"record[{name!r}]" for name in names]
        return self._function(f"head, {', '.join(ENVELOPE)}, record", ["head", *self._written(fields, places)])

    def compile_values(self, schema: Mapping[str, object]) -> WriteValues:
        return self._of_values("head, item", fields_of(schema), "head")

    def _of_values(self, arguments: str, fields: list[Mapping[str, object]], *before: str) -> Callable[..., bytes]:
        """Writes the values that `item` has."""
        names = [self._name() for _ in fields]
        return self._function(arguments, [*before, *self._written(fields, names)], f"{', '.join(names)}, = item")

    def _function(self, arguments: str, parts: list[str], before: str = "pass") -> Callable[..., bytes]:
        """Writes these parts one after the other, after a statement."""
        source = f"def write({arguments}):\n    {before}\n    return b''.join(({', '.join(parts)},))"
        made: dict[str, Callable[..., bytes]] = {}
        exec(compile(source, "<avro writer>", "exec"), self._names, made)  # nosec B102
        return made["write"]

    def _name(self, value: object = None) -> str:
        """A name in the source, of an object or of a variable."""
        name = f"n{len(self._names)}"
        self._names[name] = value
        return name

    def _parts(self, schema: object, value: str, field: str) -> list[str]:
        """Expressions whose bytes, one after the other, are the value's; `value` is the expression of the value."""
        if isinstance(schema, list):
            return [self._nullable(schema, value, field)]
        if isinstance(schema, str):
            known = self._known.get(schema)
            return self._plain(schema, value, field) if known is None else self._parts(known, value, field)
        definition = cast(Mapping[str, object], schema)
        kind = str(definition["type"])
        if kind == "array":
            return [self._array(definition["items"], value, field)]
        if kind not in {"enum", "record"}:
            return self._plain(kind, value, field)
        self._known[str(definition["name"])] = definition
        if kind == "record":
            return self._record(fields_of(definition), value)
        symbols = enumerate(cast(list[str], definition["symbols"]))
        return [f"{self._name({symbol: _long(number) for number, symbol in symbols})}[{value}]"]

    def _plain(self, kind: str, value: str, field: str) -> list[str]:
        name = self._name()
        match kind:
            case "string" if field not in _UNIQUE:
                return [f"TEXTS[{value}]"]
            case "string":
                return self._sized(f"({value}).encode()", name)
            case "bytes":
                return self._sized(value, name)
            case "long":
                return [f"(LONGS[{name}] if ({name} := {value}).__class__ is int else mismatch({name}))"]
            case "int":
                return [f"(LENGTH[{name}] if 0 <= ({name} := {value}) < {_SHORT_LENGTHS} else exact_long({name}))"]
            case "boolean":
                return [f"BOOLEANS[{value}]"]
            case "double":
                return [f"double_({value})"]
            case _:
                raise UnknownTypeError(kind)

    def _sized(self, value: str, name: str) -> list[str]:
        """The length of bytes, and the bytes, which are in `name` from then on."""
        return [self._count(f"{name} := {value}"), name]

    def _count(self, value: str) -> str:
        """How many items an expression has."""
        size = self._name()
        return f"(LENGTH[{size}] if ({size} := len({value})) < {_SHORT_LENGTHS} else long({size}))"

    def _nullable(self, branches: list[object], value: str, field: str) -> str:
        """A union with null, on whichever side."""
        null, other = other_branch(branches)
        name = self._name()
        kind = other["type"] if isinstance(other, dict) else other
        parts = [f"exact_int({name})"] if kind == "int" else self._parts(other, name, field)
        present = [f"{_long(1 - null)!r}", *parts]
        written = " + ".join(present) if len(present) <= 3 else f"b''.join(({', '.join(present)}))"
        return f"({_long(null)!r} if ({name} := {value}) is None else {written})"

    def _each(self, fields: list[Mapping[str, object]], name: str, value: str) -> list[str]:
        """The fields of the record that is the value of the expression `value`, and from its first use on in `name`."""
        places = [f"({value})[{fields[0]['name']!r}]", *(f"{name}[{field['name']!r}]" for field in fields[1:])]
        return self._written(fields, places)

    def _written(self, fields: list[Mapping[str, object]], places: list[str]) -> list[str]:
        """The fields of a record, each of which is the value of an expression."""
        pairs = zip(fields, places, strict=True)
        return [part for field, place in pairs for part in self._parts(field["type"], place, str(field["name"]))]

    def _record(self, fields: list[Mapping[str, object]], value: str) -> list[str]:
        """A nested record. One of texts and symbols alone (a policy, a title, a person) is cached by their values."""
        name = self._name()
        if not all(_is_repetitive(field["type"]) for field in fields):
            values, self._values = self._values, False
            parts = self._each(fields, name, f"{name} := {value}")
            self._values = values
            return parts
        arguments = [f"a{number}" for number in range(len(fields))]
        pairs = zip(fields, arguments, strict=True)
        parts = [part for field, argument in pairs for part in self._parts(field["type"], argument, _UNCACHED_FIELD)]
        write = self._function("item", parts, f"{', '.join(arguments)}, = item")
        known = self._name(_Cache(write, _CACHE_SIZE))
        first, *others = (repr(field["name"]) for field in fields)
        written = [f"({name} := {value})[{first}]", *(f"{name}[{other}]" for other in others)]
        return [f"{known}[{', '.join(written)},]"]

    def _array(self, items: object, value: str, field: str) -> str:
        """One block, as fastavro writes it, or none. Raises for anything but a list."""
        name = self._name()
        if self._values and isinstance(items, dict) and items["type"] == "record" and not is_position(items):
            self._known[str(items["name"])] = items
            write = self._name(self._of_values("item", fields_of(items)))
        else:
            parts = self._parts(items, "item", field)
            write = "TEXTS.__getitem__" if parts == ["TEXTS[item]"] else self._name(self._function("item", parts))
        if is_position(items):
            written, is_list = f"positions({write}, {name})", f"isinstance({name} := {value}, list)"
        else:
            is_list = "in LISTS" if self._values else "is list"
            written, is_list = f"map({write}, {name})", f"({name} := {value}).__class__ {is_list}"
        block = f"b''.join(({self._count(name)}, *{written}, b'\\x00'))"
        return f"(({block} if {name} else b'\\x00') if {is_list} else mismatch({name}))"


def _is_repetitive(schema: object) -> bool:
    """Whether it is a text, a symbol, or one of them or null."""
    if isinstance(schema, list):
        return all(branch == "null" or _is_repetitive(branch) for branch in schema)
    return schema == "string" or (isinstance(schema, dict) and schema["type"] == "enum")


_writers: Compiled[WriteRecord] = Compiled(lambda schema: _Compiler().compile(schema))
_output_writers: Compiled[WriteOutput] = Compiled(lambda schema: _Compiler().compile_output(schema))
_values_writers: Compiled[WriteValues] = Compiled(lambda schema: _Compiler(values=True).compile_values(schema))
