"""Every error leads to the exit code that the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernels import errors as kernels
from runner.cli.exit_codes import ExitCode, exit_code
from runner.errors import (
    Interrupted,
    MissingInputError,
    OfferGoneError,
    OrphanedInstanceError,
    PlanError,
    ProviderError,
    RunnerError,
    UnknownOutcomeError,
    UsageError,
    WorkerError,
)
from storage import errors as storage


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (kernels.ChainError("x", chain="y", position=0), 2),
        (kernels.FormatError("x"), 2),
        (kernels.ContainerError("x"), 2),
        (kernels.EncodeSettingsError("x"), 2),
        (storage.SameFileError("x"), 2),
        (storage.UriError("x"), 2),
        (MissingInputError("x"), 3),
        (storage.MissingError("x", storage.Failure(status=404)), 4),
        (storage.AccessError("x", storage.Failure(status=403)), 4),
        (storage.CredentialsError("x"), 4),
        (kernels.InputError("x"), 3),
        (kernels.OutputError("x"), 4),
        (storage.OutputExistsError("x"), 4),
        (storage.OutputFolderError("x"), 4),
        (storage.WriteError.from_os(Path("x"), OSError(28, "No space left on device")), 4),
        (kernels.UnavailableError("x"), 7),
        (PlanError("x"), 2),
        (WorkerError("x"), 5),
        (ProviderError("x"), 5),
        (OfferGoneError("x"), 5),
        (UnknownOutcomeError("x"), 5),
        (OrphanedInstanceError("x"), 6),
        (Interrupted(), 130),
        (kernels.StoppedError("x"), 130),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_table(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize("error", [ValueError("x"), OSError(5, "x"), RuntimeError("x"), MemoryError()])
def test_nobody_expected_the_rest(error: BaseException) -> None:
    assert exit_code(error) is None


def leaves(root: type[BaseException]) -> list[type[BaseException]]:
    return [kind for child in root.__subclasses__() for kind in (leaves(child) or [child])]


@pytest.mark.parametrize("root", [kernels.KernelsError, storage.StorageError, RunnerError])
def test_no_error_of_ours_is_missing(root: type[BaseException]) -> None:
    for kind in leaves(root):
        error = kind.__new__(kind)
        assert exit_code(error) is not None, kind


def test_codes_are_the_documented_ones() -> None:
    assert {code.value for code in ExitCode} == {0, 1, 2, 3, 4, 5, 6, 7, 130}


def test_nothing_that_a_machine_says_moves_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from runner.cli.app import _report
    from runner.errors import JobFailedError

    assert _report(JobFailedError("\x1b]0;title\x07 no\r such\nframe \x9b2J", 3), debug=False) == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 2
    assert all(letter.isprintable() or letter == "\n" for letter in told)
