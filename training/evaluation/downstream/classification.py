"""Classifies which style is danced, from frozen codes, by the head of section 4.2: table 2.

visual = [embedding ; visual rhythm], audio = [embedding ; onsets], frame by frame; two FC + ReLU for each stream;
concatenated; pooled over time; two FC. Adam 4e-3, a tenth of it after epochs 20 and 50, batch 64, 70 epochs. The
visual rhythm is the curve and what its head reads: the explicit pathway's own representation of the dance. A clip's
class is that of the mean over its segments. Knows no tables and no files.

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

from training.evaluation.inference import ClipPrediction

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
    """Classifies segments: two streams of two layers, joined, pooled over time, two layers."""

    def __init__(self, visual: int, audio: int, classes: int, width: int = WIDTH) -> None:
        super().__init__()
        self.visual, self.audio = _stream(visual, width), _stream(audio, width)
        self.classify = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """Turns (N, T, V) and (N, T, A) into (N, C) logits."""
        both = torch.cat([self.visual(visual), self.audio(audio)], dim=-1)  # (N, T, 2 width)
        return self.classify(both.mean(dim=1))


@dataclass(frozen=True)
class Segments:
    """Holds features of segments (N, T, V), (N, T, A), and which clip (N,) each is of."""

    visual: Tensor
    audio: Tensor
    clip: Tensor


def segments(predictions: Sequence[ClipPrediction]) -> Segments:
    """Gathers what the head sees of these clips."""
    parts = [_clip_segments(prediction) for prediction in predictions]
    clip = torch.cat([torch.full((len(visual),), i) for i, (visual, _) in enumerate(parts)])
    visual, audio = (torch.cat(stream) for stream in zip(*parts, strict=True))
    return Segments(visual, audio, clip.to(visual.device))


def _clip_segments(clip: ClipPrediction) -> tuple[Tensor, Tensor]:
    device, last = clip.rhythm.device, clip.windows[-1]
    streams = []
    visual, audio = torch.cat([clip.dance.sequence, clip.rhythm], dim=-1), clip.music.sequence
    for sequence, curve in ((visual, _rhythm_curve(clip)), (audio, clip.record.envelope)):
        padded = np.pad(curve, (0, max(last.first_frame + last.frames - len(curve), 0)))
        cut = np.stack([padded[w.first_frame : w.first_frame + w.frames] for w in clip.windows])
        rhythm = torch.from_numpy(np.ascontiguousarray(cut, np.float32)).to(device)[..., None]  # (S, W, 1)
        both = torch.cat([sequence, rhythm], dim=-1)
        streams.append(F.adaptive_avg_pool1d(both.transpose(1, 2), POOLED).transpose(1, 2))
    return streams[0], streams[1]


def _rhythm_curve(clip: ClipPrediction) -> NDArray[np.float32]:
    """Returns the curve of the beat head, else of the first; zeros for a network without rhythm."""
    if not clip.heads:
        return np.zeros(len(clip.curves), np.float32)
    return clip.curve("beat" if "beat" in clip.heads else clip.heads[0])


def fit(features: Segments, labels: Tensor, classes: int, recipe: HeadRecipe | None = None) -> StyleHead:
    """Trains the head. labels: (clips,) numbers of the classes."""
    recipe = recipe or HeadRecipe()
    device = features.visual.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        head = StyleHead(features.visual.shape[2], features.audio.shape[2], classes).to(device)
    optimiser = torch.optim.Adam(head.parameters(), lr=recipe.learning_rate)
    rng = np.random.default_rng([recipe.seed, 41])
    truth = labels.to(device)[features.clip]
    for epoch in range(recipe.epochs):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * 0.1 ** sum(epoch >= drop for drop in recipe.drops)
        order = torch.from_numpy(rng.permutation(len(truth))).to(device)
        for chosen in torch.split(order, recipe.batch):
            loss = F.cross_entropy(head(features.visual[chosen], features.audio[chosen]), truth[chosen])
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
    return head.eval()


@torch.no_grad()
def predict(head: StyleHead, features: Segments) -> dict[int, int]:
    """Predicts the class of each clip, by its number, from the mean probabilities of its segments."""
    probabilities = head(features.visual, features.audio).softmax(dim=-1)
    return {
        clip: int(probabilities[features.clip == clip].mean(dim=0).argmax())
        for clip in sorted(set(features.clip.tolist()))
    }


def accuracy(
    train: Sequence[ClipPrediction],
    test: Sequence[ClipPrediction],
    train_labels: Sequence[str],
    test_labels: Sequence[str],
    recipe: HeadRecipe | None = None,
) -> list[float]:
    """Gives 1 for each test clip whose label is predicted, else 0, after training on the others."""
    names = sorted(set(train_labels))
    numbers = torch.tensor([names.index(label) for label in train_labels])
    head = fit(segments(train), numbers, len(names), recipe)
    predicted = predict(head, segments(test))
    return [float(names[predicted[i]] == label) for i, label in enumerate(test_labels)]


def majority(train_labels: Sequence[str], test_labels: Sequence[str]) -> list[float]:
    """Measures chance: what always predicting the commonest training label gets."""
    names, counts = np.unique(np.asarray(train_labels), return_counts=True)
    commonest = names[int(np.argmax(counts))]
    return [float(label == commonest) for label in test_labels]


def _stream(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
