"""`image.hash`: the hashes among the measures; how they are made is tested with `mmdata.vision`."""

from __future__ import annotations

import pickle

import imagehash
import pytest
from PIL import Image as Pillow

from mmdata.errors import RecipeError
from mmdata.record import Record
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages.image_hash import Hash
from mmdata.values import Image
from tests.stages.pictures import SCHEMA, noise, record_of

RNG = rng_for(0, "test")


def test_the_hashes_are_measures() -> None:
    """They are those of imagehash, of the type that `infer` declares; the picture stays the same object."""
    image, stage = Image(noise(50, 40)), Hash(methods=("phash", "dhash"))
    record = stage(record_of(image), RNG)
    assert isinstance(record, Record)
    picture = Pillow.fromarray(image.pixels)
    assert record.measures == {
        "image.phash": str(imagehash.phash(picture)),
        "image.dhash": str(imagehash.dhash(picture)),
    }
    assert record["image"] is image
    assert stage.infer(SCHEMA).measures == {"image.phash": "str", "image.dhash": "str"}
    assert stage.apply(image, RNG) is image


def test_only_what_is_asked_for_is_added() -> None:
    """One method, one measure, under the name of its field."""
    schema = Schema({"left": FieldType("image", dtype="uint8")})
    assert Hash(field="left").infer(schema).measures == {"left.phash": "str"}


def test_fields_and_methods_that_do_not_fit_are_refused() -> None:
    """An encoded picture, and an empty list of methods."""
    with pytest.raises(RecipeError, match=r"decode it first \(image.decode\)"):
        Hash().infer(Schema({"image": FieldType("image", encoded=True)}))
    with pytest.raises(ValueError, match="methods"):
        Hash(methods=())


def test_a_record_without_a_picture_passes() -> None:
    """An optional field that is absent gets no hash; the stage can be pickled."""
    record = record_of(None)
    assert Hash()(record, RNG) is record
    assert pickle.loads(pickle.dumps(Hash())) == Hash()
