"""Runs the core in this process for `--local`, without a server. Imports what is heavy where it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mudar.errors import UnreadableMedia
from mudar.media.decode.malloc import use_fixed_mmap_threshold
from mudar.progress import Progress, scaled
from mudar.records import Analysis, Kind
from service.settings import settings

if TYPE_CHECKING:
    from mudar.embed import Embedder


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


def rhythm(analysis: Analysis) -> dict[str, Any]:
    """The rhythm record of the service."""
    from mudar.library.serialization import rhythm_record

    return rhythm_record(analysis.rhythm)


def retarget(
    dance: Path,
    music: Path,
    out: Path,
    chosen: dict[str, Any],
    model: str | None,
    progress: Progress,
    *,
    strokes_s: Sequence[float] | None = None,
    beats_s: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Renders `out`; the result that the service gives, with the file's path as its URL.

    strokes_s of the dance and beats_s of the music take the place of what is found.
    """
    from mudar.retarget.retarget import AnalyzedFile
    from mudar.retarget.retarget import retarget as render
    from mudar.retarget.settings import RetargetSettings
    from mudar.rhythm.annotation import apply_annotation

    options = RetargetSettings(**{name: value for name, value in chosen.items() if value is not None})
    probe_kind(dance, "dance")
    probe_kind(music, "music")
    progress(0.0, "model")
    use = embedder(model)
    dance_analysis = use.file(dance, "dance", scaled(progress, 0.0, 0.3))
    music_analysis = use.file(music, "music", scaled(progress, 0.3, 0.4))
    dance_rhythm, music_rhythm = dance_analysis.rhythm, music_analysis.rhythm
    if strokes_s is not None:
        dance_rhythm = apply_annotation(
            dance_rhythm, {"times_s": strokes_s, "downbeats_s": []}, dance_analysis.duration_s
        )
    if beats_s is not None:
        music_rhythm = apply_annotation(
            music_rhythm, {"beats_s": beats_s, "downbeats_s": []}, music_analysis.duration_s
        )
    pair = AnalyzedFile(dance, dance_rhythm), AnalyzedFile(music, music_rhythm)
    result = render(*pair, out, options, scaled(progress, 0.4, 1.0))
    return {"video_url": str(out), "method": options.method, "duration_s": result.duration_s, "report": result.report}
