"""`mmdata preview`: a page that shows records of a dataset."""

from __future__ import annotations

from pathlib import Path

from mmdata.dataset import Dataset
from mmdata.errors import DatasetError
from mmdata.files import publish
from mmdata.validation.cards import cards
from mmdata.validation.page import document, escaped
from mmdata.validation.samples import draw_samples


def write_preview(dataset: Dataset, count: int, file: Path) -> int:
    """Write a page with `count` records, drawn evenly; return how many it shows. Raises DatasetError."""
    samples = draw_samples(dataset, count)
    if not samples:
        raise DatasetError(f"{dataset.path}: no record can be read; run `mmdata validate` on it")
    name = str(dataset.description.get("name", dataset.path.name))
    body = [
        f"<h1>{escaped(name)}</h1>",
        f'<p class="soft">{len(samples)} of {len(dataset):,} records, drawn evenly</p>',
        cards(samples),
    ]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        publish(file, document(f"preview of {name}", body).encode())
    except OSError as error:
        raise DatasetError(f"{file}: the page cannot be written ({error.strerror}); name another file (--html)") from error
    return len(samples)
