"""Defines what the API says of items, and how a rhythm is corrected."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mudar.records import Kind, RhythmFrom
from service.errors import Problem


class SoundRhythm(BaseModel):
    """The beats of a dance's own sound, and how sure it is that the dance follows them."""

    beats_s: list[float]
    downbeats_s: list[float]
    tempo_bpm: float
    confidence: float = Field(description="0..1 that the sound is what is danced to.")
    reason: str = Field(description="Why it is used, or why not.")


class Rhythm(BaseModel):
    """When strokes or onsets, beats and downbeats fall, in seconds; `curve` is sampled at `fps`."""

    times_s: list[float]
    strengths: list[float]
    curve: list[float]
    beats_s: list[float]
    downbeats_s: list[float]
    impacts_s: list[float]
    peaks_s: list[float]
    peak_strengths: list[float]
    speed: list[list[float]]
    fps: float
    speed_fps: float
    tempo_bpm: float
    tempo_alternatives: list[tuple[float, float]]
    source: str = Field(description="Where the points of a dance come from: its `sound`, its `picture`, or a `hand`.")
    sound: SoundRhythm | None = Field(None, description="Of a dance whose own sound has beats.")
    edition: int | None = Field(None, description="How often it was edited or restored.")
    edited: bool


class Segment(BaseModel):
    """One window of an item with its vectors."""

    start_s: float
    end_s: float
    embedding: list[float]
    rhythm: list[float]


class Item(BaseModel):
    """Describes a dance or a piece of music in the library; `ready` once it is embedded."""

    id: str
    kind: Kind
    title: str
    labels: list[str]
    metadata: dict[str, Any]
    duration_s: float | None
    state: str = Field(description="`ready` once embedded, else the state of its job.")
    model: str | None
    tempo_bpm: float | None
    strokes: int | None
    segments: int | None
    linked_to: str | None
    created_at: str
    media_url: str
    info: dict[str, Any] = Field(description="What probing the file found.")
    sha256: str
    job_id: str | None
    models: list[str]
    rhythm: Rhythm | None = Field(None, description="With include=rhythm.")
    embedding: list[Segment] | None = Field(None, description="With include=embedding.")


class ItemError(BaseModel):
    """Names an item that cannot be shown, and says why; it can still be deleted."""

    id: str
    error: Problem


class Items(BaseModel):
    """One page; `next_cursor` leads to the next one and is null on the last."""

    items: list[Item]
    errors: list[ItemError] = Field([], description="Items of this page that cannot be read; absent where all can.")
    next_cursor: str | None


class RhythmEdit(BaseModel):
    """Says what to put in place of what the model found; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    times_s: list[float] | None = Field(None, max_length=100_000, description="strokes or onsets, ascending seconds")
    strengths: list[float] | None = Field(None, max_length=100_000, description="0..1 for each of times_s")
    beats_s: list[float] | None = Field(None, max_length=100_000)
    downbeats_s: list[float] | None = Field(None, max_length=100_000)
    rhythm_from: RhythmFrom = Field("auto", description="take the points of a dance from its `sound` or its `picture`")
    even: bool = Field(False, description="times_s and beats_s were tapped: steady them against each other")
