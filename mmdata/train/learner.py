"""One step of learning: the loss of a batch, its gradient, and the update of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mmdata.errors import MmdataError
from mmdata.loader import Batch
from mmdata.rng import rng_for
from mmdata.train.augmentation import augment
from mmdata.train.config import TrainConfig
from mmdata.train.contents import contents_of
from mmdata.train.layout import Layout
from mmdata.train.model import make_model
from mmdata.train.objectives import PairLosses

_BETAS = (0.9, 0.98)
_EPSILON = 1e-6
_NAMED_KEYS = 5


@dataclass(frozen=True)
class Losses:
    """The loss of a step, the mean over the pairs of modalities, and that of each pair."""

    mean: float
    pairs: Mapping[str, float]


class Learner:
    """The model, its losses and the optimizer. All that happens in a step is a function of the seed, the step and the batch."""

    def __init__(self, config: TrainConfig, layout: Layout, steps: int, device: torch.device) -> None:
        self.config = config
        self.layout = layout
        self.steps = steps
        self.model = make_model(layout, config).to(device)
        self.losses = PairLosses(list(layout.fields)).to(device)
        self.parameters = [*self.model.parameters(), *self.losses.parameters()]
        self.optimizer = make_optimizer(self.parameters, config)

    def gradient(self, batch: Batch, step: int) -> Losses:
        """Compute the loss of a batch and its gradient; the weights stay as they are.

        Raises MmdataError that names the records where the loss or the gradient is not finite.
        """
        self.model.train()
        rng = rng_for(self.config.seed, "augmentation", step)
        inputs = augment(self.model.prepare(batch), self.config.augmentation, self.layout.masked_id, rng)
        losses = self.losses(self.model(inputs), contents_of(batch, self.layout))
        mean = torch.stack(list(losses.values())).mean()
        self.optimizer.zero_grad(set_to_none=True)
        mean.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        if not (math.isfinite(mean.item()) and math.isfinite(norm.item())):
            raise MmdataError(_not_finite(batch, step, mean.item(), norm.item()))
        return Losses(mean.item(), {name: loss.item() for name, loss in losses.items()})

    def update(self, step: int) -> None:
        """Change the weights by the gradient computed last."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, step, self.steps)
        self.optimizer.step()
        self.losses.clamp()

    def state(self) -> dict[str, dict[str, Any]]:
        """Return the state of all three, by name; it changes with the next update."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def restore(self, state: Mapping[str, dict[str, Any]]) -> None:
        """Take up a state."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {"model": self.model, "losses": self.losses, "optimizer": self.optimizer}


def make_optimizer(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW (I. Loshchilov and F. Hutter, 2019) that decays matrices only, not biases, norms and temperatures."""
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=_BETAS, eps=_EPSILON)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0: a linear rise, then half a cosine down to 0 after the last step."""
    rise = config.warmup * steps
    if step < rise:
        return config.learning_rate * min(1.0, (step + 1) / rise)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def _not_finite(batch: Batch, step: int, loss: float, norm: float) -> str:
    keys = ", ".join(batch.keys[:_NAMED_KEYS])
    more = f" and {len(batch) - _NAMED_KEYS} more" if len(batch) > _NAMED_KEYS else ""
    return (
        f"step {step}: the loss is {loss}, the norm of its gradient {norm}; nothing can be learned from that. "
        f"The records of the batch: {keys}{more}. Look at them, or take a lower learning_rate"
    )
