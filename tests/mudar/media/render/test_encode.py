"""The encoder that is there writes; what the output could not keep of its source is said."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from mudar.media.render.encode import choose_encoder, nvenc_works
from mudar.media.render.render import Renderer, RenderSettings
from mudar.media.render.source import inspect_video


def test_nvenc_is_tried_before_it_is_taken() -> None:
    try:
        av.codec.Codec("h264_nvenc", "w")
    except av.codec.codec.UnknownCodecError:
        assert not nvenc_works()
    assert choose_encoder("libx264") == "libx264"
    expected = "h264_nvenc" if nvenc_works() else "libx264"
    assert choose_encoder("auto") == choose_encoder("h264_nvenc") == expected


@pytest.mark.parametrize("requested", ["auto", "h264_nvenc", "libx264"])
def test_whatever_is_asked_the_file_is_high_profile_h264(clip, song, tmp_path, requested: str) -> None:
    out = tmp_path / "out.mp4"
    done = Renderer(clip, song, RenderSettings("nearest", encoder=requested)).render(
        out, lambda t: t, offset_s=0.0, duration_s=0.5
    )
    assert done.encoder == choose_encoder(requested)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.profile) == ("h264", "High")
        assert stream.pix_fmt == "yuv420p"


def test_quality_is_a_knob(clip, song, tmp_path) -> None:
    sizes = []
    for crf in (12, 40):
        out = tmp_path / f"{crf}.mp4"
        settings = RenderSettings("nearest", crf=crf)
        Renderer(clip, song, settings).render(out, lambda t: t, offset_s=0.0, duration_s=1.0)
        sizes.append(out.stat().st_size)
    assert sizes[0] > 1.3 * sizes[1]


def test_what_is_not_kept_is_said(tmp_path: Path) -> None:
    path = tmp_path / "deep.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 65, 48, "yuva444p10le"
        frame = av.VideoFrame(65, 48, "yuva444p10le")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    notes = inspect_video(path).notes
    assert [word for note in notes for word in ("10 bits", "Transparency", "odd") if word in note] == [
        "10 bits", "Transparency", "odd",
    ]  # fmt: skip
