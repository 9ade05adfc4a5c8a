"""`text.tokenize`: offsets cover the text, training gives the same bytes, and a given tokenizer becomes an artifact."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from mmdata.errors import RecipeError, RecordError
from mmdata.record import Origin, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.tokenize import SPECIAL_TOKENS, Tokenize
from mmdata.values import Text, Tokens

_RNG = np.random.default_rng(0)
_SCHEMA = Schema({"text": FieldType("text", dtype="str")})
_CORPUS = [
    "the cat sat on the mat",
    "the dog sat",
    "今日は漢字",
    "สวัสดี ไทย",
    "السلام عليكم",
    "👩\u200d👩\u200d👧 e\u0301",
    "你好 世界",
]


def record(text: str, row: int = 0) -> Record:
    """Make a record of one text."""
    return Record(f"k{row}", {"text": Text(text)}, Origin(row, f"k{row}", "train", f"k{row}"))


def fit(stage: Tokenize, texts: list[str]) -> Tokenize:
    """Let the stage learn from texts, as two tasks."""
    records = [record(text, row) for row, text in enumerate(texts)]
    tables = [stage.observe(records[:3]), stage.observe(records[3:])]
    return stage.fitted(stage.reduce(pa.concat_tables(tables)))


TRAINED = fit(Tokenize(vocabulary=320), _CORPUS * 3)


def tokens_of(stage: Tokenize, text: str) -> Tokens:
    """Run the stage over one text."""
    result = stage(record(text), _RNG)
    assert isinstance(result, Record)
    tokens = result["tokens"]
    assert isinstance(tokens, Tokens)
    return tokens


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@example("👩\u200d👩\u200d👧 e\u0301\u0323  漢字\n\nไทย العَرَبِيَّة \U0010ffff")
def test_offsets_cover_the_text_without_a_gap(text: str) -> None:
    """Each token begins where the one before ended, or covers the same character, of which both are parts."""
    tokens = tokens_of(TRAINED, text)
    assert tokens.ids.dtype == tokens.offsets.dtype == np.int32
    place = 0
    for start, end in tokens.offsets.tolist():
        assert start == place or (start == place - 1 and start < end)
        assert end > start
        place = end
    assert place == len(text)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_ids_decode_to_the_text(text: str) -> None:
    """The saved tokenizer turns the ids back into the text, character by character."""
    loaded = Tokenizer.from_str(TRAINED.learned["tokenizer.json"].decode())
    assert loaded.decode(tokens_of(TRAINED, text).ids.tolist(), skip_special_tokens=False) == text


def test_tokens_of_one_character_cover_the_whole_character() -> None:
    """The four bytes of an emoji that is no token of its own all point at it."""
    tokens = tokens_of(fit(Tokenize(vocabulary=262), _CORPUS), "x🦄y")
    assert tokens.offsets.tolist() == [[0, 1], [1, 2], [1, 2], [1, 2], [1, 2], [2, 3]]


def test_words_that_look_special_are_ordinary_text() -> None:
    """A text cannot hold control tokens."""
    tokens = tokens_of(TRAINED, "a <pad> b<eos>")
    assert min(tokens.ids) >= len(SPECIAL_TOKENS)
    assert tokens.offsets[-1].tolist()[1] == len("a <pad> b<eos>")


def test_special_tokens_have_fixed_ids_and_stand_around_on_request() -> None:
    """Pad is 0, bos 1, eos 2, mask 3, cls 4; those around the text cover nothing."""
    vocabulary = json.loads(TRAINED.learned["tokenizer.json"])["model"]["vocab"]
    assert [vocabulary[name] for name in SPECIAL_TOKENS] == [0, 1, 2, 3, 4, 5]
    around = tokens_of(fit(Tokenize(vocabulary=320, add_special=True), _CORPUS), "the cat")
    assert (around.ids[0], around.ids[-1]) == (1, 2)
    assert around.offsets[[0, -1]].tolist() == [[0, 0], [0, 0]]


def test_a_text_that_is_too_long_is_cut_or_turned_away() -> None:
    """The cut keeps the special tokens; a reject says how many tokens there were."""
    cut = fit(Tokenize(vocabulary=320, max_tokens=4, add_special=True), _CORPUS)
    tokens = tokens_of(cut, "qwertyuiop")
    assert (len(tokens.ids), tokens.ids[0], tokens.ids[-1]) == (4, 1, 2)
    assert tokens.offsets.tolist() == [[0, 0], [0, 1], [1, 2], [0, 0]]
    strict = fit(Tokenize(vocabulary=320, max_tokens=4, too_long="reject"), _CORPUS)
    assert strict(record("qwertyuiop"), _RNG) == Reject("filtered", "text has too many tokens", "10 tokens, at most 4 are taken")
    assert len(tokens_of(strict, "qwer").ids) == 4
    assert len(tokens_of(TRAINED, "qwertyuiop").ids) == 10


def test_an_empty_text_has_no_tokens() -> None:
    """Ids [0] and offsets [0, 2]."""
    tokens = tokens_of(TRAINED, "")
    assert (tokens.ids.shape, tokens.offsets.shape) == ((0,), (0, 2))


def test_a_record_without_the_field_stays_and_a_lone_surrogate_is_an_error() -> None:
    """An absent text has no tokens; one that has no UTF-8 form is not learned from, and turned away."""
    empty = Record("k", {}, Origin(0, "k", "train", "k"))
    assert TRAINED(empty, _RNG) is empty
    assert Tokenize().observe([empty, record("a\ud800"), record("b")])["text"].to_pylist() == ["b"]
    with pytest.raises(RecordError, match="text has a lone surrogate"):
        TRAINED(record("a\ud800"), _RNG)


def test_training_gives_the_same_bytes_in_every_process() -> None:
    """Whatever the hash seed and the number of threads, one corpus gives one tokenizer.json."""
    script = (
        "import hashlib, random; from mmdata.stages.tokenize import _trained;"
        "r = random.Random(5); words = [''.join(r.choices('abcdefgh漢字かなไทย é', k=r.randint(1, 6))) for _ in range(2000)];"
        "texts = [[' '.join(r.choices(words, k=12)) for _ in range(300)] for _ in range(5)];"
        "print(hashlib.sha256(_trained(iter(texts), 1500, 2)).hexdigest())"
    )
    digests = set()
    for seed, threads in (("0", "1"), ("1", "4"), ("77", "3")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"}
        command = [sys.executable, "-c", script]
        digests.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(digests) == 1


def test_training_does_not_depend_on_how_rows_were_cut_into_tasks() -> None:
    """One table or many, the bytes are the same; an empty corpus still gives all bytes as tokens."""
    stage = Tokenize(vocabulary=320)
    whole = stage.reduce(stage.observe([record(text) for text in _CORPUS * 3]))
    assert whole == dict(TRAINED.learned)
    assert len(tokens_of(stage.fitted(stage.reduce(stage.observe([]))), "é").ids) == 2


def test_a_given_tokenizer_becomes_an_artifact(tmp_path: Path) -> None:
    """Its bytes are copied, nothing is observed, and the stage needs the file no more; its padding and cuts are not taken."""
    raw = Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 1, "sat": 2}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.enable_padding(length=9)
    raw.enable_truncation(1)
    path = tmp_path / "tokenizer.json"
    raw.save(str(path))
    stage = Tokenize(tokenizer=str(path), output="words")
    assert stage.needs_fit
    assert stage.infer(_SCHEMA).fields["words"].vocabulary == 3
    table = stage.observe([record("cat sat")])
    assert table.num_rows == 0
    fitted = stage.fitted(stage.reduce(table))
    assert fitted.learned["tokenizer.json"] == path.read_bytes()
    path.unlink()
    result = pickle.loads(pickle.dumps(fitted))(record("cat  漢 sat"), _RNG)
    assert result["words"].ids.tolist() == [1, 0, 2]
    assert result["words"].offsets.tolist() == [[0, 3], [5, 6], [7, 10]]
    assert fitted.infer(_SCHEMA).fields["words"].vocabulary == 3


def test_a_tokenizer_that_cannot_be_read_fails_when_the_plan_is_made(tmp_path: Path) -> None:
    """A missing file and one of another kind are recipe errors that name the path."""
    with pytest.raises(RecipeError, match=r"none\.json' cannot be read"):
        Tokenize(tokenizer=str(tmp_path / "none.json")).infer(_SCHEMA)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(RecipeError, match=r"other\.json' is not a tokenizer\.json"):
        Tokenize(tokenizer=str(tmp_path / "other.json")).infer(_SCHEMA)


def test_infer_says_what_the_tokens_are() -> None:
    """The new field points at its text; the vocabulary is a bound before training and exact after."""
    type_ = Tokenize(vocabulary=5000).infer(_SCHEMA).fields["tokens"]
    assert type_ == FieldType("tokens", dtype="int32", shape=(None,), text="text", vocabulary=5000)
    size = Tokenizer.from_str(TRAINED.learned["tokenizer.json"].decode()).get_vocab_size()
    assert TRAINED.infer(_SCHEMA).fields["tokens"].vocabulary == size
    assert max(tokens_of(TRAINED, "".join(_CORPUS)).ids) < size <= 320


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Tokenize(field="words"), "there is no field 'words'"),
        (Tokenize(output="text"), "there is a field 'text' already"),
        (Tokenize(max_tokens=2, add_special=True), "leaves no room"),
    ],
)
def test_infer_refuses_what_cannot_work(stage: Tokenize, message: str) -> None:
    """A missing field, a name that is taken, and a limit below the special tokens are recipe errors."""
    with pytest.raises(RecipeError, match=message):
        stage.infer(_SCHEMA)


def test_the_stage_is_not_used_before_it_is_fitted() -> None:
    """Without artifacts there is no tokenizer."""
    with pytest.raises(RuntimeError, match="before its fit pass"):
        Tokenize()(record("a"), _RNG)
