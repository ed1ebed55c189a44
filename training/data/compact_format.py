"""Packs records into one small file, to travel.

    python -m training.data.compact_format pack OUT.zip RECORDS…
    python -m training.data.compact_format unpack IN.zip OUT

What a network cannot tell apart is given up: motion to 7 bits of its square root, music to 6 bits at half its rate
(the encoder halves it at once), the tempogram to 15 Hz (its window is 8 s long). About 3 KB for a second of clip, a
twelfth of the records. Each column is stored as its differences in time, which is what LZMA packs well. Events and
names stay exact. Knows no network; numpy only.

Shapes: T model frames; M spec.motion_dim; Ta audio frames; F audio features.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mudar.model.inputs import LARGEST, at_frames, motion_gain
from mudar.spec import FeatureSpec
from training.data.records import Array, ClipFeatures, RecordStore, read_labels, save_record, with_labels

Bytes = NDArray[np.uint8]

MOTION_CAP: Final = 2 * LARGEST  # a mean of two neighbours, one of them here, is cut off at LARGEST anyway
MOTION_STEPS: Final = 127  # of the square root: fine where little moves
MEL_STEPS: Final = 62
FINE_STEPS: Final = 254
MEL_EVERY: Final = 2
TEMPOGRAM_EVERY: Final = 8
_TEXT: Final = ("clip_id", "song_id", "source", "style", "origin", "duration_s", "flow_shape")
_EVENTS: Final = ("onsets_s", "strokes_s", "beats_s", "downbeats_s")


def encode(record: ClipFeatures, spec: FeatureSpec) -> dict[str, NDArray[Any]]:
    """Encodes the record's arrays as they travel, by name."""
    mels = spec.audio.n_mels
    mel, sparse, tempogram = np.split(record.audio, [mels, mels + 2], axis=1)
    gain = np.float32(_gain(record, spec))
    motion = np.clip(record.between * _columns(spec) / (gain * MOTION_CAP), 0, 1)
    return {
        "gain": np.array([gain], np.float32),
        "between": _differences(np.round(MOTION_STEPS * np.sqrt(motion)).astype(np.uint8)),
        "mel": _differences(_steps(_halved(mel), MEL_STEPS)),
        "sparse": _differences(_steps(sparse, FINE_STEPS)),
        "tempogram": _differences(_steps(tempogram[::TEMPOGRAM_EVERY], FINE_STEPS)),
        "envelope": _differences(_steps(record.envelope[:, None], FINE_STEPS)),
        **{name: getattr(record, name).astype(np.float32) for name in _EVENTS},
    }


def decode(text: dict[str, Any], arrays: dict[str, NDArray[Any]], spec: FeatureSpec) -> ClipFeatures:
    """Decodes what `encode` made, less what that gave up."""
    squares = (_sums(arrays["between"]).astype(np.float32) / MOTION_STEPS) ** 2
    between = squares * (float(arrays["gain"][0]) * MOTION_CAP) / _columns(spec)
    sparse = _values(_sums(arrays["sparse"]), FINE_STEPS)
    frames = len(sparse)
    middles = MEL_EVERY * np.arange(len(arrays["mel"])) + (MEL_EVERY - 1) / 2
    mel = _between(_values(_sums(arrays["mel"]), MEL_STEPS), middles, frames)
    known = TEMPOGRAM_EVERY * np.arange(len(arrays["tempogram"]))
    tempogram = _between(_values(_sums(arrays["tempogram"]), FINE_STEPS), known, frames)
    fields: dict[str, Any] = {**text, **{name: arrays[name] for name in _EVENTS}}
    return ClipFeatures(
        **fields,
        between=between.astype(np.float32),
        audio=np.concatenate([mel, sparse, tempogram], axis=1).astype(np.float32),
        envelope=_values(_sums(arrays["envelope"]), FINE_STEPS)[:, 0].astype(np.float32),
    )


def pack(records: list[ClipFeatures], spec: FeatureSpec, out: Path) -> int:
    """Write the records into one file; returns its bytes. All clips' rows of a kind lie together."""
    coded = [encode(record, spec) for record in records]
    text = [{name: getattr(record, name) for name in _TEXT} for record in records]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("records.json", json.dumps({"spec": spec.to_dict(), "records": text}))
        for name in coded[0] if coded else ():
            _write(archive, f"{name}.rows", np.array([len(one[name]) for one in coded], np.int32))
            _write(archive, name, np.concatenate([one[name] for one in coded]))
    return out.stat().st_size


def unpack(path: Path) -> list[ClipFeatures]:
    """Every record of a packed file."""
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("records.json"))
    spec = FeatureSpec.from_dict(about["spec"])
    with np.load(path, allow_pickle=False) as data:
        names = [name for name in data.files if f"{name}.rows" in data.files]
        split = {name: np.split(data[name], np.cumsum(data[f"{name}.rows"])[:-1]) for name in names}
    return [decode(text, {name: split[name][i] for name in names}, spec) for i, text in enumerate(about["records"])]


def _write(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _gain(record: ClipFeatures, spec: FeatureSpec) -> float:
    return motion_gain(at_frames(record.between), spec.video)


def _columns(spec: FeatureSpec) -> Array:
    """(M,) factors that bring the columns of a motion descriptor to one scale: those of `normalise_motion`."""
    video = spec.video
    scale = np.ones(video.motion_dim, np.float32)
    scale[: video.hoof_bins] = video.hoof_bins
    scale[video.hoof_bins + 1 :] = max(video.grid_directions, 1)
    return scale


def _halved(rows: Array) -> Array:
    """Means of `MEL_EVERY` rows in a row; the last one repeated if they do not come out even."""
    padded = np.pad(rows, ((0, -len(rows) % MEL_EVERY), (0, 0)), mode="edge")
    return padded.reshape(-1, MEL_EVERY, rows.shape[1]).mean(axis=1)


def _steps(values: Array, steps: int) -> Bytes:
    """-1..1 to 0..steps."""
    return np.round((np.clip(values, -1, 1) + 1) * (steps / 2)).astype(np.uint8)


def _values(stepped: Bytes, steps: int) -> Array:
    return (stepped.astype(np.float32) * (2 / steps) - 1).astype(np.float32)


def _differences(rows: Bytes) -> Bytes:
    """Each row less the one before, modulo 256."""
    return np.diff(rows, axis=0, prepend=np.zeros((1, rows.shape[1]), np.uint8))


def _sums(differences: Bytes) -> Bytes:
    return np.cumsum(differences, axis=0, dtype=np.uint8)


def _between(rows: Array, at: NDArray[Any], frames: int) -> Array:
    """(frames, K) from rows known at the frames `at`, linear between and the ends repeated."""
    position = np.interp(np.arange(frames), at, np.arange(len(rows)))
    low = np.minimum(position.astype(int), max(len(rows) - 2, 0))
    mix = (position - low).astype(np.float32)[:, None]
    return rows[low] * (1 - mix) + rows[np.minimum(low + 1, len(rows) - 1)] * mix


def read_records(path: Path | None) -> list[ClipFeatures]:
    """Reads the records of a folder or of a packed file; none without a path."""
    if path is None:
        return []
    return unpack(path) if path.is_file() else RecordStore(path).all()


def main() -> None:
    """Packs or unpacks the records that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    does = parser.add_subparsers(dest="does", required=True)
    one, other = does.add_parser("pack"), does.add_parser("unpack")
    one.add_argument("out", type=Path)
    one.add_argument("records", type=Path, nargs="+")
    one.add_argument("--labels", type=Path, help="a table of clips: its labels become the records' styles")
    other.add_argument("packed", type=Path)
    other.add_argument("out", type=Path)
    args = parser.parse_args()
    if args.does == "pack":
        records = [record for folder in args.records for record in RecordStore(folder).all()]
        if args.labels:
            records = with_labels(records, read_labels(args.labels))
        size = pack(records, FeatureSpec(), args.out)
        seconds = sum(record.duration_s for record in records)
        print(f"{len(records)} clips, {seconds:.0f} s: {size / 2**20:.1f} MiB, {size / seconds:.0f} bytes a second")  # noqa: T201
        return
    for record in unpack(args.packed):
        save_record(args.out, record)


if __name__ == "__main__":
    main()
