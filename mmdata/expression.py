"""Boolean expressions over named scalars, such as `audio.seconds < 20 and lang in ["fr", "de"]`.

They are written as in Python and read by its parser, but evaluated here, node by node, over a list of what is allowed: nothing
can be called, and no name is known but those that are given.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mmdata.errors import RecipeError, RecordError
from mmdata.record import Scalar
from mmdata.schema import ScalarName

LONGEST = 1000
_DEEPEST = 50
_TYPES: Mapping[ScalarName, str] = {"str": "a text", "json": "a text", "int": "a number", "float": "a number", "bool": "a truth"}
_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_EQUALITY: Mapping[type, Callable[[Any, Any], bool]] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
_ORDER: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_MEMBERSHIP: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.In: lambda one, many: one in many, ast.NotIn: lambda one, many: one not in many,
}  # fmt: skip
_COMPARISONS = {**_EQUALITY, **_ORDER, **_MEMBERSHIP}


@dataclass(frozen=True)
class Expression:
    """An expression that was read, and the names in it."""

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    def check(self, types: Mapping[str, ScalarName]) -> None:
        """Check names and types. Raises RecipeError for a name that is not known, or where types do not fit."""
        if (found := _type_of(self.tree, types)) != "a truth":
            raise RecipeError(f"{_shown(self.tree)} is {found}; compare it with something")

    def __call__(self, values: Mapping[str, Scalar]) -> bool:
        """Return what the expression says of these values. Raises RecordError for a division by zero."""
        try:
            return bool(_value_of(self.tree, values))
        except ArithmeticError as error:
            raise RecordError("expression cannot be evaluated", f"{self.text}: {error}") from error


@lru_cache(maxsize=64)
def parsed(text: str) -> Expression:
    """Read an expression. Raises ValueError that names what is not allowed."""
    if len(text) > LONGEST:
        raise ValueError(f"an expression may have at most {LONGEST} characters, this one has {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"{text!r} is not an expression: {getattr(error, 'msg', None) or 'nested too deeply'}") from error
    _check_allowed(tree, 0)
    return Expression(text, tree, tuple(dict.fromkeys(_names(tree))))


def _check_allowed(node: ast.AST, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"an expression may be nested {_DEEPEST} deep at most")
    match node:
        case ast.Name() | ast.Attribute(value=ast.Name()) | ast.Constant(value=str() | int() | float()):
            return
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            pass
        case ast.Compare(ops=ops) if all(type(op) in _COMPARISONS for op in ops):
            pass
        case ast.BoolOp() | ast.UnaryOp(op=ast.Not() | ast.USub()) | ast.List() | ast.Tuple():
            pass
        case _:
            raise ValueError(
                f"{_shown(node)} is not allowed: an expression has names, numbers, texts in quotes, lists, {_OPERATORS}"
            )
    for below in ast.iter_child_nodes(node):
        if isinstance(below, ast.expr):
            _check_allowed(below, depth + 1)


_OPERATORS = "and, or, not, in, ==, !=, <, <=, >, >=, +, -, * and /"


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        yield _name(node)
        return
    for below in ast.iter_child_nodes(node):
        yield from _names(below)


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else f"{_shown(node.value)}.{node.attr}"


def _type_of(node: ast.expr, types: Mapping[str, ScalarName]) -> str:
    """Return what an expression gives, in words. Raises RecipeError where its parts do not fit."""
    match node:
        case ast.Constant(value=value):
            return "a truth" if isinstance(value, bool) else "a text" if isinstance(value, str) else "a number"
        case ast.Name() | ast.Attribute():
            return _TYPES[_known(_name(node), types)]
        case ast.BoolOp(values=parts):
            _all(parts, "a truth", types)
        case ast.UnaryOp(operand=part):
            _all([part], _given(node), types)
        case ast.BinOp(left=left, right=right):
            _all([left, right], "a number", types)
        case ast.Compare(left=left, ops=ops, comparators=rights):
            for one, op, other in zip([left, *rights], ops, rights, strict=False):
                _check_comparison(one, op, other, types)
    return _given(node)


def _given(node: ast.expr) -> str:
    if isinstance(node, ast.List | ast.Tuple):
        return "a list"
    is_number = isinstance(node, ast.BinOp) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub))
    return "a number" if is_number else "a truth"


def _known(name: str, types: Mapping[str, ScalarName]) -> ScalarName:
    if name in types:
        return types[name]
    near = difflib.get_close_matches(name, [*types, "True", "False"], n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the known ones are {', '.join(types)}"
    raise RecipeError(f"there is no metadata column or measure {name!r}; {hint}")


def _all(nodes: list[ast.expr], wanted: str, types: Mapping[str, ScalarName]) -> None:
    for node in nodes:
        if (found := _type_of(node, types)) != wanted:
            raise RecipeError(f"{_shown(node)} is {found}, where {wanted} is needed")


def _check_comparison(one: ast.expr, op: ast.cmpop, other: ast.expr, types: Mapping[str, ScalarName]) -> None:
    left, right = _type_of(one, types), _type_of(other, types)
    if type(op) in _MEMBERSHIP and isinstance(other, ast.List | ast.Tuple):
        _all(other.elts, left, types)
    elif type(op) in _MEMBERSHIP:
        _all([one, other], "a text", types)
    elif left != right or left == "a list" or (type(op) in _ORDER and left == "a truth"):
        raise RecipeError(f"{_shown(one)} is {left} and {_shown(other)} is {right}: they cannot be compared so")


def _value_of(node: ast.expr, values: Mapping[str, Scalar]) -> Any:  # noqa: ANN401, PLR0911 - what `_type_of` said; one return a kind of node
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute():
            return values[_name(node)]
        case ast.BoolOp(op=op, values=parts):
            results = (_value_of(part, values) for part in parts)
            return all(results) if isinstance(op, ast.And) else any(results)
        case ast.UnaryOp(op=op, operand=part):
            return not _value_of(part, values) if isinstance(op, ast.Not) else -_value_of(part, values)
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_value_of(left, values), _value_of(right, values))
        case ast.Compare(left=left, ops=ops, comparators=rights):
            parts = [_value_of(part, values) for part in (left, *rights)]
            return all(_COMPARISONS[type(op)](*pair) for op, *pair in zip(ops, parts, parts[1:], strict=False))
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value_of(part, values) for part in parts]
        case _:
            raise AssertionError(f"{_shown(node)} was let pass")


def _shown(node: ast.AST) -> str:
    return ast.unparse(node)
