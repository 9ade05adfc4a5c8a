"""What a training run is told: plain, frozen, checked settings. Everything that decides its result stands here.

Where and how fast it runs (device, threads) are arguments of `train`, so that a run can go on elsewhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmdata.errors import ConfigError, RecipeError
from mmdata.recipe_text import Lines, apply_settings, explain, parse_yaml

Modality = Literal["text", "audio", "image"]
MODALITIES: tuple[Modality, ...] = ("text", "audio", "image")

Stride = Annotated[int, Field(ge=1, le=8)]
Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextSettings(_Part):
    """The text encoder: a Transformer over token ids, or over the bytes of the text."""

    field: str | None = Field(None, description="field of the dataset; by default the one of its kind")
    units: Literal["tokens", "bytes"] = Field("tokens", description="what is read: the token ids, or UTF-8 bytes of the text")
    length: Count = Field(64, description="most units of a text; the rest is cut")
    layers: int = Field(2, ge=0, description="layers of the Transformer")
    strides: tuple[Stride, ...] = Field((), description="a convolution before the Transformer for each; 2 halves the steps")
    kernel: Count = Field(5, description="width of these convolutions in steps, odd")


class AudioSettings(_Part):
    """The audio encoder: log-mel frames of 10 ms, convolutions, a Transformer."""

    field: str | None = Field(None, description="field of the dataset; by default the one of its kind")
    seconds: float = Field(5.0, gt=0, description="longest recording, in seconds; the rest is cut")
    layers: int = Field(2, ge=0, description="layers of the Transformer")
    strides: tuple[Stride, ...] = Field(
        (2, 2, 2), description="a convolution before the Transformer for each; 2 halves the steps"
    )
    kernel: Count = Field(3, description="width of these convolutions in steps, odd")


class ImageSettings(_Part):
    """The image encoder: convolutions that halve the picture, then the mean over what is left."""

    field: str | None = Field(None, description="field of the dataset; by default the one of its kind")
    size: int = Field(64, ge=8, le=1024, description="pictures are resized to this many pixels square")
    channels: tuple[Count, ...] = Field((32, 64, 128, 256), min_length=1, description="channels after each halving")


class Augmentation(_Part):
    """What is hidden at random in training, as in SpecAugment (D. S. Park et al., 2019); 0 hides nothing."""

    units: float = Field(0.1, ge=0, lt=1, description="share of the units of a text that are masked")
    bins: int = Field(16, ge=0, le=80, description="most mel bins hidden by one mask; there are two masks")
    time: float = Field(0.1, ge=0, le=1, description="longest stretch of a recording hidden by one mask, as a share; two masks")
    shift: float = Field(0.1, ge=0, lt=1, description="how far a picture is moved, as a share of its size")


class TrainConfig(_Part):
    """A training run. Load one with `load_config`."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description="name of the run's settings")
    description: str = ""
    seed: int = Field(0, description="decides the weights at the start, the order of records and the augmentation")
    modalities: tuple[Modality, ...] | None = Field(None, description="text, audio, image; by default all that the dataset has")
    text: TextSettings = TextSettings()
    audio: AudioSettings = AudioSettings()
    image: ImageSettings = ImageSettings()
    augmentation: Augmentation = Augmentation()
    width: int = Field(128, ge=8, description="values a step inside the Transformers; a multiple of twice `heads`")
    heads: Count = Field(2, description="heads of attention")
    embedding: Count = Field(128, description="values of an embedding")
    epochs: Count = Field(10, description="times that every record is seen")
    batch_size: int = Field(64, ge=2, description="records a step; every other record of a batch is a wrong answer to tell apart")
    learning_rate: float = Field(1e-3, gt=0, description="the highest, of AdamW")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps in which the learning rate rises from 0")
    weight_decay: float = Field(0.1, ge=0, description="of matrices; biases, norms and temperatures have none")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the encoders; losses are always float32")
    log_every: Count = Field(10, description="steps between two lines of the log")
    checkpoint_every: Count = Field(100, description="steps between two checkpoints")
    evaluate_every: int = Field(0, ge=0, description="epochs between two evaluations; 0 evaluates at the end only")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is no multiple of twice heads {self.heads}")
        for kernel in (self.text.kernel, self.audio.kernel):
            if kernel % 2 == 0:
                raise ValueError(f"kernel {kernel} is even; a convolution needs a middle")
        if self.modalities is not None and len(set(self.modalities)) < 2:
            raise ValueError("modalities: pairs are learned, so name two or three different ones")
        return self


def load_config(name_or_path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return a preset by its name, or the settings in a YAML file, with `KEY=VALUE` applied; KEY is a dotted path.

    Raises ConfigError that names every wrong place.
    """
    from mmdata.train.presets import PRESETS  # the table is made of these classes

    path, lines = Path(name_or_path), Lines()
    try:
        if path.is_file():
            data, lines = parse_yaml(path)
            data = {"name": path.stem, **data}
        elif str(name_or_path) in PRESETS:
            data = PRESETS[str(name_or_path)].model_dump(mode="json")
        else:
            raise ConfigError(_unknown(str(name_or_path), list(PRESETS)))
        return TrainConfig.model_validate(apply_settings(data, overrides))
    except RecipeError as error:
        raise ConfigError(str(error)) from error
    except ValidationError as error:
        raise ConfigError(explain(error, TrainConfig, lines)) from error


def _unknown(name: str, presets: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, presets, n=1)
    known = f"did you mean {near[0]!r}?" if near else f"the presets are {', '.join(presets)}"
    return f"there is no file {name!r}, and no preset of that name; {known}"
