"""`text.language`: which language a text is in."""

from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from mmdata.errors import RecipeError, RecordError
from mmdata.stages.language import Language
from mmdata.values import Text
from tests.stages.texts import MIXED, RNG, SCHEMA, SENTENCES, check_absent, kept, record_of, rejected, text_of

_CAPTIONS = {
    "be": "Жаба сядзіць на зялёным лісце.", "bg": "Зелена жаба седи върху листо.", "ca": "Una granota verda damunt d'una fulla.",
    "da": "En grøn frø sidder på et blad.", "el": "Ένας πράσινος βάτραχος.", "en": "A green frog is sitting on a leaf.",
    "es": "Una rana verde sobre una hoja.", "fr": "Une grenouille verte sur une feuille.", "ml": "ഒരു പച്ച തവള.",
    "nl": "Een groene kikker zit op een blad.", "ro": "O broască verde stă pe o frunză.", "ru": "Зелёная лягушка сидит на листе.",
}  # fmt: skip


def told(text: str, stage: Language | None = None) -> tuple[object, object]:
    """Return the language and the confidence that the stage measures."""
    measures = kept((stage or Language())(record_of(Text(text)), RNG)).measures
    return measures["text.language"], measures["text.language_confidence"]


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_of_every_script_are_told(language: str) -> None:
    """Among all languages, a few sentences are enough."""
    found, confidence = told(text_of(language))
    assert found == language
    assert isinstance(confidence, float)
    assert 0.5 < confidence <= 1.0


@pytest.mark.parametrize("language", _CAPTIONS)
def test_captions_are_told_among_the_languages_that_can_occur(language: str) -> None:
    """One short sentence is enough where the languages are named."""
    assert told(_CAPTIONS[language], Language(languages=tuple(_CAPTIONS)))[0] == language


def test_naming_the_languages_makes_the_stage_surer() -> None:
    """The confidence is shared among those that can occur."""
    text = "Una rana."
    assert told(text, Language(languages=("es", "ml")))[1] > told(text)[1]  # type: ignore[operator]


@pytest.mark.parametrize("text", ["", " \n", "123 456", "👩\u200d👧 🇩🇪 !!!", "♫♪"])
def test_a_text_without_letters_has_no_language(text: str) -> None:
    """It is `und`, of no confidence, and kept only where that is asked."""
    assert told(text) == ("und", 0.0)
    assert rejected(Language(keep=("en",))(record_of(Text(text)), RNG)).reason == "text is in another language"
    assert told(text, Language(keep=("en", "und"))) == ("und", 0.0)


def test_other_languages_are_turned_away() -> None:
    """The reason can be counted, and the detail says what was found."""
    stage = Language(languages=("en", "fr", "zh"), keep=("en", "zh"))
    assert told(text_of("zh"), stage)[0] == "zh"
    reject = rejected(stage(record_of(Text("Une grenouille verte sur une feuille.")), RNG))
    assert (reject.kind, reject.reason) == ("filtered", "text is in another language")
    assert reject.detail.startswith("fr, confidence 0.")


def test_uncertain_texts_are_turned_away() -> None:
    """Two letters say nothing of a language."""
    reject = rejected(Language(minimum_confidence=0.9)(record_of(Text("ok")), RNG))
    assert (reject.kind, reject.reason) == ("filtered", "language of the text is uncertain")
    assert "at least 0.9" in reject.detail


def test_only_the_beginning_is_looked_at() -> None:
    """What stands beyond the limit counts for nothing."""
    text = text_of("en") + text_of("ru") * 20
    assert told(text, Language(most_characters=len(text_of("en"))))[0] == "en"
    assert told(text)[0] == "ru"


def test_the_measures_are_the_same_each_time_and_elsewhere() -> None:
    """A stage sent to a worker measures the same, to four decimals; other identifiers in use change nothing."""
    stage = Language(languages=("en", "ja", "th"))
    first = told(MIXED, stage)
    told(MIXED, Language(languages=("ar", "hi")))
    assert told(MIXED, pickle.loads(pickle.dumps(stage))) == first
    assert first[1] == round(first[1], 4)  # type: ignore[call-overload]


def test_infer_agrees_with_the_stage() -> None:
    """The schema has the measures that the record has, and their types."""
    schema = Language().infer(SCHEMA)
    record = kept(Language()(record_of(Text("ok")), RNG))
    assert {name: type(value).__name__ for name, value in record.measures.items()} == schema.measures
    assert schema.fields == SCHEMA.fields


def test_what_cannot_be_told() -> None:
    """Unknown languages and fields are recipe errors, a lone surrogate is an error of the record."""
    with pytest.raises(RecipeError, match="languages: tlh cannot be told"):
        Language(languages=("en", "tlh")).infer(SCHEMA)
    with pytest.raises(RecipeError, match="keep: fr cannot be told; the languages are en, und"):
        Language(languages=("en",), keep=("fr",)).infer(SCHEMA)
    with pytest.raises(RecipeError, match="there is no field 'caption'"):
        Language(field="caption").infer(SCHEMA)
    with pytest.raises(ValidationError):
        Language(minimum_confidence=1.5)
    with pytest.raises(RecordError, match="lone surrogate"):
        Language()(record_of(Text("a\ud800")), RNG)
    check_absent(Language())
