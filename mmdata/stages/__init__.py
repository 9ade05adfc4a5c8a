"""The known stages, written out: name to class. A user's own stage is named by `package.module:Class`."""

from __future__ import annotations

import difflib
import importlib
from functools import cache

from mmdata.errors import RecipeError
from mmdata.stages.base import Stage

STAGES: dict[str, str] = {
    "text.normalize": "mmdata.stages.text:Normalize",
    "text.language": "mmdata.stages.language:Language",
    "text.quality": "mmdata.stages.quality:Quality",
    "text.sentences": "mmdata.stages.sentences:Sentences",
    "text.chunk": "mmdata.stages.chunk:Chunk",
    "text.tokenize": "mmdata.stages.tokenize:Tokenize",
    "text.words": "mmdata.stages.words:Words",
    "text.redact": "mmdata.stages.redact:Redact",
    "image.decode": "mmdata.stages.image_decode:Decode",
    "image.resize": "mmdata.stages.image:Resize",
    "image.crop": "mmdata.stages.image_crop:Crop",
    "image.pad": "mmdata.stages.image_pad:Pad",
    "image.filter": "mmdata.stages.image_filter:Filter",
    "image.blur": "mmdata.stages.image_blur:Blur",
    "image.blur_faces": "mmdata.stages.image_blur:BlurFaces",
    "image.hash": "mmdata.stages.image_hash:Hash",
    "image.normalize": "mmdata.stages.image_normalize:Normalize",
    "audio.decode": "mmdata.stages.audio:Decode",
    "audio.resample": "mmdata.stages.audio:Resample",
    "audio.channels": "mmdata.stages.audio:Channels",
    "audio.filter": "mmdata.stages.audio_filter:Filter",
    "audio.denoise": "mmdata.stages.denoise:Denoise",
    "audio.speech": "mmdata.stages.audio_speech:Speech",
    "audio.trim": "mmdata.stages.audio:Trim",
    "audio.clip": "mmdata.stages.audio_clip:Clip",
    "audio.loudness": "mmdata.stages.audio:Loudness",
    "video.cut": "mmdata.stages.video_cut:Cut",
    "video.decode": "mmdata.stages.video:Decode",
    "video.audio": "mmdata.stages.video:Sound",
    "audio.features": "mmdata.stages.audio_features:Features",
    "record.require": "mmdata.stages.record:Require",
    "record.where": "mmdata.stages.record:Where",
    "record.rename": "mmdata.stages.record:Rename",
    "record.drop": "mmdata.stages.record:Drop",
    "record.sample": "mmdata.stages.record:Sample",
    "record.balance": "mmdata.stages.balance:Balance",
    "record.deduplicate": "mmdata.stages.deduplicate:Deduplicate",
}


@cache
def stage_class(name: str) -> type[Stage]:
    """Return the class of a stage. Raises RecipeError for a name that is not known, with the nearest that is."""
    place = STAGES.get(name, name if ":" in name else "")
    if not place:
        raise RecipeError(f"unknown stage {name!r}{_nearest(name)}")
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two for what is no name of a module
        hint = "" if name in STAGES else "; a module of your own must be installed, or its folder on PYTHONPATH"
        raise RecipeError(f"stage {name!r} cannot be imported: {error}{hint}") from error
    if not (isinstance(found, type) and issubclass(found, Stage)):
        raise RecipeError(f"{name!r} is not a stage: it must be a subclass of mmdata.stages.base.Stage")
    return found


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, STAGES, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; the known ones are {', '.join(STAGES)}"


@cache
@cache
def name_of(stage: type[Stage]) -> str:
    """Return the name by which recipes know a stage class."""
    place = f"{stage.__module__}:{stage.__qualname__}"
    return next((name for name, known in STAGES.items() if known == place), place)
