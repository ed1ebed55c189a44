"""Defines what a retargeting may be asked for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class RetargetOptions(BaseModel):
    """Says how to retarget; what is left out has the method's own default. Ranges are checked by the core."""

    model_config = ConfigDict(extra="forbid")

    method: str = Field("dtw", description="dtw, acceleration, shift or paper_dtw")
    accent: float | None = Field(
        None,
        description="0..1, how strongly the picture eases into a landing stroke; "
        "default: 0.5, and 0.1 where the strokes are the beats of the dance's own sound",
    )
    rhythm_from: str = Field(
        "auto", description="where the dance's strokes come from: its own sound, its picture, or auto"
    )
    min_speed: float | None = None
    max_speed: float | None = None
    interpolation: str = Field("flow", description="nearest, blend or flow")
    on: str = Field("beats", description="which points of the music are met: beats, onsets, downbeats, every_nth")
    nth: int = 2
    music_start_s: float = 0.0
    max_duration_s: float | None = None
    crf: int = Field(20, description="quality of the video, 0 best to 51: 18 is fine, 28 is coarse")
    fade_s: float = 0.25
    original_gain_db: float | None = Field(None, description="mixes the clip's own sound in at this gain")
    encoder: str = Field("auto", description="auto (NVENC where it works), libx264 or h264_nvenc")
    verify: bool = Field(True, description="let a detector that knows nothing of the plan judge the result")


def _split_numbers(given: Any) -> Any:
    """The parts of a text with commas: a form has text only."""
    return [part for part in given.split(",") if part.strip()] if isinstance(given, str) else given


class RetargetForm(RetargetOptions):
    """Says how to retarget, or asks what a retargeting would be like."""

    dry_run: bool = Field(False, description="predict the report and render nothing")
    accents: Annotated[list[float], BeforeValidator(_split_numbers)] = Field(
        [], max_length=9, description="with dry_run: one report for each of these accents (default: for `accent`)"
    )


class RetargetRequest(RetargetForm):
    """Says which dance to put onto which music, and how."""

    dance_id: str
    music_id: str
