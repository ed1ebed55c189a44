"""The whole of section 4.4 on a generated clip: what the report says is what the file shows."""

from __future__ import annotations

import json
import wave

import av
import numpy as np
import pytest

from mudar.errors import Cancelled, RetargetRefused
from mudar.records import Rhythm
from mudar.retarget.retarget import AnalyzedFile, dry_run, retarget
from mudar.retarget.settings import RetargetSettings

pytestmark = pytest.mark.slow

CONTRACT = {
    *("onsets_hit", "beat_alignment", "landing_error_ms", "speed", "source_used", "duplicate_share"),
    *("interpolated_share", "av_length_difference_ms", "stage_s", "time_map", "method", "accent", "knots", "tempo"),
    "offset_s",
}


def rhythm(times: np.ndarray, tempo_bpm: float) -> Rhythm:
    at = times.astype(np.float32)
    return Rhythm(at, np.ones(len(at), np.float32), np.zeros(0, np.float32), 15.0, tempo_bpm, (), at)


DANCE = rhythm(0.4 + np.arange(8) * 0.6 + 0.05 * np.sin(np.arange(8)), 100.0)
MUSIC = rhythm(np.arange(1, 20) * 0.5, 120.0)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[AnalyzedFile, AnalyzedFile]:
    """A 5 s clip whose grey is 16 + 1.2 x frame number, and 10 s of hum."""
    folder = tmp_path_factory.mktemp("retarget")
    with av.open(str(folder / "clip.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(125):
            planar = np.full((144, 160), 128, np.uint8)
            planar[:96] = round(16 + 1.2 * number)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(planar, format="yuv420p")))
        out.mux(stream.encode(None))
    with wave.open(str(folder / "song.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48_000)
        out.writeframes((9_000 * np.sin(np.arange(480_000) * 0.03)).astype(np.int16).tobytes())
    return AnalyzedFile(folder / "clip.mp4", DANCE), AnalyzedFile(folder / "song.wav", MUSIC)


@pytest.mark.parametrize("method", ["dtw", "acceleration", "shift"])
def test_the_report_is_whole_and_true(media, tmp_path, method: str) -> None:
    out = tmp_path / "out.mp4"
    stages: set[str] = set()
    wish = RetargetSettings(method=method, accent=0.5, crf=4)
    result = retarget(*media, out, wish, lambda _, stage: stages.add(stage))
    report = json.loads(json.dumps(result.report, allow_nan=False))
    assert set(report) >= CONTRACT
    assert stages >= {"plan", "render", "done"}
    with av.open(str(out)) as container:
        grey = np.array([f.to_ndarray()[:96].mean() for f in container.decode(video=0)])
    assert len(grey) == report["frames"] == round(result.duration_s * 25)
    shown_s = (grey - 16) / 1.2 / 25
    expected_s = result.time_map.source_s(np.arange(len(grey)) / 25)
    assert np.abs(shown_s - expected_s).max() < 0.04  # a frame; a grey level is most of one
    for before_after in (report["onsets_hit"], report["beat_alignment"]):
        assert all(0 <= before_after[key] <= 1 for key in ("before", "after", "chance"))
    assert report["av_length_difference_ms"] <= 10
    if method != "shift":
        assert report["onsets_hit"]["after"] > 0.85
        assert report["onsets_hit"]["after"] > report["onsets_hit"]["chance"] + 0.3
        assert report["landing_error_ms"]["p95"] <= 20  # half a frame
        # read the landings off the picture: the grey of the source's stroke at the time of its beat
        for at_s, source_s in zip(report["landings"]["output_s"], report["landings"]["source_s"], strict=True):
            if 0 <= at_s <= (len(grey) - 1) / 25:
                at_source_s = np.interp(at_s, np.arange(len(grey)) / 25, shown_s)
                assert abs(at_source_s - source_s) <= 0.03
    if method == "dtw":
        assert report["speed"]["min"] >= 0.67
        assert report["speed"]["max"] <= 1.5


@pytest.mark.parametrize("bounds", [(0.67, 1.5), (0.8, 1.25)])
def test_no_stretch_of_the_file_is_slower_or_faster_than_allowed(media, tmp_path, bounds: tuple[float, float]) -> None:
    """Read off the pictures: whatever two frames one takes, the source between them is within the bounds."""
    out = tmp_path / "out.mp4"
    wish = RetargetSettings(min_speed=bounds[0], max_speed=bounds[1], accent=1.0, crf=4, verify=False)
    result = retarget(*media, out, wish)
    with av.open(str(out)) as container:
        grey = np.array([f.to_ndarray()[:96].mean() for f in container.decode(video=0)])
    shown_s, frames = (grey - 16) / 1.2 / 25, np.arange(len(grey))
    gone_s = shown_s[None, :] - shown_s[:, None]
    passed_s = (frames[None, :] - frames[:, None]) / 25
    later = passed_s > 0
    slack_s = 0.05  # grey is rounded twice, to 0.033 s each
    assert (gone_s[later] >= bounds[0] * passed_s[later] - slack_s).all()
    assert (gone_s[later] <= bounds[1] * passed_s[later] + slack_s).all()
    assert np.ptp(result.time_map.speed(np.linspace(0, result.duration_s, 500))) > 0.2


def test_a_dry_run_foretells_the_report(media, tmp_path) -> None:
    wish = RetargetSettings(interpolation="nearest")
    real = retarget(*media, tmp_path / "out.mp4", wish).report
    _, foretold = dry_run(DANCE, 5.0, MUSIC, 10.0, 25.0, wish)
    for key in ("onsets_hit", "beat_alignment", "speed", "offset_s", "tempo", "landings"):
        assert foretold[key] == pytest.approx(real[key], abs=0.02) if key == "offset_s" else foretold[key] == real[key]


def test_accents_can_be_compared_without_rendering() -> None:
    falls = []
    for accent in (0.0, 0.1, 0.3):
        chosen, report = dry_run(DANCE, 5.0, MUSIC, 10.0, 25.0, RetargetSettings(accent=accent))
        landings = chosen.knots_output_s[1:-1]
        falls.append(float((chosen.time_map.speed(landings - 0.05) - chosen.time_map.speed(landings + 0.05)).mean()))
        assert report["dry_run"]
    assert falls[0] < falls[1] - 0.1 < falls[2] - 0.2


def test_refusing_and_cancelling_leave_no_file(media, tmp_path) -> None:
    with pytest.raises(RetargetRefused):
        retarget(AnalyzedFile(media[0].path, rhythm(np.zeros(0), 0.0)), media[1], tmp_path / "out.mp4")

    def stop(share: float, stage: str) -> None:
        if stage == "render":
            raise Cancelled

    with pytest.raises(Cancelled):
        retarget(*media, tmp_path / "out.mp4", progress=stop)
    assert not list(tmp_path.iterdir())
