"""What goes over the wire, as types: they make /docs and check what comes in. Know no database and no framework."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Kind = Literal["dance", "music"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class Problem(BaseModel):
    """Why not: RFC 9457, with a stable `code` and what to do about it."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str


class Accepted(BaseModel):
    """The job that will do it; follow it at `Location`."""

    job_id: str
    state: JobState
    items: list[str] = Field(description="Ids of the items that the job is about.")


class FileAccepted(BaseModel):
    """What became of one of several files: its job, or why there is none."""

    filename: str
    job_id: str | None
    state: JobState | None
    items: list[str]
    error: Problem | None


class AllAccepted(BaseModel):
    """One entry for each file, in their order."""

    jobs: list[FileAccepted]


class Job(BaseModel):
    """A queued request. `result` when done, `error` when failed."""

    model_config = ConfigDict(extra="allow")

    id: str
    kind: str
    state: JobState
    progress: float = Field(ge=0, le=1)
    stage: str
    result: dict[str, Any] | None
    error: Problem | None
    attempts: int
    created_at: float | str | None
    started_at: float | str | None
    ended_at: float | str | None
    item_ids: list[str]


class Jobs(BaseModel):
    """One page; `next_cursor` leads to the next one and is null on the last."""

    jobs: list[Job]
    next_cursor: str | None


class Item(BaseModel):
    """A dance or a piece of music in the library; `ready` once it is embedded."""

    model_config = ConfigDict(extra="allow")

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
    created_at: float | str
    media_url: str


class Items(BaseModel):
    """One page; `next_cursor` leads to the next one and is null on the last."""

    items: list[Item]
    next_cursor: str | None


class Match(BaseModel):
    """A ranked item: score = lambda * embedding_score + (1 - lambda) * rhythm_score, of the best pair of segments."""

    id: str
    score: float
    embedding_score: float
    rhythm_score: float
    tempo_bpm: float | None
    start_s: float = Field(description="Where in the found item the best-matching segment begins.")
    query_start_s: float = Field(description="Where in the query it begins.")
    title: str


class Matches(BaseModel):
    """The answer to a question of similarity, best first."""

    query: dict[str, Any]
    results: list[Match]


class RetargetOptions(BaseModel):
    """How to retarget; what is left out has the method's own default. Ranges are checked by the core."""

    model_config = ConfigDict(extra="forbid")

    method: str = Field("dtw", description="dtw, acceleration, shift or paper_dtw")
    accent: float = Field(0.5, description="0..1, how strongly the picture eases into a landing stroke")
    min_speed: float | None = None
    max_speed: float | None = None
    interpolation: str = Field("blend", description="nearest, blend or flow")
    on: str = Field("beats", description="which points of the music are met: beats, onsets, downbeats, every_nth")
    nth: int = 2
    music_start_s: float = 0.0
    max_duration_s: float | None = None
    crf: int = Field(20, description="quality of the video: 18 is fine, 28 is coarse")
    fade_s: float = 0.25
    original_gain_db: float | None = Field(None, description="mixes the clip's own sound in at this gain")
    encoder: str = Field("auto", description="auto (NVENC where it works), libx264 or h264_nvenc")
    verify: bool = Field(True, description="let a detector that knows nothing of the plan judge the result")


def _listed(given: Any) -> Any:
    """A form has text only: numbers between commas."""
    return [part for part in given.split(",") if part.strip()] if isinstance(given, str) else given


class RetargetWish(RetargetOptions):
    """How to retarget, or what a retargeting would be like."""

    dry_run: bool = Field(False, description="foretell the report and render nothing")
    accents: Annotated[list[float], BeforeValidator(_listed)] = Field(
        [], max_length=9, description="with dry_run: one report for each of these accents (default: for `accent`)"
    )


class RetargetRequest(RetargetWish):
    """Which dance onto which music, and how."""

    dance_id: str
    music_id: str


class SoundtrackRequest(RetargetOptions):
    """Which dance wants music, from how many of the songs that fit best, and how it is warped."""

    dance_id: str
    k: int = Field(5, ge=1, le=50)
    lam: float | None = Field(None, alias="lambda", ge=0, le=1, allow_inf_nan=False)


class Model(BaseModel):
    """A checkpoint that this service can use."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: str
    aliases: list[str]
    served: bool


class Models(BaseModel):
    """What is on the shelf."""

    models: list[Model]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "Refused: `code` says why, `hint` what to do."},
}
