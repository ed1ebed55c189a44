"""Mends the time stamps of packets: recordings that were joined by their bytes get one clock, lying lengths a sane one.

Transport streams, chained Oggs and files off a disc carry on after a join with stamps that begin again, or that lie a
day ahead. Sound and picture jump by as much, but not in the same packet: a demuxer may give the last picture of one
recording after the first sound of the next. Imports no numpy. Knows nothing of frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av

RESTARTING = {"mpegts", "mpeg", "ogg", "flv", "live_flv", "asf"}  # whose clocks may begin again in mid-file
BACK_S = 0.5  # a step back by more than this is another clock; less is a slip
AHEAD_S = 1.0  # a leap ahead of all tracks by more than this is one too,
AHEAD_ALONE_S = 10.0  # where no other track could say whether it is only a pause
USUAL_STEPS = 3  # nor is it a leap where the track comes in steps of a third of that
MOST_SAMPLES = 65_536  # in a packet of a codec that packs them in frames (FLAC's limit; others hold far fewer)


@dataclass
class _Track:
    """Holds where one stream is. shift_s: from its stamps to the clock; end_s, step_s: of its last packet there."""

    shift_s: float
    end_s: float
    start_s: float
    step_s: float = 0.0


class JoinedClock:
    """Moves the stamps of packets, given in the file's order, to one clock that only goes on."""

    def __init__(self) -> None:
        self._shift_s = 0.0  # of the recording that began last
        self._tracks: dict[int, _Track] = {}

    def mend(self, packet: av.Packet[Any]) -> None:
        """Moves one packet's stamps."""
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None or packet.time_base is None:
            return
        time_s = float(stamp * packet.time_base)
        track = self._tracks.get(packet.stream_index)
        if track is None:
            start_s = time_s + self._shift_s
            track = self._tracks[packet.stream_index] = _Track(self._shift_s, start_s, start_s)
        elif not self._goes_on(track, time_s + track.shift_s):
            if not self._goes_on(track, time_s + self._shift_s):
                self._shift_s = max(t.end_s for t in self._tracks.values()) - time_s
            track.shift_s = self._shift_s
        start_s = time_s + track.shift_s
        track.step_s = max(0.0, start_s - track.start_s)
        track.start_s, track.end_s = start_s, start_s + float((packet.duration or 0) * packet.time_base)
        ticks = round(track.shift_s / packet.time_base)
        if ticks:
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks

    def _goes_on(self, track: _Track, start_s: float) -> bool:
        """Tells whether a packet that starts here follows the one before on the same clock."""
        ahead_s = max(AHEAD_S if len(self._tracks) > 1 else AHEAD_ALONE_S, USUAL_STEPS * track.step_s)
        reached_s = max(t.end_s for t in self._tracks.values())
        return track.end_s - BACK_S <= start_s <= reached_s + ahead_s


def mend_duration(packet: av.Packet[Any], usual: int) -> None:
    """Gives a packet of sound that claims more samples than a packet can hold the `usual` duration.

    An Ogg whose last page ends before it begins makes FFmpeg state a duration that wrapped around.
    """
    context = packet.stream.codec_context
    if packet.stream.type != "audio" or context.name.startswith("pcm") or not packet.duration or not packet.time_base:
        return
    if packet.duration * packet.time_base * (context.sample_rate or 0) > MOST_SAMPLES:
        packet.duration = usual
