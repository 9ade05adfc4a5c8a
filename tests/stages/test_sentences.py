"""`text.sentences`: spans over sentences, in every script."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmdata.errors import RecipeError, RecordError
from mmdata.stages.sentences import Sentences, sentences_of
from mmdata.values import Span, Text
from tests.stages.texts import MIXED, RNG, SCHEMA, SENTENCES, TEXTS, check_absent, covered, kept, record_of, text_in, text_of


def found(text: str, tag: str = "", *, lines: bool = False) -> list[str]:
    """Return the sentences of a text."""
    return [text[start:end] for start, end in sentences_of(text, tag, lines=lines)]


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_of_many_languages(language: str) -> None:
    """Full stops of every script end sentences, and those of numbers and abbreviations do not; Thai ends them by spaces."""
    assert found(text_of(language), language) == SENTENCES[language]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("他说：「好。」然后走了。", ["他说：「好。」", "然后走了。"]),  # noqa: RUF001
        ("真的？！是。", ["真的？！", "是。"]),  # noqa: RUF001
        ("圆周率是3．14。对．好", ["圆周率是3．14。", "对．", "好"]),  # noqa: RUF001
        ("(One.) [Two.] 'Three.' Four", ["(One.)", "[Two.]", "'Three.'", "Four"]),
        ("He said: “Yes.” “No.”", ["He said: “Yes.”", "“No.”"]),
        ("wait... what? Hm… yes", ["wait... what?", "Hm… yes"]),
        ("A title\n\nA text\nof two lines.", ["A title", "A text\nof two lines."]),
        ("มากๆ เลย 3 จาน", ["มากๆ เลย 3 จาน"]),
        ("👩\u200d👧! 🇩🇪? ok", ["👩\u200d👧!", "🇩🇪?", "ok"]),
        ("...", ["..."]),
        (" \n\n ", []),
        ("", []),
    ],
)
def test_borders(text: str, expected: list[str]) -> None:
    """Closing marks belong to the sentence and opening ones to the next; a blank line ends one, white space is in none."""
    assert found(text) == expected


def test_line_breaks_end_sentences_where_asked() -> None:
    """Lists and poems have a sentence a line."""
    text = "one\ntwo three\r\n\n  four. five"
    assert found(text) == ["one\ntwo three", "four.", "five"]
    assert found(text, lines=True) == ["one", "two three", "four.", "five"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([*TEXTS, "\n\n", "“", ". ", "。", "U.S.", "\x00", "ๆ", "\u200d"]), max_size=6).map("".join)
    | st.text(st.characters(codec="utf-8"), max_size=40),
    st.sampled_from(["", *SENTENCES]),
)
def test_every_character_is_in_one_sentence(text: str, tag: str) -> None:
    """Sentences stand in order and apart, hold all that is not white space, and none begins or ends with white space."""
    places = list(sentences_of(text, tag))
    ends = [0, *(place for pair in places for place in pair), len(text)]
    assert ends == sorted(ends)
    assert not any(text[end:start].strip() for end, start in zip(ends[::2], ends[1::2], strict=True))
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in places)


def test_spans_are_added_to_those_that_are_there() -> None:
    """The text, its lineage and other spans stay; the label is as the recipe says."""
    raw = Text("One. Two.", (Span(0, 3, "word"),))
    value = text_in(kept(Sentences(label="s")(record_of(raw), RNG)))
    assert value.spans == (Span(0, 3, "word"), Span(0, 4, "s"), Span(5, 9, "s"))
    assert (value.text, raw.spans) == ("One. Two.", (Span(0, 3, "word"),))


def test_the_language_comes_from_the_recipe_the_metadata_or_a_measure() -> None:
    """A column goes before what `text.language` found."""
    raw = Text("Dr. A came.")
    by_measure = record_of(raw, measures={"text.language": "en"}, language="xx")
    assert covered(text_in(kept(Sentences()(by_measure, RNG)))) == ["Dr. A came."]
    assert covered(text_in(kept(Sentences(language_column="lang")(by_measure, RNG)))) == ["Dr.", "A came."]
    assert covered(text_in(kept(Sentences(language="en-GB")(record_of(raw), RNG)))) == ["Dr. A came."]


def test_the_stage_is_deterministic_and_can_be_sent() -> None:
    """The same text gives the same spans, from a copy of the stage too."""
    stage = Sentences(language_column="lang")
    again = pickle.loads(pickle.dumps(stage))
    assert again == stage
    record = record_of(Text(MIXED), language="ja")
    assert text_in(kept(stage(record, RNG))).spans == text_in(kept(again(record, RNG))).spans != ()
    assert text_in(record).spans == ()


def test_what_cannot_be_marked() -> None:
    """Fields and columns are checked at once, a lone surrogate is an error of the record."""
    assert Sentences(language_column="lang").infer(SCHEMA) == SCHEMA
    with pytest.raises(RecipeError, match="there is no field 'caption'"):
        Sentences(field="caption").infer(SCHEMA)
    with pytest.raises(RecipeError, match="'year' is of type int"):
        Sentences(language_column="year").infer(SCHEMA)
    with pytest.raises(ValidationError, match="not both"):
        Sentences(language="en", language_column="lang")
    with pytest.raises(RecordError, match="lone surrogate"):
        Sentences()(record_of(Text("a\ud800")), RNG)
    check_absent(Sentences())
