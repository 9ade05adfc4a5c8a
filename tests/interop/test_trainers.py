"""Other people's training loops take the loader as it is: torchrun, Lightning, and Hugging Face's Trainer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import IterableDataset

from mmdata.loader import Batch, Loader, LoaderOptions, PictureView
from mmdata.loader.testing import stream
from tests.loader.conftest import make_dataset, shared

__all__ = ["make_dataset", "shared"]

VIEWS = LoaderOptions(window=2, threads=1, views={"image": PictureView((8, 8), crop="random", flip=0.5, dtype="float32")})

RANK_PROGRAM = """
import json, sys
from pathlib import Path
import torch.distributed as dist
from mmdata.loader import Loader, LoaderOptions
dist.init_process_group("gloo")
with Loader(sys.argv[1], batch_size=6, options=LoaderOptions(fields=("text",))) as loader:
    seen = [batch.keys for batch in loader]
    state = loader.state_dict()
states = [None] * dist.get_world_size()
dist.all_gather_object(states, state)
found = {"steps": len(loader), "keys": seen, "states": states, "threads": loader._threads}
Path(sys.argv[2], f"{dist.get_rank()}.json").write_text(json.dumps(found))
dist.destroy_process_group()
"""


def test_torchrun_tells_the_ranks(shared: Path, tmp_path: Path) -> None:
    """Two processes of torchrun share each step of the batches that one process has, and have one state."""
    program = tmp_path / "rank.py"
    program.write_text(RANK_PROGRAM)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*launcher, str(program), str(shared), str(tmp_path)], check=True, capture_output=True, timeout=300)
    ranks: list[dict[str, Any]] = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    with Loader(shared, batch_size=6, options=LoaderOptions(fields=("text",))) as loader:
        expected = [batch.keys for batch in loader]
        state = loader.state_dict()
    assert [first + second for first, second in zip(ranks[0]["keys"], ranks[1]["keys"], strict=True)] == expected
    assert all(found["states"] == [state, state] and found["steps"] == len(expected) for found in ranks)


class Classifier(nn.Module):
    """Tells three labels apart by the pixels, well or badly."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(3 * 8 * 8, 3)

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss and the scores."""
        scores = self.output(pixels.flatten(1))
        return {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}


def inputs(batch: Batch) -> dict[str, torch.Tensor]:
    """Return what the classifier reads of a batch."""
    pixels = batch.fields["image"]
    assert isinstance(pixels, torch.Tensor)
    return {"pixels": pixels, "labels": torch.tensor([int(row["label"][1:]) for row in batch.metadata])}


@pytest.mark.filterwarnings("ignore")
def test_lightning_trains_with_the_loader_and_takes_it_up_again(shared: Path, tmp_path: Path) -> None:
    """The loader is a train dataloader; its state goes into Lightning's checkpoint and comes back out of it."""
    lightning = pytest.importorskip("lightning.pytorch", reason="needs lightning")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.classifier = Classifier()
            self.seen: list[list[str]] = []

        def training_step(self, batch: Batch, _: int) -> torch.Tensor:
            self.seen.append(batch.keys)
            return self.classifier(**inputs(batch))["loss"]  # type: ignore[no-any-return]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    class Data(lightning.LightningDataModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.loader = Loader(shared, batch_size=6, options=VIEWS)

        def train_dataloader(self) -> Loader:
            return self.loader

        def state_dict(self) -> dict[str, Any]:
            return self.loader.state_dict()

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.loader.load_state_dict(state)

    def trainer(epochs: int) -> Any:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        return lightning.Trainer(max_epochs=epochs, accelerator="cpu", devices=1, default_root_dir=tmp_path, **quiet)

    first, data = Module(), Data()
    begun = trainer(2)
    begun.fit(first, datamodule=data)
    begun.save_checkpoint(tmp_path / "two.ckpt")
    data.loader.close()
    second, again = Module(), Data()
    trainer(3).fit(second, datamodule=again, ckpt_path=tmp_path / "two.ckpt", weights_only=False)
    again.loader.close()
    with Loader(shared, batch_size=6, options=VIEWS) as loader:
        going = stream(loader)
        expected = [next(going).keys for _ in range(18)]
    assert first.seen + second.seen == expected


class Batches(IterableDataset[dict[str, torch.Tensor]]):
    """Whole batches of a loader, as Hugging Face's Trainer takes them."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return map(inputs, self.loader)


@pytest.mark.filterwarnings("ignore")
def test_the_trainer_of_hugging_face_learns_from_the_loader(shared: Path, tmp_path: Path) -> None:
    """With a DataLoader that passes batches on, every step of every epoch is learned."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    pytest.importorskip("accelerate", reason="needs accelerate")
    seen: list[torch.Tensor] = []

    class Trainer(transformers.Trainer):  # type: ignore[misc, name-defined]
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(self.train_dataset, batch_size=None)

        def training_step(self, model: nn.Module, inputs: dict[str, torch.Tensor], *rest: Any) -> torch.Tensor:
            seen.append(inputs["pixels"].clone())
            return super().training_step(model, inputs, *rest)  # type: ignore[no-any-return]

    settings = transformers.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=2, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True
    )
    loader = Loader(shared, batch_size=6, options=VIEWS)
    result = Trainer(Classifier(), settings, train_dataset=Batches(loader)).train()
    loader.close()
    with Loader(shared, batch_size=6, options=VIEWS) as fresh:
        going = stream(fresh)
        expected = [next(going).fields["image"] for _ in range(12)]
    assert result.global_step == 12
    assert all(torch.equal(one, other) for one, other in zip(seen, expected, strict=True))  # type: ignore[arg-type]
