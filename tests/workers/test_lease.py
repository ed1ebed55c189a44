"""The pulse of a job: beats while the step works, and stops it for a reason."""

from __future__ import annotations

import time

import pytest

from mudar.errors import Cancelled, JobTimeout, LeaseLost, MudarError
from workers.lease import Beat, LeaseHeartbeat


def pulse(beat: Beat, *, limit_s: float = 60) -> LeaseHeartbeat:
    return LeaseHeartbeat(beat, lambda: None, heartbeat_s=0.1, progress_s=0.01, limit_s=limit_s)


def work(beating: LeaseHeartbeat, seconds: float) -> None:
    """A step that reports often."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        beating.progress(0.5, "working")
        time.sleep(0.005)


def test_a_silent_step_still_beats_and_progress_is_written_as_it_comes() -> None:
    beats: list[tuple[float, str]] = []

    def beat(fraction: float, stage: str) -> None:
        beats.append((fraction, stage))

    with pulse(beat) as beating:
        beating.progress(0.3, "decoding")
        time.sleep(0.5)
        beating.progress(0.2, "late word")  # it never goes back
        time.sleep(0.1)
    assert beats[0] == (0.3, "decoding")
    assert 3 <= len(beats) <= 12
    assert beats[-1] == (0.3, "late word")
    count = len(beats)
    time.sleep(0.25)
    assert len(beats) == count, "it beats on after the end"


@pytest.mark.parametrize("raised", [False, True])
def test_a_reason_to_stop_reaches_the_step(raised: bool) -> None:
    reason: MudarError = LeaseLost("gone") if raised else Cancelled("enough")

    def beat(fraction: float, stage: str) -> MudarError | None:
        if raised:
            raise reason
        return reason

    with pytest.raises(type(reason)), pulse(beat) as beating:
        work(beating, 5)


def test_a_database_that_is_away_for_a_moment_stops_nothing() -> None:
    tries = 0

    def beat(fraction: float, stage: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError("database is away")

    with pulse(beat) as beating:
        work(beating, 0.5)
    assert tries >= 3


def test_too_late_is_a_timeout_that_names_the_limit() -> None:
    with pytest.raises(JobTimeout, match=r"0\.2|0 s"), pulse(lambda *_: None, limit_s=0.2) as beating:
        work(beating, 5)


def test_a_step_that_hears_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.lease.OVERDUE_S", 0.1)
    given_up: list[bool] = []
    beating = LeaseHeartbeat(
        lambda *_: None, lambda: given_up.append(True), heartbeat_s=0.05, progress_s=0.01, limit_s=0.1
    )
    with beating:
        time.sleep(0.6)
    assert given_up == [True]
