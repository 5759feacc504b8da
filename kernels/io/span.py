"""Which part of an input is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from kernels.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A half-open range of time, in seconds after the input's start; None leaves an end open."""

    start_s: Fraction | None = None
    end_s: Fraction | None = None

    @classmethod
    def of(cls, start: float | Fraction | None, duration: float | Fraction | None) -> Span:
        """From a start and a length in seconds. Raises `InputError` for a negative start or an empty length."""
        if start is not None and start < 0:
            raise InputError(f"start {float(start):g} s lies before the input; give 0 or more")
        if duration is not None and duration <= 0:
            raise InputError(f"a duration of {float(duration):g} s holds no frame; give more than 0")
        begin = None if not start else _exact(start)
        end = None if duration is None else (begin or Fraction(0)) + _exact(duration)
        return cls(start_s=begin, end_s=end)

    def is_before(self, time_s: Fraction) -> bool:
        return self.start_s is not None and time_s < self.start_s

    def is_after(self, time_s: Fraction) -> bool:
        return self.end_s is not None and time_s >= self.end_s

    def __contains__(self, time_s: Fraction) -> bool:
        return not self.is_before(time_s) and not self.is_after(time_s)

    def in_ticks(self, time_base: Fraction, origin_s: Fraction) -> TickSpan:
        """The same in whole ticks of a stream whose time begins at `origin_s` seconds."""

        def first(seconds: Fraction | None) -> int | None:
            return None if seconds is None else ceil((seconds + origin_s) / time_base)

        return TickSpan(first=first(self.start_s), end=first(self.end_s))

    @property
    def is_whole(self) -> bool:
        return self.start_s is None and self.end_s is None


@dataclass(frozen=True, slots=True, kw_only=True)
class TickSpan:
    """A span for comparing many times with: `first <= pts < end`; None leaves an end open."""

    first: int | None
    end: int | None

    def is_before(self, pts: int) -> bool:
        return self.first is not None and pts < self.first

    def is_after(self, pts: int) -> bool:
        return self.end is not None and pts >= self.end

    def __contains__(self, pts: int) -> bool:
        return not self.is_before(pts) and not self.is_after(pts)


def _exact(seconds: float | Fraction) -> Fraction:
    """The decimal that was meant: the float 0.08 lies a little above 0.08 and would lose the frame at that time."""
    return Fraction(repr(seconds)) if isinstance(seconds, float) else Fraction(seconds)
