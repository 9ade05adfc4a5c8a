"""What a loader reads: one open dataset, or several that are mixed by weight and agree on what a record is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import Literal

from mmdata.dataset import Dataset, Shard
from mmdata.errors import ConfigError
from mmdata.files import digest_of_json
from mmdata.loader.cache import Cache, FileCache
from mmdata.loader.mixing import shares_of
from mmdata.loader.remote import RemoteDataset, is_remote
from mmdata.schema import FieldType, ScalarName

Missing = Literal["error", "fill"]


@dataclass(frozen=True)
class Mixture:
    """Several datasets that are drawn from in turn, each in proportion to its weight; sources keep their own epochs.

    Attributes:
        weights: by dataset folder, a number above 0, taken as it is written: 0.7 is seven tenths.
        missing: what becomes of a field or metadata column that some sources lack: "error" refuses the mixture, "fill" leaves it
            empty (metadata: None) in their records. With "fill" sizes of arrays may differ as well. Kinds, types, rates,
            vocabularies and file formats have to agree in any case.
    """

    weights: Mapping[str | Path, float | Fraction]
    missing: Missing = "error"

    def __post_init__(self) -> None:
        if not self.weights:
            raise ConfigError("a mixture needs at least one dataset")
        for name, weight in self.weights.items():
            if not 0 < weight < float("inf"):
                raise ConfigError(f"the weight of {name} is a number above 0, not {weight}")
        if self.missing not in ("error", "fill"):
            raise ConfigError(f"missing is 'error' or 'fill', not {self.missing!r}")


Readable = Dataset | Mixture | str | Path


@dataclass(frozen=True, eq=False)
class Collection:
    """Open datasets and what their records have in common; `shares` are their weights in whole numbers, in lowest terms.

    `members` has the field of each member's extension. `mixed` tells a mixture of one dataset from the dataset itself.
    """

    datasets: tuple[Dataset, ...]
    shares: tuple[int, ...]
    fields: Mapping[str, FieldType]
    metadata: Mapping[str, ScalarName]
    members: Mapping[str, str]
    mixed: bool = False

    @classmethod
    def of(cls, readable: Readable | Collection, cache: Cache | None = None) -> Collection:
        """Open what is not open yet; what is not on this machine comes into the cache.

        Raises DatasetError for a folder that is no finished dataset, ConfigError, with every difference, for datasets that do
        not fit together.
        """
        if isinstance(readable, Collection):
            return readable
        if isinstance(readable, Mixture):
            return _mixed(readable, cache)
        dataset = readable if isinstance(readable, Dataset) else _opened([readable], cache)[0]
        return cls((dataset,), (1,), dataset.schema.fields, dataset.schema.metadata, dataset.members)

    @property
    def checksum(self) -> str:
        """What stands for the datasets and their shares; that of the dataset where there is only one and no mixture."""
        if not self.mixed:
            return self.datasets[0].checksum
        parts = [[dataset.checksum, share] for dataset, share in zip(self.datasets, self.shares, strict=True)]
        return digest_of_json(parts)

    @property
    def names(self) -> tuple[str, ...]:
        """The folders or URLs of the datasets."""
        return tuple(dataset.url if isinstance(dataset, RemoteDataset) else str(dataset.path) for dataset in self.datasets)

    def shards_of(self, split: str) -> list[tuple[Shard, ...]]:
        """The shards of a split, by dataset. Raises DatasetError where a dataset does not have it."""
        return [dataset.shards_of(split) for dataset in self.datasets]

    def select(self, fields: Sequence[str] | None) -> Collection:
        """Return the collection with these fields only; None means all. Raises ConfigError for one that there is not."""
        known = ", ".join(self.fields)
        unknown = [name for name in fields or () if name not in self.fields]
        if unknown:
            raise ConfigError(f"fields: the dataset has no {', '.join(unknown)}; its fields are {known}")
        members = {extension: name for extension, name in self.members.items() if fields is None or name in fields}
        if not members:
            raise ConfigError(f"fields: none is named; the fields of the dataset are {known}")
        return replace(self, members=members, fields={name: self.fields[name] for name in members.values()})


def _opened(outs: Iterable[str | Path], cache: Cache | None) -> tuple[Dataset, ...]:
    outs = tuple(outs)
    if not any(map(is_remote, outs)):
        return tuple(map(Dataset, outs))
    if cache is None:
        raise ConfigError(
            f"{next(filter(is_remote, outs))}: a dataset elsewhere needs a cache: set `cache` of the loader's options"
        )
    files = FileCache(Path(cache.folder), cache.limit)
    return tuple(RemoteDataset(str(out), cache, files) if is_remote(out) else Dataset(out) for out in outs)


def _mixed(mixture: Mixture, cache: Cache | None) -> Collection:
    datasets = _opened(mixture.weights, cache)
    shares = shares_of([Fraction(str(weight)) for weight in mixture.weights.values()])
    differences = _clashes(datasets) + (_gaps(datasets) if mixture.missing == "error" else [])
    if differences:
        raise ConfigError("\n".join(["the datasets of the mixture do not fit together:", *differences]))
    fields: dict[str, FieldType] = {}
    for dataset in datasets:
        for name, type_ in dataset.schema.fields.items():
            fields[name] = _widened(fields[name], type_) if name in fields else type_
    metadata = reduce(lambda known, one: {**known, **one.schema.metadata}, datasets, dict[str, ScalarName]())
    members = reduce(lambda known, one: {**known, **one.members}, datasets, dict[str, str]())
    return Collection(datasets, shares, fields, metadata, members, mixed=True)


def _widened(one: FieldType, other: FieldType) -> FieldType:
    """Return the type of values of either type, in which sizes that differ are open."""
    if one.shape is None or other.shape is None or len(one.shape) != len(other.shape):
        return replace(one, shape=None)
    return replace(one, shape=tuple(a if a == b else None for a, b in zip(one.shape, other.shape, strict=True)))


def _described(dataset: Dataset) -> dict[str, object]:
    """Return what has to agree where two datasets both have it: the types of fields without sizes, metadata, formats."""
    extensions = {name: extension for extension, name in dataset.members.items()}
    fields = {
        f"field {name!r}": ({**type_.to_json(), "shape": None}, extensions[name]) for name, type_ in dataset.schema.fields.items()
    }
    return fields | {f"metadata {name!r}": type_ for name, type_ in dataset.schema.metadata.items()}


def _clashes(datasets: Sequence[Dataset]) -> list[str]:
    """Return, one a line, what differs between the first dataset that has it and another one."""
    lines, first = [], dict[str, tuple[Dataset, object]]()
    for dataset in datasets:
        for name, found in _described(dataset).items():
            where, known = first.setdefault(name, (dataset, found))
            if known != found:
                lines.append(f"  {name}: {known} in {where.path}, {found} in {dataset.path}")
    return lines


def _gaps(datasets: Sequence[Dataset]) -> list[str]:
    """Return, one a line, what some datasets lack, and the sizes of arrays that differ."""
    lines = []
    described = [_described(dataset).keys() for dataset in datasets]
    for dataset, names in zip(datasets, described, strict=True):
        missing = sorted(frozenset[str]().union(*described) - names)
        lines += [f"  {name}: missing in {dataset.path}; missing='fill' leaves it empty there" for name in missing]
    shapes = dict[str, tuple[Dataset, FieldType]]()
    for dataset in datasets:
        for name, type_ in dataset.schema.fields.items():
            where, known = shapes.setdefault(name, (dataset, type_))
            if known.shape != type_.shape:
                lines.append(f"  field {name!r}: shape {known.shape} in {where.path}, {type_.shape} in {dataset.path}")
    return lines
