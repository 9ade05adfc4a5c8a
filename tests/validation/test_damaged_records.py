"""Damage to records, with every checksum adapted, is found and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.validation.damage import (
    TRAIN,
    VAL,
    Damage,
    Named,
    assert_found,
    inside,
    nested,
    npy,
    other_group,
    packed,
    payload,
    png,
    reordered,
    said,
    same_key,
    swap_payloads,
)

J, T = "json", "tokens.npy"
DAMAGE: dict[str, tuple[Damage, Named]] = {
    "texts of two records swapped": (lambda out: swap_payloads(out, "txt"), ("tokens", TRAIN, "row-000", T)),
    "json of two records swapped": (lambda out: swap_payloads(out, "json"), ("agreement", TRAIN, "row-000", J)),
    "recordings of two records swapped": (lambda out: swap_payloads(out, "flac"), ("measures", TRAIN, "row-000", "flac")),
    "tokens of two records swapped": (lambda out: swap_payloads(out, "tokens.npy"), ("tokens", TRAIN, "row-000", T)),
    "a member gone": (
        packed(lambda members: members[1:]),
        ("members", TRAIN, "row-000", None),
    ),
    "a record gone": (packed(lambda members: members[6:]), ("places", TRAIN, "row-000", None)),
    "records in another order": (packed(reordered), ("places", TRAIN, None, None)),
    "members in another order": (
        packed(lambda members: [*members[:6][::-1], *members[6:]]),
        ("members", TRAIN, "row-000", None),
    ),
    "members of a record apart": (
        packed(lambda members: [*members[1:], members[0]]),
        ("members", TRAIN, "row-000", None),
    ),
    "a bad key": (
        packed(lambda members: [(f"__{name}", payload) for name, payload in members]),
        ("keys", TRAIN, "__row-000", None),
    ),
    "a key twice in the dataset": (same_key, ("keys", "train-000001.tar", "row-000", None)),
    "a group in two splits": (other_group, ("groups", VAL, "row-007", None)),
    "a picture of another size": (
        payload("row-002.png", lambda _: png(25, 16)),
        ("measures", TRAIN, "row-002", "png"),
    ),
    "a picture that the schema does not allow": (
        payload("row-002.png", lambda _: png(25, 16)),
        ("payloads", TRAIN, "row-002", "png"),
    ),
    "a grey picture": (
        payload("row-002.png", lambda _: png(24, 16, "L")),
        ("payloads", TRAIN, "row-002", "png"),
    ),
    "a picture cut short": (
        payload("row-002.png", lambda payload: payload[:-30]),
        ("payloads", TRAIN, "row-002", "png"),
    ),
    "a recording that is none": (
        payload("row-000.flac", lambda payload: b"RIFF" + payload[4:]),
        ("payloads", TRAIN, "row-000", "flac"),
    ),
    "a recording with other samples than were encoded": (
        payload("row-000.flac", lambda payload: payload[:30] + bytes(4) + payload[34:]),
        ("payloads", TRAIN, "row-000", "flac"),
    ),
    "a text that is not UTF-8": (
        payload("row-001.txt", lambda payload: b"\xff" + payload[1:]),
        ("payloads", TRAIN, "row-001", "txt"),
    ),
    "a pickled array": (
        payload("row-001.vector.npy", lambda _: npy(np.array([None, 1, 2]))),
        ("payloads", TRAIN, "row-001", "vector.npy"),
    ),
    "an array that promises too much": (
        payload("row-001.vector.npy", lambda payload: payload.replace(b"(3,), }        ", b"(3000000000,), }")),
        ("payloads", TRAIN, "row-001", "vector.npy"),
    ),
    "an array of another dtype": (
        payload("row-001.vector.npy", lambda _: npy(np.zeros(3))),
        ("payloads", TRAIN, "row-001", "vector.npy"),
    ),
    "token ids beyond the vocabulary": (
        payload("row-001.tokens.npy", lambda _: npy(np.full(7, 1 << 20, np.int32))),
        ("tokens", TRAIN, "row-001", T),
    ),
    "json that is none": (
        payload("row-001.json", lambda payload: payload[:-3]),
        ("json", TRAIN, "row-001", J),
    ),
    "json nested without end": (
        payload("row-001.json", lambda _: b"[" * 200_000),
        ("json", TRAIN, "row-001", J),
    ),
    "json nested too deeply to be compared": (
        said(lambda data: data.update(group=nested(500))),
        ("json", TRAIN, "row-001", J),
    ),
    "annotations nested too deeply to be compared": (
        inside("annotations", lambda held: held.update(image=nested(500))),
        ("json", TRAIN, "row-001", J),
    ),
    "a key too many": (
        said(lambda data: data.update(extra=1)),
        ("json", TRAIN, "row-001", J),
    ),
    "a key too few": (
        said(lambda data: data.pop("group")),
        ("json", TRAIN, "row-001", J),
    ),
    "a null": (
        said(lambda data: data.update(group=None)),
        ("json", TRAIN, "row-001", J),
    ),
    "an integer that became a float": (
        said(lambda data: data["metadata"].update(number=1.0)),
        ("json", TRAIN, "row-001", J),
    ),
    "metadata that is not JSON text": (
        said(lambda data: data["metadata"].update(tags="{")),
        ("json", TRAIN, "row-001", J),
    ),
    "a sha256 of no input": (
        said(lambda data: data["inputs"]["image"].update(sha256="xyz")),
        ("json", TRAIN, "row-001", J),
    ),
    "another split": (
        said(lambda data: data.update(split="val")),
        ("agreement", TRAIN, "row-001", J),
    ),
    "another sha256 of a raw input": (
        said(lambda data: data["inputs"]["image"].update(sha256="0" * 64)),
        ("agreement", TRAIN, "row-001", J),
    ),
    "another source key": (
        said(lambda data: data.update(source_key="else")),
        ("keys", TRAIN, "row-001", J),
    ),
    "other measures": (
        said(lambda data: data["measures"].update({"audio.snr": 99.0})),
        ("agreement", TRAIN, "row-001", J),
    ),
    "offsets beyond the text": (
        inside("annotations", lambda held: held["tokens"]["offsets"][-1].__setitem__(1, 999)),
        ("tokens", TRAIN, "row-001", T),
    ),
    "offsets out of order": (
        inside("annotations", lambda held: held["tokens"]["offsets"].reverse()),
        ("tokens", TRAIN, "row-001", T),
    ),
    "offsets shifted by one": (
        inside("annotations", lambda held: held["tokens"]["offsets"][2].__setitem__(0, held["tokens"]["offsets"][2][0] + 1)),
        ("tokens", TRAIN, "row-001", T),
    ),
    "an offset missing": (
        inside("annotations", lambda held: held["tokens"]["offsets"].pop()),
        ("tokens", TRAIN, "row-001", T),
    ),
    "a span beyond the text": (
        inside("annotations", lambda held: held["text"]["spans"][0].__setitem__(1, 999)),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a box beyond the picture": (
        inside("annotations", lambda held: held["image"]["boxes"][0].__setitem__(2, 24.5)),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a point beyond the picture": (
        inside("annotations", lambda held: held["image"]["points"][0].__setitem__(0, -3.0)),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a segment beyond the recording": (
        inside("annotations", lambda held: held["audio"]["segments"][0].__setitem__(1, 3.0)),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a box without a label": (
        inside("annotations", lambda held: held["image"]["boxes"][0].pop()),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a box that is not finite": (
        inside("annotations", lambda held: held["image"]["boxes"][0].__setitem__(0, 1e999)),
        ("json", TRAIN, "row-001", J),
    ),
    "an annotation of no field": (
        inside("annotations", lambda held: held.update(other={"boxes": []})),
        ("annotations", TRAIN, "row-001", J),
    ),
    "an affine map that flattens": (
        inside("lineage", lambda held: held["image"][0].update(numbers=[0, 0, 0, 0, 0, 0])),
        ("lineage", TRAIN, "row-001", J),
    ),
    "a map of another kind": (
        inside("lineage", lambda held: held["image"][0].update(map="edits", numbers=[])),
        ("lineage", TRAIN, "row-001", J),
    ),
    "pieces that overlap": (
        inside("lineage", lambda held: held["audio"][0].update(numbers=[[0, 1, 0, 1]] * 2)),
        ("lineage", TRAIN, "row-001", J),
    ),
    "runs that do not fit": (
        inside("lineage", lambda held: held["text"][0].update(numbers=[[0, 2, 5, 6]])),
        ("lineage", TRAIN, "row-001", J),
    ),
    "a span beyond the raw text": (
        inside("lineage", lambda held: held["text"][0].update(numbers=[[0, 9999, 0, 0]])),
        ("lineage", TRAIN, "row-001", J),
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named(out: Path, name: str) -> None:
    """The finding names the check, the file, the record and the member."""
    assert_found(out, *DAMAGE[name])
