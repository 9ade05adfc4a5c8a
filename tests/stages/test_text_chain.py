"""Chains of text stages: a word keeps its span, and its way back to the raw text, through all of them."""

# ruff: noqa: RUF001 - letters that look alike are meant

from __future__ import annotations

from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.lineage import Edits
from mmdata.record import Record
from mmdata.stages.base import Stage
from mmdata.stages.chunk import Chunk
from mmdata.stages.quality import LineRules, Quality
from mmdata.stages.sentences import Sentences
from mmdata.stages.text import Normalize
from mmdata.values import Span, Text
from tests.stages.texts import RNG, record_of, text_in

_WORDS = [
    "Straße", "ＦＵＬＬ", "e\u0301te\u0301", "ﬁne", "İstanbul", "“quoted”", "can’t", "漢字",
    "ｶﾞｷﾞ", "ภาษาไทย", "น้ำ", "العَرَبِيَّة", "हिन्दी", "한국어", "👩\u200d👩\u200d👧", "🇩🇪",
    "cafÃ©", "wait…", "so\u00adft", "A\u200bB", "ok.", "好。", "كيف؟",
]  # fmt: skip
_SEPARATORS = [" ", "  ", "\n", "\n\n", " \u200b ", "\u3000", " — "]
_NORMALIZE = st.builds(
    Normalize,
    form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD", "none"]),
    case=st.sampled_from(["keep", "lower", "fold"]),
    keep_lines=st.booleans(),
    repair=st.booleans(),
    punctuation=st.sampled_from([(), ("quotes", "dashes"), ("dots", "width")]),
)
_CHUNK = st.builds(
    Chunk,
    most=st.integers(5, 80),
    overlap=st.integers(0, 4),
    border=st.sampled_from(["sentence", "word", "character"]),
)
_LINES = st.just(Quality(lines=LineRules(words=1, terminal=False, phrases=("ok.",))))
_STAGES = st.lists(st.one_of(_NORMALIZE, _CHUNK, _LINES, st.just(Sentences())), max_size=5)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_WORDS), st.sampled_from(_SEPARATORS)), max_size=12), _STAGES)
def test_the_span_of_a_word_points_at_that_word(parts: list[tuple[str, str]], stages: list[Stage]) -> None:
    """It covers what the same rewrites make of the word alone, unless a border cut it; and it leads back to the word."""
    words = [word for word, _ in parts]
    starts = [0, *accumulate(len(word) + len(separator) for word, separator in parts)]
    raw = "".join(word + separator for word, separator in parts)
    spans = [Span(start, start + len(word), f"{i}") for i, (start, word) in enumerate(zip(starts, words, strict=False))]
    for value in _through([record_of(Text(raw, tuple(spans)))], stages):
        for span in value.spans:
            if not span.label.isdigit():
                continue
            word, start = words[int(span.label)], spans[int(span.label)].start
            assert span.clipped or value.text[span.start : span.end] == _alone(word, stages)
            back = _back(value, span.start), _back(value, span.end, end=True)
            assert start <= back[0] <= back[1] <= start + len(word)
            assert span.clipped or back == (start, start + len(word))


def _back(value: Text, place: int, *, end: bool = False) -> int:
    """Return where a border was in the raw text: step by step, because a composed map joins runs that touch."""
    for step in reversed(value.lineage):
        assert isinstance(step.map, Edits)
        place = step.map.backward(place, end=end)
    return place


def _through(records: list[Record], stages: list[Stage]) -> list[Text]:
    for stage in stages:
        outcomes = [stage(record, RNG) for record in records]
        parts = [part for outcome in outcomes for part in (outcome if isinstance(outcome, list) else [outcome])]
        records = [part for part in parts if isinstance(part, Record)]
    return [text_in(record) for record in records]


def _alone(word: str, stages: list[Stage]) -> str:
    (value,) = _through([record_of(Text(word))], [stage for stage in stages if isinstance(stage, Normalize)])
    return value.text
