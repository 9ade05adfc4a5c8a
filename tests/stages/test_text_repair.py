"""`text.normalize` with `repair`: what was decoded wrong reads right again, letter by letter."""

from __future__ import annotations

import ftfy
import pytest
from ftfy.chardata import CHARMAP_ENCODINGS
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.lineage import Edits
from mmdata.stages.text import Normalize
from mmdata.values import Span, Text
from tests.stages.texts import RNG, SENTENCES, TEXTS, covered, text_of

_REPAIR = Normalize(repair=True, form="none", whitespace=False, controls=False)


def broken(text: str, encoding: str = "latin-1", times: int = 1) -> str:
    """Return a text whose UTF-8 was read in another encoding."""
    for _ in range(times):
        text = text.encode().decode(encoding)
    return text


def runs_of(value: Text) -> list[tuple[int, int, int, int]]:
    """Return the runs of the one edit list that the stage left."""
    (step,) = value.lineage
    assert isinstance(step.map, Edits)
    return list(step.map.runs)


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize(("encoding", "times"), [("latin-1", 1), ("sloppy-windows-1252", 1), ("sloppy-windows-1252", 2)])
def test_each_letter_has_an_edit_of_its_own(language: str, encoding: str, times: int) -> None:
    """In every script, the bytes of one letter become that letter, and a span over one broken letter points at it."""
    text = text_of(language)
    letters = [broken(letter, encoding, times) for letter in text]
    starts = [sum(map(len, letters[:i])) for i in range(len(letters))]
    spans = tuple(Span(start, start + len(letter), letter) for start, letter in zip(starts, letters, strict=True))
    value = _REPAIR.apply(Text("".join(letters), spans), RNG)
    assert value.text == text
    assert covered(value) == list(text)
    assert all(new_end - new_start == 1 for _, _, new_start, new_end in runs_of(value))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from(["", *CHARMAP_ENCODINGS]), st.integers(1, 2)), max_size=4),
    st.sampled_from([" ", "\n", ""]),
)
def test_the_text_is_that_of_ftfy(parts: list[tuple[str, str, int]], separator: str) -> None:
    """Whatever is broken in whatever way, the edits give the text that ftfy gives line by line."""
    text = separator.join(broken(text, encoding, times) if encoding else text for text, encoding, times in parts)
    assert _REPAIR.apply(Text(text), RNG).text == "".join(ftfy.fix_encoding(f"{line}\n") for line in text.split("\n"))[:-1]


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_can_be_mended(text: str) -> None:
    """No text is too odd: the edits stand in order and give what ftfy gives."""
    assert _REPAIR.apply(Text(text), RNG).text == "".join(ftfy.fix_encoding(f"{line}\n") for line in text.split("\n"))[:-1]


@pytest.mark.parametrize("text", [*TEXTS, "plain", ""])
def test_a_sound_text_is_the_same_object(text: str) -> None:
    """Text of any script that is not broken is left alone."""
    value = Text(text)
    assert _REPAIR.apply(value, RNG) is value


def test_a_long_text_is_not_one_edit() -> None:
    """Only the broken letters of a page are edited, in the one line that has them."""
    page = "A sound line, with café and 漢字.\n" * 50
    value = _REPAIR.apply(Text(page + broken("déjà vu") + "\n" + page), RNG)
    start = len(page) + 1
    assert value.text == f"{page}déjà vu\n{page}"
    assert runs_of(value) == [(start, start + 2, start, start + 1), (start + 3, start + 5, start + 2, start + 3)]


def test_a_line_without_end_is_mended_in_pieces() -> None:
    """A line of a hundred thousand characters is cut at white space, never inside a letter."""
    text = "Жаба ест сыр. " * 4000
    assert _REPAIR.apply(Text(broken(text)), RNG).text == text


def test_what_follows_no_pattern_is_compared() -> None:
    """Where a lost byte leaves no form to be recognized, what is equal before and after stays out of the edits."""
    raw = "before " + broken("„quoted\u201d", "sloppy-windows-1252").replace("\x9d", "\ufffd") + " after"
    value = _REPAIR.apply(Text(raw, (Span(len(raw) - 5, len(raw), "after"), Span(0, 6, "before"))), RNG)
    assert value.text == ftfy.fix_encoding(raw) != raw
    assert covered(value) == ["after", "before"]


def test_windows_quotes_read_as_controls_are_mended() -> None:
    """C1 controls become the quotation marks that Windows-1252 has in their places."""
    value = _REPAIR.apply(Text("\x93yes\x94 \x96 it\x92s"), RNG)
    assert value.text == "“yes” – it’s"  # noqa: RUF001 - typographic marks are meant
    assert runs_of(value) == []


def test_repair_is_asked_for() -> None:
    """By default nothing is guessed."""
    assert Normalize().apply(Text("Ã©"), RNG).text == "Ã©"
    assert Normalize(repair=True).apply(Text("cafÃ©"), RNG).text == "café"
