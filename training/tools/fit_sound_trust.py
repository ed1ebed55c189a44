"""Fits how far the sound of a clip is trusted to be the music that is danced to.

    python -m training.tools.fit_sound_trust clips/mixed/*.mp4 --speech speech/*.wav

Each clip is weighed with its own sound, with the sounds of other clips, and with speech. Prints how often each kind is
trusted by the constants in `mudar.rhythm.own_sound`, and the constants that a logistic regression gives on these clips,
folds by clip. Clips whose sound is not the music that is danced to do not belong here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from model_store.loader import load_served
from mudar.embed import Embedder
from mudar.errors import MudarError
from mudar.features.motion import extract_motion
from mudar.media.decode.audio import decode_audio
from mudar.model.inputs import motion_input
from mudar.records import Array
from mudar.rhythm.beat_tracking import agreement, librosa_beats
from mudar.rhythm.music import music_features
from mudar.rhythm.own_sound import (
    FEWEST_BEATS,
    LEAST_CONFIDENCE,
    STRONGEST_PULSE,
    SoundEvidence,
    sound_evidence,
)

OTHERS = 2  # sounds of other clips that each clip is weighed with
KINDS = ("own", "other", "speech")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sound:
    """Holds what `sound_evidence` reads of a sound: its envelope, beats, and the agreement of two trackers."""

    envelope: Array
    beats_s: Array
    agreement: float
    duration_s: float


def read_sound(path: Path, embedder: Embedder) -> Sound:
    """Analyses the sound of a file. Raises MediaErrors."""
    spec = embedder.spec.audio
    samples = decode_audio(path, spec.sample_rate_hz).samples
    features = music_features(samples, spec)
    agreed = agreement(features.beats.times_s, librosa_beats(samples, spec))
    return Sound(features.envelope, features.beats.times_s, agreed, features.duration_s)


def motion_of(path: Path, embedder: Embedder) -> Array:
    """Analyses the picture of a file: motion (T, M). Raises MediaErrors."""
    motion = extract_motion(path, embedder.spec, flow=embedder.flow)
    return motion_input(motion.between, embedder.spec.video)


def weigh(motion: Array, sound: Sound, embedder: Embedder) -> SoundEvidence:
    """Weighs a sound against a motion (T, M); what of the sound comes after the picture is left out."""
    fps, rate_hz = embedder.spec.video.fps, embedder.spec.audio.frame_rate_hz
    end_s = len(motion) / fps
    envelope, beats_s = sound.envelope[: round(end_s * rate_hz)], sound.beats_s[sound.beats_s < end_s]
    return sound_evidence(motion, fps, envelope, rate_hz, beats_s, sound.agreement)


def evidence_of(
    clips: dict[Path, tuple[Array, Sound]], speech: list[Sound], embedder: Embedder
) -> Iterator[tuple[str, SoundEvidence]]:
    """Yields the kind of sound and its evidence, for each clip with its own sound, with others and with speech."""
    rng = np.random.default_rng(0)
    fps = embedder.spec.video.fps
    for path, (motion, own) in clips.items():
        yield "own", weigh(motion, own, embedder)
        others = [sound for other, (_, sound) in clips.items() if other != path]
        others = [sound for sound in others if sound.duration_s >= 0.8 * len(motion) / fps]
        for number in rng.permutation(len(others))[:OTHERS]:
            yield "other", weigh(motion, others[number], embedder)
        if speech:
            yield "speech", weigh(motion, speech[rng.integers(len(speech))], embedder)


def fit(columns: Floats, positive: NDArray[np.bool_]) -> tuple[list[float], Floats]:
    """Fits bias and weights with both classes alike; also gives the probabilities (N,) over ten folds."""
    model = LogisticRegression(C=10.0, class_weight="balanced")
    held_out = cross_val_predict(model, columns, positive, cv=10, method="predict_proba")[:, 1]
    model.fit(columns, positive)
    return [float(model.intercept_[0]), *(float(weight) for weight in model.coef_[0])], held_out


def report(rows: list[tuple[str, SoundEvidence]]) -> Iterator[str]:
    """Yields the lines that are printed."""
    kinds = np.array([kind for kind, _ in rows])
    confidence = np.array([evidence.confidence for _, evidence in rows])
    for kind in KINDS:
        if (kinds == kind).any():
            trusted = float((confidence[kinds == kind] >= LEAST_CONFIDENCE).mean())
            yield f"{kind:7} {int((kinds == kind).sum()):4} sounds, trusted {trusted:.2f}"
    values = np.array([(e.motion, min(e.pulse, STRONGEST_PULSE), e.agreement) for _, e in rows])
    heard = kinds != "speech"
    motion, danced_to = fit(values[heard][:, :1], kinds[heard] == "own")
    yield f"MOTION_WEIGHTS = {[round(weight, 3) for weight in motion]}"
    if heard.all():
        return
    music, is_music = fit(values[:, 1:], heard)
    yield f"MUSIC_WEIGHTS = {[round(weight, 3) for weight in music]}"
    for least in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
        product = is_music[heard] * danced_to
        shares = [f"{kind} {float((product[kinds[heard] == kind] >= least).mean()):.2f}" for kind in KINDS[:2]]
        yield f"least confidence {least:.2f}, folds: " + ", ".join(shares)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.tools.fit_sound_trust",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--speech", nargs="+", type=Path, default=[], metavar="SOUND")
    args = parser.parse_args(arguments)
    embedder = Embedder.from_loaded(load_served())
    clips: dict[Path, tuple[Array, Sound]] = {}
    for path in args.clips:
        try:
            sound = read_sound(path, embedder)
            if len(sound.beats_s) >= FEWEST_BEATS:
                clips[path] = motion_of(path, embedder), sound
        except MudarError as error:
            sys.stderr.write(f"{path.name}: {error.detail}\n")
    speech = [read_sound(path, embedder) for path in args.speech]
    for line in report(list(evidence_of(clips, speech, embedder))):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
