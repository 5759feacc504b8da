"""Stores in a real S3 server and in a folder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.storage.server import SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.store import ObjectStore
    from tests.storage.server import Server


@pytest.fixture(autouse=True)
def no_secret_is_printed(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Look for secrets in all that a test printed and logged, with every logger at its most talkative."""
    caplog.set_level(logging.DEBUG)
    yield
    printed = capfd.readouterr()
    for text in (caplog.text, printed.out, printed.err):
        assert SECRETS.search(text) is None


@pytest.fixture(params=["local", "versioned", "unversioned"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Each kind of store in turn."""
    if request.param == "local":
        from storage.folder import FolderStore

        return FolderStore(tmp_path / "store")
    server: Server = request.getfixturevalue("server")
    return server.store(server.new_bucket(versioned=request.param == "versioned"))
