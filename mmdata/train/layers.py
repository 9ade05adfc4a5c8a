"""The parts that the encoders share: sequences with padding, convolutions, attention and pooling that padding cannot change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_INITIAL_DEVIATION = 0.02  # of the weights of attention, as in GPT-2


def inside_of(lengths: Tensor, steps: int) -> Tensor:
    """Return which steps are no padding: bool [batch, steps], for lengths int64 [batch]."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def positions_of(steps: int, width: int, device: torch.device) -> Tensor:
    """Return sinusoids of positions, float32 [steps, width]: any length has them (A. Vaswani et al., 2017)."""
    rates = torch.exp(torch.arange(width // 2, device=device) * (-math.log(10_000.0) / max(1, width // 2 - 1)))
    angles = torch.arange(steps, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Stem(nn.Module):
    """Convolutions over time, each followed by GELU; one for each stride. With no strides, a linear map of each step.

    Padding is set to zero before every convolution, so a recording's last frames see in a batch what they see alone.
    """

    def __init__(self, channels: int, width: int, kernel: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(strides) or (1,)
        kernel = kernel if strides else 1
        sizes = [channels, *[width] * len(self.strides)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, kernel, stride, kernel // 2)
            for before, after, stride in zip(sizes, sizes[1:], self.strides, strict=False)
        )

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Take values [batch, channels, steps] and lengths [batch]; return [batch, steps', width] and lengths."""
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            values = values * inside_of(lengths, values.shape[2])[:, None]
            values = functional.gelu(convolution(values))
            lengths = -(-lengths // stride)
        return values.transpose(1, 2), lengths


class Block(nn.Module):
    """One layer of a Transformer, normalised before each part: attention over the steps, then a perceptron of each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.perceptron_norm = nn.LayerNorm(width)
        self.perceptron_input = nn.Linear(width, 4 * width)
        self.perceptron_output = nn.Linear(4 * width, width)
        for layer in (self.queries_keys_values, self.attention_output, self.perceptron_input, self.perceptron_output):
            nn.init.normal_(layer.weight, std=_INITIAL_DEVIATION)
            nn.init.zeros_(layer.bias)

    def forward(self, values: Tensor, visible: Tensor) -> Tensor:
        """Take values [batch, steps, width] and which steps may be seen, bool [batch, 1, 1, steps]; return values."""
        batch, steps, width = values.shape
        projected = self.queries_keys_values(self.attention_norm(values)).view(batch, steps, 3, self.heads, width // self.heads)
        queries, keys, contents = projected.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(queries, keys, contents, attn_mask=visible)
        values = values + self.attention_output(seen.transpose(1, 2).reshape(batch, steps, width))
        changed: Tensor = self.perceptron_output(functional.gelu(self.perceptron_input(self.perceptron_norm(values))))
        return values + changed


class Transformer(nn.Module):
    """Positions, blocks, and a last normalisation."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Take values [batch, steps, width] and lengths [batch]; return values."""
        _, steps, width = values.shape
        # A row without any step sees its padding: attention over nothing would not be a number. Pooling ignores it.
        visible = inside_of(lengths.clamp_min(1), steps)[:, None, None]
        values = values + positions_of(steps, width, values.device)
        for block in self.blocks:
            values = block(values, visible)
        normalized: Tensor = self.norm(values)
        return normalized


class Pool(nn.Module):
    """One vector of a sequence: the mean and the largest of its steps, and how many there were.

    A mean alone does not tell how long a sentence is, and its length is a good part of what speech and text share.
    """

    def __init__(self, width: int, output: int) -> None:
        super().__init__()
        self.length = nn.Sequential(nn.Linear(1, width), nn.GELU())
        self.output = nn.Linear(3 * width, output)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Take values [batch, steps, width] and lengths [batch]; return [batch, output]."""
        inside = inside_of(lengths, values.shape[1])[:, :, None]
        count = lengths[:, None].to(values.dtype)
        mean = (values * inside).sum(1) / count.clamp_min(1)
        largest = torch.where(inside.any(1), values.masked_fill(~inside, -torch.inf).amax(1), 0.0)
        pooled: Tensor = self.output(torch.cat([mean, largest, self.length(torch.log1p(count))], dim=1))
        return pooled
