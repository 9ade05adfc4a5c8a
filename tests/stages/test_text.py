"""`text.normalize`: the text is what Unicode says, and every span and offset follows."""

# ruff: noqa: RUF001 - letters that look alike are what these tests are about

from __future__ import annotations

import pickle
import unicodedata
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import Edits, composed
from mmdata.record import Origin, Record
from mmdata.schema import FieldType, Schema
from mmdata.stages.text import _CONTROL, Form, Normalize, _stands_alone, check_encodable
from mmdata.values import Span, Text

_RNG = np.random.default_rng(0)
_SCHEMA = Schema({"text": FieldType("text", dtype="str")})
_FORMS = get_args(Form)
# Marks in disorder, letters that compose, all parts of Hangul, compatibility forms, joiners, white space, controls, halves.
_HARD = "aAeI\u0130\u01f0ßΣς\u0301\u0323\u0345\u0f73\u0344\u09c7\u09be각\u1100\u1161\u11a8\uffa1\uffc2ｱﾞＡﬁ™Å\u2126ไ\u0e49漢字"
_HARD += (
    "かか\u3099عُ\u200c\u200d👩🏽\u200b\ufeff\u202e\ue000\x00\x07\x1c \t\n\r\x85\xa0\u2028\u3000\ud83d\ude00\ufb1d\U0001d15e\u0600"
)
_TEXTS = st.one_of(st.text(max_size=30), st.text(st.sampled_from(_HARD), max_size=30))
_SAMPLES = [
    "\u3000ＨＥＬＬＯ，  世界！\n今日はｶﾞｷﾞ",  # Japanese, half and full width
    "  น้ำ\u200bใจ ไทย  ",  # Thai with a zero-width space
    "\u202eالعَرَبِيَّة\u200f نیم\u200cفاصله \u0661",  # Arabic and Persian with overrides and a joiner
    "👩\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f e\u0301 \ue000",  # emoji and marks
]
_CLEAN = [
    "ＨＥＬＬＯ， 世界！ 今日はｶﾞｷﾞ",
    "น้ำใจ ไทย",
    "العَرَبِيَّة نیم\u200cفاصله \u0661",
    "👩\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f é",
]


def normalized(text: str, **options: Any) -> str:
    """Run the stage with these options over one text."""
    return Normalize(**options).apply(Text(text), _RNG).text


def only(form: str) -> Normalize:
    """Make a stage that does nothing but the Unicode form."""
    return Normalize(form=form, whitespace=False, controls=False)


@settings(max_examples=300, deadline=None)
@given(_TEXTS, st.sampled_from(_FORMS))
@example("\u1100\u1161\u11a8 \u0f73\u0f71 \u0344\u0301", "NFC")
def test_the_form_is_that_of_the_whole_text(text: str, form: Form) -> None:
    """Text normalized piece by piece equals `unicodedata.normalize` of the whole."""
    text = text.encode("utf-8", "ignore").decode()
    assert only(form).apply(Text(text), _RNG).text == unicodedata.normalize(form, text)


def test_no_character_that_composes_with_the_one_before_stands_alone() -> None:
    """Cuts are safe: each second half of a composition, of any script, belongs to the piece before it."""
    pairs = (unicodedata.decomposition(chr(code)).split() for code in range(0x110000))
    seconds = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}
    hangul = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    assert len(seconds) > 60
    assert not [character for character in seconds | hangul if _stands_alone(character)]
    assert all(_stands_alone(character) for character in "aA é漢각ไعか👩")


@pytest.mark.parametrize("form", _FORMS)
def test_edits_are_small_in_a_long_text(form: str) -> None:
    """One letter with a mark in a long text gives one run of the size of that letter."""
    text = "漢字かな交じり文 plain " * 50 + "e\u0301é" + " ไทย العربية" * 50
    raw = Text(unicodedata.normalize(form, text))  # type: ignore[arg-type]
    raw = Text(raw.text.replace(unicodedata.normalize(form, "é") * 2, "e\u0301é"))  # type: ignore[arg-type]
    (step,) = only(form).apply(raw, _RNG).lineage
    assert isinstance(step.map, Edits)
    assert len(step.map.runs) == 1
    assert max(end - start for start, end, _, _ in step.map.runs) <= 2


@settings(max_examples=300, deadline=None)
@given(_TEXTS, st.sampled_from([*_FORMS, "none"]), st.sampled_from(["keep", "lower", "fold"]), st.booleans())
def test_a_normalized_text_stays_as_it_is(text: str, form: str, case: str, keep_lines: bool) -> None:  # noqa: FBT001
    """Once normalized, the same stage gives the same text; where it keeps the case, the same object."""
    stage = Normalize(form=form, case=case, keep_lines=keep_lines)
    once = stage.apply(Text(text), _RNG)
    again = stage.apply(once, _RNG)
    assert again.text == once.text
    assert again is once or case != "keep"
    once.text.encode()


@settings(max_examples=300, deadline=None)
@given(_TEXTS, st.sampled_from(_FORMS), st.sampled_from(["keep", "lower", "fold"]))
def test_lineage_leads_from_the_raw_text_to_the_text(text: str, form: str, case: str) -> None:
    """Between the runs of the composed edits characters stand one to one, and spans point at what their characters became."""
    stage = Normalize(form=form, case=case)
    value = stage.apply(Text(text, tuple(Span(i, i + 1, character) for i, character in enumerate(text))), _RNG)
    assert len(value.spans) + sum(step.removed for step in value.lineage) == len(text)
    assert all(0 <= span.start < span.end <= len(value.text) for span in value.spans)
    by = composed(value.lineage) or Edits()
    assert isinstance(by, Edits)
    assert by.forward(len(text)) == len(value.text)
    outside = [i for i in range(len(text)) if not any(start <= i < end for start, end, _, _ in by.runs)]
    one_to_one = {by.forward(i) for i in outside}
    assert len(one_to_one) == len(outside)
    assert all(by.forward(i + 1, end=True) == by.forward(i) + 1 for i in outside)


@pytest.mark.parametrize("text", _SAMPLES)
def test_words_of_many_scripts_keep_their_spans(text: str) -> None:
    """A span over a word points at that word after the rewrite."""
    words = [word for word in text.split() if unicodedata.category(word[0])[0] in "LS"]
    value = Text(text, tuple(Span(text.index(word), text.index(word) + len(word), word) for word in words))
    result = Normalize(form="NFKC").apply(value, _RNG)
    assert [result.text[s.start : s.end] for s in result.spans] == [normalized(word, form="NFKC") for word in words]
    assert words


@pytest.mark.parametrize(("raw", "expected"), zip(_SAMPLES, _CLEAN, strict=True))
def test_defaults_clean_and_keep_what_is_read(raw: str, expected: str) -> None:
    """Overrides, zero-width spaces and private characters go; joiners, flags, width and marks stay."""
    assert normalized(raw) == unicodedata.normalize("NFC", expected)


def test_compatibility_forms_are_replaced_where_asked() -> None:
    """NFKC turns full width to ASCII, half-width kana to whole ones, and ligatures to letters."""
    assert normalized("ＡＢ ｶﾞ ﬁ ①", form="NFKC") == "AB ガ fi 1"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "a b c d"),
        ({"keep_lines": True}, "a b\nc\nd"),
        ({"whitespace": False}, " \ta \xa0b\r\n\r\nc \u2028 d\n"),
    ],
)
def test_white_space(options: dict[str, Any], expected: str) -> None:
    """A run becomes one space, or one line break where lines are kept; the ends are stripped; or all stays."""
    assert normalized(" \ta \xa0b\r\n\r\nc \u2028 d\n", **options) == expected


def test_controls_are_those_of_unicode() -> None:
    """Every control, format and private-use character goes, but white space and the few that scripts and emoji need."""
    everything = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    kept = {
        c for c in everything if unicodedata.category(c) in {"Cc", "Cf", "Co"} and not _CONTROL.fullmatch(c) and not c.isspace()
    }
    needed = [(0x600, 0x605), (0x6DD, 0x6DD), (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0x180E, 0x180E), (0x200C, 0x200D)]
    needed += [(0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)]
    assert all(any(low <= ord(character) <= high for low, high in needed) for character in kept)
    gone = {unicodedata.category(c) for c in everything if _CONTROL.fullmatch(c)}
    assert gone == {"Cc", "Cf", "Co", "Cn"}  # Cn: the noncharacters
    assert normalized("a\u202eb\x07c", controls=False) == "a\u202eb\x07c"


def test_tags_stay_only_in_flags() -> None:
    """Tag characters can hide text; after no flag they go."""
    assert normalized("a\U000e0068\U000e0069b") == "ab"


def test_lone_surrogates_are_replaced() -> None:
    """Half a pair becomes the replacement character; two halves become the character they mean."""
    assert normalized("a\ud83d b\ude00 \ud83d\ude00", form="none") == "a\ufffd b\ufffd 😀"
    with pytest.raises(RecordError) as caught:
        check_encodable("ab\ud83d")
    assert caught.value.reason == "text has a lone surrogate"
    assert "character 2" in caught.value.detail


@pytest.mark.parametrize("text", ["ΟΔΥΣΣΕΥΣ ΣΑΣ.", "İSTANBUL", "Straße", "ǰ"])
def test_case(text: str) -> None:
    """Lower case is that of the whole text, final sigma and all; folding makes texts that differ in case equal."""
    assert normalized(text, case="lower", form="none") == text.lower()
    assert normalized(text.upper(), case="fold") == normalized(text.lower(), case="fold")


def test_a_change_of_case_moves_nothing() -> None:
    """Where each character becomes one other, spans stay and the lineage notes a step without runs."""
    value = Normalize(case="lower").apply(Text("HELLO World", (Span(1, 3, "EL"),)), _RNG)
    assert (value.text, value.spans) == ("hello world", (Span(1, 3, "EL"),))
    assert [step.map for step in value.lineage] == [Edits()]


@pytest.mark.parametrize("text", ["", "plain text", "漢字 かな", "é and 한국어", "a\u200db"])
def test_a_clean_text_is_the_same_object(text: str) -> None:
    """A text that needs nothing comes back itself, without lineage."""
    value = Text(text)
    assert Normalize(keep_lines=True).apply(value, _RNG) is value


def test_a_text_of_nothing_but_space_becomes_empty() -> None:
    """An empty text is left to `record.require`."""
    assert normalized(" \u200b\n") == ""


def test_the_stage_changes_its_field_alone() -> None:
    """The record keeps its other fields, and the input stays as it was."""
    record = Record("k", {"text": Text(" a "), "raw": Text(" b ")}, Origin(0, "k", "train", "k"))
    stage = pickle.loads(pickle.dumps(Normalize()))
    result = stage(record, _RNG)
    assert (result["text"].text, result["raw"], record["text"].text) == ("a", record["raw"], " a ")  # type: ignore[union-attr]


def test_infer_refuses_a_text_that_is_tokenized_already() -> None:
    """Tokens hold places in the text: to change it after would break them."""
    assert Normalize().infer(_SCHEMA) == _SCHEMA
    tokenized = _SCHEMA.with_field("tokens", FieldType("tokens", text="text"))
    with pytest.raises(RecipeError, match="tokenize after this stage"):
        Normalize().infer(tokenized)
    with pytest.raises(RecipeError, match="there is no field 'words'"):
        Normalize(field="words").infer(_SCHEMA)


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("quotes", "“a” ‘b’ «c» „d‟ 「e」 ʼ", '"a" \'b\' "c" "d" 「e」 ʼ'),
        ("dashes", "a–b — c −1 ‑", "a-b - c -1 -"),
        ("dots", "wait… ‥", "wait... .."),
        ("width", "ＡＢＣ！１２　カ", "ABC!12　カ"),
    ],
)
def test_punctuation_is_folded_where_asked(kind: Any, raw: str, expected: str) -> None:
    """Each kind folds its own characters, and no other; the brackets of Chinese and Japanese stay."""
    options: dict[str, Any] = {"form": "none", "whitespace": False}
    assert normalized(raw, punctuation=(kind,), **options) == expected
    assert normalized(raw, **options) == raw
    everything = ("quotes", "dashes", "dots", "width")
    assert normalized(expected, punctuation=everything, **options) == expected


def test_spans_follow_folded_punctuation() -> None:
    """Three dots for one move what stands behind them."""
    value = Normalize(punctuation=("dots", "quotes")).apply(Text("“a… b”", (Span(1, 3, "a…"), Span(4, 5, "b"))), _RNG)
    assert [value.text[span.start : span.end] for span in value.spans] == ["a...", "b"]
