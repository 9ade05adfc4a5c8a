"""Which fields of a dataset the model reads, and what it must know of them. Stored with the model, so it needs no dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from mmdata.dataset import Dataset
from mmdata.dsp.mel import RATE
from mmdata.errors import ConfigError
from mmdata.schema import Schema
from mmdata.train.config import MODALITIES, Modality, TrainConfig
from mmdata.values import Kind

BYTES = 256
_EVEN = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Layout:
    """The field of each modality, in the order text, audio, image.

    Attributes:
        fields: field by modality; at least two modalities.
        vocabulary: number of unit ids of a text, from 0; padding and masking have ids of their own.
        tokenizer: sha256 of the tokenizer that made the token ids, by file; empty where bytes are read.
        mean: of red, green and blue in [0, 1]; what is subtracted from pictures.
        deviation: of red, green and blue in [0, 1]; what pictures are divided by afterwards.
    """

    fields: Mapping[Modality, str]
    vocabulary: int = BYTES
    tokenizer: Mapping[str, str] = field(default_factory=dict)
    mean: tuple[float, ...] = _EVEN
    deviation: tuple[float, ...] = _EVEN

    @property
    def masked_id(self) -> int:
        """The id that stands for a hidden unit in the model, after padding (0) and the vocabulary (from 1)."""
        return self.vocabulary + 1

    @classmethod
    def of(cls, dataset: Dataset, config: TrainConfig) -> Self:
        """Choose the fields of a dataset. Raises ConfigError where the model cannot read what is there."""
        kinds = _kinds(config)
        wanted = [modality for modality in MODALITIES if modality in (config.modalities or MODALITIES)]
        found = {modality: _field(dataset.schema, modality, kinds[modality], config) for modality in wanted}
        fields = {modality: name for modality, name in found.items() if name is not None}
        missing = [modality for modality in config.modalities or () if modality not in fields]
        if missing or len(fields) < 2:
            needs = ", ".join(f"{modality} (a field of kind {kinds[modality]})" for modality in missing or wanted)
            has = ", ".join(f"{name} ({type_.kind})" for name, type_ in dataset.schema.fields.items())
            raise ConfigError(f"{dataset.path}: pairs of {needs} are to be learned; the fields of the dataset are {has}")
        _check_rate(dataset, fields.get("audio"))
        by_tokens = "text" in fields and config.text.units == "tokens"
        statistics = dataset.description["statistics"].get(fields.get("image"), {})
        return cls(
            fields,
            _vocabulary(dataset, fields["text"]) if by_tokens else BYTES,
            _tokenizer(dataset) if by_tokens else {},
            tuple(statistics.get("mean", _EVEN)),
            # A channel that never changes has no deviation to divide by.
            tuple(deviation or 1.0 for deviation in statistics.get("deviation", _EVEN)),
        )

    def check(self, dataset: Dataset, config: TrainConfig) -> None:
        """Raise ConfigError unless a model of this layout can read another dataset and its ids mean the same there."""
        kinds = _kinds(config)
        for modality, name in self.fields.items():
            if name not in dataset.schema.fields or dataset.schema.fields[name].kind != kinds[modality]:
                raise ConfigError(f"{dataset.path}: the model reads {modality} from a field {name!r} of kind {kinds[modality]}")
        _check_rate(dataset, self.fields.get("audio"))
        by_tokens = "text" in self.fields and config.text.units == "tokens"
        if by_tokens and (_tokenizer(dataset), _vocabulary(dataset, self.fields["text"])) != (self.tokenizer, self.vocabulary):
            raise ConfigError(
                f"{dataset.path}: its tokens were made by another tokenizer than those that the model learned; "
                "build it with the tokenizer.json of the first dataset, or train with text.units=bytes"
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "mean": list(self.mean), "deviation": list(self.deviation)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**{**data, "mean": tuple(data["mean"]), "deviation": tuple(data["deviation"])})


def _kinds(config: TrainConfig) -> dict[Modality, Kind]:
    return {"text": "tokens" if config.text.units == "tokens" else "text", "audio": "audio", "image": "image"}


def _field(schema: Schema, modality: Modality, kind: Kind, config: TrainConfig) -> str | None:
    """Return the field that the settings name, else the one with the kind's own name, else the only one of the kind."""
    named: str | None = getattr(config, modality).field
    if named is not None:
        if named not in schema.fields or schema.fields[named].kind != kind:
            raise ConfigError(f"{modality}.field: the dataset has no field {named!r} of kind {kind}")
        return named
    fields = [name for name, type_ in schema.fields.items() if type_.kind == kind]
    if len(fields) > 1 and kind not in fields:
        raise ConfigError(f"{modality}.field: there are several of kind {kind}; name one of {', '.join(fields)}")
    return kind if kind in fields else next(iter(fields), None)


def _check_rate(dataset: Dataset, name: str | None) -> None:
    rate = RATE if name is None else dataset.schema.fields[name].rate
    if rate != RATE:
        found = "has no fixed rate" if rate is None else f"is at {rate} Hz"
        raise ConfigError(
            f"{dataset.path}: field {name!r} {found}; "
            f"the model hears {RATE} Hz: add `audio.resample: {{rate: {RATE}}}` to the recipe"
        )


def _vocabulary(dataset: Dataset, name: str) -> int:
    vocabulary = dataset.schema.fields[name].vocabulary
    if vocabulary is None:
        raise ConfigError(f"{dataset.path}: the schema does not say how many ids field {name!r} has; train with text.units=bytes")
    return vocabulary


def _tokenizer(dataset: Dataset) -> dict[str, str]:
    artifacts = dataset.description["artifacts"]
    return {name: digest for name, digest in artifacts.items() if name.endswith("tokenizer.json")}
