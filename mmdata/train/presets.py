"""The presets of the reference model, by name; every value that differs from the default stands here."""

from __future__ import annotations

from mmdata.train.config import AudioSettings, ImageSettings, TextSettings, TrainConfig

_EVERY = (
    TrainConfig(
        name="nano",
        description="shows that everything works: about a minute on a CPU for some tens of records",
        width=64,
        heads=2,
        embedding=64,
        text=TextSettings(units="bytes", length=96, layers=1, strides=(1, 2)),
        audio=AudioSettings(layers=1),
        image=ImageSettings(size=32, channels=(16, 32, 64)),
        epochs=40,
        batch_size=16,
    ),
    TrainConfig(
        name="tiny",
        description="learns some thousands of records in a few minutes on a CPU",
        text=TextSettings(units="bytes", length=64, strides=(1, 2)),
        audio=AudioSettings(seconds=3.0),
        image=ImageSettings(channels=(16, 32, 64, 128)),
        epochs=8,
        batch_size=128,
        learning_rate=2e-3,
    ),
    TrainConfig(
        name="small",
        description="for tens of thousands of records, on a GPU or overnight",
        width=256,
        heads=4,
        embedding=256,
        text=TextSettings(units="bytes", length=192, layers=4, strides=(1, 2)),
        audio=AudioSettings(seconds=10.0, layers=4, strides=(2, 2)),
        image=ImageSettings(size=128, channels=(32, 64, 128, 256, 256)),
        epochs=20,
        batch_size=256,
        learning_rate=5e-4,
        evaluate_every=1,
    ),
)

PRESETS: dict[str, TrainConfig] = {preset.name: preset for preset in _EVERY}
