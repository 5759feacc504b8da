"""Which part of an input is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

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

    @property
    def is_whole(self) -> bool:
        return self.start_s is None and self.end_s is None


def _exact(seconds: float | Fraction) -> Fraction:
    """The decimal that was meant: the float 0.08 lies a little above 0.08 and would lose the frame at that time."""
    return Fraction(repr(seconds)) if isinstance(seconds, float) else Fraction(seconds)
