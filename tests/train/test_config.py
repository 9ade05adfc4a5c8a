"""Settings: presets by name, files, changes from the command line, and errors that name the place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mmdata.dataset import Dataset
from mmdata.errors import ConfigError
from mmdata.train.config import TextSettings, TrainConfig, load_config
from mmdata.train.layout import Layout
from mmdata.train.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load_by_name_and_survive_json(name: str) -> None:
    """Each preset is found under its name and is the same after a way through JSON."""
    config = load_config(name)
    assert config == PRESETS[name]
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_overrides_change_values_by_their_path() -> None:
    """Values are set by dotted path."""
    config = load_config("nano", ["epochs=3", "audio.strides=[2, 2]", "modalities=[text, audio]"])
    assert (config.epochs, config.audio.strides, config.modalities) == (3, (2, 2), ("text", "audio"))


def test_a_file_gives_settings(tmp_path: Path) -> None:
    """A YAML file holds what differs from the defaults; its name is that of the settings."""
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 2\ntext: {units: bytes}\n", encoding="utf-8")
    assert load_config(path) == TrainConfig(name="mine", epochs=2, text=TextSettings(units="bytes"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epoch=3", "did you mean 'epochs'"),
        ("epochs=0", "greater than or equal to 1"),
        ("width=130", "no multiple of twice heads"),
        ("audio.kernel=4", "kernel 4 is even"),
        ("modalities=[text]", "two or three different"),
        ("epochs", "KEY=VALUE"),
    ],
)
def test_wrong_settings_are_refused_with_their_place(setting: str, message: str) -> None:
    """A wrong setting is an error of the configuration that says what is wrong."""
    with pytest.raises(ConfigError, match=message):
        load_config("tiny", [setting])


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    """A misspelt name is answered with the one that was probably meant."""
    with pytest.raises(ConfigError, match="did you mean 'nano'"):
        load_config("nanno")


def test_fields_are_found_by_kind(dataset: Dataset, config: TrainConfig) -> None:
    """The model reads the field of each kind; for bytes, the text instead of its tokens."""
    layout = Layout.of(dataset, config)
    assert layout.fields == {"text": "tokens", "audio": "audio", "image": "image"}
    assert layout.vocabulary == dataset.schema.fields["tokens"].vocabulary
    assert layout.mean != (0.5, 0.5, 0.5)
    assert Layout.from_json(layout.to_json()) == layout
    by_bytes = Layout.of(dataset, config.model_copy(update={"text": TextSettings(units="bytes")}))
    assert (by_bytes.fields["text"], by_bytes.vocabulary, by_bytes.tokenizer) == ("text", 256, {})


def test_a_field_that_is_not_there_is_refused(dataset: Dataset, config: TrainConfig) -> None:
    """A field named in the settings must be of the kind that is read."""
    with pytest.raises(ConfigError, match=r"text\.field: the dataset has no field 'audio' of kind tokens"):
        Layout.of(dataset, config.model_copy(update={"text": TextSettings(field="audio")}))


def test_the_page_of_settings_is_that_of_the_code() -> None:
    """Every setting stands in the page with its default and its description."""
    page = (Path(__file__).parents[2] / "docs/train.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([a-z_.]+)` \| [^|]* \| (.*) \|$", page, re.MULTILINE))

    def settings(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
        for name, found in kind.model_fields.items():
            if isinstance(found.annotation, type) and issubclass(found.annotation, BaseModel):
                yield from settings(found.annotation, f"{name}.")
            elif name not in {"name", "description"}:
                yield prefix + name, found

    for name, found in settings(TrainConfig):
        assert listed[name] == f"`{json.dumps(found.get_default(call_default_factory=True))}` | {found.description}"
