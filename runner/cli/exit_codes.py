"""What `runner` exits with, and which error leads there: the one table."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of every command."""

    DONE = 0
    UNEXPECTED = 1
    """A fault of the program itself; `--debug` shows where."""
    USAGE = 2
    """A command line, chain, format or encoder setting that cannot work."""
    INPUT = 3
    """An input that cannot be read or decoded."""
    OUTPUT = 4
    """An output or a storage that cannot be written."""
    PROVIDER = 5
    """The provider of rented machines refused or failed, or a machine did not do its part."""
    STILL_BILLING = 6
    """A rented machine could not be proven gone: it may still cost money."""
    UNAVAILABLE = 7
    """A backend or codec this machine does not have."""
    INTERRUPTED = 130
    """Ctrl-C, or a request to end."""


OF_WORKERS = frozenset({ExitCode.USAGE, ExitCode.INPUT, ExitCode.OUTPUT, ExitCode.UNAVAILABLE})


def error_table() -> dict[type[BaseException], ExitCode]:
    """Error root -> exit code. The first entry that an error is an instance of counts."""
    from kernels import errors as kernels
    from runner import errors as runner
    from storage import errors as storage

    return {
        runner.UsageError: ExitCode.USAGE,
        runner.MissingInputError: ExitCode.INPUT,
        runner.Interrupted: ExitCode.INTERRUPTED,
        runner.PlanError: ExitCode.USAGE,
        runner.WorkerError: ExitCode.PROVIDER,
        runner.RefusedPlaceError: ExitCode.OUTPUT,
        runner.JobFailedError: ExitCode.UNEXPECTED,
        runner.OrphanedInstanceError: ExitCode.STILL_BILLING,
        runner.ProviderError: ExitCode.PROVIDER,
        storage.SameFileError: ExitCode.USAGE,
        storage.UriError: ExitCode.USAGE,
        storage.StorageError: ExitCode.OUTPUT,
        kernels.ChainError: ExitCode.USAGE,
        kernels.FormatError: ExitCode.USAGE,
        kernels.ContainerError: ExitCode.USAGE,
        kernels.EncodeSettingsError: ExitCode.USAGE,
        kernels.InputError: ExitCode.INPUT,
        kernels.OutputError: ExitCode.OUTPUT,
        kernels.UnavailableError: ExitCode.UNAVAILABLE,
        kernels.StoppedError: ExitCode.INTERRUPTED,
        KeyboardInterrupt: ExitCode.INTERRUPTED,
    }


def exit_code(error: BaseException) -> ExitCode | None:
    """The exit code for `error`; None for one that nobody expected."""
    try:
        table = error_table()
    except ImportError:  # an installation with parts missing, which then is the error
        return None
    code = next((code for kind, code in table.items() if isinstance(error, kind)), None)
    told = getattr(error, "exit_code", None)  # by a worker, which may say only what a command of its own could
    return ExitCode(told) if code is not None and told in OF_WORKERS else code
