"""`text.chunk`: parts of a text, with all that points into it."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import Edits, composed
from mmdata.record import Record
from mmdata.schema import FieldType, Schema
from mmdata.stages.boundaries import characters
from mmdata.stages.chunk import Chunk
from mmdata.stages.tokenize import Tokenize
from mmdata.values import Array, Span, Text, Tokens
from tests.stages.texts import MIXED, RNG, SCHEMA, SENTENCES, TEXTS, check_absent, record_of, text_in, text_of, tokens_in

_TOKENS = SCHEMA.with_field("tokens", FieldType("tokens", dtype="int32", shape=(None,), text="text"))


def parts_of(stage: Chunk, record: Record) -> list[Record]:
    """Return the parts of a record."""
    outcome = stage(record, RNG)
    assert isinstance(outcome, list)
    return outcome


def cut(text: str, **options: Any) -> list[str]:
    """Return the texts of the parts."""
    return [text_in(part).text for part in parts_of(Chunk(**options), record_of(Text(text)))]


@pytest.fixture(scope="module")
def tokenize() -> Tokenize:
    """A tokenizer of bytes and of what is frequent in a few texts, which puts special tokens around."""
    stage = Tokenize(vocabulary=400, add_special=True)
    return stage.fitted(stage.reduce(stage.observe([record_of(Text(text)) for text in TEXTS])))


def test_whole_sentences_where_they_fit() -> None:
    """A part holds as many as fit, a longer sentence is cut between words, a longer word between characters."""
    text = "One is. Two are. Three were here before. Internationalization!"
    assert cut(text, most=16) == ["One is. Two are.", "Three were here", "before.", "Internationaliza", "tion!"]
    assert cut(text, most=16, border="word") == ["One is. Two are.", "Three were here", "before.", "Internationaliza", "tion!"]
    assert cut(text, most=10, border="character")[0] == "One is. Tw"
    assert cut(text, most=100) == [text]


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_of_every_script_stay_whole(language: str) -> None:
    """With room for the longest, each part is one or more sentences."""
    sentences = SENTENCES[language]
    parts = cut(text_of(language), most=max(map(len, sentences)), language=language)
    assert "".join("".join(parts).split()) == "".join("".join(sentences).split())
    assert all(any(part.endswith(sentence) for sentence in sentences) for part in parts)
    assert len(parts) > 1


def test_words_without_spaces_stay_whole() -> None:
    """Chinese, Thai and Japanese words are known, and no character loses its marks."""
    assert cut("我爱北京天安门", most=3) == ["我爱", "北京", "天安门"]
    assert cut("ภาษาไทยเป็น", most=8) == ["ภาษาไทย", "เป็น"]
    assert cut("👩\u200d👩\u200d👧👩\u200d👩\u200d👧", most=6) == ["👩\u200d👩\u200d👧"] * 2
    assert cut("हिन्दीहिन्दी", most=7, border="character") == ["हिन्दी", "हिन्दी"]


def test_overlap_repeats_the_end() -> None:
    """It is of whole sentences where they fit, else of words; a new sentence goes before an old one."""
    text = "One is. Two are. Three were. Four."
    assert cut(text, most=20, overlap=11) == ["One is. Two are.", "Two are. Three were.", "Three were. Four."]
    assert cut(text, most=17, overlap=11) == ["One is. Two are.", "Three were. Four."]
    assert cut("a b c d e f", most=5, overlap=2, border="word") == ["a b c", "c d e", "e f"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*TEXTS, "\n\n", "   ", "e\u0301", "🇩🇪"]), max_size=4).map("".join),
    st.integers(1, 60),
    st.integers(0, 59),
    st.sampled_from(["sentence", "word", "character"]),
)
def test_nothing_is_lost_and_no_part_is_too_long(text: str, most: int, overlap: int, border: str) -> None:
    """Every character but white space is in a part; parts stand in order, bring something new, and lead back to the raw text."""
    stage = Chunk(most=most, overlap=min(overlap, most - 1), border=border)
    parts = [text_in(part) for part in parts_of(stage, record_of(Text(text)))]
    places = []
    for part in parts:
        by = composed(part.lineage) or Edits()
        assert isinstance(by, Edits)
        places.append((by.backward(0), by.backward(len(part.text), end=True)))
        assert len(part.text) <= most or not text.strip()
        assert text[slice(*places[-1])] == part.text or not text.strip()
    assert all(first < second for one, other in pairwise(places) for first, second in zip(one, other, strict=True))
    kept = set().union(*(range(*place) for place in places))
    assert all(i in kept for i, character in enumerate(text) if not character.isspace())
    assert overlap or sum(end - start for start, end in places) == len(kept)


@pytest.mark.parametrize("text", TEXTS)
def test_characters_are_cut_only_where_they_are_too_long(text: str) -> None:
    """Each part begins and ends where a character of the reader does."""
    assert [c for part in cut(text, most=12) for c in characters(part) if not c.isspace()] == [
        c for c in characters(text) if not c.isspace()
    ]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("most", "overlap"), [(30, 0), (30, 12), (200, 20)])
def test_tokens_follow(tokenize: Tokenize, text: str, most: int, overlap: int) -> None:
    """Each part has its tokens, at most so many with the special ones, at their places in its text; none is lost."""
    whole = tokenize(record_of(Text(text)), RNG)
    assert isinstance(whole, Record)
    parts = parts_of(Chunk(tokens="tokens", unit="tokens", most=most, overlap=overlap), whole)
    ids, offsets = tokens_in(whole).ids, tokens_in(whole).offsets
    done = 1
    for part in parts:
        tokens, value = tokens_in(part), text_in(part)
        assert len(tokens.ids) <= most
        assert [tokens.ids[0], tokens.ids[-1]] == [ids[0], ids[-1]]
        by = composed(value.lineage) or Edits()
        assert isinstance(by, Edits)
        start = by.backward(0)
        assert text[start : start + len(value.text)] == value.text
        first = next(i for i in range(1, len(ids)) if offsets[i][0] >= start)
        assert first == done if not overlap else first <= done
        done = first + len(tokens.ids) - 2
        np.testing.assert_array_equal(tokens.ids[1:-1], ids[first:done])
        np.testing.assert_array_equal(tokens.offsets[1:-1] + start, offsets[first:done])
    assert done == len(ids) - 1


def test_characters_can_be_counted_where_there_are_tokens(tokenize: Tokenize) -> None:
    """No token is cut, and none is lost."""
    whole = tokenize(record_of(Text(MIXED)), RNG)
    assert isinstance(whole, Record)
    parts = parts_of(Chunk(tokens="tokens", most=10), whole)
    assert "".join(text_in(part).text for part in parts) == MIXED
    assert sum(len(tokens_in(part).ids) - 2 for part in parts) == len(tokens_in(whole).ids) - 2


def test_spans_follow_or_are_cut() -> None:
    """A span goes where its words go; one that a border cuts is in both parts, marked; one that is elsewhere is counted."""
    text = Text("One is. Two are.", (Span(0, 3, "one"), Span(4, 11, "both"), Span(8, 11, "two"), Span(0, 16, "all")))
    first, second = (text_in(part) for part in parts_of(Chunk(most=8), record_of(text)))
    assert first.spans == (Span(0, 3, "one"), Span(4, 7, "both", clipped=True), Span(0, 7, "all", clipped=True))
    assert second.spans == (Span(0, 3, "both", clipped=True), Span(0, 3, "two"), Span(0, 8, "all", clipped=True))
    assert [step.removed for part in (first, second) for step in part.lineage] == [1, 1]


def test_other_fields_are_kept_or_in_the_first_part_alone() -> None:
    """The measures of the text go, those of other fields go with them."""
    array = Array(np.zeros(3))
    measures: Any = {"text.words": 4, "array.size": 3, "textile.words": 1}
    record = record_of(Text("One is. Two are."), measures=measures, array=array)
    first, second = parts_of(Chunk(most=8), record)
    assert first["array"] is second["array"] is array
    assert first.measures == second.measures == {"array.size": 3, "textile.words": 1}
    first, second = parts_of(Chunk(most=8, others="first"), record)
    assert (set(first.fields), set(second.fields)) == ({"text", "array"}, {"text"})
    assert second.measures == {"textile.words": 1}
    assert record.measures == measures


@pytest.mark.parametrize("text", ["", " \n "])
def test_a_text_of_nothing_is_one_part(text: str) -> None:
    """No row is lost: an empty text is left to `record.require`."""
    value = Text(text)
    (part,) = parts_of(Chunk(), record_of(value))
    assert text_in(part) is value


def test_what_is_too_large_for_a_part() -> None:
    """A character of more tokens than fit, or special tokens without room for more, are errors of the record."""
    offsets = np.array([[0, 1], [0, 1], [0, 1]], np.int32)
    record = record_of(Text("漢"), tokens=Tokens(np.arange(3, dtype=np.int32), offsets))
    with pytest.raises(RecordError, match="what stands at character 0 has more than 2 units"):
        Chunk(tokens="tokens", unit="tokens", most=2)(record, RNG)
    special = record_of(Text(""), tokens=Tokens(np.arange(3, dtype=np.int32), np.zeros((3, 2), np.int32)))
    with pytest.raises(RecordError, match="3 special tokens leave no room in 3"):
        Chunk(tokens="tokens", unit="tokens", most=3)(special, RNG)
    with pytest.raises(RecordError, match="lone surrogate"):
        Chunk()(record_of(Text("a\ud800")), RNG)
    check_absent(Chunk())


def test_the_language_decides_over_sentences() -> None:
    """It comes from the recipe, a column, or what `text.language` found."""
    text, measures = Text("He is Dr. Who now. Yes."), {"text.language": "en"}
    for stage, record in [
        (Chunk(most=18, language="en"), record_of(text)),
        (Chunk(most=18, language_column="lang"), record_of(text, language="en")),
        (Chunk(most=18), record_of(text, measures=measures)),  # type: ignore[arg-type]
    ]:
        assert [text_in(part).text for part in parts_of(stage, record)] == ["He is Dr. Who now.", "Yes."]
    assert cut("He is Dr. Who now. Yes.", most=17) == ["He is Dr.", "Who now. Yes."]
    assert cut("He is Dr. Who now. Yes.", most=17, language="en") == ["He is Dr. Who now", ". Yes."]


def test_infer_agrees_with_the_stage() -> None:
    """Fields stay, and the measures of the text go."""
    schema = Schema(_TOKENS.fields, _TOKENS.metadata, {"text.words": "int", "tokens.seen": "int"})
    assert Chunk(tokens="tokens").infer(schema) == Schema(schema.fields, schema.metadata, {"tokens.seen": "int"})
    assert Chunk().reads() == {"*"}
    stage = Chunk(most=20)
    again = pickle.loads(pickle.dumps(stage))
    record = record_of(Text(MIXED))
    assert [text_in(part).text for part in parts_of(again, record)] == [text_in(part).text for part in parts_of(stage, record)]


def test_what_cannot_be_cut() -> None:
    """Tokens that would be left whole, fields that do not fit, and sizes that lead nowhere are errors at once."""
    with pytest.raises(RecipeError, match="the tokens in 'tokens' point into 'text' and would be left whole"):
        Chunk().infer(_TOKENS)
    with pytest.raises(RecipeError, match="point into 'text', not 'title'"):
        Chunk(field="title", tokens="tokens").infer(_TOKENS.with_field("title", FieldType("text")))
    with pytest.raises(RecipeError, match="there is no field 'ids'"):
        Chunk(tokens="ids").infer(_TOKENS)
    with pytest.raises(RecipeError, match="'year' is of type int"):
        Chunk(language_column="year").infer(SCHEMA)
    for wrong in ({"most": 5, "overlap": 5}, {"unit": "tokens"}, {"language": "en", "language_column": "lang"}, {"most": 0}):
        with pytest.raises(ValidationError):
            Chunk(**wrong)
