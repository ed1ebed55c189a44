"""Runs the core in this process for `--local`, without a server. Imports what is heavy where it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mudar.errors import UnreadableMedia
from mudar.media.decode.malloc import use_fixed_mmap_threshold
from mudar.progress import Progress, scaled
from mudar.records import Analysis, Kind, Rhythm
from service.settings import settings

if TYPE_CHECKING:
    from mudar.embed import Embedder

PLAN_FPS = 30.0
KINDS: tuple[Kind, Kind] = ("dance", "music")


def embedder(model: str | None) -> Embedder:
    """The embedder of this model, default the served one; this process returns freed memory from then on.

    UnknownModel, ChecksumMismatch.
    """
    from model_store.loader import load
    from mudar.embed import Embedder
    from mudar.features.flow import make_flow

    use_fixed_mmap_threshold()
    chosen = settings()
    loaded = load(model or chosen.model_name, chosen.model_roots)
    return Embedder(loaded.model, loaded.spec, loaded.name, make_flow(loaded.spec.video, loaded.flow_weights))


def probe_kind(path: Path, requested: str | None) -> Kind:
    """The kind that a file is taken for, by probing it; raises the media error that says why it cannot be used."""
    from mudar.media.probe.models import ProbeLimits, require_dance, require_music
    from mudar.media.probe.probe import probe_in_child

    if not path.is_file():
        raise UnreadableMedia(f"There is no file {path}.", hint="Check the path.")
    chosen = settings()
    limits = ProbeLimits(max_duration_s=chosen.max_duration_s, max_pixels=chosen.max_pixels)
    info = probe_in_child(path, limits, timeout_s=chosen.probe_timeout_s)
    kind: Kind = "music" if requested == "music" or (requested is None and info.kind == "music") else "dance"
    (require_dance if kind == "dance" else require_music)(info)
    return kind


def analyse(path: Path, kind: str | None, model: str | None, progress: Progress) -> Analysis:
    """All that embedding gives for a file."""
    probed = probe_kind(path, kind)
    progress(0.0, "model")
    return embedder(model).file(path, probed, progress)


def embedded(path: Path, analysis: Analysis) -> dict[str, Any]:
    """The record that the service gives for an item, with `?include=embedding,rhythm`; its id is the file's path."""
    from mudar.library.serialization import segment_record

    return {
        "id": str(path),
        "kind": analysis.kind,
        "duration_s": analysis.duration_s,
        "tempo_bpm": analysis.rhythm.tempo_bpm,
        "strokes": len(analysis.rhythm.times_s),
        "segments": len(analysis.segments),
        "model": analysis.model,
        "stage_s": analysis.stage_s,
        "rhythm": rhythm(analysis),
        "embedding": [segment_record(segment) for segment in analysis.segments],
    }


def rhythm(analysis: Analysis, rhythm_from: str = "auto") -> dict[str, Any]:
    """The rhythm record of the service. OutOfRange where the sound of a dance is asked for and has no beats."""
    from mudar.library.serialization import rhythm_record
    from mudar.rhythm.annotation import resolve

    record = rhythm_record(resolve(analysis.rhythm, rhythm_from))
    return {name: value for name, value in record.items() if name != "picture"}


def plan(
    dance: Path,
    music: Path,
    chosen: dict[str, Any],
    model: str | None,
    progress: Progress,
    by_hand: tuple[Sequence[float] | None, Sequence[float] | None] = (None, None),
) -> dict[str, Any]:
    """The time map that a retargeting would have, 30 points a second, with the song's beats in output seconds."""
    import numpy as np

    from mudar.retarget.retarget import dry_run
    from mudar.retarget.settings import RetargetSettings

    options = RetargetSettings(**{name: value for name, value in chosen.items() if value is not None})
    probe_kind(dance, "dance")
    probe_kind(music, "music")
    (dance_rhythm, dance_s), (music_rhythm, music_s) = _rhythms(dance, music, model, progress, by_hand)
    made, report = dry_run(dance_rhythm, dance_s, music_rhythm, music_s, PLAN_FPS, options)
    output_s = np.arange(int(made.duration_s * PLAN_FPS) + 1) / PLAN_FPS
    source_s = np.asarray(made.time_map.source_s(output_s), np.float64)
    beats_s = np.asarray(music_rhythm.beats_s, np.float64) - made.offset_s
    return {
        "time_map": {"output_s": output_s.round(6).tolist(), "source_s": source_s.round(6).tolist()},
        "offset_s": round(made.offset_s, 6),
        "duration_s": round(made.duration_s, 6),
        "beats_s": beats_s[(beats_s >= 0) & (beats_s <= made.duration_s)].round(6).tolist(),
        "report": report,
    }


def retarget(
    dance: Path,
    music: Path,
    out: Path,
    chosen: dict[str, Any],
    model: str | None,
    progress: Progress,
    by_hand: tuple[Sequence[float] | None, Sequence[float] | None] = (None, None),
) -> dict[str, Any]:
    """Renders `out`; the result that the service gives, with the file's path as its URL.

    by_hand: strokes of the dance and beats of the music, which take the place of what is found.
    """
    from mudar.retarget.retarget import AnalyzedFile
    from mudar.retarget.retarget import retarget as render
    from mudar.retarget.settings import RetargetSettings

    options = RetargetSettings(**{name: value for name, value in chosen.items() if value is not None})
    probe_kind(dance, "dance")
    probe_kind(music, "music")
    analysed = _rhythms(dance, music, model, scaled(progress, 0.0, 0.4), by_hand)
    first, second = (AnalyzedFile(path, rhythm) for path, (rhythm, _) in zip((dance, music), analysed, strict=True))
    result = render(first, second, out, options, scaled(progress, 0.4, 1.0))
    return {"video_url": str(out), "method": options.method, "duration_s": result.duration_s, "report": result.report}


def _rhythms(
    dance: Path,
    music: Path,
    model: str | None,
    progress: Progress,
    by_hand: tuple[Sequence[float] | None, Sequence[float] | None],
) -> list[tuple[Rhythm, float]]:
    """The rhythm and the seconds of the dance and of the music; points by hand take the place of what is found."""
    from mudar.rhythm.annotation import apply_annotation

    progress(0.0, "model")
    use = embedder(model)
    rhythms: list[tuple[Rhythm, float]] = []
    for kind, path, name, points in zip(KINDS, (dance, music), ("times_s", "beats_s"), by_hand, strict=True):
        analysis = use.file(path, kind, scaled(progress, len(rhythms) / 2, (len(rhythms) + 1) / 2))
        changes = {} if points is None else {name: points, "downbeats_s": []}
        rhythms.append((apply_annotation(analysis.rhythm, changes, analysis.duration_s), analysis.duration_s))
    return rhythms
