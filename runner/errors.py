"""Everything `runner` raises on purpose.

    RunnerError
    ├── UsageError   (ValueError)    a command line that cannot work, whatever the files hold
    ├── MissingInputError (LookupError) an object to be read that is not there
    └── Interrupted  (RuntimeError)  Ctrl-C or a request to end, after everything was put away

Messages are one line: what was given, what is allowed, what to do.
"""

from __future__ import annotations


class RunnerError(Exception):
    """Root of the tree above."""


class UsageError(RunnerError, ValueError):
    """A command line that cannot work, whatever the files hold."""


class MissingInputError(RunnerError, LookupError):
    """An object to be read, listed or deleted that is not there."""


class Interrupted(RunnerError, RuntimeError):  # noqa: N818 - it says what happened; nothing went wrong
    """The user or the system asked the run to end, and nothing of it is left."""

    def __init__(self) -> None:
        super().__init__("interrupted")
