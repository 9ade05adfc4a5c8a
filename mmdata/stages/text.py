"""Stages that rewrite a text: `text.normalize`. Spans follow and the lineage notes every edit (see `Text.edited`)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mmdata.errors import RecipeError, RecordError
from mmdata.schema import Schema
from mmdata.stages.base import FieldStage
from mmdata.stages.text_punctuation import Punctuation, folded
from mmdata.stages.text_repair import Replacement, repaired
from mmdata.values import Kind, Text

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
Rewrite = Callable[[str], Iterator[Replacement]]

# Unicode categories Cc, Cf and Co and the noncharacters, without white space, the joiners, and the format characters that
# scripts need to be read: Arabic, Syriac and Kaithi number signs, the Mongolian vowel separator, Egyptian, shorthand and
# musical controls. Tags stay only where they make a flag.
_CONTROL = re.compile(
    "\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"
    "|([\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ue000-\uf8ff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0001\U000e0020-\U000e007f\U000f0000-\U0010ffff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xF0000, 0x10000))
    + "]+)"
)
_SURROGATE = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")
_SPACE = re.compile(r"\s+")
_LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_NOT_ASCII = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+")
# Vowels and final consonants of Hangul, and vowel signs of Kirat Rai: letters that compose with the letter before them.
_COMPOSING_LETTER = re.compile("[\u1160-\u11ff\U00016d63-\U00016d6a]")


class Normalize(FieldStage[Text]):
    """Brings a text into one Unicode form, one kind of white space, and without invisible control characters.

    The order is: lone surrogates become U+FFFD; broken encodings are mended; control, format and private-use characters and
    noncharacters go, bidirectional overrides and zero-width spaces among them, while joiners, emoji flags and what scripts need
    stay; the Unicode form (Unicode Standard Annex 15); punctuation; the case; white space. An empty text stays empty:
    `record.require` turns it away.

    Example:
        - text.normalize: {form: NFKC, case: lower}
    """

    kind: ClassVar[Kind] = "text"
    keeps_all: ClassVar[bool] = True

    field: str = Field("text", description="the text field")
    form: Literal["NFC", "NFD", "NFKC", "NFKD", "none"] = Field(
        "NFC",
        description="Unicode normalization form; the K forms also replace compatibility characters, such as full-width letters",
    )
    repair: bool = Field(
        default=False, description="whether text that was read in the wrong encoding, such as Ã© for é, is mended (ftfy)"
    )
    punctuation: tuple[Punctuation, ...] = Field(
        (),
        description="what is folded to ASCII: typographic quotes, dashes and dots, and full-width forms (width)",
    )
    whitespace: bool = Field(default=True, description="whether a run of white space becomes one space, and the ends lose theirs")
    keep_lines: bool = Field(
        default=False, description="with whitespace: whether a run that has a line break becomes one line break instead"
    )
    controls: bool = Field(default=True, description="whether control, format and private-use characters are removed")
    case: Literal["keep", "lower", "fold"] = Field("keep", description="keep the case, make lower case, or fold for comparison")

    def infer(self, schema: Schema) -> Schema:
        """Check the field, and that no tokens point into it."""
        check_not_tokenized(schema, self.field)
        return super().infer(schema)

    def apply(self, value: Text, rng: np.random.Generator) -> Text:  # noqa: ARG002 - the interface of every field stage
        """Return the normalized text; the same object where nothing changes."""
        for rewrite in self._rewrites():
            value = value.edited(rewrite(value.text), self.stage)
        return value

    def _rewrites(self) -> Iterator[Rewrite]:
        yield _without_surrogates
        if self.repair:
            yield repaired
        if self.controls:
            yield _without_controls
        yield from self._form()
        if self.punctuation:
            yield lambda text: folded(text, self.punctuation)
        if self.case != "keep":
            yield _lower if self.case == "lower" else _folded
            yield from self._form()  # a folded text need not be normalized: U+01F0 folds to two characters
        if self.whitespace:
            yield _with_lines if self.keep_lines else _on_one_line

    def _form(self) -> Iterator[Rewrite]:
        if self.form != "none":
            form = self.form
            yield lambda text: _in_form(text, form)


def check_not_tokenized(schema: Schema, field: str) -> None:
    """Raise RecipeError where a tokens field has offsets into this text: a rewrite would break them."""
    for name, type_ in schema.fields.items():
        if type_.text == field:
            raise RecipeError(f"the tokens in {name!r} point into {field!r}, which this would change; tokenize after this stage")


def check_encodable(text: str) -> None:
    """Raise RecordError for a text with lone surrogates: it has no UTF-8 form."""
    if not text.isascii() and (found := _SURROGATE.search(text)):
        detail = f"U+{ord(found[0][0]):04X} at character {found.start()}; text.normalize replaces it"
        raise RecordError("text has a lone surrogate", detail)


def _without_surrogates(text: str) -> Iterator[Replacement]:
    if not text.isascii():
        for match in _SURROGATE.finditer(text):
            # Both halves of a pair, each read as a character of its own, still say which character was meant.
            whole = match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
            yield match.start(), match.end(), whole or "\ufffd"


def _without_controls(text: str) -> Iterator[Replacement]:
    return ((match.start(1), match.end(1), "") for match in _CONTROL.finditer(text) if match[1])


def _in_form(text: str, form: Form) -> Iterator[Replacement]:
    """Give the replacements that normalize a text, each as small as the form allows."""
    if text.isascii() or unicodedata.is_normalized(form, text):
        return
    for match in _NOT_ASCII.finditer(text):
        if not unicodedata.is_normalized(form, match[0]):
            yield from _segments_in_form(text, match.start(), match.end(), form)


def _segments_in_form(text: str, first: int, last: int, form: Form) -> Iterator[Replacement]:
    start = first
    for end in range(first + 1, last + 1):
        if end == last or _stands_alone(text[end]):
            segment = text[start:end]
            yield start, end, unicodedata.normalize(form, segment)
            start = end


@lru_cache(maxsize=1 << 16)
def _stands_alone(character: str) -> bool:
    """Whether a character never composes or changes places with what stands before it, in any form.

    It is so when its full decomposition begins with no combining mark and no letter that composes. Texts cut before such
    characters can be normalized piece by piece.
    """
    first = unicodedata.normalize("NFKD", character)[0]
    canonical = unicodedata.normalize("NFD", character)[0]
    return all(unicodedata.category(c)[0] != "M" and not _COMPOSING_LETTER.match(c) for c in (first, canonical, character))


def _folded(text: str) -> Iterator[Replacement]:
    return ((i, i + 1, character.casefold()) for i, character in enumerate(text) if character != character.casefold())


def _lower(text: str) -> Iterator[Replacement]:
    lowered, place = text.lower(), 0
    if lowered == text:
        return
    for i, character in enumerate(text):
        # The lower case of the whole decides: a sigma at the end of a word differs, but is as long.
        size = len(character.lower())
        yield i, i + 1, lowered[place : place + size]
        place += size


def _on_one_line(text: str) -> Iterator[Replacement]:
    return _spaces(text, keep_lines=False)


def _with_lines(text: str) -> Iterator[Replacement]:
    return _spaces(text, keep_lines=True)


def _spaces(text: str, *, keep_lines: bool) -> Iterator[Replacement]:
    for match in _SPACE.finditer(text):
        at_end = match.start() == 0 or match.end() == len(text)
        new = "\n" if keep_lines and _LINE_BREAK.search(match[0]) else " "
        yield match.start(), match.end(), "" if at_end else new
