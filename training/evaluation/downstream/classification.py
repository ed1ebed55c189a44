"""Table 2: which style is danced, from frozen codes, by the head of section 4.2.

visual = [embedding ; visual rhythm], audio = [embedding ; onsets], frame by frame; two FC + ReLU for each stream;
concatenated; pooled over time; two FC. Adam 4e-3, a tenth of it after epochs 20 and 50, batch 64, 70 epochs. The
visual rhythm is the curve and what its head reads: the explicit pathway's own representation of the dance. A clip's
answer is the mean over its segments. Knows no tables and no files.

Shapes: N segments; T pooled frames; V, A width of a stream's features; C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training.evaluation.tables.inference import Seen

POOLED: Final = 30  # frames of a segment that the head sees
WIDTH: Final = 128


@dataclass(frozen=True)
class HeadRecipe:
    """The numbers of section 4.2."""

    epochs: int = 70
    batch: int = 64
    learning_rate: float = 4e-3
    drops: tuple[int, ...] = (20, 50)  # epochs after which a tenth of the rate is left
    seed: int = 0


class StyleHead(nn.Module):
    """See the module."""

    def __init__(self, visual: int, audio: int, classes: int, width: int = WIDTH) -> None:
        super().__init__()
        self.visual, self.audio = _stream(visual, width), _stream(audio, width)
        self.classify = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """(N, T, V) and (N, T, A) to (N, C) logits."""
        both = torch.cat([self.visual(visual), self.audio(audio)], dim=-1)  # (N, T, 2 width)
        return self.classify(both.mean(dim=1))


@dataclass(frozen=True)
class Segments:
    """Features of segments (N, T, V), (N, T, A), and which clip (N,) each is of."""

    visual: Tensor
    audio: Tensor
    clip: Tensor


def segments(seen: Sequence[Seen]) -> Segments:
    """What the head sees of these clips."""
    parts = [_of_clip(one) for one in seen]
    clip = torch.cat([torch.full((len(visual),), i) for i, (visual, _) in enumerate(parts)])
    visual, audio = (torch.cat(stream) for stream in zip(*parts, strict=True))
    return Segments(visual, audio, clip.to(visual.device))


def _of_clip(one: Seen) -> tuple[Tensor, Tensor]:
    device = one.rhythm.device
    streams = []
    seen, heard = torch.cat([one.dance.sequence, one.rhythm], dim=-1), one.music.sequence
    for sequence, curve in ((seen, _served(one)), (heard, one.record.envelope)):
        line = np.pad(curve, (0, max(one.where[-1].first_frame + one.where[-1].frames - len(curve), 0)))
        cut = np.stack([line[w.first_frame : w.first_frame + w.frames] for w in one.where])
        rhythm = torch.from_numpy(np.ascontiguousarray(cut, np.float32)).to(device)[..., None]  # (S, W, 1)
        both = torch.cat([sequence, rhythm], dim=-1)
        streams.append(F.adaptive_avg_pool1d(both.transpose(1, 2), POOLED).transpose(1, 2))
    return streams[0], streams[1]


def _served(one: Seen) -> NDArray[np.float32]:
    """The curve of the beat head, else of the first; nothing for a network without rhythm."""
    if not one.heads:
        return np.zeros(len(one.curves), np.float32)
    return one.curve("beat" if "beat" in one.heads else one.heads[0])


def fit(features: Segments, labels: Tensor, classes: int, recipe: HeadRecipe | None = None) -> StyleHead:
    """The trained head. labels: (clips,) numbers of the classes."""
    told = recipe or HeadRecipe()
    device = features.visual.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(told.seed)
        head = StyleHead(features.visual.shape[2], features.audio.shape[2], classes).to(device)
    optimiser = torch.optim.Adam(head.parameters(), lr=told.learning_rate)
    rng = np.random.default_rng([told.seed, 41])
    truth = labels.to(device)[features.clip]
    for epoch in range(told.epochs):
        for group in optimiser.param_groups:
            group["lr"] = told.learning_rate * 0.1 ** sum(epoch >= drop for drop in told.drops)
        order = torch.from_numpy(rng.permutation(len(truth))).to(device)
        for chosen in torch.split(order, told.batch):
            loss = F.cross_entropy(head(features.visual[chosen], features.audio[chosen]), truth[chosen])
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
    return head.eval()


@torch.no_grad()
def predict(head: StyleHead, features: Segments) -> dict[int, int]:
    """Clip number to the class that its segments, on average, speak for."""
    chances = head(features.visual, features.audio).softmax(dim=-1)
    return {
        clip: int(chances[features.clip == clip].mean(dim=0).argmax()) for clip in sorted(set(features.clip.tolist()))
    }


def accuracy(
    train: Sequence[Seen],
    test: Sequence[Seen],
    train_labels: Sequence[str],
    test_labels: Sequence[str],
    recipe: HeadRecipe | None = None,
) -> list[float]:
    """1 for each test clip whose label is found, else 0, after training on the others."""  # fmt: skip
    names = sorted(set(train_labels))
    numbers = torch.tensor([names.index(label) for label in train_labels])
    head = fit(segments(train), numbers, len(names), recipe)
    found = predict(head, segments(test))
    return [float(names[found[i]] == label) for i, label in enumerate(test_labels)]


def majority(train_labels: Sequence[str], test_labels: Sequence[str]) -> list[float]:
    """Chance: what always answering the commonest training label gets."""
    names, counts = np.unique(np.asarray(train_labels), return_counts=True)
    usual = names[int(np.argmax(counts))]
    return [float(label == usual) for label in test_labels]


def _stream(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
