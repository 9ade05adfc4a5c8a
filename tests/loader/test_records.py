"""Records come out of the shards as they were written, by number and from any thread or process."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdata.dataset import Dataset
from mmdata.errors import ConfigError, DatasetError, RecordError
from mmdata.formats import Format, Mp4
from mmdata.loader.decoding import decoder_of
from mmdata.loader.example import Example
from mmdata.loader.options import LoaderOptions
from mmdata.loader.records import ShardedRecords
from mmdata.loader.shard_files import _runs
from mmdata.record import Record
from mmdata.schema import FieldType
from mmdata.values import Array, Audio, Image, Kind, Text, Tokens, Video
from tests.loader.conftest import COUNTS, RATE, SCHEMA, MakeDataset


def assert_holds(example: Example, record: Record) -> None:
    """Compare a decoded record with what the dataset's own codec makes of it."""
    assert example.key == record.key
    assert example.metadata == record.metadata
    for name, value in record.fields.items():
        found = example.fields[name]
        match value:
            case Image():
                assert np.array_equal(found, value.pixels)
            case Audio():
                assert isinstance(found, np.ndarray)
                scale = np.float32(32768 if found.dtype == np.int16 else 1)
                assert np.array_equal(found.astype(np.float32) / scale, value.samples)
            case Text():
                assert found == value.text
            case Tokens():
                assert np.array_equal(found, value.ids)
            case Array():
                assert np.array_equal(found, value.array)
            case Video():
                assert np.array_equal(found, value.frames)


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    sink = BytesIO()
    np.lib.format.write_array(sink, array, version=(1, 0))
    return sink.getvalue()


def test_pictures_of_every_format_are_those_of_the_codec(make_dataset: MakeDataset, image_format: Format[Image] | None) -> None:
    """Bit for bit the same pixels, whichever library decodes them."""
    out = make_dataset([3, 2], image=image_format)
    records = ShardedRecords(out)
    for number in range(5):
        assert_holds(records[number], Dataset(out)[number])


def test_recordings_of_every_format_are_those_of_the_codec(make_dataset: MakeDataset, audio_format: Format[Audio] | None) -> None:
    """The same samples; those of 16 bits travel as 16 bits."""
    out = make_dataset([3, 2], audio=audio_format)
    records = ShardedRecords(out)
    for number in range(5):
        assert_holds(records[number], Dataset(out)[number])
    samples = records[0].fields["audio"]
    assert isinstance(samples, np.ndarray)
    assert samples.dtype == ("float32" if audio_format is not None and audio_format.format == "ogg" else "int16")


def test_records_are_counted_through_the_shards_of_the_split(shared: Path) -> None:
    """Number i is the i-th record of the split, and there is none before 0 or after the last."""
    records = ShardedRecords(shared)
    assert len(records) == sum(COUNTS)
    assert [records[index].key for index in range(len(records))] == [f"r{number:04d}" for number in range(37)]
    assert [example.key for example in (ShardedRecords(shared, "val")[index] for index in range(3))] == [
        "r1000",
        "r1001",
        "r1002",
    ]
    for index in (-1, 37):
        with pytest.raises(IndexError, match="37 records"):
            records[index]


def test_threads_and_pickled_copies_read_the_same(shared: Path) -> None:
    """A copy that went through pickle, as to another process, and many threads at once find the same records."""
    records = ShardedRecords(shared)
    copy = pickle.loads(pickle.dumps(records))
    expected = list(Dataset(shared))
    with ThreadPoolExecutor(8) as pool:
        for examples in (pool.map(records.__getitem__, range(37)), pool.map(copy.__getitem__, range(37))):
            for example, record in zip(examples, expected, strict=False):
                assert_holds(example, record)


def test_only_the_wanted_fields_are_read(shared: Path) -> None:
    """With `fields`, the others are neither decoded nor read."""
    records = ShardedRecords(shared, options=LoaderOptions(fields=("text", "place")))
    payloads = records.payloads([0])[0].payloads
    assert set(records[0].fields) == {"text", "place"}
    assert set(payloads) == {"txt", "place.npy"}


@pytest.mark.parametrize(("fields", "said"), [(("txt",), "has no txt; its fields are audio, image"), ((), "none is named")])
def test_unknown_and_no_fields_are_refused(shared: Path, fields: tuple[str, ...], said: str) -> None:
    """A field that is not there is a ConfigError that lists those that are."""
    with pytest.raises(ConfigError, match=said):
        ShardedRecords(shared, options=LoaderOptions(fields=fields))


def test_a_split_that_is_not_there_is_refused(shared: Path) -> None:
    """An unknown split is a DatasetError that lists the splits."""
    with pytest.raises(DatasetError, match="no split 'test'; it has train, val"):
        ShardedRecords(shared, "test")


def test_recordings_and_tokens_are_cut(shared: Path) -> None:
    """`max_seconds` and `max_tokens` keep the beginning."""
    whole, cut = ShardedRecords(shared), ShardedRecords(shared, options=LoaderOptions(max_seconds=0.04, max_tokens=3))
    for index in range(5):
        samples, ids = whole[index].fields["audio"], whole[index].fields["tokens"]
        assert isinstance(samples, np.ndarray)
        assert np.array_equal(cut[index].fields["audio"], samples[:, : round(0.04 * RATE)])
        assert np.array_equal(cut[index].fields["tokens"], ids[:3])


def test_absent_fields_are_empty(make_dataset: MakeDataset) -> None:
    """A field that the record lacks has size 0, or is the empty text."""
    out = make_dataset([2], change=lambda record: record.without(*SCHEMA.fields) if record.key == "r0001" else record)
    fields = ShardedRecords(out)[1].fields
    assert fields["text"] == ""
    assert {name: np.shape(value) for name, value in fields.items() if name != "text"} == {
        "image": (0, 0, 3), "audio": (1, 0), "tokens": (0,), "mel": (0, 0), "place": (0,),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "type_", "reason"),
    [
        ("audio", replace(SCHEMA.fields["audio"], rate=16000), "recording has another rate"),
        ("audio", replace(SCHEMA.fields["audio"], shape=(2, None)), "recording has other channels"),
        ("mel", replace(SCHEMA.fields["mel"], shape=(5, None)), "array has another shape"),
        ("tokens", replace(SCHEMA.fields["tokens"], shape=(5,)), None),
    ],
)
def test_records_that_break_the_schema_are_refused(
    make_dataset: MakeDataset, name: str, type_: FieldType, reason: str | None
) -> None:
    """A rate, a channel count and a shape other than the schema's are RecordErrors."""
    records = ShardedRecords(make_dataset([1], schema=SCHEMA.with_field(name, type_)))
    if reason is None:
        assert records[0].key == "r0000"
    else:
        with pytest.raises(RecordError, match=reason):
            records[0]


def test_members_that_stand_together_are_read_at_once() -> None:
    """Small gaps are read over, large ones are not, and the order of the members does not matter."""
    assert _runs([5000, 512, 1 << 20], [5010, 4512, (1 << 20) + 7]) == [[1, 0], [2]]
    assert _runs([0, 10], [100_000, 15]) == [[0, 1]]
    assert _runs([], []) == []


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\x93NUMPY\x02\x00" + bytes(200), "not of version 1.0"),
        (b"no array", "array cannot be decoded"),
        (_npy(np.zeros(3))[:-1], "array cannot be decoded"),
        (_npy(np.zeros(3)) + b"more", "array cannot be decoded"),
        (_npy(np.array([{}], dtype=object)), "array cannot be decoded"),
    ],
)
def test_files_that_hold_no_plain_array_are_refused(payload: bytes, said: str) -> None:
    """Another version, other bytes, a wrong length and an array of objects are RecordErrors."""
    with pytest.raises(RecordError, match=said):
        decoder_of("x.npy", FieldType("array"), LoaderOptions())(memoryview(payload))


@pytest.mark.parametrize("array", [np.arange(6, dtype=">i4").reshape(2, 3), np.asfortranarray(np.eye(2, 3)), np.array(2.5)])
def test_arrays_of_any_layout_are_read(array: np.ndarray[Any, Any]) -> None:
    """Byte order and layout in memory do not matter; the result may be changed."""
    found = decoder_of("x.npy", FieldType("array"), LoaderOptions())(memoryview(_npy(array)))
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, array)
    assert found.dtype.isnative
    assert found.flags.writeable


@pytest.mark.parametrize(
    ("extension", "kind"), [("jpg", "image"), ("png", "image"), ("webp", "image"), ("flac", "audio"), ("txt", "text")]
)
def test_payloads_of_another_format_are_refused(extension: str, kind: Kind) -> None:
    """Bytes that are not of the format are RecordErrors with a reason that can be counted."""
    with pytest.raises(RecordError, match="cannot be decoded|not UTF-8"):
        decoder_of(extension, FieldType(kind), LoaderOptions())(memoryview(b"\xff\xfenothing of the kind"))


def test_tokens_must_be_a_list_of_int32() -> None:
    """Ids of another type or shape are a RecordError."""
    for wrong in (np.zeros(3), np.zeros((1, 3), np.int32)):
        with pytest.raises(RecordError, match="tokens are no int32 list"):
            decoder_of("tokens.npy", FieldType("tokens"), LoaderOptions())(memoryview(_npy(wrong)))


def test_clips_of_both_formats_are_frames() -> None:
    """An mp4 gives what its codec decodes, an npy its array; an absent clip is empty, other arrays are refused."""
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)
    payload = Mp4().encode(Video(frames, np.arange(5) / 4, seconds=1.25))
    type_ = FieldType("video", dtype="uint8", shape=(None, None, None, 3))
    assert np.array_equal(decoder_of("mp4", type_, LoaderOptions())(memoryview(payload)), Mp4().decode(payload).frames)
    assert np.array_equal(decoder_of("video.npy", type_, LoaderOptions())(memoryview(_npy(frames))), frames)
    for extension in ("mp4", "video.npy"):
        assert np.shape(decoder_of(extension, type_, LoaderOptions())(memoryview(b""))) == (0, 0, 0, 3)
    with pytest.raises(RecordError, match="frames are no uint8 pictures"):
        decoder_of("video.npy", FieldType("video"), LoaderOptions())(memoryview(_npy(np.zeros((5, 3)))))
