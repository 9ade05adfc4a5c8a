"""`text.words`: spans over words, by language."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from pydantic import ValidationError

from mmdata.errors import RecipeError, RecordError
from mmdata.record import Origin, Record
from mmdata.schema import FieldType, Schema
from mmdata.stages import languages
from mmdata.stages.words import Words
from mmdata.values import Span, Text

_RNG = np.random.default_rng(0)
_SCHEMA = Schema({"text": FieldType("text", dtype="str")}, {"lang": "str", "year": "int"})


def marked(stage: Words, value: Text, tag: str = "") -> Text:
    """Run the stage over one text in a record whose metadata has this language tag."""
    result = stage(Record("k", {"text": value}, Origin(0, "k", "train", "k"), {"lang": tag}), _RNG)
    assert isinstance(result, Record)
    text = result["text"]
    assert isinstance(text, Text)
    return text


def words_of(stage: Words, text: str, tag: str = "") -> list[str]:
    """Return what the spans cover."""
    return [text[span.start : span.end] for span in marked(stage, Text(text), tag).spans]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "The cat,  it's\nhere.", ["The", "cat", ",", "it", "'s", "here", "."]),
        ("en-US", "don't", ["do", "n't"]),
        ("fr", "l'été e\u0301te\u0301", ["l'", "été", "e\u0301te\u0301"]),
        ("zh_CN", "你好。世界", ["你好", "。", "世界"]),
        ("ja", "今日は3.5キロ歩きました。", ["今日", "は", "3.5", "キロ", "歩き", "ま", "した", "。"]),
        ("th", "ฉันชอบกินข้าวผัด 3 จาน", ["ฉัน", "ชอบ", "กิน", "ข้าว", "ผัด", "3", "จาน"]),
        ("ko", "저는 학생입니다.", ["저는", "학생입니다", "."]),
        ("vi", "Tôi là sinh viên.", ["Tôi", "là", "sinh", "viên", "."]),
        ("en", "Ohio は州だ", ["Ohio", "は", "州", "だ"]),
        (None, "ไทย中文 mixed", ["ไทย", "中文", "mixed"]),
        ("ar", "السلام عليكم", ["السلام", "عليكم"]),
        ("xx", "👩\u200d👧 b", ["👩", "\u200d", "👧", "b"]),
        (None, "a b", ["a", "b"]),
        ("en", "", []),
        ("en", " \n ", []),
    ],
)
def test_words_by_language(language: str | None, text: str, expected: list[str]) -> None:
    """Punctuation marks are words and white space is none; places count code points."""
    assert words_of(Words(language=language), text) == expected


def test_the_language_can_come_from_metadata() -> None:
    """Each text has its own; one that is empty or unknown is treated as xx."""
    stage = Words(language_column="lang")
    assert words_of(stage, "don't", "en") == ["do", "n't"]
    assert words_of(stage, "你好", "zh") == ["你好"]
    for unknown in ("", "tlh", "../en", "en.x", "漢字"):
        assert words_of(stage, "don't", unknown) == ["don't"]


def test_spans_are_added_to_those_that_are_there() -> None:
    """The text, its lineage and other spans stay; the label is as the recipe says."""
    raw = Text("a b", (Span(0, 3, "all"),))
    assert marked(Words(label="w"), raw).spans == (Span(0, 3, "all"), Span(0, 1, "w"), Span(2, 3, "w"))
    assert raw.spans == (Span(0, 3, "all"),)


def test_a_pipeline_that_has_grown_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of strings the words stay the same, and the memory is given back."""
    stage = Words(language="en")
    first = languages.pipeline_of("en")
    before = words_of(stage, "it's here")
    monkeypatch.setattr(languages, "MOST_STRINGS", 1)
    assert words_of(stage, "it's here") == before
    assert languages.pipeline_of("en") is not first


def test_what_cannot_be_marked() -> None:
    """A record without the field stays as it is; a lone surrogate is an error of the record."""
    empty = Record("k", {}, Origin(0, "k", "train", "k"))
    assert Words()(empty, _RNG) is empty
    with pytest.raises(RecordError, match="text has a lone surrogate"):
        words_of(Words(), "a\ud800")


def test_infer_checks_the_field_and_the_column() -> None:
    """The field must be a text, and the column a metadata column of type str."""
    assert Words(language_column="lang").infer(_SCHEMA) == _SCHEMA
    with pytest.raises(RecipeError, match="there is no field 'caption'"):
        Words(field="caption").infer(_SCHEMA)
    with pytest.raises(RecipeError, match="'language' is not there; the columns of type str are: lang"):
        Words(language_column="language").infer(_SCHEMA)
    with pytest.raises(RecipeError, match="'year' is of type int"):
        Words(language_column="year").infer(_SCHEMA)


def test_one_language_at_most() -> None:
    """A fixed language and a column exclude each other; the stage can be sent to a worker."""
    with pytest.raises(ValidationError, match="not both"):
        Words(language="en", language_column="lang")
    stage = Words(language="en")
    assert pickle.loads(pickle.dumps(stage)) == stage
