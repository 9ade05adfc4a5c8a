"""`text.redact`: what names people goes, where it stood is marked, and nothing that was removed stays anywhere."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmdata.errors import MissingExtraError, RecipeError
from mmdata.lineage import Edits, composed
from mmdata.record import Origin, Provenance, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages import redact as module
from mmdata.stages.redact import Redact
from mmdata.values import Span, Text

_RNG = np.random.default_rng(0)
_SCHEMA = Schema({"text": FieldType("text", dtype="str")}, {"lang": "str"})
_LETTER = "Dear jane@example.com, call +1 202-555-0142 or 203.0.113.9; pay GB29 NWBK 6016 1331 9268 19, card 4111 1111 1111 1111."
_REDACTED = "Dear <EMAIL>, call <PHONE> or <IP>; pay <IBAN>, card <CARD>."
_PIECES = st.sampled_from(
    [
        "jane@example.com",
        "+1 202-555-0142",
        "203.0.113.9",
        "4111111111111111",
        "DNI 12345678Z",
        "hello",
        "漢字",
        " ",
        ", ",
        "\n",
        "٣",
        "é",
    ]
)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a secret key."""
    path = tmp_path / "redaction.key"
    path.write_text("5f0c1f5a3b0e4d0f9a7c2d1e8b6a4c3d\n")
    return path


def make_record(text: str, *spans: Span, lang: str = "en") -> Record:
    """Make a record with one text."""
    origin = Origin(0, "a", "train", "a", {"text": Provenance("column:text", "0" * 64, 9)})
    return Record("a", {"text": Text(text, spans)}, origin, {"lang": lang})


def redacted(text: str, *spans: Span, lang: str = "en", **options: Any) -> tuple[Text, Record]:
    """Run the stage; return the text and the record."""
    record = Redact(**options)(make_record(text, *spans, lang=lang), _RNG)
    assert isinstance(record, Record)
    value = record["text"]
    assert isinstance(value, Text)
    return value, record


def test_every_kind_becomes_its_tag() -> None:
    """Tags stand where personal data stood, each marked by a span, and the measure counts them."""
    value, record = redacted(_LETTER)
    assert value.text == _REDACTED
    assert [(span.label, value.text[span.start : span.end]) for span in value.spans] == [
        ("redacted:email", "<EMAIL>"),
        ("redacted:phone", "<PHONE>"),
        ("redacted:ip", "<IP>"),
        ("redacted:iban", "<IBAN>"),
        ("redacted:card", "<CARD>"),
    ]
    assert record.measures == {"text.redactions": 5}


def test_infer_agrees_with_the_call() -> None:
    """The measure that the schema promises is the one that records get, whether something was found or not."""
    inferred = Redact(language_column="lang").infer(_SCHEMA)
    assert inferred.measures == {"text.redactions": "int"}
    assert inferred.fields == _SCHEMA.fields
    for text in (_LETTER, "nothing here", ""):
        assert set(redacted(text)[1].measures) == set(inferred.measures)


def test_a_text_without_personal_data_is_the_same_object() -> None:
    """Nothing found: the same value, the same origin, and a zero."""
    record = make_record("Version 1.2.3.4 of 2023-10-15 costs $1,234,567.89.")
    result = Redact()(record, _RNG)
    assert isinstance(result, Record)
    assert result["text"] is record["text"]
    assert result.origin is record.origin
    assert result.measures == {"text.redactions": 0}


def test_a_record_without_the_field_passes() -> None:
    """A field that is absent needs no redaction."""
    record = Record("a", {}, Origin(0, "a", "train", "a"))
    assert Redact()(record, _RNG) is record


def test_the_stage_is_picklable_and_leaves_its_input(key_file: Path) -> None:
    """A copy from another process gives the same; neither holds the key; the record that came in is as it was."""
    stage = Redact(replacement="pseudonym", key_file=key_file)
    record = make_record(_LETTER, Span(0, 4, "word"))
    stage.infer(_SCHEMA)
    pickled = pickle.dumps(stage)
    secret = key_file.read_bytes().strip()
    first, second = stage(record, _RNG), pickle.loads(pickled)(record, _RNG)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert first["text"].text == second["text"].text  # type: ignore[union-attr]
    assert record["text"].text == _LETTER  # type: ignore[union-attr]
    assert record["text"].spans == (Span(0, 4, "word"),)  # type: ignore[union-attr]
    assert secret not in pickled
    assert secret.decode() not in repr(stage) + stage.model_dump_json()


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES, max_size=12).map("".join), st.sampled_from(["en", "es", "zh", "xx"]))
def test_spans_and_lineage_follow(text: str, lang: str) -> None:
    """Spans of what stayed point at it still, marks point at tags, and the lineage leads from raw to redacted."""
    spans = tuple(Span(i, i + 1, "at") for i in range(len(text)))
    value, record = redacted(text, *spans, lang=lang)
    by = composed(value.lineage) or Edits()
    assert isinstance(by, Edits)
    assert by.forward(len(text), end=True) == len(value.text)
    marks = [span for span in value.spans if span.label != "at"]
    assert len(marks) == record.measures["text.redactions"] == len(by.runs)
    for mark, (raw_start, raw_end, start, end) in zip(marks, by.runs, strict=True):
        assert (mark.start, mark.end) == (start, end)
        assert f"<{mark.label.removeprefix('redacted:').upper()}>" == value.text[start:end]
        assert value.text[start:end] not in text[raw_start:raw_end]
    untouched = [i for i in range(len(text)) if not any(low <= i < high for low, high, _, _ in by.runs)]
    assert all(value.text[by.forward(i)] == text[i] for i in untouched)


@settings(max_examples=100, deadline=None)
@given(st.lists(_PIECES, max_size=12).map(", ".join))
def test_a_tagged_text_stays_as_it_is(text: str) -> None:
    """Tags are not personal data, and nothing is overlooked because of what stood beside it."""
    once, _ = redacted(text)
    assert redacted(once.text)[1].measures == {"text.redactions": 0}


def test_nothing_that_was_removed_stays_in_the_record() -> None:
    """Neither lineage nor labels nor the sha256 of the raw text tell what was there."""
    address = "jane@example.com"
    text = f"write {address} now"
    spans = (Span(6, 22, address), Span(6, 10, "jane"), Span(0, 22, f"write {address}"), Span(0, 5, "write"))
    value, record = redacted(text, *spans)
    assert [span.label for span in value.spans] == ["<EMAIL>", "<EMAIL>", "write <EMAIL>", "write", "redacted:email"]
    said = json.dumps([step.to_json() for step in value.lineage]) + repr(value) + repr(record.origin)
    assert "jane" not in said
    assert record.origin.inputs["text"] == Provenance("", "", 0)


def test_a_value_has_one_pseudonym(key_file: Path) -> None:
    """However it is written and wherever it stands, the same value gives the same pseudonym, another value another."""
    options: dict[str, Any] = {"replacement": "pseudonym", "key_file": key_file}
    one, _ = redacted("Jane@Example.com or jane [at] example [dot] com or john@example.com", **options)
    first, second, third = (one.text[span.start : span.end] for span in one.spans)
    assert first == second != third
    numbers, _ = redacted("+1 202-555-0142, (202) 555-0142, 202.555.0142", language="en", **options)
    assert len({numbers.text[span.start : span.end] for span in numbers.spans}) == 1
    assert len(numbers.spans) == 3


def test_another_key_gives_other_pseudonyms(key_file: Path, tmp_path: Path) -> None:
    """Without the key nobody can tell which pseudonym belongs to whom."""
    other = tmp_path / "other.key"
    other.write_text("another key of many bytes")
    texts = {redacted(_LETTER, replacement="pseudonym", key_file=path)[0].text for path in (key_file, other)}
    assert len(texts) == 2


def test_pseudonyms_look_alike_and_are_nobodys(key_file: Path) -> None:
    """Pseudonyms keep the look of their kind in ranges that belong to nobody, and the stage leaves them alone."""
    options: dict[str, Any] = {"replacement": "pseudonym", "key_file": key_file}
    once, _ = redacted(f"{_LETTER} SSN 123-45-6789; 2001:db8::7", **options)
    pattern = (
        r"Dear user-\w{12}@example\.invalid, call \+999 \d{4} \d{4} \d{4} or 2[45]\d\.[\d.]+; "
        r"pay XX00 0000 \d{4} \d{4} \d{4} \d\d, card 0000 \d{4} \d{4} \d{4}\. SSN ID-\w{12}; 3fff:[\w:]+"
    )
    assert re.fullmatch(pattern, once.text)
    again, record = redacted(once.text, **options)
    assert again.text == once.text
    assert record.measures == {"text.redactions": 0}


def test_records_are_turned_away_where_asked() -> None:
    """A reject counts what was found by kind; it does not say what."""
    result = Redact(reject=True)(make_record(_LETTER), _RNG)
    assert result == Reject("filtered", "personal data", "1 card, 1 email, 1 iban, 1 ip, 1 phone")
    assert isinstance(Redact(reject=True)(make_record("nothing"), _RNG), Record)


def test_only_the_kinds_wanted_are_redacted() -> None:
    """A kind that is not named stays."""
    assert redacted("a@example.com 203.0.113.9", kinds=["ip"])[0].text == "a@example.com <IP>"


@pytest.mark.parametrize(
    ("options", "lang", "found"),
    [({}, "en", 0), ({"language": "pl"}, "en", 1), ({"language_column": "lang"}, "pl", 1), ({"regions": ["pl"]}, "en", 1)],
)
def test_national_numbers_go_by_region_or_language(options: dict[str, Any], lang: str, found: int) -> None:
    """A number without country code is a phone number where its region is looked for."""
    assert redacted("tel. 22 123 45 67", lang=lang, **options)[1].measures == {"text.redactions": found}


def test_regions_limit_the_national_ids() -> None:
    """Where countries are given, ids of others stay."""
    text = "DNI 12345678Z, CPF 000.067.802-37"
    assert redacted(text, regions=["ES"])[0].text == "DNI <NATIONAL_ID>, CPF 000.067.802-37"


@pytest.mark.parametrize(
    "options",
    [
        {"replacement": "pseudonym"},
        {"key_file": "somewhere"},
        {"language": "en", "language_column": "lang"},
        {"kinds": []},
        {"kinds": ["address"]},
        {"reject": True, "replacement": "pseudonym", "key_file": "somewhere"},
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    """A pseudonym needs a key and nothing else does; a language comes from one place; a kind must be known."""
    with pytest.raises(ValidationError):
        Redact(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field": "caption"}, "no field 'caption'"),
        ({"language_column": "tongue"}, "'tongue' is not there"),
        ({"regions": ["XQ"]}, "'XQ' is no country"),
        ({"names": "no_such_model"}, "python -m spacy download no_such_model"),
        ({"replacement": "pseudonym", "key_file": "/no/such/file"}, "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_at_plan_time(options: dict[str, Any], message: str) -> None:
    """Wrong fields, columns, regions, models and key files are named before any data is read."""
    with pytest.raises(RecipeError, match=message):
        Redact(**options).infer(_SCHEMA)


def test_a_short_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    """A key that could be guessed is an error, and the message does not say it."""
    path = tmp_path / "short.key"
    path.write_text("hunter2")
    with pytest.raises(RecipeError, match="at least 16") as caught:
        Redact(replacement="pseudonym", key_file=path).infer(_SCHEMA)
    assert "hunter2" not in str(caught.value)


def test_tokens_must_come_after() -> None:
    """Offsets of tokens would break, so the order is refused."""
    schema = _SCHEMA.with_field("tokens", FieldType("tokens", text="text"))
    with pytest.raises(RecipeError, match="tokenize after"):
        Redact().infer(schema)


def test_a_missing_library_is_said_at_plan_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds that need a library name the extra; the others do without."""
    monkeypatch.setitem(module._LIBRARIES, "phone", "no_such_library")
    with pytest.raises(MissingExtraError, match=r"mmdata\[redact\]"):
        Redact().infer(_SCHEMA)
    Redact(kinds=("email", "ip", "card")).infer(_SCHEMA)


def test_names_are_found_by_a_spacy_model(tmp_path: Path, key_file: Path) -> None:
    """A model that marks people redacts them; one name has one pseudonym; a model that knows none is refused."""
    import spacy

    people = spacy.blank("en")
    people.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Ada Lovelace"}])  # type: ignore[attr-defined]
    people.to_disk(tmp_path / "people")
    spacy.blank("en").to_disk(tmp_path / "nobody")
    Redact(names=str(tmp_path / "people")).infer(_SCHEMA)
    text = "Ada Lovelace met Ada Lovelace."
    assert redacted(text, names=str(tmp_path / "people"))[0].text == "<NAME> met <NAME>."
    value, _ = redacted(text, names=str(tmp_path / "people"), replacement="pseudonym", key_file=key_file)
    assert len({value.text[span.start : span.end] for span in value.spans}) == 1
    with pytest.raises(RecipeError, match="knows no people"):
        Redact(names=str(tmp_path / "nobody")).infer(_SCHEMA)
