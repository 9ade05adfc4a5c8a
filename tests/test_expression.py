"""Expressions: the same answers as Python where they are allowed, and no way to anything else."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdata.errors import RecipeError, RecordError
from mmdata.expression import LONGEST, parsed
from mmdata.schema import ScalarName

TYPES: dict[str, ScalarName] = {
    "lang": "str", "count": "int", "fair": "bool", "tags": "json", "audio.seconds": "float", "image.width": "int",
}  # fmt: skip
VALUES: dict[str, str | int | float | bool] = {
    "lang": "fr", "count": 3, "fair": True, "tags": '["a","b"]', "audio.seconds": 2.5, "image.width": 640,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('audio.seconds < 20 and lang in ["fr", "de"]', True),
        ('lang not in ("fr", "de")', False),
        ("1 < count < 3", False),
        ("1 < count <= 3", True),
        ("count * 2 + 1 == 7", True),
        ("image.width / count >= 213 and image.width - 1 != 640", True),
        ("-count < 0", True),
        ("fair", True),
        ("not fair or count in [1, 2]", False),
        ("fair == True", True),
        ('"f" in lang', True),
        ("""'"a"' in tags""", True),
        ('lang >= "fr"', True),
        ("  count==3\n", True),
        ("False or (True and count != 4)", True),
    ],
)
def test_answers(text: str, answer: bool) -> None:  # noqa: FBT001 - the answer expected
    """An expression is true or false as in Python."""
    expression = parsed(text)
    expression.check(TYPES)
    assert expression(VALUES) is answer


@given(st.integers(-5, 5), st.integers(-5, 5), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.sampled_from("+-*"))
def test_arithmetic_is_that_of_python(one: int, other: int, comparison: str, operation: str) -> None:
    """Comparisons and operations agree with Python's own evaluation, precedence included."""
    text = f"a {operation} 2 * b {comparison} b - a"
    wanted = eval(text, {"a": one, "b": other})
    assert parsed(text)({"a": one, "b": other}) is wanted


@pytest.mark.parametrize(
    "text",
    [
        "open('x')", "lang.upper() == 'FR'", "().__class__", "audio.seconds.real < 1", "[x for x in tags]", "lambda: 1",
        "count ** 9", "count if fair else 1", "f'{lang}'", "lang[0] == 'f'", "count := 3", "{'a': 1}", "None == lang",
        "count % 2 == 0", "count | 1", "lang is 'fr'", "b'fr' == lang", "...", "1j < 2", "*lang, 1",
    ],
)  # fmt: skip
def test_nothing_else_is_allowed(text: str) -> None:
    """Calls, subscripts, further attributes and all other syntax are refused before any data is seen."""
    with pytest.raises(ValueError, match="is not allowed|is not an expression"):
        parsed(text)


@pytest.mark.parametrize("text", ["", "count <", "count = 3", "lang in [", "import os", "a; b", "count < 3 \x00"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    """The error shows the expression."""
    with pytest.raises(ValueError, match="is not an expression"):
        parsed(text)


@pytest.mark.parametrize("text", ["-" * 900 + "1", "not " * 200 + "fair", "(" * 400 + "1" + ")" * 400, "count+" * 120 + "1"])
def test_deep_nesting_is_refused(text: str) -> None:
    """No expression can exhaust the stack."""
    with pytest.raises(ValueError, match="deep|is not an expression"):
        parsed(text)


def test_long_expressions_are_refused() -> None:
    """The error says the limit."""
    with pytest.raises(ValueError, match=f"at most {LONGEST} characters, this one has {LONGEST + 1}"):
        parsed("1" * (LONGEST + 1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("langs == 'fr'", "there is no metadata column or measure 'langs'; did you mean 'lang'?"),
        ("audio.second < 1", "'audio.second'; did you mean 'audio.seconds'?"),
        ("true", "did you mean 'True'?"),
        ("zzz", "the known ones are lang, count"),
        ("lang < 3", "lang is a text and 3 is a number: they cannot be compared so"),
        ("fair < True", "cannot be compared so"),
        ("lang in ['fr', 3]", "3 is a number, where a text is needed"),
        ("count in lang", "count is a number, where a text is needed"),
        ("count in 3", "count is a number, where a text is needed"),
        ("[1] == [1]", "is a list"),
        ("lang + 'x' == 'frx'", "lang is a text, where a number is needed"),
        ("-lang == 'x'", "lang is a text, where a number is needed"),
        ("count and fair", "count is a number, where a truth is needed"),
        ("not lang", "lang is a text, where a truth is needed"),
        ("count", "count is a number; compare it with something"),
        ("[fair]", "[fair] is a list; compare it with something"),
        ("fair and lang == zzz", "'zzz'"),
    ],
)
def test_names_and_types_are_checked_before_any_data(text: str, says: str) -> None:
    """Whatever is wrong is said with the part of the expression that is wrong."""
    with pytest.raises(RecipeError) as error:
        parsed(text).check(TYPES)
    assert says in str(error.value)


@pytest.mark.parametrize("text", ["1 / count < 2", "count + 1e308 * 10.0 / 0.0 > 1"])
def test_division_by_zero_is_a_fault_of_the_record(text: str) -> None:
    """It costs that record, not the build."""
    with pytest.raises(RecordError, match="expression cannot be evaluated"):
        parsed(text)({"count": 0})


def test_names_are_listed_once_in_order() -> None:
    """A stage knows from them which fields it reads; an expression survives the way to a worker."""
    expression = parsed("count < 3 or audio.seconds < 1 or count > 5")
    assert expression.names == ("count", "audio.seconds")
    assert pickle.loads(pickle.dumps(expression))({"count": 9, "audio.seconds": 2.0}) is True
