"""Everything `kernels` raises on purpose.

    KernelsError
    ├── ChainError            (ValueError)   a filter chain that cannot be read or does not make sense
    ├── FormatError           (ValueError)   a pixel format, colour tag or size an operation cannot work with
    ├── InputError            (OSError)      an input that cannot be opened, read or decoded
    ├── OutputError           (OSError)      an output that cannot be written
    ├── ContainerError        (ValueError)   a stream that the chosen container cannot carry
    ├── EncodeSettingsError   (ValueError)   an encoder setting out of its range
    ├── UnavailableError      (RuntimeError) a backend or codec this machine does not have
    └── StoppedError          (RuntimeError) a job that was asked to stop before its end

Messages are one line: what was given, what is allowed, what to do. `ChainError` adds the chain and a caret.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

LISTED_NAMES: Final = 40
"""Most names that an error lists: every pixel format, but not every named colour."""


class KernelsError(Exception):
    """Root of the tree above."""


class ChainError(KernelsError, ValueError):
    """A wrong filter chain: `position` is the character of `chain` at which it goes wrong."""

    def __init__(self, message: str, *, chain: str, position: int) -> None:
        self.message = message
        self.chain = chain
        self.position = position
        line = "".join(" " if c.isspace() else c for c in chain)  # a line break would leave the caret alone
        super().__init__(f"{message}\n  {line}\n  {' ' * position}^")


class FormatError(KernelsError, ValueError):
    """A pixel format, colour tag or frame size that an operation cannot work with.

    `position` is the character of the chain that is to blame, where that is known.
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        self.position = position
        super().__init__(message)


class InputError(KernelsError, OSError):
    """An input that cannot be opened, read or decoded."""


class OutputError(KernelsError, OSError):
    """An output that cannot be written."""


class ContainerError(KernelsError, ValueError):
    """A stream that the chosen container cannot carry."""


class EncodeSettingsError(KernelsError, ValueError):
    """An encoder setting that is unknown or out of its range."""


class UnavailableError(KernelsError, RuntimeError):
    """A backend or codec that this machine does not have.

    `reason` is the message without the advice, for messages that give their own.
    """

    def __init__(self, reason: str, *, advice: str = "") -> None:
        self.reason = reason
        super().__init__(f"{reason}; {advice}" if advice else reason)


class StoppedError(KernelsError, RuntimeError):
    """A job that was asked to stop before its end."""


def nearest(given: str, allowed: Iterable[str]) -> str:
    """'; did you mean X?' for the allowed name closest to `given`; when none is close, all of them if they are few."""
    names = sorted(allowed)
    close = get_close_matches(given, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; allowed: {', '.join(names)}" if len(names) <= LISTED_NAMES else ""
