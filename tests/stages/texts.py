"""Texts of many scripts, and records that hold them."""

# ruff: noqa: RUF001 - full-width marks are meant

from __future__ import annotations

import numpy as np

from mmdata.record import Origin, Record, Reject, Scalar
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.values import Text, Tokens, Value

RNG = np.random.default_rng(0)
SCHEMA = Schema({"text": FieldType("text", dtype="str")}, {"lang": "str", "year": "int"})

SENTENCES = {
    "en": ["Mr. Smith walked 3.5 km to the U.S. embassy.", "He's late!", "“Why?”"],
    "zh": ["北京是中国的首都。", "你去过那里吗？", "我很喜欢！"],
    "ja": ["今日はいい天気ですね。", "「本当ですか？」", "3.5キロ歩きました。"],
    "th": ["ภาษาไทยเป็นภาษาที่ง่าย", "ฉันชอบกินข้าวผัด 3 จาน", "วันนี้อากาศดี"],
    "ar": ["السلام عليكم يا صديقي.", "كيف حالك اليوم؟", "أنا بخير!"],
    "hi": ["यह हिन्दी में एक वाक्य है।", "क्या आप ठीक हैं?", "हाँ।"],
    "ko": ["저는 학생입니다.", "밥을 먹었어요?", "네!"],
    "ru": ["Жаба ест сыр.", "Где крокодил?", "Вот он!"],
    "my": ["ထမင်းစားပြီးပြီလား။", "ကောင်းတယ်။"],
}
"""Sentences by language."""
SEPARATORS = {"zh": "", "ja": ""}
"""What stands between the sentences of a language, where that is not one space."""


def text_of(language: str) -> str:
    """Return the sentences of a language as one text."""
    return SEPARATORS.get(language, " ").join(SENTENCES[language])


MIXED = "GPT-4は2023年に公開。 👩\u200d👩\u200d👧 loves ข้าวผัด and हिन्दी! مرحبا 🇩🇪 e\u0301te\u0301."
"""Scripts, emoji and marks in one text."""
TEXTS = [*map(text_of, SENTENCES), MIXED, " ".join(map(text_of, SENTENCES)), "\n\n".join(map(text_of, SENTENCES))]


def record_of(value: Text, *, measures: dict[str, Scalar] | None = None, language: str = "", **fields: Value) -> Record:
    """Return a record with this text, further fields, a language among its metadata, and measures."""
    origin = Origin(0, "k", "train", "k")
    return Record("k", {"text": value, **fields}, origin, {"lang": language}, measures or {})


def kept(outcome: Outcome) -> Record:
    """Return the one record that came out."""
    assert isinstance(outcome, Record)
    return outcome


def rejected(outcome: Outcome) -> Reject:
    """Return the reject that came out."""
    assert isinstance(outcome, Reject)
    return outcome


def text_in(record: Record) -> Text:
    """Return the text of a record."""
    value = record["text"]
    assert isinstance(value, Text)
    return value


def tokens_in(record: Record) -> Tokens:
    """Return the tokens of a record."""
    value = record["tokens"]
    assert isinstance(value, Tokens)
    return value


def covered(text: Text) -> list[str]:
    """Return what the spans cover."""
    return [text.text[span.start : span.end] for span in text.spans]


def check_absent(stage: Stage) -> None:
    """Hold a stage to the rule that a record without the field stays as it is."""
    record = Record("k", {}, Origin(0, "k", "train", "k"), {"lang": ""})
    assert stage(record, RNG) is record
