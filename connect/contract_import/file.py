"""Contract terms from a file, CSV or JSON lines: each line is checked like an event, or reported with its problem."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from streams.serde.cloudevents_json import from_json, unique_object
from streams.sla.events import ContractSet, Rejection
from streams.sla.facts import to_event

#: The columns of a CSV file; those of `REQUIRED` must be there, any order will do.
COLUMNS = (
    "tenant_id",
    "valid_from",
    "valid_to",
    "plan",
    "amount_minor",
    "currency",
    "tier",
    "time_zone",
    "emergency_member",
)
REQUIRED = frozenset({"tenant_id", "valid_from", "plan", "amount_minor", "currency", "emergency_member"})
#: The fields of a JSON line: the data of a contract.set event.
FIELDS = (
    "tenant_id",
    "valid_from",
    "valid_to",
    "plan",
    "monthly_charge",
    "tier",
    "time_zone",
    "emergency_member",
)
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MOST_CELLS = 64


class ContractRow(NamedTuple):
    """One tenant's terms; `line` counts from 1, `data` is that of the event in the JSON form."""

    line: int
    tenant: str
    terms: ContractSet
    data: Mapping[str, object]


class BadContractRow(NamedTuple):
    """A line without valid terms, and why."""

    line: int
    problem: str


def read_rows(lines: Sequence[str]) -> tuple[list[ContractRow], list[BadContractRow]]:
    """The terms of a file, and every line that is wrong: also one that gives a tenant other terms for the same
    `valid_from` as an earlier line. A file whose first character is `{` has JSON lines, any other is CSV with a line
    of column names. Blank lines are skipped."""
    first = next((line for line in lines if line.strip()), "")
    found = _json_rows(lines) if first.lstrip("\ufeff \t").startswith("{") else _csv_rows(lines)
    rows: list[ContractRow] = []
    bad: list[BadContractRow] = []
    lines_of: dict[tuple[str, int], int] = {}
    for number, read in found:
        row = _row(number, read) if isinstance(read, dict) else BadContractRow(number, str(read))
        if isinstance(row, ContractRow):
            earlier = lines_of.setdefault((row.tenant, row.terms.valid_from), number)
            if earlier != number:
                row = BadContractRow(
                    number, f"valid_from: line {earlier} has terms of {row.tenant} from the same instant on"
                )
        if isinstance(row, ContractRow):
            rows.append(row)
        else:
            bad.append(row)
    if not rows and not bad:
        bad.append(BadContractRow(1, "the file is empty"))
    return rows, bad


def _json_rows(lines: Sequence[str]) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line.removeprefix("\ufeff"), object_pairs_hook=unique_object)
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {error}"
            continue
        yield number, _misplaced(found) or found


def _misplaced(found: object) -> str | None:
    """What is wrong with an object before its values are checked."""
    if not isinstance(found, dict):
        return "expected an object with the fields of a contract"
    if "specversion" in found:
        return "this is a whole event: `sla publish` sends those; here a line is the data of a contract.set alone"
    if unknown := sorted(found.keys() - set(FIELDS)):
        return f"{unknown[0]}: there is no such field; there are: {', '.join(FIELDS)}"
    return None


def _csv_rows(lines: Sequence[str]) -> Iterator[tuple[int, object]]:
    ended = [line if line.endswith("\n") else f"{line}\n" for line in lines]
    ended[:1] = [line.removeprefix("\ufeff") for line in ended[:1]]  # before quotes are looked for
    reader = csv.reader(ended, strict=True)
    names: list[str] | None = None
    start = 1
    try:
        for cells in reader:
            number, start = start, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                if problem := _wrong_names(names):
                    yield number, problem
                    return
            elif len(cells) != len(names):
                yield number, f"has {len(cells)} values; the file has {len(names)} columns"
            else:
                values = dict(zip(names, (cell.strip() for cell in cells), strict=True))
                yield number, _formula(values) or _from_cells(values)
    except csv.Error as error:
        yield reader.line_num, f"not CSV: {error}"


def _wrong_names(names: Sequence[str]) -> str | None:
    known = f"the columns are {', '.join(COLUMNS)}"
    if len(names) > _MOST_CELLS or (unknown := [name for name in names if name not in COLUMNS]):
        return f"there is no column {unknown[0] if len(names) <= _MOST_CELLS else names[0]!r}; {known}"
    if twice := [name for name in names if names.count(name) > 1]:
        return f"the column {twice[0]} appears twice"
    if absent := sorted(REQUIRED.difference(names)):
        return f"the column {absent[0]} is missing; {known}"
    return None


def _formula(cells: Mapping[str, str]) -> str | None:
    """A formula was written instead of its value, or is meant for who opens the file."""
    found = next((name for name, cell in cells.items() if cell.startswith(("=", "＝"))), None)
    return None if found is None else f"{found}: is a formula of a spreadsheet; save the file with values"


def _from_cells(cells: Mapping[str, str]) -> dict[str, object]:
    """The JSON form of a row; what is neither a number nor a boolean stays text, for the checks to report."""
    data: dict[str, object] = {name: cell for name, cell in cells.items() if cell and name not in {"amount_minor"}}
    data["monthly_charge"] = {"amount_minor": _number(cells["amount_minor"]), "currency": data.pop("currency", "")}
    if "tier" in data:
        data["tier"] = _number(cells["tier"])
    if "emergency_member" in data:
        data["emergency_member"] = _TRUTHS.get(cells["emergency_member"].lower(), cells["emergency_member"])
    return data


def _number(cell: str) -> object:
    sign, digits = ("-", cell[1:]) if cell.startswith("-") else ("", cell)
    return int(sign + digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else cell


def _row(number: int, data: dict[str, object]) -> ContractRow | BadContractRow:
    tenant = data.get("tenant_id")
    if not isinstance(tenant, str) or not tenant:
        return BadContractRow(number, "tenant_id: is missing" if not tenant else "tenant_id: expected a text")
    event = {
        "specversion": "1.0",
        "id": "checked",
        "type": "contract.set",
        "source": "/checked",
        "subject": tenant,
        "time": "2026-01-01T00:00:00Z",
        "data": data,
    }
    parsed = from_json(event)
    checked = parsed if isinstance(parsed, Rejection) else to_event(*parsed)
    if isinstance(checked, Rejection):
        message = checked.message.removeprefix("data.")
        return BadContractRow(
            number, message.replace("subject", "tenant_id", 1) if message.startswith("subject") else message
        )
    assert isinstance(checked.payload, ContractSet)
    return ContractRow(number, tenant, checked.payload, data)
