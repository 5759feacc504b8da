"""Everything `runner` raises on purpose.

    RunnerError
    ├── UsageError   (ValueError)    a command line that cannot work, whatever the files hold
    ├── MissingInputError (LookupError) an object to be read that is not there
    ├── Interrupted  (RuntimeError)  Ctrl-C or a request to end, after everything was put away
    ├── PlanError    (ValueError)    a job that cannot be planned within its limits
    ├── WorkerError  (RuntimeError)  a worker could not do its part; the message says which
    └── ProviderError (OSError)      the market of machines refused or failed
        ├── OfferGoneError           somebody else was faster; nothing was rented
        ├── UnknownOutcomeError      it may or may not have been rented: look for the label
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


class ProviderError(RunnerError, OSError):
    """The market of machines refused or failed."""


class OfferGoneError(ProviderError):
    """Somebody else was faster; nothing was rented."""


class UnknownOutcomeError(ProviderError):
    """A reply was lost: an instance may or may not have been rented under the label."""


class OrphanedInstanceError(ProviderError):
    """An instance could not be proven gone: it may still cost money."""


class ProviderError(RunnerError):
    """A provider of rented machines refused or failed. `what` says what was asked of it ("renting offer 7")."""

    def __init__(self, what: str, said: str, *, advice: str = "", instance_id: int | None = None) -> None:
        self.what = what
        self.said = said
        self.instance_id = instance_id
        """An instance that exists in spite of the failure, and costs money until it is destroyed."""
        left = "" if instance_id is None else f"; instance {instance_id} exists all the same and must be destroyed"
        super().__init__(f"{what}: {said}" + (f"; {advice}" if advice else "") + left)


class ProviderKeyError(ProviderError, PermissionError):
    """A key that is missing, wrong, expired or not allowed to do this. Says nothing about any instance."""


class CreditError(ProviderError):
    """No money, or a limit on spending: nothing can be rented until the user does something about it."""


class OfferGoneError(ProviderError, LookupError):
    """Somebody else rented it first, or its host took it back: take the next one."""


class InstanceGoneError(ProviderError, LookupError):
    """No such instance, or no more."""


class RateLimitError(ProviderError):
    """Asked too often; nothing was done. `retry_after_s` is what the provider asks to wait, where it says so."""

    def __init__(self, what: str, said: str, *, advice: str = "", retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(what, said, advice=advice)


class RefusedError(ProviderError, ValueError):
    """A request that will be refused every time."""


class UnansweredError(ProviderError, ConnectionError):
    """No answer, or that of a broken server: whether it did what was asked is unknown. Look before asking again."""


class ReplyError(ProviderError):
    """An answer that cannot be understood; it names the field that is missing or wrong."""
