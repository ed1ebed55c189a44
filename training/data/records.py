"""Saves and loads the features of a clip, its dance and its music, as one .npz. No pickle, no torch.

A file appears whole or not at all (written beside, then renamed), so a run that was killed goes on where it stopped.
Shapes: T model frames; M spec.motion_dim; Ta audio feature frames; F the audio encoder's input.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from mudar.atomic_write import atomic_path
from mudar.errors import ModelError
from mudar.model.inputs import motion_input
from mudar.spec import VideoSpec

Array = NDArray[np.float32]
Image = NDArray[np.uint8]
JPEG_QUALITY: Final = 90
_STEP_CLASS = re.compile(r"step class ([\w-]+)")
_META = ("clip_id", "song_id", "source", "style", "origin", "duration_s", "flow_shape")


@dataclass(frozen=True)
class ClipFeatures:
    """Holds the features of one clip.

    between: `between[t]` is the motion from frame t to frame t+1. audio: the music encoder's input.
    origin: "generated" (strokes_s are the dancer's own) or "real" (strokes are unknown: strokes_s is empty and the
    beats, found in the clip's own sound, stand for them). source: who filmed it; a split never parts one. flow_shape:
    that of the VideoSpec which `between` was made with.
    """

    clip_id: str
    song_id: str
    source: str
    style: str
    origin: str
    duration_s: float
    between: Array  # (T - 1, M)
    audio: Array  # (Ta, F)
    envelope: Array  # (T,) onset strength at the model's frame rate, 0..1
    onsets_s: Array
    strokes_s: Array
    beats_s: Array
    downbeats_s: Array
    jpegs: tuple[bytes, ...] = ()  # the T frames, square, for networks that look at them; none for those that do not
    flow_shape: str = "square"

    @property
    def frames(self) -> int:
        """T: model frames."""
        return len(self.between) + 1

    def curves_s(self) -> dict[str, Array]:
        """Event times in seconds for each rhythm head; `beat` are the strokes where they are known."""
        beats = self.beats_s
        own = self.strokes_s if self.origin == "generated" else beats
        return {"onset": self.onsets_s, "beat": own, "beat13": _one_and_three(beats, self.downbeats_s),
                "downbeat": self.downbeats_s}  # fmt: skip


def motion_rows(record: ClipFeatures, video: VideoSpec) -> Array:
    """Scales the record's motion to what networks with this spec are fed, (T, M).

    ModelError when the record was made of pictures of another shape.
    """
    if record.flow_shape != video.flow_shape:
        raise ModelError(
            f"{record.clip_id} holds motion of shape {record.flow_shape}, and the network wants {video.flow_shape}.",
            hint=f"Make the records anew: python -m training.preprocess … --flow-shape {video.flow_shape}",
        )
    return motion_input(record.between, video)


def _one_and_three(beats_s: Array, downbeats_s: Array) -> Array:
    """Beats 1 and 3 of the bars: the downbeats and the second beat after each."""
    if not len(downbeats_s) or not len(beats_s):
        return beats_s[:0]
    first = int(np.argmin(np.abs(beats_s - downbeats_s[0])))
    return beats_s[first % 2 :: 2]


def save_record(folder: Path, record: ClipFeatures) -> Path:
    """Writes `folder/<clip_id>.npz`; frames are left out: they live in shards."""
    path = folder / f"{record.clip_id}.npz"
    with atomic_path(path) as unfinished, unfinished.open("wb") as out:
        write_arrays(out, record)
    return path


def write_arrays(out: BinaryIO, record: ClipFeatures) -> None:
    """Writes all of a record but its frames, as one .npz."""
    fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.name != "jpegs"}
    meta = json.dumps({name: fields.pop(name) for name in _META})
    half = {name: fields[name].astype(np.float16) for name in ("between", "audio", "envelope")}
    np.savez(out, meta=np.frombuffer(meta.encode(), np.uint8), **{**fields, **half})


def load_record(path: Path) -> ClipFeatures:
    """Reads what `save_record` wrote; arrays come back as float32."""
    with path.open("rb") as file:
        return read_arrays(file)


def read_arrays(file: BinaryIO, jpegs: tuple[bytes, ...] = ()) -> ClipFeatures:
    """Reads the record of an .npz; its frames are given."""
    with np.load(file, allow_pickle=False) as data:
        arrays = {name: data[name].astype(np.float32) for name in data.files if name != "meta"}
        meta = json.loads(data["meta"].tobytes().decode())
    return ClipFeatures(**meta, **arrays, jpegs=jpegs)


@dataclass(frozen=True)
class RecordStore:
    """Reads a folder of records, each when it is first needed."""

    folder: Path
    _cache: dict[str, ClipFeatures] = field(default_factory=dict, compare=False)

    def clip_ids(self) -> list[str]:
        """Names of the clips that are there, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.npz"))

    def load(self, clip_id: str) -> ClipFeatures:
        """The record of this clip."""
        if clip_id not in self._cache:
            self._cache[clip_id] = load_record(self.folder / f"{clip_id}.npz")
        return self._cache[clip_id]

    def all(self) -> list[ClipFeatures]:
        """Every record, by name."""
        return [self.load(clip_id) for clip_id in self.clip_ids()]


def encode_jpeg(image: Image) -> bytes:
    """Encodes an (H, W, 3) RGB image as a JPEG file: 20 KB where the image has 200."""
    import cv2  # only networks that see frames need it

    encoded, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    assert encoded
    return data.tobytes()


def decode_jpegs(jpegs: Sequence[bytes], frames: NDArray[np.int64]) -> Image:
    """Decodes the JPEG files at these frame numbers (n,) to (n, H, W, 3) RGB, each file once.

    Numbers before the first and after the last frame repeat it. ValueError when there are no files.
    """
    import cv2

    if not jpegs:
        raise ValueError("this network looks at frames, and the records hold none: preprocess with --frames")
    unique, inverse = np.unique(np.clip(frames, 0, len(jpegs) - 1), return_inverse=True)
    decoded = [np.asarray(cv2.imdecode(np.frombuffer(jpegs[i], np.uint8), cv2.IMREAD_COLOR_RGB)) for i in unique]
    return np.stack(decoded)[inverse].astype(np.uint8, copy=False)


def read_labels(table: Path) -> dict[str, str]:
    """Reads the labels of clips from a CSV file: its column `label`, or "step class X" in its column `notes`.

    Returns clip id (as preprocessing names it) to label, of the rows that have one.
    """
    with table.open(newline="") as rows:
        labels = {str(Path(row["file"]).with_suffix("")).replace("/", "_"): _label(row) for row in csv.DictReader(rows)}
    return {clip_id: label for clip_id, label in labels.items() if label}


def _label(row: dict[str, str]) -> str:
    step_class = _STEP_CLASS.search(row.get("notes") or "")
    return row.get("label") or (step_class[1] if step_class else "")


def with_labels(records: Sequence[ClipFeatures], labels: dict[str, str]) -> list[ClipFeatures]:
    """Gives records the styles that a table has for their clips; the others keep theirs."""
    return [dataclasses.replace(record, style=labels.get(record.clip_id, record.style)) for record in records]
