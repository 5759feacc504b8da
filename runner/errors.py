"""Everything `runner` raises on purpose.

    RunnerError
    ├── UsageError   (ValueError)    a command line that cannot work, whatever the files hold
    ├── MissingInputError (LookupError) an object to be read that is not there
    ├── Interrupted  (RuntimeError)  Ctrl-C or a request to end, after everything was put away
    ├── PlanError    (ValueError)    a job that cannot be planned within its limits
    ├── WorkerError  (RuntimeError)  a worker could not do its part; the message says which
    ├── RefusedPlaceError (PermissionError) a store takes nothing where the job has to write, whoever asks
    ├── JobFailedError (RuntimeError) the job itself cannot be done, says the worker, with its exit code
    └── ProviderError (OSError)      the market of machines refused or failed
        ├── OfferGoneError           somebody else was faster; nothing was rented
        ├── UnknownOutcomeError      it may or may not have been rented: look for the label
        ├── ProviderKeyError (PermissionError) a key that is missing, wrong or may not do this
        ├── CreditError              no money, or a limit on spending: nothing more can be rented
        ├── RateLimitError           asked too often; nothing was done
        ├── RefusedError (ValueError) what will be refused every time
        ├── UnansweredError (ConnectionError) no answer, or a broken server's
        ├── ReplyError               an answer that cannot be understood
        └── OrphanedInstanceError    an instance could not be proven gone: it may still cost money

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


class PlanError(RunnerError, ValueError):
    """A job that cannot be planned within its limits: nothing was rented."""


class WorkerError(RunnerError, RuntimeError):
    """A worker could not do its part."""


class RefusedPlaceError(RunnerError, PermissionError):
    """A store takes nothing where the job has to write, whichever machine asks: the job itself is at fault."""


class JobFailedError(RunnerError, RuntimeError):
    """The job itself cannot be done, on whatever machine: what the worker said, and the exit code it had."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ProviderError(RunnerError, OSError):
    """The market of machines refused or failed."""


class OfferGoneError(ProviderError):
    """Somebody else was faster; nothing was rented."""


class UnknownOutcomeError(ProviderError):
    """A reply was lost: an instance may or may not have been rented under the label."""


class ProviderKeyError(ProviderError, PermissionError):
    """A key that is missing, wrong, expired or not allowed to do this. Says nothing about any instance."""


class CreditError(ProviderError):
    """No money, or a limit on spending: nothing can be rented until the user does something about it."""


class RateLimitError(ProviderError):
    """Asked too often; nothing was done. `retry_after_s` is what the provider asks to wait, where it says so."""

    retry_after_s: float | None = None


class RefusedError(ProviderError, ValueError):
    """What will be refused every time it is asked."""


class UnansweredError(ProviderError, ConnectionError):
    """No answer, or a broken server's: what it did is unknown. Look before asking again."""


class ReplyError(ProviderError):
    """An answer that cannot be understood; the message names the field that is missing or wrong."""


class OrphanedInstanceError(ProviderError):
    """An instance could not be proven gone: it may still cost money."""
