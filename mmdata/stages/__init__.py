"""The known stages, written out: name to class. A user's own stage is named by `package.module:Class`."""

from __future__ import annotations

import difflib
import importlib
from functools import cache

from mmdata.errors import RecipeError
from mmdata.stages.base import Stage

STAGES: dict[str, str] = {
    "text.normalize": "mmdata.stages.text:Normalize",
    "text.tokenize": "mmdata.stages.tokenize:Tokenize",
    "text.words": "mmdata.stages.words:Words",
    "image.decode": "mmdata.stages.image_decode:Decode",
    "image.resize": "mmdata.stages.image:Resize",
    "image.crop": "mmdata.stages.image:Crop",
    "image.normalize": "mmdata.stages.image_normalize:Normalize",
    "audio.decode": "mmdata.stages.audio:Decode",
    "audio.resample": "mmdata.stages.audio:Resample",
    "audio.denoise": "mmdata.stages.denoise:Denoise",
    "audio.trim": "mmdata.stages.audio:Trim",
    "audio.loudness": "mmdata.stages.audio:Loudness",
    "video.cut": "mmdata.stages.video_cut:Cut",
    "video.decode": "mmdata.stages.video:Decode",
    "video.audio": "mmdata.stages.video:Sound",
    "record.require": "mmdata.stages.record:Require",
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
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"stage {name!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Stage)):
        raise RecipeError(f"{name!r} is not a stage: it must be a subclass of mmdata.stages.base.Stage")
    return found


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, STAGES, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; the known ones are {', '.join(STAGES)}"


@cache
def name_of(stage: type[Stage]) -> str:
    """Return the name by which recipes know a stage class."""
    place = f"{stage.__module__}:{stage.__qualname__}"
    return next((name for name, known in STAGES.items() if known == place), place)
