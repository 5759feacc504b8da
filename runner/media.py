"""Videos by their location: what a job reads from and writes into, wherever that is."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from runner.errors import MissingInputError
from storage.errors import MissingError, SameFileError
from storage.reader import ObjectReader
from storage.uri import LocalUri, ObjectUri, Uri

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from kernels.io.source import InputLike
    from storage.outputs import Output

INTERRUPTED_S: Final = 1.3
"""How long dropping an upload may take after Ctrl-C, which is answered within 2 s."""
FAILED_S: Final = 20.0
"""How long it may take after a failure: a network that is gone may stay so for hours."""


@contextmanager
def open_input(uri: Uri) -> Iterator[InputLike]:
    """What `kernels` reads `uri` from: the path of a file, a seekable file object otherwise.

    Raises `MissingInputError` where there is no such object, and what `storage` raises.
    """
    if isinstance(uri, LocalUri):
        yield uri.path
        return
    from storage.place import source_of

    with missing_input():
        found = source_of(uri)
    with VideoReader(found.store, found.info.key, info=found.info) as file:
        yield cast("BinaryIO", file)


@contextmanager
def missing_input() -> Iterator[None]:
    """Where a source is looked for: that there is none is a fault of the input, not of the store."""
    try:
        yield
    except MissingError as error:
        raise MissingInputError(str(error)) from error


def output_to(uri: Uri, *, overwrite: bool, resume: str | None = None) -> Output:
    """Where a job writes for `uri`: a context manager whose file appears whole or not at all.

    In a bucket, what a killed process sent of it is used by the next one with the same text `resume`, which says
    what is written; a process that fails or is interrupted leaves nothing.
    """
    import storage

    made = storage.output(uri, overwrite=overwrite, resume=resume)
    return made if isinstance(uri, LocalUri) else _RemoteOutput(made)


def check_different(source: Uri, target: Uri) -> None:
    """Raises `SameFileError` when both locations lead to one file or one object, by whatever name."""
    if isinstance(source, LocalUri) and isinstance(target, LocalUri):
        from storage.local import check_distinct

        check_distinct(source.path, target.path)
    elif isinstance(source, ObjectUri) and isinstance(target, ObjectUri):
        from storage.place import place_of

        first, second = place_of(source), place_of(target)
        if first.store.identify(first.key) == second.store.identify(second.key):
            raise SameFileError(f"{source} and {target} are the same object; give the output another name")


class VideoReader(ObjectReader):
    """A damaged video may send the demuxer to before its start, which is no error of the store."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return -errno.EINVAL  # as libav's own files answer


class _RemoteOutput:
    """An output in a bucket that is dropped within a set time, by whichever thread comes first."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._dropping: threading.Thread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> BinaryIO:
        return self._output.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if error is not None:
            self._drop(FAILED_S)
            return
        try:
            self._output.__exit__(kind, error, trace)
        except BaseException:  # Ctrl-C too
            self._drop(FAILED_S)
            raise

    def discard(self) -> None:
        self._drop(INTERRUPTED_S)

    def _drop(self, limit_s: float) -> None:
        with self._lock:
            if self._dropping is None:
                self._dropping = threading.Thread(target=self._output.discard, name="discard", daemon=True)
                self._dropping.start()
        self._dropping.join(limit_s)
