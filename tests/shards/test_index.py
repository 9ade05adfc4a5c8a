"""The index of a shard: what is damaged of it is an error of the dataset, wherever it would be met."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmdata.dataset import Dataset
from mmdata.errors import DatasetError, RecordError
from mmdata.loader import LoaderOptions
from mmdata.loader.records import ShardedRecords
from mmdata.shards.index import ShardIndex
from tests.validation.datasets import make_dataset


def test_a_text_that_is_no_utf_8_is_damage(tmp_path: Path) -> None:
    """Parquet says of a column that it is text; that its bytes are, nobody has checked before the index is read."""
    out = make_dataset(tmp_path / "out")
    path = out / "index/val-000000.parquet"
    table = pq.read_table(path)
    keys = pa.array([b"\x80\xff", *(key.encode() for key in table.column("key").to_pylist()[1:])], pa.binary())
    texts = pa.StringArray.from_buffers(len(keys), *keys.buffers()[1:])
    pq.write_table(table.set_column(table.column_names.index("key"), table.schema.field("key"), texts), path)
    for columns in (None, ["key"]):
        with pytest.raises(DatasetError, match="the index of this shard is damaged"):
            ShardIndex.read(path, columns)
    with pytest.raises(DatasetError, match="the index of this shard is damaged"):
        list(Dataset(out).payloads("val"))
    with pytest.raises(RecordError):
        ShardedRecords(out, "val", LoaderOptions())[0]
