"""Random damage to a built dataset: none is missed, each is named, and what is whole is never blamed."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmdata.errors import DatasetError
from mmdata.validation.checks import validate
from mmdata.validation.findings import Finding
from tests.validation import adapted_damage, random_damage
from tests.validation.random_damage import Damage, Kind
from tests.validation.whole import Place, Whole

KINDS: dict[str, Kind] = {**random_damage.KINDS, **adapted_damage.KINDS}
_EVERY_REPORT = 10
"""Of this many damaged folders one gets its report written: that must not stumble over the damage either."""
_MOST_MEMORY = 256 << 20


def damaged(built: Path, copy: Path, seed: int, number: int) -> tuple[str, Damage]:
    """Make a copy of a dataset, and damage it; return what was done."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(built, copy)
    kind = list(KINDS)[number % len(KINDS)]
    damage = KINDS[kind](copy, Whole.read(built), np.random.default_rng([seed, number]))
    return f"{number} {kind}: {damage.line}", damage


def missed(copy: Path, damage: Damage, report: Path | None) -> str | None:
    """Return what validation got wrong about a damaged folder, if anything."""
    try:
        findings = validate(copy, report).findings
    except DatasetError as error:
        findings = [Finding("description", "error", "dataset.json", None, None, "")] if "dataset.json" in str(error) else []
    if not [one for one in findings if one.severity == "error"]:
        return "no finding"
    found = set().union(*map(_places, findings))
    if damage.places - found:
        return f"not named: {sorted(damage.places - found, key=str)}"
    blamed = {one.record for one in findings if one.record} - {record for _, record, _ in damage.places}
    return f"blamed, though whole: {sorted(blamed)}" if blamed and damage.alone else None


def _places(finding: Finding) -> set[Place]:
    """The places that a finding names: the member, and with it the record and the file."""
    file, record, member = finding.file, finding.record, finding.member
    return {(file, None, None), (file, record, None), (file, record, member)}


def problems(built: Path, scratch: Path, count: int, seed: int) -> list[str]:
    """Damage a dataset in `count` ways, one after the other; return a line for each that validation got wrong."""
    lines = []
    for number in range(count):
        line, damage = damaged(built, scratch / "copy", seed, number)
        report = scratch / "report" if number % _EVERY_REPORT == 0 else None
        try:
            problem = missed(scratch / "copy", damage, report)
        except Exception as error:  # noqa: BLE001 - all are told, not only the first
            problem = f"raised {error!r}"
        lines += [f"{line}: {problem}"] if problem else []
    return lines


def assert_none_is_missed(built: Path, scratch: Path, count: int, seed: int) -> None:
    """Damage a dataset in `count` ways: every one is found and named, without much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = problems(built, scratch, count, seed)
    assert not found, "\n".join(found)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_MEMORY >> 10


def test_no_damage_is_missed(built: Path, tmp_path: Path) -> None:
    """150 random damages, each kind three times."""
    assert len(KINDS) == 50
    assert_none_is_missed(built, tmp_path, 150, seed=0)


@pytest.mark.slow
def test_none_of_2000_damages_is_missed(built: Path, tmp_path: Path) -> None:
    """2,000 random damages, each kind forty times."""
    assert_none_is_missed(built, tmp_path, 2000, seed=1)


def test_damage_follows_from_its_seed(built: Path, tmp_path: Path) -> None:
    """A line names a damage that can be done again: the same seed and number give the same folder, others give other ones."""
    for number in range(0, len(KINDS), 3):
        one, other, third = (damaged(built, tmp_path / name, seed, number) for name, seed in (("a", 5), ("b", 5), ("c", 6)))
        assert one == other
        assert Whole.read(tmp_path / "a") == Whole.read(tmp_path / "b") != Whole.read(built)
        assert Whole.read(tmp_path / "c") != Whole.read(built)
        assert third[0].startswith(f"{number} ")


def test_the_undamaged_dataset_has_no_finding(built: Path) -> None:
    """It holds what damage needs: two splits, several shards, annotations, artifacts and every kind of reject."""
    report = validate(built)
    assert report.findings == []
    assert all(check.items for check in report.checks)
    assert report.counts["shards"] > 2
    assert len(report.counts["splits"]) == 2
