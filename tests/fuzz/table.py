"""The targets, all of them, by name."""

from __future__ import annotations

from tests.fuzz import corpora, datasets, payloads

TARGETS = {target.name: target for target in (*corpora.TARGETS, *datasets.TARGETS, *payloads.TARGETS)}
