"""Reads JSON as strictly as the format promises it: no NaN, no key twice, no endless nesting."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmdata.validation.findings import shown

Shape = Mapping[str, Any]
"""What an object must hold, by key: a type, or the shape of an object inside it."""

_DEEPEST = 64


def strict_json(text: str | bytes) -> Any:  # noqa: ANN401 - any plain data
    """Return the data of a JSON text. Raises ValueError that says what is wrong with it."""
    try:
        data = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if _is_deep(data):
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    return data


def _is_deep(data: object) -> bool:
    """Whether data is nested so deeply that comparing or writing it could run out of stack; nothing here needs half of it."""
    level = [data]
    for _ in range(_DEEPEST):
        level = [item for holder in level for item in _items(holder) if isinstance(item, dict | list)]
    return bool(level)


def _items(data: object) -> Iterable[object]:
    match data:
        case dict():
            return data.values()
        case list():
            return data
        case _:
            return ()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return found


def mismatches(data: Any, shape: Shape, path: str = "") -> Iterator[str]:  # noqa: ANN401 - any plain data
    """Yield how data differs from a shape: keys missing, keys too many, values of another type (null is one)."""
    if not isinstance(data, dict):
        yield f"{path or 'it'} must be an object, not {shown(data)}"
        return
    prefix = f"{path}." if path else ""
    yield from (f"{prefix}{name} is missing" for name in shape if name not in data)
    yield from (f"{prefix}{name} is not among the promised keys" for name in data if name not in shape)
    for name in shape.keys() & data.keys():
        if isinstance(shape[name], Mapping):
            yield from mismatches(data[name], shape[name], f"{prefix}{name}")
        elif type(data[name]) is not shape[name]:
            yield f"{prefix}{name} must be of type {shape[name].__name__}, not {shown(data[name])}"
