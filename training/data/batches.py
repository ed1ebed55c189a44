"""Makes batches of tensors from records; (seed, step) decides a batch, so that a resumed run sees the same ones.

Numbers are drawn on the CPU and the windows read where the table is, so CPU and GPU see the same batches. Of several
processes, or micro-steps, each makes its own part of the whole batch: nothing depends on how many there are.
Shapes: B clips; T frames; M motion; S picture side; Ta, F audio; H heads; Bh the clips whose music is encoded (the
batch's end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mudar.spec import FeatureSpec
from training.data import windows as read
from training.data.augment import Plan, draw, make_plan
from training.data.pairs import avc_allowed, draw_avts_shifts
from training.data.ragged import Table, make_table
from training.data.records import ClipFeatures
from training.data.windows import WindowCoordinates
from training.recipe import Recipe

Ints = NDArray[np.int64]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Batch:
    """Holds what one step sees. `audio` and what follows it are of the last Bh clips: the others go without music."""

    motion: Tensor  # (B, T, M)
    frames: Tensor | None  # (B, T, 3, S, S) bytes, for networks that look at frames
    target: Tensor  # (B, T, H)
    mask: Tensor  # (B, T, H)
    audio: Tensor  # (Bh, Ta, F)
    shifted: Tensor | None  # (Bh, Ta, F) own music, shifted, once AVTS has begun
    shifted_allowed: Tensor  # (Bh,)
    hard: Tensor | None  # (Bh, Ta, F) music that the network took for the own, once such has been looked for
    hard_allowed: Tensor  # (Bh,) by (16), in these very windows
    onsets: Tensor  # (Bh, T) O of (16): 1 where an onset falls into the frame
    songs: Tensor  # (Bh,) a number for each song
    allowed: Tensor  # (Bh, Bh) bool: music j may be a negative for dance i

    def to(self, device: torch.device) -> Batch:
        """The same on a device; from pinned memory the copy does not wait."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in pinned memory; a DataLoader calls this."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Any) -> Batch:
        parts: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: change(v) for name, v in parts.items() if isinstance(v, Tensor)})


@dataclass(frozen=True)
class HardNegatives:
    """Holds, for each of C clips, the K others whose music the network takes for its own, and the windows compared.

    clips: (C, K), -1 where (16) left fewer; start_s: (C,) of the window of each clip's music.
    """

    clips: Ints
    start_s: NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """The `index`-th of `count` equal parts of every batch: the share of one process, or of one micro-step."""

    index: int = 0
    count: int = 1

    def of(self, first: int, last: int) -> Ints:
        """Which of the places first … last - 1 are its own. Raises ValueError when they cannot be shared out evenly."""
        each, rest = divmod(last - first, self.count)
        if rest:
            raise ValueError(
                f"{last - first} clips cannot be shared out among {self.count}: choose data.batch so that its parts "
                "with and without music both can"
            )
        return np.arange(first + each * self.index, first + each * (self.index + 1))


FULL_BATCH = Part()


class Source(Protocol):
    """Supplies the clips of each step."""

    def __len__(self) -> int:
        """C: how many clips there are."""
        ...

    def draw(self, rng: np.random.Generator, step: int, count: int) -> Ints:
        """The numbers of `count` clips for this step."""
        ...

    def open(self, clips: Ints, spec: FeatureSpec, device: torch.device) -> tuple[Table, Ints]:
        """A table that has these clips, where their windows are to be read, and their rows in it."""
        ...


class Mixture:
    """Generated and real records, in shares; among the real ones each source counts as it should."""

    def __init__(
        self, generated: Sequence[ClipFeatures], real: Sequence[ClipFeatures], real_share: float, large_share: float
    ) -> None:
        """`large_share` of the real draws are of the source with the most clips."""
        self.records = [*generated, *real]
        self.real_share, self.large_share = real_share, large_share
        sources = np.array([record.source for record in real], dtype=str)
        names, sizes = np.unique(sources, return_counts=True)
        self._generated = np.arange(len(generated))
        of_largest = sources == (names[int(np.argmax(sizes))] if len(names) else "")
        self._largest = len(generated) + np.flatnonzero(of_largest)
        self._others = len(generated) + np.flatnonzero(~of_largest)
        self._tables: dict[tuple[FeatureSpec, torch.device], Table] = {}

    def __len__(self) -> int:
        """See `Source`."""
        return len(self.records)

    def table(self, spec: FeatureSpec, device: torch.device = CPU) -> Table:
        """All clips; made once for each device."""
        if (spec, device) not in self._tables:
            self._tables[spec, device] = make_table(self.records, spec.video).to(device)
        return self._tables[spec, device]

    def open(self, clips: Ints, spec: FeatureSpec, device: torch.device = CPU) -> tuple[Table, Ints]:
        """See `Source`."""
        return self.table(spec, device), clips

    def draw(self, rng: np.random.Generator, step: int, count: int) -> Ints:
        """See `Source`; without records of one kind the other fills its place."""
        reals = len(self._largest) + len(self._others)
        share = 0.0 if not reals else 1.0 if not len(self._generated) else self.real_share
        real = round(count * share)
        large = rng.uniform(size=real) < (self.large_share if len(self._others) else 1.0)
        drawn = [
            self._pick(rng, self._generated, count - real),
            self._pick(rng, self._largest, int(large.sum())),
            self._pick(rng, self._others, int((~large).sum())),
        ]
        return rng.permutation(np.concatenate(drawn))

    @staticmethod
    def _pick(rng: np.random.Generator, pool: Ints, count: int) -> Ints:
        return pool[rng.integers(len(pool), size=count)] if count else pool[:0]


def make_batch(
    source: Source, recipe: Recipe, step: int, device: torch.device = CPU, part: Part = FULL_BATCH,
    hardest: HardNegatives | None = None,
) -> Batch:  # fmt: skip
    """Makes this part of the batch of this step."""
    rng = np.random.default_rng([recipe.seed, 31, step])
    data, model = recipe.data, recipe.model
    clips = source.draw(rng, step, data.batch)
    draws = draw(rng, len(clips), recipe.features, data.augmentation)
    first = round(len(clips) * model.audio_gate_share) if step % data.joint_every == 0 else len(clips)
    silent, audible = part.of(0, first), part.of(first, len(clips))
    own = np.concatenate([silent, audible])
    if len(audible) and round(len(own) * model.audio_gate_share) != len(silent):
        raise ValueError("the gate's share of a part is not that of the batch: choose data.batch so that it is")
    others = _negatives(hardest, clips[audible], draws.uniform[audible, 10])
    table, rows = source.open(np.concatenate([clips[own], others]), recipe.features, device)
    plan = make_plan(draws.part(own), rows[: len(own)], table, recipe.features, data.augmentation)
    batch = _read(table, plan, len(silent), recipe, step)
    if hardest is None or not len(audible):
        return batch
    windows = WindowCoordinates.at(rows[len(own) :], hardest.start_s[others], table, recipe.features)
    return _with_hard(batch, table, windows, others != clips[audible], recipe.loss.onset_alpha)


def _negatives(hardest: HardNegatives | None, clips: Ints, chance: NDArray[np.float64]) -> Ints:
    """One of the hardest negatives for each of `clips` (B,): any of them, so that none is fought over."""
    if hardest is None:
        return clips[:0]
    candidates = hardest.clips[clips]
    count = (candidates >= 0).sum(axis=1)
    chosen = candidates[np.arange(len(clips)), np.floor(chance * count).astype(np.int64)]
    return np.where(count > 0, chosen, clips)


def _with_hard(
    batch: Batch, table: Table, windows: WindowCoordinates, real: NDArray[np.bool_], onset_alpha: float
) -> Batch:
    """Adds the music of these windows as hard negatives; where one is not `real`, it is a clip's own, not allowed."""
    onsets = read.soft_events(table, windows, ("onset",), 0.0)[..., 0]
    permitted = avc_allowed(batch.onsets, batch.songs, onset_alpha, onsets, table.songs[windows.clips]).diagonal()
    hard_allowed = (permitted & read.to_device(real, table.device)).float()
    return replace(batch, hard=read.audio(table, windows), hard_allowed=hard_allowed)


def _read(table: Table, plan: Plan, first: int, recipe: Recipe, step: int) -> Batch:
    """The windows of a plan, of which the first `first` go without music."""
    spec, heads = recipe.features, recipe.model.rhythm_heads
    coordinates = WindowCoordinates.of(plan, table, spec)
    motion, inside = read.motion(table, coordinates, plan, recipe.data.augmentation.noise_sd)
    with_music, audible = coordinates.part(slice(first, None)), plan.part(slice(first, None))
    empty = motion.new_zeros(0)
    any_audible = len(audible.clips) > 0
    onsets = motion.new_zeros(0, motion.shape[1])
    if any_audible:
        onsets = read.soft_events(table, with_music, ("onset",), 0.0)[..., 0]
    songs = table.songs[with_music.clips]
    shift = _shift(audible, table, recipe, step) if any_audible else None
    return Batch(
        motion=motion,
        frames=read.pictures(table, coordinates, plan).to(table.device) if recipe.model.needs_frames else None,
        target=_targets(table, coordinates, recipe),
        mask=inside[..., None].expand(-1, -1, len(heads)),
        audio=read.audio(table, with_music) if any_audible else empty,
        shifted=None if shift is None else read.audio(table, with_music.shifted(shift[0])),
        shifted_allowed=empty if shift is None else shift[1],
        hard=None,
        hard_allowed=empty,
        onsets=onsets,
        songs=songs,
        allowed=avc_allowed(onsets, songs, recipe.loss.onset_alpha),
    )


def _targets(table: Table, cut: WindowCoordinates, recipe: Recipe) -> Tensor:
    """(B, T, H)"""
    heads, loss = recipe.model.rhythm_heads, recipe.loss
    target = read.soft_events(table, cut, heads, 0.0 if loss.rhythm == "crf" else loss.target_sigma_s)
    if loss.rhythm == "regression" and "onset" in heads:
        target[..., heads.index("onset")] = read.envelope(table, cut)
    return target


def _shift(plan: Plan, table: Table, recipe: Recipe, step: int) -> tuple[Tensor, Tensor] | None:
    """(B,) seconds by which (17) lets the own music be shifted, and (B,) 1 where it does, once AVTS has begun."""
    loss = recipe.loss
    if not loss.implicit_weight or step < loss.avts_from * recipe.optimiser.steps:
        return None
    fps, frames = recipe.features.video.fps, recipe.features.frames_per_segment
    before = (plan.start_s * fps).astype(np.int64)
    after = ((table.duration_s[plan.clips] - plan.start_s) * fps - frames * plan.stretch).astype(np.int64)
    shifts, allowed = draw_avts_shifts(plan.chance, fps, table.tempo_bpm[plan.clips], -before, np.maximum(after, 0))
    both = read.to_device(np.stack([shifts / fps, allowed]), table.device)
    return both[0], both[1].float()
