"""Linode's X-Filter and pages, over answers as they will be sent. Pure."""

import math
import operator
import typing
from collections.abc import Callable, Mapping, Sequence

Entry = Mapping[str, typing.Any]

PAGE_SIZE = 100
PAGE_SIZES = range(25, 501)

_OPERATORS: dict[str, Callable[[typing.Any, typing.Any], bool]] = {
    "+gt": operator.gt,
    "+gte": operator.ge,
    "+lt": operator.lt,
    "+lte": operator.le,
    "+neq": operator.ne,
    "+contains": lambda value, wanted: str(wanted) in str(value),
}


def filtered(entries: Sequence[Entry], where: Mapping[str, typing.Any]) -> list[Entry]:
    """Those that fit, in the order that is asked for. Raise ValueError for an operator that does not exist."""
    found = [entry for entry in entries if _fits(entry, where)]
    order_by = where.get("+order_by")
    if order_by:
        found.sort(key=lambda entry: _value(entry, str(order_by)), reverse=where.get("+order") == "desc")
    return found


def page(entries: Sequence[Entry], number: int, size: int) -> dict[str, typing.Any]:
    """One page of a list, as Linode sends it."""
    start = (number - 1) * size
    return {
        "data": list(entries[start : start + size]),
        "page": number,
        "pages": max(1, math.ceil(len(entries) / size)),
        "results": len(entries),
    }


def _fits(entry: Entry, where: Mapping[str, typing.Any]) -> bool:
    return all(_fits_one(entry, key, wanted) for key, wanted in where.items())


def _fits_one(entry: Entry, key: str, wanted: typing.Any) -> bool:
    if key in {"+order", "+order_by"}:
        return True
    if key == "+and":
        return all(_fits(entry, part) for part in wanted)
    if key == "+or":
        return any(_fits(entry, part) for part in wanted)
    if key.startswith("+"):
        message = f"{key} is not an operator"
        raise ValueError(message)
    value = _value(entry, key)
    if isinstance(wanted, dict):
        return all(_compared(value, name, other) for name, other in wanted.items())
    if isinstance(value, list):
        return wanted in value
    return bool(value == wanted)


def _compared(value: typing.Any, name: str, other: typing.Any) -> bool:
    if name not in _OPERATORS:
        message = f"{name} is not an operator"
        raise ValueError(message)
    return value is not None and _OPERATORS[name](value, other)


def _value(entry: Entry, key: str) -> typing.Any:
    value: typing.Any = entry
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
