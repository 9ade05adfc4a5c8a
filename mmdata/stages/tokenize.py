"""`text.tokenize`: token ids and their places in the text, by a byte-level BPE trained on the corpus or a tokenizer at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from mmdata.errors import RecipeError
from mmdata.record import Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import FitStage, Outcome
from mmdata.stages.text import check_encodable
from mmdata.values import Text, Tokens

if TYPE_CHECKING:
    import tokenizers

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<mask>", "<cls>", "<unk>")
"""The special tokens of a tokenizer trained here; their ids are their places: 0 to 5."""

_FILE = "tokenizer.json"
_BYTES = 256
_SCHEMA = pa.schema([("text", pa.large_string())])


class Tokenize(FitStage):
    """Makes tokens of a text: ids, and the range of characters that each one covers.

    Without `tokenizer`, a byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) is trained on the corpus. It covers every
    character of every text; a token inside one character covers the whole character. Words in the text that look like special
    tokens are read as ordinary text. The tokenizer is saved as `tokenizer.json`, which the `tokenizers` library reads.

    Example:
        - text.tokenize: {vocabulary: 16384, max_tokens: 256}
    """

    field: str = Field("text", description="the text field")
    output: str = Field("tokens", min_length=1, description="name of the new tokens field")
    tokenizer: str | None = Field(None, description="path of a Hugging Face tokenizer.json; by default one is trained")
    vocabulary: int = Field(
        8192,
        ge=_BYTES + len(SPECIAL_TOKENS),
        description="most tokens that training makes, special ones and the 256 bytes included",
    )
    minimum_frequency: int = Field(2, ge=1, description="how often a pair must occur to become a token in training")
    add_special: bool = Field(
        default=False, description="whether special tokens are put around the text, such as <bos> and <eos>"
    )
    max_tokens: int | None = Field(None, ge=1, description="most tokens of a text, special ones included; by default any number")
    too_long: Literal["truncate", "reject"] = Field("truncate", description="what becomes of a text with more than max_tokens")

    def infer(self, schema: Schema) -> Schema:
        """Add the tokens field. Raises RecipeError for a tokenizer that cannot be read, or a name that is taken.

        The size of the vocabulary is exact once the tokenizer is there; before training, it is an upper bound.
        """
        schema.require(self.field, "text")
        if self.output in schema.fields:
            raise RecipeError(f"there is a field {self.output!r} already; give output another name")
        vocabulary, around = self.vocabulary, 2
        content = self._learned[_FILE] if self._learned is not None else self._given()
        if content is not None:
            loaded = _loaded(content, None)
            vocabulary, around = loaded.get_vocab_size(), loaded.num_special_tokens_to_add(is_pair=False)
        if self.add_special and self.max_tokens is not None and self.max_tokens <= around:
            raise RecipeError(f"max_tokens {self.max_tokens} leaves no room beside {around} special tokens")
        type_ = FieldType("tokens", dtype="int32", shape=(None,), text=self.field, vocabulary=vocabulary)
        return schema.with_field(self.output, type_)

    @property
    def files(self) -> tuple[str, ...]:
        """The tokenizer."""
        return (_FILE,)

    def observe(self, records: Iterable[Record]) -> pa.Table:
        """Return a column `text`; empty where a tokenizer is given, which has nothing to learn."""
        values = [] if self.tokenizer is not None else [record.fields.get(self.field) for record in records]
        texts = [value.text for value in values if isinstance(value, Text) and _is_encodable(value.text)]
        return pa.table({"text": texts}, schema=_SCHEMA)

    def reduce(self, observations: pa.Table) -> dict[str, bytes]:
        """Return `tokenizer.json`: trained, or a copy of the one given.

        A stage must follow from its options and its artifacts alone. So a tokenizer from outside becomes an artifact too: it
        enters the fingerprint, and the dataset stays whole when the file changes or goes.
        """
        given = self._given()
        return {_FILE: _trained(_texts(observations), self.vocabulary, self.minimum_frequency) if given is None else given}

    def check_given(self, files: Mapping[str, bytes], made_by: Mapping[str, Any]) -> None:
        """Raise RecipeError for another tokenizer than the one named, or one that training with these options does not make."""
        if (given := self._given()) is not None:
            if given != files[_FILE]:
                raise RecipeError(f"is another tokenizer than {self.tokenizer!r}, which the stage names; leave one of them out")
            return
        loaded = _loaded(files[_FILE], None)
        kind, size = type(loaded.model).__name__, loaded.get_vocab_size()
        if kind != "BPE" or [loaded.token_to_id(token) for token in SPECIAL_TOKENS] != list(range(len(SPECIAL_TOKENS))):
            raise RecipeError(
                f"is no tokenizer that training here makes ({kind}, {size:,} tokens); name it as `tokenizer` to use it"
            )
        if size > self.vocabulary:
            raise RecipeError(f"has {size:,} tokens, and `vocabulary` allows {self.vocabulary:,}; set it to {size}")
        used = {} if made_by.get("tokenizer") is not None else made_by
        for name in ("vocabulary", "minimum_frequency"):
            if (then := used.get(name)) not in (None, now := getattr(self, name)):
                raise RecipeError(f"was trained with `{name}` {then}, and the stage says {now}; set it to {then}")

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Add the tokens. Raises RecordError for a text with lone surrogates; a record without the field stays as it is."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        check_encodable(value.text)
        limit = self.max_tokens if self.too_long == "truncate" else None
        encoding = _loaded(self.learned[_FILE], limit).encode(value.text, add_special_tokens=self.add_special)
        if self.max_tokens is not None and len(encoding.ids) > self.max_tokens:
            return Reject(
                "filtered", "text has too many tokens", f"{len(encoding.ids)} tokens, at most {self.max_tokens} are taken"
            )
        ids = np.array(encoding.ids, dtype=np.int32)
        offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        return record.with_fields(**{self.output: Tokens(ids, offsets)})

    def _given(self) -> bytes | None:
        """Return the content of the tokenizer at hand, if there is one. Raises RecipeError where it cannot be used."""
        if self.tokenizer is None:
            return None
        try:
            content = Path(self.tokenizer).read_bytes()
        except OSError as error:
            raise RecipeError(
                f"tokenizer {self.tokenizer!r} cannot be read: {error.strerror}; give the path of a {_FILE}"
            ) from error
        try:
            _loaded(content, None)
        except Exception as error:  # the library raises bare Exceptions
            raise RecipeError(f"tokenizer {self.tokenizer!r} is not a {_FILE} of the tokenizers library: {error}") from error
        return content


def _is_encodable(text: str) -> bool:
    """Whether a text can be learned from; the stage itself turns the others away."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(observations: pa.Table) -> Iterator[list[str]]:
    for batch in observations.to_batches(max_chunksize=1024):
        yield batch.column(0).to_pylist()


def _trained(texts: Iterator[list[str]], vocabulary: int, minimum_frequency: int) -> bytes:
    """Train a byte-level BPE: a pure function of the texts, whatever the number of threads."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [(name, SPECIAL_TOKENS.index(name)) for name in ("<bos>", "<eos>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A $B <eos>", special_tokens=ends
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=minimum_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str(pretty=True).encode()


@lru_cache(maxsize=8)
def _loaded(content: bytes, limit: int | None) -> tokenizers.Tokenizer:
    """Return the tokenizer in a `tokenizer.json`, which cuts a text to `limit` tokens; one object a process."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(content)
    # What the file says of padding and length is for another use, and a text must not hold control tokens.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    if limit is not None:
        tokenizer.enable_truncation(limit)
    return tokenizer
