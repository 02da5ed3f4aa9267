"""The clock of a file: how far the timestamps of its packets are believed.

A timestamp is 8 bytes, which damage or malice can set to any time. A jump that no recording makes
is a discontinuity: the clock goes on from the end of what came before, as in the ffmpeg tool, so
that recordings which were joined (`cat a.ts b.ts`) follow one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av

AHEAD = 60.0  # seconds by which a packet may begin after the end of all before it
BEHIND = 1.0  # seconds by which it may begin before the one before it in its stream


@dataclass
class _Stream:
    """Where a stream is, in seconds; `shift` is what is added to its own timestamps."""

    first: float
    last: float
    end: float
    shift: float


class Clock:
    """Sets the timestamps of the packets of a file, in the order in which they are read."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}

    def set(self, packet: av.Packet) -> None:
        """Moves a packet by what its stream was moved before, or anew where its clock has jumped.

        It then begins where all before it end, or with the shift of another stream where that is
        plausible, so that picture and sound stay together. A packet without a timestamp stays as
        it is.
        """
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None:
            return
        base, index = packet.time_base, packet.stream.index
        stream, others = self._streams.get(index), self._streams.values()
        shift, time = stream.shift if stream else 0.0, float(stamp * base)
        if not self._plausible(time + shift, stream):
            shifts = [each.shift for each in others if self._plausible(time + each.shift, stream)]
            shift = shifts[0] if shifts else max(each.end for each in others) - time
        if packet.pts is not None and abs(packet.pts - stamp) * base > AHEAD:
            packet.pts = stamp
        if moved := round(shift / base):
            packet.pts = None if packet.pts is None else packet.pts + moved
            packet.dts = None if packet.dts is None else packet.dts + moved
        time += shift
        end = time + min(float((packet.duration or 0) * base), AHEAD)
        first = stream.first if stream else time
        self._streams[index] = _Stream(first, time, max(end, stream.end if stream else end), shift)

    def _plausible(self, time, stream):
        """Whether a packet of a stream, None before its first one, may begin at a time."""
        if not self._streams:
            return True
        every = self._streams.values()
        begin = min(each.first for each in every) - AHEAD
        earliest = stream.last - BEHIND if stream else begin
        return earliest <= time <= max(each.end for each in every) + AHEAD
