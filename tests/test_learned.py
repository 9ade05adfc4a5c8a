"""What an earlier dataset has learned, in a later one: taken where it fits, refused where it does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from mmdata.errors import DatasetError, RecipeError
from mmdata.stages.tokenize import SPECIAL_TOKENS
from tests.incremental import STAGES, Corpus, contents


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Path]:
    """A corpus and a dataset of it, whose tokenizer has 280 tokens; the tests only read it."""
    folder = tmp_path_factory.mktemp("learned")
    corpus = Corpus.make(folder / "corpus", 8)
    corpus.build(folder / "out")
    return corpus, folder / "out"


def tokenizing(**options: Any) -> list[Any]:
    """Return the stages with other options of the tokenizer."""
    return [*STAGES[:-1], {"text.tokenize": options}]


def test_what_was_learned_is_kept(tmp_path: Path) -> None:
    """The tokenizer and the statistics are those of the first build, in the update and where a recipe names them."""
    corpus = Corpus.make(tmp_path / "corpus", 16)
    corpus.build(tmp_path / "out")
    before = contents(tmp_path / "out")
    for number in range(16, 40):
        corpus.add(number)
    corpus.build(tmp_path / "out", update=True)
    corpus.build(tmp_path / "new")
    for name in ("artifacts/tokenizer.json", "artifacts/image-statistics.json"):
        assert contents(tmp_path / "out")[name] == before[name] != contents(tmp_path / "new")[name]
    corpus.build(tmp_path / "named", artifacts=str(tmp_path / "out/artifacts"))
    assert contents(tmp_path / "named") == contents(tmp_path / "out")
    assert "artifacts" not in json.loads((tmp_path / "named/dataset.json").read_bytes())["recipe"]


def test_artifacts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Missing, damaged and foreign files are named before anything is built; so are other ones than the folder has."""
    corpus = Corpus.make(tmp_path / "corpus", 8)
    corpus.build(tmp_path / "out")
    with pytest.raises(RecipeError, match=r"nowhere/image-statistics.json cannot be read .*; image.normalize needs it"):
        corpus.build(tmp_path / "new", artifacts=str(tmp_path / "nowhere"))
    shutil.copytree(tmp_path / "out/artifacts", tmp_path / "other")
    (tmp_path / "other/tokenizer.json").write_text("{}")
    with pytest.raises(RecipeError, match="does not fit the stages"):
        corpus.build(tmp_path / "new", artifacts=str(tmp_path / "other"))
    corpus.add(8)
    corpus.build(tmp_path / "new")
    with pytest.raises(DatasetError, match=r"artifacts.image-statistics.json: \"\w+.* in the folder, \"\w+.* asked for"):
        corpus.build(tmp_path / "new", artifacts=str(tmp_path / "out"))
    (tmp_path / "out/artifacts/tokenizer.json").write_bytes(b"{}")
    with pytest.raises(RecipeError, match="tokenizer.json is damaged"):
        corpus.build(tmp_path / "newer", artifacts=str(tmp_path / "out"))
    assert not (tmp_path / "newer").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"vocabulary": 270}, "has 280 tokens, and `vocabulary` allows 270; set it to 280, or name other artifacts"),
        ({"vocabulary": 8192}, "was trained with `vocabulary` 280, and the stage says 8192; set it to 280"),
        ({"vocabulary": 280, "minimum_frequency": 3}, "was trained with `minimum_frequency` 2, and the stage says 3"),
    ],
)
def test_a_tokenizer_of_other_settings_is_refused(
    learned: tuple[Corpus, Path], tmp_path: Path, options: dict[str, Any], says: str
) -> None:
    """The recipe would say one thing of the vocabulary and the dataset hold another; the error says the difference."""
    corpus, out = learned
    with pytest.raises(RecipeError) as caught:
        corpus.build(tmp_path / "new", stages=tokenizing(**options), artifacts=str(out))
    assert str(caught.value).startswith(f"artifacts: {out}/artifacts/tokenizer.json {says}")
    assert not (tmp_path / "new").exists()


def test_settings_of_which_nothing_is_known_are_let_pass(learned: tuple[Corpus, Path], tmp_path: Path) -> None:
    """Artifacts without their dataset do not tell why there are no more tokens: there may have been no more to learn."""
    corpus, out = learned
    shutil.copytree(out / "artifacts", tmp_path / "artifacts")
    corpus.build(tmp_path / "new", stages=tokenizing(vocabulary=8192), artifacts=str(tmp_path / "artifacts"))
    corpus.build(tmp_path / "same", stages=tokenizing(vocabulary=280, max_tokens=4), artifacts=str(out))
    for name in ("new", "same"):
        assert contents(tmp_path / name)["artifacts/tokenizer.json"] == contents(out)["artifacts/tokenizer.json"]


def test_a_tokenizer_of_another_kind_is_refused_unless_it_is_named(learned: tuple[Corpus, Path], tmp_path: Path) -> None:
    """Training makes a byte-level BPE with certain special tokens; any other one can be named, and must then be that one."""
    corpus, out = learned
    shutil.copytree(out / "artifacts", tmp_path / "artifacts")
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "artifacts/tokenizer.json"))
    with pytest.raises(RecipeError, match=r"is no tokenizer that training here makes \(WordLevel, 2 tokens\); name it"):
        corpus.build(tmp_path / "new", artifacts=str(tmp_path / "artifacts"))
    own = tokenizing(tokenizer=str(tmp_path / "artifacts/tokenizer.json"))
    corpus.build(tmp_path / "named", stages=own, artifacts=str(tmp_path / "artifacts"))
    with pytest.raises(RecipeError, match="is another tokenizer than '.*', which the stage names; leave one of them out"):
        corpus.build(tmp_path / "new", stages=own, artifacts=str(out))
    with pytest.raises(RecipeError, match="is no tokenizer that training here makes"):
        corpus.build(tmp_path / "new", artifacts=str(tmp_path / "named"))


def test_special_tokens_must_have_their_ids(learned: tuple[Corpus, Path], tmp_path: Path) -> None:
    """A loader pads with token 0: a BPE in which that is a letter is none that training makes."""
    corpus, out = learned
    shutil.copytree(out / "artifacts", tmp_path / "artifacts")
    tokens = {name: number for number, name in enumerate([*reversed(SPECIAL_TOKENS), "a"])}
    bytewise = Tokenizer(models.BPE(tokens, []))
    bytewise.save(str(tmp_path / "artifacts/tokenizer.json"))
    with pytest.raises(RecipeError, match=r"is no tokenizer that training here makes \(BPE, 7 tokens\)"):
        corpus.build(tmp_path / "new", artifacts=str(tmp_path / "artifacts"))
