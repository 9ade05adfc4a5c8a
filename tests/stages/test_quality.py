"""`text.quality`: what is measured of a text, and which texts and lines published rules turn away."""

# ruff: noqa: RUF001 - marks that look alike are meant

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import Edits, composed
from mmdata.schema import FieldType
from mmdata.stages.quality import LineRules, Quality
from mmdata.stages.quality_measures import COUNTS, MEASURES, measured, words_of
from mmdata.values import Span, Text
from tests.stages.texts import (
    MIXED,
    RNG,
    SCHEMA,
    SENTENCES,
    TEXTS,
    check_absent,
    covered,
    kept,
    record_of,
    rejected,
    text_in,
    text_of,
)  # fmt: skip

_PAGE = """The history of the lighthouse begins with a storm that nobody in the village had seen coming that year. Fishermen
told their children to stay away from the cliffs, and the council decided to build a tower of stone and iron. It took nine
summers, and of the forty workers who began, only twelve were there to light the first lamp. Today visitors have to climb two
hundred steps before they can look over the bay, where ships still pass at night."""


def test_words_are_words_in_every_script() -> None:
    """Chinese, Japanese and Thai words are found without spaces between them; marks and emoji are none."""
    assert words_of("我爱北京天安门！") == ["我", "爱", "北京", "天安门"]
    assert words_of("今日はいい天気。") == ["今日", "は", "いい", "天気"]
    assert words_of("ฉันชอบกินข้าว") == ["ฉัน", "ชอบ", "กิน", "ข้าว"]
    assert words_of("كيف حالك؟") == ["كيف", "حالك"]
    assert words_of("यह हिन्दी है।") == ["यह", "हिन्दी", "है"]
    assert words_of("Don't pay 3.50 € 👩\u200d👧 — #tag") == ["Don't", "pay", "3.50", "tag"]


@pytest.mark.parametrize(
    ("text", "measures"),
    [
        ("one three", {"words": 2, "mean_word_length": 4.0, "alphabetic_words": 1.0}),
        ("北京 ok yes", {"words": 3, "mean_word_length": 2.5}),
        ("a # b # c ... d", {"symbol_ratio": 0.5, "alphabetic_words": 0.571429}),
        ("###", {"symbol_ratio": 1.0, "words": 0}),
        ("12 ٣٤ ab", {"digit_ratio": 0.666667, "alphabetic_words": 0.333333}),
        ("• a\n- b\n・c\nd", {"bullet_lines": 0.75}),
        ("a...\nb…\nc。。。\n\nd.", {"ellipsis_lines": 0.75}),
        ("a\nbcd\n a \nbcd", {"duplicate_lines": 0.5, "duplicate_line_characters": 0.5, "duplicate_paragraphs": 0.0}),
        ("a\nb\n\nccc\n \na\nb", {"duplicate_paragraphs": 0.333333, "duplicate_paragraph_characters": 0.333333}),
        ("ab c ab c dd", {"top_2grams": 0.75, "top_3grams": 0.0}),
        ("a a a", {"top_2grams": 1.0}),
        ("我爱北京。我爱北京。", {"top_3grams": 1.0}),
        ("a b c d e x a b c d e", {"duplicate_5grams": 0.454545, "duplicate_6grams": 0.0}),
        ("", {"words": 0, "digit_ratio": 0.0, "duplicate_lines": 0.0, "top_2grams": 0.0}),
    ],
)
def test_measures(text: str, measures: dict[str, float]) -> None:
    """Each is what its paper says, over words that stand without spaces too."""
    found = measured(text)
    assert {name: value for name, value in found.items() if name in measures} == measures


@pytest.mark.parametrize("language", ["zh", "ja", "th", "ko"])
def test_scripts_without_spelled_words_have_no_mean_length(language: str) -> None:
    """A word of one character is no fault where a character is a word."""
    assert "mean_word_length" not in measured(text_of(language).replace("。", " ok "))
    assert "mean_word_length" in measured(text_of("ar"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "bb", "ccc", "été"]), max_size=40), st.sampled_from(range(2, 11)))
def test_ngrams_agree_with_counting_each_character(words: list[str], n: int) -> None:
    """The share of characters is what comes of marking every one, so that none counts twice."""
    ngrams = [tuple(words[i : i + n]) for i in range(max(0, len(words) - n + 1))]
    counts = Counter(ngrams)
    most = max(counts, key=lambda one: (counts[one], len("".join(one))), default=())
    again = [counts[one] > 1 and one == most for one in ngrams] if n < 5 else [one in ngrams[:i] for i, one in enumerate(ngrams)]
    marked = [any(again[max(0, i - n + 1) : i + 1]) for i in range(len(words))]
    expected = sum(len(word) for word, is_marked in zip(words, marked, strict=True) if is_marked) / max(1, len("".join(words)))
    name: Any = f"top_{n}grams" if n < 5 else f"duplicate_{n}grams"
    assert measured(" ".join(words))[name] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*TEXTS, "\n", "#", "…", "  "]), max_size=5).map("".join) | st.text(max_size=50))
def test_fractions_are_fractions(text: str) -> None:
    """Whatever the text, every share lies from 0 to 1."""
    found = measured(text)
    assert set(found) <= set(MEASURES)
    assert all(0 <= value <= 1 for name, value in found.items() if name not in COUNTS and name != "mean_word_length")


def test_gopher_takes_a_page_and_turns_away_what_is_none() -> None:
    """A page of prose passes; a menu, a list and a page of one repeated line do not, each for its own reason."""
    stage = Quality(rules="gopher", language="en")
    assert kept(stage(record_of(Text(_PAGE)), RNG)).measures["text.stop_words"] == 7
    reasons = {
        "Home About Contact": "words too low",
        "a b c d e " * 20: "mean_word_length too low",
        "1234 5678 9012 3456 " * 20: "alphabetic_words too low",
        "\n".join(f"•{line}" for line in _PAGE.split()): "bullet_lines too high",
        _PAGE.replace(" ", " # "): "symbol_ratio too high",
        "\n".join(f"{line}..." for line in _PAGE.split("\n")): "ellipsis_lines too high",
        "\n".join([_PAGE.replace("\n", " ")] * 3): "duplicate_lines too high",
        _PAGE.replace(" the ", " le ").replace("The ", "Le ").replace(" of ", " de ").replace(" and ", " et ")
        .replace(" to ", " pour ").replace(" that ", " que ").replace("have", "").replace("with", ""): "stop_words too low",
    }  # fmt: skip
    for text, reason in reasons.items():
        assert rejected(stage(record_of(Text(text)), RNG)).reason == reason


@pytest.mark.parametrize("language", ["zh", "ja", "th", "ar", "hi", "ko", "ru"])
def test_gopher_is_fair_to_every_script(language: str) -> None:
    """Sentences of any language pass all rules but the number of words, which is the recipe's to choose."""
    stage = Quality(rules="gopher", language=language, minimum={"words": 5, "stop_words": 1})
    assert kept(stage(record_of(Text(text_of(language))), RNG)).measures["text.words"] >= 5  # type: ignore[operator]


def test_stop_words_are_those_of_the_language() -> None:
    """Gopher's for English, spaCy's for others, the recipe's own before both; no language, no rule."""
    text = "le chat et la souris"
    for stage, count in [
        (Quality(language="fr"), 3), (Quality(language="en"), 0), (Quality(), 0), (Quality(language="tlh"), 0),
        (Quality(stop_words=("chat", "souris", "chien")), 2),
    ]:  # fmt: skip
        assert kept(stage(record_of(Text(text)), RNG)).measures["text.stop_words"] == count
    limits: Any = {"minimum": {"stop_words": 2}}
    assert rejected(Quality(language="en", **limits)(record_of(Text(text)), RNG)).detail == "0, at least 2 is asked"
    assert kept(Quality(**limits)(record_of(Text(text)), RNG))
    by_measure = record_of(Text(text), measures={"text.language": "en"})
    assert rejected(Quality(**limits)(by_measure, RNG)).reason == "stop_words too low"


def test_every_limit_can_be_overridden() -> None:
    """The recipe's own stand in place of the rules', null lifts one, and others are added."""
    short = record_of(Text("A short text of very few words."))
    assert rejected(Quality(rules="gopher")(short, RNG)).reason == "words too low"
    assert kept(Quality(rules="gopher", minimum={"words": 5})(short, RNG))
    assert kept(Quality(rules="gopher", minimum={"words": None})(short, RNG))
    reject = rejected(Quality(maximum={"words": 3})(short, RNG))
    assert (reject.kind, reject.reason, reject.detail) == ("filtered", "words too high", "7, at most 3 is taken")


def test_c4_cuts_lines_that_are_none() -> None:
    """Menus and notices go, spans and lineage follow, and what is left is judged."""
    lines = ["Home | About", "This is the first sentence of the page. Here is more!", "Please enable JavaScript to read it.",
             "Copyright", "She asked him: “Will it ever end like this?”", "And so on and on and on...", "share"]  # fmt: skip
    text = "\n".join(lines)
    spans = tuple(Span(text.index(word), text.index(word) + len(word), word) for word in ("Home", "first", "Will", "share"))
    value = text_in(kept(Quality(rules="c4")(record_of(Text(text, spans)), RNG)))
    assert value.text == f"{lines[1]}\n{lines[4]}"
    assert covered(value) == [span.label for span in value.spans] == ["first", "Will"]
    (step,) = value.lineage
    assert (step.stage, step.removed) == ("text.quality", 2)
    by = composed(value.lineage)
    assert isinstance(by, Edits)
    assert [text[by.backward(s.start) : by.backward(s.end, end=True)] for s in value.spans] == ["first", "Will"]


def test_c4_turns_away_pages() -> None:
    """Code, placeholder text and pages of fewer than three sentences are none to learn from."""
    good = "This is a first long sentence. And this is the second one. And the third is here."
    stage = Quality(rules="c4")
    assert kept(stage(record_of(Text(good)), RNG)).measures["text.sentences"] == 3
    assert rejected(stage(record_of(Text(good + " { }.")), RNG)).reason == "text has a forbidden phrase"
    assert rejected(stage(record_of(Text("Lorem Ipsum dolor sit amet. " + good)), RNG)).detail == "'lorem ipsum' at character 0"
    assert rejected(stage(record_of(Text("This is one sentence only.")), RNG)).reason == "sentences too low"
    assert rejected(stage(record_of(Text("menu\nhome")), RNG)).reason == "sentences too low"
    assert kept(Quality(rules="c4", forbidden=())(record_of(Text(good + " { and so on }.")), RNG))


@pytest.mark.parametrize("language", SENTENCES)
def test_lines_of_every_script_can_end(language: str) -> None:
    """Full stops of all scripts are known, and Thai lines need none."""
    rules = LineRules(words=1)
    assert all(rules.keep(sentence) for sentence in SENTENCES[language])
    assert not rules.keep("Home")
    assert not LineRules(words=2, terminal=False).keep("Home")
    assert LineRules(words=2, terminal=False).keep("Home 2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nKeep.\n\nKeep.\nb\n", "Keep.\n\nKeep."),
        ("Keep.\n\na\n\nKeep.\n", "Keep.\nKeep.\n"),
        ("Keep.\n\n\n", "Keep.\n\n\n"),
        ("a\nb", ""),
        ("Keep.\r\na\r\n", "Keep."),
    ],
)
def test_what_is_left_of_the_lines(text: str, expected: str) -> None:
    """Line breaks go with the line that is cut; a text that loses none keeps all."""
    value = text_in(kept(Quality(lines=LineRules(words=1))(record_of(Text(text)), RNG)))
    assert value.text == expected


def test_captions() -> None:
    """A few words of any script pass; a file name, a number and a loop do not."""
    stage = Quality(rules="caption")
    for text in ("A green frog.", "绿色的青蛙", "กบสีเขียว", "ضفدع أخضر", "हरा मेंढक", MIXED):
        assert kept(stage(record_of(Text(text)), RNG))
    for text in ("Frog", "2023 10 4711", "", "# # # #", "buy now this good thing " * 5):
        assert rejected(stage(record_of(Text(text)), RNG)).kind == "filtered"


def test_infer_agrees_with_the_stage() -> None:
    """The schema has the measures that the record has, and their types; sentences only where they are limited."""
    for stage in (Quality(), Quality(rules="c4", minimum={"sentences": 0})):
        schema = stage.infer(SCHEMA)
        record = kept(stage(record_of(Text("这是一个很好的句子。")), RNG))
        assert {name: type(value).__name__ for name, value in record.measures.items()} == schema.measures
    assert "text.sentences" in schema.measures
    assert "text.sentences" not in Quality().infer(SCHEMA).measures


def test_the_stage_is_deterministic_and_can_be_sent() -> None:
    """The same text is measured the same by a copy of the stage, and the input stays as it was."""
    stage = Quality(rules="c4", minimum={"sentences": None}, lines=LineRules(words=2))
    again = pickle.loads(pickle.dumps(stage))
    record = record_of(Text("menu\n" + text_of("ja")))
    assert kept(stage(record, RNG)).measures == kept(again(record, RNG)).measures != {}
    assert text_in(record).text.startswith("menu")


def test_a_text_that_loses_no_line_is_the_same_object() -> None:
    """Measuring changes nothing."""
    value = Text(_PAGE)
    assert text_in(kept(Quality(rules="gopher")(record_of(value), RNG))) is value
    assert text_in(kept(Quality(rules="c4", lines=False)(record_of(value), RNG))) is value


def test_what_cannot_be_judged() -> None:
    """Unknown measures, fields and columns are errors at once, and so are tokens that point into lines to be cut."""
    with pytest.raises(ValidationError):
        Quality(minimum={"wrds": 3})
    with pytest.raises(ValidationError, match="not both"):
        Quality(language="en", language_column="lang")
    with pytest.raises(RecipeError, match="there is no field 'caption'"):
        Quality(field="caption").infer(SCHEMA)
    with pytest.raises(RecipeError, match="'year' is of type int"):
        Quality(language_column="year").infer(SCHEMA)
    tokenized = SCHEMA.with_field("tokens", FieldType("tokens", text="text"))
    with pytest.raises(RecipeError, match="tokenize after this stage"):
        Quality(rules="c4").infer(tokenized)
    assert Quality(rules="gopher").infer(tokenized).fields == tokenized.fields
    with pytest.raises(RecordError, match="lone surrogate"):
        Quality()(record_of(Text("a\ud800")), RNG)
    check_absent(Quality())
