"""What decides the bytes of a job's output, as one short text: the same text promises the same bytes."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from storage.uri import LocalUri

if TYPE_CHECKING:
    from kernels.io.source import InputLike
    from storage.uri import Uri

MAKERS: Final = ("framehaul", "av", "numba", "numpy")
"""Packages whose next version may make other bytes."""


def job_identity(source: Uri, opened: InputLike, **choices: object) -> str:
    """A digest of the input, of `choices` (values whose `repr` tells all of them) and of the code's version.

    `opened` is what `runner.media.open_input` gave for `source`. Nothing in the digest can be read back: a location
    on the web may have a signature.
    """
    facts = [_input_facts(source, opened), *sorted(choices.items()), *((name, _version(name)) for name in MAKERS)]
    return hashlib.sha256("\n".join(map(repr, facts)).encode("utf-8", "backslashreplace")).hexdigest()


def _input_facts(source: Uri, opened: InputLike) -> tuple[object, ...]:
    """Which bytes are read: name, size, and what changes with them."""
    if isinstance(source, LocalUri):
        try:
            found = source.path.stat()
        except OSError:
            return (os.path.realpath(source.path),)  # the job will say so
        return os.path.realpath(source.path), found.st_size, found.st_mtime_ns
    from storage.reader import ObjectReader

    assert isinstance(opened, ObjectReader)
    info = opened.info
    return opened.identity, info.size_bytes, info.etag, info.version, info.modified


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
