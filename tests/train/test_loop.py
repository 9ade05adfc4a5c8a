"""The training loop: it learns, it repeats itself, it can be stopped anywhere, and it refuses what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmdata.dataset import Dataset
from mmdata.errors import ConfigError, MmdataError
from mmdata.loader import Loader
from mmdata.train.checkpoint import CHECKPOINT, Checkpoint
from mmdata.train.config import Augmentation, TrainConfig
from mmdata.train.evaluate import evaluate
from mmdata.train.layout import Layout
from mmdata.train.learner import Learner, learning_rate
from mmdata.train.loop import TrainProgress, train
from mmdata.train.run_log import LOG, RunLog, read_log


def _losses(out: Path) -> dict[int, Any]:
    return {line["step"]: (line["loss"], line["losses"]) for line in read_log(out / LOG) if "loss" in line}


class _Stopped(KeyboardInterrupt):
    pass


def _stop_at(step: int) -> Any:
    def stop(progress: TrainProgress) -> None:
        if progress.step == step:
            raise _Stopped

    return stop


@pytest.fixture
def undisturbed(dataset: Dataset, config: TrainConfig, tmp_path: Path) -> Path:
    """A run from start to end."""
    train(config, dataset.path, tmp_path / "undisturbed", threads=1)
    return tmp_path / "undisturbed"


def test_two_runs_have_the_same_losses_and_weights(dataset: Dataset, config: TrainConfig, undisturbed: Path, out: Path) -> None:
    """The same settings on the same dataset give the same losses and weights, bit for bit."""
    train(config, dataset.path, out, threads=1)
    assert _losses(out) == _losses(undisturbed)
    first, second = (Checkpoint.read(run / CHECKPOINT).model for run in (out, undisturbed))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("step", [1, 5, 7])
def test_a_stopped_run_goes_on_as_if_undisturbed(
    step: int, dataset: Dataset, config: TrainConfig, undisturbed: Path, out: Path
) -> None:
    """A run stopped after a step leaves a checkpoint of it, and ends with the losses and weights of one that was not stopped."""
    with pytest.raises(_Stopped):
        train(config, dataset.path, out, threads=1, progress=_stop_at(step))
    assert Checkpoint.read(out / CHECKPOINT).step == step
    result = train(config, dataset.path, out, threads=1)
    assert result.resumed_from == step
    assert _losses(out).items() <= _losses(undisturbed).items()
    assert len(_losses(out)) >= result.steps - 1
    first, second = (Checkpoint.read(run / CHECKPOINT).model for run in (out, undisturbed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    dataset: Dataset, config: TrainConfig, undisturbed: Path, out: Path
) -> None:
    """A run that had no time to leave a checkpoint repeats the steps since the last one, and its log holds no step twice."""

    def kill(progress: TrainProgress) -> None:
        if progress.step == 8:
            raise SystemExit

    with pytest.raises(SystemExit):
        train(config, dataset.path, out, threads=1, progress=kill)
    assert train(config, dataset.path, out, threads=1).resumed_from == config.checkpoint_every
    steps = [line["step"] for line in read_log(out / LOG) if "loss" in line]
    assert steps == sorted(set(steps))
    assert _losses(out) == _losses(undisturbed)


def test_a_finished_run_is_only_measured(dataset: Dataset, config: TrainConfig, undisturbed: Path) -> None:
    """Training again does nothing more, and gives the measures of the first time."""
    log = (undisturbed / LOG).read_bytes()
    result = train(config, dataset.path, undisturbed)
    assert result.loss is None
    assert result.retrieval == evaluate(undisturbed, dataset.path)
    assert (undisturbed / LOG).read_bytes() == log


def test_eight_records_are_learned_by_heart(dataset: Dataset, config: TrainConfig) -> None:
    """On one batch of eight records without augmentation, the loss comes close to nothing."""
    still = Augmentation(units=0, bins=0, time=0, shift=0)
    config = config.model_copy(update={"augmentation": still, "learning_rate": 5e-3, "batch_size": 8})
    learner = Learner(config, Layout.of(dataset, config), 80, torch.device("cpu"))
    with Loader(dataset, batch_size=8, rank=0, world_size=1) as loader:
        batch = next(iter(loader))
    losses = []
    for step in range(80):
        losses.append(learner.gradient(batch, step).mean)
        learner.update(step)
    assert losses[0] > 1.5
    assert losses[-1] < 0.1


def test_other_settings_are_refused_with_the_difference(dataset: Dataset, config: TrainConfig, undisturbed: Path) -> None:
    """A run does not go on with other settings; the error names each that differs."""
    other = config.model_copy(update={"learning_rate": 0.5, "augmentation": Augmentation(bins=3)})
    with pytest.raises(
        ConfigError, match=r"(?s)augmentation\.bins: 16 in the run, 3 now.*learning_rate: 0\.001 in the run, 0\.5 now"
    ):
        train(other, dataset.path, undisturbed)


def test_another_dataset_is_refused(config: TrainConfig, undisturbed: Path, other_dataset: Dataset) -> None:
    """A run does not go on with another dataset, and a model of tokens does not read those of another tokenizer."""
    with pytest.raises(ConfigError, match="another dataset"):
        train(config, other_dataset.path, undisturbed)
    with pytest.raises(ConfigError, match="another tokenizer"):
        evaluate(undisturbed, other_dataset.path)


def test_a_dataset_without_the_models_fields_is_refused(dataset: Dataset, config: TrainConfig) -> None:
    """A model does not read a dataset that has its field under another name."""
    layout = Layout({"text": "tokens", "image": "picture"})
    with pytest.raises(ConfigError, match="the model reads image from a field 'picture' of kind image"):
        layout.check(dataset, config)


def test_a_damaged_checkpoint_is_refused(dataset: Dataset, config: TrainConfig, undisturbed: Path) -> None:
    """A checkpoint that was cut off is not trained on, and the error says what to do."""
    path = undisturbed / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="cannot be read"):
        train(config, dataset.path, undisturbed)
    with pytest.raises(ConfigError, match=r"there is no checkpoint\.pt"):
        evaluate(undisturbed.parent, dataset.path)


def test_a_loss_that_is_not_finite_names_the_records(dataset: Dataset, config: TrainConfig) -> None:
    """A loss that is no number stops the run before the weights change, and names the batch's records."""
    learner = Learner(config, Layout.of(dataset, config), 10, torch.device("cpu"))
    with torch.no_grad():
        next(learner.model.encoders["audio"].parameters()).fill_(torch.nan)
    with Loader(dataset, batch_size=4, rank=0, world_size=1) as loader:
        batch = next(iter(loader))
    with pytest.raises(MmdataError, match=f"step 3: the loss is nan.*{batch.keys[0]}"):
        learner.gradient(batch, 3)


def test_the_log_holds_losses_and_measures(undisturbed: Path, config: TrainConfig) -> None:
    """Each step has its line with losses, learning rate and speed; the end has the measures of the held-out records."""
    *steps, last = read_log(undisturbed / LOG)
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    assert set(steps[0]["losses"]) == {"text-audio", "text-image", "audio-image"}
    assert steps[0]["loss"] == pytest.approx(sum(steps[0]["losses"].values()) / 3)
    assert max(line["learning_rate"] for line in steps) <= config.learning_rate
    assert all(0 <= line["waiting"] <= 1 and line["records_per_second"] > 0 for line in steps)
    assert len(last["evaluation"]["directions"]) == 6
    json.dumps(last)


def test_a_log_that_was_cut_off_is_mended(tmp_path: Path) -> None:
    """Lines of later steps and a half line are removed before a run goes on."""
    path = tmp_path / LOG
    path.write_text('{"loss":1,"step":1}\n{"loss":2,"step":2}\n{"loss":3,"step":3}\n{"lo', encoding="utf-8")
    RunLog(path, 2).write({"step": 3, "loss": 4})
    assert [line["loss"] for line in read_log(path)] == [1, 2, 4]


def test_the_learning_rate_rises_and_falls(config: TrainConfig) -> None:
    """It rises to the highest within the warm-up and falls to almost nothing at the end."""
    config = config.model_copy(update={"warmup": 0.1})
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert max(rates) == rates[9] == rates[10] == config.learning_rate
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001 * config.learning_rate


def test_threads_are_set_back(dataset: Dataset, config: TrainConfig, out: Path) -> None:
    """The number of torch's threads is as before after a run, even one that fails; a number below 1 is refused."""
    before = torch.get_num_threads()
    with pytest.raises(_Stopped):
        train(config, dataset.path, out, threads=before + 1, progress=_stop_at(1))
    assert torch.get_num_threads() == before
    with pytest.raises(ConfigError, match="threads is at least 1"):
        train(config, dataset.path, out, threads=0)


def test_two_modalities_are_enough(dataset: Dataset, config: TrainConfig, out: Path) -> None:
    """A run on speech and text alone has one pair of modalities, and reads no pictures."""
    config = config.model_copy(update={"modalities": ("audio", "text"), "epochs": 1})
    retrieval = train(config, dataset.path, out).retrieval
    assert retrieval is not None
    assert [direction.name for direction in retrieval.directions] == ["text → audio", "audio → text"]
